"""jaxmeta: learn how to adapt. Few-shot and cross-domain meta-learning in JAX."""

from importlib.metadata import version as _version

from jaxmeta import baselines, criteria, datasets, inner, models, statistics, tasks
from jaxmeta.evaluation import evaluate
from jaxmeta.learners import cavia, fomaml, imaml, maml, matching_net, proto_maml, protonet, r2d2, relation_net
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
    "baselines",
    "cavia",
    "criteria",
    "datasets",
    "evaluate",
    "fomaml",
    "imaml",
    "inner",
    "maml",
    "matching_net",
    "meta_trainer",
    "models",
    "proto_maml",
    "protonet",
    "query_loss",
    "r2d2",
    "relation_net",
    "statistics",
    "tasks",
]
