"""Networks, and the adapters that make a `Model` of anyone's."""

from jaxmeta.models.adapters import from_functions, from_linen, from_nnx
from jaxmeta.models.convolution import Conv, convolve, max_pool
from jaxmeta.models.networks import MLP, Conv4, conv4, flat, mlp
from jaxmeta.models.normalization import NORMS, Context, Moments, NnxNorm, Norm
from jaxmeta.models.resnet import ResNet12, resnet12
from jaxmeta.models.update_rules import UpdateRule, gradient_descent_rule, lstm_update_rule

__all__ = [
    "MLP",
    "NORMS",
    "Context",
    "Conv",
    "Conv4",
    "Moments",
    "NnxNorm",
    "Norm",
    "ResNet12",
    "UpdateRule",
    "conv4",
    "convolve",
    "flat",
    "from_functions",
    "from_linen",
    "from_nnx",
    "gradient_descent_rule",
    "lstm_update_rule",
    "max_pool",
    "mlp",
    "resnet12",
]
