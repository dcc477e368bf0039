"""jaxmeta: learn how to adapt. Few-shot and cross-domain meta-learning in JAX."""

import pathlib as _pathlib
import sys as _sys

from jaxmeta import threads as _threads  # noqa: F401  before jax is used

try:
    import jax as _jax  # noqa: F401
except ValueError as _error:  # of a variable such as JAX_NUM_CPU_DEVICES, which it reads while it is imported
    # No line of the command has run yet that could tell it in one line.
    if _pathlib.PurePath(_sys.argv[0]).stem != "jaxmeta" and "jaxmeta.cli" not in _sys.orig_argv:
        raise
    print(f"jaxmeta: {_error}", file=_sys.stderr)
    _sys.exit(2)

from jaxmeta import (
    baselines,
    control,
    criteria,
    datasets,
    encoders,
    inner,
    models,
    recipes,
    runs,
    statistics,
    tasks,
    transfer,
)
from jaxmeta.auditing import audit
from jaxmeta.evaluation import evaluate
from jaxmeta.learners import (
    anil,
    anp,
    boil,
    cavia,
    cnp,
    context_policy,
    cross_transformer,
    dkt,
    e_maml,
    fomaml,
    imaml,
    in_context,
    laplacian_shot,
    learned_optimizer,
    maml,
    maml_plus_plus,
    matching_net,
    meta_sgd,
    named_protonet,
    partial_maml,
    proto_maml,
    protonet,
    r2d2,
    relation_net,
    reptile,
    ridge_classifier,
    tnp,
    tuned,
    tuned_protonet,
)
from jaxmeta.policy_trainers import ppo_trainer, trust_region_trainer
from jaxmeta.training import MetaState, MetaTrainer, meta_trainer
from jaxmeta.types import Batch, Episode, MetaLearner, Model, query_loss
from jaxmeta.version import VERSION as _VERSION

__version__ = _VERSION

__all__ = [
    "Batch",
    "Episode",
    "MetaLearner",
    "MetaState",
    "MetaTrainer",
    "Model",
    "anil",
    "anp",
    "audit",
    "baselines",
    "boil",
    "cavia",
    "cnp",
    "context_policy",
    "control",
    "criteria",
    "cross_transformer",
    "datasets",
    "dkt",
    "e_maml",
    "encoders",
    "evaluate",
    "fomaml",
    "imaml",
    "in_context",
    "inner",
    "laplacian_shot",
    "learned_optimizer",
    "maml",
    "maml_plus_plus",
    "matching_net",
    "meta_sgd",
    "meta_trainer",
    "models",
    "named_protonet",
    "partial_maml",
    "ppo_trainer",
    "proto_maml",
    "protonet",
    "query_loss",
    "r2d2",
    "recipes",
    "relation_net",
    "reptile",
    "ridge_classifier",
    "runs",
    "statistics",
    "tasks",
    "tnp",
    "transfer",
    "trust_region_trainer",
    "tuned",
    "tuned_protonet",
]
