"""A figure of each kind against a stored one, coarse enough for other fonts and releases of matplotlib.

`python tests/report/test_looks.py` stores them anew, after somebody has looked at them.
"""

import pathlib
import sys

import numpy as np
import pytest

pytest.importorskip("matplotlib", reason="matplotlib is not installed")
if __name__ == "__main__":
    sys.path.insert(0, str(pathlib.Path(__file__).parents[2]))

import matplotlib.image

from jaxmeta import control, statistics
from jaxmeta.report import asked, curves, episodes, explained, heat_map, policies, ran, ranks, transfers

LOOKS = pathlib.Path(__file__).parent / "looks"
BLOCK, DPI = 6, 50
TOLERANCE = 0.33
"""Of the ink of a stored figure, which may be elsewhere: with another family of letters up to a third is, with half of
the panels gone, or another palette, more."""
RNG = np.random.default_rng(0)
BASE = RNG.uniform(0.3, 0.6, 40)


def column(scores):
    return {**statistics.mean_interval(scores)._asdict(), "per_task": np.asarray(scores).tolist()}


def row(method, family, domain, gain, shots=1):
    scores = BASE + gain
    return {
        "source": "fonts", "method": method, "family": family, "domain": domain, "split": "test", "ways": 5,
        "chance": 0.2, "shots": shots, "queries": 15, "metric": "accuracy", "num_tasks": 40, "single": column(scores),
        "joint": column(scores), "distance_untrained": {"digits": 0.2, "cells": 0.9, "mnist": 0.5}[domain],
        "distance_trained": None, "inner_steps_test": shots,
    }  # fmt: skip


ROWS = [
    row(method, family, domain, gain + more, shots)
    for shots in (1,)
    for domain, more in (("digits", 0.2), ("mnist", 0.1), ("cells", 0.0))
    for method, family, gain in (
        ("protonet", "learner", 0.12), ("maml", "learner", 0.1), ("linear_probe", "baseline", 0.05),
        ("raw inputs", "floor", 0.0),
    )
]  # fmt: skip


def curve_rows():
    return [row("maml", "learner", "digits", gain, shots) for shots, gain in ((0, 0.0), (1, 0.2), (3, 0.25), (6, 0.2))]


def training():
    steps = range(50, 1050, 50)
    curves = {
        ("accuracy", "", "train"): [(step, 40 + 30 * step / 1000) for step in steps],
        ("accuracy", "", "validation"): [(step, 50 + 25 * step / 1000) for step in steps[::4]],
        ("loss", "", "train"): [(step, 2 - step / 1000) for step in steps],
        ("loss", "", "validation"): [(step, 1.8 - step / 1000) for step in steps[::4]],
    }
    return ran._training(curves, ["accuracy", "loss"], {"": 850}, {"": "diverged"})


def seeds():
    known = {seed: (BASE + 0.05 * seed).tolist() for seed in range(3)}
    return ran._seeds(known, statistics.nested_seeds(np.array(list(known.values()))), "accuracy", "maml")


def sheet():
    disc = np.hypot(*np.mgrid[-1:1:28j, -1:1:28j]) < 0.7
    shapes = np.stack([disc, ~disc, np.eye(28) > 0]).astype(np.float32)[..., None]
    targets = np.repeat(np.arange(3), 4)
    said = np.where(np.arange(12) % 5 == 4, (targets + 1) % 3, targets)
    return episodes.Sheet(["disc", "hole", "line"], shapes, np.arange(3), shapes[targets], targets, said,
                          np.linspace(0.4, 1, 12))  # fmt: skip


def functions():
    places = np.linspace(-5, 5, 60)
    queries = np.stack([places, np.sin(places)], 1)
    said = {"before": 0 * places, "after": np.stack([0.9 * np.sin(places), 0.2 + 0 * places])}
    return curves.functions([
        curves.Curve("typical", queries[::12], queries, places, said, np.stack([np.sin(places), 0.1 + 0 * places]))
    ])  # fmt: skip


def rolled(horizon, goal):
    """Trajectories as if a policy walked straight to a goal, and one that stays."""
    way = np.linspace(0, 1, horizon)[None, :, None] * np.array(goal)[None, None]
    zeros, ones = np.zeros((1, horizon)), np.ones((1, horizon))
    make = lambda states: control.Trajectories(  # noqa: E731
        states, states, zeros, -np.linalg.norm(states - np.array(goal), axis=-1), zeros, ones, states
    )
    return {0: make(0 * way), 3: make(way)}


def walks():
    env = lambda goal: control.Environment(np.array(goal), control.navigation(num_shots=1, num_queries=1).rules, 1)  # noqa: E731
    return [(env(goal), rolled(20, goal)) for goal in ((0.4, 0.3), (-0.3, 0.2))]


WORDS = [["wort", "v ɔ ʁ t", "v ɔ ʁ t", 0, "right"], ["haus", "h a s", "h aʊ s", 1, "wrong"]]
SENTENCES = [
    [1, "travel", "travel", 88.0, "right", "book me a flight to rome", "i need a plane ticket", "travel"],
    [2, "bank", "travel", 61.0, "wrong", "what is my balance", "how far is it to oslo", "travel"],
]  # fmt: skip
FIGURES = {
    "matrix": lambda: heat_map.matrix(ROWS, 1).draw(),
    "differences": lambda: transfers.differences(ROWS).draw(),
    "critical-difference": lambda: ranks._ranks([{
        "source": "fonts", "shots": 1, "methods": ["protonet", "maml", "linear_probe", "pmf"],
        "ranks": [1.2, 2.1, 3.0, 3.7], "critical_difference": 1.3, "domains": ["a"] * 6, "p_value": 0.01,
    }]),
    "distance": lambda: transfers.distances(ROWS).draw(),
    "task-spread": lambda: transfers.spread(ROWS).draw(),
    "scores": lambda: ran._scores({("digits", "accuracy", 5, 1): ROWS[:4]}),
    "training": training,
    "seed-spread": seeds,
    "adaptation": lambda: asked._curve(
        curve_rows(), "inner_steps_test", "x", "x", "inner steps", {"training": 1, "test": 3}, "").draw(),
    "calibration": lambda: asked._calibration(*asked.reliability(
        np.stack([np.linspace(0.5, 1, 200), np.linspace(0.5, 0, 200)], 1), (np.arange(200) % 4 == 0).astype(int))),
    "confusion": lambda: asked._confusion([(3, ["a", "b", "c"], np.array([[9, 1, 0], [0, 4, 6], [2, 0, 8]]))],
                                          np.full(4, 0.7), {3: []}),
    "pictures": lambda: episodes.drawn_pictures(sheet()),
    "texts": lambda: episodes.drawn_texts(["travel", "bank"], SENTENCES),
    "row": lambda: explained.drawn_row(explained.Explained(
        ["age", "dose", "sex"], ["61", "2.5", "f"], np.array([0.3, -0.2, 0.05]), "Said: ill, 80%; is ill", True), 100),
    "functions": functions,
    "values": lambda: curves.drawn_values({"typical": (np.arange(9.0), np.arange(9.0) ** 1.1)}),
    "trajectories": lambda: policies.trajectories(walks()),
    "rewards": lambda: policies.rewards(walks()),
    "words": lambda: episodes.drawn_words(WORDS, ["gut → ɡ uː t"]),
}  # fmt: skip


def pixels(figure):
    """[height, width, 3] in [0, 1], the means of blocks of pixels: where ink is, and not which letter it is."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg

    figure.set_dpi(DPI)
    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    picture = np.asarray(canvas.buffer_rgba())[..., :3] / 255
    height, width = (size // BLOCK * BLOCK for size in picture.shape[:2])
    blocks = picture[:height, :width].reshape(height // BLOCK, BLOCK, width // BLOCK, BLOCK, 3)
    return blocks.mean(axis=(1, 3))


def apart(figure, stored):
    """How much of a stored figure's ink is elsewhere in another."""
    drawn = pixels(figure)
    if drawn.shape != stored.shape:
        return 1.0
    return float(np.abs(drawn - stored).sum() / (1 - stored).sum())


def stored(name):
    return matplotlib.image.imread(LOOKS / f"{name}.png")[..., :3]


@pytest.mark.parametrize("name", FIGURES)
def test_a_figure_looks_as_it_did(name):
    assert apart(FIGURES[name](), stored(name)) < TOLERANCE


@pytest.mark.product(name=("matrix", "pictures", "row"))
@pytest.mark.parametrize("name", FIGURES)
def test_a_change_of_looks_is_seen(name):
    figure = FIGURES[name]()
    for panel in figure.axes[::2]:
        panel.set_visible(False)
    assert apart(figure, stored(name)) > TOLERANCE


def test_another_palette_is_seen():
    figure = FIGURES["row"]()
    for bar in figure.axes[0].patches:
        bar.set_facecolor("#00FF00")
    assert apart(figure, stored("row")) > TOLERANCE


if __name__ == "__main__":
    LOOKS.mkdir(exist_ok=True)
    for each, draw in FIGURES.items():
        matplotlib.image.imsave(LOOKS / f"{each}.png", np.round(pixels(draw()), 3))
