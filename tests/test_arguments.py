"""What comes where a learner, its meta_params, a key or episodes are due: one line, whoever is asked."""

import re

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from jaxmeta import (
    Batch,
    Episode,
    MetaLearner,
    criteria,
    evaluate,
    maml,
    meta_trainer,
    models,
    protonet,
    tasks,
    training,
)

KEY = jax.random.key(0)
MODEL = models.mlp(1, 1, hidden=(4,))
LEARNER = maml(MODEL, criteria.squared_error, optax.sgd(0.01), num_steps=1)
SAMPLE = tasks.sinusoid(num_shots=3, num_queries=2)
TRAINER = meta_trainer(LEARNER, optax.sgd(0.1))
STATE = TRAINER.init(KEY)
THREE = tasks.drawn(SAMPLE, KEY, jnp.arange(3))
ASKED = {
    "evaluate": lambda given: evaluate(LEARNER, criteria.squared_error, STATE.meta_params, given, KEY),
    "update": lambda given: TRAINER.update(STATE, given, KEY),
    "jitted": lambda given: jax.jit(TRAINER.update)(STATE, given, KEY),
    "in chunks": lambda given: meta_trainer(LEARNER, optax.sgd(0.1), tasks_per_chunk=1).update(STATE, given, KEY),
}


def refused(call, *given, match):
    """One line, and none of JAX's or Python's own."""
    with pytest.raises((TypeError, ValueError), match=match) as found:
        call(*given)
    assert ": expected " in str(found.value)
    assert len(str(found.value).splitlines()) == 1


def cut(part, *where):
    return THREE._replace(**{part: jax.tree.map(lambda leaf: leaf[where], getattr(THREE, part))})


OTHERS = {
    "a list of them": (
        [SAMPLE(KEY), SAMPLE(KEY)],
        r"episodes: expected one Episode .* got a list; .*stack.* makes one",
    ),
    "a tuple of them": ((SAMPLE(KEY), SAMPLE(KEY)), "expected one Episode .* got a tuple; .*stack.* makes one"),
    "a pair": (tuple(THREE), r"expected one Episode .* got a tuple; Episode\(support, query\)"),
    "a dict": (THREE._asdict(), r"expected one Episode .* got a dict; Episode\(support, query\)"),
    "pairs": (Episode(*((each.inputs, each.targets) for each in THREE)), r"a Batch each, got a tuple; Batch\(inputs"),
    "no task": (
        jax.tree.map(lambda leaf: leaf[:0], THREE),
        r"tasks with examples .* support.inputs of shape \(0, 3, 1",
    ),
    "no shots": (cut("support", slice(None), slice(0)), r"got support\.inputs of shape \(3, 0, 1\)"),
    "no queries": (cut("query", slice(None), slice(0)), r"got query\.inputs of shape \(3, 0, 1\)"),
}


@pytest.mark.parametrize("asked", ASKED)
@pytest.mark.parametrize("name", OTHERS)
@pytest.mark.fault(promised="one line that says what was expected and what makes it")
def test_episodes_of_another_form(name, asked):
    given, words = OTHERS[name]
    refused(ASKED[asked], given, match=words)


def labelled(support, query):
    rows = np.zeros((4, 3), np.float32)
    return Episode(Batch(rows, np.asarray(support)), Batch(rows, np.asarray(query)))


@pytest.mark.parametrize("name", ["evaluate", "update"])
@pytest.mark.fault(promised="one line that says how a task axis is made, or labels")
def test_one_episode_and_labels_that_are_texts(name):
    learner = protonet(models.flat(), criteria.cross_entropy, num_ways=2)
    trainer = meta_trainer(learner, optax.sgd(0.1))

    def asked(given):
        if name == "evaluate":
            return evaluate(learner, criteria.cross_entropy, {}, given, KEY)
        return trainer.update(trainer.init(KEY), given, KEY)

    one = labelled([0, 1, 0, 1], [1, 0, 1, 0])
    refused(asked, one, match=r"a task axis, \[num_tasks, n, \.\.\.\], got support\.targets of 1 axis; .*leaf\[None\]")
    several = jax.tree.map(lambda leaf: leaf[None], one)
    asked(several)
    for texts in (np.array([["a", "b", "a", "b"]]), np.array([["a", "b", "a", "b"]], object)):
        given = several._replace(query=several.query._replace(targets=texts))
        refused(asked, given, match=rf"query\.targets: expected numbers, got {re.escape(str(texts.dtype))}; np\.unique")


@pytest.mark.fault(promised="one line that names the argument")
def test_arguments_of_another_kind():
    score = criteria.squared_error
    params = STATE.meta_params
    refused(evaluate, LEARNER, score, STATE, THREE, KEY, match=r"got a MetaState; give its \.meta_params")
    refused(
        evaluate, LEARNER, params, score, THREE, KEY, match="criterion: expected a criterion, .* got a dict; .*before"
    )
    refused(
        evaluate, MODEL, score, params, THREE, KEY, match="learner: expected a MetaLearner, .* got a Model, .*`adapt`"
    )
    refused(meta_trainer, MODEL, optax.sgd(0.1), match="meta_trainer: learner: expected a MetaLearner, .* got a Model")
    module = maml(nn.Dense(1), score, optax.sgd(0.01), num_steps=1)
    refused(
        meta_trainer, module, optax.sgd(0.1), match="expected a Model, got the linen module Dense; models.from_linen"
    )
    refused(TRAINER.update, params, THREE, KEY, match="state: expected a MetaState, .* got a dict")


@pytest.mark.fault(promised="one line that names the argument")
def test_keys_and_indices_that_are_none():
    number = r"key: expected a random key, got 1 \(int\)"
    refused(TRAINER.init, 1, match=number)
    refused(TRAINER.update, STATE, THREE, 1, match=number)
    for draw in (tasks.episodes, tasks.drawn):
        refused(draw, SAMPLE, 1, jnp.arange(2), match=number)
        refused(
            draw, SAMPLE, KEY, 5, match=r"indices: expected an array \[num_tasks\], got 5 \(int\); jnp\.arange\(5\)"
        )
        refused(draw, SAMPLE, KEY, [0, 1], match=r"indices: expected an array \[num_tasks\], got \[0, 1\] \(list\)")
        refused(draw, SAMPLE, KEY, jnp.zeros((2, 2), int), match=r"got shape \(2, 2\)")


@pytest.mark.parametrize("make", [training.many_updates, training.streamed_updates])
@pytest.mark.fault(promised="one line that names the number")
def test_updates_of_no_tasks_and_no_updates(make):
    for sizes, name in (((0, 3), "num_tasks"), ((2, 0), "num_updates")):
        refused(lambda sizes: make(TRAINER, num_tasks=sizes[0], num_updates=sizes[1]), sizes, match=f"{name}: .* got 0")


def test_a_learner_of_ones_own_may_take_tasks_of_any_form():
    def loss(params, task, key):
        first, second = task["pair"]
        return jnp.square(params - first - second["b"]).sum(), {}

    trainer = meta_trainer(MetaLearner(lambda key: jnp.zeros(()), None, None, loss), optax.sgd(0.25))
    given = {"pair": (jnp.ones(2), {"b": jnp.ones(2)})}
    state, _ = trainer.update(trainer.init(KEY), given, KEY)
    np.testing.assert_allclose(state.meta_params, 1)

    def own(params, task, key):
        return task.mine, {}

    trainer = meta_trainer(MetaLearner(lambda key: jnp.zeros(()), None, None, own), optax.sgd(0.25))
    with pytest.raises(AttributeError, match="no attribute 'mine'"):  # none of an Episode's
        trainer.update(trainer.init(KEY), given, KEY)


@pytest.mark.parametrize("name", ["gradient_norm", "finite"])
@pytest.mark.fault(promised="refused by name: the outer loop's own would take its place")
def test_a_metric_that_is_called_as_one_of_the_outer_loops(name):
    def scores(predictor, batch, key):
        loss, metrics = criteria.squared_error(predictor, batch, key)
        return loss, {**metrics, name: jnp.ones(())}

    trainer = meta_trainer(maml(MODEL, scores, optax.sgd(0.01), num_steps=1), optax.sgd(0.1))
    words = rf"meta_trainer: metrics: expected names other than .*, got '{name}'; rename it"
    refused(trainer.update, STATE, THREE, KEY, match=words)
    refused(jax.jit(trainer.update), STATE, THREE, KEY, match=words)
