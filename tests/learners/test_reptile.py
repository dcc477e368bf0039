import operator

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from proofs import KEY, assert_close, episode, meta_gradient, network

from jaxmeta import criteria, maml, meta_trainer, reptile
from jaxmeta.types import Batch, Episode, Model


@pytest.fixture(autouse=True)
def _float64():
    with jax.enable_x64(True):
        yield


@pytest.mark.parametrize("optimizer", [optax.sgd(0.3), optax.adam(0.05, b1=0)])
def test_an_update_is_the_papers(optimizer):
    learner = reptile(network(), criteria.cross_entropy, optimizer, num_steps=4, batch_size=3)
    trainer = meta_trainer(learner, optax.sgd(0.25))
    state = trainer.init(KEY)
    theta = state.meta_params
    episodes = jax.tree.map(lambda leaf: jnp.stack([leaf, leaf[::-1], leaf[::2].repeat(2, axis=0)]), episode())
    keys = jax.random.split(KEY, 3)
    phi = jax.jit(jax.vmap(learner.adapt, (None, 0, 0)))(theta, episodes.support, keys).params
    paper = jax.tree.map(lambda a, b: a + 0.25 * jnp.mean(b - a[None], axis=0), theta, phi)
    state, metrics = jax.jit(trainer.update)(state, episodes, KEY)
    assert_close(state.meta_params, paper)
    assert set(metrics) == {"loss", "accuracy", "gradient_norm"}


def test_the_gradient_is_the_difference_and_nothing_inside_is_differentiated():
    optimizer = optax.adam(0.05, b1=0)
    learner = reptile(network(), criteria.cross_entropy, optimizer, num_steps=4)
    theta = learner.init(KEY)
    phi = learner.adapt(theta, episode().support, KEY).params
    assert_close(meta_gradient(learner, theta), jax.tree.map(jnp.subtract, theta, phi))

    def loss(theta):
        return learner.loss(theta, episode(), KEY)[0]

    def loops(function):
        return [equation for equation in jax.make_jaxpr(function)(theta).eqns if equation.primitive.name == "scan"]

    (forward,), (backward,) = loops(loss), loops(jax.grad(loss))
    assert str(backward.params["jaxpr"]) == str(forward.params["jaxpr"])
    with pytest.raises(ValueError, match="eps_root"):  # where something is, this optimizer is refused
        meta_gradient(maml(network(), criteria.cross_entropy, optimizer, num_steps=4), theta)


def test_metrics_are_the_means_over_the_steps():
    learner = reptile(network(), criteria.cross_entropy, optax.sgd(0.3), num_steps=2)
    theta, support = learner.init(KEY), episode().support
    second = maml(network(), criteria.cross_entropy, optax.sgd(0.3), num_steps=1)
    before = second._replace(
        adapt=lambda params, support, key: second.adapt(params, support, key)._replace(params=theta)
    )
    losses = []
    for one in (before, second):
        adapted = one.adapt(theta, support, KEY)
        logits = one.predict(theta, adapted, support.inputs)
        losses.append(criteria.cross_entropy(lambda x, mask, logits=logits: logits, support, KEY)[0])
    metrics = learner.loss(theta, episode(), KEY)[1]
    np.testing.assert_allclose(metrics["loss"], np.mean(losses), rtol=1e-12)


def drawn(learner, support):
    """The rows that one step saw, as [number of keys, number of rows] bool."""

    def rows(key):
        metrics = learner.loss(jnp.zeros(()), Episode(support, support), key)[1]
        return jnp.int32(metrics["rows"]) >> jnp.arange(len(support.targets)) & 1, metrics["aligned"]

    rows, aligned = jax.jit(jax.vmap(rows))(jax.random.split(KEY, 200))
    assert (aligned == 1).all()
    return rows


def test_minibatches():
    def criterion(predictor, batch, key):
        ways = batch.classes.shape[-1]
        aligned = (batch.inputs == 2**batch.targets).all() & (batch.classes == (batch.targets % ways)[:, None]).all()
        seen = jnp.sum(batch.inputs * (True if batch.mask is None else batch.mask))
        return predictor(batch.inputs), {"loss": seen, "rows": seen, "aligned": aligned.astype(float)}

    model = Model(lambda key: jnp.zeros(()), lambda params, inputs, mask=None, context=(): params)
    numbers = jnp.arange(6)
    support = Batch(2**numbers, numbers, None, jnp.repeat((numbers % 2)[:, None], 2, axis=1))
    learner = reptile(model, criterion, optax.sgd(0.1), num_steps=1, batch_size=3)
    rows = drawn(learner, support)
    assert (rows.sum(axis=1) == 3).all()
    np.testing.assert_allclose(rows.mean(axis=0), np.full(6, 0.5), atol=0.12)
    assert len(np.unique(rows, axis=0)) == 20  # all of the 6 over 3 subsets
    few = support._replace(mask=numbers % 3 == 1)
    np.testing.assert_array_equal(drawn(learner, few), np.broadcast_to(few.mask, (200, 6)))
    many = support._replace(mask=numbers < 4)
    rows = drawn(learner, many)
    assert (rows.sum(axis=1) == 3).all()
    assert (rows[:, 4:] == 0).all()
    two = reptile(model, criterion, optax.sgd(0.1), num_steps=8, batch_size=1)
    assert two.loss(jnp.zeros(()), Episode(support, support), KEY)[1]["rows"] % 1 > 0  # a mean of different rows


def test_wrong_use():
    with pytest.raises(ValueError, match="num_steps"):
        reptile(network(), criteria.cross_entropy, optax.sgd(0.1), num_steps=0)
    with pytest.raises(ValueError, match="batch_size"):
        reptile(network(), criteria.cross_entropy, optax.sgd(0.1), num_steps=1, batch_size=0)
    learner = reptile(network(), criteria.cross_entropy, optax.sgd(0.1), num_steps=1, batch_size=7)
    with pytest.raises(ValueError, match="from 1 to 6, got 7; the support set has no more rows"):
        learner.loss(learner.init(KEY), episode(), KEY)


@pytest.mark.long
def test_a_state_that_is_carried_is_the_mean_of_what_the_tasks_before_left():
    optimizer = optax.adam(0.05, b1=0)
    learner = reptile(network(), criteria.cross_entropy, optimizer, num_steps=4, carry_state=True)
    fresh = reptile(network(), criteria.cross_entropy, optimizer, num_steps=4)
    trainer = meta_trainer(learner, optax.sgd(1.0))
    state, one = trainer.init(KEY), episode()
    episodes = jax.tree.map(lambda leaf: jnp.stack([leaf, leaf[::-1]]), one)
    first = learner.adapt(state.meta_params, one.support, KEY).params
    assert_close(first, fresh.adapt(state.meta_params.params, one.support, KEY).params)  # nothing was there before
    update = jax.jit(trainer.update)

    def by_hand(params, own, support):
        def loss(params):
            return criteria.cross_entropy(
                lambda inputs, mask=None: network().apply(params, inputs, mask), support, KEY
            )[0]

        for _ in range(4):
            changes, own = optimizer.update(jax.grad(loss)(params), own, params)
            params = optax.apply_updates(params, changes)
        return params, own

    params, own = state.meta_params.params, optimizer.init(state.meta_params.params)
    for _ in range(3):
        state, metrics = update(state, episodes, KEY)
        ends = [by_hand(params, own, jax.tree.map(operator.itemgetter(i), episodes.support)) for i in range(2)]
        params, own = jax.tree.map(lambda *leaves: sum(leaves) / 2, *ends)
        own = jax.tree.map(lambda leaf, like: leaf.astype(like.dtype), own, optimizer.init(params))
        assert_close(state.meta_params.params, params)
        assert_close(state.meta_params.by[0].nu, own[0].nu)
    assert round(float(state.meta_params.by[0].count * 2**20)) == 12
    assert metrics["gradient_norm"] < 10  # the count of steps is no part of it to speak of
    adapted = learner.adapt(state.meta_params, one.support, KEY).params
    assert_close(adapted, by_hand(params, own, one.support)[0])


@pytest.mark.parametrize(
    ("optimizer", "error", "message"),
    [
        (optax.add_noise(0.1, 0.5, 0), TypeError, "a state of real numbers, to be carried on, got"),
        (optax.adam(-0.1), ValueError, "go down the gradient"),
        (0.1, TypeError, "an Optax transformation"),
    ],
)
def test_a_state_that_cannot_be_carried_or_goes_up(optimizer, error, message):
    with pytest.raises(error, match=message):  # noqa: PT012
        learner = reptile(network(), criteria.cross_entropy, optimizer, num_steps=4, carry_state=True)
        learner.adapt(learner.init(KEY), episode().support, KEY)
