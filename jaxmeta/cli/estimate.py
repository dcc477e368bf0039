"""How long a transfer will take, from the time that this machine needs for a hundred pictures."""

from __future__ import annotations

import time

import jax
import jax.numpy as jnp

from jaxmeta import models
from jaxmeta.cli import build, methods
from jaxmeta.cli.config import Train, Transfer

_PICTURES, _COMPILATION = 100, 4.0  # seconds a program
_TEST = 0.5  # a picture in test, whose queries only go forward, against one in training
_HEADS = ("linear_probe", "baseline_plus_plus")


def text(config: Transfer) -> str:
    """One line that says how long it will take, about."""
    trainings = _trainings(config)
    each = config.ways * config.queries
    pictures = sum(made.steps * _step(made) for made in trainings)
    programs = len(trainings)
    for name in config.learners:
        found = methods.method(name)
        tested = methods.tested(found, _trained(name, config), config, config.sources[0])
        for shots in config.shots:
            # Steps on the head alone take the features that were computed once.
            passes = tested.inner_steps_test if build.has_steps(tested) and tested.learner not in _HEADS else 1
            task = config.ways * shots * max(1, passes) + each
            untrained = found.family == "learner" and not found.fine_tunes
            pictures += _TEST * task * config.num_tasks * len(config.targets) * (2 if untrained else 1)
            pictures += _TEST * task * config.tune_tasks * len(methods.RATES) * found.tuned
            programs += 2 + found.tuned
    seconds = len(config.sources) * (pictures * _per_picture(config) + programs * _COMPILATION)
    cells = len(config.sources) * len(config.targets) * len(config.shots)
    return f"about {seconds / 60:.0f} min on this machine: {len(trainings)} trainings a source, {cells} cells"


def _trained(name: str, config: Transfer) -> Train | None:
    training = methods.method(name).training
    return None if training is None else methods.training(training, config, config.sources[0]).config


def _trainings(config: Transfer) -> list[Train]:
    names: dict[str, Train] = {}
    for name in config.learners:
        wanted = methods.method(name).training
        while wanted:
            made = methods.training(wanted, config, config.sources[0])
            names[wanted], wanted = made.config, made.start
    return list(names.values())


def _step(made: Train) -> int:
    """How many pictures go forward and backward in a training step."""
    if build.is_pretrained(made):
        return made.batch_size
    passes = 3 * max(1, made.inner_steps) if build.has_steps(made) and made.inner_steps else 1
    support = made.train_ways * (made.train_shots or made.shots)
    return made.tasks_per_step * (support * passes + made.train_ways * made.train_queries)


def _per_picture(config: Transfer) -> float:
    """Seconds that a picture takes forward and backward."""
    model = models.conv4(config.picture, None, num_filters=config.num_filters, downsampling=config.downsampling)
    params, pictures = model.init(jax.random.key(0)), jnp.ones((_PICTURES, *config.picture))
    gradient = jax.jit(jax.grad(lambda params: model.apply(params, pictures).mean()))
    times = []
    for _ in range(4):
        start = time.perf_counter()
        jax.block_until_ready(gradient(params))
        times.append(time.perf_counter() - start)
    return min(times) / _PICTURES
