"""What both sides of `meta_step.py` compute: cases, weights and data, from NumPy alone."""

import itertools
import os
from typing import NamedTuple

import numpy as np

IS_SMALL = "BENCHMARK_SMALL" in os.environ  # a trial of the commands, whose numbers say nothing
NUM_TASKS, NUM_QUERIES, FILTERS, HIDDEN = (2, 1, 2, (4,)) if IS_SMALL else (8, 15, 64, (256, 128, 64, 64))
INNER_RATE, OUTER_RATE = 0.05, 1e-3


class Case(NamedTuple):
    learner: str
    network: str
    ways: int
    shots: int
    steps: int

    @property
    def name(self) -> str:
        return f"{self.learner} {self.network} {self.ways}w-{self.shots}s-{self.steps}step"


SETTINGS = ((5, 1, 1), (5, 1, 5), (5, 5, 5), (20, 1, 5))
CASES = [Case("maml", network, *setting) for network in ("conv4", "mlp") for setting in SETTINGS]
CASES += [Case(learner, "conv4", 5, 1, 5) for learner in ("fomaml", "anil", "reptile")]
CASES += [Case("protonet", "conv4", 5, 1, 0)]
if IS_SMALL:
    CASES = [Case("maml", "conv4", 5, 1, 1), Case("anil", "conv4", 5, 1, 5)]


def weights(case: Case) -> dict[str, np.ndarray]:
    """Flax's names and layouts; ProtoNet's network has no head."""
    shapes = {}
    if case.network == "mlp":
        widths = (784, *HIDDEN, case.ways)
        for layer, pair in enumerate(itertools.pairwise(widths)):
            shapes |= {f"Dense_{layer}/kernel": pair, f"Dense_{layer}/bias": pair[1:]}
    else:
        for layer in range(4):
            shapes[f"Conv_{layer}/kernel"] = (3, 3, FILTERS if layer else 1, FILTERS)
            shapes |= {f"Norm_{layer}/scale": (FILTERS,), f"Norm_{layer}/bias": (FILTERS,)}
        if case.learner != "protonet":
            shapes |= {"Dense_0/kernel": (FILTERS, case.ways), "Dense_0/bias": (case.ways,)}
    draw, made = np.random.default_rng(0), {}
    for name, shape in shapes.items():
        noise = draw.normal(size=shape) / np.sqrt(np.prod(shape[:-1])) if name.endswith("kernel") else 0
        made[name] = np.full(shape, name.endswith("scale") * 1.0) + noise
    return {name: leaf.astype(np.float32) for name, leaf in made.items()}


def episodes(case: Case) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Support pictures [tasks, n, 28, 28, 1] and labels, query pictures and labels: noisy copies of class pictures."""
    draw, made = np.random.default_rng(1), []
    means = draw.uniform(size=(NUM_TASKS, case.ways, 28, 28, 1))
    for each in (case.shots, NUM_QUERIES):
        labels = np.tile(np.arange(case.ways), (NUM_TASKS, each))
        pictures = np.tile(means, (1, each, 1, 1, 1))
        made += [(pictures + 0.3 * draw.normal(size=pictures.shape)).astype(np.float32), labels.astype(np.int32)]
    return tuple(made)
