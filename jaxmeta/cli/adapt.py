"""`jaxmeta adapt RUN`: a person's own examples."""

from __future__ import annotations

import csv
import io
import pathlib
from typing import NamedTuple, NoReturn

import jax
import jax.numpy as jnp
import numpy as np

from jaxmeta import checks, datasets, memory, tasks
from jaxmeta.cli import build
from jaxmeta.cli.config import Adapt, Train
from jaxmeta.cli.evaluate import MOST, load, parameters
from jaxmeta.runs import check_plain, write_text
from jaxmeta.types import Batch, Episode, PyTree


class _Read(NamedTuple):
    """What a person gave."""

    support: Batch
    names: list[str]
    inputs: np.ndarray
    class_names: tuple[str, ...]
    scale: tuple[float, float] = (0.0, 1.0)
    """Mean and deviation of the values, which the network does not see."""


def run(options: Adapt) -> int:
    folder, config = load(options.run)
    inner_steps = config.inner_steps_test if options.inner_steps is None else options.inner_steps
    out = pathlib.Path(options.out)
    if out.exists() and not options.force:
        checks.fail(str(out), "no such file yet", "one that exists", "choose another --out, or give --force")
    check_plain(out)
    checks.integer("--inner-steps", inner_steps, 0, MOST)
    checks.integer("--seed", options.seed, 0, MOST)
    read = _regression if build.is_regression(config) else _classification
    support, names, inputs, class_names, (mean, deviation) = read(options, config)
    ways = config.ways if build.has_head(config) else len(class_names)
    shape = build.Shape(inputs.shape[1:], support.targets.shape[-1] if build.is_regression(config) else config.ways)
    learner = build.learner(config, shape, ways=ways, inner_steps=inner_steps)
    meta_params = parameters(folder, config, shape)

    @jax.jit
    def predict(meta_params: PyTree, support: Batch, inputs: jax.Array) -> jax.Array:
        adapted = learner.adapt(meta_params, support, jax.random.key(options.seed))
        # Each input alone: a prediction must not depend on what else is in the folder.
        return jax.lax.map(lambda row: learner.predict(meta_params, adapted, row[None])[0], inputs)

    outputs = np.asarray(memory.checked("adaptation", predict, meta_params, support, jnp.asarray(inputs)))
    rows = _values(outputs * deviation + mean) if build.is_regression(config) else _labels(outputs, class_names)
    stream = io.StringIO(newline="")
    writer = csv.writer(stream)
    writer.writerow(["input", "prediction", "probability"])
    writer.writerows([name, *row] for name, row in zip(names, rows, strict=True))
    out.parent.mkdir(parents=True, exist_ok=True)
    print(f"results: {write_text(out, stream.getvalue())}")
    return 0


def _classification(options: Adapt, config: Train) -> _Read:
    examples, names, inputs = (_tables if config.num_features else _pictures)(options, config)
    num_classes = len(examples.class_names)
    if num_classes < 2:
        checks.fail(options.support, "at least 2 classes", num_classes, error=checks.DataError)
    if build.has_head(config) and num_classes > config.ways:
        hint = "use a run of a learner without a head, such as protonet, or fewer classes"
        checks.fail(
            options.support, f"at most the {config.ways} classes of the run", num_classes, hint, checks.DataError
        )
    ways = config.ways if build.has_head(config) else num_classes
    targets = np.repeat(np.arange(num_classes, dtype=np.int32), np.diff(examples.offsets))
    classes = np.broadcast_to(np.arange(ways) < num_classes, (len(targets), ways))
    support = Batch(jnp.asarray(examples.inputs), jnp.asarray(targets), None, jnp.asarray(classes))
    return _Read(support, names, inputs, examples.class_names)


def _pictures(options: Adapt, config: Train) -> tuple[datasets.Examples, list[str], np.ndarray]:
    form = datasets.Form(*config.picture)
    examples = _load(options, form)
    if examples.inputs.ndim != 4:
        _other(options.support, "pictures", examples.inputs)
    polarity = options.polarity
    if polarity == "ink":
        # Support and inputs are turned the same way: the support set's own border decides.
        polarity = "invert" if datasets.bright_border(examples.inputs) else "as_is"
    form = form._replace(polarity=polarity)
    names, inputs = _load_inputs(options, form)
    if inputs.ndim != 4:
        _other(options.inputs, "pictures", inputs)
    white = jnp.result_type(float).type(255)
    pictures = datasets.with_polarity(examples.inputs, form) / white
    return examples._replace(inputs=pictures), names, inputs / white


def _tables(options: Adapt, config: Train) -> tuple[datasets.Examples, list[str], np.ndarray]:
    examples = _load(options, None)
    if examples.inputs.ndim != 2:
        _other(options.support, "a table", examples.inputs)
    names, inputs = _load_inputs(options, None)
    support, inputs = _declared(options, config, examples.inputs, inputs)
    return examples._replace(inputs=support), names, inputs


def _load(options: Adapt, form: datasets.Form | None) -> datasets.Examples:
    return datasets.load(
        options.support, data_dir=options.data_dir, form=None if _is_csv(options.support) else form,
        target_column=options.target_column or None,
    )  # fmt: skip


def _load_inputs(options: Adapt, form: datasets.Form | None) -> tuple[list[str], np.ndarray]:
    return datasets.load_inputs(
        options.inputs, data_dir=options.data_dir, form=None if _is_csv(options.inputs) else form,
        target_column=(options.target_column or None) if _is_csv(options.inputs) else None,
        column_names=_column_names(options),
    )  # fmt: skip


def _column_names(options: Adapt) -> list[str] | None:
    """What the header of the labelled examples calls the features: those of the inputs go by these names."""
    if not _is_csv(options.support):
        return None
    return datasets.read_table(options.support, target_column=options.target_column or None)[2]


def _is_csv(path: str) -> bool:
    return pathlib.PurePath(path).suffix.lower() == ".csv"


def _other(path: str, wanted: str, inputs: np.ndarray) -> NoReturn:
    checks.fail(path, f"{wanted}, as the run was trained on", f"shape {inputs.shape}", error=checks.DataError)


def _declared(options: Adapt, config: Train, support: np.ndarray, inputs: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Brings tables to the form that the run was trained on, by the moments of the support set alone."""
    if inputs.shape[1:] != support.shape[1:]:
        wanted, got = f"{support.shape[1]} columns, as in {options.support}", inputs.shape[1:]
        checks.fail(
            options.inputs, wanted, got[0] if len(got) == 1 else f"shape {inputs.shape}", error=checks.DataError
        )
    if not config.num_features:
        return support, inputs
    if support.shape[1] > config.num_features:
        wanted = f"at most the {config.num_features} columns of the run"
        checks.fail(options.support, wanted, support.shape[1], error=checks.DataError)
    episode = Episode(Batch(support, jnp.zeros(len(support))), Batch(inputs, jnp.zeros(len(inputs))))
    made = tasks.pad_features(tasks.standardize(lambda key: episode), config.num_features)(jax.random.key(0))
    return np.asarray(made.support.inputs), np.asarray(made.query.inputs)


def _regression(options: Adapt, config: Train) -> _Read:
    table = datasets.load_table(options.support, target_column=options.target_column or None)
    names, inputs = _load_inputs(options, None)
    rows, inputs = _declared(options, config, table.inputs, inputs)
    mean, deviation = (table.targets.mean(), table.targets.std()) if config.num_features else (0.0, 1.0)
    targets = (table.targets - mean) / (deviation or 1)
    return _Read(Batch(jnp.asarray(rows), jnp.asarray(targets)), names, inputs, (), (mean, deviation))


def _labels(logits: np.ndarray, class_names: tuple[str, ...]) -> list[list[str]]:
    logits = logits[:, : len(class_names)].astype(np.float64)
    exponentials = np.exp(logits - logits.max(axis=1, keepdims=True))
    shares = exponentials / exponentials.sum(axis=1, keepdims=True)
    return [[class_names[row.argmax()], f"{row.max():.6f}"] for row in shares]


def _values(outputs: np.ndarray) -> list[list[str]]:
    return [[" ".join(f"{value:.6g}" for value in row), ""] for row in outputs]
