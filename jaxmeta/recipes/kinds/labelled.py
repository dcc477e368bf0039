"""What kinds with labelled examples share: their splits, and answers that name a class."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Callable, Sequence

import jax.numpy as jnp
import numpy as np

from jaxmeta import checks, datasets, tasks
from jaxmeta.datasets import doubts
from jaxmeta.recipes import names
from jaxmeta.recipes.kinds import facts, seen
from jaxmeta.recipes.kinds.kind import Domain, Place, Sizes
from jaxmeta.recipes.recipe import Task
from jaxmeta.types import Batch


def target(task: Task, part: str) -> str | None:
    """The target column, which a csv or a file of texts alone has."""
    return task.target_column or None if datasets.is_table(part) or datasets.is_texts(part) else None


def columns(task: Task, part: str) -> tuple[str, ...]:
    """The features, which a csv alone lets one choose."""
    return task.columns if datasets.is_table(part) else ()


def examples(
    task: Task, place: Place, load: Callable[[str | None], datasets.Examples], check: Callable[[np.ndarray], None]
) -> datasets.Examples:
    """A split of one domain of labelled examples; in training with Omniglot's rotations as classes of their own.

    A user's own set has the splits that its folders or the task's lists of classes say. Else its classes are shared
    out, or its rows where it has fewer classes than can be; but the test takes all of it that was not trained on.

    Args:
      task: how classes are chosen.
      place: the domain and the split.
      load: reads a published split, or everything.
      check: raises if inputs are not as the network takes them.
    """
    part, split = place.part, place.split
    known = datasets.names().get(part)
    published = split if known and split in known.splits else None
    if known and published is None and split != "test":
        wanted = f"a domain with {split} classes: strokes, tabular, {names.with_classes(split)}, or a path"
        checks.fail("`domain`", wanted, repr(part))
    loaded = load(published)
    check(loaded.inputs)
    try:
        if not known:
            whole = _large_enough(loaded, task.min_examples)
            loaded = _told_of_copies(_of_own(task, place, whole), _trained(task, place, whole))
        # Four times as many pictures to encode are not worth their time.
        turned = split == "train" and part == "omniglot" and not task.encoder
        return datasets.rotated(loaded) if turned else loaded
    except ValueError as error:
        raise ValueError(f"`domain` {names.short(part)}, {loaded.split}: {error}") from error


SHOWN = 12  # classes that a note names
_LEFT_OUT = re.compile(r"\d+ (classes|examples) .*\bleft out\b")

Trained = tuple[np.ndarray, str]
"""Fingerprints of examples that train, and what is said of them."""


def _told_of_copies(loaded: datasets.Examples, trained: Trained | None = None) -> datasets.Examples:
    """The examples, and how many of them come again: a query that the support set shows is known by heart, and so is
    one that trains."""
    prints = seen.fingerprints(loaded)
    classes = np.repeat(np.arange(len(loaded.class_names)), np.diff(loaded.offsets))
    alone = len(np.unique(prints))
    own = len(np.unique(np.stack([prints, classes.astype(np.uint64)]), axis=1)[0])
    told = [(len(prints) - own, "come again in their class"), (own - alone, "come again in another class")]
    if trained is not None:
        told.append((int(np.isin(prints, trained[0]).sum()), f"are also among those that {trained[1]}"))
    return loaded._replace(notes=(*loaded.notes, *(f"{count} examples {what}" for count, what in told if count)))


def _trained(task: Task, place: Place, whole: datasets.Examples) -> Trained | None:
    """What trains beside a split of a person's own set, None where nothing does or it is not known."""
    if place.seen is not None:
        return np.array(sorted(place.seen.examples or ()), np.uint64), "were trained on"
    if place.split != "train":
        with contextlib.suppress(ValueError):  # a set may have no part that trains
            return seen.fingerprints(_of_own(task, place._replace(split="train"), whole)), "train"
    return None


def _large_enough(loaded: datasets.Examples, least: int) -> datasets.Examples:
    sizes = np.diff(loaded.offsets)
    if not (small := [name for name, size in zip(loaded.class_names, sizes, strict=True) if size < least]):
        return loaded
    if len(small) == len(sizes):
        checks.fail("`min_examples`", f"at most {sizes.max()}, the examples of the largest class", least)
    note = f"{len(small)} classes of fewer than {least} examples left out: {_some(small)}"
    kept = datasets.select(loaded, np.flatnonzero(sizes >= least), loaded.split)
    return kept._replace(notes=(*loaded.notes, note))


def _some(names: Sequence[str]) -> str:
    return ", ".join(names[:SHOWN]) + (" .." if len(names) > SHOWN else "")


def _left_out(*parts: datasets.Examples) -> str:
    """What the notes say of classes and examples that are not there, for errors that say that too few are."""
    return "; ".join(note for part in parts for note in part.notes if _LEFT_OUT.match(note))


def _of_own(task: Task, place: Place, loaded: datasets.Examples) -> datasets.Examples:
    split = place.split
    lists = {"train": task.train_classes, "validation": task.validation_classes, "test": task.test_classes}
    if lists[split] == ("all",):
        return loaded if split == "test" else datasets.by_example(loaded, split)
    if lists["train"] == ("all",) and split == "test" and not lists["test"] and place.seen is not None:
        return seen.unseen_examples(loaded, place.seen)
    if any(lists.values()) and (lists[split] or place.seen is None or split != "test"):
        return _listed(loaded, lists, split)
    if split == "test" and place.seen is not None:
        left = seen.unseen(loaded, place.seen)
        known = [name for name in loaded.class_names if name not in left.class_names]
        if not known or left.split != "test":
            return left
        # First those of which a part was trained on: a single example, which lies in two classes, may be the cause.
        parts = seen.parts(loaded, place.seen, known)
        listed = _some([f"{name} ({part} examples)" for name, part in parts.items()] +
                       [name for name in known if name not in parts])  # fmt: skip
        return left._replace(notes=(*left.notes, f"{len(known)} classes left out that were trained on: {listed}"))
    return datasets.own(loaded, split)


def _listed(loaded: datasets.Examples, lists: dict[str, tuple[str, ...]], split: str) -> datasets.Examples:
    """The classes that a list names; those that no list does are shared out among the splits without one."""
    plain = datasets.composed
    place = {plain(name): index for index, name in enumerate(loaded.class_names)}
    if lists["train"] == ("all",):  # rows are shared out, so that every class trains
        return datasets.by_example(loaded, split)
    named: dict[str, str] = {}
    for owner, classes in lists.items():
        for name in () if classes == ("all",) else map(plain, classes):
            if name not in place:
                got = f"{name!r}, and not among {', '.join(loaded.class_names[:20])}"
                checks.fail(f"`{owner}_classes`", "classes of the domain", got)
            if named.setdefault(name, owner) != owner:
                checks.fail(f"`{owner}_classes`", "each class in one list", f"{name!r} in that of {named[name]}, too")
    if lists[split]:
        return datasets.select(loaded, [place[name] for name in dict.fromkeys(map(plain, lists[split]))], split)
    rest = [name for name in place if name not in named]
    shares = {"train": 2, "validation": 1, "test": 1}
    free = [owner for owner in shares if not lists[owner]]
    total = sum(shares[owner] for owner in free)
    sizes = {owner: len(rest) * shares[owner] // total for owner in free}
    chosen = datasets.deal(rest, sizes)[split]
    if not chosen:
        checks.fail(f"`{split}_classes`", "some, since the other lists leave too few classes", f"{len(rest)} left")
    return datasets.select(loaded, [place[rest[index]] for index in chosen], split)


def domain(
    place: Place, loaded: datasets.Examples, sampled: Callable[[], tasks.Sample], split: str | None = None
) -> Domain:
    """What is recorded of a split of examples, and the sampler of its tasks."""
    try:
        sample = sampled()
    except ValueError as error:
        own = ("`train_shots`", "`train_queries`") if place.split == "train" else ("`shots`", "`queries`")
        hint = f"give fewer {own[0]} or {own[1]}" if "num_queries" in str(error) else ""
        hint += ", or `min_examples` to leave small classes out" if hint and len(loaded.class_names) > 2 else ""
        said = f"`domain` {names.short(place.part)}, {loaded.split}: {error}"
        left_out = _left_out(loaded)
        asked = "name the classes to test on with `test_classes`, all for every one" if "trained on" in left_out else ""
        raise ValueError("; ".join(filter(None, (said, hint, left_out, asked)))) from error
    known = seen.Seen() if place.split == "test" else seen.of(loaded)
    return Domain(sample, split or loaded.split, loaded.checksums, known, (facts.of(loaded),))


def across(
    place: Place,
    other: Place,
    examples: Callable[[Place], datasets.Examples],
    sizes: Sizes,
    declared: Callable[[tasks.Sample, datasets.Examples], tasks.Sample],
) -> Domain:
    """Tasks whose support set is of one domain and whose queries are of another; classes are matched by their names.

    Where examples have ids, such as a sentence and its translations, the two domains are those that both have, and no
    task asks about what it shows.

    Args:
      place: where the support sets come from.
      other: where the queries come from.
      examples: reads a split of either.
      sizes: of a task.
      declared: brings tasks to the form that the network takes.

    Raises:
      ValueError: if fewer classes are in both than a task has, or tables differ in their columns.
    """
    ours, theirs = examples(place), examples(other)
    if ours.ids is None or theirs.ids is None:
        theirs = _others(theirs, ours)
    found = [{datasets.composed(name): index for index, name in enumerate(part.class_names)}
             for part in (ours, theirs)]  # fmt: skip
    common = [name for name in found[0] if name in found[1]]
    if len(common) < sizes.ways:
        names_of = lambda part: ", ".join(part.class_names[:12])  # noqa: E731
        got = f"{len(common)} in both: {names_of(ours)} and {names_of(theirs)}"
        hint = _left_out(ours, theirs)
        checks.fail("`query_domain`", f"at least {sizes.ways} classes of the support's domain", got, hint)
    theirs = _in_columns_of(ours, theirs)
    if ours.columns:
        told = doubts.far(ours.columns, ours.inputs, theirs.inputs, "the support's domain's")
        theirs = theirs._replace(notes=(*theirs.notes, *told))
    ours, theirs = (
        datasets.select(part, [own[name] for name in common], part.split)
        for part, own in zip((ours, theirs), found, strict=True)
    )
    options = {"num_ways": sizes.ways, "num_shots": sizes.shots, "num_queries": sizes.queries}
    if ours.ids is None or theirs.ids is None:
        sample = _apart(ours, theirs, options)
    else:
        same = tasks.aligned(ours, theirs)
        ours, theirs = (datasets.rows(part, own, part.split) for part, own in zip((ours, theirs), same, strict=True))
        sample = tasks.parallel(ours, theirs, **options)
    checksums = {f"{names.short(each.part)}: {file}": value for each, part in ((place, ours), (other, theirs))
                 for file, value in part.checksums.items()}  # fmt: skip
    split = ",".join(dict.fromkeys((ours.split, theirs.split)))
    # A gap may be in the queries alone.
    both = ours._replace(inputs=np.concatenate([ours.inputs, theirs.inputs])) if ours.columns else ours
    return Domain(declared(sample, both), split, checksums, facts=(facts.of(ours), facts.of(theirs)))


def _apart(ours: datasets.Examples, theirs: datasets.Examples, options: dict[str, int]) -> tasks.Sample:
    try:
        return tasks.across(ours, theirs._replace(class_names=ours.class_names), **options)
    except ValueError as error:
        raise ValueError("; ".join(filter(None, (str(error), _left_out(ours, theirs))))) from error


def _in_columns_of(ours: datasets.Examples, theirs: datasets.Examples) -> datasets.Examples:
    """A table with the columns of another, in its order and with its numbers of categories.

    Raises:
      ValueError: if either has a column that the other has not, or of numbers where those of the other are categories.
    """
    if ours.columns == theirs.columns:
        return theirs
    own, others = ([column.name for column in part.columns] for part in (ours, theirs))
    lacking, more = ([name for name in first if name not in second] for first, second in ((own, others), (others, own)))
    if lacking or more or len(own) != len(others):
        got = f"none {lacking[0]!r}" if lacking else f"{more[0]!r} as well" if more else f"{len(others)}"
        hint = "name those that both have with `columns`"
        checks.fail("`query_domain`", f"the columns of the support's domain, {_some(own)}", got, hint)
    places = [others.index(name) for name in own]
    made = [_numbered(theirs, place, like) for place, like in zip(places, ours.columns, strict=True)]
    notes = (*theirs.notes, *(note for _, note in made if note))
    return theirs._replace(inputs=np.stack([cells for cells, _ in made], axis=1), columns=ours.columns, notes=notes)


def _numbered(theirs: datasets.Examples, place: int, like: datasets.Column) -> tuple[np.ndarray, str]:
    """The cells of a column with the categories of another, NaN where it has none such, and what is said of these."""
    cells, column = theirs.inputs[:, place], theirs.columns[place]
    if bool(column.categories) != bool(like.categories):
        wanted, got = (f"categories, such as {each.categories[0]!r}" if each.categories else "numbers"
                       for each in (like, column))  # fmt: skip
        checks.fail(f"`query_domain`, column {like.name!r}", f"{wanted}, as in the support's domain", got)
    if column.categories == like.categories:
        return cells, ""
    places = [like.categories.index(text) if text in like.categories else np.nan for text in column.categories]
    made = np.array([*places, np.nan], cells.dtype)[np.nan_to_num(cells, nan=-1).astype(int)]
    new = [text for text in column.categories if text not in like.categories]
    count = int((np.isnan(made) & ~np.isnan(cells)).sum())
    known = ", ".join(map(repr, like.categories[:3]))
    said = f"column {like.name!r}: {count} cells are {', '.join(map(repr, new[:3]))}, where the support's domain has"
    return made, f"{said} {known}" if count else ""


def _others(theirs: datasets.Examples, ours: datasets.Examples) -> datasets.Examples:
    """Examples of a query domain without those that the support's domain has as well."""
    keep = ~np.isin(seen.fingerprints(theirs), seen.fingerprints(ours))
    if not keep.any():
        checks.fail("`query_domain`", "other examples than the support's domain has", "the same ones")
    if keep.all():
        return theirs
    note = f"{int((~keep).sum())} examples left out that the support's domain has"
    return datasets.rows(theirs, keep, theirs.split)._replace(notes=(*theirs.notes, note))


def shown(loaded: datasets.Examples) -> datasets.Examples:
    """What of a person's labelled examples is adapted to: the training part, where their folders say which that is.

    It is said how many examples come again, in another class above all: no answer suits both.
    """
    if loaded.parts is not None and (own := loaded.parts == "train").any():
        loaded = datasets.rows(loaded, own, "train")
    return _told_of_copies(loaded)


def support(what: str, loaded: datasets.Examples, ways: int) -> Batch:
    """All examples of a person's own as a support set of `ways` outputs, 0: as many as there are classes."""
    num_classes = len(loaded.class_names)
    if num_classes < 2:
        checks.fail(what, "at least 2 classes", num_classes, error=checks.DataError)
    if ways and num_classes > ways:
        hint = "use a run of a learner without a head, such as protonet, or fewer classes"
        checks.fail(what, f"at most the {ways} classes of the run", num_classes, hint, checks.DataError)
    targets = np.repeat(np.arange(num_classes, dtype=np.int32), np.diff(loaded.offsets))
    classes = np.broadcast_to(np.arange(ways or num_classes) < num_classes, (len(targets), ways or num_classes))
    return Batch(jnp.asarray(loaded.inputs), jnp.asarray(targets), None, jnp.asarray(classes))
