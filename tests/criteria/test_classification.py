import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import jaxmeta
from jaxmeta import baselines, criteria, models, tasks
from jaxmeta.labels import judge_batches
from jaxmeta.types import Batch, Episode

KEY = jax.random.key(0)
INPUTS = jax.random.normal(KEY, (6, 8))
TARGETS = jnp.arange(6) % 3
CRITERIA = [criteria.cross_entropy, criteria.relation_score]


def score(criterion, weights, batch):
    return jax.value_and_grad(lambda w: criterion(lambda x, mask=None: x @ w, batch, KEY), has_aux=True)(weights)


@pytest.mark.parametrize("criterion", CRITERIA)
@pytest.mark.parametrize("label", [-1, 3, 37])
@pytest.mark.fault(promised="NaN, in the gradient too, unless the row is padding")
def test_a_label_out_of_range(criterion, label):
    weights, wrong = jnp.ones((8, 3)) * jnp.arange(3)[None], TARGETS.at[2].set(label)
    (loss, metrics), gradient = jax.jit(lambda w, batch: score(criterion, w, batch))(weights, Batch(INPUTS, wrong))
    assert np.isnan([loss, metrics["loss"], metrics["accuracy"]]).all()
    assert np.isnan(gradient).all()
    mask = jnp.arange(6) != 2
    found, expected = (score(criterion, weights, Batch(INPUTS, each, mask)) for each in (wrong, TARGETS))
    jax.tree.map(np.testing.assert_array_equal, found, expected)
    assert np.isfinite(found[0][0])


@pytest.mark.parametrize("criterion", CRITERIA)
@pytest.mark.parametrize(
    ("targets", "error", "hint"),
    [
        (jax.nn.one_hot(TARGETS, 3), ValueError, "argmax"),
        (TARGETS[:, None], ValueError, "ravel"),
        (TARGETS[:, None].astype(float), ValueError, r"ravel.*astype\(int\)"),
        (TARGETS.astype(float), TypeError, r"astype\(int\)"),
        (TARGETS > 0, TypeError, r"astype\(int\)"),
        (TARGETS[:5], ValueError, "6 rows"),
    ],
)
@pytest.mark.fault(promised="one line that says how labels are made of it")
def test_what_is_no_label(criterion, targets, error, hint):
    with pytest.raises(error, match=f"expected integer targets.*{hint}"):
        criterion(lambda x, mask=None: x[:, :3], Batch(INPUTS, targets), KEY)
    learner = jaxmeta.protonet(models.flat(), criterion, num_ways=3)
    with pytest.raises(error, match=f"protonet: support set: expected integer targets.*{hint}"):
        learner.adapt({}, Batch(INPUTS, targets), KEY)


@pytest.mark.parametrize("criterion", CRITERIA)
@pytest.mark.parametrize("value", [jnp.nan, jnp.inf])
@pytest.mark.fault(promised="no accuracy where there is no prediction")
def test_outputs_that_are_not_finite(criterion, value):
    outputs = jnp.eye(3)[TARGETS].at[3, 1].set(value)
    predictor = lambda x, mask=None: outputs  # noqa: E731
    assert np.isnan(criterion(predictor, Batch(INPUTS, TARGETS), KEY)[1]["accuracy"])
    assert criterion(predictor, Batch(INPUTS, TARGETS, jnp.arange(6) != 3), KEY)[1]["accuracy"] == 1
    absent = jnp.ones((6, 3), bool).at[:, 1].set(False)
    assert np.isfinite(criterion(predictor, Batch(INPUTS, TARGETS, classes=absent), KEY)[1]["accuracy"])


HEADS = {
    "protonet": lambda: jaxmeta.protonet(models.flat(), criteria.cross_entropy, num_ways=3),
    "matching_net": lambda: jaxmeta.matching_net(models.flat(), criteria.cross_entropy, num_ways=3),
    "r2d2": lambda: jaxmeta.r2d2(models.flat(), criteria.cross_entropy, num_ways=3),
    "logistic_regression": lambda: baselines.logistic_regression(criteria.cross_entropy, num_ways=3),
}


@pytest.mark.parametrize("name", HEADS)
@pytest.mark.parametrize("wrong", [TARGETS.at[5].set(3), TARGETS + 37, TARGETS - 1])
@pytest.mark.fault(promised="NaN, for the row would vanish from its class")
def test_a_support_label_out_of_range(name, wrong):
    learner = HEADS[name]()
    params = learner.init(KEY)

    @jax.jit
    def loss(support):
        return learner.loss(params, Episode(support, Batch(INPUTS, TARGETS)), KEY)

    assert np.isnan(jax.tree.leaves(loss(Batch(INPUTS, wrong)))).all()
    assert np.isfinite(loss(Batch(INPUTS, wrong, (wrong >= 0) & (wrong < 3)))[0])


def episodes(targets, **given):
    one = Batch(INPUTS[None], jnp.asarray(targets)[None], **given)
    return Episode(one._replace(targets=TARGETS[None]), one)


@pytest.mark.parametrize("classes", [None, jnp.ones((1, 6, 3), bool)])
@pytest.mark.fault(promised="refused where the values are known")
def test_labels_are_judged_before_they_are_scored(classes):
    learner = HEADS["protonet"]()
    for wrong in (TARGETS + 37, TARGETS + 1, TARGETS - 1):
        with pytest.raises(ValueError, match=r"query set: expected labels from 0 to 2.*np.unique"):
            jaxmeta.evaluate(learner, criteria.cross_entropy, {}, episodes(wrong, classes=classes), KEY)
        with pytest.raises(ValueError, match="audit: targets of the query set: expected labels from 0 to 2"):
            jaxmeta.audit(learner, episodes(wrong, classes=classes), KEY)
    padded = episodes(TARGETS.at[0].set(-1), mask=jnp.arange(6)[None] > 0, classes=classes)
    found = jaxmeta.evaluate(learner, criteria.cross_entropy, {}, padded, KEY)
    assert np.isfinite(found["single"]["loss"]).all()


def test_counts_are_no_labels():
    """Integers that a criterion without an accuracy reads are values."""

    def counted(predictor, batch, key):
        loss = jnp.square(predictor(batch.inputs, batch.mask).sum(axis=1) - batch.targets).mean()
        return loss, {"loss": loss}

    found = jaxmeta.evaluate(HEADS["protonet"](), counted, {}, episodes(TARGETS + 37), KEY)
    assert np.isfinite(found["single"]["loss"]).all()


@pytest.mark.parametrize("targets", [TARGETS - 1, TARGETS + 37])
def test_a_training_begins_with_labels_that_are_judged(targets):
    batch = Batch(INPUTS, targets, classes=jnp.ones((6, 3), bool))
    trainer = jaxmeta.meta_trainer(HEADS["r2d2"](), optax.sgd(0.1))
    with pytest.raises(ValueError, match="fit: targets of the support set: expected labels from 0 to 2"):
        jaxmeta.runs.fit(trainer, lambda key: Episode(batch, batch), KEY, num_tasks=1, num_steps=1)


def test_tokens_are_no_labels():
    """One that is negative may mark what does not count."""
    tokens = Batch(jnp.zeros((2, 6, 5), jnp.int32), jnp.full((2, 6, 5), -100))
    judge_batches("fit", Episode(tokens, tokens), None)
    with pytest.raises(ValueError, match="expected labels from 0 on"):
        judge_batches("fit", Episode((), tokens._replace(targets=jnp.full((2, 6), -100))), None)


@pytest.mark.parametrize("labels", [(37, 38), (1, 2), (-1, 1), (0, 2)])
@pytest.mark.fault(promised="refused, with what makes labels of it")
def test_a_users_own_labels(labels):
    x, y = np.zeros((3, 8, 2), np.float32), np.tile(np.repeat(labels, 4), (3, 1))
    with pytest.raises(ValueError, match=r"expected labels from 0 to 1, got labels from .*np\.unique.*num_ways="):
        tasks.from_arrays((x, y), num_shots=2, num_queries=2)
    tasks.from_arrays((x, y.astype(np.float32)), num_shots=2, num_queries=2)  # values
    tasks.from_arrays((x, np.unique(y, return_inverse=True)[1].reshape(y.shape)), num_shots=2, num_queries=2)
    tasks.from_arrays((x, y * 0 + 2), num_shots=2, num_queries=2, num_ways=3)
    with pytest.raises(ValueError, match="labels from 0 to 2, got labels from 3 to 3"):
        tasks.from_arrays((x, y * 0 + 3), num_shots=2, num_queries=2, num_ways=3)
    with pytest.raises(ValueError, match="argmax"):
        tasks.from_arrays((x, np.zeros((3, 8, 3))), num_shots=2, num_queries=2, num_ways=3)


@pytest.mark.fault(promised="one line that says what is scored")
def test_one_logit_for_two_classes():
    with pytest.raises(ValueError, match=r"of at least 2 classes, got shape \(4, 1\); give a logit to each class"):
        criteria.cross_entropy(lambda x, mask=None: x, Batch(jnp.ones((4, 1)), jnp.arange(4) % 2), jax.random.key(0))
