"""From the name or path of a domain to a sampler of its tasks."""

from __future__ import annotations

import dataclasses
import functools
import operator
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from jaxmeta import checks, datasets, tasks
from jaxmeta.recipes import names
from jaxmeta.recipes.kinds import KINDS, Domain, Kind, Place, Seen, Sizes
from jaxmeta.recipes.kinds.facts import Facts
from jaxmeta.recipes.kinds.facts import of as facts_of
from jaxmeta.recipes.kinds.kind import no_names
from jaxmeta.recipes.kinds.seen import of as seen_of
from jaxmeta.recipes.recipe import Task
from jaxmeta.recipes.scoring import SCORINGS


def kind(task: Task) -> Kind:
    """The kind of a task's data, which `complete` has looked at; a task that does not say is of runs before kinds."""
    if task.kind:
        return KINDS[checks.choice("`kind`", task.kind, KINDS)]
    if task.num_features:
        return KINDS["tables"]
    return KINDS["pictures" if SCORINGS[task.criterion].has_classes else "functions"]


_PICTURES = ("pictures", "features", "adapted")
_TABLES = (*_PICTURES, "tables", "cells", "functions")  # pictures, too, may be rows of a csv
_SERVED = {"polarity": _PICTURES, "columns": _TABLES, "target_column": (*_TABLES, "texts"), "text_column": ("texts",)}
"""{option of a person's own data: the kinds that look at it}"""


def check_serve(task: Task, **asked: Any) -> None:
    """Raises ValueError if one of these options is asked for where the kind of data does not look at it."""
    name = kind(task).name
    for option, value in asked.items():
        if value and name not in _SERVED[option]:
            shown = ", ".join(value) if isinstance(value, tuple) else value
            checks.fail(f"`{option}`", f"none for {name}, where it would change nothing", shown)


def complete(task: Task, *, data_dir: str | None = None) -> Task:
    """The task with its kind and the sizes that its domains alone can tell, such as the columns of a table.

    Raises:
      ValueError: if the domains are of different kinds.
      DataError: if a file is missing, damaged or not as expected.
    """
    return joined(task, [Place(part, "train", data_dir) for part in names.parts(task.domain)])


def joined(task: Task, places: Sequence[Place], what: str = "`domain`") -> Task:
    """`complete` for domains that a task does not name itself."""
    if not task.kind:
        found = [next((name for name, each in KINDS.items() if each.fits(task, place)), "") for place in places]
        if not all(found):
            got = names.short(places[found.index("")].part)
            checks.fail(what, f"functions or tables of values, for `criterion` {task.criterion}", repr(got))
        if len(set(found)) > 1 and set(found) != {"functions", "tables"}:
            got = ", ".join(f"{names.short(place.part)!r} of {name}" for place, name in zip(places, found, strict=True))
            checks.fail(what, "domains of one kind", got)
        task = dataclasses.replace(task, kind="tables" if "tables" in found else found[0])
    if (task.kind == "control") != SCORINGS[task.criterion].acts:
        wanted = "policy_gradient" if task.kind == "control" else f"another, for {task.kind}"
        checks.fail("`criterion`", wanted, task.criterion)
    asked = {"adapters": kind(task).frozen is not None, "knowledge": kind(task).is_name is not no_names}
    for name, serves in asked.items():
        if getattr(task, name) != "none" and not serves:
            checks.fail(f"`{name}`", f"none for {task.kind}, where it would change nothing", getattr(task, name))
    return kind(task).complete(task, places)


def open(
    name_or_path: str,
    split: str,
    *,
    task: Task | None = None,
    ways: int | None = None,
    shots: int | None = None,
    queries: int | None = None,
    query_domain: str = "",
    seen: Seen | None = None,
    data_dir: str | None = None,
) -> Domain:
    """The sampler of a split of domains, one after another at random if there are several.

    A user's own set has the splits that its folders or the task's lists of classes say. Else its classes are shared
    out, or its rows where it has fewer classes than can be; but the test takes all of it that `seen` does not have.

    Args:
      name_or_path: as `Task.domain`: a name, a path, or several with commas between them.
      split: "train", "validation" or "test".
      task: the one form in which domains meet: size of pictures, columns of tables, criterion; None: the defaults.
      ways: classes per task; None: the task's, those of training in the split "train"; so are the next two.
      shots: support examples per class, per task in regression.
      queries: query examples per class, per task in regression.
      query_domain: another domain with the same classes, of which the queries are; none: they are of the same one.
      seen: what was trained on, as `Domain.known` has it; None: everything may have been.
      data_dir: where the data sets lie; JAXMETA_DATA is the default.

    Returns:
      Domain(sample, split, checksums, known, facts): a sampler, what its split is called, {file: sha256} of what was
      read, what a training on it sees, and what there is to say of it.

    Raises:
      ValueError: if a domain cannot give such tasks.
      DataError: if a file is missing, damaged or not as expected.

    Example:
      >>> import jax
      >>> from jaxmeta import recipes
      >>> domain = recipes.domains.open("digits", "test", ways=3, shots=2, queries=4)
      >>> domain.sample(jax.random.key(0)).support.inputs.shape, domain.split
      ((6, 28, 28, 1), 'all')
    """
    task = dataclasses.replace(task or Task(), domain=name_or_path)
    if not task.kind:
        task = complete(task, data_dir=data_dir)
    own = training_sizes(task) if split == "train" else Sizes(task.ways, task.shots, task.queries)
    given = {"ways": ways, "shots": shots, "queries": queries}
    sizes = own._replace(**{name: value for name, value in given.items() if value is not None})
    parts = names.parts(name_or_path)
    for name in ("target_column", "columns", "text_column"):
        if getattr(task, name) and not any(datasets.is_table(part) or datasets.is_texts(part) for part in parts):
            checks.fail(f"`{name}`", "a csv for `domain`", repr(name_or_path))
    has_classes = SCORINGS[task.criterion].has_classes
    for name in ("train_classes", "validation_classes", "test_classes", "min_examples"):
        is_used = has_classes and (name == "min_examples" or not kind(task).always)
        if getattr(task, name) and all(map(names.is_builtin, parts)):
            checks.fail(f"`{name}`", "a set of your own for `domain`", repr(name_or_path))
        if getattr(task, name) and not is_used:
            checks.fail(f"`{name}`", f"none for {task.kind}, where it would change nothing", getattr(task, name))
    if query_domain:
        if len(parts) > 1 or len(names.parts(query_domain)) > 1:
            checks.fail("`query_domain`", "one domain beside one", f"{name_or_path!r} and {query_domain!r}")
        place = Place(name_or_path, split, data_dir, seen)
        return kind(task).across(task, place, place._replace(part=query_domain), sizes)
    made = [kind(task).open(task, Place(part, split, data_dir, seen), sizes) for part in parts]
    if len(made) == 1:
        return made[0]
    checksums = {f"{names.short(part)}: {file}": value for part, each in zip(parts, made, strict=True)
                 for file, value in each.checksums.items()}  # fmt: skip
    splits = ",".join(dict.fromkeys(each.split for each in made))
    known = functools.reduce(operator.or_, (each.known for each in made))
    facts = tuple(fact for each in made for fact in each.facts)
    return Domain(tasks.mixture([each.sample for each in made]), splits, checksums, known, facts)


def training_sizes(task: Task) -> Sizes:
    """The size of a training task."""
    return Sizes(task.train_ways, task.train_shots or task.shots, task.train_queries)


class Labelled(NamedTuple):
    """Examples of one or several domains, one domain after the other."""

    examples: datasets.Examples
    sizes: list[int]
    """How many are of each domain."""
    known: Seen
    facts: tuple[Facts, ...]


def labelled(task: Task, split: str, *, data_dir: str | None = None) -> Labelled:
    """A split of a task's domains with all their classes, as supervised training wants them."""
    made = [kind(task).labelled(task, Place(part, split, data_dir)) for part in names.parts(task.domain)]
    joint = made[0] if len(made) == 1 else datasets.union(made, name=names.short(task.domain), split=split)
    known = functools.reduce(operator.or_, map(seen_of, made))
    return Labelled(joint, [len(part.inputs) for part in made], known, tuple(map(facts_of, made)))


def class_sizes(task: Task, split: str, *, seen: Seen | None = None, data_dir: str | None = None) -> np.ndarray | None:
    """How many examples each class of a single domain's split has, or None where there is no end of them."""
    return kind(task).class_sizes(task, Place(task.domain, split, data_dir, seen))


def check_trainable(option: str, part: str, criterion: str) -> None:
    """Raises ValueError if a domain that is known by name has no classes to train on and to choose by."""
    listed, has_classes = names.with_classes("train", "validation"), SCORINGS[criterion].has_classes
    known = part in datasets.names() or names.is_function(part)
    if has_classes and known and part not in listed.split(", "):
        checks.fail(option, f"domains with training classes: strokes, {listed}, or paths", repr(part))
