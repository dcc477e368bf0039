"""What holds of samplers, masks and statistics for any sizes and any values."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from jaxmeta import criteria, datasets, statistics, tasks
from jaxmeta.models import normalization
from jaxmeta.types import Batch

KEY = jax.random.key(0)
SETTINGS = settings(max_examples=20, derandomize=True, deadline=None, database=None)
# Each example of a sampler is a program to compile.
SAMPLERS = settings(SETTINGS, max_examples=5)
NUM_EPISODES = 30
SIZES = st.lists(st.integers(2, 9), min_size=2, max_size=6)
ROWS, WAYS = 6, 4
VALUES = st.floats(-100, 100, width=32)
ACCURACIES = st.integers(0, 75).map(lambda hits: hits / 75)
SCORES = st.lists(ACCURACIES, min_size=2, max_size=30)


def numbered(sizes):
    """Examples [class, number]."""
    labels = np.repeat(np.arange(len(sizes)), sizes)
    return datasets.from_labels(np.stack([labels, np.arange(sum(sizes))], 1).astype(np.float32), labels, name="any")


def draw(sample):
    """Episodes on the host, one by one."""
    episodes = jax.device_get(tasks.drawn(sample, KEY, jnp.arange(NUM_EPISODES)))
    return [jax.tree.map(lambda leaf, index=index: leaf[index], episodes) for index in range(NUM_EPISODES)]


def check_parts(parts, num_ways):
    """No example twice, labels 0 .. num_ways - 1, and one class a label; returns the classes in the labels' order."""
    inputs, targets = (np.concatenate(leaves) for leaves in zip(*parts, strict=True))
    assert len(set(inputs[:, 1])) == len(inputs)
    pairs = sorted({(int(target), int(each)) for target, each in zip(targets, inputs[:, 0], strict=True)})
    assert [target for target, _ in pairs] == list(range(num_ways))
    classes = [each for _, each in pairs]
    assert len(set(classes)) == num_ways
    return classes


@SAMPLERS
@given(SIZES, st.data())
def test_few_shot_episodes(sizes, data):
    num_ways = data.draw(st.integers(2, len(sizes)))
    num_shots = data.draw(st.integers(1, min(sizes) - 1))
    num_queries = data.draw(st.integers(1, min(sizes) - num_shots))
    sample = tasks.few_shot(numbered(sizes), num_ways=num_ways, num_shots=num_shots, num_queries=num_queries)
    orders = []
    for episode in draw(sample):
        orders.append(check_parts([part[:2] for part in episode], num_ways))
        for part, count in zip(episode, (num_shots, num_queries), strict=True):
            np.testing.assert_array_equal(np.bincount(part.targets), [count] * num_ways)
            assert part.classes.all()
    rising = [order == sorted(order) for order in orders]
    assert not all(rising)  # by chance at most once in 2 ** 30


@SAMPLERS
@given(SIZES, st.data())
def test_variable_episodes(sizes, data):
    min_ways = data.draw(st.integers(2, len(sizes)))
    max_ways = data.draw(st.integers(min_ways, 7))
    max_shots, most_queries = data.draw(st.integers(1, 8)), data.draw(st.integers(1, 5))
    max_support = data.draw(st.integers(max_ways, 30))
    limits = {"min_ways": min_ways, "max_ways": max_ways, "max_shots": max_shots, "max_support": max_support}
    for support, query in draw(tasks.variable(numbered(sizes), num_queries=most_queries, **limits)):
        num_ways = int(support.classes[0].sum())
        assert min_ways <= num_ways <= min(max_ways, len(sizes))
        for part in (support, query):
            np.testing.assert_array_equal(part.classes, [[way < num_ways for way in range(max_ways)]] * len(part.mask))
        classes = check_parts(
            [(part.inputs[part.mask], part.targets[part.mask]) for part in (support, query)], num_ways
        )
        shots = np.bincount(support.targets[support.mask], minlength=num_ways)
        assert 1 <= shots.min() <= shots.max() <= max_shots
        assert shots.sum() <= max_support
        smallest = min(sizes[each] for each in classes)
        queries = np.bincount(query.targets[query.mask], minlength=num_ways)
        np.testing.assert_array_equal(queries, [min(most_queries, smallest // 2)] * num_ways)


@SAMPLERS
@given(SIZES, st.data())
def test_episodes_of_a_list_of_tasks(sizes, data):
    num_shots = data.draw(st.integers(1, min(sizes) - 1))
    num_queries = data.draw(st.integers(1, min(sizes) - num_shots))
    arrays = [(np.full((size, 1), index, np.float32), np.arange(size)) for index, size in enumerate(sizes)]
    for episode in draw(tasks.from_arrays(arrays, num_shots=num_shots, num_queries=num_queries)):
        assert [len(part.targets) for part in episode] == [num_shots, num_queries]
        inputs, rows = (np.concatenate(leaves) for leaves in zip(*(part[:2] for part in episode), strict=True))
        assert len(np.unique(inputs)) == 1
        assert len(set(rows)) == len(rows)
        assert rows.max() < sizes[int(inputs[0, 0])]


@st.composite
def masked_rows(draw):
    """A mask [ROWS] with a real row, and values [ROWS, WAYS] that are anything in padded rows, too."""
    mask = np.array(draw(st.lists(st.booleans(), min_size=ROWS, max_size=ROWS).filter(any)))
    values = draw(st.lists(VALUES, min_size=ROWS * WAYS, max_size=ROWS * WAYS))
    return mask, np.array(values, np.float32).reshape(ROWS, WAYS)


@functools.partial(jax.jit, static_argnums=0)
def scored(criterion, batch):
    """A criterion's loss, metrics and gradient with the inputs for the outputs, padded rows last."""

    def loss(inputs):
        return criterion(lambda inputs, mask=None: inputs, batch._replace(inputs=inputs), KEY)

    return jax.value_and_grad(loss, has_aux=True)(batch.inputs)


@SETTINGS
@given(masked_rows(), st.lists(st.integers(0, 1), min_size=ROWS, max_size=ROWS), st.integers(2, WAYS))
def test_padding_changes_no_criterion(rows, labels, num_ways):
    mask, outputs = rows
    classes = np.broadcast_to(np.arange(WAYS) < num_ways, (ROWS, WAYS))
    labelled = Batch(outputs, np.array(labels), mask, classes)
    for criterion, padded in (
        (criteria.cross_entropy, labelled),
        (criteria.relation_score, labelled),
        (criteria.squared_error, Batch(outputs, outputs[::-1] / 2, mask)),
    ):
        plain = jax.tree.map(lambda leaf: leaf[mask], padded)._replace(mask=None)
        result, gradient = scored(criterion, padded)
        expected, real_gradient = scored(criterion, plain)
        jax.tree.map(functools.partial(np.testing.assert_allclose, rtol=2e-5, atol=1e-6), result, expected)
        np.testing.assert_allclose(gradient[mask], real_gradient, rtol=2e-5, atol=1e-6)
        np.testing.assert_array_equal(gradient[~mask], 0)


@SETTINGS
@given(masked_rows())
def test_padding_changes_no_moment(rows):
    mask, values = rows
    moments = jax.jit(normalization.row_moments)(values, mask)
    expected = jax.jit(normalization.row_moments)(values[mask], None)
    jax.tree.map(functools.partial(np.testing.assert_allclose, rtol=1e-4, atol=1e-4), moments, expected)
    np.testing.assert_allclose(moments.mean, values[mask].mean(0), rtol=1e-4, atol=1e-4)
    assert moments.count == mask.sum()


@SETTINGS
@given(st.lists(st.floats(0, 1), min_size=1, max_size=20), st.randoms(use_true_random=False))
def test_holm_raises_p_values_and_keeps_their_order(p_values, random):
    adjusted = statistics.holm(p_values)
    assert (adjusted >= p_values).all()
    assert adjusted.max() <= 1
    assert (np.diff(adjusted[np.argsort(p_values)]) >= 0).all()
    order = list(range(len(p_values)))
    random.shuffle(order)
    np.testing.assert_array_equal(statistics.holm(np.array(p_values)[order]), adjusted[order])


@SETTINGS
@given(st.lists(st.tuples(ACCURACIES, ACCURACIES), min_size=2, max_size=30))
def test_paired_is_antisymmetric(pairs):
    first, second = np.array(pairs).T
    forth, back = (statistics.paired(*each, num_resamples=200) for each in ((first, second), (second, first)))
    assert (forth.won, forth.lost, forth.tied) == (back.lost, back.won, back.tied)
    assert forth.won + forth.lost + forth.tied == len(pairs)
    np.testing.assert_allclose(forth.p_value, back.p_value, rtol=1e-9)
    (mean, low, high), other = forth.difference, back.difference
    np.testing.assert_allclose((mean, low, high), (-other.mean, -other.high, -other.low), atol=1e-9)


@SETTINGS
@given(SCORES, st.floats(0.01, 0.99), st.floats(0.01, 0.99))
def test_an_interval_holds_its_mean_and_grows_with_its_level(scores, first, second):
    narrow, wide = (statistics.mean_interval(scores, level=level) for level in sorted((first, second)))
    np.testing.assert_allclose(narrow.mean, np.mean(scores), atol=1e-12)
    assert wide.low <= narrow.low <= narrow.mean <= narrow.high <= wide.high


@SETTINGS
@given(SCORES)
def test_a_bootstrap_interval_lies_within_the_scores(scores):
    _, low, high = statistics.bootstrap_interval(scores, num_resamples=200)
    assert min(scores) - 1e-9 <= low <= high <= max(scores) + 1e-9
