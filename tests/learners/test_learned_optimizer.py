import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from proofs import KEY, assert_close, assert_exact, double, episode, meta_gradient, network

from jaxmeta import criteria, inner, learned_optimizer, maml, models
from jaxmeta.models.update_rules import preprocess


@pytest.fixture(autouse=True)
def _float64():
    with jax.enable_x64(True):
        yield


def build(rule, num_steps=2, gradient=inner.nested):
    return learned_optimizer(network(), criteria.cross_entropy, rule, num_steps=num_steps, gradient=gradient)


def lstm():
    return models.lstm_update_rule(hidden=3, initial_learning_rate=0.3, initial_keep=0.9)


@jax.jit
def lively(key):
    """A rule whose gates look at all that they are given."""
    meta_params = build(lstm()).init(key)
    flat, unflatten = jax.flatten_util.ravel_pytree(double(meta_params.rule))
    return meta_params._replace(rule=unflatten(flat + 0.5 * jax.random.normal(key, flat.shape)))


@pytest.mark.long
def test_meta_gradient_against_finite_differences():
    assert_exact(build(lstm()), lively(KEY))


def test_descent_as_a_rule_is_maml():
    learner = build(models.gradient_descent_rule(0.3), 3)
    same = maml(network(), criteria.cross_entropy, optax.sgd(0.3), num_steps=3)
    meta_params = learner.init(KEY)
    gradient, support = meta_gradient(learner, meta_params), episode().support
    assert_close(gradient.params, meta_gradient(same, meta_params.params))
    assert_close(learner.adapt(meta_params, support, KEY), same.adapt(meta_params.params, support, KEY))
    assert gradient.rule != 0


def test_the_first_order_form_keeps_the_gradient_of_the_rule():
    rule = models.gradient_descent_rule(0.3)
    meta_params = build(rule, 1).init(KEY)
    exact, first = (meta_gradient(build(rule, 1, how), meta_params) for how in (inner.nested, inner.first_order))
    # One step reads its gradient before the rule acts, so the two forms differ in params alone.
    assert_close(exact.rule, first.rule)
    assert np.abs(exact.params["v"] - first.params["v"]).max() > 1e-3


def test_the_meta_lstm_by_hand():
    rule = lstm()
    rng = np.random.default_rng(0)
    params = {"a": jnp.array(rng.normal(size=(2, 2))), "b": jnp.array(rng.normal(size=3))}
    own = double(jax.jit(rule.init)(KEY, params))
    own["forget_gate"]["kernel"] *= 100
    state, loss = rule.init_state(own, params), jnp.array(0.7)
    sigmoid = lambda x: 1 / (1 + np.exp(-x))  # noqa: E731
    theta = np.concatenate([params["a"].ravel(), params["b"]])
    cell, hidden, kept, taken = np.zeros((7, 3)), np.zeros((7, 3)), np.zeros(7), np.zeros(7)
    dense = lambda layer, x: x @ np.array(own[layer]["kernel"])[:, 0] + np.array(own[layer]["bias"])  # noqa: E731
    for _ in range(2):
        slopes = jax.tree.map(lambda leaf: jnp.array(rng.normal(size=leaf.shape)), params)
        updates, state = jax.jit(rule.update)(own, slopes, state, params, loss)
        slope = np.concatenate([slopes["a"].ravel(), slopes["b"]])
        inputs = np.stack([np.log(abs(slope)) / 10, np.sign(slope), np.full(7, np.log(0.7) / 10), np.ones(7)], -1)
        (cells,) = [layer for name, layer in own.items() if "LSTM" in name]
        i, f, g, o = (
            inputs @ cells[f"i{n}"]["kernel"] + hidden @ cells[f"h{n}"]["kernel"] + cells[f"h{n}"]["bias"][None]
            for n in "ifgo"
        )
        cell = sigmoid(f) * cell + sigmoid(i) * np.tanh(g)
        hidden = sigmoid(o) * np.tanh(cell)
        kept = sigmoid(dense("forget_gate", np.concatenate([hidden, theta[:, None], kept[:, None]], 1)))
        taken = sigmoid(dense("input_gate", np.concatenate([hidden, theta[:, None], taken[:, None]], 1)))
        wanted = kept * theta - taken * slope - theta
        assert_close(np.concatenate([updates["a"].ravel(), updates["b"]]), wanted, rtol=1e-9)


def test_it_starts_as_descent_at_the_given_rate_and_is_finite_where_the_gradient_is_zero():
    rule = models.lstm_update_rule(initial_learning_rate=0.2, initial_keep=0.999)
    params, slopes = {"a": jnp.ones(5)}, {"a": jnp.array([0.0, 1e-9, 1e-3, -1.0, 1e4])}

    @jax.jit
    def first(slopes):
        own = rule.init(KEY, params)
        return rule.update(own, slopes, rule.init_state(own, params), params, jnp.zeros(()))[0]

    updates = first(slopes)
    np.testing.assert_allclose(updates["a"], -0.2 * slopes["a"] - 0.001, rtol=0.1, atol=1e-4)
    assert jnp.isfinite(jax.jacfwd(preprocess)(jnp.zeros(()))).all()
    np.testing.assert_allclose(
        preprocess(jnp.array([1e-9, -np.exp(-10), 1.0])), [[-1, 1e-9 * np.exp(10)], [-1, -1], [0, 1]]
    )


def test_wrong_use():
    with pytest.raises(ValueError, match="initial_learning_rate"):
        models.lstm_update_rule(initial_learning_rate=1.0)
    with pytest.raises(ValueError, match="finite number"):
        models.gradient_descent_rule(float("inf"))


@pytest.mark.long
def test_blocks_of_coordinates_are_the_same_rule():
    rules = [models.lstm_update_rule(hidden=3, initial_learning_rate=0.3, block=block) for block in (4, 1000)]
    blocks, whole = (build(rule, gradient=inner.mixed_mode) for rule in rules)
    meta_params = lively(KEY)
    assert_close(meta_gradient(blocks, meta_params), meta_gradient(whole, meta_params))
    support = episode().support
    assert_close(jax.jit(blocks.adapt)(meta_params, support, KEY), jax.jit(whole.adapt)(meta_params, support, KEY))
