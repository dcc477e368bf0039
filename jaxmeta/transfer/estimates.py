"""How long a transfer will take, from the time that this machine needs for a hundred examples."""

from __future__ import annotations

import time

import jax
import jax.numpy as jnp

from jaxmeta import meshes, recipes
from jaxmeta.recipes import Recipe
from jaxmeta.transfer import methods
from jaxmeta.transfer.plan import Setting

_EXAMPLES, _COMPILATION = 100, 4.0  # seconds a program
_TEST = 0.5  # an example in test, whose queries only go forward, against one in training
_MAPS = 2.5  # what a step of cross_transformer takes an example, against one of pre-training
_HEADS = ("linear_probe", "baseline_plus_plus")


def text(setting: Setting) -> str:
    """One line that says how long it will take, about."""
    plan = setting.plan
    source = plan.sources[0] if plan.sources else ""
    trainings = _trainings(setting, source) if source else []
    examples = sum(made.budget.steps * _step(made) / _shared(made.budget.tasks_per_step) for made in trainings)
    programs, shared = len(trainings), _shared(plan.num_tasks)
    targets = sum(map(len, plan.met().values())) / max(1, len(plan.sources))  # that a source meets
    for name in plan.learners:
        found = methods.method(name)
        tested = methods.tested(found, _trained(name, setting, source), setting, source)
        for shots in plan.shots:
            # Steps on the head alone take the features that were computed once.
            steps = tested.entry.has_steps and tested.adaptation.learner not in _HEADS
            task = plan.ways * (shots * max(1, tested.adaptation.inner_steps_test if steps else 1) + plan.queries)
            untrained = found.family == "learner" and not found.fine_tunes
            cost = _TEST * _cost(tested)
            examples += cost * task * plan.num_tasks * targets * (2 if untrained else 1) / shared
            examples += cost * task * plan.tune_tasks * len(methods.RATES) * found.tuned / _shared(plan.tune_tasks)
            programs += 2 + found.tuned
    given = len(plan.runs) * len(plan.targets) * len(plan.shots)
    cells = sum(map(len, plan.met().values())) * len(plan.shots) + given
    seconds = len(plan.sources) * (examples * _per_example(setting) + programs * _COMPILATION) + given * _COMPILATION
    return f"about {seconds / 60:.0f} min on this machine: {len(trainings)} trainings a source, {cells} cells"


def _shared(num_tasks: int) -> int:
    """How many devices share so many tasks."""
    mesh = meshes.most(num_tasks)
    return 1 if mesh is None else mesh.size


def _trained(name: str, setting: Setting, source: str) -> Recipe | None:
    training = methods.method(name).training
    return None if training is None else methods.training(training, setting, source).recipe


def _trainings(setting: Setting, source: str) -> list[Recipe]:
    names: dict[str, Recipe] = {}
    for name in setting.plan.learners:
        wanted = methods.method(name).training
        while wanted:
            made = methods.training(wanted, setting, source)
            names[wanted], wanted = made.recipe, made.start
    return list(names.values())


def _step(made: Recipe) -> float:
    """How many examples go forward and backward in a training step, about."""
    if made.entry.is_pretrained:
        return made.budget.tasks_per_step * made.budget.batch_size
    steps, task = made.adaptation.inner_steps, made.task
    passes = 3 * max(1, steps) if made.entry.has_steps and steps else 1
    support = task.train_ways * (task.train_shots or task.shots)
    return made.budget.tasks_per_step * _cost(made) * (support * passes + task.train_ways * task.train_queries)


def _cost(made: Recipe) -> float:
    """Of an example, whose map may be compared with those of every class, against one of which features are."""
    return _MAPS if made.entry.network == "maps" else 1


def _per_example(setting: Setting) -> float:
    """Seconds that an example takes forward and backward on one of the devices while the others work, too."""
    shape = setting.shape
    model = recipes.network(methods.plain(setting, setting.plan.targets[0]), shape)
    params, inputs = model.init(jax.random.key(0)), jnp.ones((_EXAMPLES, *shape.inputs))
    gradient = jax.jit(jax.grad(lambda params, inputs: model.apply(params, inputs).mean()))
    given = [jax.device_put((params, inputs), device) for device in jax.local_devices()]
    times = []
    for _ in range(4):
        start = time.perf_counter()
        jax.block_until_ready([gradient(*each) for each in given])
        times.append(time.perf_counter() - start)
    return min(times) / _EXAMPLES
