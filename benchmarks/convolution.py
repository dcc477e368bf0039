"""Forms of Conv-4's convolutions and of its norm: forward, gradient, and derivative of the gradient.

Claim:     none of the forms tried is much faster than the library's in all that a meta-step asks of it.
Command:   python benchmarks/run.py convolution

The shapes are those of the first three layers on the 75 queries of a 5-way episode, stride 2, 64 filters, one task.
"library" is `convolve`; "plain" is XLA's own convolution; "phases" moves the four phases of the picture to channels
once and takes the patches from them by slices of stride 1; "phase matmuls" adds up one matmul for each of the four
slices; "nine matmuls" adds up one for each tap; "four axes" takes the library's patches, but leaves the matmul the axes
of the picture. The norm's "two factors" multiplies by the deviation and by the scale one after the other; "moments of
rows" computes them on a reshaped copy. All forms of a row must give the same derivatives.
"""

import functools
import statistics
from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np
import turns

from jaxmeta import tables
from jaxmeta.models import convolution, normalization

TURNS, SHAPES, FILTERS = 15, ((75, 28, 28, 1), (75, 14, 14, 64), (75, 7, 7, 64)), 64


def plain(x: jax.Array, kernel: jax.Array) -> jax.Array:
    return jax.lax.conv_general_dilated(x, kernel, (2, 2), "SAME", dimension_numbers=("NHWC", "HWIO", "NHWC"))


def blocks_of(x: jax.Array, kernel: jax.Array) -> list[tuple[jax.Array, jax.Array]]:
    """The four 2x2 neighbours of every position in the phases, and the taps that meet them."""
    n, height, width, channels = x.shape
    rows, columns = -(-height // 2), -(-width // 2)
    before = [max((steps - 1) * 2 + 3 - extent, 0) // 2 for steps, extent in ((rows, height), (columns, width))]
    after = [
        2 * (steps + 1) - extent - own
        for steps, extent, own in zip((rows, columns), (height, width), before, strict=True)
    ]
    x = jnp.pad(x, ((0, 0), (before[0], after[0]), (before[1], after[1]), (0, 0)))
    x = x.reshape(n, rows + 1, 2, columns + 1, 2, channels).transpose(0, 1, 3, 2, 4, 5)
    slices = (x[:, :rows, :columns], x[:, :rows, 1:, :, 0], x[:, 1:, :columns, 0], x[:, 1:, 1:, 0, 0])
    taps = (kernel[:2, :2], kernel[:2, 2], kernel[2, :2], kernel[2, 2])
    flat = lambda piece: piece.reshape(n, rows, columns, -1)  # noqa: E731
    return [(flat(piece), tap.reshape(-1, tap.shape[-1])) for piece, tap in zip(slices, taps, strict=True)]


def phases(x: jax.Array, kernel: jax.Array) -> jax.Array:
    pieces, taps = zip(*blocks_of(x, kernel), strict=True)
    return jnp.concatenate(pieces, axis=-1) @ jnp.concatenate(taps)


def phase_matmuls(x: jax.Array, kernel: jax.Array) -> jax.Array:
    return functools.reduce(jnp.add, [piece @ taps for piece, taps in blocks_of(x, kernel)])


def nine_matmuls(x: jax.Array, kernel: jax.Array) -> jax.Array:
    steps = [-(-extent // 2) for extent in x.shape[1:3]]
    totals = [max((count - 1) * 2 + 3 - extent, 0) for count, extent in zip(steps, x.shape[1:3], strict=True)]
    x = jnp.pad(x, ((0, 0), *((total // 2, total - total // 2) for total in totals), (0, 0)))
    rows, columns = (2 * count - 1 for count in steps)
    taps = [x[:, i : i + rows : 2, j : j + columns : 2] @ kernel[i, j] for i in range(3) for j in range(3)]
    return functools.reduce(jnp.add, taps)


def four_axes(x: jax.Array, kernel: jax.Array) -> jax.Array:
    return convolution._patches(x, 3, 2) @ kernel.reshape(-1, kernel.shape[-1])


def one_factor(x: jax.Array, scale: jax.Array) -> jax.Array:
    return jax.nn.relu(normalization.standardize("batch", x, None, None, (scale, scale), 1, 1e-5, scale)[0])


def two_factors(x: jax.Array, scale: jax.Array) -> jax.Array:
    ones = jnp.ones_like(scale)
    return jax.nn.relu(normalization.standardize("batch", x, None, None, (scale, scale), 1, 1e-5, ones)[0] * scale)


def moments_of_rows(x: jax.Array, scale: jax.Array) -> jax.Array:
    moments = normalization.row_moments(x, jnp.ones(len(x), bool))
    return jax.nn.relu((x - moments.mean) * (jax.lax.rsqrt(moments.variance + 1e-5) * scale))


CONVOLUTIONS = {
    "library": functools.partial(convolution.convolve, stride=2),
    "plain": plain,
    "phases": phases,
    "phase matmuls": phase_matmuls,
    "nine matmuls": nine_matmuls,
    "four axes": four_axes,
}
NORMS = {"library": one_factor, "two factors": two_factors, "moments of rows": moments_of_rows}


def orders_of(form: Callable, x: jax.Array, weights: jax.Array) -> dict[str, Callable[[], object]]:
    """What is timed, compiled."""
    gradient = jax.grad(lambda *given: 0.5 * jnp.square(form(*given)).sum(), (0, 1))
    along = (x[::-1], weights[::-1])
    orders = {
        "forward": form,
        "gradient": gradient,
        "second": lambda *given: jax.jvp(gradient, given, along)[1],
    }
    compiled = {name: jax.jit(order).lower(x, weights).compile() for name, order in orders.items()}
    return {name: functools.partial(run, x, weights) for name, run in compiled.items()}


def compared(what: str, forms: dict[str, Callable], x: jax.Array, weights: jax.Array) -> list[dict]:
    calls = {form: orders_of(function, x, weights) for form, function in forms.items()}
    rows = [{"what": what, "form": form} for form in forms]
    for order in ("forward", "gradient", "second"):
        steps = {
            form: functools.partial(lambda run: jax.block_until_ready(run()), calls[form][order]) for form in forms
        }
        expected = steps["library"]()
        for step in steps.values():
            for found, leaf in zip(jax.tree.leaves(step()), jax.tree.leaves(expected), strict=True):
                np.testing.assert_allclose(found, leaf, atol=2e-4 * float(jnp.abs(leaf).max()))
        seconds = turns.in_turns(steps, TURNS)
        for row in rows:
            ratios = [a / b for a, b in zip(seconds[row["form"]], seconds["library"], strict=True)]
            row[order] = turns.spread(ratios)
            row[f"{order}_milliseconds"] = round(1e3 * statistics.median(seconds[row["form"]]), 2)
    return rows


def main() -> dict:
    draw, rows = np.random.default_rng(0), []
    for shape in SHAPES:
        x = jnp.asarray(draw.normal(size=shape), jnp.float32)
        kernel = jnp.asarray(draw.normal(size=(3, 3, shape[-1], FILTERS)) * 0.1, jnp.float32)
        rows += compared(f"convolution of {shape[1]}x{shape[2]}x{shape[3]}", CONVOLUTIONS, x, kernel)
    x = jnp.asarray(draw.normal(size=(75, 14, 14, FILTERS)), jnp.float32)
    rows += compared("norm of 14x14x64", NORMS, x, jnp.linspace(0.5, 2, FILTERS))
    return {"rows": rows}


def table(column: dict) -> str:
    header = ("layer", "form", "forward, ms", "gradient, ms", "second order, ms", "times the library's: second order")
    orders = [f"{order}_milliseconds" for order in ("forward", "gradient", "second")]
    cells = [
        (row["what"], row["form"], *(row[order] for order in orders), turns.shown(row["second"]))
        for row in column["rows"]
    ]
    return tables.markdown(header, cells)
