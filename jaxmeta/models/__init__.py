"""Networks, and the adapters that make a `Model` of anyone's."""

from typing import TYPE_CHECKING, Any

from jaxmeta.models import forms
from jaxmeta.models.adapters import from_functions, from_linen
from jaxmeta.models.conditioning import FiLM, beside, concatenate
from jaxmeta.models.convolution import Conv, convolve, convolve_shared, depthwise, max_pool
from jaxmeta.models.networks import (
    MLP,
    Conv4,
    Conv4Maps,
    FiLMConv4,
    RelationModule,
    conv4,
    conv4_maps,
    film_conv4,
    flat,
    mlp,
    relation_module,
)
from jaxmeta.models.normalization import NORMS, Moments, Norm
from jaxmeta.models.pairs import pair_scores
from jaxmeta.models.policies import GaussianPolicy, Policy, categorical_policy, gaussian_policy
from jaxmeta.models.precision import in_precision
from jaxmeta.models.reading import caml, equiangular, point_network
from jaxmeta.models.resnet import ResNet12, resnet12
from jaxmeta.models.table_network import table_network
from jaxmeta.models.tagger import Tagger, tagger
from jaxmeta.models.transducer import Transducer, transducer
from jaxmeta.models.update_rules import UpdateRule, gradient_descent_rule, lstm_update_rule
from jaxmeta.models.wraps import FrozenModel, Rule, differences, film, lora, tsa, wrap

if TYPE_CHECKING:
    from jaxmeta.models.nnx import Context, NnxNorm, from_nnx

__all__ = [
    "MLP",
    "NORMS",
    "Context",
    "Conv",
    "Conv4",
    "Conv4Maps",
    "FiLM",
    "FiLMConv4",
    "FrozenModel",
    "GaussianPolicy",
    "Moments",
    "NnxNorm",
    "Norm",
    "Policy",
    "RelationModule",
    "ResNet12",
    "Rule",
    "Tagger",
    "Transducer",
    "UpdateRule",
    "beside",
    "caml",
    "categorical_policy",
    "concatenate",
    "conv4",
    "conv4_maps",
    "convolve",
    "convolve_shared",
    "depthwise",
    "differences",
    "equiangular",
    "film",
    "film_conv4",
    "flat",
    "forms",
    "from_functions",
    "from_linen",
    "from_nnx",
    "gaussian_policy",
    "gradient_descent_rule",
    "in_precision",
    "lora",
    "lstm_update_rule",
    "max_pool",
    "mlp",
    "pair_scores",
    "point_network",
    "relation_module",
    "resnet12",
    "table_network",
    "tagger",
    "transducer",
    "tsa",
    "wrap",
]


def __getattr__(name: str) -> Any:
    """Imports nnx once it is used."""
    if name in ("Context", "NnxNorm", "from_nnx"):
        from jaxmeta.models import nnx

        return getattr(nnx, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
