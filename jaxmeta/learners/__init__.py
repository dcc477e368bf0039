"""The algorithms, one file each."""

from jaxmeta.learners.learned_optimizer import learned_optimizer
from jaxmeta.learners.maml import fomaml, maml
from jaxmeta.learners.maml_plus_plus import annealed_step_weights, maml_plus_plus
from jaxmeta.learners.meta_sgd import meta_sgd
from jaxmeta.learners.partial_maml import anil, boil, partial_maml
from jaxmeta.learners.protonet import protonet
from jaxmeta.learners.reptile import reptile

__all__ = [
    "anil",
    "annealed_step_weights",
    "boil",
    "fomaml",
    "learned_optimizer",
    "maml",
    "maml_plus_plus",
    "meta_sgd",
    "partial_maml",
    "protonet",
    "reptile",
]
