"""Cross-domain transfer: learners and baselines from glyphs to seven other domains, and several sources against one.

Paper:     none; the matrix is this project's own.
Command:   python experiments/transfer.py shared --data-dir PATH
           python experiments/transfer.py leave-one-out --data-dir PATH
Hardware:  2 cores of an x86-64 CPU, no accelerator.
Time:      shared 35 minutes, leave-one-out 20, beside other work.
Expected:  every learner above chance on every target; no winner is foretold.
Measured:  results/transfer-shared and results/transfer-leave-one-out; what they say is in the README.

It is `jaxmeta transfer PRESET` with its options, and keeps what that writes but for the trained networks; an
interrupted one goes on. PATH holds the data sets that `jaxmeta domains` says are found on this disk.
"""

import json
import pathlib
import shutil
import sys

import pages

from jaxmeta import cli, transfer


def page(content: dict) -> str:
    """The tables, of the content of results.json."""
    return transfer.markdown(content["rows"], content)


def main() -> int:
    preset, *options = sys.argv[1:]
    run = pathlib.Path(f"runs/transfer-{preset}")
    if code := cli.main(["transfer", preset, *options, "--out", str(run), "--resume"]):
        return code
    kept = pages.RESULTS / run.name
    kept.mkdir(parents=True, exist_ok=True)
    for name in ("config.json", "results.csv", "results.md", "results.png"):
        shutil.copy(run / name, kept / name)
    (kept / "results.json").write_text(json.dumps(json.loads((run / "results.json").read_text())) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
