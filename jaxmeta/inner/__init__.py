"""The adaptation loop."""

from jaxmeta.inner.closed_form import ridge
from jaxmeta.inner.implicit import implicit
from jaxmeta.inner.loop import Gradient, InnerLoss, Steered, Trace, first_order, nested, steer, steered, unroll

__all__ = [
    "Gradient",
    "InnerLoss",
    "Steered",
    "Trace",
    "first_order",
    "implicit",
    "nested",
    "ridge",
    "steer",
    "steered",
    "unroll",
]
