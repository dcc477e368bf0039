"""Neural processes and deep kernels, beside the exact posterior."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import jaxmeta
from jaxmeta import baselines, criteria, evaluation, learners, models, tasks
from jaxmeta.learners import processes
from jaxmeta.types import Batch, Episode

KEY = jax.random.key(0)
LOSS = criteria.gaussian_likelihood


def _cnp():
    return learners.cnp(models.mlp(2, 8, hidden=(8,)), models.mlp(1 + 8, 2, hidden=(8,)), LOSS)


def _anp():
    points = models.mlp(2, 8, hidden=(8,))
    return learners.anp(points, models.mlp(1, 8, hidden=(8,)), models.mlp(2, 6, hidden=(8,)),
                        models.mlp(1 + 8 + 3, 2, hidden=(8,)), LOSS, num_heads=2)  # fmt: skip


def _tnp():
    return learners.tnp(models.point_network(1, 1, width=8, num_layers=2, num_heads=2, hidden=8), LOSS)


def _dkt():
    return learners.dkt(models.mlp(1, 3, hidden=(8,)))


LEARNERS = {"cnp": _cnp, "anp": _anp, "tnp": _tnp, "dkt": _dkt}


@functools.cache
def episodes():
    return tasks.drawn(tasks.gaussian_process(most_points=12), KEY, jnp.arange(3))


@pytest.mark.product(name=("cnp", "dkt"))
@pytest.mark.parametrize("name", LEARNERS)
def test_of_all_promises_none_is_broken(name):
    report = jaxmeta.audit(LEARNERS[name](), episodes(), KEY, criterion=LOSS, promises={"query_targets": None})
    assert report.broken == (), str(report)
    found = {check.name: check.found for check in report.checks}
    assert found["queries"] == "inductive"
    assert found["support_order"] == "ignored"


@pytest.mark.product(name=("anp", "tnp"))
@pytest.mark.parametrize("name", LEARNERS)
def test_joint_is_single(name):
    with jax.enable_x64(True):
        learner = LEARNERS[name]()
        given = jax.tree.map(lambda leaf: leaf.astype(float) if leaf.dtype != bool else leaf, episodes())
        found = evaluation.evaluate(learner, LOSS, learner.init(KEY), given, KEY)
        for metric, values in found["joint"].items():
            assert np.isfinite(values).all()
            np.testing.assert_allclose(found["single"][metric], values, atol=1e-9)


@pytest.mark.product(name=("anp", "dkt"))
@pytest.mark.parametrize("name", LEARNERS)
def test_loss_falls(name):
    learner = LEARNERS[name]()
    loss = jax.jit(lambda params, key: jax.vmap(learner.loss, (None, 0, None))(params, episodes(), key)[0].mean())
    params, optimizer = learner.init(KEY), optax.adam(1e-2)
    state, gradient = optimizer.init(params), jax.jit(jax.grad(loss))
    first = loss(params, KEY)
    for _ in range(40):
        updates, state = optimizer.update(gradient(params, KEY), state)
        params = optax.apply_updates(params, updates)
    assert loss(params, KEY) < first - 0.1


def test_the_likelihood_by_hand():
    found = criteria.Gaussian(jnp.array([[0.0], [1.0]]), jnp.array([[1.0], [2.0]]))
    batch = Batch(jnp.zeros((2, 1)), jnp.array([[1.0], [1.0]]))
    loss, metrics = LOSS(lambda inputs, mask=None: found, batch, KEY)
    expected = -np.mean([-0.5 - np.log(np.sqrt(2 * np.pi)), -np.log(2 * np.sqrt(2 * np.pi))])
    np.testing.assert_allclose(loss, expected, rtol=1e-6)
    np.testing.assert_allclose(metrics["squared_error"], 0.5)
    masked = LOSS(lambda inputs, mask=None: found, batch._replace(mask=jnp.array([False, True])), KEY)[1]
    np.testing.assert_allclose(masked["squared_error"], 0)


def test_what_is_no_distribution_is_refused():
    batch = Batch(jnp.zeros((2, 1)), jnp.zeros((2, 1)))
    with pytest.raises(TypeError, match="a Gaussian, got"):
        LOSS(lambda inputs, mask=None: jnp.zeros((2, 1)), batch, KEY)
    with pytest.raises(ValueError, match="a scale of the targets' shape"):
        LOSS(lambda inputs, mask=None: criteria.Gaussian(jnp.zeros((2, 1)), jnp.ones(2)), batch, KEY)
    with pytest.raises(ValueError, match="a mean and a scale for each value"):
        criteria.from_outputs(jnp.zeros((2, 3)))


def test_the_posterior_is_that_of_the_joint_distribution():
    with jax.enable_x64(True):
        factor = np.random.default_rng(0).normal(size=(6, 9))
        joint, seen = factor @ factor.T, np.array([[0.3], [-1.0], [0.5], [2.0]])
        keep = jnp.array([True, True, False, True])
        real = np.flatnonzero(keep)
        known = processes.posterior(jnp.asarray(joint[:4, :4]), jnp.asarray(seen), keep)
        between = jnp.where(keep[None], jnp.asarray(joint[4:, :4]), 0)
        found = processes.answer(known, between, jnp.asarray(np.diag(joint)[4:]))
        inverse = np.linalg.inv(joint[np.ix_(real, real)])
        across = joint[4:][:, real]
        np.testing.assert_allclose(found.mean, across @ inverse @ seen[real], rtol=1e-9)
        variance = joint[4:, 4:] - across @ inverse @ across.T
        np.testing.assert_allclose(found.scale[:, 0], np.sqrt(np.diag(variance)), rtol=1e-9)
        density = -0.5 * seen[real].T @ inverse @ seen[real] + 0.5 * np.linalg.slogdet(inverse)[1]
        density = density - len(real) / 2 * np.log(2 * np.pi)
        np.testing.assert_allclose(processes.log_marginal(known, jnp.asarray(seen), keep), density[0, 0], rtol=1e-9)


@pytest.mark.parametrize("kernel", [tasks.rbf, tasks.matern52, tasks.periodic])
def test_the_oracle_is_sure_of_what_it_says(kernel):
    """Errors in units of what it says are normal, and what is told changes no episode."""
    sample = tasks.gaussian_process(kernel=kernel, most_points=20)
    drawn = tasks.drawn(tasks.with_kernel(sample), KEY, jnp.arange(300))
    plain = tasks.drawn(sample, KEY, jnp.arange(300))
    np.testing.assert_array_equal(drawn.query.targets, plain.query.targets)
    np.testing.assert_array_equal(drawn.support.inputs[..., :1], plain.support.inputs)
    oracle = baselines.exact_gaussian_process(LOSS, kernel=kernel)

    def errors(episode):
        found = oracle.predict({}, oracle.adapt({}, episode.support, KEY), episode.query.inputs)
        return ((episode.query.targets - found.mean) / found.scale)[:, 0]

    scaled = np.asarray(jax.jit(jax.vmap(errors))(drawn))[np.asarray(drawn.query.mask)]
    assert abs(np.square(scaled).mean() - 1) < 0.1
    assert abs(scaled.mean()) < 0.1
    shown = np.asarray(drawn.support.mask).sum(axis=1)
    asked = np.asarray(drawn.query.mask).sum(axis=1)
    assert shown.min() == 3
    assert asked.min() == 3
    assert (shown + asked).max() == 20


def test_only_functions_of_gaussian_processes_have_kernels():
    with pytest.raises(TypeError, match="a sampler of gaussian_process"):
        tasks.with_kernel(tasks.sinusoid(num_shots=2, num_queries=2))


@pytest.mark.long
def test_functions_without_noise_do_not_break_a_deep_kernel():
    """Where the noise that is learned goes to nothing, near places make rows alike, and a factor must still exist."""
    learner = LEARNERS["dkt"]()
    inputs = jnp.repeat(jnp.linspace(-1, 1, 12), 2)[:, None]
    batch = Batch(inputs, jnp.sin(inputs))
    meta_params = learner.init(KEY)._replace(log_noise=jnp.array(-30.0), log_length=jnp.array(3.0))
    loss, grads = jax.value_and_grad(lambda own: learner.loss(own, Episode(batch, batch), KEY)[0])(meta_params)
    assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves((loss, grads)))
    said = learner.predict(meta_params, learner.adapt(meta_params, batch, KEY), inputs)
    assert (np.asarray(said.scale) > 0).all()


@pytest.mark.fault(promised="what is said in float32, about")
@pytest.mark.parametrize("dtype", [jnp.bfloat16, jnp.float16])
def test_a_deep_kernel_in_half_precision_is_as_sure_as_in_float32(dtype):
    learner = LEARNERS["dkt"]()
    inputs = jnp.linspace(-1, 1, 10)[:, None]
    batch, meta_params = Batch(inputs, jnp.sin(2 * inputs)), learner.init(KEY)

    def said(dtype):
        own, given = jax.tree.map(lambda leaf: leaf.astype(dtype), (meta_params, batch))
        return learner.predict(own, learner.adapt(own, given, KEY), given.inputs)

    half, full = said(dtype), said(jnp.float32)
    np.testing.assert_allclose(half.scale, full.scale, rtol=0.1)
    np.testing.assert_allclose(half.mean, full.mean, atol=0.1)


@pytest.mark.parametrize("name", ["cnp", "anp", "dkt"])
def test_a_support_set_without_a_row_is_refused(name):
    learner, none = LEARNERS[name](), Batch(jnp.zeros((0, 1)), jnp.zeros((0, 1)))
    with pytest.raises(
        ValueError, match=f"{name}: expected a support set of one row at least, got none; .* mask a row"
    ):
        learner.adapt(learner.init(KEY), none, KEY)
