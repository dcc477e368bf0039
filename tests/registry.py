"""Every learner over every kind of model, with a tiny builder each; the protocol tests run over all of them."""

import functools
import math
from collections.abc import Callable
from typing import Any, NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import optax
from flax import nnx

from jaxmeta import baselines, criteria, datasets, learners, models, tasks
from jaxmeta.types import Criterion, Episode, MetaLearner, Model

SIZE, WAYS = 8, 3
PICTURE = (SIZE, SIZE, 1)
Outputs = int | str | None
"""Size of the head, "map" for feature maps [n, height, 1, channels], or None for features [n, dim]."""


class Net(nnx.Module):
    """A small nnx network with the norm under test."""

    def __init__(self, norm: str, num_outputs: Outputs, inputs: tuple[int, int, int], rngs: nnx.Rngs):
        self.first = nnx.Linear(math.prod(inputs[1:]), 8, param_dtype=float, rngs=rngs)
        self.norm = models.NnxNorm(8, kind=norm)
        self.head = None if num_outputs == "map" else nnx.Linear(8, num_outputs or 6, param_dtype=float, rngs=rngs)

    def __call__(self, x, mask=None):
        x = jax.nn.tanh(self.norm(self.first(x.reshape(*x.shape[:2], -1)), mask))
        return x[:, :, None] if self.head is None else self.head(x.mean(axis=1))


class Small(nn.Module):
    """A small linen network with the norm under test, without convolutions: compile times are what the suite costs."""

    norm: str
    num_outputs: Outputs

    @nn.compact
    def __call__(self, x, mask=None):
        x = x.reshape(*x.shape[:2], -1)
        for _ in range(2):
            x = nn.tanh(models.Norm(self.norm)(nn.Dense(8, use_bias=self.norm == "none", param_dtype=float)(x), mask))
        if self.num_outputs == "map":
            return x[:, :, None]
        x = x.mean(axis=1)
        return x if self.num_outputs is None else nn.Dense(self.num_outputs, param_dtype=float)(x)


def linen(norm: str, num_outputs: Outputs, inputs: tuple[int, int, int] = PICTURE) -> Model:
    return models.from_linen(Small(norm, num_outputs), jax.ShapeDtypeStruct((1, *inputs), jnp.float32))


def nnx_model(norm: str, num_outputs: Outputs, inputs: tuple[int, int, int] = PICTURE) -> Model:
    return models.from_nnx(lambda rngs: Net(norm, num_outputs, inputs, rngs))


MODELS = {"linen": linen, "nnx": nnx_model}


def _maml(model, **options):
    return learners.maml(model(WAYS), criteria.cross_entropy, optax.sgd(0.1), num_steps=2, **options)


def _fomaml(model, **options):
    return learners.fomaml(model(WAYS), criteria.cross_entropy, optax.sgd(0.1), num_steps=2, **options)


def _reptile(model, **options):
    return learners.reptile(model(WAYS), criteria.cross_entropy, optax.sgd(0.1), num_steps=3, **options)


def _meta_sgd(model, **options):
    return learners.meta_sgd(model(WAYS), criteria.cross_entropy, num_steps=2, initial_learning_rate=0.1, **options)


def _anil(model, **options):
    return learners.anil(model(WAYS), criteria.cross_entropy, optax.sgd(0.1), num_steps=2, **options)


def _boil(model, **options):
    return learners.boil(model(WAYS), criteria.cross_entropy, optax.sgd(0.1), num_steps=2, **options)


def _maml_plus_plus(model, **options):
    return learners.maml_plus_plus(
        model(WAYS), criteria.cross_entropy, num_steps=2, initial_learning_rate=0.1, **options
    )


def _learned_optimizer(model, **options):
    rule = models.lstm_update_rule(hidden=4, initial_learning_rate=0.1)
    return learners.learned_optimizer(model(WAYS), criteria.cross_entropy, rule, num_steps=2, **options)


def _protonet(model):
    return learners.protonet(model(None), criteria.cross_entropy, num_ways=WAYS)


def _named_protonet(model):
    def is_name(pictures):
        return jnp.floor(37 * pictures.reshape(len(pictures), -1)[:, ::5].sum(axis=1)) % 2 == 1

    return learners.named_protonet(model(None), criteria.cross_entropy, num_ways=WAYS, is_name=is_name)


def _matching_net(model):
    return learners.matching_net(model(None), criteria.cross_entropy, num_ways=WAYS)


def _relation_net(model):
    # Maps are [n, SIZE, 1, 8].
    return learners.relation_net(model("map"), model(1, (SIZE, 1, 16)), criteria.relation_score, num_ways=WAYS)


def _cross_transformer(model):
    return learners.cross_transformer(model("map"), criteria.cross_entropy, num_ways=WAYS, num_channels=8)


def _in_context(model):
    network = models.caml(model(None), jnp.zeros((1, *PICTURE)), num_ways=WAYS, width=8, num_layers=1, num_heads=2)
    return learners.in_context(network, criteria.cross_entropy, num_ways=WAYS)


def _r2d2(model):
    return learners.r2d2(model(None), criteria.cross_entropy, num_ways=WAYS)


def _laplacian_shot(model):
    return learners.laplacian_shot(model(None), criteria.cross_entropy, num_ways=WAYS)


def _tuned_protonet(model, **options):
    return learners.tuned_protonet(
        model(None), criteria.cross_entropy, optax.sgd(0.1), num_ways=WAYS, num_steps=2, **options
    )


def _ridge_classifier(model):
    return learners.ridge_classifier(model(None), criteria.cross_entropy, num_ways=WAYS)


def _proto_maml(model, **options):
    return learners.proto_maml(
        model(None), criteria.cross_entropy, optax.sgd(0.1), num_ways=WAYS, num_steps=2, **options
    )


def _imaml(model, **options):
    return learners.imaml(
        model(WAYS), criteria.cross_entropy, optax.sgd(0.1), num_steps=3, regularization=2.0, **options
    )


def _cavia(model, **options):
    def condition(pictures, context_params):
        # Constant channels would be taken out by most of the norms.
        return pictures * (1 + context_params[None, None, :, None])

    return learners.cavia(
        model(WAYS),
        criteria.cross_entropy,
        optax.sgd(1.0),
        num_steps=2,
        num_context_params=SIZE,
        condition=condition,
        **options,
    )


LEARNERS = {
    "maml": _maml,
    "fomaml": _fomaml,
    "imaml": _imaml,
    "cavia": _cavia,
    "proto_maml": _proto_maml,
    "protonet": _protonet,
    "named_protonet": _named_protonet,
    "matching_net": _matching_net,
    "relation_net": _relation_net,
    "cross_transformer": _cross_transformer,
    "in_context": _in_context,
    "r2d2": _r2d2,
    "ridge_classifier": _ridge_classifier,
    "laplacian_shot": _laplacian_shot,
    "tuned_protonet": _tuned_protonet,
    "reptile": _reptile,
    "meta_sgd": _meta_sgd,
    "anil": _anil,
    "boil": _boil,
    "maml_plus_plus": _maml_plus_plus,
    "learned_optimizer": _learned_optimizer,
}


def small_policy(num_context: int = 0) -> Model:
    """Of `control.chain`."""
    return models.categorical_policy(3 + num_context, 2, hidden=(6,), activation=jax.nn.tanh)


def _e_maml():
    return learners.e_maml(small_policy(), criteria.policy_gradient(), optax.sgd(0.5), num_steps=1)


def _context_policy():
    encoder = models.mlp(3 + 2 + 2, 4, hidden=(6,))
    return learners.context_policy(small_policy(4), encoder, criteria.policy_gradient(), num_context_params=4)


# Learners for policies alone; tests/control runs the protocol over them.
ACTING = {"e_maml": _e_maml, "context_policy": _context_policy}
SIZES = {"num_features": 8, "num_classes": WAYS, "num_ways": WAYS}


def _fine_tune(model, **options):
    return baselines.fine_tune(model(None), criteria.cross_entropy, optax.sgd(0.1), num_steps=2, **SIZES, **options)


def _linear_probe(model, **options):
    return baselines.linear_probe(model(None), criteria.cross_entropy, optax.sgd(0.1), num_steps=2, **SIZES, **options)


def _baseline_plus_plus(model, **options):
    return baselines.baseline_plus_plus(
        model(None), criteria.cross_entropy, optax.sgd(0.1), num_steps=2, **SIZES, **options
    )


def _simple_shot(model):
    return baselines.simple_shot(model(None), criteria.cross_entropy, **SIZES)


BASELINES = {
    "fine_tune": _fine_tune,
    "linear_probe": _linear_probe,
    "baseline_plus_plus": _baseline_plus_plus,
    "simple_shot": _simple_shot,
}


def _from_scratch(model, **options):
    return baselines.from_scratch(model(WAYS), criteria.cross_entropy, optax.sgd(0.1), num_steps=2, **options)


# It has nothing to train.
UNTRAINED = {"from_scratch": _from_scratch}
WITHOUT_STEPS = {
    "protonet",
    "matching_net",
    "relation_net",
    "cross_transformer",
    "r2d2",
    "ridge_classifier",
    "laplacian_shot",
    "simple_shot",
    "in_context",
    "named_protonet",
}
TRANSDUCTIVE = {"laplacian_shot"}
# Rounding is as large as its outputs' scale, up to 40, makes it, once it has gone through steps.
ROUNDING = {"tuned_protonet": 1e-5}
WITH_STEPS = (LEARNERS | BASELINES | UNTRAINED).keys() - WITHOUT_STEPS
# Options that the others with steps have.
LACKING = {"fomaml": {"gradient"}, "imaml": {"gradient"}, "reptile": {"outer_criterion"}}


def _whole(episode: Episode) -> Episode:
    return episode


def _labelled(episode: Episode) -> Episode:
    """A batch as `tasks.labelled_batches` makes them."""
    return Episode((), episode.support._replace(classes=None))


class Case(NamedTuple):
    learner: MetaLearner
    criterion: Criterion
    training: Callable[[Episode], Episode]
    """What its own training sampler would make of an episode."""


def case(name: str, model: str = "linen", norm: str = "support", **options: Any) -> Case:
    learner = (LEARNERS | BASELINES | UNTRAINED)[name](functools.partial(MODELS[model], norm), **options)
    return Case(learner, criteria.cross_entropy, _labelled if name in BASELINES else _whole)


def _across():
    labels = jnp.arange(12) // 3
    domains = [datasets.from_labels(start + jnp.arange(24.0).reshape(12, 2), labels, name="d") for start in (0, 50)]
    return tasks.across(*domains, num_ways=3, num_shots=2, num_queries=1)


def pictures() -> datasets.Examples:
    """Noise in five classes of 6 to 14."""
    labels = np.repeat(np.arange(5), [6, 8, 10, 12, 14])
    images = np.random.default_rng(0).integers(0, 256, (len(labels), SIZE, SIZE, 1), np.uint8)
    return datasets.from_labels(images // 2 + labels[:, None, None, None].astype(np.uint8) * 25, labels, name="noise")


TASKS = {
    "few_shot": lambda: tasks.few_shot(pictures(), num_ways=3, num_shots=2, num_queries=2),
    "across": _across,
    "sinusoid": lambda: tasks.sinusoid(num_shots=4, num_queries=3),
    "strokes": lambda: tasks.strokes(num_ways=3, num_shots=2, num_queries=1, size=8),
    "from_arrays": lambda: tasks.from_arrays(
        (jnp.arange(60.0).reshape(5, 12, 1), jnp.arange(60.0).reshape(5, 12, 1)), num_shots=4, num_queries=3
    ),
    "tabular": lambda: tasks.tabular(num_features=4, num_ways=3, num_shots=2, num_queries=1),
    "causal_tables": lambda: tasks.causal_tables(num_features=4, num_ways=3, num_support=6, num_queries=3),
    "causal_regression": lambda: tasks.causal_regression(num_features=4, num_support=6, num_queries=3),
    "gaussian_process": lambda: tasks.gaussian_process(kernel=tasks.matern52, most_points=9),
    "counted_process": lambda: tasks.gaussian_process(most_points=9, num_shots=(3, 5), num_queries=(4, 4)),
    "with_kernel": lambda: tasks.with_kernel(tasks.gaussian_process(most_points=9)),
    "tabular_regression": lambda: tasks.tabular_regression(num_features=4, num_shots=4, num_queries=3),
    "variable": lambda: tasks.variable(pictures(), max_ways=4, max_shots=3, num_queries=2, min_ways=2),
    "mixture": lambda: tasks.mixture(
        [tasks.standardize(tasks.few_shot(pictures(), num_ways=2, num_shots=2, num_queries=1)) for _ in range(2)]
    ),
    "augmented": lambda: tasks.augmented(
        tasks.few_shot(pictures(), num_ways=3, num_shots=2, num_queries=1), tasks.shift(1)
    ),
    "padded": lambda: tasks.pad_features(
        tasks.standardize_targets(
            tasks.standardize(tasks.tabular_regression(num_features=4, num_shots=4, num_queries=3))
        ),
        6,
    ),
    "transduction": lambda: tasks.transduction(
        ["ab", "ba", "abc", "cab", "bc"], ["AB", "BA", "ABC", "CAB", "BC"], num_shots=3, num_queries=2
    ),
    "renamed": lambda: tasks.renamed(TASKS["transduction"]()),
    "widened": lambda: tasks.widen(tasks.tabular(num_features=4, num_ways=3, num_shots=2, num_queries=1), 5),
}
