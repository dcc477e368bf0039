"""Losses, adapted params and meta-gradients against PyTorch's; benchmarks/golden.py made the numbers."""

import json
import pathlib

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from proofs import KEY

from jaxmeta import criteria, fomaml, maml, meta_sgd, models, tree
from jaxmeta.types import Batch, Episode

GOLDEN = json.loads((pathlib.Path(__file__).parent / "golden.json").read_text())
RATE, STEPS = GOLDEN["rate"], GOLDEN["num_steps"]
NETWORKS = {
    "perceptron": (models.mlp(2, 3, hidden=(5,), activation=jnp.tanh), (2,)),
    "convolutions": (models.conv4((8, 8, 1), 3, num_filters=3), (8, 8, 1)),
}
LEARNERS = {
    "maml": lambda model: maml(model, criteria.cross_entropy, optax.sgd(RATE), num_steps=STEPS),
    "fomaml": lambda model: fomaml(model, criteria.cross_entropy, optax.sgd(RATE), num_steps=STEPS),
    "meta_sgd": lambda model: meta_sgd(model, criteria.cross_entropy, num_steps=STEPS, initial_learning_rate=RATE),
}


def fractions(shape, offset):
    return ((np.arange(np.prod(shape)) * 37 + offset * 17) % 101 / 50.5 - 1).reshape(shape)


def flat(values):
    """{path: numbers}"""
    return dict(zip(tree.paths(values), map(np.ravel, jax.tree.leaves(values)), strict=True))


@pytest.mark.parametrize(("name", "network"), [(name, network) for name in LEARNERS for network in GOLDEN[name]])
def test_against_pytorch(name, network):
    model, shape = NETWORKS[network]
    learner = LEARNERS[name](model)
    shapes = jax.eval_shape(model.init, KEY)
    paths = tree.paths(shapes)
    leaves = [
        fractions(leaf.shape, place) + path.endswith("scale")
        for place, (path, leaf) in enumerate(zip(paths, jax.tree.leaves(shapes), strict=True))
    ]
    params = jax.tree.unflatten(jax.tree.structure(shapes), leaves)
    with jax.enable_x64(True):
        meta_params = params
        if name == "meta_sgd":
            rates = [
                RATE * (1 + fractions(leaf.shape, 80 + len(path)) * 1.2)
                for path, leaf in zip(paths, leaves, strict=True)
            ]
            meta_params = jax.eval_shape(learner.init, KEY)._replace(
                params=params, learning_rates=jax.tree.unflatten(jax.tree.structure(shapes), rates)
            )
        labels = np.arange(15) % 3
        episode = Episode(Batch(fractions((6, *shape), 50), labels[:6]), Batch(fractions((9, *shape), 60), labels[6:]))

        @jax.jit
        def compute(meta_params):
            (loss, _), gradient = jax.value_and_grad(learner.loss, has_aux=True)(meta_params, episode, KEY)
            return loss, gradient, tree.norm(gradient), learner.adapt(meta_params, episode.support, KEY).params

        loss, gradient, norm, adapted = compute(meta_params)
    wanted = GOLDEN[name][network]
    # Relative to the norm of the whole: single entries of a gradient may be sums that cancel.
    close = lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-10, atol=1e-10 * wanted["gradient_norm"])  # noqa: E731
    np.testing.assert_allclose(loss, wanted["loss"], rtol=1e-10)
    np.testing.assert_allclose(norm, wanted["gradient_norm"], rtol=1e-10)
    gradient = flat(gradient if name == "meta_sgd" else {"params": gradient})
    assert set(gradient) == set(wanted["gradient"])
    for path, numbers in gradient.items():
        close(numbers, wanted["gradient"][path])
    for path, numbers in flat(adapted).items():
        close(numbers, wanted["adapted"][path])
