"""What holds for every learner that classifies by its support set, and their exact meta-gradients."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import proofs
import pytest

from jaxmeta import (
    criteria,
    cross_transformer,
    laplacian_shot,
    matching_net,
    models,
    proto_maml,
    protonet,
    r2d2,
    relation_net,
    ridge_classifier,
)
from jaxmeta.types import Batch, Episode, Model

KEY = jax.random.key(0)
WAYS, DIM = 4, 3


@pytest.fixture(autouse=True)
def _float64():
    with jax.enable_x64(True):
        yield


def layer(key, shape, apply):
    """One smooth layer, so that finite differences have digits."""
    del key
    return Model(lambda key: jax.random.normal(key, shape, jnp.float64), apply)


def encoder():
    return layer(KEY, (DIM, 5), lambda w, x, mask=None, context=(): jnp.tanh(x @ w))


def maps():
    """Maps [n, 2, 1, 2]."""
    return layer(KEY, (DIM, 4), lambda w, x, mask=None, context=(): jnp.tanh(x @ w).reshape(-1, 2, 1, 2))


def relation():
    def apply(w, pairs, mask=None, context=()):
        return jnp.tanh(pairs.reshape(len(pairs), -1) @ w).sum(axis=1, keepdims=True)

    return layer(KEY, (8, 3), apply)


LEARNERS = {
    "protonet": lambda: protonet(encoder(), criteria.cross_entropy, num_ways=WAYS),
    "matching_net": lambda: matching_net(encoder(), criteria.cross_entropy, num_ways=WAYS),
    "relation_net": lambda: relation_net(maps(), relation(), criteria.relation_score, num_ways=WAYS),
    "cross_transformer": lambda: cross_transformer(maps(), criteria.cross_entropy, num_ways=WAYS, num_channels=2),
    "r2d2": lambda: r2d2(encoder(), criteria.cross_entropy, num_ways=WAYS),
    "proto_maml": lambda: proto_maml(
        encoder(), criteria.cross_entropy, optax.sgd(0.3), num_ways=WAYS, num_steps=2
    ),
}  # fmt: skip


def data():
    """Six support examples of three of the four classes, in no order, and five queries."""
    rng = np.random.default_rng(0)
    return jnp.array(rng.normal(size=(6, DIM))), jnp.array([1, 0, 2, 2, 0, 1]), jnp.array(rng.normal(size=(5, DIM)))


@pytest.mark.parametrize("name", LEARNERS)
def test_order_of_support_names_of_labels_padding_and_absent_classes(name):
    learner = LEARNERS[name]()
    x, y, queries = data()
    order, renamed = jnp.array([3, 5, 0, 1, 4, 2]), jnp.array([2, 3, 1, 0])
    junk = Batch(
        jnp.concatenate([jnp.full((2, DIM), 9.0), x]), jnp.concatenate([jnp.array([3, 0]), y]), jnp.arange(8) >= 2
    )

    @jax.jit
    def logits(meta_params):
        def of(support):
            return learner.predict(meta_params, learner.adapt(meta_params, support, KEY), queries)

        return of(Batch(x, y)), of(Batch(x[order], y[order])), of(Batch(x, renamed[y])), of(junk)

    plain, ordered, named, padded = logits(learner.init(KEY))
    np.testing.assert_allclose(ordered, plain, rtol=1e-10)
    np.testing.assert_allclose(named[:, renamed], plain, rtol=1e-10)
    np.testing.assert_allclose(padded, plain, rtol=1e-10)
    assert (jax.nn.softmax(plain)[:, 3] == 0).all()
    # It says something at all.
    assert np.ptp(plain[:, :3]) > 0.1
    assert np.abs(named[:, :3] - plain[:, :3]).max() > 0.1


@pytest.mark.parametrize("name", LEARNERS)
def test_meta_gradient_against_finite_differences(name):
    learner = LEARNERS[name]()
    x, y, queries = data()
    classes = jnp.broadcast_to(jnp.arange(WAYS) < 3, (6, WAYS))
    mask = jnp.arange(6) != 4
    episode = Episode(Batch(x, y, mask, classes), Batch(queries, y[:5], mask[:5], classes[:5]))
    exact = proofs.check_gradient(lambda params: learner.loss(params, episode, KEY)[0], learner.init(KEY))
    assert np.isfinite(exact).all()
    # All but R2-D2's bias, which no softmax sees.
    assert (exact == 0).sum() == 0 or name == "r2d2"


@pytest.mark.parametrize("build", [protonet, matching_net, r2d2])
def test_wrong_use(build):
    with pytest.raises(ValueError, match="num_ways"):
        build(models.flat(), criteria.cross_entropy, num_ways=1)
    learner = build(maps(), criteria.cross_entropy, num_ways=2)
    with pytest.raises(ValueError, match=r"embeddings \[n, dim\], got \(6, 2, 1, 2\); flatten"):
        learner.adapt(learner.init(KEY), Batch(*data()[:2]), KEY)


@pytest.mark.fault(promised="the answer for the same numbers as floats")
@pytest.mark.parametrize("dtype", [bool, np.uint8, np.int8])
@pytest.mark.parametrize("make", [protonet, matching_net, laplacian_shot, r2d2, ridge_classifier])
def test_bits_and_bytes_are_numbers(make, dtype):
    rng = np.random.default_rng(0)
    numbers = rng.integers(0, 2 if dtype is bool else 120, (9, 4)).astype(dtype)
    targets = jnp.arange(6) % 2
    learner = make(models.flat(), criteria.cross_entropy, num_ways=2)

    def answers(numbers):
        params = learner.init(KEY)
        return learner.predict(params, learner.adapt(params, Batch(numbers[:6], targets), KEY), numbers[6:])

    found = answers(jnp.asarray(numbers))
    assert np.isfinite(found).all()
    np.testing.assert_array_equal(found, answers(jnp.asarray(numbers, float)))


@pytest.mark.fault(promised="one line that names the mask and its shape or dtype")
@pytest.mark.parametrize("mask", [np.ones((4, 1), bool), np.ones(1, bool), np.ones((4, 4), bool), np.full(4, 2)])
def test_masks_that_are_none(mask):
    batch = Batch(jnp.ones((4, 3)), jnp.arange(4) % 2, jnp.asarray(mask))
    values = Batch(jnp.ones((4, 3)), jnp.ones((4, 3)), jnp.asarray(mask))
    learner = protonet(models.flat(), criteria.cross_entropy, num_ways=2)
    outputs = lambda inputs, mask=None: inputs  # noqa: E731
    for call in (
        lambda: criteria.squared_error(outputs, values, KEY),
        lambda: criteria.cross_entropy(outputs, batch, KEY),
        lambda: learner.adapt({}, batch, KEY),
    ):
        with pytest.raises((ValueError, TypeError), match=r"mask: expected .*bool.*, got (shape|int)"):
            call()
