"""Named tensors of files on disk, and how they become a module's variables."""

from __future__ import annotations

import hashlib
import importlib.util
import json
import pathlib
import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple, cast

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
from flax import traverse_util

from jaxmeta import checks
from jaxmeta.datasets import files
from jaxmeta.encoders import torch_files
from jaxmeta.types import PyTree

INSTALL = "pip install 'jaxmeta[vision]'"
TORCH_SUFFIXES = (".pth", ".pt", ".bin")
IN_FOLDERS = ("model.safetensors", "pytorch_model.bin")


class Checkpoint(NamedTuple):
    path: pathlib.Path
    tensors: Mapping[str, np.ndarray]
    config: Mapping[str, Any]
    """What config.json says, if the folder has one."""
    pictures: Mapping[str, Any] = {}
    """What preprocessor_config.json says, likewise."""
    beside: tuple[pathlib.Path, ...] = ()
    """Those of the two that there are; of an encoder of texts all of them that say how it is read."""


def packaged(package: str, pattern: str, install: str = INSTALL) -> pathlib.Path:
    """Returns the file of an installed package, none of whose code is run.

    Raises:
      ImportError: if the package is not installed.
    """
    found = importlib.util.find_spec(package)
    for folder in (found and found.submodule_search_locations) or ():
        for path in sorted(pathlib.Path(folder).glob(pattern)):
            return path
    got = "a package without it" if found else "no such package"
    checks.fail(f"{package}: {pattern}", "it to be installed", got, install, ImportError)


def read(path: pathlib.Path) -> Checkpoint:
    """Reads a .safetensors, .pth, .pt or .bin file, or a folder that holds one and perhaps what says how it is read."""
    config, pictures, beside = {}, {}, ()
    if path.is_dir():
        folder, path = path, next((path / name for name in IN_FOLDERS if (path / name).is_file()), path)
        others = [each for each in sorted(folder.iterdir()) if each.suffix in (".safetensors", *TORCH_SUFFIXES)]
        if path == folder and len(others) != 1:
            wanted = f"{' or '.join(IN_FOLDERS)}, or a single file of weights"
            checks.fail(str(folder), wanted, f"{len(others)} files of weights", error=checks.DataError)
        path = others[0] if path == folder else path
        about = [folder / name for name in ("config.json", "preprocessor_config.json")]
        (config, pictures), beside = map(_config, about), tuple(each for each in about if each.is_file())
    if path.suffix == ".safetensors":
        return Checkpoint(path, _safetensors(path), config, pictures, beside)
    if path.suffix not in TORCH_SUFFIXES:
        wanted = f"a folder, or a file that ends in {', '.join(('.safetensors', *TORCH_SUFFIXES))}"
        checks.fail(f"weights {path}", wanted, path.suffix or "no suffix", error=checks.DataError)
    return Checkpoint(path, torch_files.read(path), config, pictures, beside)


def checksum(checkpoint: Checkpoint) -> str:
    """The sha256 of the file of weights, and in a folder of what says how they are read: it makes another encoder."""
    own = files.checksum(checkpoint.path)
    if not checkpoint.beside:
        return own
    sums = [own, *(f"{path.name} {files.checksum(path)}" for path in checkpoint.beside)]
    return hashlib.sha256("\n".join(sums).encode()).hexdigest()


def _config(path: pathlib.Path) -> Mapping[str, Any]:
    if not path.is_file():
        return {}
    with files.reading(path):
        found = json.loads(path.read_text("utf-8"))
        if not isinstance(found, dict):
            checks.fail(str(path), "an object", type(found).__name__, error=checks.DataError)
        return found


def _safetensors(path: pathlib.Path) -> Mapping[str, np.ndarray]:
    loader = files.extra("safetensors.numpy", "vision")  # the extra text has it, too
    with files.reading(path):
        return loader.load_file(path)


PICTURES = jax.ShapeDtypeStruct((1, 256, 256, 3), jnp.float32)


def variables(
    checkpoint: Checkpoint,
    module: nn.Module,
    torch_name: Callable[[str], str],
    left_out: str,
    example_inputs: PyTree = PICTURES,
    parts: Callable[[str], Sequence[str]] = lambda name: (name,),
) -> PyTree:
    """Returns the module's variables, as float32.

    Args:
      checkpoint: tensors in torch's layouts.
      module: its submodules have torch's names, with "layer1_0" for "layer1.0".
      torch_name: from such a name to the checkpoint's.
      left_out: matches the names that are no part of an encoder, such as its classifier.
      example_inputs: what the module takes, or its shapes.
      parts: from what `torch_name` returns to the tensors of equal shapes that it is made of, one behind the other.

    Raises:
      DataError: names the first tensor that is missing, of another shape or no finite floats, or of no part of it.
    """
    what, kind = str(checkpoint.path), type(module).__name__
    wanted, made, known = tensors(module, torch_name, example_inputs), {}, set()
    for joined, (path, shape) in wanted.items():
        names, found = parts(joined), []
        whole = torch_shape(path[-1], shape)
        expected = (whole[0] // len(names), *whole[1:]) if whole else whole
        for name in names:
            got = checkpoint.tensors.get(name)
            if got is None or got.shape != expected:
                said = "none of that name" if got is None else f"{got.shape}"
                checks.fail(what, f"tensor {name} {expected} of {kind}", said, error=checks.DataError)
            _check_numbers(f"{what}, {name}", got)
            found.append(got)
        tensor = found[0] if len(found) == 1 else np.concatenate(found)
        made[path] = np.ascontiguousarray(_to_flax(path[-1], tensor), np.float32).reshape(shape)
        known.update(names)
    for name in checkpoint.tensors:
        if name not in known and not re.search(rf"num_batches_tracked$|{left_out}", name):
            checks.fail(what, f"the tensors of {kind} alone", f"{name} beside them", error=checks.DataError)
    return traverse_util.unflatten_dict(made)


def _check_numbers(what: str, tensor: np.ndarray) -> None:
    if not jnp.issubdtype(tensor.dtype, jnp.floating):
        hint = "quantized weights are not read; take the float ones"
        checks.fail(what, "floats", f"dtype {tensor.dtype}", hint, checks.DataError)
    if not np.isfinite(np.asarray(tensor, np.float32)).all():
        checks.fail(what, "finite numbers", "NaN or infinity", error=checks.DataError)


def tensors(
    module: nn.Module, torch_name: Callable[[str], str], example_inputs: PyTree = PICTURES
) -> dict[str, tuple[tuple[str, ...], tuple[int, ...]]]:
    """Returns {torch's name: (path, shape)} of the module's variables, in the order of their use."""
    found: dict[str, tuple[tuple[str, ...], tuple[int, ...]]] = {}

    def note(inputs: PyTree) -> None:  # inside, since what a transformation returns is sorted
        leaves = cast(dict[tuple[str, ...], Any], traverse_util.flatten_dict(module.init(jax.random.key(0), inputs)))
        found.update({torch_name(_plain(path)): (path, leaf.shape) for path, leaf in leaves.items()})

    jax.eval_shape(note, example_inputs)
    return found


_LEAVES = {"kernel": "weight", "scale": "weight", "mean": "running_mean", "var": "running_var"}


def module_name(path: Sequence[str]) -> str:
    """("layer1_0", "conv1") -> "layer1.0.conv1"."""
    return ".".join(re.sub(r"_(\d+)$", r".\1", module) for module in path)


def _plain(path: tuple[str, ...]) -> str:
    """("params", "layer1_0", "conv1", "kernel") -> "layer1.0.conv1.weight"."""
    _, *modules, leaf = path
    return ".".join(filter(None, (module_name(modules), _LEAVES.get(leaf, leaf))))


def torch_shape(leaf: str, shape: tuple[int, ...]) -> tuple[int, ...]:
    """The shape of a leaf of variables as torch has it."""
    if leaf != "kernel":
        return shape
    if len(shape) == 3:
        return (shape[2], 1, *shape[:2])
    return (shape[3], shape[2], *shape[:2]) if len(shape) == 4 else shape[::-1]


def _to_flax(leaf: str, tensor: np.ndarray) -> np.ndarray:
    """[out, in, k, k] -> [k, k, in, out], which for [c, 1, k, k] is [k, k, 1, c]; [out, in] -> [in, out]."""
    if leaf != "kernel":
        return tensor
    return tensor.transpose(2, 3, 1, 0) if tensor.ndim == 4 else tensor.T
