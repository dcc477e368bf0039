import dataclasses

import jax
import pytest

from jaxmeta import tasks
from jaxmeta.cli import build, methods, presets, sources, train
from jaxmeta.cli.config import Train

TRAININGS = presets.TRAININGS
KEY = jax.random.key(0)


def test_every_learner_has_its_presets():
    learners = {preset.learner for preset in TRAININGS.values()}
    for domain in ("omniglot-5w1s", "strokes"):
        assert {preset.learner for name, preset in TRAININGS.items() if name.endswith(domain)} == learners
    assert {preset.learner for name, preset in TRAININGS.items() if name.endswith("sinusoid")} == {
        name for name in learners if build.has_head(dataclasses.replace(Train(), learner=name))
    }
    for preset in TRAININGS.values():
        train.check(preset)


@pytest.mark.parametrize("name", presets.TRANSFERS)
def test_transfers_name_methods_and_domains_that_there_are(name):
    preset = presets.TRANSFERS[name]
    for source in preset.sources:
        assert sources.is_builtin(source)
        for method in preset.learners:
            training = methods.method(method).training
            while training:
                made = methods.training(training, preset, source)
                train.check(made.config)
                training = made.start
    assert all(map(sources.is_builtin, preset.targets))


@pytest.mark.parametrize("name", [name for name in TRAININGS if name.endswith(("strokes", "sinusoid"))])
def test_presets_fit_their_domain(name):
    """What a preset trains and what it tests take the tasks of its domain and share their parameters."""
    config = dataclasses.replace(TRAININGS[name], num_filters=4)
    sizes = {"num_shots": config.train_shots or config.shots, "num_queries": config.train_queries}
    if config.domain == "strokes":
        sample = tasks.strokes(num_ways=config.train_ways, **sizes)
    else:
        sample = tasks.sinusoid(**sizes)
    shape = build.shape(config, sample)
    learner = build.training_learner(config, shape)
    tester = build.learner(config, shape, ways=config.ways, inner_steps=config.inner_steps_test)

    def both(key):
        meta_params, episode = learner.init(key), sample(key)
        loss, metrics = learner.loss(meta_params, episode, key)
        if config.train_ways == config.ways:
            adapted = tester.adapt(meta_params, episode.support, key)
            tester.predict(meta_params, adapted, episode.query.inputs)
        return loss, metrics

    loss, metrics = jax.eval_shape(both, KEY)
    assert loss.shape == ()
    assert build.metric(config) in metrics
