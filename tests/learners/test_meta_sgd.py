import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from proofs import KEY, assert_close, assert_exact, episode, meta_gradient, network

from jaxmeta import criteria, inner, maml, meta_sgd, tree


@pytest.fixture(autouse=True)
def _float64():
    with jax.enable_x64(True):
        yield


def learner(num_steps, gradient=inner.nested):
    return meta_sgd(
        network(), criteria.cross_entropy, num_steps=num_steps, initial_learning_rate=0.3, gradient=gradient
    )


def of_both_signs(meta_params):
    """Rates of which every second one is negative."""
    rates = jax.tree.map(
        lambda leaf: leaf * jnp.cos(3.0 * jnp.arange(leaf.size)).reshape(leaf.shape), meta_params.learning_rates
    )
    return meta_params._replace(learning_rates=rates)


def test_meta_gradient_against_finite_differences():
    assert_exact(learner(2), of_both_signs(learner(2).init(KEY)))


def test_equal_frozen_rates_are_maml():
    meta_params = learner(3).init(KEY)
    same = maml(network(), criteria.cross_entropy, optax.sgd(0.3), num_steps=3)
    assert_close(meta_params.params, same.init(KEY))
    support = episode().support
    adapted = jax.jit(learner(3).adapt)(meta_params, support, KEY)
    assert_close(adapted, jax.jit(same.adapt)(meta_params.params, support, KEY))
    assert_close(meta_gradient(learner(3), meta_params).params, meta_gradient(same, meta_params.params))


def test_the_first_order_form_keeps_the_gradient_of_the_rates():
    meta_params = of_both_signs(learner(1).init(KEY))
    first = meta_gradient(learner(1, inner.first_order), meta_params)
    exact = meta_gradient(learner(1), meta_params)
    assert_close(first.learning_rates, exact.learning_rates)  # with one step the two forms do not differ in them
    gap = tree.norm(jax.tree.map(jnp.subtract, first.params, exact.params))
    assert gap > 0.01 * tree.norm(exact.params)
    # and in params it is the query gradient where the step led
    adapted = learner(1).adapt(meta_params, episode().support, KEY)
    plain = maml(network(), criteria.cross_entropy, optax.sgd(0.3), num_steps=0)
    assert_close(first.params, meta_gradient(plain, adapted.params))


def test_rates_are_trained_to_either_sign_and_wrong_use():
    meta_params = meta_sgd(network(), criteria.cross_entropy, num_steps=1, initial_learning_rate=-0.2).init(KEY)
    assert all((leaf == -0.2).all() for leaf in jax.tree.leaves(meta_params.learning_rates))
    with pytest.raises(ValueError, match="finite number, got nan"):
        meta_sgd(network(), criteria.cross_entropy, num_steps=1, initial_learning_rate=np.nan)
