"""What the prior of tables draws: who foretells its tasks best, and a picture of some.

Paper:     none; the prior is `tasks.causal_tables`, after Hollmann et al., TabPFN, 2023.
Command:   python experiments/causal_tables.py
Hardware:  2 cores of an AMD EPYC, shared with other work: no time is told.
Time:      minutes, most of it scikit-learn's.
Expected:  no kind of classifier wins nearly always; few tasks cannot be foretold at all.
Measured:  results/causal_tables.json, results/causal_tables.md, results/causal_tables.png.
"""

import jax
import jax.numpy as jnp
import matplotlib.pyplot as plt
import numpy as np
import pages

from jaxmeta import baselines, criteria, evaluation, provenance, tables, tasks
from jaxmeta.types import CATEGORY, NUMBER

NUM_TASKS, FEATURES, SUPPORT, QUERIES, WAYS = 200, 16, 40, 40, 10
METHODS = {
    "logistic regression": baselines.tuned_logistic_regression,
    "random forest": baselines.random_forest,
    "nearest neighbours": baselines.nearest_neighbours,
    "majority class": baselines.majority_class,
}


def drawn():
    sample = tasks.causal_tables(num_features=FEATURES, num_ways=WAYS, num_support=SUPPORT, num_queries=QUERIES)
    return tasks.drawn(sample, jax.random.key(5), jnp.arange(NUM_TASKS))


def losses(episodes) -> dict[str, np.ndarray]:
    found = {}
    for name, make in METHODS.items():
        given = (make(criteria.prognosis, num_ways=WAYS), criteria.prognosis, {}, episodes, jax.random.key(3))
        found[name] = np.asarray(
            evaluation.evaluate(*given, columns={"joint": evaluation.as_is}, tasks_per_chunk=10)["joint"]["loss"]
        )
    return found


def facts(episodes) -> dict[str, float]:
    cells, real = np.asarray(episodes.support.inputs), np.asarray(episodes.support.mask)
    kinds = cells[..., 2].max(axis=1)
    ways = np.asarray(episodes.support.classes)[:, 0].sum(axis=1)
    members = np.eye(WAYS)[np.asarray(episodes.support.targets)] * real[..., None]
    there = cells[..., 1] * real[..., None]
    held = np.broadcast_to((kinds > 0)[:, None], there.shape) * real[..., None]
    return {
        "columns of a table": (kinds > 0).sum(axis=1).mean(),
        "share of columns that are categories": (kinds == CATEGORY).sum() / (kinds > 0).sum(),
        "share of tables with missing cells": ((held - there).sum(axis=(1, 2)) > 0).mean(),
        "share of cells that are missing": 1 - there.sum() / held.sum(),
        "labelled rows of a table": real.sum(axis=1).mean(),
        "share of tasks with two classes": (ways == 2).mean(),
        "share of the largest class, of two": (members.sum(axis=1).max(axis=1) / real.sum(axis=1))[ways == 2].mean(),
    }


def picture(episodes) -> None:
    """The first two columns of twelve tables of numbers, in the colours of their classes."""
    figure, axes = plt.subplots(3, 4, figsize=(9, 7))
    cells = np.asarray(episodes.query.inputs)
    good = np.flatnonzero((cells[:, :, :2, 2] == NUMBER).all(axis=(1, 2)))
    for axis, index in zip(axes.ravel(), good, strict=False):
        axis.scatter(*cells[index, :, :2, 0].T, c=np.asarray(episodes.query.targets)[index], s=9, cmap="tab10")
        axis.set(xticks=[], yticks=[])
    figure.tight_layout()
    figure.savefig(pages.RESULTS / "causal_tables.png", dpi=100)


def page(content: dict) -> str:
    wins = [[name, f"{100 * share:.0f}"] for name, share in content["wins"].items()]
    said = [[name, f"{value:.2f}"] for name, value in content["facts"].items()]
    return f"""# What the prior of tables draws

`python experiments/causal_tables.py`, {content["num_tasks"]} tasks of at most {SUPPORT} labelled rows.

{tables.markdown(["the lowest cross-entropy has", "% of tasks"], wins)}

{tables.markdown(["of what is drawn", "mean"], said)}

![two columns of twelve tables](causal_tables.png)

{provenance.line(content)}.
"""


def main() -> None:
    pages.parser(__doc__).parse_args()
    episodes = drawn()
    found = losses(episodes)
    best = np.argmin(np.stack(list(found.values())), axis=0)
    wins = {name: round(float((best == index).mean()), 3) for index, name in enumerate(found)}
    told = {"num_tasks": NUM_TASKS, "wins": wins}
    told |= {"facts": {name: round(float(value), 3) for name, value in facts(episodes).items()}}
    picture(episodes)
    pages.write(pages.RESULTS / "causal_tables", provenance.record() | told, page)


if __name__ == "__main__":
    main()
