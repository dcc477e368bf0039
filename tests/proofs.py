"""What the proofs of the gradient-based learners share: a smooth task, and finite differences in double precision."""

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

    return Model(init, lambda params, x, mask=None, context=(): jnp.tanh(x @ params["w"] + params["b"]) @ params["v"])


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
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=rtol, atol=atol), a, b)


def assert_exact(learner, meta_params, *, step=1e-5):
    """The meta-gradient of every leaf against central differences, to 1e-6 of the norm of the whole gradient.

    No leaf may hide: each one's share of the norm must be far above that error.
    """
    flat, unflatten = jax.flatten_util.ravel_pytree(meta_params)

    @jax.jit
    def both(flat):
        loss = lambda flat: learner.loss(unflatten(flat), episode(), KEY)[0]  # noqa: E731
        difference = lambda e: (loss(flat + step * e) - loss(flat - step * e)) / (2 * step)  # noqa: E731
        return jax.grad(loss)(flat), jax.lax.map(difference, jnp.eye(len(flat), dtype=flat.dtype))

    exact, differences = both(flat)
    assert exact.dtype == jnp.float64
    size = np.linalg.norm(differences)
    assert np.linalg.norm(exact - differences) <= 1e-6 * size
    for path, leaf in jax.tree.leaves_with_path(unflatten(exact)):
        assert np.linalg.norm(leaf) > 1e-5 * size, jax.tree_util.keystr(path)
