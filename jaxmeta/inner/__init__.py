"""The adaptation loop: a few optimiser steps on one task, differentiable through and through."""

from jaxmeta.inner.loop import Gradient, Trace, nested, unroll

__all__ = ["Gradient", "Trace", "nested", "unroll"]
