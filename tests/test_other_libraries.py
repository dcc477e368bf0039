"""Haiku's and Equinox's networks, and plain functions, are models like Flax's."""

import warnings

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from jaxmeta import audit, criteria, evaluate, maml, meta_trainer, models, tasks, tree

KEY = jax.random.key(0)
WIDTH = 6


def optional(name):
    """Imports a library that is none of ours; what it warns of when imported is its own affair."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        return pytest.importorskip(name, reason=f"{name} is not installed")


def haiku():
    hk = optional("haiku")

    def network(inputs):
        return hk.Linear(1)(jnp.tanh(hk.Linear(WIDTH)(inputs)))

    transformed = hk.without_apply_rng(hk.transform(network))
    return models.from_functions(lambda key: transformed.init(key, jnp.zeros((1, 1))), transformed.apply)


def equinox():
    eqx = optional("equinox")

    def make(key):
        return eqx.nn.MLP(1, 1, WIDTH, depth=1, activation=jnp.tanh, key=key)

    # The arrays are the params; what is left, such as the activation, is the same for all of them.
    rest = eqx.partition(make(KEY), eqx.is_array)[1]

    def apply(params, inputs):
        return jax.vmap(eqx.combine(params, rest))(inputs)

    return models.from_functions(lambda key: eqx.partition(make(key), eqx.is_array)[0], apply)


def plain():
    def init(key):
        first, second = jax.random.split(key)
        return {
            "hidden": (jax.random.normal(first, (1, WIDTH)), jnp.zeros(WIDTH, jnp.float32)),
            "output": jax.random.normal(second, (WIDTH, 1)),
        }

    def apply(params, inputs):
        weight, bias = params["hidden"]
        return jnp.tanh(inputs @ weight + bias[None]) @ params["output"]

    return models.from_functions(init, apply)


@pytest.mark.parametrize("library", [haiku, equinox, plain])
def test_one_training_step_and_the_protocol(library):
    learner = maml(library(), criteria.squared_error, optax.sgd(0.01), num_steps=1)
    sample = tasks.sinusoid(num_shots=4, num_queries=3)
    episodes = tasks.drawn(sample, KEY, jnp.arange(3))
    trainer = meta_trainer(learner, optax.sgd(0.01))
    start = trainer.init(KEY)
    state, metrics = jax.jit(trainer.update)(start, episodes, KEY)
    assert jax.tree.structure(state.meta_params) == jax.tree.structure(start.meta_params)
    moved = jax.tree.map(jnp.subtract, state.meta_params, start.meta_params)
    np.testing.assert_allclose(tree.norm(moved), 0.01 * metrics["gradient_norm"], rtol=1e-4)
    assert metrics["gradient_norm"] > 0

    before, after = (
        evaluate(learner, criteria.squared_error, params, episodes, KEY)
        for params in (start.meta_params, state.meta_params)
    )
    assert after["joint"]["loss"].mean() < before["joint"]["loss"].mean()
    np.testing.assert_allclose(after["single"]["loss"], after["joint"]["loss"], rtol=1e-5)
    report = audit(learner, episodes, KEY, criterion=criteria.squared_error)
    assert report.broken == (), str(report)
    assert report.checks[0].found == "exact"
