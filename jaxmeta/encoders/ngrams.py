"""Texts as counts of their character n-grams: what can be known of them without any learned encoder."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Sequence

import numpy as np

from jaxmeta import checks
from jaxmeta.datasets import cache

WIDTH = 1024
SIZES = (2, 3, 4, 5)
FORMAT = 1  # raise when vectors change, so that older entries are no longer found


def ngrams(texts: Sequence[str], width: int = WIDTH) -> np.ndarray:
    """Hashed counts of the n-grams of characters within words, kept in the cache as an encoder's features are.

    Each n-gram of `SIZES` characters of a word, with a space before and behind it, adds 1 or -1 to one of `width`
    sums, as its hash says; each n-gram counts 1 + log of how often it is there, and each vector has length one.

    Args:
      texts: any.
      width: how many sums.

    Returns:
      [N, width] float32.

    Raises:
      ValueError: if width < 2.

    References:
      Weinberger et al., Feature Hashing for Large Scale Multitask Learning, 2009.
    """
    width = checks.integer("ngrams: width", width, 2)
    content = hashlib.sha256("".join(f"{len(text)}:{text}" for text in texts).encode("utf-8", "surrogatepass"))
    key = json.dumps(["ngrams", FORMAT, SIZES, width, len(texts), content.hexdigest()])
    return cache.computed(key, (len(texts), width), lambda: _vectors(texts, width))


def _vectors(texts: Sequence[str], width: int) -> Iterator[np.ndarray]:
    for text in texts:
        plain = " " + "  ".join(text.casefold().split()) + " "
        marks = np.frombuffer(plain.encode("utf-32-le", "surrogatepass"), np.uint32).astype(np.uint64)
        grams, counts = np.unique(np.concatenate([_hashed(marks, size) for size in SIZES]), return_counts=True)
        signs = np.where(grams >> np.uint64(63), 1.0, -1.0)
        sums = np.bincount((grams % np.uint64(width)).astype(int), signs * (1 + np.log(counts)), width)
        yield (sums / max(float(np.linalg.norm(sums)), 1e-12)).astype(np.float32)


def _hashed(marks: np.ndarray, size: int) -> np.ndarray:
    """The hash of each run of `size` characters that does not go over two words."""
    if len(marks) < size:
        return np.empty(0, np.uint64)
    runs = np.lib.stride_tricks.sliding_window_view(marks, size)
    inner = runs[:, 1:-1] if size > 2 else runs[:, :0]
    runs = runs[~(inner == 32).any(axis=1) & ~((runs[:, 0] == 32) & (runs[:, -1] == 32))]
    made = np.full(len(runs), 0x9E3779B97F4A7C15 + size, np.uint64)
    with np.errstate(over="ignore"):
        for column in runs.T:
            made = (made ^ column) * np.uint64(0xFF51AFD7ED558CCD)
            made ^= made >> np.uint64(33)
        made *= np.uint64(0xC4CEB9FE1A85EC53)
    return made ^ (made >> np.uint64(29))
