"""From the name or path of a domain to a sampler of its tasks."""

from __future__ import annotations

import dataclasses
import os
import pathlib
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from jaxmeta import checks, datasets, tasks
from jaxmeta.cli.config import Train

PROCEDURAL = ("strokes", "sinusoid", "tabular")
TABULAR_FEATURES = 30
STROKES = 1000  # classes, where supervised training wants a number
_TABLES = ("tabular", "breast_cancer", "diabetes")


class Domain(NamedTuple):
    """Samplers of one domain, and what is recorded of it."""

    sample: tasks.Sample
    split: str
    checksums: dict[str, str]


def parts(domain: str) -> tuple[str, ...]:
    """The domains of a comma-separated list; a path that has a comma in it is one domain."""
    return (domain,) if os.path.exists(domain) else tuple(part.strip() for part in domain.split(","))


def is_builtin(domain: str) -> bool:
    """Whether all domains are known by name, so that no path of anybody's choosing is read."""
    known = (*PROCEDURAL, *datasets.names())
    return all(part in known or part.startswith("tfds:") for part in parts(domain))


def name(domain: str) -> str:
    """The last components of paths: no file records a directory."""
    last = lambda part: part.replace("\\", "/").rstrip("/").rpartition("/")[2]  # noqa: E731
    return ",".join(part if part.startswith("tfds:") else last(part) for part in parts(domain))


def columns(config: Train) -> int:
    """How many columns the widest table among a config's domains has; 0 if there is none."""

    def width(part: str) -> int:
        if part == "tabular":
            return TABULAR_FEATURES
        if part in PROCEDURAL or (_is_regression(config) and _suffix(part) == ".npz"):
            return 0
        if _is_regression(config):
            return datasets.load_table(part, target_column=_target(config, part)).inputs.shape[1]
        if part not in _TABLES and _suffix(part) not in (".csv", ".npz"):
            return 0
        inputs = _load(config, part, None).inputs
        return inputs.shape[1] if inputs.ndim == 2 else 0

    return max(map(width, parts(config.domain)))


def domain(
    config: Train, split: str, *, ways: int, shots: int, queries: int, seen: frozenset[str] | None = None
) -> Domain:
    """The sampler of a split of a config's domains, one after another at random if there are several.

    A user's own set has no published split. Its classes are shared out, or its rows where it has fewer classes than
    can be; but if `seen` tells that nothing was trained on it, the test takes all of it.

    Args:
      config: names the domains, and the one form in which they meet.
      split: "train", "validation" or "test".
      ways: classes per task.
      shots: support examples per class, per task in regression.
      queries: query examples per class, per task in regression.
      seen: checksums of what was trained on; None: everything may have been.
    """
    names = parts(config.domain)
    if config.target_column and not any(_suffix(part) == ".csv" for part in names):
        checks.fail("--target-column", "a csv for --domain", repr(config.domain))
    sizes = {"num_shots": shots, "num_queries": queries}
    make = _regression if _is_regression(config) else _classification
    made = [make(dataclasses.replace(config, domain=part), split, ways, sizes, seen) for part in names]
    if len(made) == 1:
        return made[0]
    checksums = {f"{name(part)}: {file}": value for part, each in zip(names, made, strict=True)
                 for file, value in each.checksums.items()}  # fmt: skip
    return Domain(
        tasks.mixture([each.sample for each in made]), ",".join(dict.fromkeys(each.split for each in made)), checksums
    )


def _classification(config: Train, split: str, ways: int, sizes: dict[str, int], seen: frozenset[str] | None) -> Domain:
    sizes = sizes | {"num_ways": ways}
    if config.domain == "sinusoid":
        checks.fail("--domain", "classes, for cross_entropy", "sinusoid", "use a preset of regression")
    if config.domain == "tabular":
        _check_width(config, 1)
        return Domain(_declared(config, tasks.tabular(num_features=config.num_features, **sizes)), split, {})
    if config.domain == "strokes":
        _check_strokes(config)
        return Domain(tasks.strokes(**sizes, split=split, size=config.picture[0]), split, {})
    examples = _examples(config, split, seen)
    try:
        sample = tasks.few_shot(examples, **sizes)
    except ValueError as error:
        raise ValueError(f"--domain {name(config.domain)}, {examples.split}: {error}") from error
    # Splits of one name differ from paper to paper.
    named = f"1100/100/423 {split}" if config.domain == "omniglot" else examples.split
    return Domain(_declared(config, sample), named, examples.checksums)


def _examples(config: Train, split: str, seen: frozenset[str] | None) -> datasets.Examples:
    """A split of one domain of labelled examples; in training with Omniglot's rotations as classes of their own."""
    known = datasets.names().get(config.domain)
    part = split if known and split in known.splits else None
    if known and part is None and split != "test":
        wanted = f"a domain with {split} classes: strokes, tabular, {_with_classes(split)}, or a path"
        checks.fail("--domain", wanted, repr(config.domain))
    examples = _load(config, config.domain, part)
    if examples.inputs.ndim == 2:
        _check_width(config, examples.inputs.shape[1])
    else:
        _check_pictures(config)
    try:
        if not known and (split != "test" or _may_be_seen(examples.checksums, seen)):
            few = len(examples.class_names) < datasets.MIN_CLASSES
            examples = datasets.by_example(examples, split) if few else datasets.by_class(examples, split)
        return datasets.rotated(examples) if split == "train" and config.domain == "omniglot" else examples
    except ValueError as error:
        raise ValueError(f"--domain {name(config.domain)}, {examples.split}: {error}") from error


def _with_classes(*splits: str) -> str:
    return ", ".join(each for each, about in datasets.names().items() if {*splits} <= {*about.splits})


def check_trainable(option: str, part: str) -> None:
    """Raises ValueError if a domain that is known by name has no classes of pictures to train on and to choose by."""
    listed, known = _with_classes("train", "validation"), (*PROCEDURAL, *datasets.names())
    if part in known and part not in ("strokes", *listed.split(", ")):
        checks.fail(option, f"domains with training classes: strokes, {listed}, or paths", repr(part))


def class_sizes(config: Train, split: str, seen: frozenset[str] | None) -> np.ndarray | None:
    """How many examples each class of a domain's split has, or None where there is no end of them."""
    return None if config.domain in PROCEDURAL else np.diff(_examples(config, split, seen).offsets)


def labelled(config: Train, split: str) -> datasets.Examples:
    """The pictures of a split of a config's domains with all their classes, as supervised training wants them."""
    if config.num_features:
        checks.fail("--domain", "pictures, for a learner that is pre-trained", repr(name(config.domain)))
    made = []
    for part in parts(config.domain):
        own = dataclasses.replace(config, domain=part)
        made.append(_drawn_strokes(own, split) if part == "strokes" else _examples(own, split, None))
    return made[0] if len(made) == 1 else datasets.union(made, name=name(config.domain), split=split)


def _drawn_strokes(config: Train, split: str) -> datasets.Examples:
    """Strokes have classes without end; as many as a data set has are drawn once."""
    _check_strokes(config)
    sample = tasks.strokes(num_ways=10, num_shots=20, num_queries=1, split=split, size=config.picture[0])
    drawn = jax.jit(lambda key: tasks.episodes(sample, key, jnp.arange(STROKES // 10)).support.inputs)
    pictures = np.rint(255 * np.asarray(drawn(jax.random.key(0)))).astype(np.uint8)
    pictures = pictures.reshape(STROKES * 20, *pictures.shape[2:])
    return datasets.from_labels(pictures, np.repeat(np.arange(STROKES), 20), name="strokes", split=split, checksums={})


def _regression(config: Train, split: str, ways: int, sizes: dict[str, int], seen: frozenset[str] | None) -> Domain:
    del ways
    if config.domain == "sinusoid":
        return Domain(tasks.sinusoid(**sizes), split, {})
    if config.domain == "tabular":
        _check_width(config, 1)
        sample = tasks.tabular_regression(num_features=config.num_features, **sizes)
        return Domain(_declared(config, sample), split, {})
    if _suffix(config.domain) == ".npz":
        return _file_of_tasks(config, split, sizes)
    if config.domain != "diabetes" and _suffix(config.domain) != ".csv":
        wanted = "sinusoid, tabular, diabetes, a csv or an npz of tasks, for squared_error"
        checks.fail("--domain", wanted, repr(config.domain))
    table = datasets.load_table(config.domain, target_column=_target(config, config.domain))
    rows, named = np.arange(len(table.inputs)), "all"
    if split != "test" or _may_be_seen(table.checksums, seen):
        rows, named = datasets.share_rows(table.inputs)[split], f"{split} rows"
    if config.num_features:
        _check_width(config, table.inputs.shape[1])
    wanted = sum(sizes.values())
    if len(rows) < wanted:
        got = f"{len(rows)} in the split {named!r}"
        checks.fail(config.domain, f"at least {wanted} rows, for shots and queries", got, error=checks.DataError)
    sample = tasks.from_arrays([(table.inputs[rows], table.targets[rows])], **sizes)
    return Domain(_declared(config, sample), named, table.checksums)


def _file_of_tasks(config: Train, split: str, sizes: dict[str, int]) -> Domain:
    """A user's regression tasks; every fifth task is test, every fifth validation."""
    from jaxmeta.datasets import files, npz

    path = config.domain
    arrays = npz.read_arrays(pathlib.Path(path), ("inputs", "targets"))
    if set(arrays) != {"inputs", "targets"}:
        checks.fail(path, "arrays inputs and targets", " and ".join(arrays) or "neither", error=checks.DataError)
    inputs, targets = (npz.numbers(f"{path}, {key}", arrays[key]) for key in ("inputs", "targets"))
    if inputs.ndim != 3 or targets.ndim != 3 or inputs.shape[:2] != targets.shape[:2] or len(inputs) < 5:
        got = f"{inputs.shape} and {targets.shape}"
        checks.fail(
            path, "inputs [tasks, n, d] and targets [tasks, n, m], at least 5 tasks", got, error=checks.DataError
        )
    if config.num_features:
        _check_width(config, inputs.shape[2])
    kinds = np.array(["train", "train", "train", "validation", "test"])[np.arange(len(inputs)) % 5]
    chosen = kinds == split
    checksums = {pathlib.Path(path).name: files.checksum(pathlib.Path(path))}
    return Domain(_declared(config, tasks.from_arrays((inputs[chosen], targets[chosen]), **sizes)), split, checksums)


def _is_regression(config: Train) -> bool:
    return config.criterion == "squared_error"


def _suffix(part: str) -> str:
    return pathlib.PurePath(part).suffix.lower()


def _target(config: Train, part: str) -> str | None:
    return config.target_column or None if _suffix(part) == ".csv" else None


def _load(config: Train, part: str, split: str | None) -> datasets.Examples:
    """Loads a table as it is, and pictures in the config's form."""

    def load(form: datasets.Form | None) -> datasets.Examples:
        target = _target(config, part)
        return datasets.load(part, data_dir=config.data_dir, split=split, form=form, target_column=target)

    form = datasets.Form(*config.picture, config.polarity)
    if part in _TABLES or _suffix(part) == ".csv":
        return load(None)
    if _suffix(part) == ".npz" and (plain := load(None)).inputs.ndim == 2:
        return plain
    return load(form)


def _check_strokes(config: Train) -> None:
    _check_pictures(config)
    if config.picture[0] != config.picture[1] or config.picture[2] != 1:
        checks.fail("strokes", "square grey pictures", config.picture, "use --picture 28 28 1")


def _check_pictures(config: Train) -> None:
    if config.num_features:
        wanted = f"a table, since the network takes {config.num_features} columns"
        checks.fail("--domain", wanted, f"the pictures of {name(config.domain)!r}")


def _check_width(config: Train, width: int) -> None:
    if not config.num_features:
        checks.fail("--domain", "pictures, as the network takes", f"the table {name(config.domain)!r}")
    if width > config.num_features:
        hint = "train with more --num-features"
        checks.fail("--domain", f"a table of at most {config.num_features} columns", width, hint)


def _declared(config: Train, sample: tasks.Sample) -> tasks.Sample:
    """Tables in the one form in which they meet: standardised by the support set alone, and as wide as the network."""
    if not config.num_features:
        return sample
    scaled = tasks.standardize(sample)
    scaled = tasks.standardize_targets(scaled) if _is_regression(config) else scaled
    return tasks.pad_features(scaled, config.num_features)


def _may_be_seen(checksums: dict[str, str], seen: frozenset[str] | None) -> bool:
    return seen is None or not seen.isdisjoint(checksums.values())
