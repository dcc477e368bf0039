"""Which features of a pretrained encoder are read, and by what: the choice behind the preset and the transfer `photos`.

Paper:     none; the recipe is this project's own.
Command:   python experiments/photos.py --data-dir PATH [--num-tasks N]   (wants the extra vision)
Hardware:  2 cores of an x86-64 CPU, no accelerator.
Time:      not measured; once features are in the cache it is the compiling of 40 small programs.
Expected:  what the preset has, all parts read by a ridge regression, ahead on average.
Measured:  results/photos, 100 tasks a column. The choice, made before it had a command, is first on average: the maps
           are worth 4.7 points to a ridge regression, most on glyphs; it is 0.8 ahead of prototypes and 0.1 of a
           logistic regression, which says nothing in so few tasks; on photographs and emoji two maps do as well.

Only validation classes of the transfer's sources are looked at, so that its targets are new to the choice. What is read
are the features that the encoder is known for and, behind them, its last maps as means over a grid, the last one first.
An emoji has as many pictures as there are styles in the source, and no five of them.
"""

import dataclasses
from collections.abc import Callable, Iterator
from typing import Any

import jax
import numpy as np
import pages

from jaxmeta import baselines, criteria, evaluate, learners, models, provenance, recipes, tables, transfer
from jaxmeta.encoders import features
from jaxmeta.evaluation import as_is
from jaxmeta.recipes import Place, Sizes
from jaxmeta.recipes.kinds.features import PENALTY, form
from jaxmeta.runs import scores
from jaxmeta.transfer import Plan
from jaxmeta.types import Episode, MetaLearner, Model

PLAN, SEED = transfer.PLANS["photos"], 2_000_029  # of tasks that no training and no test draws
READERS: dict[str, Callable[[Model, int], MetaLearner]] = {
    "nearest centroid": lambda model, ways: baselines.cosine_centroid(model, criteria.cross_entropy, num_ways=ways),
    "prototypes": lambda model, ways: learners.protonet(model, criteria.cross_entropy, num_ways=ways),
    "ridge regression": lambda model, ways: learners.ridge_classifier(model, criteria.cross_entropy, num_ways=ways),
}


def first(size: int) -> Model:
    """The first features alone."""
    return models.from_functions(lambda key: (), lambda params, inputs: inputs[:, :size])


def candidates(parts: tuple[int, ...], ways: int) -> dict[str, MetaLearner]:
    """{what is read, and by what: learner}, of features whose parts have these sizes."""
    told = [
        f"features and {count} map{'s' if count > 1 else ''}" if count else "features" for count in range(len(parts))
    ]
    sizes = np.cumsum(parts).tolist()
    made = {f"{name}, {reader}": make(first(size), ways) for name, size in zip(told, sizes, strict=True)
            for reader, make in READERS.items()}  # fmt: skip
    regression = baselines.logistic_regression(criteria.cross_entropy, num_ways=ways, penalty=PENALTY)
    return made | {f"{told[-1]}, logistic regression": regression}


def drawn(plan: Plan, task: recipes.Task, data_dir: str | None) -> Iterator[tuple[str, int, Episode]]:
    """(domain, shots, tasks) of validation classes; what is not possible is left out."""
    for part in recipes.parts(plan.sources[0]):
        own = recipes.kind(task).class_sizes(task, Place(part, "validation", data_dir))
        assert own is not None
        for shots in plan.shots:
            sizes: Sizes = transfer.fitted(own, ways=plan.ways, shots=shots, queries=plan.queries)
            if sizes.queries:
                options: dict[str, Any] = sizes._asdict()
                domain = recipes.domains.open(part, "validation", task=task, **options, data_dir=data_dir)
                yield part, shots, scores.draw(domain.sample, SEED, plan.num_tasks)


def measure(plan: Plan, data_dir: str | None) -> dict[str, Any]:
    task = transfer.setting(transfer.checked(plan), data_dir).task
    compared, key = candidates(features.dims(form(task)), plan.ways), jax.random.key(0)
    found: dict[str, dict[str, float]] = {name: {} for name in compared}
    for part, shots, episodes in drawn(plan, task, data_dir):
        for name, learner in compared.items():
            made = evaluate(learner, criteria.cross_entropy, learner.init(key), episodes, key, columns={"joint": as_is})
            found[name][f"{part}, {shots}-shot"] = round(float(np.mean(made["joint"]["accuracy"])), 4)
            print(f"{part}, {shots}-shot, {name}: {100 * found[name][f'{part}, {shots}-shot']:.1f}", flush=True)
    return {"num_tasks": plan.num_tasks, "machine": provenance.line(provenance.record()), "rows": found}


def page(results: dict[str, Any]) -> str:
    """The table, of the content of photos.json; the best on average is first."""
    rows = results["rows"]
    columns = list(next(iter(rows.values())))
    averages = {name: sum(row.values()) / len(row) for name, row in rows.items()}
    shown = lambda value: tables.number(value, "accuracy")  # noqa: E731
    lines = [[name, *(shown(rows[name][column]) for column in columns), shown(averages[name])]
             for name in sorted(averages, key=lambda name: -averages[name])]  # fmt: skip
    return f"""{tables.markdown(["read, and by what", *columns, "average"], lines)}

Accuracy in %, {results["num_tasks"]} tasks of validation classes a column, the same for all. {results["machine"]}.
"""


def main() -> None:
    parser = pages.parser(__doc__)
    parser.add_argument("--num-tasks", type=int, default=PLAN.num_tasks)
    parser.add_argument("--data-dir", help="where the data sets lie; JAXMETA_DATA is the default")
    options = parser.parse_args()
    results = measure(dataclasses.replace(PLAN, num_tasks=options.num_tasks), options.data_dir)
    pages.write(pages.RESULTS / "photos", results, page)
    print(page(results))


if __name__ == "__main__":
    main()
