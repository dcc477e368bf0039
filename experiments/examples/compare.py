"""Compare methods honestly, and report: the same tasks for all, floors beside them, paired tests, and one page.

    python experiments/examples/compare.py --out runs/compared

A meta-learner and a pre-trained baseline are trained on strokes alone and adapt to handwritten digits; nothing is
downloaded. What is written: cells that a second call goes on with, and a page that says who wins and how sure that is.
"""

from __future__ import annotations

import argparse
import pathlib
from typing import Any

from jaxmeta import report, transfer


def compare(out: pathlib.Path, **options: Any) -> pathlib.Path:
    """Scores two methods on the same tasks and returns the page that says what came out.

    Args:
      out: a folder for the transfer and its page.
      options: of `transfer.Plan`, such as `effort` and `num_tasks`.
    """
    # Rates of the baseline are chosen on validation classes of the source, never on the target.
    rows = transfer.matrix(["strokes"], ["digits"], ["protonet", "linear_probe"], folder=out, shots=(1, 5), **options)
    print(transfer.compare(rows))  # what the scores allow one to say, in Markdown
    return report.write([out], out / "report", forms=("html", "markdown"))


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=pathlib.Path, default=pathlib.Path("runs/compared"))
    parser.add_argument("--effort", type=float, default=0.2, help="training steps, as a multiple of each method's own")
    parser.add_argument("--num-tasks", type=int, default=200)
    given = parser.parse_args()
    print(f"results: {compare(given.out, effort=given.effort, num_tasks=given.num_tasks)}")
