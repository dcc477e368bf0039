"""The papers' numbers on Omniglot and on waves, with the papers' settings, at their length or as near as was run.

Paper:     Vinyals et al. 2016 (Matching Nets, as others quote them), Snell et al. 2017 (ProtoNet), Sung et al. 2018
           (Relation Net), Finn et al. 2017 (MAML), Nichol et al. 2018, Table 2 (FOMAML, Reptile: queries together).
           Raghu et al. 2020 (ANIL) report no 5-way Omniglot, and the papers' waves are curves without numbers.
Command:   python experiments/papers.py --data-dir PATH   (--rows NAME .. and --steps N for a part; a row that is there
           is kept unless a longer one is asked for; --draw writes the curves' picture)
Hardware:  any; a row's machine is in results/papers.json.
Time:      `seconds` of a row, compilation included.
Expected:  joint inside the papers' intervals, or within a point of what has none.
Measured:  results/papers.md, which has the verdict of each row; why, below.

What differs from the papers: the split is 1100/100/423 characters by the hash of their names, and the parameters kept
are the best of ten validations on the 100. The convolutions are followed by 2 x 2 pooling in the metric learners and
have stride 2 in the others, as published. Moments are the batch's (norm "batch"), in test as in training: so joint is
the papers' column, and single is what the same parameters reach on each query alone. MAML's inner rate is that of its
code, 0.4 of a loss summed over the five classes, so 2 of the mean; FOMAML, which comes apart at that after some
thousand steps, has 0.4. Matching Nets here have no full context embeddings.
Relation Nets' rate falls by a cosine over the steps that are run, instead of by halves over 500,000. Reptile's Adam
keeps its second moments from task to task, as in the authors' code, and meets the paper's number: started afresh in
each task, with the older preset, it ended at 84.6 [83.9, 85.3] after as many steps.
"""

import argparse
import itertools
import json
import pathlib
import tempfile
import time
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np
import pages

from jaxmeta import provenance, recipes, runs, tables
from jaxmeta.runs import scores
from jaxmeta.runs.training import LENGTHENED

NUM_TASKS, SEED, SUFFIX, TRIAL = 600, 2, "-omniglot-5w1s", 500
_QUERIES = {(5, 1): 19, (5, 5): 15, (20, 1): 10, (20, 5): 5}  # of a class in training, as Relation Nets have them
METRIC: dict[str, Any] = {"norm": "batch", "downsampling": "max_pool", "tasks_per_step": 1, "queries": 15}
MAML: dict[str, Any] = {"inner_learning_rate": 2.0, "inner_steps": 1, "inner_steps_test": 10, "steps": 60_000}
REPTILE: dict[str, Any] = {
    "inner_state": "carried", "inner_learning_rate": 1e-3, "train_shots": 10, "tasks_per_step": 5, "learning_rate": 1.0,
    "steps": 100_000,
}  # fmt: skip
RELATION: dict[str, Any] = {**METRIC, "clip_norm": 0.5, "schedule": "cosine", "steps": 20_000}


class Row(NamedTuple):
    """A training and what it is tested on."""

    title: str
    preset: str
    changes: dict[str, Any]
    tests: tuple[tuple[int, int], ...]
    """(ways, shots) of each test."""
    published: tuple[tuple[float, float | None], ...] = ()
    """(number, half of its interval) of each test, as printed; none: the paper has no such number."""
    paper_steps: int = 0
    """The paper's length; 0: it is not known, or until it stops getting better."""


def _metric(
    title: str, learner: str, changes: dict[str, Any], numbers: Sequence[tuple[float, float | None]], steps: int = 0
) -> dict[str, Row]:
    """A training for each test, with its ways and shots; `steps` are the paper's."""
    made = {}
    for (ways, shots), number in zip(((5, 1), (5, 5), (20, 1), (20, 5)), numbers, strict=True):
        own = {"train_ways": ways, "shots": shots, "ways": ways, "train_queries": _QUERIES[ways, shots], **changes}
        preset = f"{learner}{SUFFIX}"
        made[f"{learner}-{ways}w{shots}s"] = Row(title, preset, own, ((ways, shots),), (number,), steps)
    return made


_PROTONET = {**METRIC, "train_ways": 60, "train_queries": 5, "schedule": "halving", "steps": 20_000}
ROWS: dict[str, Row] = {
    "protonet-1s": Row(
        "ProtoNet", f"protonet{SUFFIX}", {**_PROTONET, "shots": 1}, ((5, 1), (20, 1)), ((98.8, None), (96.0, None))
    ),
    "protonet-5s": Row(
        "ProtoNet", f"protonet{SUFFIX}", {**_PROTONET, "shots": 5}, ((5, 5), (20, 5)), ((99.7, None), (98.9, None))
    ),
    **_metric(
        "Matching Nets", "matching-net", {**METRIC, "schedule": "halving", "steps": 20_000},
        ((98.1, None), (98.9, None), (93.8, None), (98.5, None)),
    ),
    **_metric(
        "Relation Net", "relation-net", RELATION, ((99.6, 0.2), (99.8, 0.1), (97.6, 0.2), (99.1, 0.1)), 500_000
    ),
    "maml-5w1s": Row("MAML", f"maml{SUFFIX}", MAML, ((5, 1),), ((98.7, 0.4),), 60_000),
    "fomaml-5w1s": Row("FOMAML", f"fomaml{SUFFIX}", {"steps": 60_000}, ((5, 1),), ((98.3, 0.5),), 60_000),
    "anil-5w1s": Row("ANIL", f"anil{SUFFIX}", {"steps": 60_000}, ((5, 1),), (), 60_000),
    "reptile-5w1s": Row("Reptile", f"reptile{SUFFIX}", REPTILE, ((5, 1),), ((97.68, None),), 100_000),
    "maml-waves": Row("MAML", "maml-sinusoid", {"steps": 70_000}, ((0, 10),), (), 70_000),
    "meta-sgd-waves": Row("Meta-SGD", "meta-sgd-sinusoid", {"steps": 60_000}, ((0, 10),), (), 60_000),
    "cavia-waves": Row("CAVIA", "cavia-sinusoid", {"steps": 50_000}, ((0, 10),), (), 50_000),
    "reptile-waves": Row("Reptile", "reptile-sinusoid", {"steps": 30_000}, ((0, 10),), (), 30_000),
}  # fmt: skip


def recipe(row: Row) -> recipes.Recipe:
    return recipes.get(row.preset).replace(**row.changes)


def tested(ran: runs.Run, row: Row, num_tasks: int) -> list[dict[str, Any]]:
    """What was learned, on tasks of test classes; where a task has one query a class, on four times as many."""
    own, found = ran.recipe, []
    for ways, shots in row.tests:
        number = num_tasks * (4 if own.task.queries == 1 else 1)
        sizes = {"ways": ways or own.task.ways, "shots": shots, "queries": own.task.queries}
        drawn = scores.drawn(own, seed=SEED, num_tasks=number, seen=ran.seen, **sizes, data_dir=ran.data_dir)
        scored = scores.trained_row(own, ran.meta_params, drawn, inner_steps=own.adaptation.inner_steps_test)
        columns = {
            column: [round(float(scored[column][part]), 5) for part in ("mean", "low", "high")]
            for column in ("joint", "single")
        }
        found.append({"ways": ways, "shots": shots, "queries": own.task.queries, "num_tasks": number, **columns})
    return found


def measure(row: Row, own: recipes.Recipe, seeds: int, num_tasks: int, **given: Any) -> dict[str, Any]:
    """A training of the recipe's length and its tests; `rate`: steps a second, once everything is compiled."""
    curve, times = [], []

    def report(event: runs.Event) -> None:
        pages.told(event)
        times.append((event.step, time.perf_counter()))
        if event.kind == "validation":
            curve.append([event.step, {name: round(value, 5) for name, value in event.values.items()}])

    start = time.perf_counter()
    ran = runs.train(own, seeds=range(seeds), report=report, **given)
    seconds = round(time.perf_counter() - start)
    (first, began), (last, ended) = times[len(times) // 3], times[-1]
    about = {"steps": own.budget.steps, "metric": own.scoring.metric, "seconds": seconds, "curve": curve}
    about |= {"rate": round((last - first) / max(ended - began, 1e-3), 2)}
    about |= {"machine": provenance.line(provenance.record())}
    return about | {"seeds": [tested(each, row, num_tasks) for each in ran]}


def measured(row: Row, options: argparse.Namespace, folder: pathlib.Path, known: dict[str, Any] | None) -> Iterator:
    """The row of the steps that were asked for; in so many minutes first one of a few steps, then what time allows."""
    own = recipe(row).replace(tasks_per_chunk=options.tasks_per_chunk)
    full, end = min(own.budget.steps, options.steps or own.budget.steps), time.monotonic() + 60 * options.minutes
    goes_on = own.outer.schedule in LENGTHENED
    is_begun = known is not None and goes_on and (folder / "config.json").exists()
    found = known if known is not None and is_begun else {"curve": [], "seconds": 0, "steps": 0}
    steps = min(full, found["steps"] + TRIAL) if options.minutes else full
    for part in itertools.count():
        place = folder if goes_on else folder / str(part)
        began, given = time.monotonic(), {"data_dir": options.data_dir, "folder": place}
        new = measure(row, own.replace(steps=steps), options.seeds, options.num_tasks, **given)
        if goes_on:  # what came before is a part of this training
            kept = [point for point in found["curve"] if not new["curve"] or point[0] < new["curve"][0][0]]
            new |= {"curve": kept + new["curve"], "seconds": found["seconds"] + new["seconds"]}
        found = new
        if known is None or found["steps"] >= known["steps"]:
            yield found
        tests = time.monotonic() - began - new["seconds"]
        more = 0.9 * found["rate"] * (end - time.monotonic() - tests)
        longest = int(steps + more if goes_on else more) // 100 * 100
        if steps == full or longest < 1.2 * steps or (part and not goes_on):
            return
        steps = min(full, longest)


def verdict(found: Sequence[float], published: tuple[float, float | None]) -> str:
    """Whether two intervals meet; a number without one is a point."""
    number, half = published
    low, high = (100 * value for value in found[1:])
    if low > number + (half or 0):
        return "above"
    return "below" if high < number - (half or 0) else "inside"


class Line(NamedTuple):
    """A line of the table."""

    title: str
    setting: str
    published: str
    joint: str
    single: str
    against: str
    length: str
    command: str


HEAD = ["paper's", "setting", "published", "joint", "single", "against it", "length", "command"]
COMMAND = "papers.py --rows"


def published(given: tuple[float, float | None] | None, digits: str = "g") -> str:
    if given is None:
        return "-"
    number, half = given
    return f"{number:{digits}}" + (f" +- {half:{digits}}" if half else "")


def length(steps: int, of: int, seconds: float) -> str:
    return f"{steps:,}" + (f" of {of:,}" if steps < of else "") + f" steps, {seconds:,.0f} s"


def lines(results: dict[str, Any]) -> list[Line]:
    """Of the content of papers.json."""
    found = []
    for name, row in ROWS.items():
        if (known := results["rows"].get(name)) is None:
            continue
        for index, (ways, shots) in enumerate(row.tests):
            setting = f"Omniglot, {ways}-way {shots}-shot" if ways else f"waves, {shots} points"
            given = row.published[index] if row.published else None
            columns = {
                column: [float(each) for each in np.mean([seed[index][column] for seed in known["seeds"]], axis=0)]
                for column in ("joint", "single")
            }
            joint, single = (
                tables.interval(dict(zip(("mean", "low", "high"), columns[column], strict=True)), known["metric"])
                for column in ("joint", "single")
            )
            against = "-" if given is None else verdict(columns["joint"], given)
            own = length(known["steps"], row.paper_steps, known["seconds"])
            if (seeds := len(known["seeds"])) > 1:
                own += f", {seeds} seeds"
            found.append(Line(row.title, setting, published(given), joint, single, against, own, f"{COMMAND} {name}"))
    return found


# Of every learner for the same 300 s: (paper's, published), where no row above is longer.
SHORT: dict[str, tuple[str, tuple[float, float | None]]] = {
    "meta-sgd, batch": ("Meta-SGD", (99.53, 0.26)),
    "maml-plus-plus, batch": ("MAML++", (99.47, None)),
    "imaml, batch": ("iMAML", (99.16, None)),
    "protonet, batch": ("ProtoNet, trained 20-way", (98.8, None)),
}


def others(learners: dict[str, Any], meta_sgd: dict[str, Any]) -> list[Line]:
    """What other experiments say of papers' numbers, of the content of learners.json and meta_sgd.json."""
    found = []
    for name, (title, number) in SHORT.items():
        row = learners["rows"][name]
        joint, single = ([value / 100 for value in row[column]] for column in ("joint", "single"))
        shown = [
            tables.interval(dict(zip(("mean", "low", "high"), values, strict=True)), "accuracy")
            for values in (joint, single)
        ]
        own = length(row["steps"], 0, row["seconds"])
        command = f"learners.py --rows '{name}'"
        found.append(
            Line(title, "Omniglot, 5-way 1-shot", published(number), *shown, verdict(joint, number), own, command)
        )
    for title, row in meta_sgd["rows"].items():
        values = [row["mse"], row["low"], row["high"]]
        shown = tables.interval(dict(zip(("mean", "low", "high"), values, strict=True)), "loss")
        against = verdict([value / 100 for value in values], tuple(row["published"]))
        own = length(meta_sgd["steps"], 0, row["seconds"])
        number = published(tuple(row["published"]), ".2f")
        found.append(Line(title, "waves, 5 points", number, shown, shown, against, own, "meta_sgd.py"))
    return found


def page(results: dict[str, Any]) -> str:
    """The table, of the content of papers.json."""
    missing = [name for name in ROWS if name not in results["rows"]]
    machines = "; ".join(sorted({row["machine"] for row in results["rows"].values()}))
    return f"""{tables.markdown(HEAD, lines(results))}

Accuracy in %, or squared error on waves, mean and 95% interval over {results["num_tasks"]} test tasks, four times as
many where each has one query a class; of several seeds the mean of their numbers. Joint: all queries at once, as the
papers have it. Inside: the intervals meet. Seconds are beside other work, on the GPU up to 14 trainings. {machines}.
{f"Not run yet: {', '.join(missing)}." if missing else "That is every row."}
"""


def overview() -> str:
    """The table of experiments/README.md, of all files of results that have papers' numbers beside."""
    read = lambda name: json.loads((pages.RESULTS / f"{name}.json").read_text())  # noqa: E731
    return tables.markdown(HEAD, lines(read("papers")) + others(read("learners"), read("meta_sgd")))


def draw(results: dict[str, Any], path: pathlib.Path) -> None:
    """Validation over steps, of the rows of 5-way 1-shot Omniglot that take inner steps."""
    import matplotlib.pyplot as plt

    figure, axes = plt.subplots(figsize=(6.4, 3.6), layout="constrained")
    for name in ("maml-5w1s", "fomaml-5w1s", "anil-5w1s", "reptile-5w1s"):
        if known := results["rows"].get(name):
            steps, values = zip(*known["curve"], strict=True)
            axes.plot(steps, [100 * value["accuracy"] for value in values], marker=".", label=ROWS[name].title)
    axes.set(xlabel="meta-training step", ylabel="validation accuracy, %", title="Omniglot, 5-way 1-shot, joint")
    axes.grid(alpha=0.3)
    axes.legend()
    figure.savefig(path, dpi=120)


def main() -> None:
    parser = pages.parser(__doc__)
    parser.add_argument("--data-dir", help="holds Omniglot's published zips; waves need none")
    parser.add_argument("--rows", nargs="*", default=list(ROWS), choices=list(ROWS), metavar="NAME")
    parser.add_argument("--steps", type=int, help="at most so many steps a row")
    parser.add_argument("--minutes", type=float, default=0, help="for a row at most, about; 0: all of its steps")
    parser.add_argument("--tasks-per-chunk", type=int, default=0, help="side by side on a device; 0: what is fastest")
    parser.add_argument("--seeds", type=int, default=1, help="trainings of a row, in one program")
    parser.add_argument("--num-tasks", type=int, default=NUM_TASKS, help="test tasks")
    parser.add_argument("--folder", type=pathlib.Path, help="keeps the runs, so that a broken one goes on")
    parser.add_argument("--draw", action="store_true", help="draws the curves of what is there, and measures nothing")
    parser.add_argument("--out", type=pathlib.Path, default=pages.RESULTS, help="where papers.json and papers.md are")
    options = parser.parse_args()
    path = options.out / "papers.json"
    results = json.loads(path.read_text()) if path.exists() else {"num_tasks": options.num_tasks, "rows": {}}
    if options.draw:
        return draw(results, path.with_suffix(".png"))
    if results["num_tasks"] != options.num_tasks:
        parser.error(f"{path} holds rows of {results['num_tasks']} tasks; remove it, or give another --out")
    for name in options.rows:
        asked = min(recipe(ROWS[name]).budget.steps, options.steps or recipe(ROWS[name]).budget.steps)
        known = results["rows"].get(name)
        if known and known["steps"] >= asked and len(known["seeds"]) >= options.seeds:
            continue
        print(name, flush=True)
        with tempfile.TemporaryDirectory() as place:
            for found in measured(ROWS[name], options, (options.folder or pathlib.Path(place)) / name, known):
                results["rows"][name] = found
                pages.write(path, results, page)
    return print(page(results))


if __name__ == "__main__":
    main()
