"""What kinds with labelled examples share: their splits, and answers that name a class."""

from __future__ import annotations

from collections.abc import Callable

import jax.numpy as jnp
import numpy as np

from jaxmeta import checks, datasets
from jaxmeta.recipes import names
from jaxmeta.recipes.kinds.kind import Place
from jaxmeta.recipes.recipe import Task
from jaxmeta.types import Batch


def target(task: Task, part: str) -> str | None:
    """The target column, which a csv alone has."""
    return task.target_column or None if names.suffix(part) == ".csv" else None


def examples(
    place: Place, load: Callable[[str | None], datasets.Examples], check: Callable[[np.ndarray], None]
) -> datasets.Examples:
    """A split of one domain of labelled examples; in training with Omniglot's rotations as classes of their own.

    A user's own set has no published split. Its classes are shared out, or its rows where it has fewer classes than
    can be; but if nothing was trained on it, the test takes all of it.

    Args:
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
        if not known and (split != "test" or place.may_be_seen(loaded.checksums)):
            few = len(loaded.class_names) < datasets.MIN_CLASSES
            loaded = datasets.by_example(loaded, split) if few else datasets.by_class(loaded, split)
        return datasets.rotated(loaded) if split == "train" and part == "omniglot" else loaded
    except ValueError as error:
        raise ValueError(f"`domain` {names.short(part)}, {loaded.split}: {error}") from error


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
