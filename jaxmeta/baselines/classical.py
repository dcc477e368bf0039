"""scikit-learn's classifiers of tables, on the episodes of the meta-learners: what they must beat.

Whatever is fitted, imputation, scaling and the choice of a penalty included, is fitted to the support set alone.
"""

from __future__ import annotations

import collections
import functools
import hashlib
import warnings
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from jaxmeta import checks
from jaxmeta.datasets import files
from jaxmeta.learners.support import memberships
from jaxmeta.types import CATEGORY, Array, Batch, Criterion, MetaLearner, PyTree, query_loss

_KEPT = 64  # fitted classifiers: both columns of an evaluation ask the same
_FOLDS = 5
_PENALTIES = np.logspace(-3, 2, 6)  # of inverse strength


class Shown(NamedTuple):
    """The support set itself; the classifier is fitted where it is asked."""

    cells: Array
    """[n, d, 3]"""
    members: Array
    """[n, num_ways] bool, each row's class; none for padding."""


def tuned_logistic_regression(criterion: Criterion, *, num_ways: int) -> MetaLearner:
    """Logistic regression whose penalty is chosen by cross-validation within the support set.

    Missing numbers become their column's mean, categories columns of 0 and 1, and columns are standardised. There are
    as many folds as the rarest class has examples, at most five; with one example of a class the penalty is
    scikit-learn's default.

    Args:
      criterion: scores a predictor on query data.
      num_ways: classes per episode.

    Returns:
      A MetaLearner without meta_params; inputs are [n, d, 3] as `tasks.cells` makes them, outputs the logarithms of
      probabilities. It runs on the host, within `jax.jit`, too.

    Raises:
      ImportError: if scikit-learn is not installed; the message says how to.
      ValueError: if num_ways < 2.
    """
    return _classifier(_logistic, criterion, num_ways)


def nearest_neighbours(criterion: Criterion, *, num_ways: int) -> MetaLearner:
    """The classes of the five nearest rows, columns standardised; fewer where there are fewer rows.

    Args, returns and raises as `tuned_logistic_regression`.
    """
    return _classifier(_neighbours, criterion, num_ways)


def random_forest(criterion: Criterion, *, num_ways: int) -> MetaLearner:
    """A hundred trees of scikit-learn's RandomForestClassifier, as it comes.

    Args, returns and raises as `tuned_logistic_regression`.
    """
    return _classifier(_forest, criterion, num_ways)


def gradient_boosting(criterion: Criterion, *, num_ways: int) -> MetaLearner:
    """scikit-learn's GradientBoostingClassifier, as it comes.

    Args, returns and raises as `tuned_logistic_regression`.
    """
    return _classifier(_boosting, criterion, num_ways)


def standardized_centroid(criterion: Criterion, *, num_ways: int) -> MetaLearner:
    """The class whose mean is nearest to a query, columns standardised.

    Args, returns and raises as `tuned_logistic_regression`.
    """
    return _classifier(_centroid, criterion, num_ways)


def majority_class(criterion: Criterion, *, num_ways: int) -> MetaLearner:
    """What the support set has most often, whatever is asked; probabilities are the classes' shares.

    Args:
      criterion: scores a predictor on query data.
      num_ways: classes per episode.
    """
    num_ways = checks.integer("majority_class: num_ways", num_ways, 2)

    def predict(meta_params: PyTree, adapted: Shown, inputs: Array, mask: Array | None = None) -> Array:
        del meta_params, mask
        counts = adapted.members.sum(axis=0)
        shares = jnp.maximum(counts / jnp.maximum(counts.sum(), 1), 1e-6)
        return jnp.broadcast_to(jnp.log(shares), (len(inputs), num_ways))

    adapt = functools.partial(_shown, num_ways)
    return MetaLearner(lambda key: {}, adapt, predict, query_loss(adapt, predict, criterion))


def _shown(num_ways: int, meta_params: PyTree, support: Batch, key: Array) -> Shown:
    del meta_params, key
    return Shown(support.inputs, memberships(support, num_ways))


_Fit = Callable[[np.ndarray, np.ndarray, np.ndarray], Callable[[np.ndarray], np.ndarray]]
"""(rows, labels, which columns are categories) -> rows -> shares [n, classes that there are]"""


def _classifier(fit: _Fit, criterion: Criterion, num_ways: int) -> MetaLearner:
    num_ways = checks.integer("num_ways", num_ways, 2)
    files.extra("sklearn")
    fitted: collections.OrderedDict[bytes, Any] = collections.OrderedDict()

    def one(cells: np.ndarray, members: np.ndarray, asked: np.ndarray) -> np.ndarray:
        shares = np.full((len(asked), num_ways), 1e-6)
        labels, real = members.argmax(axis=1), members.any(axis=1)
        classes = np.unique(labels[real])
        if len(classes) < 2:
            shares[:, classes] = 1
            return np.log(shares)
        name = hashlib.sha256(cells.tobytes() + members.tobytes()).digest()
        if name not in fitted:
            kinds = cells[..., 2].max(axis=0)
            columns = np.flatnonzero((kinds > 0) & (cells[real][..., 1].max(axis=0) > 0))
            codes = np.searchsorted(classes, labels[real])
            fitted[name] = columns, fit(_numbers(cells[real][:, columns]), codes, kinds[columns] == CATEGORY)
            while len(fitted) > _KEPT:
                fitted.popitem(last=False)
        columns, ask = fitted[name]
        shares[:, classes] = np.maximum(ask(_numbers(asked[:, columns])), 1e-6)
        return np.log(shares)

    def host(cells: Any, members: Any, asked: Any) -> np.ndarray:
        cells, members, asked = (np.asarray(each) for each in (cells, members, asked))
        around = np.broadcast_shapes(cells.shape[:-3], members.shape[:-2], asked.shape[:-3])
        found = np.empty((*around, asked.shape[-3], num_ways), cells.dtype)
        pick = lambda array, place: array[tuple(0 if own == 1 else at for own, at in zip(array.shape, place))]  # noqa: B905, E731
        for place in np.ndindex(around):
            found[place] = one(pick(cells, place), pick(members, place), pick(asked, place))
        return found

    def predict(meta_params: PyTree, adapted: Shown, inputs: Array, mask: Array | None = None) -> Array:
        del meta_params, mask
        if inputs.ndim != 3:
            checks.fail("inputs", "cells [n, d, 3], as tasks.cells makes them", f"shape {inputs.shape}")
        like = jax.ShapeDtypeStruct((len(inputs), num_ways), inputs.dtype)
        return jax.pure_callback(host, like, adapted.cells, adapted.members, inputs, vmap_method="expand_dims")

    adapt = functools.partial(_shown, num_ways)
    return MetaLearner(lambda key: {}, adapt, predict, query_loss(adapt, predict, criterion))


def _numbers(cells: np.ndarray) -> np.ndarray:
    return np.where(cells[..., 1] > 0, cells[..., 0], np.nan).astype(np.float64)


def _columns(rows: np.ndarray, categorical: np.ndarray) -> Callable[[np.ndarray], np.ndarray]:
    """What makes columns of numbers: missing ones are the mean, categories have a column each, and all are scaled.

    A category that the support set does not show is missing. scikit-learn's SimpleImputer, OneHotEncoder and
    StandardScaler take ten times as long.
    """
    known = [np.unique(column[~np.isnan(column)]) for column in rows[:, categorical].T]

    def wide(rows: np.ndarray) -> np.ndarray:
        parts = [rows[:, ~categorical]]
        for column, values in zip(rows[:, categorical].T, known, strict=True):
            ones = np.where(np.isin(column, values)[:, None], column[:, None] == values[None], np.nan)
            parts.append(ones[:, 1:] if len(values) == 2 else ones)  # two categories are one column
        return np.concatenate(parts, axis=1)

    seen = wide(rows)
    means, deviations = np.nanmean(seen, axis=0), np.nanstd(seen, axis=0)
    deviations = np.where(deviations > 0, deviations, 1)
    return lambda rows: np.nan_to_num((wide(rows) - means) / deviations)


def _asked(model: Any, rows: np.ndarray, labels: np.ndarray, categorical: np.ndarray) -> Any:
    columns = _columns(rows, categorical)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # few rows: fits that are perfect
        model.fit(columns(rows), labels)

    def shares(rows: np.ndarray) -> np.ndarray:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of scikit-learn's own threads, in a thread that jax started
            return model.predict_proba(columns(rows))

    return shares


def _logistic(rows: np.ndarray, labels: np.ndarray, categorical: np.ndarray) -> Any:
    linear, choice = files.extra("sklearn.linear_model"), files.extra("sklearn.model_selection")
    folds = min(_FOLDS, int(np.bincount(labels).min()))
    model = linear.LogisticRegression(max_iter=300)
    if folds > 1:
        cut = choice.StratifiedKFold(folds, shuffle=True, random_state=0)
        model = linear.LogisticRegressionCV(Cs=_PENALTIES, cv=cut, scoring="neg_log_loss", max_iter=300)
    return _asked(model, rows, labels, categorical)


def _forest(rows: np.ndarray, labels: np.ndarray, categorical: np.ndarray) -> Any:
    return _asked(
        files.extra("sklearn.ensemble").RandomForestClassifier(100, random_state=0), rows, labels, categorical
    )


def _boosting(rows: np.ndarray, labels: np.ndarray, categorical: np.ndarray) -> Any:
    return _asked(files.extra("sklearn.ensemble").GradientBoostingClassifier(random_state=0), rows, labels, categorical)


def _neighbours(rows: np.ndarray, labels: np.ndarray, categorical: np.ndarray) -> Any:
    model = files.extra("sklearn.neighbors").KNeighborsClassifier(min(5, len(rows)))
    return _asked(model, rows, labels, categorical)


def _centroid(rows: np.ndarray, labels: np.ndarray, categorical: np.ndarray) -> Any:
    columns = _columns(rows, categorical)
    means = np.stack([columns(rows[labels == label]).mean(axis=0) for label in range(labels.max() + 1)])

    def ask(rows: np.ndarray) -> np.ndarray:
        far = np.square(columns(rows)[:, None] - means[None]).sum(axis=-1)
        shares = np.exp(-(far - far.min(axis=1, keepdims=True)) / 2)
        return shares / shares.sum(axis=1, keepdims=True)

    return ask
