"""The algorithms, one file each."""

from jaxmeta.learners.anp import anp
from jaxmeta.learners.cavia import cavia
from jaxmeta.learners.cnp import cnp
from jaxmeta.learners.context_policy import context_policy
from jaxmeta.learners.cross_transformer import cross_transformer
from jaxmeta.learners.dkt import dkt
from jaxmeta.learners.e_maml import e_maml
from jaxmeta.learners.imaml import imaml
from jaxmeta.learners.in_context import in_context
from jaxmeta.learners.laplacian_shot import laplacian_shot
from jaxmeta.learners.learned_optimizer import learned_optimizer
from jaxmeta.learners.maml import fomaml, maml
from jaxmeta.learners.maml_plus_plus import annealed_step_weights, maml_plus_plus
from jaxmeta.learners.matching_net import matching_net
from jaxmeta.learners.meta_sgd import meta_sgd
from jaxmeta.learners.named_protonet import named_protonet
from jaxmeta.learners.over_frozen import over_frozen, whole
from jaxmeta.learners.partial_maml import anil, boil, partial_maml
from jaxmeta.learners.proto_maml import proto_maml
from jaxmeta.learners.protonet import protonet
from jaxmeta.learners.r2d2 import r2d2
from jaxmeta.learners.relation_net import relation_net
from jaxmeta.learners.reptile import reptile
from jaxmeta.learners.ridge_classifier import ridge_classifier
from jaxmeta.learners.tnp import tnp
from jaxmeta.learners.tuned import tuned, tuned_protonet

__all__ = [
    "anil",
    "annealed_step_weights",
    "anp",
    "boil",
    "cavia",
    "cnp",
    "context_policy",
    "cross_transformer",
    "dkt",
    "e_maml",
    "fomaml",
    "imaml",
    "in_context",
    "laplacian_shot",
    "learned_optimizer",
    "maml",
    "maml_plus_plus",
    "matching_net",
    "meta_sgd",
    "named_protonet",
    "over_frozen",
    "partial_maml",
    "proto_maml",
    "protonet",
    "r2d2",
    "relation_net",
    "reptile",
    "ridge_classifier",
    "tnp",
    "tuned",
    "tuned_protonet",
    "whole",
]
