"""What one cell of the matrix needs: the tasks that a target can give, and its distance from the source."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from jaxmeta import checks
from jaxmeta.recipes import Sizes


def fitted(class_sizes: Sequence[int] | np.ndarray, *, ways: int, shots: int, queries: int) -> Sizes:
    """What a target can give of the tasks that are asked for.

    Its own number of classes where it has fewer than `ways`; as many queries as the smallest class leaves, up to
    `queries`.

    Args:
      class_sizes: [C] examples of each class.
      ways: classes per task.
      shots: support examples per class; never fewer.
      queries: query examples per class.

    Example:
      >>> from jaxmeta import transfer
      >>> transfer.fitted([40, 12, 90], ways=5, shots=5, queries=15)
      Sizes(ways=3, shots=5, queries=7)
    """
    smallest = int(min(class_sizes))
    return Sizes(min(ways, len(class_sizes)), shots, max(0, min(queries, smallest - shots)))


def linear_mmd(source: Any, target: Any) -> float:
    """How far apart two domains lie: the squared distance between their mean features, in the source's variance.

    The unbiased estimate of the squared maximum mean discrepancy with the linear kernel, over the trace of the
    source's covariance, which makes distances under different encoders comparable. About 0 for two samples of one
    domain (it may be slightly below); at 1 the means are as far apart as a feature vector of the source usually is
    from its mean.

    Args:
      source: features [n, dim], at least 2.
      target: features [m, dim], at least 2.

    Raises:
      ValueError: if shapes do not fit, a value is not finite, or the source's features are constant.

    References:
      Gretton et al., A Kernel Two-Sample Test, 2012, lemma 6.
    """
    source, target = np.asarray(source, np.float64), np.asarray(target, np.float64)
    for what, features in (("source", source), ("target", target)):
        if features.ndim != 2 or len(features) < 2 or features.shape[1:] != source.shape[1:]:
            checks.fail(f"linear_mmd: {what}", "features [n, dim] of at least 2, equally long", features.shape)
        if not np.isfinite(features).all():
            checks.fail(f"linear_mmd: {what}", "finite features", "NaN or infinity")
    spreads = [features.var(axis=0, ddof=1).sum() for features in (source, target)]
    if not spreads[0] > 0:
        checks.fail("linear_mmd: source", "features that vary", "constant ones")
    gap = np.square(source.mean(axis=0) - target.mean(axis=0)).sum()
    return float((gap - spreads[0] / len(source) - spreads[1] / len(target)) / spreads[0])
