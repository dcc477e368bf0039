"""The adaptation loop: a few optimiser steps on one task, differentiable through and through."""

from jaxmeta.inner.loop import Trace, nested, unroll

__all__ = ["Trace", "nested", "unroll"]
