"""`jaxmeta adapt RUN`: a person's own examples."""

from __future__ import annotations

import csv
import pathlib
from typing import NoReturn

import jax
import jax.numpy as jnp
import numpy as np

from jaxmeta import checks, datasets
from jaxmeta.cli import build
from jaxmeta.cli.config import Adapt, Train
from jaxmeta.cli.evaluate import load, parameters
from jaxmeta.types import Batch, PyTree


def run(options: Adapt) -> int:
    folder, config = load(options.run)
    inner_steps = config.inner_steps_test if options.inner_steps is None else options.inner_steps
    out = pathlib.Path(options.out)
    if out.exists() and not options.force:
        checks.fail(str(out), "no such file yet", "one that exists", "choose another --out, or give --force")
    checks.integer("--inner-steps", inner_steps, 0)
    checks.integer("--seed", options.seed, 0)
    read = _regression if build.is_regression(config) else _classification
    support, names, inputs, class_names = read(options, config)
    ways = len(class_names) if build.is_metric(config) else config.ways
    shape = build.Shape(inputs.shape[1:], support.targets.shape[-1] if build.is_regression(config) else config.ways)
    learner = build.learner(config, shape, ways=ways, inner_steps=inner_steps)
    meta_params = jax.tree.map(jnp.asarray, parameters(folder, learner))

    @jax.jit
    def predict(meta_params: PyTree, support: Batch, inputs: jax.Array) -> jax.Array:
        adapted = learner.adapt(meta_params, support, jax.random.key(options.seed))
        # Each input alone: a prediction must not depend on what else is in the folder.
        return jax.lax.map(lambda row: learner.predict(meta_params, adapted, row[None])[0], inputs)

    outputs = np.asarray(predict(meta_params, support, jnp.asarray(inputs)))
    rows = _values(outputs) if build.is_regression(config) else _labels(outputs, class_names)
    out.parent.mkdir(parents=True, exist_ok=True)
    with out.open("w", newline="", encoding="utf-8") as stream:
        writer = csv.writer(stream)
        writer.writerow(["input", "prediction", "probability"])
        writer.writerows([name, *row] for name, row in zip(names, rows, strict=True))
    print(f"results: {out}")
    return 0


def _classification(options: Adapt, config: Train) -> tuple[Batch, list[str], np.ndarray, tuple[str, ...]]:
    form = datasets.Form(*config.picture)
    examples = datasets.load(options.support, form=form)
    if examples.inputs.ndim != 4:
        _no_pictures(options.support, examples.inputs)
    polarity = options.polarity
    if polarity == "ink":
        # Support and inputs are turned the same way: the support set's own border decides.
        polarity = "invert" if datasets.bright_border(examples.inputs) else "as_is"
    form = form._replace(polarity=polarity)
    names, inputs = datasets.load_inputs(options.inputs, form=form)
    if inputs.ndim != 4:
        _no_pictures(options.inputs, inputs)
    num_classes = len(examples.class_names)
    if num_classes < 2:
        checks.fail(options.support, "at least 2 classes", num_classes, error=checks.DataError)
    if not build.is_metric(config) and num_classes > config.ways:
        hint = "use a run of a metric learner, or fewer classes"
        checks.fail(
            options.support, f"at most the {config.ways} classes of the run", num_classes, hint, checks.DataError
        )
    ways = num_classes if build.is_metric(config) else config.ways
    pictures = datasets.with_polarity(examples.inputs, form)
    targets = np.repeat(np.arange(num_classes, dtype=np.int32), np.diff(examples.offsets))
    classes = np.broadcast_to(np.arange(ways) < num_classes, (len(targets), ways))
    support = Batch(jnp.asarray(pictures / np.float32(255)), jnp.asarray(targets), None, jnp.asarray(classes))
    return support, names, inputs / np.float32(255), examples.class_names


def _no_pictures(path: str, inputs: np.ndarray) -> NoReturn:
    checks.fail(path, "pictures, as the run was trained on", f"shape {inputs.shape}", error=checks.DataError)


def _regression(options: Adapt, config: Train) -> tuple[Batch, list[str], np.ndarray, tuple[str, ...]]:
    features, targets, _ = datasets.read_table(options.support)
    try:
        values = np.array([float(target) for target in targets], np.float32)[:, None]
    except ValueError as error:
        checks.fail(options.support, "numbers in the target column", str(error), error=checks.DataError)
    names, inputs = datasets.load_inputs(options.inputs)
    if inputs.shape[1:] != features.shape[1:]:
        wanted = f"{features.shape[1]} columns, as in {options.support}"
        checks.fail(options.inputs, wanted, inputs.shape[1], error=checks.DataError)
    return Batch(jnp.asarray(features), jnp.asarray(values)), names, inputs, ()


def _labels(logits: np.ndarray, class_names: tuple[str, ...]) -> list[list[str]]:
    logits = logits[:, : len(class_names)].astype(np.float64)
    exponentials = np.exp(logits - logits.max(axis=1, keepdims=True))
    shares = exponentials / exponentials.sum(axis=1, keepdims=True)
    return [[class_names[row.argmax()], f"{row.max():.6f}"] for row in shares]


def _values(outputs: np.ndarray) -> list[list[str]]:
    return [[" ".join(f"{value:.6g}" for value in row), ""] for row in outputs]
