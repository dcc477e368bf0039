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

import argparse
import json
import pathlib
import sys

import pages

from jaxmeta import cli, provenance, tables

ROWS = {
    "maml-batch": ["maml-omniglot-5w1s", "--norm", "batch", "--steps", "2000"],
    "maml-support": ["maml-omniglot-5w1s", "--norm", "support", "--steps", "2000"],
    "protonet-batch": ["protonet-omniglot-5w1s", "--norm", "batch"],
    "protonet-layer": ["protonet-omniglot-5w1s", "--norm", "layer"],
}


def train(name: str, arguments: list[str], data_dir: str, runs: pathlib.Path) -> pathlib.Path:
    folder = runs / name
    if not (folder / "results.json").exists():
        code = cli.main(["train", *arguments, "--data-dir", data_dir, "--out", str(folder), "--force"])
        if code:
            sys.exit(code)
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


def page(runs: dict[str, dict]) -> str:
    """The table, of the content of omniglot.json."""
    rows = []
    for run in runs.values():
        for row in run["rows"]:
            own = row["method"] in ("maml", "protonet")
            how = f"{run['steps']:,} steps, {run['seconds']:.0f} s" if own else "-"
            scores = (tables.interval(row[column], row["metric"]) for column in ("joint", "single"))
            rows.append((row["method"], row["norm"] or "-", row["queries"], how, *scores))
    # Raw inputs are the same in both runs of a learner.
    table = tables.markdown(
        ["method", "norm", "queries a class", "training", "joint", "single"], list(dict.fromkeys(rows))
    )
    made = provenance.line(next(iter(runs.values())))
    return f"{table}\n\nOmniglot 5-way 1-shot, accuracy in %, 600 tasks. {made}.\n"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data-dir", required=True)
    parser.add_argument("--runs", type=pathlib.Path, default=pathlib.Path("runs/omniglot"))
    options = parser.parse_args()
    runs = {name: summary(train(name, arguments, options.data_dir, options.runs)) for name, arguments in ROWS.items()}
    pages.write(pages.RESULTS / "omniglot", runs, page)
    print(page(runs))


if __name__ == "__main__":
    main()
