"""What `jaxmeta evaluate --pictures` draws of a run."""

from __future__ import annotations

import importlib.util
import io
import json
import pathlib

import jax

from jaxmeta import checks, control, report, runs
from jaxmeta.runs import Run
from jaxmeta.runs.folder import METRICS
from jaxmeta.runs.scores import Test

TASKS, STEPS = 4, 3
PLACES = ("navigation", "arm")


def check() -> None:
    """Raises ImportError if what draws is missing, before anything is computed."""
    for package, extra in (("matplotlib", "plots"), ("PIL", "data")):
        if importlib.util.find_spec(package) is None:
            raise ImportError(f"`pictures` needs the extra {extra}: pip install 'jaxmeta[plots,data]'")


def draw(folder: pathlib.Path, run: Run, test: Test) -> list[pathlib.Path]:
    """Learning curves of any run, and of policies what they walk before and after adaptation."""
    written: list[pathlib.Path] = []

    def save(name: str, figure) -> None:
        stream = io.BytesIO()
        figure.savefig(stream, format="png", dpi=120)
        (folder / name).write_bytes(stream.getvalue())
        written.append(folder / name)

    if run.folder is not None and (run.folder / METRICS).exists():
        runs.check_plain(run.folder / METRICS)
        lines = [json.loads(line) for line in (run.folder / METRICS).read_text().splitlines()]
        save("learning.png", report.learning_curves({run.recipe.adaptation.learner: lines}, run.recipe.scoring.metric))
    episodes = test.episodes
    if isinstance(episodes.query, control.Environment) and episodes.query.rules.name in PLACES:
        entry = run.recipe.entry
        steps = range(entry.fewest_steps, STEPS + 1) if entry.has_steps else (1,)
        first = jax.tree.map(lambda leaf: leaf[:TASKS], episodes)
        learner_of = lambda number: run.learner(inner_steps=number)  # noqa: E731
        drawn = report.rollouts(learner_of, run.meta_params, first, jax.random.key(0), steps)
        save("trajectories.png", report.trajectories(drawn))
        if episodes.query.rules.name == "arm":
            report.animation(folder / "arm.gif", *drawn[0])
            written.append(folder / "arm.gif")
    if not written:
        checks.fail("`pictures`", "a run with metrics.jsonl", "one without")
    return written
