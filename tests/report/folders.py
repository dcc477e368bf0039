"""Run and transfer folders with scores that were made up, for reports."""

import json
import pathlib
import zlib

import numpy as np

from jaxmeta import recipes, runs, transfer
from jaxmeta.runs import results, training

HOSTILE = "<script>alert('owned')</script><img src=x onerror=alert(2)> \"' & $\\frac{a}$ _^~#% | é漢\u202e"


def row(method, domain, mean, *, num_tasks=30, shots=1, ways=5, seed=0, metric="accuracy", single=None, **facts):
    """A row with scores around a mean; equal seeds have the same tasks, whose difficulty methods share."""
    tasks = np.random.default_rng(seed).normal(size=num_tasks) * 0.05
    own = np.random.default_rng(zlib.crc32(f"{method} {domain} {shots}".encode())).normal(size=num_tasks) * 0.02
    joint = mean + tasks + own
    alone = joint if single is None else joint + single - mean
    scores = {"joint": {metric: joint}} | ({} if metric == "return" else {"single": {metric: alone}})
    sizes = {"split": "test", "ways": ways, "shots": shots, "queries": 5, "norm": "layer"}
    steps = {"inner_steps_train": 0, "inner_steps_test": 0}
    return runs.report_row(scores, metric, method=method, domain=domain, **sizes, **steps, **facts)


MEANS = {"raw inputs, nearest centroid": 0.4, "protonet, untrained": 0.35, "protonet": 0.7, "fine_tune": 0.6}
FAMILIES = {"protonet": "learner", "fine_tune": "baseline"}


def cells(sources, targets, shots=(1,), means=MEANS, num_tasks=30):
    """The rows of each cell of a transfer, by the name of its file."""
    found = {}
    for source, target, number in ((a, b, c) for a in sources for b in targets for c in shots):
        for method, mean in means.items():
            own = {"source": source, "family": FAMILIES.get(method, "floor"), "chance": 0.2}
            own |= {"distance_untrained": 0.2, "distance_trained": 0.4, "checksums": {f"{target}.npz": "ab" * 32}}
            made = row(method, target, mean - 0.01 * targets.index(target), shots=number, num_tasks=num_tasks) | own
            found[f"{len(found)}.json"] = [made]
    return found


def transfer_folder(path, sources=("strokes",), targets=("digits", "fonts"), shots=(1,), *, made=None, finished=True):
    """A transfer's folder: finished, or with those of its cells that are done."""
    path = pathlib.Path(path)
    (path / "cells").mkdir(parents=True)
    plan = transfer.Plan(tuple(sources), tuple(targets), ("protonet", "fine_tune"), shots=tuple(shots), num_tasks=30)
    config = plan.recorded() | {"sources": list(sources), "targets": list(targets)}
    write(path / "config.json", {"schema": 1, "preset": "quick", "config": config})
    made = cells(list(sources), list(targets), shots) if made is None else made
    for name, rows in made.items():
        write(path / "cells" / name, rows)
    if finished:
        rows = [{name: each[name] for name in each if name != "checksums"} for own in made.values() for each in own]
        write(path / "results.json", results.document(rows, seed=0, checksums={"digits.npz": "ab" * 32}))
    return path


def run_folder(path, rows=None, *, preset="protonet-strokes", finished=True, config=(), **changes):
    """A run's folder, without parameters."""
    path = pathlib.Path(path)
    path.mkdir(parents=True)
    recipe = recipes.get(preset).replace(**changes)
    recipe = recipe.replace(kind=recipe.task.kind or "pictures")
    content = {"schema": 1, "preset": preset, "config": training.recorded(recipe) | dict(config)}
    write(
        path / "config.json", content | {"shape": {"inputs": [28, 28, 1], "outputs": 5}, "data": {"strokes": "cd" * 32}}
    )
    lines = [{"step": step, "split": split, "loss": 1 / step, "accuracy": 1 - 1 / step, "seconds": 1.0}
             for step in (1, 2, 4) for split in ("train", "validation")]  # fmt: skip
    (path / "metrics.jsonl").write_text("".join(f"{json.dumps(line)}\n" for line in lines))
    if finished:
        rows = run_rows() if rows is None else rows
        content = results.document(rows, seed=0, checksums={"strokes": "cd" * 32})
        write(path / "results.json", content | {"training": {"steps": 4, "kept_step": 2}})
    return path


def run_rows(learner="protonet", domain="strokes", mean=0.8, **facts):
    raw = row("raw inputs, nearest centroid", domain, 0.4, **facts)
    return [raw, row(f"{learner}, untrained", domain, 0.5, **facts), row(learner, domain, mean, **facts)]


def write(path, content):
    path.write_text(json.dumps(content))
