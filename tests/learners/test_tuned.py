"""Learners that train on a support set before they read it, beside the steps taken by hand."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import proofs
import pytest

from jaxmeta import Batch, Episode, criteria, learners, protonet
from jaxmeta.types import Model

KEY = jax.random.key(0)
RNG = np.random.default_rng(0)
LABELS = jnp.arange(6) % 3
EPISODE = Episode(*(Batch(jnp.asarray(RNG.normal(size=(6, 4))), LABELS) for _ in range(2)))


@pytest.fixture(autouse=True)
def _float64():
    with jax.enable_x64(True):
        yield


def encoder():
    def apply(params, inputs, mask=None, context=()):
        return jnp.tanh(inputs @ params["first"]) @ params["second"]

    def init(key):
        return {name: jax.random.normal(jax.random.fold_in(key, size), (size, 4)) for name, size in (("first", 4),)} | {
            "second": jnp.eye(4)
        }

    return Model(init, apply)


def prototypes():
    return protonet(encoder(), criteria.cross_entropy, num_ways=3)


def test_steps_by_hand():
    learner = learners.tuned(prototypes(), optax.sgd(0.1), num_steps=2)
    params, _ = learner.init(KEY)
    factors = {"first": jnp.array(2.0), "second": jnp.array(0.0)}
    adapted = learner.adapt(learner.init(KEY)._replace(factors=factors), EPISODE.support, KEY)
    by_hand, base = params, prototypes()
    for _ in range(2):
        whole = Episode(EPISODE.support, EPISODE.support)
        slopes = jax.grad(lambda given: base.loss(given, whole, KEY)[0])(by_hand)  # noqa: B023
        by_hand = by_hand | {"first": by_hand["first"] - 0.2 * slopes["first"]}
    np.testing.assert_allclose(adapted.params["first"], by_hand["first"], rtol=1e-10)
    np.testing.assert_array_equal(adapted.params["second"], by_hand["second"])
    expected = base.adapt(by_hand, EPISODE.support, KEY)
    np.testing.assert_allclose(adapted.read.prototypes, expected.prototypes, rtol=1e-10)


@pytest.mark.parametrize("optimizer", [optax.sgd(0.1), optax.adam(1e-2, eps_root=1e-10)])
@pytest.mark.product(optimizer=())
def test_the_meta_gradient_of_starts_and_factors_is_exact(optimizer):
    learner = learners.tuned(prototypes(), optimizer, num_steps=2)
    loss = lambda meta_params: learner.loss(meta_params, EPISODE, KEY)[0]  # noqa: E731
    proofs.check_gradient(jax.jit(loss), learner.init(KEY))


def test_without_steps_it_is_what_reads():
    learner = learners.tuned_protonet(encoder(), criteria.cross_entropy, optax.sgd(0.1), num_ways=3, num_steps=0)
    ridge = learners.ridge_classifier(encoder(), criteria.cross_entropy, num_ways=3)
    meta_params = learner.init(KEY)
    plain = ridge.predict(
        meta_params.params, ridge.adapt(meta_params.params, EPISODE.support, KEY), EPISODE.query.inputs
    )
    adapted = learner.adapt(meta_params, EPISODE.support, KEY)
    np.testing.assert_allclose(learner.predict(meta_params, adapted, EPISODE.query.inputs), plain)


def test_steps_ask_about_what_augment_makes():
    seen = []

    def shifted(key, support):
        seen.append(key)
        return support._replace(inputs=support.inputs + 0.1 * jax.random.normal(key, support.inputs.shape))

    plain, other = (
        learners.tuned(prototypes(), optax.sgd(0.1), num_steps=1, augment=augment) for augment in (None, shifted)
    )
    meta_params = plain.init(KEY)
    moved = [each.adapt(meta_params, EPISODE.support, KEY).params["first"] for each in (plain, other)]
    assert seen
    assert np.abs(moved[0] - moved[1]).max() > 1e-4
