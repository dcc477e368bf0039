"""The adaptation loop."""

from jaxmeta.inner.closed_form import ridge
from jaxmeta.inner.implicit import implicit
from jaxmeta.inner.loop import Gradient, Steered, Trace, first_order, nested, steer, unroll

__all__ = ["Gradient", "Steered", "Trace", "first_order", "implicit", "nested", "ridge", "steer", "unroll"]
