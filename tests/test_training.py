import jax
import numpy as np
import optax
import pytest
import registry

from jaxmeta import criteria, maml, meta_trainer, models, tasks, training

KEY = jax.random.key(0)


def small():
    learner = maml(models.mlp(1, 1, hidden=(8,)), criteria.squared_error, optax.sgd(0.01), num_steps=1)
    return learner, tasks.sinusoid(num_shots=5, num_queries=5)


@pytest.mark.parametrize("chunk", [1, 2, 6])
def test_chunks_accumulate_to_the_unchunked_gradient(chunk):
    learner, sample = small()
    episodes = tasks.episodes(sample, KEY, np.arange(6))
    results = []
    for size in (6, chunk):
        trainer = meta_trainer(learner, optax.sgd(1.0), tasks_per_chunk=size)
        results.append(jax.jit(trainer.update)(trainer.init(KEY), episodes, KEY))
    (whole, metrics), (parts, part_metrics) = results
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-6), whole, parts)
    np.testing.assert_allclose(metrics["loss"], part_metrics["loss"], rtol=1e-5)


def test_a_chunk_that_does_not_divide_is_refused():
    learner, sample = small()
    trainer = meta_trainer(learner, optax.sgd(1.0), tasks_per_chunk=4)
    with pytest.raises(ValueError, match="divisor of the 6 tasks"):
        trainer.update(trainer.init(KEY), tasks.episodes(sample, KEY, np.arange(6)), KEY)


def test_updates_are_the_same_however_they_are_split_over_calls():
    learner, sample = small()
    trainer = meta_trainer(learner, optax.adam(1e-2))
    once = jax.jit(training.many_updates(trainer, sample, num_tasks=3, num_updates=6))
    thrice = jax.jit(training.many_updates(trainer, sample, num_tasks=3, num_updates=2))
    whole, _ = once(trainer.init(KEY), KEY)
    state = trainer.init(KEY)
    for _ in range(3):
        state, _ = thrice(state, KEY)
    jax.tree.map(np.testing.assert_array_equal, whole.meta_params, state.meta_params)
    again, _ = once(trainer.init(KEY), KEY)
    jax.tree.map(np.testing.assert_array_equal, whole.meta_params, again.meta_params)


def test_the_registry_names_every_learner():
    from jaxmeta import learners

    # anil and boil are partial_maml's learners; the weights are an argument of maml_plus_plus.
    assert set(registry.LEARNERS) == set(learners.__all__) - {"partial_maml", "annealed_step_weights"}
