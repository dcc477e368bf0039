import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from proofs import KEY, assert_close, assert_exact, episode, meta_gradient, network

from jaxmeta import criteria, inner, maml, maml_plus_plus
from jaxmeta.learners import annealed_step_weights

WEIGHTS = np.array([0.2, 0.3, 0.5])


@pytest.fixture(autouse=True)
def _float64():
    with jax.enable_x64(True):
        yield


def build(num_steps=3, step_weights=None, gradient=inner.nested):
    return maml_plus_plus(
        network(),
        criteria.cross_entropy,
        num_steps=num_steps,
        initial_learning_rate=0.3,
        step_weights=step_weights,
        gradient=gradient,
    )


def uneven(meta_params):
    """Rates that differ from step to step and from layer to layer."""
    scales = {"w": [1.0, 0.5, -0.3], "b": [0.2, 2.0, 1.0], "v": [0.7, 1.5, 0.4]}
    rates = {name: leaf * jnp.array(scales[name]) for name, leaf in meta_params.learning_rates.items()}
    return meta_params._replace(learning_rates=rates)


def test_meta_gradient_against_finite_differences():
    learner = build(step_weights=WEIGHTS)
    assert_exact(learner, uneven(learner.init(KEY)))


@pytest.mark.long
def test_the_loss_is_the_weighted_sum_over_the_steps():
    meta_params = build().init(KEY)
    plain = [maml(network(), criteria.cross_entropy, optax.sgd(0.3), num_steps=steps) for steps in (1, 2, 3)]
    losses = np.array([one.loss(meta_params.params, episode(), KEY)[0] for one in plain])
    for weights, wanted in ((WEIGHTS, WEIGHTS @ losses), (None, losses.mean()), ([0, 0, 1], losses[-1])):
        loss, metrics = build(step_weights=weights).loss(meta_params, episode(), KEY)
        np.testing.assert_allclose(loss, wanted, rtol=1e-12)
        np.testing.assert_allclose(metrics["loss"], losses[-1], rtol=1e-12)
    last = meta_gradient(build(step_weights=[0, 0, 1]), meta_params).params
    assert_close(last, meta_gradient(plain[-1], meta_params.params))


@pytest.mark.parametrize("num_steps", [2, 5])
def test_more_steps_repeat_the_last_rates_and_fewer_leave_them_out(num_steps):
    model, support = network(), episode().support
    meta_params = uneven(build().init(KEY))

    @jax.jit
    def by_hand(params, rates):
        slope = jax.grad(lambda p: criteria.cross_entropy(lambda x, mask=None: model.apply(p, x), support, KEY)[0])
        for step in range(num_steps):
            params = {name: params[name] - rates[name][min(step, 2)] * g for name, g in slope(params).items()}
        return params

    adapted = jax.jit(build(num_steps).adapt)(meta_params, support, KEY)
    assert_close(adapted.params, by_hand(*meta_params))


def test_the_first_order_form_keeps_the_gradient_of_the_rates():
    meta_params = uneven(build(1).init(KEY)._replace(learning_rates=build().init(KEY).learning_rates))
    exact, first = (
        meta_gradient(build(1, gradient=gradient), meta_params) for gradient in (inner.nested, inner.first_order)
    )
    assert_close(exact.learning_rates, first.learning_rates)
    assert first.learning_rates["w"][0] != 0
    assert (first.learning_rates["w"][1:] == 0).all()  # one step was taken


def test_annealing():
    close = lambda fraction, wanted: np.testing.assert_allclose(annealed_step_weights(5, fraction), wanted, rtol=1e-12)  # noqa: E731
    close(0.0, [0.2] * 5)
    close(0.5, [0.1] * 4 + [0.6])
    close(0.99, [0.006] * 4 + [0.976])
    close(1.0, [0, 0, 0, 0, 1])
    close(7, [0, 0, 0, 0, 1])
    meta_params, compiled = build().init(KEY), []

    @jax.jit
    def loss(meta_params, fraction):
        compiled.append(1)
        return build(step_weights=annealed_step_weights(3, fraction)).loss(meta_params, episode(), KEY)[0]

    assert loss(meta_params, 0.0) != loss(meta_params, 0.6)
    assert len(compiled) == 1


def test_wrong_use():
    with pytest.raises(ValueError, match="num_steps"):
        build(0)
    with pytest.raises(ValueError, match=r"shape \(3,\), got \(2,\)"):
        build(step_weights=[0.5, 0.5])
