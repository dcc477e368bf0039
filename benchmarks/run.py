"""Measures the speed claims that this machine has not measured, and writes the tables of benchmarks/README.md.

Command:   python benchmarks/run.py [CLAIM ...] [--force] [--minutes 25]
           python benchmarks/run.py --tables   (measures nothing, and writes the tables of what was measured)
           python benchmarks/run.py --small --out FOLDER   (tries the commands on small sizes, and writes no tables)

Each claim is a module beside this file with `main() -> column` and `table(column) -> text`. results/CLAIM.json holds a
column a machine, which says what made it. Claims are measured in the order below, each in a process of its own: one
that fails, or for which no time is left, is told and left out, and the others go on.
"""

import argparse
import importlib
import json
import os
import pathlib
import platform
import subprocess
import sys
import time
from typing import Any

from jaxmeta import provenance

HERE = pathlib.Path(__file__).parent
CLAIMS = (
    "meta_step", "forms", "where", "convolution", "inner_gradient", "learner_cost", "sampling", "devices", "scale",
    "compilation", "program", "startup", "checkpoints", "encoders", "sentences", "rollouts",
)  # fmt: skip
MARK = "<!-- measured: made by run.py -->"
LAST_ROW = 0.7  # the share of its time after which a claim begins no further row


def made() -> dict[str, Any]:
    """What makes the numbers, asked of another process: one that has seen a GPU keeps memory of it."""
    asked = (
        "import json; from jaxmeta import provenance; "
        "print(json.dumps(provenance.record() | {'flags': provenance.compiler_flags()}))"
    )
    found = subprocess.run([sys.executable, "-c", asked], stdout=subprocess.PIPE, text=True, check=True).stdout
    return json.loads(found.splitlines()[-1])


def machine(record: dict[str, Any]) -> str:
    """A GPU's name, or how many cores of which architecture."""
    on_cpu = record["device"].endswith(" x cpu")
    return f"{os.cpu_count()} cores, {platform.machine()}" if on_cpu else record["device"]


def measured(claim: str, seconds: float | None) -> dict[str, Any] | None:
    """A claim's column, or None if it could not be made; what a device's memory holds ends with the process."""
    asked = f"import json, {claim}; print(json.dumps({claim}.main()))"
    command, paths = [sys.executable, "-c", asked], f"{HERE}:{HERE.parent}:{os.environ.get('PYTHONPATH', '')}"
    environment = {**os.environ, "PYTHONPATH": paths}
    if seconds is not None:
        environment["BENCHMARK_UNTIL"] = str(time.time() + LAST_ROW * seconds)
    try:
        found = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True, timeout=seconds, env=environment)
    except subprocess.CalledProcessError as error:
        return print(f"{claim}: not measured, it ended with code {error.returncode}", file=sys.stderr)
    except subprocess.TimeoutExpired:
        return print(f"{claim}: not measured, the time was over", file=sys.stderr)
    return json.loads(found.stdout.splitlines()[-1])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("claims", nargs="*", metavar="CLAIM", help=", ".join(CLAIMS))
    parser.add_argument("--force", action="store_true", help="measure what was measured")
    parser.add_argument("--tables", action="store_true", help="measure nothing")
    parser.add_argument("--minutes", type=float, help="start nothing and wait for nothing after so many")
    parser.add_argument("--small", action="store_true", help="try the commands on small sizes, with --out")
    parser.add_argument("--out", type=pathlib.Path, default=HERE / "results", help="where the columns go")
    given = parser.parse_args()
    if unknown := set(given.claims) - set(CLAIMS):
        parser.error(f"expected claims of {', '.join(CLAIMS)}, got {', '.join(sorted(unknown))}")
    if given.tables:
        return write_tables()
    if given.small and given.out == HERE / "results":
        parser.error("expected --out with --small, whose numbers say nothing, got none")
    if given.small:
        os.environ["BENCHMARK_SMALL"] = "1"
    record, end = made(), None if given.minutes is None else time.monotonic() + 60 * given.minutes
    here = machine(record)
    for claim in given.claims or CLAIMS:
        path = given.out / f"{claim}.json"
        columns = json.loads(path.read_text()) if path.exists() else {}
        if here in columns and not given.force:
            print(f"{claim}: measured on {here}; --force measures again", file=sys.stderr)
            continue
        left = None if end is None else max(end - time.monotonic(), 0)
        if left == 0:
            print(f"{claim}: not measured, the time was over", file=sys.stderr)
            continue
        if (column := measured(claim, left)) is None:
            continue
        columns[here] = record | column | {"versions": record["versions"] | column.get("versions", {})}
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(columns, indent=1) + "\n")
    return None if given.small else write_tables()


def write_tables() -> None:
    lines = [MARK]
    for claim in CLAIMS:
        module = importlib.import_module(claim)
        path = HERE / "results" / f"{claim}.json"
        columns = json.loads(path.read_text()) if path.exists() else {}
        lines += ["", f"## {(module.__doc__ or claim).splitlines()[0].rstrip('.')}"]
        for name, column in columns.items():
            flags = "" if column.get("flags", "none") == "none" else f"; XLA_FLAGS={column['flags']}"
            lines += ["", f"**{name}** ({provenance.line(column)}{flags})", "", module.table(column)]
        if not columns:
            lines += ["", "Not measured."]
        if all("cores" in name for name in columns):
            lines += ["", "On a GPU: not measured."]
    path = HERE / "README.md"
    path.write_text(path.read_text().split(MARK)[0] + "\n".join(lines) + "\n")
    print(f"results: {path.name}")


if __name__ == "__main__":
    main()
