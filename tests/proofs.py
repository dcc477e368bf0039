"""What several test files prove in the same way."""

import jax
import jax.numpy as jnp
import numpy as np


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
