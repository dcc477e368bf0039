"""How alike the rows of a table are, column by column, and ridge regressions of classes on it."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import jax
import jax.numpy as jnp

from jaxmeta import inner, tree
from jaxmeta.types import CATEGORY, Array

_LEAST = 0.2  # of cosines: with a handful of rows they are little but chance
_LIMIT = 4.0  # deviations beyond which numbers are bent
_LOG_DEPTH = 1.5  # of the forest in a mixture


class Units(NamedTuple):
    """The units of a support set, by which all rows are measured."""

    mean: Array
    """[d]"""
    scale: Array
    """[d] one over the deviation; 0 for a constant."""
    kinds: Array
    """[d] what each column holds, 0: nothing."""


class Rows(NamedTuple):
    """Rows of a table in the units of the support set."""

    numbers: Array
    """[n, d] deviations from the mean, 0 where there is none or a category."""
    codes: Array
    """[n, d] the categories' own numbers."""
    there: Array
    """[n, d] 0 or 1."""
    ranks: Array
    """[n, d] the share of the support set's numbers that are smaller, a half where there is none."""


class Pairs(NamedTuple):
    """How alike rows are to the support set's, column by column, [m, n, d]."""

    products: Array
    """Of numbers; a category is a number for each of its values, less what it is on average."""
    orders: Array
    """Likewise, of ranks in place of numbers."""
    near: Array
    """From 0, or missing, to 1."""
    squares: Array
    """Squared distances."""
    steps: Array
    """Differences of ranks, from 0 to 1."""


class Fit(NamedTuple):
    """Ridge regressions of the classes."""

    weights: Array
    """[k, n, num_ways]"""
    left_out: Array
    """[k, n, num_ways] what each row would have been told had it been left out."""


def units(cells: Array, keep: Array) -> Units:
    """Of cells [n, d, 3] as `tasks.cells` makes them; rows that are not to `keep` [n] are 0."""
    there = cells[..., 1] * keep[:, None]
    count = jnp.maximum(there.sum(axis=0), 1)
    mean = (cells[..., 0] * there).sum(axis=0) / count
    centred = (cells[..., 0] - mean[None]) * there
    unit = tree.unit(centred)
    variance = jnp.square(centred / unit[None]).sum(axis=0) / count
    # By comparison, since rounding gives a constant a small variance.
    low = jnp.where(there > 0, cells[..., 0], jnp.inf).min(axis=0)
    constant = jnp.where(there > 0, cells[..., 0], -jnp.inf).max(axis=0) <= low
    scale = jnp.where(constant, 0, jax.lax.rsqrt(jnp.where(constant, 1, variance)) / unit)
    return Units(mean, scale, cells[..., 2].max(axis=0))


def known_rows(own: Units, cells: Array, keep: Array) -> Rows:
    """The support set's rows; of those that are not to `keep` [n] nothing is there."""
    plain = _rows(own, cells)
    plain = plain._replace(there=plain.there * keep[:, None])
    return plain._replace(ranks=_ranks(plain, plain))


def rows(own: Units, cells: Array, known: Rows) -> Rows:
    """Any rows [m, d, 3]."""
    plain = _rows(own, cells)
    return plain._replace(ranks=_ranks(plain, known))


def _rows(own: Units, cells: Array) -> Rows:
    there = cells[..., 1]
    numbers = (cells[..., 0] - own.mean[None]) * own.scale[None] * there * (own.kinds != CATEGORY)[None]
    return Rows(_LIMIT * jnp.tanh(numbers / _LIMIT), cells[..., 0], there, there)


def _ranks(rows: Rows, known: Rows) -> Array:
    numbers, others = rows.numbers[:, None], known.numbers[None]
    below = ((numbers > others) + (numbers == others) / 2) * known.there[None]
    ranks = below.sum(axis=1) / jnp.maximum(known.there.sum(axis=0), 1)[None]
    return jnp.where(rows.there > 0, ranks, 0.5)


def pairs(own: Units, rows: Rows, known: Rows, log_width: Array) -> Pairs:
    """Compares rows with the support set's; `log_width` is that of what is near, in deviations."""
    is_category = (own.kinds == CATEGORY)[None, None]
    here, there = rows.there[:, None], known.there[None]
    same = lambda rows: (rows.codes[:, None] == known.codes[None]) * rows.there[:, None] * there  # noqa: E731
    alike, count = same(rows), jnp.maximum(known.there.sum(axis=0), 1)
    shares, others = alike.sum(axis=1) / count[None], same(known).sum(axis=1) / count[None]
    level = (others * known.there).sum(axis=0) / count
    centred = alike - shares[:, None] * there - here * others[None] + here * there * level[None, None]
    numbers, against = rows.numbers[:, None], known.numbers[None]
    # A missing category is a vector of zeros: it is a distance, so that no kernel has negative eigenvalues.
    squares = jnp.where(is_category, here + there - 2 * alike, jnp.square(numbers - against))
    near = jnp.where(is_category, alike, jnp.exp(-jnp.exp(-2 * log_width) * squares / 2) * here * there)
    steps = jnp.where(is_category, squares / 2, jnp.abs(rows.ranks[:, None] - known.ranks[None]))
    # What standardised columns of 0 and 1, one a category, would have for a product if two were equally frequent.
    centred = 2 * centred
    # Ranks are of deviation one then, too; where there is none a rank is the middle one, 0.
    order, over = (math.sqrt(12) * (each.ranks - 0.5) for each in (rows, known))
    products = jnp.where(is_category, centred, numbers * against)
    orders = jnp.where(is_category, centred, order[:, None] * over[None])
    return Pairs(products, orders, near, squares, steps)


def kernels(names: Sequence[str], pairs: Pairs, weights: Array, log_sizes: Array) -> Array:
    """The kernels of these names, [k, m, n], whose columns weigh `weights` [k, d].

    `log_sizes` [k] are the logarithms of what a Gaussian's squares, those of a mixture, too, or a forest's steps are
    multiplied by; the others have none.
    """
    linear = lambda own: pairs.products @ own  # noqa: E731
    ranked = lambda own: pairs.orders @ own  # noqa: E731
    gaussian = lambda own, log_size: jnp.exp(-jnp.exp(log_size) * (pairs.squares @ own))  # noqa: E731
    # What infinitely many trees of random splits agree on (Balog et al., The Mondrian Kernel, 2016).
    forest = lambda own, log_size: jnp.exp(-jnp.exp(log_size) * (pairs.steps @ own))  # noqa: E731
    made = {
        "linear": lambda own, _: linear(own),
        "ranked": lambda own, _: ranked(own),
        "gaussian": gaussian,
        "additive": lambda own, _: pairs.near @ own,
        "forest": forest,
        # A function that is the sum of one of each.
        "mixed": lambda own, size: linear(own) + ranked(own) + gaussian(own, size) + forest(own, _LOG_DEPTH),
    }
    return jnp.stack([made[name](own, size) for name, own, size in zip(names, weights, log_sizes, strict=True)])


def fit(kernels: Array, classes: Array, keep: Array, log_penalties: Array) -> Fit:
    """Regressions of `classes` [n, num_ways] on kernels [k, n, n]; rows that are not to `keep` [n] weigh nothing."""
    both = (keep[:, None] * keep[None])[None]
    inverses = inner.regularized_inverse((kernels + kernels.swapaxes(1, 2)) / 2 * both, jnp.exp(log_penalties))
    weights = inverses @ classes
    own = jnp.diagonal(inverses, axis1=1, axis2=2)[..., None]
    return Fit(weights, (classes[None] - weights / own) * keep[None, :, None])


def agreement(left_out: Array, classes: Array) -> tuple[Array, Array]:
    """How well what was foretold [k, n, num_ways] is what is [n, num_ways]: [k] their cosine; what an answer weighs.

    The weight of a regression is the square of its cosine, small ones made equal, over the size of what it foretold.
    """
    squares, known = jnp.square(left_out).sum(axis=(1, 2)), jnp.square(classes).sum()
    cosine = (left_out * classes[None]).sum(axis=(1, 2)) * jax.lax.rsqrt(squares * known + 1e-12)
    # One that foretells nothing has size 0, where a root has no derivative.
    size = jnp.sqrt(squares / jnp.maximum(known, 1e-6) + 1e-6)
    return cosine, jnp.square(jnp.maximum(cosine, _LEAST)) / size
