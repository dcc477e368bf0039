import functools
import json
import os
import socket
import subprocess
import sys

import chex
import jax
import jax.numpy as jnp
import optax
import pytest
import registry
from jax.sharding import PartitionSpec as P

from jaxmeta import criteria, evaluate, meta_trainer, models, protonet, tasks, training
from jaxmeta.types import Batch, Episode

KEY = jax.random.key(0)


@pytest.fixture(scope="module")
def mesh():
    if jax.device_count() < 2:
        pytest.skip("there is one device")
    return jax.make_mesh((2,), ("tasks",))


def drawn(num_tasks=4):
    inputs = jax.random.normal(KEY, (num_tasks, 12, *registry.PICTURE))
    targets = jnp.tile(jnp.arange(6) % registry.WAYS, (num_tasks, 1))
    return Episode(Batch(inputs[:, :6], targets), Batch(inputs[:, 6:], targets))


def assert_equal(found, expected):
    chex.assert_trees_all_close(found, expected, rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("name", registry.LEARNERS)
@pytest.mark.product(name=("maml", "protonet"))
def test_two_devices_make_the_update_of_one(name, mesh):
    learner, episodes = registry.case(name).learner, drawn()
    results = []
    for devices in (None, mesh):
        trainer = meta_trainer(learner, optax.sgd(0.1), mesh=devices)
        results.append(jax.jit(trainer.update)(trainer.init(KEY), episodes, KEY))
    (state, metrics), (shared, shared_metrics) = results
    assert_equal(shared.meta_params, state.meta_params)
    assert_equal(shared_metrics, metrics)
    assert all(leaf.sharding.is_fully_replicated for leaf in jax.tree.leaves((shared, shared_metrics)))


def test_two_devices_give_the_scores_of_one(mesh):
    case, episodes = registry.case("protonet"), drawn()
    given = case.learner, case.criterion, case.learner.init(KEY), episodes, KEY
    expected = evaluate(*given)
    assert_equal(evaluate(*given, mesh=mesh), expected)
    assert_equal(evaluate(*given, mesh=mesh, tasks_per_chunk=1), expected)


@pytest.mark.parametrize("name", registry.LEARNERS)
@pytest.mark.product(name=("maml", "cavia"))
def test_a_shard_map_of_ones_own_mixes_no_tasks(name, mesh):
    case, episodes = registry.case(name), drawn()
    trainer, keys = meta_trainer(case.learner, optax.sgd(0.1)), jax.random.split(KEY, 4)
    own = jax.sharding.Mesh(mesh.devices, mesh.axis_names)  # shards its arguments itself

    def losses(meta_params, episodes, keys):
        return jax.vmap(case.learner.loss, (None, 0, 0))(meta_params, episodes, keys)[0]

    @jax.jit
    @functools.partial(jax.shard_map, mesh=own, in_specs=(P(), P("tasks"), P("tasks")), out_specs=(P("tasks"), P()))
    def shared(state, episodes, keys):
        updated, metrics = trainer.update(state, episodes, KEY)
        return losses(state.meta_params, episodes, keys), (updated.meta_params, metrics)

    state = trainer.init(KEY)
    found, updated = shared(state, episodes, keys)
    chex.assert_trees_all_close(found, jax.jit(losses)(state.meta_params, episodes, keys), rtol=1e-5, atol=1e-6)
    # Each device splits the same key among its tasks.
    half = lambda start: jax.tree.map(lambda leaf: leaf[start : start + 2], episodes)  # noqa: E731
    parts = [jax.jit(trainer.update)(state, half(start), KEY)[0].meta_params for start in (0, 2)]
    mean = jax.tree.map(lambda *leaves: sum(leaves) / 2, *parts)
    chex.assert_trees_all_close(updated[0], mean, rtol=1e-5, atol=1e-5)


def test_tasks_that_do_not_divide_are_refused(mesh):
    case = registry.case("protonet")
    trainer = meta_trainer(case.learner, optax.sgd(0.1), mesh=mesh)
    state = trainer.init(KEY)
    with pytest.raises(ValueError, match="2 devices divide, got 3"):
        trainer.update(state, drawn(3), KEY)
    with pytest.raises(ValueError, match="2 devices divide, got 3"):
        evaluate(case.learner, case.criterion, state.meta_params, drawn(3), KEY, mesh=mesh)
    with pytest.raises(ValueError, match="divisor of the 2 tasks"):
        meta_trainer(case.learner, optax.sgd(0.1), tasks_per_chunk=4, mesh=mesh).update(state, drawn(4), KEY)


@pytest.mark.long
def test_each_device_samples_its_own_tasks_without_communication(mesh):
    learner = protonet(models.mlp(4, 3, hidden=(5,)), criteria.cross_entropy, num_ways=3)
    sample = tasks.tabular(num_features=4, num_ways=3, num_shots=2, num_queries=1)
    states = []
    for devices in (None, mesh):
        trainer = meta_trainer(learner, optax.sgd(0.1), mesh=devices)
        run = jax.jit(training.many_updates(trainer, num_tasks=4, num_updates=2, mesh=devices))
        program = run.lower(trainer.init(KEY), sample, KEY).compile()
        states.append(program(trainer.init(KEY), sample, KEY)[0])
    assert_equal(states[1].meta_params, states[0].meta_params)
    collectives = [name for name in ("all-gather", "all-to-all", "collective-permute") if name in program.as_text()]
    assert not collectives
    assert "all-reduce" in program.as_text()


TRAINING = """
import json, sys, jax, numpy as np, optax
import jaxmeta
from jaxmeta import criteria, evaluate, maml, meta_trainer, models, tasks, training

def results(mesh):
    sample, key = tasks.sinusoid(num_shots=5, num_queries=5), jax.random.key(0)
    learner = maml(models.mlp(1, 1, hidden=(8,)), criteria.squared_error, optax.sgd(0.01), num_steps=2)
    trainer = meta_trainer(learner, optax.adam(1e-2), mesh=mesh)
    run = jax.jit(training.many_updates(trainer, num_tasks=8, num_updates=3, mesh=mesh), donate_argnums=0)
    state, metrics = run(trainer.init(key), sample, key)
    held_out = jax.device_get(tasks.episodes(sample, key, np.arange(8)))
    scores = evaluate(learner, criteria.squared_error, state.meta_params, held_out, key, mesh=mesh)
    return jax.tree.map(lambda leaf: np.asarray(leaf).tolist(), [state.meta_params, metrics, scores])
"""
ONE_OF_TWO = """
jax.config.update("jax_cpu_collectives_implementation", "gloo")
jax.distributed.initialize(f"localhost:{sys.argv[1]}", num_processes=2, process_id=int(sys.argv[2]))
mesh = jax.make_mesh((4,), ("tasks",), axis_types=(jax.sharding.AxisType.Auto,))
assert len(mesh.local_devices) == 2
print(json.dumps(results(mesh)))
"""


@pytest.mark.long
def test_two_processes_of_two_devices_make_what_one_device_makes():
    with socket.socket() as free:
        free.bind(("localhost", 0))
        port = str(free.getsockname()[1])
    environment = os.environ | {"JAX_NUM_CPU_DEVICES": "2", "JAX_PLATFORMS": "cpu"}
    environment.pop("JAX_COMPILATION_CACHE_DIR", None)
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", TRAINING + ONE_OF_TWO, port, str(rank)], stdout=subprocess.PIPE, env=environment
        )
        for rank in range(2)
    ]
    here = {}
    exec(TRAINING, here)
    expected = here["results"](None)
    try:
        found = [json.loads(process.communicate(timeout=600)[0].splitlines()[-1]) for process in processes]
    finally:
        for process in processes:
            process.kill()
    for each in found:
        chex.assert_trees_all_close(each, expected, rtol=1e-5, atol=1e-6)


@pytest.mark.long
def test_eight_devices_make_what_one_device_makes():
    environment = os.environ | {"JAX_NUM_CPU_DEVICES": "8", "JAX_PLATFORMS": "cpu", "NPROC": "9"}
    eight = "import json\nprint(json.dumps(results(jax.make_mesh((8,), ('tasks',)))))"
    found = subprocess.run(
        [sys.executable, "-c", TRAINING + eight], stdout=subprocess.PIPE, env=environment, check=True
    )
    here = {}
    exec(TRAINING, here)
    expected = here["results"](None)
    chex.assert_trees_all_close(json.loads(found.stdout.splitlines()[-1]), expected, rtol=1e-5, atol=1e-6)
