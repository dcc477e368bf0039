"""The one table of learners that recipes know by name."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Literal, NamedTuple

from jaxmeta import baselines, learners
from jaxmeta.types import MetaLearner

_MODEL = ("model", "criterion")
_STEPS = (*_MODEL, "optimizer")
_OUTER = ("num_steps", "outer_criterion")
_PRETRAINED = ("num_features", "num_classes", "num_ways")


class Entry(NamedTuple):
    """How a learner is made of parts that `building` names; a new learner is one row of the table."""

    learner: Callable[..., MetaLearner]
    given: tuple[str, ...] = _STEPS
    """The parts that it takes by position."""
    options: tuple[str, ...] = ("num_steps",)
    """The parts that it takes by name."""
    network: Literal["plain", "maps", "conditioned", "reader"] = "plain"
    """Features or outputs; feature maps; outputs that a task's context parameters steer; outputs for a support set."""
    fewest_steps: int = 0
    """That it can take in test."""
    acts: bool = False
    """Whether it is for policies alone."""
    has_scale: bool = False
    """Whether it predicts values with a scale by itself, for a likelihood alone."""

    @property
    def has_steps(self) -> bool:
        """Whether it adapts by steps; the others read a support set once."""
        return "num_steps" in self.options

    @property
    def has_head(self) -> bool:
        """Whether the network has an output for every class, so that ways in test are those in training."""
        return "num_ways" not in self.options

    @property
    def is_pretrained(self) -> bool:
        """Whether training is supervised, on labelled batches of all source classes."""
        return "num_classes" in self.options

    def make(self, parts: Mapping[str, Callable[[], Any]]) -> MetaLearner:
        """Makes the learner; of the parts, name -> () -> part, those that it takes are made."""
        return self.learner(*(parts[name]() for name in self.given), **{name: parts[name]() for name in self.options})


ENTRIES: dict[str, Entry] = {
    "maml": Entry(learners.maml, options=_OUTER),
    "fomaml": Entry(learners.fomaml, options=_OUTER),
    "reptile": Entry(learners.reptile, options=("num_steps", "batch_size", "carry_state"), fewest_steps=1),
    "meta_sgd": Entry(learners.meta_sgd, _MODEL, (*_OUTER, "initial_learning_rate")),
    "anil": Entry(learners.anil, options=_OUTER),
    "boil": Entry(learners.boil, options=_OUTER),
    "maml_plus_plus": Entry(learners.maml_plus_plus, _MODEL, (*_OUTER, "initial_learning_rate"), fewest_steps=1),
    "imaml": Entry(learners.imaml, options=("num_steps", "regularization", "tolerance", "num_cg_steps")),
    "cavia": Entry(learners.cavia, options=(*_OUTER, "num_context_params", "condition"), network="conditioned"),
    "e_maml": Entry(learners.e_maml, options=(*_OUTER, "exploration"), acts=True),
    "context_policy": Entry(
        learners.context_policy,
        ("model", "transitions", "judge"),
        ("num_context_params", "condition"),
        "conditioned",
        acts=True,
    ),
    "learned_optimizer": Entry(learners.learned_optimizer, (*_MODEL, "update_rule")),
    "proto_maml": Entry(learners.proto_maml, options=("num_ways", "num_steps")),
    "protonet": Entry(learners.protonet, _MODEL, ("num_ways",)),
    "named_protonet": Entry(learners.named_protonet, _MODEL, ("num_ways", "is_name")),
    "matching_net": Entry(learners.matching_net, _MODEL, ("num_ways",)),
    "relation_net": Entry(learners.relation_net, ("model", "relation", "criterion"), ("num_ways",), "maps"),
    "cross_transformer": Entry(learners.cross_transformer, _MODEL, ("num_ways", "num_channels"), "maps"),
    "r2d2": Entry(learners.r2d2, _MODEL, ("num_ways",)),
    "laplacian_shot": Entry(learners.laplacian_shot, _MODEL, ("num_ways",)),
    "ridge_classifier": Entry(learners.ridge_classifier, _MODEL, ("num_ways",)),
    "tuned_protonet": Entry(learners.tuned_protonet, options=("num_ways", "num_steps")),
    "in_context": Entry(learners.in_context, _MODEL, ("num_ways",), "reader"),
    "cnp": Entry(learners.cnp, ("encoder", "decoder", "criterion"), (), has_scale=True),
    "anp": Entry(
        learners.anp, ("encoder", "embedding", "latent", "latent_decoder", "criterion"), ("num_heads",), has_scale=True
    ),
    "tnp": Entry(learners.tnp, ("transformer", "criterion"), (), has_scale=True),
    "dkt": Entry(learners.dkt, ("kernel_features",), (), has_scale=True),
    "fine_tune": Entry(baselines.fine_tune, options=("num_steps", *_PRETRAINED)),
    "linear_probe": Entry(baselines.linear_probe, options=("num_steps", *_PRETRAINED)),
    "baseline_plus_plus": Entry(baselines.baseline_plus_plus, options=("num_steps", *_PRETRAINED)),
    "simple_shot": Entry(baselines.simple_shot, _MODEL, _PRETRAINED),
    "from_scratch": Entry(baselines.from_scratch),
}
