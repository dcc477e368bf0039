"""`jaxmeta adapt RUN`: a person's own examples."""

from __future__ import annotations

import csv
import io
import pathlib

import numpy as np

from jaxmeta import checks, recipes, runs
from jaxmeta.cli import config
from jaxmeta.runs.run import MOST


def run(options: config.Adapt) -> int:
    run, out = runs.open(options.run), pathlib.Path(options.out)
    if out.exists() and not options.force:
        checks.fail(str(out), "no such file yet", "one that exists", config.FREE)
    runs.check_plain(out)
    checks.integer("--inner-steps", options.inner_steps or 0, 0, MOST)
    checks.integer("--seed", options.seed, 0, MOST)
    task, column = run.recipe.task, options.target_column or None
    own = recipes.Own(options.support, options.inputs, column, options.polarity, options.data_dir, options.columns)
    given = recipes.kind(task).read(task, own, task.ways if run.recipe.entry.has_head else 0)
    outputs = run.predict(given, inner_steps=options.inner_steps, seed=options.seed)
    rows = _labels(outputs, given.class_names) if given.class_names else _values(outputs)
    stream = io.StringIO(newline="")
    writer = csv.writer(stream)
    writer.writerow(["input", "prediction", "probability"])
    writer.writerows([name, *row] for name, row in zip(given.names, rows, strict=True))
    out.parent.mkdir(parents=True, exist_ok=True)
    print(f"results: {runs.write_text(out, stream.getvalue())}")
    return 0


def _labels(logits: np.ndarray, class_names: tuple[str, ...]) -> list[list[str]]:
    logits = logits[:, : len(class_names)].astype(np.float64)
    exponentials = np.exp(logits - logits.max(axis=1, keepdims=True))
    shares = exponentials / exponentials.sum(axis=1, keepdims=True)
    return [[class_names[row.argmax()], f"{row.max():.6f}"] for row in shares]


def _values(outputs: np.ndarray) -> list[list[str]]:
    return [[" ".join(f"{value:.6g}" for value in row), ""] for row in outputs]
