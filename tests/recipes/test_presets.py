import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxmeta import recipes, tasks, transfer
from jaxmeta.recipes import ENTRIES, PRESETS
from jaxmeta.transfer import methods

KEY = jax.random.key(0)


def learners_of(domain):
    return {recipe.adaptation.learner for name, recipe in PRESETS.items() if name.endswith(domain)}


def test_every_learner_has_its_presets():
    learners = {
        name
        for name, entry in ENTRIES.items()
        if not (entry.is_pretrained or entry.acts or "is_name" in entry.options or name == "from_scratch")
    }
    processes = {name for name in learners if ENTRIES[name].has_scale}
    learners -= processes
    for domain in ("omniglot-5w1s", "strokes"):
        assert learners_of(domain) == learners
    assert learners_of("intents") >= {name for name, entry in ENTRIES.items() if "is_name" in entry.options}
    assert learners_of("sinusoid") == {name for name in learners if ENTRIES[name].has_head}
    assert learners_of("processes") == processes | {"maml"}
    assert learners_of("navigation") >= {name for name, entry in ENTRIES.items() if entry.acts}
    for recipe in PRESETS.values():
        recipes.check(recipe)


@pytest.mark.parametrize("name", transfer.PLANS)
def test_transfers_name_methods_and_domains_that_there_are(name):
    plan = transfer.PLANS[name]
    setting = transfer.setting(plan, None)
    for source in plan.sources:
        assert recipes.is_builtin(source)
        for method in plan.learners:
            training = methods.method(method).training
            while training:
                made = methods.training(training, setting, source)
                recipes.check(made.recipe)
                training = made.start
    assert all(map(recipes.is_builtin, plan.targets))


@pytest.mark.parametrize("name", ["photos", "in-context"])
def test_held_out_styles_are_in_no_source(name):
    plan = transfer.PLANS[name]

    def styles(domains):
        named = [part.partition(":") for domain in domains for part in recipes.parts(domain) if "emoji" in part]
        assert all(names for _, _, names in named)  # without, a domain has all styles
        return {style for _, _, names in named for style in names.split("+")}

    trained, held_out = styles(plan.sources), styles(plan.targets)
    assert trained
    assert held_out
    assert not trained & held_out


@pytest.mark.parametrize("name", [name for name in PRESETS if name.endswith(("strokes", "sinusoid", "processes"))])
@pytest.mark.product(name=("protonet-strokes", "reptile-strokes", "maml-sinusoid", "cavia-sinusoid", "anp-processes"))
def test_presets_fit_their_domain(name):
    """What a preset trains and what it tests take the tasks of its domain and share their parameters."""
    recipe = recipes.get(name).replace(num_filters=4)
    recipe, task = recipe.replace(task=recipes.complete(recipe.task)), recipe.task
    sizes = {"num_shots": task.train_shots or task.shots, "num_queries": task.train_queries}
    if name.endswith("processes"):
        sample = recipes.domains.open(task.domain, "train", task=recipe.task).sample
    elif task.domain == "strokes":
        sample = tasks.strokes(num_ways=task.train_ways, **sizes)
    else:
        sample = tasks.sinusoid(**sizes)
    shape = recipes.shape(recipe, sample)
    assert shape == recipes.kind(recipe.task).shape(recipe.task)
    learner = recipes.training_learner(recipe, shape)
    tester = recipes.learner(recipe, shape, ways=task.ways, inner_steps=recipe.adaptation.inner_steps_test)

    def both(key):
        meta_params, episode = learner.init(key), sample(key)
        loss, metrics = learner.loss(meta_params, episode, key)
        if task.train_ways == task.ways:
            adapted = tester.adapt(meta_params, episode.support, key)
            tester.predict(meta_params, adapted, episode.query.inputs)
        return loss, metrics

    loss, metrics = jax.eval_shape(both, KEY)
    assert loss.shape == ()
    assert name == "dkt-processes" or recipe.scoring.metric in metrics


def test_replace_knows_every_field_by_its_name():
    recipe = recipes.get("maml-strokes").replace(seed=3, norm="layer", steps=7, ways=4, train_ways=4)
    assert (recipe.seed, recipe.network.norm, recipe.budget.steps, recipe.task.ways) == (3, "layer", 7, 4)
    assert recipes.Recipe().replace(**recipe.flat()) == recipe
    with pytest.raises(TypeError, match=r"recipe: expected fields among learner.*, got stepz"):
        recipe.replace(stepz=3)
    with pytest.raises(ValueError, match="recipe: expected one of maml-regression"):
        recipes.get("maml")
    with pytest.raises(
        ValueError, match=r"got 'protonet-stroke'; did you mean protonet-strokes or tuned-protonet-strokes"
    ):
        recipes.get("protonet-stroke")


def test_the_whole_gradient_is_shortened_and_its_entries_are_cut():
    gradient = jnp.array([3.0, -4.0])

    def step(**changes):
        optimizer = recipes.outer_optimizer(
            recipes.Recipe().replace(outer_optimizer="sgd", learning_rate=1.0, **changes)
        )
        return optimizer.update(gradient, optimizer.init(gradient), gradient)[0]

    np.testing.assert_allclose(step(), -gradient)
    np.testing.assert_allclose(step(clip_norm=1.0), [-0.6, 0.8], rtol=1e-6)
    np.testing.assert_allclose(step(clip_norm=9.0), -gradient)
    np.testing.assert_allclose(step(clip=1.0), [-1.0, 1.0])
    np.testing.assert_allclose(step(clip=3.0, clip_norm=1.0), [-(0.5**0.5), 0.5**0.5], rtol=1e-6)
    for changes, message in (({"clip_norm": -1.0}, "`clip_norm`"), ({"inner_tolerance": 1.0}, "`inner_tolerance`")):
        with pytest.raises(ValueError, match=message):
            recipes.check(recipes.Recipe().replace(**changes))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"learner": "maml"}, "fresh, for `learner` maml, got carried"),
        ({"inner_optimizer": "sgd"}, "fresh, for `inner_optimizer` sgd, which has none"),
        ({"outer_optimizer": "adam"}, "fresh, for `outer_optimizer` adam, got carried; it is a mean"),
    ],
)
def test_a_state_that_would_not_be_the_tasks_mean_is_not_carried(changes, message):
    """Under an outer Adam Reptile's second moments go up by its rate, then below zero: NaN after some steps."""
    recipe = recipes.get("reptile-strokes")
    recipes.check(recipe)
    assert recipe.adaptation.inner_state == "carried"
    with pytest.raises(ValueError, match=message):
        recipes.check(recipe.replace(**changes))
    recipes.check(recipe.replace(inner_state="fresh", **changes))


@pytest.mark.parametrize("shots", [1, 5])
def test_mini_imagenet_as_published(shots):
    """The reference code's numbers: rate 0.01 and clip 10 for a loss that is summed and divided by the shots."""
    maml, protonet = (recipes.get(f"{name}-miniimagenet-5w{shots}s") for name in ("maml", "protonet"))
    task, own = maml.task, maml.adaptation
    assert own.inner_learning_rate / task.ways == pytest.approx(0.01)
    assert maml.outer.clip * task.ways * task.train_queries / shots == pytest.approx(10)
    assert (own.inner_steps, own.inner_steps_test, maml.budget.tasks_per_step, maml.network.num_filters) == (
        5,
        10,
        4,
        32,
    )
    assert (task.train_queries, task.picture, maml.budget.steps) == (15, (84, 84, 3), 60_000)
    assert maml.network.downsampling == "max_pool"
    assert (protonet.task.train_ways, protonet.task.shots) == ({1: 30, 5: 20}[shots], shots)
    assert (protonet.task.queries, protonet.network.num_filters, protonet.outer.schedule) == (15, 64, "halving")
