"""Measures the speed claims that this machine has not measured, and writes the tables of benchmarks/README.md.

Command:   python benchmarks/run.py [CLAIM ...] [--force]

Each claim is a module beside this file with `main() -> column` and `table(column) -> lines`. results/CLAIM.json holds a
column a machine.
"""

import argparse
import importlib
import json
import os
import pathlib
import platform
import subprocess
import sys

HERE = pathlib.Path(__file__).parent
CLAIMS = (
    "meta_step", "where", "convolution", "inner_gradient", "learner_cost", "sampling", "devices", "compilation",
    "startup", "checkpoints",
)  # fmt: skip
MARK = "<!-- measured: made by run.py -->"


def machine() -> str:
    """A GPU's name, or how many cores of which architecture."""
    asked = "import jax; print(jax.default_backend(), jax.device_count(), jax.devices()[0].device_kind, sep='|')"
    found = subprocess.run([sys.executable, "-c", asked], capture_output=True, text=True, check=True).stdout
    backend, count, kind = found.strip().split("\n")[-1].split("|")
    return f"{os.cpu_count()} cores, {platform.machine()}" if backend == "cpu" else f"{count} x {kind}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("claims", nargs="*", metavar="CLAIM", help=", ".join(CLAIMS))
    parser.add_argument("--force", action="store_true", help="measure what was measured")
    given = parser.parse_args()
    if unknown := set(given.claims) - set(CLAIMS):
        parser.error(f"expected claims of {', '.join(CLAIMS)}, got {', '.join(sorted(unknown))}")
    here = machine()
    for claim in given.claims or CLAIMS:
        path = HERE / "results" / f"{claim}.json"
        columns = json.loads(path.read_text()) if path.exists() else {}
        if here in columns and not given.force:
            print(f"{claim}: measured on {here}; --force measures again", file=sys.stderr)
            continue
        try:
            columns[here] = importlib.import_module(claim).main()
        except (ImportError, NotImplementedError) as error:
            print(f"{claim}: not measured, {error}", file=sys.stderr)
            continue
        path.parent.mkdir(exist_ok=True)
        path.write_text(json.dumps(columns, indent=1) + "\n")
    write_tables(here)


def write_tables(here: str) -> None:
    lines = [MARK]
    for claim in CLAIMS:
        module = importlib.import_module(claim)
        path = HERE / "results" / f"{claim}.json"
        columns = json.loads(path.read_text()) if path.exists() else {}
        lines += ["", f"## {(module.__doc__ or claim).splitlines()[0].rstrip('.')}"]
        for name, column in columns.items():
            versions = ", ".join(f"{package} {version}" for package, version in column["versions"].items())
            lines += ["", f"**{name}** ({versions})", "", *module.table(column)]
        if not columns:
            lines += ["", "Not measured."]
        if all("cores" in name for name in columns):
            lines += ["", "On a GPU: not measured."]
    path = HERE / "README.md"
    path.write_text(path.read_text().split(MARK)[0] + "\n".join(lines) + "\n")
    print(f"results: {path.name} ({here})")


if __name__ == "__main__":
    main()
