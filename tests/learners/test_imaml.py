import jax
import jax.numpy as jnp
import numpy as np
import optax
import proofs
import pytest

from jaxmeta import criteria, imaml, inner, maml
from jaxmeta.types import Batch, Episode, Model

KEY = jax.random.key(0)
HESSIAN = jnp.array([[2.0, 0.5], [0.5, 1.0]])


def quadratic(predictor, target, key):
    gap = predictor(jnp.zeros((1,))) - target
    loss = 0.5 * gap @ HESSIAN.astype(gap.dtype) @ gap
    return loss, {"loss": loss}


def point():
    return Model(lambda key: jnp.array([1.0, -2.0]), lambda params, x, mask=None, context=(): params)


def held(regularization):
    """What `imaml` minimises, for `inner.unroll`: the loss and the distance to where it started."""

    def loss(params, data, key):
        target, start = data
        value, _ = quadratic(lambda x: params, target, key)
        return value + regularization / 2 * jnp.square(params - start).sum(), {}

    return loss


def test_equals_full_unrolling_on_a_converged_quadratic():
    with jax.enable_x64(True):
        target, wanted = jnp.array([0.3, 0.4]), jnp.array([-1.0, 0.2])
        learner = imaml(point(), quadratic, optax.sgd(0.3), num_steps=100, regularization=1.5)
        unrolled = inner.unroll(held(1.5), optax.sgd(0.3), 100)

        def by_steps(params):
            adapted, _ = unrolled(params, (target, params), KEY)
            return quadratic(lambda x: adapted, wanted, KEY)[0]

        params = learner.init(KEY)
        of_both = jax.grad(lambda params, target: learner.loss(params, Episode(target, wanted), KEY)[0], (0, 1))
        implicit, of_target = jax.jit(of_both)(params, target)
        np.testing.assert_allclose(implicit, jax.jit(jax.grad(by_steps))(params), rtol=1e-4)
        # The closed form: dphi / dtheta = lambda (H + lambda)^-1.
        curved = HESSIAN.astype(jnp.float64) + 1.5 * jnp.eye(2)
        adapted = jnp.linalg.solve(curved, HESSIAN @ target + 1.5 * params)
        np.testing.assert_allclose(implicit, 1.5 * jnp.linalg.solve(curved, HESSIAN @ (adapted - wanted)), rtol=1e-4)
        # And with respect to the support set, which is an argument too.
        np.testing.assert_allclose(
            of_target, jnp.linalg.solve(curved, HESSIAN @ (adapted - wanted)) @ HESSIAN, rtol=1e-4
        )


def network():
    """A smooth network whose weights a strong regularization holds in a convex neighbourhood."""

    def init(key):
        keys = jax.random.split(key, 2)
        return {"w": jax.random.normal(keys[0], (2, 5)), "v": jax.random.normal(keys[1], (5, 3))}

    return Model(init, lambda params, x, mask=None, context=(): jnp.tanh(x @ params["w"]) @ params["v"])


def episode():
    x = jax.random.normal(jax.random.key(1), (14, 2))
    return Episode(Batch(x[:6], jnp.arange(6) % 3), Batch(x[6:], jnp.arange(8) % 3))


def learner_with(num_steps, optimizer, **given):
    return imaml(network(), criteria.cross_entropy, optimizer, num_steps=num_steps, regularization=2.0, **given)


def test_meta_gradient_against_finite_differences():
    """Exact as far as the minimum is reached and the system is solved; then a few steps are not enough."""
    with jax.enable_x64(True):
        learner = learner_with(100, optax.sgd(0.3), num_cg_steps=20)
        params = learner.init(KEY)
        proofs.check_gradient(lambda params: learner.loss(params, episode(), KEY)[0], params, tolerance=1e-5)
        early = learner_with(1, optax.sgd(0.3), num_cg_steps=20)
        exact, differences = proofs.finite_differences(lambda p: early.loss(p, episode(), KEY)[0], params)
        assert np.linalg.norm(exact - differences) > 1e-3 * np.linalg.norm(exact)


def test_memory_does_not_grow_with_the_steps():
    def temporary(learner):
        gradient = jax.jit(jax.grad(lambda params: learner.loss(params, episode(), KEY)[0]))
        return gradient.lower(learner.init(KEY)).compile().memory_analysis().temp_size_in_bytes

    few, many = (temporary(learner_with(steps, optax.sgd(0.3))) for steps in (5, 50))
    # The trace of the losses before each step is all that may.
    assert many <= few + 50 * 4 * 4
    few, many = (
        temporary(maml(network(), criteria.cross_entropy, optax.sgd(0.3), num_steps=steps, gradient=inner.nested))
        for steps in (5, 50)
    )
    assert many > 3 * few


def test_any_optimizer_will_do_since_none_is_differentiated():
    """Adam without eps_root has no derivative at a zero gradient, and `maml` refuses it."""
    learner = learner_with(5, optax.adam(0.1))
    gradient = jax.jit(jax.grad(lambda params: learner.loss(params, episode(), KEY)[0]))(learner.init(KEY))
    assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(gradient))


@pytest.mark.parametrize(
    ("given", "error", "message"),
    [
        ({"inner_optimizer": 0.1}, TypeError, "implicit: optimizer: expected an Optax transformation.*got 0.1"),
        ({"inner_optimizer": optax.constant_schedule(0.1)}, TypeError, "expected an Optax transformation"),
        ({"regularization": 0.0}, ValueError, "regularization: expected a positive number, got 0.0"),
        ({"num_cg_steps": 0}, ValueError, "num_cg_steps: expected a whole number of at least 1"),
        ({"num_steps": -1}, ValueError, "num_steps: expected a whole number of at least 0"),
    ],
)
def test_wrong_use(given, error, message):
    usual = {"inner_optimizer": optax.sgd(0.1), "num_steps": 2, "regularization": 1.0}
    with pytest.raises(error, match=message):
        imaml(point(), quadratic, **(usual | given))
