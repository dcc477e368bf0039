"""What the rows of a transfer are called, how they are trained, and how they are tested."""

from __future__ import annotations

import dataclasses
from typing import Any, NamedTuple

from jaxmeta.cli import build, presets
from jaxmeta.cli.config import Train, Transfer

RATES = (0.001, 0.003, 0.01, 0.03, 0.1)


class Training(NamedTuple):
    """A training that one or several methods share."""

    config: Train
    start: str | None = None
    """The training whose encoder it begins with."""


class Method(NamedTuple):
    """A learner or a baseline in test."""

    family: str
    """"learner" or "baseline"."""
    training: str | None
    """None: it has nothing to train."""
    test: dict[str, Any]
    """How its config differs from the training's."""
    tuned: bool = False
    """Whether the rate of its steps in test is chosen on validation classes of the source."""
    fine_tunes: bool = False
    """Whether it takes the transfer's fine-tuning steps in test, not its own."""


_PRETRAINED = Train(
    learner="fine_tune", norm="support", steps=4000, tasks_per_step=1, schedule="cosine", inner_optimizer="momentum",
    inner_learning_rate=0.01,
)  # fmt: skip
_TRAININGS = {
    "pretrained": Training(_PRETRAINED),
    "pretrained_cosine": Training(dataclasses.replace(_PRETRAINED, learner="baseline_plus_plus")),
    "pretrained_layer": Training(dataclasses.replace(_PRETRAINED, norm="layer")),
    "pmf": Training(
        dataclasses.replace(
            presets.TRAININGS["protonet-strokes"], learner="proto_maml", inner_steps=0, inner_optimizer="momentum",
            inner_learning_rate=0.01, learning_rate=5e-4,
        ),
        start="pretrained_layer",
    ),
}  # fmt: skip
_METHODS = {
    "fine_tune": Method("baseline", "pretrained", {}, tuned=True, fine_tunes=True),
    "linear_probe": Method("baseline", "pretrained", {"learner": "linear_probe"}, tuned=True, fine_tunes=True),
    "simple_shot": Method("baseline", "pretrained", {"learner": "simple_shot"}),
    "baseline_plus_plus": Method("baseline", "pretrained_cosine", {}, tuned=True, fine_tunes=True),
    "from_scratch": Method(
        "baseline", None, {"learner": "from_scratch", "norm": "support", "inner_optimizer": "momentum"},
        tuned=True, fine_tunes=True,
    ),
    "pmf": Method("learner", "pmf", {}, tuned=True, fine_tunes=True),
    # It starts from prototypes, whose gradient grows with the features: a rate that fits one shot diverges at five.
    "proto_maml": Method("learner", "proto_maml", {}, tuned=True),
}  # fmt: skip


def method(name: str) -> Method:
    """Other learners are tested as they are trained."""
    return _METHODS.get(name) or Method("learner", name, {})


def training(name: str, transfer: Transfer, source: str) -> Training:
    """A training as a transfer asks for it: its own steps and norm, the transfer's backbone and source."""
    made = _TRAININGS.get(name) or Training(presets.TRAININGS[f"{name.replace('_', '-')}-strokes"])
    return made._replace(config=_asked(made.config, transfer, source))


def tested(found: Method, trained: Train | None, transfer: Transfer, source: str) -> Train:
    """The config of a method in test, from that of its training."""
    config = dataclasses.replace(trained or _asked(Train(), transfer, source), **found.test)
    steps = transfer.fine_tune_steps if found.fine_tunes else config.inner_steps_test
    norm = transfer.norm or config.norm
    return dataclasses.replace(config, inner_steps_test=steps, norm=norm)


def plain(transfer: Transfer, domain: str) -> Train:
    """A domain in the transfer's form, under an encoder whose features depend on nothing but a picture."""
    return dataclasses.replace(_asked(Train(learner="protonet"), transfer, domain), norm="layer")


def _asked(config: Train, transfer: Transfer, source: str) -> Train:
    same: dict[str, Any] = {
        name: getattr(transfer, name)
        for name in ("ways", "num_filters", "downsampling", "picture", "polarity", "seed", "data_dir")
    }
    if build.has_head(config):
        same["train_ways"] = transfer.ways
    return dataclasses.replace(
        config, **same, domain=source, shots=min(transfer.shots), norm=transfer.norm or config.norm,
        steps=max(1, round(config.steps * transfer.effort / 10)) * 10, queries=min(transfer.queries, 5),
    )  # fmt: skip
