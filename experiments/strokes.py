"""A picture of the procedural domain: classes are rows, drawings of a class are columns.

Paper:     none; the domain is this project's own.
Command:   python experiments/strokes.py
Hardware:  any.
Time:      seconds.
Expected:  drawings of a row look alike, rows differ.
Measured:  results/strokes.png.
"""

import jax
import matplotlib
import numpy as np
import pages

from jaxmeta import tasks

matplotlib.use("agg")
import matplotlib.pyplot as plt

ROWS, COLUMNS, SIZE = 6, 16, 28


def main() -> None:
    pages.parser(__doc__).parse_args()
    pages.RESULTS.mkdir(exist_ok=True)
    sample = tasks.strokes(num_ways=ROWS, num_shots=1, num_queries=COLUMNS - 1, split="train", size=SIZE)
    episode = jax.jit(sample)(jax.random.key(3))
    first = np.asarray(episode.support.inputs).reshape(ROWS, 1, SIZE, SIZE)
    rest = np.asarray(episode.query.inputs).reshape(ROWS, COLUMNS - 1, SIZE, SIZE)
    sheet = np.concatenate([first, rest], axis=1).transpose(0, 2, 1, 3).reshape(ROWS * SIZE, COLUMNS * SIZE)
    plt.imsave(pages.RESULTS / "strokes.png", np.kron(1 - sheet, np.ones((2, 2))), cmap="gray", vmin=0, vmax=1)


if __name__ == "__main__":
    main()
