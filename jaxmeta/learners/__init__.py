"""The algorithms, one file each."""

from jaxmeta.learners.maml import fomaml, maml
from jaxmeta.learners.protonet import protonet

__all__ = ["fomaml", "maml", "protonet"]
