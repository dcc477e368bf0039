"""What kinds with labelled examples share: their splits, and answers that name a class."""

from __future__ import annotations

import contextlib
from collections.abc import Callable

import jax.numpy as jnp
import numpy as np

from jaxmeta import checks, datasets, tasks
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
    note = f"{len(small)} classes of fewer than {least} examples left out: {', '.join(small[:12])}"
    kept = datasets.select(loaded, np.flatnonzero(sizes >= least), loaded.split)
    return kept._replace(notes=(*loaded.notes, note))


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
        if len(left.inputs) < len(loaded.inputs) and left.split == "test":
            note = f"{len(loaded.class_names) - len(left.class_names)} classes left out that were trained on"
            return left._replace(notes=(*left.notes, note)) if left.class_names != loaded.class_names else left
        return left
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
        raise ValueError(f"{said}; {hint}" if hint else said) from error
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
        checks.fail("`query_domain`", f"at least {sizes.ways} classes of the support's domain", got)
    if ours.columns != theirs.columns:
        checks.fail("`query_domain`", "the columns and categories of the support's domain", "others")
    ours, theirs = (
        datasets.select(part, [own[name] for name in common], part.split)
        for part, own in zip((ours, theirs), found, strict=True)
    )
    options = {"num_ways": sizes.ways, "num_shots": sizes.shots, "num_queries": sizes.queries}
    if ours.ids is None or theirs.ids is None:
        sample = tasks.across(ours, theirs._replace(class_names=ours.class_names), **options)
    else:
        same = tasks.aligned(ours, theirs)
        ours, theirs = (datasets.rows(part, own, part.split) for part, own in zip((ours, theirs), same, strict=True))
        sample = tasks.parallel(ours, theirs, **options)
    checksums = {f"{names.short(each.part)}: {file}": value for each, part in ((place, ours), (other, theirs))
                 for file, value in part.checksums.items()}  # fmt: skip
    split = ",".join(dict.fromkeys((ours.split, theirs.split)))
    return Domain(declared(sample, ours), split, checksums, facts=(facts.of(ours), facts.of(theirs)))


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
