"""What an experiment measured as results/NAME.json, and the page results/NAME.md that is made of that file alone.

Command:   python experiments/pages.py   (measures nothing, and writes every page anew)
"""

import argparse
import importlib
import json
import pathlib
from collections.abc import Callable
from typing import Any

from jaxmeta import runs

RESULTS = pathlib.Path(__file__).parent / "results"
BEGIN, END = "<!-- papers: made by pages.py -->", "<!-- end of papers -->"
EXPERIMENTS = (
    "causal_tables",
    "control",
    "diagnosis",
    "entities",
    "g2p",
    "language",
    "learners",
    "meta_sgd",
    "omniglot",
    "other_tables",
    "papers",
    "patients",
    "photos",
    "presets",
    "processes",
    "questions",
)


def parser(head: str | None) -> argparse.ArgumentParser:
    """What an experiment is asked by; its help is its head."""
    return argparse.ArgumentParser(description=head, formatter_class=argparse.RawDescriptionHelpFormatter)


def write(path: pathlib.Path, content: dict[str, Any], page: Callable[[dict[str, Any]], str]) -> None:
    """Writes PATH.json and PATH.md."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.with_suffix(".json").write_text(json.dumps(content, indent=1) + "\n")
    path.with_suffix(".md").write_text(page(content))


def told(event: runs.Event) -> None:
    """Prints validations, notes, and about ten lines of a training: the `report` of whatever trains."""
    every = 50 * max(1, event.num_steps // 500)  # trainings tell of each fiftieth step
    if event.kind == "note":
        print(event.text, flush=True)
    elif event.kind == "validation" or (event.kind == "train" and event.step % every == 0):
        said = ", ".join(f"{name} {value:.4f}" for name, value in event.values.items())
        print(f"  {event.label}, step {event.step:>6}, {event.kind}: {said}", flush=True)


def main() -> None:
    parser(__doc__).parse_args()
    files = {RESULTS / f"{name}.json": name for name in EXPERIMENTS}
    files |= dict.fromkeys(sorted(RESULTS.glob("transfer-*/results.json")), "transfer")
    for path, name in files.items():
        path.with_suffix(".md").write_text(importlib.import_module(name).page(json.loads(path.read_text())))
    readme = RESULTS.parent / "README.md"
    before, _, after = readme.read_text().partition(BEGIN)
    _, _, after = after.partition(END)
    readme.write_text(f"{before}{BEGIN}\n{importlib.import_module('papers').overview()}\n{END}{after}")


if __name__ == "__main__":
    main()
