"""Write and prove your own learner: CAVIA in ten lines, audited, trained on waves, drawn before and after adapting.

python experiments/examples/own_learner.py --out runs/own_learner
"""

from __future__ import annotations

import argparse
import pathlib
from typing import NamedTuple

import jax
import jax.numpy as jnp
import optax
from matplotlib.figure import Figure

import jaxmeta
from jaxmeta import criteria, models, runs, statistics, tasks


class Adapted(NamedTuple):
    """What is a task's own."""

    task: jax.Array
    """[size], what the inner steps find."""


def task_vector(model, criterion, *, size, num_steps, learning_rate):
    """Appends a task's own vector to every input; steps change this vector alone."""

    def predict(params, adapted, inputs, mask=None):
        rows = jnp.broadcast_to(adapted.task, (len(inputs), size))
        return model.apply(params, jnp.concatenate([inputs, rows], axis=1), mask)

    def support_loss(adapted, data, key):  # data is an argument, so the gradient reaches the params in it
        return criterion(lambda inputs, mask=None: predict(data[0], adapted, inputs, mask), data[1], key)

    solve = jaxmeta.inner.unroll(support_loss, optax.sgd(learning_rate), num_steps)
    adapt = lambda params, support, key: solve(Adapted(jnp.zeros(size)), (params, support), key)[0]  # noqa: E731
    return jaxmeta.MetaLearner(model.init, adapt, predict, jaxmeta.query_loss(adapt, predict, criterion))


def own_learner(out: pathlib.Path, *, num_steps: int = 2000, num_tasks: int = 100) -> pathlib.Path:
    """Audits, trains and tests the learner, and returns the picture of waves that it never saw.

    Args:
      out: a folder.
      num_steps: meta-training steps.
      num_tasks: that test it.
    """
    criterion, model = criteria.squared_error, models.mlp(1 + 4, 1)
    learner = task_vector(model, criterion, size=4, num_steps=2, learning_rate=0.1)
    sample = tasks.sinusoid(num_shots=10, num_queries=100)
    # Proven before it is trained: the gradient is exact, and no answer hangs on other queries.
    print(jaxmeta.audit(learner, sample, jax.random.key(0), criterion=criterion))

    trainer = jaxmeta.meta_trainer(learner, optax.adam(1e-3))
    fitted = runs.fit(trainer, sample, jax.random.key(1), num_tasks=25, num_steps=num_steps)
    held_out = tasks.drawn(sample, jax.random.key(2), jnp.arange(num_tasks))
    scores = jaxmeta.evaluate(learner, criterion, fitted.meta_params, held_out, jax.random.key(3))
    print("squared error of waves never seen:", statistics.mean_interval(scores["single"]["loss"]))

    figure = Figure(figsize=(9, 3), layout="constrained")
    for task, panel in enumerate(figure.subplots(1, 3, sharey=True)):
        episode = jax.tree.map(lambda leaf, task=task: leaf[task], held_out)
        order = episode.query.inputs[:, 0].argsort()
        inputs = episode.query.inputs[order]
        adapted = learner.adapt(fitted.meta_params, episode.support, jax.random.key(4))
        for shown, label, style in ((Adapted(jnp.zeros(4)), "before", ":"), (adapted, "after", "-")):
            panel.plot(inputs, learner.predict(fitted.meta_params, shown, inputs), style, color="#0072B2", label=label)
        panel.plot(inputs, episode.query.targets[order], color="#767676", linewidth=0.8, label="the wave")
        panel.plot(episode.support.inputs, episode.support.targets, "o", color="#D55E00", label="ten examples")
    panel.legend(fontsize="small", frameon=False)
    out.mkdir(parents=True, exist_ok=True)
    figure.savefig(out / "waves.png", dpi=120)
    return out / "waves.png"


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=pathlib.Path, default=pathlib.Path("runs/own_learner"))
    parser.add_argument("--steps", type=int, default=2000)
    given = parser.parse_args()
    print(f"results: {own_learner(given.out, num_steps=given.steps)}")
