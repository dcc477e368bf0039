"""The adaptation loop."""

from jaxmeta.inner.carrying import carried, memory
from jaxmeta.inner.closed_form import regularized_inverse, ridge
from jaxmeta.inner.descent import descent
from jaxmeta.inner.gradient import Gradient, InnerLoss, check_gradient, first_order, mixed_mode, nested
from jaxmeta.inner.implicit import implicit, implicit_loss
from jaxmeta.inner.loop import Select, Trace, minibatch, select_first, unroll
from jaxmeta.inner.scan import Scan, adaptive_scan, checkpointed_scan
from jaxmeta.inner.steering import Steered, steer, steered

__all__ = [
    "Gradient",
    "InnerLoss",
    "Scan",
    "Select",
    "Steered",
    "Trace",
    "adaptive_scan",
    "carried",
    "check_gradient",
    "checkpointed_scan",
    "descent",
    "first_order",
    "implicit",
    "implicit_loss",
    "memory",
    "minibatch",
    "mixed_mode",
    "nested",
    "regularized_inverse",
    "ridge",
    "select_first",
    "steer",
    "steered",
    "unroll",
]
