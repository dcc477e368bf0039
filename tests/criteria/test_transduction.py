import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxmeta import criteria
from jaxmeta.types import Batch

KEY = jax.random.key(0)


def plain_distance(a, b):
    """The recursion that everybody knows."""
    if not a or not b:
        return len(a) + len(b)
    return min(
        plain_distance(a[1:], b) + 1, plain_distance(a, b[1:]) + 1, plain_distance(a[1:], b[1:]) + (a[0] != b[0])
    )


def test_edit_distance():
    random = np.random.default_rng(0)
    pairs = [([], []), ([2, 3, 4], []), ([], [2, 3]), ([2, 3, 4], [3, 4, 2]), ([2, 2, 3], [2, 3, 3])]
    pairs += [(list(random.integers(2, 5, i % 6)), list(random.integers(2, 5, i % 5))) for i in range(30)]
    padded = [np.array([own + [0] * (6 - len(own)) for own in side]) for side in zip(*pairs, strict=True)]
    lengths = [np.array([len(own) for own in side]) for side in zip(*pairs, strict=True)]
    found = jax.jit(jax.vmap(criteria.edit_distance))(*padded, *lengths)
    np.testing.assert_array_equal(found, [plain_distance(*pair) for pair in pairs])


def test_error_rates():
    right = jnp.array([[2, 3, 4, 1, 0], [5, -1, 1, 0, 0], [2, 2, 2, 2, 1], [3, 3, 1, 0, 0]])
    said = jnp.array([[2, 3, 4, 1, 9], [5, 1, 0, 0, 0], [2, 2, 3, 2, 2], [4, 4, 4, 4, 4]])
    loss, metrics = criteria.error_rates(lambda x, mask=None: said, Batch(jnp.zeros((4, 1)), right), KEY)
    # Right; one symbol that nobody can name; one too many among four; two wrong and three too many.
    assert metrics["phoneme_error_rate"] == loss == pytest.approx((0 + 1 + 1 + 5) / (3 + 2 + 4 + 2))
    assert metrics["word_error_rate"] == 0.75
    masked = Batch(jnp.zeros((4, 1)), right, jnp.array([True, True, False, False]))
    metrics = criteria.error_rates(lambda x, mask=None: said, masked, KEY)[1]
    assert metrics["phoneme_error_rate"] == pytest.approx(1 / 5)
    assert metrics["word_error_rate"] == 0.5


def test_transduction_scores_what_is_real():
    targets, seen = jnp.array([[2, 3, 1, 0], [3, -1, 2, 1], [2, 2, 1, 0]]), {}
    logits = jax.random.normal(KEY, (3, 4, 5))

    def predictor(inputs, mask=None):
        seen["inputs"], seen["previous"] = inputs
        return logits

    mask = jnp.array([True, True, False])
    loss, metrics = criteria.transduction(predictor, Batch(jnp.zeros((3, 1)), targets, mask), KEY)
    scored = [(0, 0), (0, 1), (0, 2), (1, 0), (1, 2), (1, 3)]
    shares = np.asarray(jax.nn.log_softmax(logits))
    assert loss == pytest.approx(-np.mean([shares[row, place, targets[row, place]] for row, place in scored]), rel=1e-5)
    right = np.asarray(logits.argmax(axis=-1) == targets)
    assert metrics["symbol_accuracy"] == pytest.approx(np.mean([right[at] for at in scored]))
    np.testing.assert_array_equal(seen["previous"], [[1, 2, 3, 1], [1, 3, 0, 2], [1, 2, 2, 1]])


@pytest.mark.parametrize("criterion", [criteria.transduction, criteria.error_rates])
def test_outputs_of_another_form_are_refused(criterion):
    batch = Batch(jnp.zeros((2, 1)), jnp.array([[2, 1], [3, 1]]))
    with pytest.raises(ValueError, match=r"expected (logits|numbers) \[n, T.*got shape \(2,\)"):
        criterion(lambda inputs, mask=None: jnp.zeros(2), batch, KEY)
