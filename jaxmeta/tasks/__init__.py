"""Task distributions: key -> Episode, pure and jittable."""

from jaxmeta.tasks.across import across
from jaxmeta.tasks.causal import causal_regression, causal_tables
from jaxmeta.tasks.cells import cells, encoded, width
from jaxmeta.tasks.finite import few_shot, from_arrays, labelled_batches
from jaxmeta.tasks.gaussian_process import gaussian_process, matern52, periodic, rbf, with_kernel
from jaxmeta.tasks.knowledge import aligned, parallel, with_names
from jaxmeta.tasks.mentions import mentions, mentions_across
from jaxmeta.tasks.mixture import mixture
from jaxmeta.tasks.questions import questions
from jaxmeta.tasks.sampling import Sample, as_pytree, distinct, episodes
from jaxmeta.tasks.sinusoid import sinusoid
from jaxmeta.tasks.streamed import drawn, is_streamed, streamed
from jaxmeta.tasks.strings import renamed, transduction
from jaxmeta.tasks.strokes import strokes
from jaxmeta.tasks.tabular import tabular, tabular_regression
from jaxmeta.tasks.transforms import (
    affine,
    augmented,
    flip,
    pad_features,
    shift,
    standardize,
    standardize_targets,
    widen,
)
from jaxmeta.tasks.variable import variable

__all__ = [
    "Sample",
    "across",
    "affine",
    "aligned",
    "as_pytree",
    "augmented",
    "causal_regression",
    "causal_tables",
    "cells",
    "distinct",
    "drawn",
    "encoded",
    "episodes",
    "few_shot",
    "flip",
    "from_arrays",
    "gaussian_process",
    "is_streamed",
    "labelled_batches",
    "matern52",
    "mentions",
    "mentions_across",
    "mixture",
    "pad_features",
    "parallel",
    "periodic",
    "questions",
    "rbf",
    "renamed",
    "shift",
    "sinusoid",
    "standardize",
    "standardize_targets",
    "streamed",
    "strokes",
    "tabular",
    "tabular_regression",
    "transduction",
    "variable",
    "widen",
    "width",
    "with_kernel",
    "with_names",
]
