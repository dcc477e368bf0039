"""jaxmeta: learn how to adapt. Few-shot and cross-domain meta-learning in JAX."""

from importlib.metadata import version as _version

from jaxmeta import baselines, criteria, datasets, inner, models, statistics, tasks
from jaxmeta.audit import audit
from jaxmeta.evaluation import evaluate
from jaxmeta.learners import fomaml, maml, protonet
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
    "audit",
    "baselines",
    "criteria",
    "datasets",
    "evaluate",
    "fomaml",
    "inner",
    "maml",
    "meta_trainer",
    "models",
    "protonet",
    "query_loss",
    "statistics",
    "tasks",
]
