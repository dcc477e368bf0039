"""jaxmeta: learn how to adapt. Few-shot and cross-domain meta-learning in JAX."""

from importlib.metadata import version as _version

from jaxmeta import baselines, criteria, datasets, inner, models, statistics, tasks
from jaxmeta.evaluation import evaluate
from jaxmeta.learners import (
    anil,
    boil,
    fomaml,
    learned_optimizer,
    maml,
    maml_plus_plus,
    meta_sgd,
    partial_maml,
    protonet,
    reptile,
)
from jaxmeta.training import MetaState, MetaTrainer, meta_trainer
from jaxmeta.types import Batch, Episode, MetaLearner, Model, query_loss

__version__ = _version("jaxmeta")

__all__ = [
    "Batch",
    "Episode",
    "MetaLearner",
    "MetaState",
    "MetaTrainer",
    "Model",
    "anil",
    "baselines",
    "boil",
    "criteria",
    "datasets",
    "evaluate",
    "fomaml",
    "inner",
    "learned_optimizer",
    "maml",
    "maml_plus_plus",
    "meta_sgd",
    "meta_trainer",
    "models",
    "partial_maml",
    "protonet",
    "query_loss",
    "reptile",
    "statistics",
    "tasks",
]
