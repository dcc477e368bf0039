import jax
import jax.numpy as jnp
import numpy as np
import pytest
import registry

from jaxmeta import datasets, tasks

KEY = jax.random.key(0)


@pytest.mark.parametrize("name", registry.TASKS)
def test_an_episode_is_a_function_of_seed_and_index(name):
    sample = registry.TASKS[name]()
    many = jax.jit(lambda: tasks.episodes(sample, KEY, jnp.arange(6)))()
    few = jax.jit(lambda: tasks.episodes(sample, KEY, jnp.array([4, 1])))()
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a[jnp.array([4, 1])], b, rtol=1e-6), many, few)
    assert not np.allclose(many.support.inputs[0], many.support.inputs[1])


def test_distinct_draws_are_uniform_ordered_draws():
    draws = np.array(jax.vmap(lambda key: tasks.distinct(key, 4, 3))(jax.random.split(KEY, 24_000)))
    assert all(len(set(draw)) == 3 for draw in draws.tolist())
    _, counts = np.unique(draws @ [16, 4, 1], return_counts=True)
    assert len(counts) == 24
    assert np.square(counts - 1000).sum() / 1000 < 60  # chi-squared with 23 degrees of freedom, p < 1e-4


def identified():
    """Every example carries its class and its own number; classes differ in size."""
    sizes = [4, 7, 5, 9]
    labels = np.repeat(np.arange(4), sizes)
    return datasets.from_labels(np.stack([labels, np.arange(25)], 1).astype(np.float32), labels, name="numbered")


def test_few_shot_episodes():
    sample = tasks.few_shot(identified(), num_ways=3, num_shots=2, num_queries=2)
    episodes = jax.jit(lambda: tasks.episodes(sample, KEY, jnp.arange(300)))()
    assert episodes.support.inputs.shape == (300, 6, 2)
    dealt = set()
    for support, query in zip(np.array(episodes.support.inputs), np.array(episodes.query.inputs), strict=True):
        assert len({*support[:, 1], *query[:, 1]}) == 12
        classes = support[::2, 0]
        assert len(set(classes)) == 3
        np.testing.assert_array_equal(support[:, 0], np.repeat(classes, 2))
        np.testing.assert_array_equal(query[:, 0], np.repeat(classes, 2))
        dealt.add(tuple(classes))
    assert len(dealt) == 24
    np.testing.assert_array_equal(episodes.query.targets[0], [0, 0, 1, 1, 2, 2])


def aligned(sizes, start, name):
    """Four classes; every example carries its class and its own number."""
    labels = np.repeat(np.arange(4), sizes)
    inputs = np.stack([labels, start + np.arange(len(labels))], 1).astype(np.float32)
    return datasets.from_labels(inputs, labels, name=name)


def test_support_of_one_domain_and_queries_of_another():
    sample = tasks.across(
        aligned([1, 2, 1, 3], 0, "noto"), aligned([3, 2, 4, 2], 100, "openmoji"), num_ways=3, num_shots=1, num_queries=2
    )
    episodes = jax.jit(lambda: tasks.episodes(sample, KEY, jnp.arange(300)))()
    assert episodes.support.inputs.shape == (300, 3, 2)
    dealt = set()
    for support, query in zip(np.array(episodes.support.inputs), np.array(episodes.query.inputs), strict=True):
        assert support[:, 1].max() < 100 <= query[:, 1].min()
        assert len(set(query[:, 1])) == 6
        np.testing.assert_array_equal(query[:, 0], np.repeat(support[:, 0], 2))
        dealt.add(tuple(support[:, 0]))
    assert len(dealt) == 24
    np.testing.assert_array_equal(episodes.query.targets[0], [0, 0, 1, 1, 2, 2])
    assert episodes.query.classes.all()


def test_pictures_across_styles(data_dir):
    noto, openmoji = (datasets.load(f"emoji_styles:{s}", data_dir=data_dir, split="test") for s in ("noto", "openmoji"))
    sample = tasks.across(noto, openmoji, num_ways=5, num_shots=1, num_queries=1)
    episode = jax.jit(sample)(KEY)
    assert episode.support.inputs.shape == episode.query.inputs.shape == (5, 32, 32, 3)
    assert episode.support.inputs.max() <= 1
    for support, query in zip(np.array(episode.support.inputs), np.array(episode.query.inputs), strict=True):
        (index,) = np.flatnonzero((noto.inputs == np.rint(255 * support)).all((1, 2, 3)))
        np.testing.assert_array_equal(openmoji.inputs[index], np.rint(255 * query))


def test_strokes_splits_share_no_class():
    episodes = {}
    for split in ("train", "validation", "test"):
        sample = tasks.strokes(num_ways=3, num_shots=1, num_queries=1, split=split, size=12)
        episodes[split] = jax.jit(sample)(KEY).support.inputs
        assert episodes[split].min() >= 0
        assert 0.3 < episodes[split].max() <= 1
    assert not np.allclose(episodes["train"], episodes["test"])


def test_sinusoid_is_one():
    episode = tasks.sinusoid(num_shots=50, num_queries=50)(KEY)
    x = np.concatenate([episode.support.inputs, episode.query.inputs])
    y = np.concatenate([episode.support.targets, episode.query.targets])
    basis = np.concatenate([np.sin(x), np.cos(x)], 1)
    _, residual, *_ = np.linalg.lstsq(basis, y, rcond=None)
    assert residual.sum() < 1e-6
    assert np.abs(x).max() <= 5


ONE, TWO = aligned([1, 2, 1, 3], 0, "a"), aligned([3, 2, 4, 2], 0, "b")


def across(queries=TWO, **sizes):
    return tasks.across(ONE, queries, **{"num_ways": 2, "num_shots": 1, "num_queries": 1, **sizes})


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (lambda: tasks.few_shot(identified(), num_ways=5, num_shots=1, num_queries=1), "the 4 classes"),
        (lambda: tasks.few_shot(identified(), num_ways=2, num_shots=3, num_queries=2), "class '0'"),
        (lambda: tasks.strokes(num_ways=2, num_shots=1, num_queries=1, split="tests"), "one of train"),
        (lambda: across(num_ways=5), "the 4 classes"),
        (lambda: across(num_shots=2), "num_shots: expected at most 1, the examples of a's class '0', got 2"),
        (lambda: across(num_queries=3), "num_queries: expected at most 2"),
        (lambda: across(datasets.select(TWO, [0, 1, 3, 2], "x")), "got '2' beside '3'"),
        (lambda: across(datasets.select(TWO, [0, 1], "x")), "got 4 and 2"),
        (lambda: across(TWO._replace(inputs=TWO.inputs[:, :1])), r"float32 \[2\], got float32 \[1\]; load both"),
        (lambda: tasks.sinusoid(num_shots=0, num_queries=1), "num_shots"),
        (lambda: tasks.from_arrays([(np.ones((3, 1)), np.ones((3, 1)))], num_shots=2, num_queries=2), "2 \\+ 2"),
        (lambda: tasks.from_arrays([(np.ones((4, 1)), np.ones((3, 1)))], num_shots=1, num_queries=1), "task 0"),
    ],
)
def test_what_a_sampler_refuses(build, message):
    with pytest.raises(ValueError, match=message):
        build()


def test_tasks_of_different_size():
    arrays = [(np.full((n, 2), n, np.float32), np.arange(n, dtype=np.float32)) for n in (4, 9, 6)]
    episode = tasks.episodes(tasks.from_arrays(arrays, num_shots=2, num_queries=2), KEY, jnp.arange(50))
    values = np.concatenate([episode.support.targets, episode.query.targets], 1)
    for row, size in zip(values, np.array(episode.support.inputs[:, 0, 0]), strict=True):
        assert len(set(row)) == 4
        assert row.max() < size
