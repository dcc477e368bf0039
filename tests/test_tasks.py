from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import registry

from jaxmeta import baselines, criteria, datasets, evaluate, tasks
from jaxmeta.types import Batch, Episode, MetaLearner

KEY = jax.random.key(0)
TABLE = {"num_features": 3, "num_ways": 2, "num_shots": 1, "num_queries": 1}
X = np.ones((2, 1))


@pytest.mark.parametrize("name", registry.TASKS)
@pytest.mark.product(name=("few_shot", "strokes", "from_arrays", "sinusoid"))
def test_an_episode_is_a_function_of_seed_and_index(name):
    sample = registry.TASKS[name]()
    many = jax.jit(lambda: tasks.episodes(sample, KEY, jnp.arange(6)))()
    few = jax.jit(lambda: tasks.episodes(sample, KEY, jnp.array([4, 1])))()
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a[jnp.array([4, 1])], b, rtol=1e-6), many, few)
    assert not np.allclose(many.support.inputs[0], many.support.inputs[1])


@pytest.mark.parametrize("name", [*registry.TASKS, "labelled_batches"])
@pytest.mark.product(name=("few_shot", "mixture", "sinusoid", "labelled_batches"))
def test_a_sampler_is_a_pytree_of_its_data(name):
    make = registry.TASKS.get(name, lambda: tasks.labelled_batches(registry.pictures(), batch_size=4))
    traced, made = [], [make(), jax.tree.map(jnp.copy, make())]
    draw = jax.jit(lambda *given: traced.append(1) or tasks.episodes(*given))
    with jax.numpy_rank_promotion("raise"):
        first, second = (draw(sample, KEY, jnp.arange(3)) for sample in made)
    jax.tree.map(np.testing.assert_array_equal, first, second)
    assert len(traced) == 1
    assert all(isinstance(leaf, jax.Array) for leaf in jax.tree.leaves(made[0]))
    assert tasks.as_pytree(made[0]) is made[0]
    with jax.numpy_rank_promotion("raise"):
        alone = made[0](jax.random.fold_in(KEY, 1))
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b[1], rtol=1e-5, atol=1e-6), alone, first)


def test_functions_of_the_users_own_are_samplers():
    wave = tasks.sinusoid(num_shots=2, num_queries=2)
    mine, flipped = tasks.as_pytree(lambda key: wave(key)), jax.tree_util.Partial(lambda by, key: wave(key), 1.0)
    assert not jax.tree.leaves(mine)
    assert jax.tree.leaves(tasks.as_pytree(flipped)) == [1.0]
    for sample in (lambda key: wave(key), mine, tasks.mixture([lambda key: wave(key)])):
        for wrap in (tasks.standardize, lambda sample: tasks.augmented(sample, lambda key, x: x)):
            made = wrap(sample)
            jax.jit(tasks.episodes)(made, KEY, jnp.arange(2))
    jax.tree.map(np.testing.assert_array_equal, mine(KEY), wave(KEY))
    assert tasks.shift(2) == tasks.shift(2) != tasks.shift(3)
    assert wave == tasks.sinusoid(num_shots=2, num_queries=2)


def identified():
    """Every example carries its class and its own number; classes differ in size."""
    sizes = [4, 7, 5, 9]
    labels = np.repeat(np.arange(4), sizes)
    return datasets.from_labels(np.stack([labels, np.arange(25)], 1).astype(np.float32), labels, name="numbered")


class Plain(NamedTuple):
    """The two fields that samplers need."""

    inputs: Any
    offsets: Any


def over_examples(wrap=lambda examples: examples):
    given = wrap(identified())
    sizes = {"num_ways": 2, "num_shots": 1, "num_queries": 1}
    return {
        "few_shot": lambda **more: tasks.few_shot(given, **sizes | more),
        "across": lambda **more: tasks.across(given, given, **sizes | more),
        "variable": lambda **more: tasks.variable(
            given, **{"min_ways": 2, "max_ways": 3, "max_shots": 2, "num_queries": 1, "max_support": 4} | more
        ),
        "labelled_batches": lambda **more: tasks.labelled_batches(given, **{"batch_size": 5} | more),
    }


@pytest.mark.parametrize("name", over_examples())
def test_inputs_and_offsets_are_all_that_examples_need(name):
    expected = over_examples()[name]()(KEY)
    plain = over_examples(lambda examples: Plain(examples.inputs, examples.offsets.tolist()))[name]
    jax.tree.map(np.testing.assert_array_equal, plain()(KEY), expected)
    too_many = {"labelled_batches": {"batch_size": 26}, "variable": {"min_ways": 5, "max_ways": 5}}
    with pytest.raises(ValueError, match="expected"):
        plain(**too_many.get(name, {"num_shots": 10}))
    beyond = over_examples(lambda examples: Plain(examples.inputs[:20], examples.offsets))[name]
    with pytest.raises(
        ValueError, match=r"offsets: expected rising numbers \[C \+ 1\] from 0 to 20, the examples, got"
    ):
        beyond()


def test_a_class_without_a_name_is_told_by_its_number():
    plain = Plain(np.zeros((4, 2)), [0, 3, 4])
    with pytest.raises(ValueError, match="the examples of class 1, got"):
        tasks.few_shot(plain, num_ways=2, num_shots=1, num_queries=1)
    with pytest.raises(ValueError, match="the examples of class 1, got"):
        tasks.across(plain, plain, num_ways=2, num_shots=2, num_queries=1)
    with pytest.raises(ValueError, match="got 1 of 1"):
        tasks.variable(plain, min_ways=2)
    with pytest.raises(ValueError, match="from 0 to 4, the examples"):
        tasks.labelled_batches(plain._replace(offsets=[0, 2, 3]), batch_size=2)


@pytest.mark.parametrize("name", over_examples())
def test_inputs_may_be_a_dict(name):
    expected = over_examples()[name]()(KEY)
    halves = lambda inputs: {"class": inputs[:, :1], "own": inputs[:, 1:]}  # noqa: E731
    found = over_examples(lambda examples: Plain(halves(examples.inputs), examples.offsets))[name]()(KEY)
    for plain, parts in zip(expected, found, strict=True):
        wanted = plain._replace(inputs=halves(plain.inputs)) if plain != () else ()
        jax.tree.map(np.testing.assert_array_equal, parts, wanted)


def test_tasks_of_dicts():
    x, y = np.arange(40, dtype=np.float32).reshape(4, 5, 2), np.arange(20).reshape(4, 5)
    sizes = {"num_shots": 2, "num_queries": 1}
    expected = tasks.from_arrays((x, y), **sizes)(KEY)
    halves = lambda inputs: {"first": inputs[..., :1], "second": inputs[..., 1:]}  # noqa: E731
    for given in ((halves(x), y), [(halves(one), value) for one, value in zip(x, y, strict=True)]):
        found = tasks.from_arrays(given, **sizes)(KEY)
        jax.tree.map(np.testing.assert_array_equal, found.query.inputs, halves(expected.query.inputs))
        np.testing.assert_array_equal(found.support.targets, expected.support.targets)
    numbers = [(one.tolist(), value.tolist()) for one, value in zip(x, y, strict=True)]
    np.testing.assert_array_equal(tasks.from_arrays(numbers, **sizes)(KEY).query.inputs, expected.query.inputs)
    with pytest.raises(ValueError, match="task 1: expected inputs"):
        tasks.from_arrays([(halves(x[0]), y[0]), (x[1], y[1])], **sizes)


def test_what_is_done_to_episodes_of_another_form():
    batches, plain = tasks.labelled_batches(identified(), batch_size=4), tasks.sinusoid(num_shots=3, num_queries=2)
    pictures = tasks.labelled_batches(registry.pictures(), batch_size=4)
    support, query = tasks.augmented(pictures, tasks.shift(1))(KEY)
    assert support == ()
    assert query.inputs.shape == (4, registry.SIZE, registry.SIZE, 1)
    assert tasks.pad_features(batches, 5)(KEY).query.inputs.shape == (4, 5)
    goal = lambda key: Episode(plain(key).support, {"goal": jnp.ones(2)})  # noqa: E731
    moved = tasks.augmented(goal, lambda key, row: row + 1)(KEY)
    np.testing.assert_array_equal(moved.query["goal"], np.ones(2))
    assert tasks.pad_features(goal, 3)(KEY).support.inputs.shape == (3, 3)
    halves = lambda key: jax.tree.map(lambda x: x, goal(key))._replace(query=plain(key).query)  # noqa: E731
    rows = lambda key: Episode(*(part._replace(inputs={"a": part.inputs}) for part in halves(key)))  # noqa: E731
    np.testing.assert_array_equal(
        tasks.standardize(rows)(KEY).query.inputs["a"], tasks.standardize(plain)(KEY).query.inputs
    )
    for build, error, message in (
        (lambda: tasks.standardize(batches), TypeError, "standardize: expected episodes with a support set, got tuple"),
        (lambda: tasks.widen(batches, 5), ValueError, "widen: classes: expected at most 5, got none"),
        (lambda: tasks.pad_features(plain, 0), ValueError, "num_features"),
        (lambda: tasks.pad_features(pictures, 5), ValueError, r"shape \(4, "),
    ):
        with pytest.raises(error, match=message):
            build()(KEY)


def test_distinct_draws_are_uniform_ordered_draws():
    draws = np.array(jax.vmap(lambda key: tasks.distinct(key, 4, 3))(jax.random.split(KEY, 24_000)))
    assert all(len(set(draw)) == 3 for draw in draws.tolist())
    _, counts = np.unique(draws @ [16, 4, 1], return_counts=True)
    assert len(counts) == 24
    assert np.square(counts - 1000).sum() / 1000 < 60  # chi-squared with 23 degrees of freedom, p < 1e-4


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


TEXTS = datasets.from_labels(np.array(["a", "b", "c", "d"]), np.array([0, 0, 1, 1]), name="texts")
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
        (
            lambda: tasks.few_shot(TEXTS, num_ways=2, num_shots=1, num_queries=1),
            "examples: expected numbers, got texts",
        ),
        (lambda: tasks.labelled_batches(TEXTS, batch_size=2), "expected numbers, got texts; bring them to token ids"),
        (lambda: tasks.across(TEXTS, TEXTS, num_ways=2, num_shots=1, num_queries=1), "expected numbers, got texts"),
        (
            lambda: tasks.variable(TEXTS, max_ways=2, min_ways=2, max_shots=1, num_queries=1),
            "expected numbers, got texts",
        ),
        (lambda: tasks.sinusoid(num_shots=0, num_queries=1), "num_shots"),
        (lambda: tasks.from_arrays([(np.ones((3, 1)), np.ones((3, 1)))], num_shots=2, num_queries=2), "2 \\+ 2"),
        (lambda: tasks.from_arrays([(np.ones((4, 1)), np.ones((3, 1)))], num_shots=1, num_queries=1), "task 0"),
        (lambda: tasks.from_arrays({"inputs": X}, num_shots=1, num_queries=1), "expected pairs .*, got 1 of another"),
        (lambda: tasks.from_arrays([(["a", "b"], [0, 1])], num_shots=1, num_queries=1), "expected numbers, got texts"),
        (
            lambda: tasks.from_arrays([([[1], [2, 3]], [0, 1])], num_shots=1, num_queries=1),
            "expected arrays .*, got nest",
        ),
        (lambda: tasks.from_arrays([({"a": X, "b": X[:1]}, X)], num_shots=1, num_queries=1), "one leading axis, got"),
    ],
)
@pytest.mark.fault(promised="a ValueError that says what was expected and what came")
def test_what_a_sampler_refuses(build, message):
    with pytest.raises(ValueError, match=message):
        build()


def test_tasks_of_different_size():
    arrays = [(np.full((n, 2), n, np.float32), np.arange(n, dtype=np.float32)) for n in (4, 9, 6)]
    sample = tasks.from_arrays(arrays, num_shots=2, num_queries=2)
    episode = jax.jit(lambda: tasks.episodes(sample, KEY, jnp.arange(50)))()
    values = np.concatenate([episode.support.targets, episode.query.targets], 1)
    for row, size in zip(values, np.array(episode.support.inputs[:, 0, 0]), strict=True):
        assert len(set(row)) == 4
        assert row.max() < size


def test_drawing_more_than_there_are_draws_all():
    draws = np.array(jax.vmap(lambda key: tasks.distinct(key, 3, 5))(jax.random.split(KEY, 600)))
    assert (draws[:, 3:] == -1).all()
    _, counts = np.unique(draws[:, :3] @ [9, 3, 1], return_counts=True)
    assert len(counts) == 6
    assert counts.min() > 60


def large():
    """Eight classes of 3 to 60 numbered examples."""
    sizes = [3, 20, 60, 40, 8, 30, 25, 50]
    labels = np.repeat(np.arange(8), sizes)
    return datasets.from_labels(np.stack([labels, np.arange(sum(sizes))], 1).astype(np.float32), labels, name="large")


def test_variable_episodes_follow_the_rules():
    limits = {"max_ways": 10, "max_shots": 9, "num_queries": 4, "max_support": 30}
    sample = tasks.variable(large(), **limits)
    episodes = jax.device_get(jax.jit(lambda: tasks.episodes(sample, KEY, jnp.arange(400)))())
    assert episodes.support.inputs.shape == (400, 30, 2)
    assert episodes.query.inputs.shape == (400, 40, 2)
    ways_seen, spread = set(), []
    for index in range(400):
        support, query = (jax.tree.map(lambda leaf: leaf[index], part) for part in episodes)  # noqa: B023
        for part in (support, query):
            part_classes = np.unique(part.targets[part.mask])
            np.testing.assert_array_equal(part_classes, np.arange(part.classes[0].sum()))
            assert (part.classes == part.classes[0]).all()
        ways = len(part_classes)
        shots = np.bincount(support.targets[support.mask])
        queries = np.bincount(query.targets[query.mask])
        assert shots.max() <= 9
        assert queries.min() == queries.max() <= 4
        numbers = np.concatenate([support.inputs[support.mask, 1], query.inputs[query.mask, 1]])
        assert len(set(numbers)) == len(numbers)
        meaning = {(target, cls) for part in (support, query)
                   for target, cls in zip(part.targets[part.mask], part.inputs[part.mask, 0], strict=True)}  # fmt: skip
        assert len(meaning) == ways == len({cls for _, cls in meaning})
        has_three = 0 in {cls for _, cls in meaning}
        assert queries[0] == (1 if has_three else 4)
        ways_seen.add(ways)
        spread.append(shots.max() - shots.min())
    assert ways_seen == {5, 6, 7, 8}
    assert max(spread) > 4


def test_the_defaults_are_meta_datasets():
    labels = np.repeat(np.arange(60), 120)
    examples = datasets.from_labels(np.arange(7200, dtype=np.float32)[:, None], labels, name="many")
    episode = jax.eval_shape(tasks.variable(examples), KEY)
    assert episode.support.classes.shape == (500, 50)
    assert episode.query.classes.shape == (500, 50)


def test_mixtures():
    ones = [(np.full((6, 2), value, np.float32), np.zeros((6, 1), np.float32)) for value in range(3)]
    samples = [tasks.from_arrays([pair], num_shots=2, num_queries=2) for pair in ones]
    sample = tasks.mixture(samples, weights=[1, 2, 5])
    episodes = jax.jit(lambda: tasks.episodes(sample, KEY, jnp.arange(4000)))()
    counts = np.bincount(np.array(episodes.support.inputs[:, 0, 0], int))
    np.testing.assert_allclose(counts / 4000, [0.125, 0.25, 0.625], atol=0.03)
    np.testing.assert_array_equal(episodes.support.inputs[:, 0], episodes.query.inputs[:, 0])


@pytest.mark.fault(promised="a unit of measurement changes nothing")
@pytest.mark.parametrize("unit", [1e30, 1e20, 1e-22, 1e-30])
def test_standardizing_takes_any_unit(unit):
    numbers = np.array([[1.0, 5.0], [1.1, 5.0], [9.0, 5.0], [9.1, 5.0]], np.float32)

    def standardized(numbers):
        batch = Batch(jnp.asarray(numbers), jnp.zeros(4, int))
        return tasks.standardize(lambda key: Episode(batch, batch))(jax.random.key(0)).query.inputs

    found = standardized((numbers * unit).astype(np.float32))
    np.testing.assert_allclose(found, standardized(numbers), rtol=1e-4)
    assert not found[:, 1].any()


def test_standardizing_looks_at_the_real_support_rows_alone():
    def sample(key):
        support, query = jax.random.normal(key, (2, 7, 3)) * jnp.array([[[1e3, 1e-3, 1]]]) + jnp.array([[[5e3, 1, 7]]])
        support = support.at[5:].set(1e6).at[:5, 2].set(0.1)
        return Episode(
            Batch(support, 10 * support[:, :1], jnp.arange(7) < 5), Batch(query, 10 * query[:, :1], jnp.arange(7) < 6)
        )

    plain, episode = sample(KEY), tasks.standardize_targets(tasks.standardize(sample))(KEY)
    real = np.array(plain.support.inputs[:5], np.float64)
    expected = (np.array(plain.query.inputs) - real.mean(0)) / real.std(0).clip(1e-12)
    np.testing.assert_allclose(episode.support.inputs[:5].mean(0), 0, atol=1e-4)
    np.testing.assert_allclose(episode.support.inputs[:5].std(0), [1, 1, 0], atol=1e-4)
    np.testing.assert_allclose(episode.query.inputs[:, :2], expected[:, :2], rtol=1e-3, atol=1e-3)
    np.testing.assert_array_equal(episode.query.inputs[:, 2], 0)
    np.testing.assert_allclose(episode.query.targets, expected[:, :1], rtol=1e-3, atol=1e-3)


@pytest.mark.fault(promised="queries as far from it as they are: 0 would make any constant right")
def test_targets_that_are_all_equal_in_the_support_set():
    def sample(key):
        inputs = jnp.zeros((2, 1))
        return Episode(Batch(inputs, jnp.full((2, 1), 7.0)), Batch(inputs, jnp.array([[7.0], [9.0]])))

    episode = tasks.standardize_targets(sample)(KEY)
    np.testing.assert_array_equal(episode.support.targets, [[0.0], [0.0]])
    np.testing.assert_array_equal(episode.query.targets, [[0.0], [2.0]])


@pytest.mark.fault(promised="refused in one line")
@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: tasks.gaussian_process(num_shots=5), r"num_shots: expected the fewest and the most, .* got 5"),
        (lambda: tasks.widen(tasks.tabular(**TABLE), 5.0), "widen: num_ways: expected a whole number"),
        (lambda: tasks.mixture(tasks.tabular(**TABLE)), "mixture: samples: expected a sequence of samplers"),
        (lambda: tasks.affine(turn="20"), "affine: turn: expected a number of at least 0, got '20'"),
    ],
    ids=["one number of points", "ways that are no whole number", "one sampler", "a turn in words"],
)
def test_arguments_of_another_kind(call, words):
    with pytest.raises((TypeError, ValueError), match=words) as found:
        call()
    assert len(str(found.value).splitlines()) == 1


@pytest.mark.parametrize("ways", [2, 5])
def test_random_tables(ways):
    sample = tasks.tabular(num_features=12, num_ways=ways, num_shots=6, num_queries=4)
    episodes = jax.jit(lambda: tasks.episodes(sample, KEY, jnp.arange(200)))()
    inputs = np.concatenate([episodes.support.inputs, episodes.query.inputs], 1)
    assert np.isfinite(inputs).all()
    real = (inputs != 0).any(axis=1)
    assert set(real.sum(1)) == set(range(2, 13))
    np.testing.assert_array_equal(real, np.sort(real)[:, ::-1])
    np.testing.assert_array_equal(episodes.support.targets[0], np.repeat(np.arange(ways), 6))
    assert np.abs(np.corrcoef(inputs[real.sum(1).argmax()].T) - np.eye(12)).mean() > 0.05


def test_tables_can_be_learnt():
    """A linear model is better than chance on the queries, and far from perfect."""
    sample = tasks.standardize(tasks.tabular(num_features=8, num_ways=3, num_shots=10, num_queries=10))
    learner = baselines.logistic_regression(criteria.cross_entropy, num_ways=3)
    episodes = jax.jit(lambda: tasks.episodes(sample, KEY, jnp.arange(40)))()
    accuracy = evaluate(learner, criteria.cross_entropy, {}, episodes, KEY)["single"]["accuracy"].mean()
    assert 0.45 < accuracy < 0.9
    sample = tasks.standardize(tasks.tabular_regression(num_features=8, num_shots=30, num_queries=10))
    episodes = jax.jit(lambda: tasks.episodes(sample, KEY, jnp.arange(40)))()
    error = evaluate(baselines.ridge_regression(criteria.squared_error), criteria.squared_error, {}, episodes, KEY)
    assert 0.1 < error["single"]["loss"].mean() < 0.9


def test_real_tables_fit_the_same_model():
    wide = tasks.tabular(num_features=30, num_ways=2, num_shots=5, num_queries=5)
    real = tasks.standardize(tasks.few_shot(datasets.load("breast_cancer"), num_ways=2, num_shots=5, num_queries=5))
    shape = lambda sample: jax.eval_shape(tasks.pad_features(sample, 30), KEY)  # noqa: E731
    assert shape(real) == shape(wide)
    table = datasets.load_table("diabetes")
    values = tasks.from_arrays([(table.inputs, table.targets)], num_shots=10, num_queries=5)
    assert shape(values) == shape(tasks.tabular_regression(num_features=30, num_shots=10, num_queries=5))
    with pytest.raises(ValueError, match="at most 8 features"):
        tasks.pad_features(values, 8)(KEY)


def test_augmented_pictures():
    base = tasks.strokes(num_ways=2, num_shots=2, num_queries=1, size=8)
    plain = jax.random.uniform(KEY, (5, 6, 1))
    keys = jax.random.split(KEY, 200)
    moved = np.array(jax.vmap(tasks.shift(2), (0, None))(keys, plain))
    np.testing.assert_array_equal(np.unique(moved[:, 2, 3, 0]).size, 25)
    assert (moved[:, 2, 3, 0] == plain[2, 3, 0]).any()
    mirrored = np.array(jax.vmap(tasks.flip, (0, None))(keys, plain))
    same, turned = (np.array([np.array_equal(each, want) for each in mirrored]) for want in (plain, plain[:, ::-1]))
    assert (same ^ turned).all()
    assert 60 < same.sum() < 140
    episode = jax.jit(tasks.augmented(base, tasks.shift(1)))(KEY)
    assert episode.support.inputs.shape == (4, 8, 8, 1)


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (lambda: tasks.variable(identified(), max_ways=9, max_shots=2, num_queries=1), "at most the 4 classes"),
        (lambda: tasks.variable(identified(), max_ways=9, max_support=8, min_ways=2), "max_support"),
        (lambda: tasks.mixture([]), "at least one sampler"),
        (lambda: tasks.mixture([tasks.sinusoid(num_shots=1, num_queries=n) for n in (1, 2)]), "sampler 1"),
        (lambda: tasks.mixture([tasks.sinusoid(num_shots=1, num_queries=1)], weights=[0]), "1 positive numbers"),
        (lambda: tasks.tabular(num_features=3, num_ways=1, num_shots=1, num_queries=1), "num_ways"),
        (lambda: tasks.shift(0), "limit"),
    ],
)
@pytest.mark.fault(promised="a ValueError that says what was expected and what came")
def test_what_other_samplers_refuse(build, message):
    with pytest.raises(ValueError, match=message):
        build()


@pytest.mark.fault(promised="one line that says what makes examples")
def test_few_shot_of_what_has_no_classes():
    for examples, got in (((np.zeros((4, 2)), np.arange(4)), "tuple"), ({"inputs": np.zeros((4, 2))}, "dict")):
        with pytest.raises(
            TypeError, match=rf"few_shot: examples: expected .*offsets, got {got}; datasets\.from_labels"
        ):
            tasks.few_shot(examples, num_ways=2, num_shots=1, num_queries=1)


@pytest.mark.fault(promised="refused: it reads like the pair of the first task and that of the second")
def test_two_tasks_as_two_lists():
    x, y = (np.full((6, 1), value, np.float32) for value in (1, 2))
    sizes = {"num_shots": 2, "num_queries": 2}
    for given in (([x, x], [y, y]), [[x, x], [y, y]], ([x.tolist()] * 2, [y.tolist()] * 2)):
        with pytest.raises(ValueError, match=r"a tuple \(inputs, targets\) for each task, got two lists.*zip"):
            tasks.from_arrays(given, **sizes)
    for given in ([(x, y), (x, y)], ((x, y), (x, y)), [[x, y[:, 0]], [x, y[:, 0]]]):
        batch = tasks.from_arrays(given, **sizes)(jax.random.key(0)).support
        assert (batch.inputs == 1).all()
        assert (batch.targets == 2).all()


NONE = MetaLearner(*[None] * 4)  # a learner that is not come to
DAYS = 1.7e9 + np.arange(12.0)
LOST = {
    "milliseconds": (1_700_000_000_000 + np.arange(12), "whole numbers that int32 holds, got 17"),
    "seconds": (DAYS, "numbers that float32 tells apart, got others in column 1"),
    "too large": (np.where(DAYS[0] < DAYS, DAYS, 1e300), r"numbers that float32 holds, got 1e\+300"),
}


@pytest.mark.parametrize("name", LOST)
@pytest.mark.fault(promised="refused: they would be others on the device")
def test_numbers_of_64_bits_that_would_be_others(name):
    values, words = LOST[name]
    rows, sizes = values[:, None], {"num_shots": 2, "num_queries": 2}
    labelled = datasets.from_labels(rows, np.arange(12) // 6, name="mine")
    batch = Batch(rows[None], np.zeros((1, 12), np.float32))
    for call in (
        lambda: tasks.few_shot(labelled, num_ways=2, **sizes),
        lambda: tasks.from_arrays([(rows, rows[:, 0] * 0.0)], **sizes),
        lambda: tasks.from_arrays([(rows * 0.0, rows)], **sizes),
        lambda: evaluate(NONE, criteria.squared_error, (), Episode(batch, batch), jax.random.key(0)),
    ):
        with pytest.raises(ValueError, match=words):
            call()
    with jax.enable_x64(True):
        found = tasks.from_arrays([(rows, rows)], **sizes)(jax.random.key(0)).query.targets
        assert np.isin(np.asarray(found), values).all()


def test_numbers_of_64_bits_that_are_rounded():
    for values in (1.0 + 1e-15 * np.arange(12), np.arange(12) * 0.1, np.arange(12), np.full(12, np.nan)):
        tasks.from_arrays([(values[:, None], np.zeros((12, 1)))], num_shots=2, num_queries=2)
