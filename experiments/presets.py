"""Every preset that needs no download, five seeds each, to the end: does it learn whatever the seed?

Paper:     none; what the presets promise. The papers' own numbers stand where the presets do, in recipes/presets.py.
Command:   python experiments/presets.py   (--presets NAME .. and --steps N for a part; rows that are there are kept,
           and a training that was broken off goes on where it stopped, `seconds` beginning anew)
Hardware:  any; the machine of a row is in results/presets.json, `machine`.
Time:      see `seconds` in results/presets.json, a row; the five seeds are one program.
Expected:  in every seed the kept meta_params have at most half of the untrained network's squared error, or, where the
           metric is accuracy, 9/10 of its errors, the last ones at most 1.5 times the kept ones', and none diverges: it
           learns. Whether that pays is another question, and another column: every seed ahead of the best method
           on raw inputs. On pictures and waves it does; on random tables MAML and ProtoNet stay behind a linear model.
Measured:  results/presets.md. Other work was beside it on the machine, so `seconds` say little. Rows of fewer steps
           than the preset's are marked.

The settings were chosen on validation tasks; what is shown here are 600 test tasks, each query alone.
"""

import dataclasses
import json
import pathlib
import time
from typing import Any

import pages

from jaxmeta import provenance, recipes, runs, tables
from jaxmeta.recipes import Recipe

SEEDS = 5
COLUMNS = ("raw", "untrained", "best", "last")
EMBEDDED = ("-strokes", "-sinusoid", "-tabular", "-regression")


def presets() -> list[str]:
    """Those whose tasks are made here, the first example and what failed before first."""
    first = ("maml-regression", "anil-sinusoid", "maml-plus-plus-sinusoid", "imaml-sinusoid")
    order = {suffix: index for index, suffix in enumerate(("-sinusoid", "-tabular", "-regression", "-strokes"))}

    def place(name: str) -> tuple[int, int]:
        own = next(index for suffix, index in order.items() if name.endswith(suffix))
        return (first.index(name) if name in first else len(first), own)

    return sorted((name for name in recipes.PRESETS if name.endswith(EMBEDDED)), key=place)


def tested(ran: runs.Run, num_tasks: int) -> dict[str, float]:
    """Test scores of one seed: raw inputs' best, the untrained network, what validation kept, and the last."""
    last = dataclasses.replace(ran, meta_params=ran.fitted.state.meta_params)
    *raw, untrained, best = (row["single"]["mean"] for row in ran.score(num_tasks=num_tasks))
    ends = {"untrained": untrained, "best": best, "last": last.score(num_tasks=num_tasks)[-1]["single"]["mean"]}
    return {"raw": max(raw) if ran.recipe.scoring.has_classes else min(raw)} | ends


def measure(recipe: Recipe, num_tasks: int, folder: pathlib.Path) -> dict[str, Any]:
    start = time.perf_counter()
    ran = runs.train(recipe, seeds=range(SEEDS), report=pages.told, folder=folder)
    seconds = round(time.perf_counter() - start)
    diverged = [own.recipe.seed for own in ran if own.fitted.diverged]
    rows = [tested(own, num_tasks) for own in ran]
    scores = {name: [round(row[name], 4) for row in rows] for name in COLUMNS}
    kept = [own.fitted.step for own in ran]
    return {"metric": recipe.scoring.metric, "seconds": seconds, "kept": kept, "diverged": diverged, **scores}


def _errors(row: dict[str, Any]) -> dict[str, list[float]]:
    return {name: [1 - score if row["metric"] == "accuracy" else score for score in row[name]] for name in COLUMNS}


def learned(row: dict[str, Any]) -> bool:
    """Whether every seed came to its end, the kept with half of the untrained network's squared error or 9/10 of its
    errors, the last with at most 1.5 times the kept ones'."""
    error, share = _errors(row), 0.9 if row["metric"] == "accuracy" else 0.5
    ends = zip(error["untrained"], error["best"], error["last"], strict=True)
    return not row["diverged"] and all(best <= share * start and last <= 1.5 * best for start, best, last in ends)


def ahead(row: dict[str, Any]) -> bool:
    """Whether every seed, kept and last, is ahead of the best method on raw inputs."""
    error = _errors(row)
    return all(end < raw for name in ("best", "last") for end, raw in zip(error[name], error["raw"], strict=True))


def page(results: dict[str, Any]) -> str:
    """The table, of the content of presets.json."""
    head = [
        "preset",
        "steps",
        "raw inputs",
        "untrained",
        "best, each seed",
        "last, each seed",
        "every seed learns",
        "ahead of raw inputs",
        "seconds",
    ]

    def line(name: str, row: dict[str, Any]) -> list[Any]:
        shown = lambda of: " ".join(tables.number(score, row["metric"]) for score in row[of])  # noqa: E731
        raw, untrained = (tables.number(sum(row[of]) / len(row[of]), row["metric"]) for of in COLUMNS[:2])
        steps = f"{row['steps']:,}" + (f" of {row['of']:,}" if row["steps"] != row["of"] else "")
        ends = [shown("best"), shown("last"), *("yes" if so(row) else "no" for so in (learned, ahead))]
        return [name, steps, raw, untrained, *ends, row["seconds"]]

    rows = [line(name, results["rows"][name]) for name in presets() if name in results["rows"]]
    missing = [name for name in presets() if name not in results["rows"]]
    machines = "; ".join(sorted({row["machine"] for row in results["rows"].values()}))
    return f"""{tables.markdown(head, rows)}

{SEEDS} seeds in one program, {results["num_tasks"]} test tasks each, every query alone: squared error, or accuracy in
% on strokes and classes of tables. Best: the meta_params that validation kept; last: those of the last step; raw inputs
(the best method on them) and untrained: the mean of the seeds. {machines}.
{f"Not run yet: {', '.join(missing)}." if missing else "That is every preset that needs no download."}
"""


def main() -> None:
    parser = pages.parser(__doc__)
    parser.add_argument("--presets", nargs="*", default=presets(), choices=presets(), metavar="NAME")
    parser.add_argument("--steps", type=int, help="at most so many steps a preset; all of its own are the default")
    parser.add_argument("--num-tasks", type=int, default=600, help="test tasks of a seed")
    parser.add_argument("--out", type=pathlib.Path, default=pages.RESULTS, help="where presets.json and presets.md are")
    options = parser.parse_args()
    path = options.out / "presets.json"
    results = {"num_tasks": options.num_tasks, "rows": {}}
    if path.exists():
        results = json.loads(path.read_text())
        if results["num_tasks"] != options.num_tasks:
            parser.error(f"{path} holds rows of {results['num_tasks']} tasks; remove it, or give another --out")
    for name in options.presets:
        recipe = recipes.get(name)
        steps = min(recipe.budget.steps, options.steps or recipe.budget.steps)
        known = results["rows"].get(name)
        if known and known["steps"] >= steps:
            continue
        print(name, flush=True)
        row = measure(recipe.replace(steps=steps), options.num_tasks, options.out / "runs" / f"{name}-{steps}")
        machine = provenance.line(provenance.record())
        results["rows"][name] = {"steps": steps, "of": recipe.budget.steps, "machine": machine} | row
        pages.write(path, results, page)
    print(page(results))


if __name__ == "__main__":
    main()
