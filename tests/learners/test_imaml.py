import jax
import jax.numpy as jnp
import numpy as np
import optax
import proofs
import pytest

from jaxmeta import criteria, imaml, inner, maml, tree
from jaxmeta.types import Batch, Episode, Model, query_loss

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
        temporary(
            maml(
                network(),
                criteria.cross_entropy,
                optax.sgd(0.3),
                num_steps=steps,
                gradient=inner.nested,
                scan=jax.lax.scan,
            )
        )
        for steps in (5, 50)
    )
    assert many > 3 * few


def test_any_optimizer_will_do_since_none_is_differentiated():
    """Adam without eps_root has no derivative at a zero gradient, and `maml` refuses it."""
    learner = learner_with(5, optax.adam(0.1))
    gradient = jax.jit(jax.grad(lambda params: learner.loss(params, episode(), KEY)[0]))(learner.init(KEY))
    assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(gradient))


def test_it_ends_at_a_tolerance_and_tells_what_is_left():
    with jax.enable_x64(True):
        exact, near, early = (
            learner_with(steps, optax.sgd(0.3), num_cg_steps=cg_steps, tolerance=tolerance, cg_tolerance=1e-12)
            for steps, cg_steps, tolerance in ((200, 40, 0.0), (200, 40, 0.01), (2, 1, 0.01))
        )
        params = exact.init(KEY)
        value = {name: jax.jit(jax.value_and_grad(lambda p, each=each: each.loss(p, episode(), KEY), has_aux=True))
                 for name, each in {"exact": exact, "near": near, "early": early}.items()}  # fmt: skip
        ((_, told), wanted), ((_, told_near), found), ((_, told_early), far) = (each(params) for each in value.values())
        assert told["inner_residual"] < 1e-12
        assert told["cg_residual"] < 1e-12
        assert 1e-4 < told_near["inner_residual"] <= 0.01
        assert told_early["inner_residual"] > 0.02
        assert told_early["cg_residual"] > 0.01
        gap = lambda a: float(tree.norm(jax.tree.map(jnp.subtract, a, wanted)) / tree.norm(wanted))  # noqa: E731
        assert gap(found) < 0.02 < gap(far)


@pytest.mark.parametrize("tolerance", [0.0, 0.05])
def test_the_loss_is_that_of_adapt_and_predict_and_so_is_its_gradient(tolerance):
    """The one solves its linear system with the value, the other when it is differentiated."""
    with jax.enable_x64(True):
        learner = learner_with(40, optax.sgd(0.3), tolerance=tolerance)
        plain = query_loss(learner.adapt, learner.predict, criteria.cross_entropy)

        def of(loss, params, inputs):
            support, query = episode()
            return loss(params, Episode(support._replace(inputs=inputs), query), KEY)[0]

        params, inputs = learner.init(KEY), jnp.asarray(episode().support.inputs, float)
        (ours, slopes), (wanted, expected) = (
            jax.jit(jax.value_and_grad(lambda *given, loss=loss: of(loss, *given), (0, 1)))(params, inputs)
            for loss in (learner.loss, plain)
        )
        np.testing.assert_allclose(ours, wanted, rtol=1e-12)
        jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-6, atol=1e-9), slopes, expected)


def test_tasks_side_by_side_end_each_at_its_own_step():
    learner = learner_with(100, optax.sgd(0.3), tolerance=0.03)
    params, one = learner.init(KEY), episode()
    scales = jnp.array([0.3, 1.0, 3.0])
    of = lambda scale: learner.loss(params, one._replace(support=one.support._replace(  # noqa: E731
        inputs=scale * one.support.inputs)), KEY)  # fmt: skip
    together = jax.jit(jax.vmap(of))(scales)
    alone = [jax.jit(of)(scale) for scale in scales]
    for index, wanted in enumerate(alone):
        jax.tree.map(lambda a, b, i=index: np.testing.assert_allclose(a[i], b, rtol=1e-4, atol=1e-6), together, wanted)
    steps = [int((trace.loss != 0).sum()) for trace in (
        inner.implicit(held(1.0), optax.sgd(rate), 50, regularization=1.0, tolerance=0.05)(
            jnp.ones(2), (jnp.zeros(2), jnp.ones(2)), KEY)[1] for rate in (0.3, 0.05))]  # fmt: skip
    assert 0 < steps[0] < steps[1] < 50


def test_conjugate_gradients_leave_where_the_curvature_is_not_positive():
    """Along the second axis the objective falls without end, so that there is no minimum."""
    curvature = jnp.array([1.0, -3.0])
    loss = lambda params, data, key: (0.5 * jnp.sum(curvature * params**2), {})  # noqa: E731
    outer = lambda params, data, key: (params @ data, {})  # noqa: E731
    value = inner.implicit_loss(loss, outer, optax.sgd(0.1), 1, regularization=1.0)

    def told(slope):
        of = lambda params: value(params, (), jnp.array(slope), KEY, KEY)  # noqa: E731
        return jax.grad(of, has_aux=True)(jnp.array([1.0, 0.1]))

    gradient, metrics = told([1.0, 0.0])
    np.testing.assert_allclose(gradient, [0.5, 0.0], rtol=1e-5)
    assert metrics["cg_residual"] < 1e-5
    gradient, metrics = told([0.0, 1.0])
    np.testing.assert_allclose(gradient, 0.0, atol=1e-6)
    assert metrics["cg_residual"] == 1
    gradient, metrics = told([3.0, 1.0])
    assert np.isfinite(gradient).all()


def test_descent_finds_its_rate():
    """Curvatures from 1 to 3,000, where the first rate is ten times too large."""
    curvatures = jnp.array([3000.0, 300.0, 30.0, 1.0])
    loss = lambda params, data, key: (0.5 * jnp.sum(curvatures * params**2), {})  # noqa: E731
    start = jnp.ones(4)
    for optimizer, solved in ((inner.descent(0.007), True), (optax.sgd(0.007), False)):
        solution, trace = jax.jit(inner.implicit(loss, optimizer, 40, regularization=10.0))(start, (), KEY)
        assert bool(trace.observed < 0.01) == solved
        wanted = 10 / (curvatures + 10)
        assert bool(np.allclose(solution, wanted, atol=0.05)) == solved
    _, trace = inner.unroll(lambda p, d, k: (jnp.sum(jnp.exp(p)), {}), inner.descent(1e3), 30)(start, (), KEY)
    assert np.isfinite(trace.loss[-1])
    with pytest.raises(ValueError, match=r"descent: learning_rate: expected a positive number, got 0.0"):
        inner.descent(0.0)


@pytest.mark.parametrize(
    ("given", "error", "message"),
    [
        ({"inner_optimizer": 0.1}, TypeError, "implicit: optimizer: expected an Optax transformation.*got 0.1"),
        ({"inner_optimizer": optax.constant_schedule(0.1)}, TypeError, "expected an Optax transformation"),
        ({"regularization": 0.0}, ValueError, "regularization: expected a positive number, got 0.0"),
        ({"num_cg_steps": 0}, ValueError, "num_cg_steps: expected a whole number of at least 1"),
        ({"tolerance": 1.0}, ValueError, "tolerance: expected a part of at least 0 and less than 1, got 1.0"),
        ({"cg_tolerance": -0.1}, ValueError, "cg_tolerance: expected a part of at least 0 and less than 1, got -0.1"),
        ({"num_steps": -1}, ValueError, "num_steps: expected a whole number of at least 0"),
    ],
)
def test_wrong_use(given, error, message):
    usual = {"inner_optimizer": optax.sgd(0.1), "num_steps": 2, "regularization": 1.0}
    with pytest.raises(error, match=message):
        imaml(point(), quadratic, **(usual | given))
