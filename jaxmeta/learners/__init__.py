"""The algorithms, one file each."""

from jaxmeta.learners.cavia import cavia
from jaxmeta.learners.imaml import imaml
from jaxmeta.learners.maml import fomaml, maml
from jaxmeta.learners.matching_net import matching_net
from jaxmeta.learners.proto_maml import proto_maml
from jaxmeta.learners.protonet import protonet
from jaxmeta.learners.r2d2 import r2d2
from jaxmeta.learners.relation_net import relation_net

__all__ = ["cavia", "fomaml", "imaml", "maml", "matching_net", "proto_maml", "protonet", "r2d2", "relation_net"]
