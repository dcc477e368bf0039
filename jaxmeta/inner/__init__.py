"""The adaptation loop."""

from jaxmeta.inner.closed_form import ridge
from jaxmeta.inner.gradient import Gradient, InnerLoss, check_gradient, first_order, mixed_mode, nested
from jaxmeta.inner.implicit import implicit
from jaxmeta.inner.loop import Steered, Trace, steer, steered, unroll
from jaxmeta.inner.scan import Scan, checkpointed_scan

__all__ = [
    "Gradient",
    "InnerLoss",
    "Scan",
    "Steered",
    "Trace",
    "check_gradient",
    "checkpointed_scan",
    "first_order",
    "implicit",
    "mixed_mode",
    "nested",
    "ridge",
    "steer",
    "steered",
    "unroll",
]
