"""Cross-domain transfer: learners and baselines from glyphs to seven other domains, and several sources against one.

Command:   python experiments/transfer.py shared --data-dir PATH
           python experiments/transfer.py leave-one-out --data-dir PATH
Machine:   2 cores; shared 35 min, leave-one-out 20 min, beside other work
Expected:  results/transfer-shared and results/transfer-leave-one-out; what they say is in the README

It is `jaxmeta transfer PRESET` with its options, and keeps what that writes but for the trained networks; an
interrupted one goes on. PATH holds the data sets that `jaxmeta domains` says are found on this disk.
"""

import json
import pathlib
import shutil
import sys

from jaxmeta import cli

RESULTS = pathlib.Path(__file__).parent / "results"


def main() -> int:
    preset, *options = sys.argv[1:]
    run = pathlib.Path(f"runs/transfer-{preset}")
    if code := cli.main(["transfer", preset, *options, "--out", str(run), "--resume"]):
        return code
    kept = RESULTS / run.name
    kept.mkdir(parents=True, exist_ok=True)
    for name in ("config.json", "results.csv", "results.md", "results.png"):
        shutil.copy(run / name, kept / name)
    (kept / "results.json").write_text(json.dumps(json.loads((run / "results.json").read_text())) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
