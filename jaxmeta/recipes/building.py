"""From a recipe to networks, learners and optimizers."""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping
from typing import Any

import jax
import optax

from jaxmeta import checks, datasets, inner, learners, models, tasks
from jaxmeta.recipes import domains, fields, processes
from jaxmeta.recipes.kinds import Oracle, Shape
from jaxmeta.recipes.recipe import Recipe
from jaxmeta.types import Array, MetaLearner, Model

UNITS = 8  # of the learned optimizer, which run over every parameter
_SCHEDULES: dict[str, Callable[[float, int], Any]] = {
    "constant": lambda rate, steps: rate,
    "cosine": optax.cosine_decay_schedule,
    "linear": lambda rate, steps: optax.linear_schedule(rate, 0, steps),
    "halving": lambda rate, steps: optax.exponential_decay(rate, 2000, 0.5, staircase=True),
}
_OUTER = {"adam": optax.adam, "sgd": optax.sgd}
_INNER: dict[str, Callable[[Any], optax.GradientTransformation]] = {
    "sgd": optax.sgd,
    "momentum": lambda rate: optax.sgd(rate, momentum=0.9),
    "adam": lambda rate: optax.adam(rate, b1=0, eps_root=1e-10),
    "descent": inner.descent,
}
_LOWEST = {
    "ways": 2, "shots": 1, "queries": 1, "train_ways": 2, "train_shots": 0, "train_queries": 1,
    "steps": 0, "tasks_per_step": 1, "tasks_per_chunk": 0, "inner_batch_size": 0, "inner_steps": 0,
    "inner_steps_test": 0, "cg_steps": 1, "num_context_params": 1, "num_classes": 0, "batch_size": 1, "num_tasks": 2,
    "validation_tasks": 2, "num_filters": 1, "width": 1, "num_layers": 1, "num_heads": 1, "longest": 1,
    "hidden": 1, "min_examples": 0,
}  # fmt: skip


def check(recipe: Recipe) -> None:
    """Raises ValueError for values that cannot be or do not go together, and TypeError for those of other kinds."""
    recipe = fields.plain(recipe, _LOWEST)
    flat, task, entry = recipe.flat(), recipe.task, recipe.entry
    checks.seed("`seed`", recipe.seed)
    for name in ("learning_rate", "inner_learning_rate", "regularization"):
        if not 0 < flat[name] < float("inf"):
            checks.fail(f"`{name}`", "a positive number", flat[name])
    checks.integer("`num_features`", task.num_features, 0, 65_536)
    for name in ("clip", "clip_norm"):
        if not 0 <= flat[name] < float("inf"):
            checks.fail(f"`{name}`", "a number of at least 0", flat[name])
    if not 0 <= recipe.adaptation.inner_tolerance < 1:
        checks.fail("`inner_tolerance`", "a part of at least 0 and less than 1", recipe.adaptation.inner_tolerance)
    datasets.check_form(datasets.Form(*task.picture))
    name, has_classes = recipe.adaptation.learner, recipe.scoring.has_classes
    if name == "named_protonet" and task.knowledge == "none":
        checks.fail("`knowledge`", "names, for `learner` named_protonet", task.knowledge)
    if name == "from_scratch" and recipe.budget.steps:
        checks.fail("`steps`", "0, since from_scratch learns nothing before a task", recipe.budget.steps)
    if task.adapters != "none" and not task.encoder:
        checks.fail("`adapters`", "none without an `encoder`", task.adapters)
    if task.encoder and not has_classes:
        checks.fail(
            "`encoder`", f"none for `criterion` {task.criterion}, whose inputs are no pictures", repr(task.encoder)
        )
    if not entry.has_head and not has_classes:
        checks.fail("`learner`", f"one with a head for `criterion` {task.criterion}, such as maml", name)
    if entry.has_scale and not recipe.scoring.has_scale:
        checks.fail("`criterion`", f"gaussian_likelihood, for `learner` {name}", task.criterion)
    if entry.acts and not recipe.scoring.acts:
        checks.fail("`criterion`", f"policy_gradient, for `learner` {name}", task.criterion)
    if recipe.adaptation.inner_state == "carried":
        _check_carried(recipe)
    if not 0 <= recipe.adaptation.exploration < float("inf"):
        checks.fail("`exploration`", "a number of at least 0", recipe.adaptation.exploration)
    if entry.has_head and has_classes and task.train_ways != task.ways:
        wanted = f"the {task.ways} of `ways` (the head has one output a class)"
        checks.fail("`train_ways`", wanted, task.train_ways)


def _check_carried(recipe: Recipe) -> None:
    own, outer = recipe.adaptation, recipe.outer.outer_optimizer
    if own.learner != "reptile":
        checks.fail("`inner_state`", f"fresh, for `learner` {own.learner}", "carried", "reptile carries it")
    if own.inner_optimizer not in ("adam", "momentum"):
        checks.fail("`inner_state`", f"fresh, for `inner_optimizer` {own.inner_optimizer}, which has none", "carried")
    if outer != "sgd":
        hint = "it is a mean over tasks, to which only sgd goes"
        checks.fail("`inner_state`", f"fresh, for `outer_optimizer` {outer}", "carried", hint)


def outer_optimizer(recipe: Recipe) -> optax.GradientTransformation:
    """What makes the meta-training steps."""
    outer = recipe.outer
    schedule = _SCHEDULES[outer.schedule](outer.learning_rate, max(recipe.budget.steps, 1))
    optimizer = _OUTER[outer.outer_optimizer](schedule)
    cuts = [cut(most) for cut, most in ((optax.clip, outer.clip), (optax.clip_by_global_norm, outer.clip_norm)) if most]
    return optax.chain(*cuts, optimizer) if cuts else optimizer


def inner_optimizer(recipe: Recipe, rate: float | Array) -> optax.GradientTransformation:
    """What makes the adaptation steps."""
    return _INNER[recipe.adaptation.inner_optimizer](rate)


def shape(recipe: Recipe, sample: tasks.Sample) -> Shape:
    """The shape of the network that a sampler's episodes ask for."""
    support = jax.eval_shape(sample, jax.random.key(0)).support
    return domains.kind(recipe.task).drawn_shape(recipe.task, support)


@functools.cache
def network(recipe: Recipe, shape: Shape) -> Model:
    """The network of a recipe's learner."""
    kind, entry = domains.kind(recipe.task), recipe.entry
    if kind.frozen is not None:
        return learners.whole(_frozen(recipe))
    if entry.network == "maps":
        return kind.maps(recipe.network, shape)
    if entry.network == "reader":
        return kind.reader(recipe.network, shape)
    context = recipe.adaptation.num_context_params if entry.network == "conditioned" else 0
    if recipe.scoring.has_scale:
        return processes.with_scale(kind.network(recipe.network, shape, 2 * shape.outputs, context))
    return kind.network(recipe.network, shape, shape.outputs if entry.has_head else None, context)


@functools.cache
def _frozen(recipe: Recipe) -> models.FrozenModel:
    kind, entry = domains.kind(recipe.task), recipe.entry
    assert kind.frozen is not None
    if entry.network != "plain":
        wanted = "one that fits a network with frozen weights, such as tuned_protonet, protonet or maml"
        checks.fail("`learner`", wanted, recipe.adaptation.learner)
    return kind.frozen(recipe.task, recipe.task.ways if entry.has_head else None)


def _outputs(shape: Shape, model: Model) -> tuple[int, ...]:
    """The shape of what a network makes of one example."""
    inputs = jax.ShapeDtypeStruct((1, *shape.inputs), "float32")
    return jax.eval_shape(lambda key, x: model.apply(model.init(key), x), jax.random.key(0), inputs).shape[1:]


def _transitions(recipe: Recipe, shape: Shape) -> Model:
    """What encodes observation, action, reward and advantage of a step."""
    num_inputs = shape.inputs[0] + shape.outputs + 2
    return models.mlp(num_inputs, recipe.adaptation.num_context_params, hidden=recipe.network.hidden)


def training_learner(recipe: Recipe, shape: Shape) -> MetaLearner:
    """The learner that a recipe trains."""
    own = recipe.adaptation
    return _learner(_any_seed(recipe), shape, recipe.task.train_ways, own.inner_steps, own.inner_batch_size or None)


def learner(recipe: Recipe, shape: Shape, *, ways: int, inner_steps: int) -> MetaLearner:
    """The learner over the same meta_params that is tested; `ways` is what one without a head tells apart."""
    return _learner(_any_seed(recipe), shape, ways, inner_steps, None)


def learner_at(recipe: Recipe, shape: Shape, *, ways: int, inner_steps: int, rate: Array) -> MetaLearner:
    """`learner` with another rate of its steps, which may be traced: one program serves a whole search."""
    return _made(recipe, shape, ways, inner_steps, None, rate)


def _any_seed(recipe: Recipe) -> Recipe:
    """The recipe whose learners serve all seeds, so that their programs do, too."""
    return recipe.replace(seed=0)


# Cached, since a program is compiled once for each learner and not once for each that is equal to it.
@functools.cache
def _learner(recipe: Recipe, shape: Shape, ways: int, num_steps: int, batch_size: int | None) -> MetaLearner:
    return _made(recipe, shape, ways, num_steps, batch_size, recipe.adaptation.inner_learning_rate)


def _made(
    recipe: Recipe, shape: Shape, ways: int, num_steps: int, batch_size: int | None, rate: float | Array
) -> MetaLearner:
    make = functools.partial(_of, recipe, shape, ways, num_steps, batch_size, rate)
    if domains.kind(recipe.task).frozen is None:
        return make(network(recipe, shape))
    return learners.over_frozen(make, _frozen(recipe))


def _of(
    recipe: Recipe,
    shape: Shape,
    ways: int,
    num_steps: int,
    batch_size: int | None,
    rate: float | Array,
    model: Model,
) -> MetaLearner:
    kind, own = domains.kind(recipe.task), recipe.adaptation
    return recipe.entry.make(
        {
            "model": lambda: model,
            "relation": lambda: kind.relation(recipe.network, _outputs(shape, model)),
            "criterion": lambda: recipe.scoring.criterion,
            "outer_criterion": lambda: recipe.scoring.outer,
            "judge": lambda: recipe.scoring.outer or recipe.scoring.criterion,
            "transitions": lambda: _transitions(recipe, shape),
            "exploration": lambda: own.exploration,
            "optimizer": lambda: inner_optimizer(recipe, rate),
            "update_rule": lambda: models.lstm_update_rule(hidden=UNITS, initial_learning_rate=own.inner_learning_rate),
            "initial_learning_rate": lambda: own.inner_learning_rate,
            "num_steps": lambda: num_steps,
            "num_ways": lambda: ways + len(kind.always),
            "num_features": lambda: _outputs(shape, model)[0],
            "num_channels": lambda: _outputs(shape, model)[-1],
            "num_classes": lambda: recipe.task.num_classes,
            "batch_size": lambda: batch_size,
            "carry_state": lambda: own.inner_state == "carried",
            "regularization": lambda: own.regularization,
            "tolerance": lambda: own.inner_tolerance,
            "num_cg_steps": lambda: own.cg_steps,
            "num_context_params": lambda: own.num_context_params,
            "condition": lambda: kind.condition,
            "is_name": lambda: kind.is_name,
            "num_heads": lambda: recipe.network.num_heads,
            **processes.parts(recipe.network, shape),
        }
    )


def floors(recipe: Recipe, ways: int) -> dict[str, MetaLearner]:
    """The rows that say how far raw inputs alone go."""
    return _floors(_any_seed(recipe), ways)


@functools.cache
def _floors(recipe: Recipe, ways: int) -> dict[str, MetaLearner]:
    return domains.kind(recipe.task).floors(recipe.task, ways)


def oracles(recipe: Recipe) -> Mapping[str, Oracle]:
    """The rows of the best possible answers, where they are known."""
    return domains.kind(recipe.task).oracles(recipe.task)


def steps(recipe: Recipe, inner_steps: int) -> int:
    """The inner steps that are told of a learner, 0 where it takes none."""
    return inner_steps if recipe.entry.has_steps else 0


def initial(recipe: Recipe, learner: MetaLearner) -> Any:
    """The meta_params that a recipe's training starts from."""
    return learner.init(jax.random.split(jax.random.key(recipe.seed))[0])
