"""Measures the speed claims that this machine has not measured, and writes the tables of benchmarks/README.md.

Command:   python benchmarks/run.py [CLAIM ...] [--force]
           python benchmarks/run.py --tables   (measures nothing, and writes the tables of what was measured)

Each claim is a module beside this file with `main() -> column` and `table(column) -> text`. results/CLAIM.json holds a
column a machine, which says what made it.
"""

import argparse
import importlib
import json
import os
import pathlib
import platform
import subprocess
import sys
from typing import Any

from jaxmeta import provenance

HERE = pathlib.Path(__file__).parent
CLAIMS = (
    "meta_step", "where", "convolution", "inner_gradient", "learner_cost", "sampling", "devices", "compilation",
    "program", "startup", "checkpoints", "encoders", "sentences", "rollouts",
)  # fmt: skip
MARK = "<!-- measured: made by run.py -->"


def made() -> dict[str, Any]:
    """What makes the numbers, asked of another process: one that has seen a GPU keeps memory of it."""
    asked = "import json; from jaxmeta import provenance; print(json.dumps(provenance.record()))"
    found = subprocess.run([sys.executable, "-c", asked], stdout=subprocess.PIPE, text=True, check=True).stdout
    return json.loads(found.splitlines()[-1])


def machine(record: dict[str, Any]) -> str:
    """A GPU's name, or how many cores of which architecture."""
    on_cpu = record["device"].endswith(" x cpu")
    return f"{os.cpu_count()} cores, {platform.machine()}" if on_cpu else record["device"]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("claims", nargs="*", metavar="CLAIM", help=", ".join(CLAIMS))
    parser.add_argument("--force", action="store_true", help="measure what was measured")
    parser.add_argument("--tables", action="store_true", help="measure nothing")
    given = parser.parse_args()
    if unknown := set(given.claims) - set(CLAIMS):
        parser.error(f"expected claims of {', '.join(CLAIMS)}, got {', '.join(sorted(unknown))}")
    if given.tables:
        return write_tables()
    record = made()
    here = machine(record)
    for claim in given.claims or CLAIMS:
        path = HERE / "results" / f"{claim}.json"
        columns = json.loads(path.read_text()) if path.exists() else {}
        if here in columns and not given.force:
            print(f"{claim}: measured on {here}; --force measures again", file=sys.stderr)
            continue
        try:
            column = importlib.import_module(claim).main()
        except (ImportError, NotImplementedError) as error:
            print(f"{claim}: not measured, {error}", file=sys.stderr)
            continue
        columns[here] = record | column | {"versions": record["versions"] | column.get("versions", {})}
        path.parent.mkdir(exist_ok=True)
        path.write_text(json.dumps(columns, indent=1) + "\n")
    return write_tables()


def write_tables() -> None:
    lines = [MARK]
    for claim in CLAIMS:
        module = importlib.import_module(claim)
        path = HERE / "results" / f"{claim}.json"
        columns = json.loads(path.read_text()) if path.exists() else {}
        lines += ["", f"## {(module.__doc__ or claim).splitlines()[0].rstrip('.')}"]
        for name, column in columns.items():
            lines += ["", f"**{name}** ({provenance.line(column)})", "", module.table(column)]
        if not columns:
            lines += ["", "Not measured."]
        if all("cores" in name for name in columns):
            lines += ["", "On a GPU: not measured."]
    path = HERE / "README.md"
    path.write_text(path.read_text().split(MARK)[0] + "\n".join(lines) + "\n")
    print(f"results: {path.name}")


if __name__ == "__main__":
    main()
