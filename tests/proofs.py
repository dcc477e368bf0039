"""What the proofs of the learners share: a smooth task, and finite differences in double precision."""

import chex
import jax
import jax.numpy as jnp
import numpy as np

from jaxmeta.types import Batch, Episode, Model

KEY = jax.random.key(0)


def double(tree):
    """The tree with its floats in double precision."""
    return jax.tree.map(
        lambda leaf: leaf.astype(jnp.float64) if jnp.issubdtype(leaf.dtype, jnp.floating) else leaf, tree
    )


def network():
    """A smooth network, so that finite differences have digits."""

    def init(key):
        keys = jax.random.split(key, 2)
        return {
            "w": jax.random.normal(keys[0], (2, 6), jnp.float64),
            "b": jnp.full(6, 0.1, jnp.float64),
            "v": jax.random.normal(keys[1], (6, 3), jnp.float64),
        }

    return Model(
        init, lambda params, x, mask=None, context=(): jnp.tanh(x @ params["w"] + params["b"][None]) @ params["v"]
    )


def episode():
    """A classification task with three classes, 6 support rows and 8 query rows."""
    x = jax.random.normal(jax.random.key(1), (14, 2), jnp.float64)
    y = jnp.arange(14) % 3
    return Episode(Batch(x[:6], y[:6]), Batch(x[6:], y[6:]))


def meta_gradient(learner, meta_params):
    """The gradient of the learner's loss on `episode`."""
    return jax.jit(jax.grad(lambda meta_params: learner.loss(meta_params, episode(), KEY)[0]))(meta_params)


def assert_close(a, b, rtol=1e-10, atol=1e-12):
    """Two trees hold the same numbers."""
    assert jax.tree.structure(a) == jax.tree.structure(b)
    chex.assert_trees_all_close(a, b, rtol=rtol, atol=atol)


def finite_differences(loss, params, *, step=1e-5):
    """Returns the gradient of loss(params) as jax has it and by central differences, both flat; wants float64."""
    flat, unflatten = jax.flatten_util.ravel_pytree(params)
    assert flat.dtype == jnp.float64

    @jax.jit
    def both(flat):
        value = lambda flat: loss(unflatten(flat))  # noqa: E731
        ahead, behind = (jax.lax.map(lambda e, sign=sign: value(flat + sign * step * e), jnp.eye(len(flat)))
                         for sign in (1, -1))  # fmt: skip
        return jax.grad(value)(flat), (ahead - behind) / (2 * step)

    return tuple(map(np.asarray, both(flat)))


def check_gradient(loss, params, *, tolerance=1e-6):
    """Fails unless the gradient of every leaf is the finite differences', relative to the whole gradient's norm."""
    exact, differences = finite_differences(loss, params)
    assert np.linalg.norm(exact - differences) <= tolerance * np.linalg.norm(exact)
    return exact


def assert_exact(learner, meta_params):
    """The meta-gradient of every leaf against central differences, to 1e-6 of the norm of the whole gradient.

    No leaf may hide: each one's share of the norm must be far above that error.
    """
    exact = check_gradient(lambda meta_params: learner.loss(meta_params, episode(), KEY)[0], meta_params)
    _, unflatten = jax.flatten_util.ravel_pytree(meta_params)
    for path, leaf in jax.tree.leaves_with_path(unflatten(exact)):
        assert np.linalg.norm(leaf) > 1e-5 * np.linalg.norm(exact), jax.tree_util.keystr(path)
