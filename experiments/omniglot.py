"""MAML and ProtoNet on Omniglot, 5-way 1-shot: what the norm does to the two columns.

Paper:     Finn et al., Model-Agnostic Meta-Learning, 2017, Table 1 (98.7 +- 0.4, 60,000 iterations, batch moments over
           the query set); Snell et al., Prototypical Networks, 2017, Table 1 (98.8); Bronskill et al., TaskNorm, 2020,
           Table 1 (first-order MAML, queries together 98.4 and one at a time 21.6; MetaBN, our "support", 91.8).
Command:   python experiments/omniglot.py --data-dir PATH   (PATH holds the published zips, or the npz of them)
Hardware:  2 cores of an AMD EPYC, no accelerator.
Time:      about 25 minutes; `seconds` in results/omniglot.json for each row, taken beside other work but for ProtoNet
           "batch".
Expected:  MAML "batch" >= 95 joint after 2,000 iterations; "support" with equal columns; ProtoNet >= 97 joint, and with
           "layer" in both columns.
Measured:  results/omniglot.json and results/omniglot.md.

The papers' settings but for the number of steps: 64 filters, stride 2, rotations as new classes, MAML 32 tasks, 1 query
a class, Adam 1e-3, 1 inner step at 0.4 (a mean loss) and 3 in test; ProtoNet 20-way with 5 queries a class, a cosine
schedule, 15 queries a class in test. Rows that have a run folder are not trained again.
"""

import json
import pathlib

import pages

from jaxmeta import provenance, recipes, runs, tables

MAML, PROTONET = recipes.get("maml-omniglot-5w1s").replace(steps=2000), recipes.get("protonet-omniglot-5w1s")
ROWS = {
    "maml-batch": MAML.replace(norm="batch"),
    "maml-support": MAML.replace(norm="support"),
    "protonet-batch": PROTONET.replace(norm="batch"),
    "protonet-layer": PROTONET.replace(norm="layer"),
}


def trained(recipe: recipes.Recipe, data_dir: str, folder: pathlib.Path) -> pathlib.Path:
    """The run folder with its results; a broken training goes on."""
    if not (folder / "results.json").exists():
        run = runs.train(recipe, folder=folder, data_dir=data_dir, report=pages.told)
        test = run.test(num_tasks=recipe.budget.num_tasks)
        run.write(run.rows(test), test.checksums)
    return folder


def summary(folder: pathlib.Path) -> dict:
    """A run without its per-task scores, and how long its training took."""
    content = json.loads((folder / "results.json").read_text())
    last = json.loads((folder / "metrics.jsonl").read_text().splitlines()[-1])
    rows = [
        {name: {key: round(cell[key], 4) for key in ("mean", "low", "high")} if name in ("joint", "single") else cell
         for name, cell in row.items()}
        for row in content["rows"]
    ]  # fmt: skip
    known = {name: content[name] for name in ("seed", "versions", "device", "processor", "data")}
    return known | {"steps": last["step"], "seconds": last["seconds"], "rows": rows}


def page(found: dict[str, dict]) -> str:
    """The table, of the content of omniglot.json."""
    rows = []
    for run in found.values():
        for row in run["rows"]:
            own = row["method"] in ("maml", "protonet")
            how = f"{run['steps']:,} steps, {run['seconds']:.0f} s" if own else "-"
            scores = (tables.interval(row[column], row["metric"]) for column in ("joint", "single"))
            rows.append((row["method"], row["norm"] or "-", row["queries"], how, *scores))
    # Raw inputs are the same in both runs of a learner.
    table = tables.markdown(
        ["method", "norm", "queries a class", "training", "joint", "single"], list(dict.fromkeys(rows))
    )
    made = provenance.line(next(iter(found.values())))
    return f"{table}\n\nOmniglot 5-way 1-shot, accuracy in %, 600 tasks. {made}.\n"


def main() -> None:
    parser = pages.parser(__doc__)
    parser.add_argument("--data-dir", required=True)
    parser.add_argument("--runs", type=pathlib.Path, default=pathlib.Path("runs/omniglot"))
    options = parser.parse_args()
    folders = {name: trained(recipe, options.data_dir, options.runs / name) for name, recipe in ROWS.items()}
    found = {name: summary(folder) for name, folder in folders.items()}
    pages.write(pages.RESULTS / "omniglot", found, page)
    print(page(found))


if __name__ == "__main__":
    main()
