"""What it costs a training to be kept: checkpoints at the default interval, and the guard against divergence.

Claim:     checkpoints and the guard cost less than 2% of a run.
Command:   python benchmarks/run.py checkpoints

Updates with and without the guard take turns, so that a drift of the machine's speed meets both; the ratio is taken
turn by turn, and its median, minimum and maximum are told. A checkpoint is written while the training waits, so that
its share of the run is its seconds over the interval's; one is written in every turn, of the state as it is then.
"""

import pathlib
import statistics
import tempfile
import time

import jax
import turns

from jaxmeta import meta_trainer, recipes, tables, training
from jaxmeta.runs import progress, stores
from jaxmeta.runs.training import opened, recorded

PRESETS = ("maml-regression", "maml-strokes", "protonet-strokes")
TURNS, TURN_SECONDS, MOST_UPDATES = 11, 2.0, 2000


def measure(name: str, folder: pathlib.Path) -> dict[str, object]:
    """One preset's row."""
    recipe, source = opened(recipes.get(name))
    learner = recipes.training_learner(recipe, recipes.shape(recipe, source.validation))
    plain = meta_trainer(learner, recipes.outer_optimizer(recipe))
    state, given = plain.init(jax.random.key(0)), (source.sample, jax.random.key(1))
    programs = {}
    for way, trainer in {"plain": plain, "guarded": training.stop_at_divergence(plain)}.items():
        options = {"num_tasks": recipe.budget.tasks_per_step, "num_updates": MOST_UPDATES}
        programs[way] = jax.jit(training.many_updates(trainer, **options))
        jax.block_until_ready(programs[way](state, *given, 1))
    began = time.perf_counter()
    jax.block_until_ready(programs["plain"](state, *given, 3))
    count = int(min(MOST_UPDATES, max(1, 3 * TURN_SECONDS / (time.perf_counter() - began))))
    store = stores.within(folder, name, {"config": recorded(recipe), "data": source.checksums})
    seconds, saves = {way: [] for way in programs}, []
    for _ in range(TURNS):
        for way, program in programs.items():
            began = time.perf_counter()
            new, _ = jax.block_until_ready(program(state, *given, count))
            seconds[way].append((time.perf_counter() - began) / count)
        began = time.perf_counter()
        store.save({"state": new, "best": new.meta_params}, {})
        saves.append(time.perf_counter() - began)
    ratios = [guarded / without for guarded, without in zip(seconds["guarded"], seconds["plain"], strict=True)]
    return {
        "update_seconds": float(f"{statistics.median(seconds['plain']):.3g}"), "updates_per_turn": count,
        "guard_ratio": turns.spread(ratios, 3),
        "checkpoint_seconds": turns.spread(saves, 3),
        "interval": progress.INTERVAL, "share_of_interval": round(statistics.median(saves) / progress.INTERVAL, 5),
    }  # fmt: skip


def main() -> dict:
    with tempfile.TemporaryDirectory() as folder:
        rows = {name: measure(name, pathlib.Path(folder)) for name in PRESETS}
    return {"rows": rows}


def table(column: dict) -> str:
    header = ("preset", "an update, s", "with the guard, relative", "a checkpoint, s", "share of a run")
    cells = []
    for name, row in column["rows"].items():
        guard, saved = (turns.shown(row[what]) for what in ("guard_ratio", "checkpoint_seconds"))
        cells.append((name, row["update_seconds"], guard, saved, f"{row['share_of_interval']:.2%}"))
    return f"{tables.markdown(header, cells)}\n\nA checkpoint is written every {row['interval']:.0f} s."
