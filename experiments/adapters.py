"""Adapters in the last layers of a pretrained encoder, against its features as they come, and Conv-4 for scale.

Paper:     Li et al., Cross-domain Few-shot Learning with Task-specific Adapters, 2022 (TSA from zero, on the support
           set); the meta-learned start and factors are this project's own.
Command:   python experiments/adapters.py --data-dir PATH [--parts zero film conv4] [--num-tasks N]
           (wants the extra vision)
Hardware:  2 cores of an x86-64 CPU, no accelerator.
Time:      on one core beside other work, for 60 tasks: zero two hours, film one, conv4 eight minutes.
Expected:  adapted on the support set, no row loses to the frozen features it starts from; meta-learned starts gain.
Measured:  results/transfer-adapters, 60 tasks. From no adapter at all TSA, norms and every weight tie with the ridge
           on frozen features, 0.0 on all domains at one shot and 0.0 to -0.4 at five: on validation classes of the
           sources the smallest rate of the grid, 0.001, does best everywhere. Meta-learned norms are first on every
           domain at five shots (+0.3 to +0.9 over the ridge), and at one shot gain 3.8 on MNIST and 5.3 on emoji of
           other styles and tie on the other three. R2-D2 over Conv-4 is 1 to 37 points behind the ridge, but for MNIST
           at one shot, where it is 5.8 ahead.

All parts meet the same tasks, those of `transfer photos` but for their number. `zero`: TSA, norms alone and every
weight of the last layers, from no adapter at all, on the support set, rates chosen on validation classes of the
sources. `film`: a meta-learned start and factors for the norms, in 600 steps, a fifth of other trainings. `conv4`:
learners over small networks, trained from scratch. An interrupted one goes on; parts that were made before stay in the
results.
"""

import json
import pathlib
from typing import Any

import pages

from jaxmeta import transfer
from jaxmeta.runs import results

KEPT = pages.RESULTS / "transfer-adapters" / "results.json"
PHOTOS: dict[str, Any] = {"encoder": "efficientnet_lite0", "fine_tune_steps": 10, "tune_tasks": 8}
PARTS: dict[str, dict[str, dict[str, Any]]] = {
    "zero": {
        "TSA": {"adapters": "tsa", "methods": ["frozen_ridge", "frozen_tuned"]},
        "norms": {"adapters": "film", "methods": ["frozen_tuned"]},
        "every weight": {"adapters": "all", "methods": ["frozen_tuned"]},
    },
    "film": {"norms": {"adapters": "film", "methods": ["tuned_protonet"], "effort": 0.2}},
    "conv4": {"Conv-4": {"encoder": "", "picture": (28, 28, 3), "methods": ["protonet", "r2d2"]}},
}


def named(rows: list[dict[str, Any]], label: str) -> list[dict[str, Any]]:
    """Rows whose methods say what of the network was adapted; features as they come are the same in all."""
    same = ("frozen_ridge", "frozen features, ")
    return [row if row["method"].startswith(same) else row | {"method": f"{row['method']}, {label}"} for row in rows]


def page(content: dict) -> str:
    """The tables, of the rows of results.json."""
    return str(transfer.compare(content["rows"]))


def main() -> None:
    parser = pages.parser(__doc__)
    parser.add_argument("--parts", nargs="+", choices=PARTS, default=list(PARTS))
    parser.add_argument("--num-tasks", type=int, default=60)
    parser.add_argument("--data-dir", help="where the data sets lie; JAXMETA_DATA is the default")
    options = parser.parse_args()
    plan = transfer.PLANS["photos"]
    kept = json.loads(KEPT.read_text())["rows"] if KEPT.exists() else []
    for part in options.parts:
        for label, own in PARTS[part].items():
            made = transfer.matrix(
                plan.sources, plan.targets, report=pages.told,
                folder=pathlib.Path(f"runs/adapters-{part}-{label.split()[0]}"), data_dir=options.data_dir,
                queries=10, num_tasks=options.num_tasks, **{**PHOTOS, **own},
            )  # fmt: skip
            if failed := [row["error"] for row in made if "error" in row]:
                raise SystemExit("\n".join(failed))
            identity = lambda row: (row["domain"], row["shots"], row["method"])  # noqa: E731
            rows = {identity(row): row for row in [*kept, *named(made, label)]}
            kept = list(rows.values())
            checksums = {name: value for row in kept for name, value in row.get("checksums", {}).items()}
            content = results.document(kept, seed=0, checksums=checksums) | transfer.compare(kept).found
            KEPT.parent.mkdir(parents=True, exist_ok=True)
            KEPT.write_text(json.dumps(content) + "\n")
            KEPT.with_suffix(".md").write_text(page(content))


if __name__ == "__main__":
    main()
