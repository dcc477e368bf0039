"""Data on the host, and data as arguments of what compiles."""

import subprocess
import sys

import chex
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
import registry

from jaxmeta import criteria, datasets, meta_trainer, models, protonet, tasks, training

KEY = jax.random.key(0)
SIZES = {"num_ways": 3, "num_shots": 2, "num_queries": 1}
WRAPS = {
    "alone": lambda sample: sample,
    "augmented": lambda sample: tasks.augmented(sample, tasks.shift(1)),
    "nested": lambda sample: tasks.widen(tasks.standardize(tasks.augmented(sample, tasks.flip)), 4),
}


@pytest.fixture(params=["memory", "disk"])
def examples(request, tmp_path):
    made = registry.pictures()
    if request.param == "disk":
        np.save(tmp_path / "pictures.npy", made.inputs)
        made = made._replace(inputs=np.load(tmp_path / "pictures.npy", mmap_mode="r"))
    return made


@pytest.mark.parametrize("wrap", WRAPS)
def test_streamed_episodes_are_those_of_few_shot_to_the_bit(examples, wrap):
    sample, streamed = (WRAPS[wrap](make(examples, **SIZES)) for make in (tasks.few_shot, tasks.streamed))
    assert (tasks.is_streamed(sample), tasks.is_streamed(streamed)) == (False, True)
    expected = tasks.drawn(sample, KEY, jnp.arange(5))
    chex.assert_trees_all_equal(tasks.drawn(streamed, KEY, jnp.arange(5)), expected)
    assert jax.eval_shape(streamed, KEY) == jax.eval_shape(sample, KEY)


def test_a_program_calls_back_for_what_is_on_the_host(examples):
    sample, streamed = tasks.few_shot(examples, **SIZES), tasks.streamed(examples, **SIZES)
    chex.assert_trees_all_equal(jax.jit(lambda key: streamed(key))(KEY), jax.jit(lambda key: sample(key))(KEY))


def trainer():
    learner = protonet(models.mlp(64, 4, hidden=(8,)), criteria.cross_entropy, num_ways=3)
    return training.stop_at_divergence(meta_trainer(learner, optax.sgd(0.1)))


def test_streamed_updates_train_as_many_updates_do():
    examples, sizes = registry.pictures(), {"num_tasks": 4, "num_updates": 6}
    run, made = jax.jit(training.many_updates(trainer(), **sizes)), trainer()
    state, metrics = run(made.init(KEY), tasks.few_shot(examples, **SIZES), KEY, 5)
    found, shown = training.streamed_updates(made, **sizes)(made.init(KEY), tasks.streamed(examples, **SIZES), KEY, 5)
    chex.assert_trees_all_close(found, state, rtol=1e-6, atol=1e-8)
    chex.assert_trees_all_close(shown, jax.device_get(metrics), rtol=1e-6, atol=1e-8)
    assert int(found.step) == 5
    again, rest = training.streamed_updates(made, **sizes)(found, tasks.streamed(examples, **SIZES), KEY, 0)
    assert int(again.step) == 5
    assert not rest["loss"].any()


def test_a_mixture_of_streamed_samplers_is_refused():
    streamed = tasks.streamed(registry.pictures(), **SIZES)
    with pytest.raises(ValueError, match="mixture: sampler 0: expected data on the device, got data on the host"):
        tasks.mixture([streamed, streamed])
    with pytest.raises(TypeError, match="inputs that are NumPy arrays"):
        tasks.streamed(registry.pictures()._replace(inputs=jnp.ones((50, 2))), **SIZES)


@pytest.mark.long
def test_data_larger_than_the_memory_that_is_used(tmp_path):
    """A sparse file of 3 GB; what a process holds of it is what it drew."""
    program = f"""
import jax, jax.numpy as jnp, numpy as np, resource
from jaxmeta import tasks
pictures = np.lib.format.open_memmap({str(tmp_path / "large.npy")!r}, "w+", np.uint8, (3_000_000, 32, 32, 1))
class Examples: inputs, offsets = pictures, np.arange(0, 3_000_001, 1000, np.int32)
sample = tasks.streamed(Examples, num_ways=5, num_shots=1, num_queries=1)
tasks.drawn(sample, jax.random.key(0), jnp.arange(2))
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
tasks.drawn(sample, jax.random.key(0), jnp.arange(2, 200))
print((resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) // 1024)
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert int(done.stdout) < 500


def test_the_text_of_a_program_does_not_hold_its_data():
    """The published Omniglot with its rotations, as training takes it."""
    labels = np.repeat(np.arange(4400), 20)
    examples = datasets.from_labels(np.zeros((88_000, 28, 28, 1), np.uint8), labels, name="large")
    learner = protonet(models.conv4((28, 28, 1), None, num_filters=4, norm="layer"), criteria.cross_entropy, num_ways=5)
    made = meta_trainer(learner, optax.adam(1e-3))
    sample = tasks.few_shot(examples, num_ways=5, num_shots=1, num_queries=1)
    run = jax.jit(training.many_updates(made, num_tasks=2, num_updates=3))
    lowered = run.lower(jax.eval_shape(made.init, KEY), sample, KEY)
    assert len(lowered.as_text()) < 1_000_000
