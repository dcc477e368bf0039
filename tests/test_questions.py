"""Questions and the sentences that answer them: tasks, the score of pairs and its criterion, and learners over them."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import jaxmeta
from jaxmeta import criteria, models, tasks
from jaxmeta.types import Batch

SIZES, COUNTS, WIDTH = np.array([2, 4, 3, 2, 4]), np.array([1, 3, 2, 5, 1]), 6


@pytest.fixture(scope="module")
def sample():
    """Five paragraphs; a question is its own number in the first place, a sentence that of its paragraph."""
    about = np.repeat(np.arange(5), COUNTS)
    rng = np.random.default_rng(0)
    asked, sentences = rng.normal(size=(12, WIDTH)), rng.normal(size=(5, 4, WIDTH))
    asked[:, 0], sentences[:, :, 0] = np.arange(12), np.arange(5)[:, None]
    answers = np.arange(12) % SIZES[about]
    sizes = {"num_paragraphs": 2, "num_queries": 3, "max_questions": 3}
    return tasks.questions(asked, sentences, SIZES, about, answers, **sizes)


def test_tasks_share_no_paragraph_and_rows_are_whole(sample):
    drawn = jax.vmap(sample)(jax.random.split(jax.random.key(0), 40))
    about, seen = np.repeat(np.arange(5), COUNTS), set()
    for support, query in zip(*(jax.tree.map(np.asarray, part) for part in map(_rows, drawn)), strict=True):
        groups = []
        for questions, paragraphs, targets, mask, classes in (support, query):
            own = questions[mask].astype(int)
            assert len(set(own.tolist())) == len(own)
            assert np.array_equal(about[own], paragraphs[mask])
            assert np.array_equal(targets[mask], own % SIZES[about[own]])
            assert np.array_equal(classes.sum(axis=1), SIZES[paragraphs.astype(int)])
            assert np.array_equal(mask.reshape(-1, 3).sum(axis=1), np.minimum(COUNTS[paragraphs[::3].astype(int)], 3))
            groups.append(set(paragraphs.tolist()))
            seen |= set(own.tolist())
        assert groups[0].isdisjoint(groups[1])
        assert (len(groups[0]), len(groups[1])) == (2, 3)
    assert seen == set(range(12))


def _rows(part):
    """Of each task what its rows are."""
    inputs = part.inputs
    columns = inputs["question"][..., 0], inputs["sentences"][..., 0, 0], part.targets, part.mask, part.classes
    return [tuple(each[task] for each in columns) for task in range(len(part.targets))]


def test_scores_begin_as_cosines_and_the_criterion_knows_chance():
    model = models.pair_scores(WIDTH, rank=2, scale=5.0)
    rng = np.random.default_rng(1)
    inputs = {
        "question": jnp.asarray(rng.normal(size=(3, WIDTH))),
        "sentences": jnp.asarray(rng.normal(size=(3, 4, WIDTH))),
    }
    params = model.init(jax.random.key(0))
    scores = model.apply(params, inputs)
    assert np.allclose(scores, 5 * np.einsum("nd,nsd->ns", *inputs.values()), atol=1e-5)
    moved = model.apply({**params, "up": jnp.ones((2, WIDTH))}, inputs)
    shift = np.asarray(inputs["question"] @ params["down"]).sum(axis=1)[:, None] * np.ones(WIDTH)
    assert np.allclose(moved - scores, 5 * np.einsum("nd,nsd->ns", shift, inputs["sentences"]), atol=1e-4)
    classes = jnp.array([[True, True, False, False], [True] * 4, [True] * 4])
    batch = Batch(inputs, jnp.array([0, 1, 2]), jnp.array([True, True, False]), classes)
    given = jnp.array([[1.0, 0.0, 9.0, 9.0], [2.0, 1.0, 0.0, 0.0], [0.0, 0.0, 0.0, 0.0]])
    loss, metrics = criteria.choice(lambda inputs, mask=None: given, batch, jax.random.key(0))
    assert float(metrics["accuracy"]) == 0.5  # a sentence that is not there is never chosen
    assert float(metrics["chance"]) == pytest.approx((1 / 2 + 1 / 4) / 2)
    assert float(loss) == pytest.approx((np.log(1 + np.e**-1) + np.log(np.e**2 + np.e + 2) - 1) / 2, rel=1e-5)
    with pytest.raises(ValueError, match="which candidates each row has"):
        criteria.choice(lambda inputs, mask=None: given, batch._replace(classes=None), jax.random.key(0))


def test_learners_take_questions_as_they_are(sample):
    model = models.pair_scores(WIDTH, rank=2, scale=1.0)
    episode = sample(jax.random.key(3))
    learner = jaxmeta.maml(model, criteria.choice, optax.sgd(0.05), num_steps=3)
    meta_params = learner.init(jax.random.key(0))

    @jax.jit
    def losses(meta_params, episode):
        adapted = learner.adapt(meta_params, episode.support, jax.random.key(0))
        predictor = lambda inputs, mask=None: learner.predict(meta_params, adapted, inputs, mask)  # noqa: E731
        plain = lambda inputs, mask=None: model.apply(meta_params, inputs, mask)  # noqa: E731
        gradient = jax.grad(lambda params: learner.loss(params, episode, jax.random.key(0))[0])(meta_params)
        return [criteria.choice(each, episode.support, jax.random.key(0))[0] for each in (plain, predictor)], gradient

    (before, after), gradient = losses(meta_params, episode)
    assert after < before
    assert all(bool(jnp.isfinite(leaf).all()) for leaf in jax.tree.leaves(gradient))
    assert float(jnp.abs(gradient["up"]).max()) > 0
    # What stands in rows of padding does not matter.
    support = episode.support
    spoilt = jax.tree.map(
        lambda leaf: jnp.where(jnp.expand_dims(support.mask, range(1, leaf.ndim)), leaf, 7), support.inputs
    )
    assert not bool(support.mask.all())
    again, _ = losses(meta_params, episode._replace(support=support._replace(inputs=spoilt)))
    assert np.allclose(again, (before, after), rtol=1e-5)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"num_paragraphs": 3}, r"at most the 5 paragraphs there are, got 3 \+ 3"),
        ({"about": np.zeros(12, int)}, "each of 0 to 4 at least once"),
        ({"answers": np.full(12, 2)}, "a sentence of 2, got 2 in row 0"),
        ({"max_questions": 0}, "max_questions"),
    ],
)
def test_what_does_not_fit_is_named(changes, message):
    given = {"asked": np.zeros((12, 2)), "sentences": np.zeros((5, 4, 2)), "sizes": SIZES, "answers": np.zeros(12, int)}
    given |= {"about": np.repeat(np.arange(5), COUNTS), "num_paragraphs": 2, "num_queries": 3, "max_questions": 3}
    with pytest.raises(ValueError, match=message):
        tasks.questions(**given | changes)
