import functools
import math

import chex
import jax
import jax.numpy as jnp
import optax
import pytest

from jaxmeta import criteria, evaluate, evaluation, memory, meta_trainer, training
from jaxmeta.models import forms
from jaxmeta.types import Batch, Episode, MetaLearner, query_loss

KEY = jax.random.key(0)
SIZE = 128
NUM_TASKS = 12
EPISODES = Episode(*(Batch(jnp.ones((NUM_TASKS, 2, 1)), jnp.ones((NUM_TASKS, 2, 1))) for _ in range(2)))


def rolling_out():
    """Its episodes are four numbers, and each of its predictions is a product of matrices of SIZE x SIZE."""

    def predict(meta_params, adapted, inputs, mask=None):
        table = meta_params * (1 + inputs.sum())
        return inputs * jnp.sort(table @ table, axis=0).mean()

    adapt = lambda meta_params, support, key: ()  # noqa: E731
    learner_loss = query_loss(adapt, predict, criteria.squared_error)
    return MetaLearner(lambda key: jnp.ones((SIZE, SIZE)), adapt, predict, learner_loss)


class Watched:
    """`_evaluate`, with the chunk that it is called with at last."""

    def __init__(self, function):
        self.function, self.lower = function, function.lower

    def __call__(self, *given):
        self.chunk = given[3]
        return self.function(*given)


@pytest.fixture
def chosen(monkeypatch):
    """(bytes, columns) -> the chunk that `evaluate` takes where a device has so many."""
    watched = Watched(evaluation._evaluate)
    monkeypatch.setattr(evaluation, "_evaluate", watched)

    def choose(most, columns=evaluation.COLUMNS, **options):
        monkeypatch.setattr(memory, "available", lambda: most)
        learner = rolling_out()
        evaluate(
            learner, criteria.squared_error, learner.init(KEY), options.pop("episodes", EPISODES), KEY,
            columns=columns, **options,
        )  # fmt: skip
        return watched.chunk

    return choose


def evaluation_needs(size, columns=evaluation.COLUMNS):
    learner = rolling_out()
    static = learner, criteria.squared_error, tuple(columns.items()), size, None
    return memory.needs(evaluation._evaluate.lower(*static, learner.init(KEY), EPISODES, KEY))


@pytest.mark.parametrize("on_cpu", [True, False])
def test_evaluate_takes_the_largest_chunk_whose_program_fits(chosen, monkeypatch, on_cpu):
    monkeypatch.setattr(memory, "on_cpu", lambda: on_cpu)
    whole, half = evaluation_needs(NUM_TASKS), evaluation_needs(NUM_TASKS // 2)
    assert whole > NUM_TASKS * SIZE**2 * 4 > 100 * memory.size(EPISODES)  # it is not the episodes that count
    assert chosen(whole) == NUM_TASKS
    assert chosen(whole - 1) == NUM_TASKS // 2
    assert chosen(half - 1) == NUM_TASKS // 3
    assert chosen(half - 1, tasks_per_chunk=NUM_TASKS) == NUM_TASKS
    with pytest.raises(MemoryError, match=r"evaluate: expected at most the 1,000 bytes of memory that there are, got"):
        chosen(1000)


def test_fewer_tasks_side_by_side_where_a_device_refuses_what_was_free(chosen, monkeypatch):
    """Seen on a GPU: free, but in pieces, since the allocator keeps the blocks of the training before."""
    monkeypatch.setattr(memory, "on_cpu", lambda: False)
    tried, watched = [], evaluation._evaluate
    full = "RESOURCE_EXHAUSTED: Out of memory while trying to allocate 13.93GiB"

    def refusing(most, words=full):
        def call(*given):
            tried.append(given[3])
            if given[3] > most:
                raise jax.errors.JaxRuntimeError(words)
            return watched(*given)

        call.lower = watched.lower
        monkeypatch.setattr(evaluation, "_evaluate", call)

    refusing(3)
    assert chosen(2**40) == 3
    assert tried == [12, 6, 3]
    monkeypatch.setattr(forms, "_kept", lambda kind: forms.Choice("plain", False))
    for most, words, calls in ((0, full, [12, 6, 3, 1]), (6, "INTERNAL: of another kind", [12, 12])):
        refusing(most, words)
        tried.clear()
        with pytest.raises(jax.errors.JaxRuntimeError, match=words):
            chosen(2**40)
        assert tried == calls  # what is no lack of memory is tried with the other form of convolutions
    refusing(3)
    with pytest.raises(jax.errors.JaxRuntimeError, match="RESOURCE_EXHAUSTED"):
        chosen(2**40, tasks_per_chunk=NUM_TASKS)  # what is asked for is not replaced


def test_a_chunk_of_its_own_pictures_stays_on_a_cpu_and_is_all_of_them_elsewhere(chosen, monkeypatch):
    large = jax.tree.map(lambda leaf: jnp.ones((NUM_TASKS, 1000, 1)), EPISODES)
    assert chosen(2**40, {"joint": evaluation.as_is}, episodes=large) == math.gcd(NUM_TASKS, 10)
    monkeypatch.setattr(memory, "on_cpu", lambda: False)
    assert chosen(2**40, {"joint": evaluation.as_is}, episodes=large) == NUM_TASKS


def test_the_queries_that_single_maps_over_count(chosen):
    joint = {"joint": evaluation.as_is}
    most = evaluation_needs(NUM_TASKS, joint)
    assert chosen(most, joint) == NUM_TASKS
    assert chosen(most) < NUM_TASKS


def test_a_choice_is_kept_and_a_traced_call_makes_none(monkeypatch):
    learner = rolling_out()
    given = learner, criteria.squared_error, learner.init(KEY), EPISODES, KEY
    scores = evaluate(*given)
    monkeypatch.setattr(memory, "available", lambda: 0)
    again = evaluate(*given)
    traced = jax.jit(evaluate, static_argnums=(0, 1))(rolling_out(), *given[1:])
    for found in (again, traced):
        chex.assert_trees_all_equal(found, scores)


@pytest.mark.parametrize("on_cpu", [True, False])
def test_training_asks_the_compiled_update(monkeypatch, on_cpu):
    monkeypatch.setattr(memory, "on_cpu", lambda: on_cpu)
    made, learner = [], rolling_out()

    def trainer_of(chunk):
        made.append(chunk)
        return meta_trainer(learner, optax.sgd(0.1), tasks_per_chunk=chunk)

    def need(size):
        trainer = meta_trainer(learner, optax.sgd(0.1), tasks_per_chunk=size)
        return memory.needs(jax.jit(trainer.update).lower(trainer.init(KEY), EPISODES, KEY))

    shapes = jax.eval_shape(lambda: EPISODES)
    for size, larger in ((12, None), (4, 6), (2, 3)):
        most = need(size) if larger is None else need(larger) - 1
        assert training.fitting_chunk(trainer_of, shapes, KEY, available=most) == size
    assert made[0] == (12 if on_cpu else 1)
    with pytest.raises(MemoryError, match="fitting_chunk: expected at most"):
        training.fitting_chunk(trainer_of, shapes, KEY, available=need(1) - 1)


def test_the_devices_of_a_cpu_share_its_memory():
    if jax.device_count() < 2:
        pytest.skip("there is one device")
    mesh = jax.make_mesh((2,), ("tasks",))
    trainer_of = lambda chunk: meta_trainer(rolling_out(), optax.sgd(0.1), tasks_per_chunk=chunk, mesh=mesh)  # noqa: E731

    def need(size):
        trainer = trainer_of(size)
        return memory.needs(jax.jit(trainer.update).lower(jax.eval_shape(trainer.init, KEY), EPISODES, KEY), mesh)

    for most, size in ((need(6), 6), (need(6) - 1, 3)):
        assert training.fitting_chunk(trainer_of, EPISODES, KEY, mesh=mesh, available=most) == size
    with pytest.raises(ValueError, match="2 devices divide, got 3"):
        training.fitting_chunk(trainer_of, jax.tree.map(lambda leaf: leaf[:3], EPISODES), KEY, mesh=mesh)


@pytest.mark.parametrize("first", [1, 600])
@pytest.mark.parametrize(
    ("need", "programs"),
    [
        (lambda n: 10 * n, 3),
        (lambda n: 1000 + 10 * n, 8),
        (lambda n: 10 * n + n * n // 50, 8),
        (lambda n: 10 * max(n, 50), 8),
    ],
)
def test_the_search_finds_the_largest_size_with_few_programs(need, programs, first):
    sizes = [size for size in range(1, 601) if 600 % size == 0]
    for most in (need(600), need(600) - 1, need(75), need(4), need(1)):
        compiled = functools.cache(need)
        found = memory.largest("it", compiled, sizes, most, first)
        assert found == max(size for size in sizes if need(size) <= most)
        assert compiled.cache_info().hits == 0
        assert compiled.cache_info().misses <= programs


def test_what_a_control_group_allows_is_what_there_is(tmp_path, monkeypatch):
    (tmp_path / "outer" / "inner").mkdir(parents=True)
    (tmp_path / "memory" / "old").mkdir(parents=True)
    (tmp_path / "outer" / "memory.max").write_text("5000\n")
    (tmp_path / "outer" / "inner" / "memory.max").write_text("max\n")
    (tmp_path / "memory" / "old" / "memory.limit_in_bytes").write_text("4000\n")
    membership = tmp_path / "cgroup"
    monkeypatch.setattr(memory, "CONTROL", tmp_path)
    monkeypatch.setattr(memory, "MEMBERSHIP", membership)
    whole = memory.available()  # there is no such file
    for lines, expected in (
        ("0::/outer/inner\n", 5000),
        ("0::/outer/inner\n5:cpu,cpuacct:/\n4:memory:/old\n", 4000),
        ("4:memory:/of/another/namespace\n0::/\n", whole),
    ):
        membership.write_text(lines)
        assert memory.available() == expected


def test_what_is_free_on_a_device_is_what_there_is(monkeypatch):
    class Device:
        def memory_stats(self):
            return {"bytes_limit": 100, "bytes_in_use": 30}

    monkeypatch.setattr(jax, "local_devices", lambda: [Device()])
    assert memory.available() == 70
