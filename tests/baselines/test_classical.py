import os
import subprocess
import sys

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxmeta import baselines, criteria, evaluation, tasks
from jaxmeta.types import Batch, Episode

pytest.importorskip("sklearn")
KEY = jax.random.key(0)
MADE = {
    "tuned_logistic_regression": baselines.tuned_logistic_regression,
    "random_forest": baselines.random_forest,
    "gradient_boosting": baselines.gradient_boosting,
    "standardized_centroid": baselines.standardized_centroid,
    "nearest_neighbours": baselines.nearest_neighbours,
    "majority_class": baselines.majority_class,
}
GENERATOR = np.random.default_rng(0)
ROWS = GENERATOR.normal(size=(24, 3)).astype(np.float32)
ROWS[:, 2] = GENERATOR.integers(0, 3, 24)
ROWS[3, 0] = ROWS[5, 2] = np.nan
LABELS = (np.nan_to_num(ROWS[:, 0]) + 0.3 * GENERATOR.normal(size=24) > 0).astype(np.int32)


def cells(rows):
    batch = Batch(jnp.asarray(rows), jnp.zeros(len(rows), jnp.int32))
    return tasks.cells(lambda key: Episode(batch, batch), [0, 0, 3], 4)(KEY).support.inputs


def episode():
    inputs = cells(ROWS)
    return Episode(Batch(inputs[:16], jnp.asarray(LABELS[:16])), Batch(inputs[16:], jnp.asarray(LABELS[16:])))


def shares(learner, support, inputs):
    return jax.nn.softmax(jax.jit(lambda: learner.predict({}, learner.adapt({}, support, KEY), inputs))())


def test_logistic_regression_is_scikit_learns_pipeline():
    from sklearn import linear_model, model_selection, preprocessing

    learner = baselines.tuned_logistic_regression(criteria.prognosis, num_ways=2)
    # A missing category is what the support set shows on average.
    kinds = [preprocessing.OneHotEncoder(categories=[[0.0, 1.0, 2.0]], sparse_output=False, handle_unknown="ignore")]
    known = kinds[0].fit_transform(ROWS[:16, 2:])
    known[5] = np.nan
    columns = np.concatenate([ROWS[:16, :2], known], axis=1)
    folds = min(5, np.bincount(LABELS[:16]).min())
    cut = model_selection.StratifiedKFold(int(folds), shuffle=True, random_state=0)
    model = linear_model.LogisticRegressionCV(
        Cs=np.logspace(-3, 2, 6),
        cv=cut,
        scoring="neg_log_loss",
        max_iter=300,
        use_legacy_attributes=False,
        l1_ratios=(0,),
    )
    scale = preprocessing.StandardScaler().fit(columns)
    model.fit(np.nan_to_num(scale.transform(columns)), LABELS[:16])
    asked = np.concatenate([ROWS[16:, :2], kinds[0].transform(ROWS[16:, 2:])], axis=1)
    expected = model.predict_proba(np.nan_to_num(scale.transform(asked)))
    np.testing.assert_allclose(shares(learner, episode().support, episode().query.inputs), expected, atol=1e-4)


@pytest.mark.parametrize("name", MADE)
def test_a_query_alone_gets_the_same_answer(name):
    learner = MADE[name](criteria.prognosis, num_ways=2)
    episodes = jax.tree.map(lambda leaf: jnp.stack([leaf, leaf]), episode())
    found = evaluation.evaluate(learner, criteria.prognosis, {}, episodes, KEY)
    for metric, values in found["joint"].items():
        assert np.isfinite(values).all()
        np.testing.assert_allclose(found["single"][metric], values, rtol=1e-6)
    if name != "majority_class":
        assert found["joint"]["accuracy"].mean() > 0.6


@pytest.mark.parametrize("name", ["tuned_logistic_regression", "random_forest", "standardized_centroid"])
def test_nothing_is_taken_from_queries_or_padding(name):
    learner, (support, query) = MADE[name](criteria.prognosis, num_ways=2), episode()
    plain = shares(learner, support, query.inputs[:2])
    wild = query.inputs.at[2:, :, 0].set(1e6)
    np.testing.assert_allclose(shares(learner, support, wild)[:2], plain, atol=1e-6)
    padded = jax.tree.map(lambda leaf: jnp.concatenate([leaf, leaf[:3] * 0 + 1]), support)
    padded = padded._replace(mask=jnp.arange(19) < 16)
    np.testing.assert_allclose(shares(learner, padded, query.inputs[:2]), plain, atol=1e-6)


def test_one_class_alone_is_what_is_said():
    support, query = episode()
    one = support._replace(targets=jnp.ones(16, jnp.int32))
    for make in MADE.values():
        assert (shares(make(criteria.prognosis, num_ways=3), one, query.inputs)[:, 1] > 0.99).all()


def test_columns_of_numbers_are_refused_with_a_hint():
    learner = baselines.random_forest(criteria.prognosis, num_ways=2)
    support = episode().support
    with pytest.raises(ValueError, match=r"cells \[n, d, 3\]"):
        learner.predict({}, learner.adapt({}, support, KEY), support.inputs[..., 0])


ON_ONE_CORE = """
import os
os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
import jax, jax.numpy as jnp
from jaxmeta import baselines, criteria, evaluate, evaluation, tasks
learner = baselines.standardized_centroid(criteria.prognosis, num_ways=10)
sample = tasks.causal_tables(num_features=32, num_ways=10, num_support=40, num_queries=40)
for draw in range(20):
    episodes = tasks.drawn(sample, jax.random.key(draw), jnp.arange(20))
    given = (learner, criteria.prognosis, {}, episodes, jax.random.key(0))
    found = evaluate(*given, columns={"joint": evaluation.as_is}, tasks_per_chunk=10)
    assert jnp.isfinite(found["joint"]["loss"]).all()
"""


@pytest.mark.long
@pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="a process cannot be kept on one core here")
def test_a_single_core_is_enough():
    # jax#24255: what a callback is given is copied by a thread of the pool that waits for the callback.
    ours = {name: value for name, value in os.environ.items() if name not in ("NPROC", "JAX_NUM_CPU_DEVICES")}
    subprocess.run([sys.executable, "-c", ON_ONE_CORE], env=ours, check=True, timeout=600)
