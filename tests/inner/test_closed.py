import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxmeta import inner

KEY = jax.random.key(0)


@pytest.mark.parametrize("penalty", [1e-3, 10.0])
def test_the_inverse_by_products_is_lapacks_with_its_derivative(penalty):
    with jax.enable_x64(True):
        factors = jax.random.normal(KEY, (2, 6, 4), float)
        matrices, penalties = factors @ factors.swapaxes(1, 2), jnp.array([penalty, 2 * penalty])
        exact = lambda matrices, penalties: jnp.linalg.inv(  # noqa: E731
            matrices + penalties[:, None, None] * jnp.eye(6)[None]
        )
        given = (matrices, penalties), (jnp.ones((2, 6, 6)), jnp.ones(2))
        for found, wanted in zip(jax.jvp(inner.regularized_inverse, *given), jax.jvp(exact, *given), strict=True):
            np.testing.assert_allclose(found, wanted, rtol=1e-7, atol=1e-7)
        gradient = lambda inverse: jax.grad(lambda penalties: inverse(matrices, penalties).sum())(penalties)  # noqa: E731
        np.testing.assert_allclose(gradient(inner.regularized_inverse), gradient(exact), rtol=1e-6)
