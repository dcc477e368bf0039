"""Every learner over every kind of model, with a tiny builder each; the protocol tests run over all of them."""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
from flax import nnx

from jaxmeta import criteria, datasets, learners, models, tasks
from jaxmeta.types import Criterion, MetaLearner, Model

SIZE, WAYS = 8, 3


class Net(nnx.Module):
    """A small nnx network with the norm under test."""

    def __init__(self, norm: str, num_outputs: int, rngs: nnx.Rngs):
        self.first = nnx.Linear(SIZE, 8, rngs=rngs)
        self.norm = models.NnxNorm(8, kind=norm)
        self.head = nnx.Linear(8, num_outputs, rngs=rngs)

    def __call__(self, x, mask=None):
        return self.head(jax.nn.tanh(self.norm(self.first(x[..., 0]), mask)).mean(axis=1))


def linen(norm: str, num_outputs: int | None) -> Model:
    return models.conv4((SIZE, SIZE, 1), num_outputs, num_filters=8, norm=norm)


def nnx_model(norm: str, num_outputs: int | None) -> Model:
    return models.from_nnx(lambda rngs: Net(norm, num_outputs or 6, rngs))


MODELS = {"linen": linen, "nnx": nnx_model}


def _maml(model):
    return learners.maml(model(WAYS), criteria.cross_entropy, optax.sgd(0.1), num_steps=2)


def _fomaml(model):
    return learners.fomaml(model(WAYS), criteria.cross_entropy, optax.sgd(0.1), num_steps=2)


def _protonet(model):
    return learners.protonet(model(None), criteria.cross_entropy, num_ways=WAYS)


LEARNERS = {"maml": _maml, "fomaml": _fomaml, "protonet": _protonet}


class Case(NamedTuple):
    learner: MetaLearner
    criterion: Criterion


def case(name: str, model: str = "linen", norm: str = "support") -> Case:
    learner = LEARNERS[name](lambda outputs: MODELS[model](norm, outputs))
    return Case(learner, criteria.cross_entropy)


def _across():
    labels = jnp.arange(12) // 3
    domains = [datasets.from_labels(start + jnp.arange(24.0).reshape(12, 2), labels, name="d") for start in (0, 50)]
    return tasks.across(*domains, num_ways=3, num_shots=2, num_queries=1)


def pictures() -> datasets.Examples:
    """Noise in five classes of 6 to 14."""
    labels = np.repeat(np.arange(5), [6, 8, 10, 12, 14])
    images = np.random.default_rng(0).integers(0, 256, (len(labels), SIZE, SIZE, 1), np.uint8)
    return datasets.from_labels(images // 2 + labels[:, None, None, None].astype(np.uint8) * 25, labels, name="noise")


TASKS = {
    "across": _across,
    "sinusoid": lambda: tasks.sinusoid(num_shots=4, num_queries=3),
    "strokes": lambda: tasks.strokes(num_ways=3, num_shots=2, num_queries=1, size=8),
    "from_arrays": lambda: tasks.from_arrays(
        (jnp.arange(60.0).reshape(5, 12, 1), jnp.arange(60.0).reshape(5, 12, 1)), num_shots=4, num_queries=3
    ),
    "tabular": lambda: tasks.tabular(num_features=4, num_ways=3, num_shots=2, num_queries=1),
    "tabular_regression": lambda: tasks.tabular_regression(num_features=4, num_shots=4, num_queries=3),
    "variable": lambda: tasks.variable(pictures(), max_ways=4, max_shots=3, num_queries=2, min_ways=2),
    "mixture": lambda: tasks.mixture(
        [tasks.standardize(tasks.few_shot(pictures(), num_ways=2, num_shots=2, num_queries=1)) for _ in range(2)]
    ),
    "augmented": lambda: tasks.augmented(
        tasks.few_shot(pictures(), num_ways=3, num_shots=2, num_queries=1), tasks.shift(1)
    ),
}
