"""Cross-domain transfer: learners and baselines from glyphs to other domains, and several sources against one.

Paper:     none; the matrix is this project's own.
Command:   python experiments/transfer.py quick   (needs no download)
           python experiments/transfer.py shared --data-dir PATH
           python experiments/transfer.py leave-one-out --data-dir PATH
           python experiments/transfer.py photos --data-dir PATH   (wants the extra vision; likewise in-context)
Hardware:  2 cores of an x86-64 CPU, no accelerator.
Time:      quick 2.7 minutes on an idle machine; beside other work shared 35, leave-one-out 20, photos 25, and
           in-context 15.
Expected:  quick: the best learner ahead of the best baseline in every cell, paired p < 0.01, by 5 points on average;
           photos: frozen_ridge ahead of the frozen nearest centroid on every domain or tied, p < 0.01 and 4 points on
           average at 5 shots;
           the others, in-context too: every learner above chance on every target; no winner is foretold.
Measured:  results/transfer-NAME. quick meets its bar: cross_transformer less the linear probe is +2.8, +1.1 (digits, 1
           and 5 shots), +21.8 and +13.3 (moved digits), p < 1e-4, after 53 s of training against 55 s with twice as
           many pictures. Two other seeds (`jaxmeta transfer quick --seed 1`): +1.4 (p = 0.01), +0.4 (0.07), +20.7,
           +11.0 and +3.5, +0.7 (0.004), +21.3, +12.7. R2-D2 in its place (`--learners r2d2 linear_probe --learning-rate
           2e-3 --effort 0.8 --batch-size 90`): -4.5, -1.9, +4.5 and -0.1. Rates, norms and queries a class were chosen
           on validation classes, steps and batches by the time. shared and leave-one-out were made before batches of
           pre-training held as much of each source as a learner's tasks. photos: at 5 shots +2.3, +1.1, +3.8 and +14.0
           over the centroid, 5.3 on average, at 1 shot a tie on ucmerced and +4.9 on emoji of styles that were held
           out; trained gains add up to 1.5. in-context: from the same features the in-context learner, which begins at
           chance where the others begin with what the features know, reaches 83% on validation classes of its sources
           in 3,000 steps and is 7 to 27 points behind R2-D2 on the targets, most on photographs from the air; ahead of
           the frozen centroid it is on digits alone.

It is `jaxmeta transfer NAME`, and keeps what that writes but for the trained networks; an interrupted one goes on. PATH
holds the data sets that `jaxmeta domains` says are found on this disk.
"""

import json
import pathlib
import shutil

import pages

from jaxmeta import report, transfer
from jaxmeta.runs import results


def page(content: dict) -> str:
    """The tables, of the rows of results.json."""
    return str(transfer.compare(content["rows"]))


def main() -> None:
    parser = pages.parser(__doc__)
    parser.add_argument("name", choices=transfer.PLANS)
    parser.add_argument("--data-dir", help="where the data sets lie; JAXMETA_DATA is the default")
    options = parser.parse_args()
    setting = transfer.setting(transfer.checked(transfer.PLANS[options.name]), options.data_dir)
    folder = pathlib.Path(f"runs/transfer-{options.name}")
    rows = transfer.carried_out(setting, folder=folder, preset=options.name, report=pages.told)
    if failed := [row["error"] for row in rows if "error" in row]:
        raise SystemExit("\n".join(failed))
    checksums = {name: value for row in rows for name, value in row.pop("checksums").items()}
    content = results.document(rows, seed=setting.plan.seed, checksums=checksums) | transfer.compare(rows).found
    kept = pages.RESULTS / folder.name
    kept.mkdir(parents=True, exist_ok=True)
    shutil.copy(folder / "config.json", kept)
    (kept / "results.json").write_text(json.dumps(content) + "\n")
    (kept / "results.md").write_text(page(content))
    (kept / "results.csv").write_text(transfer.csv_text(rows))
    report.transfer(rows).savefig(kept / "results.png", dpi=120)
    print(page(content))


if __name__ == "__main__":
    main()
