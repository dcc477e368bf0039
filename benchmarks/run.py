"""Runs the claims that have no result on this backend yet, or those that are named, and writes README.md.

Command:   python benchmarks/run.py [CLAIM ...]
"""

import importlib
import json
import pathlib
import subprocess
import sys
import time

HERE = pathlib.Path(__file__).parent
CLAIMS = ("meta_step", "convolution", "inner_gradient", "sampling", "startup", "devices")
BACKENDS = ("cpu", "gpu")


def known(claim: str) -> dict:
    path = HERE / "results" / f"{claim}.json"
    return json.loads(path.read_text()) if path.exists() else {}


def section(claim: str) -> list[str]:
    """A claim's tables, one a backend."""
    module, columns = importlib.import_module(claim), known(claim)
    lines = [f"## {(module.__doc__ or claim).splitlines()[0]}", ""]
    lines += [f"`python benchmarks/run.py {claim}` ([code]({claim}.py), [figures](results/{claim}.json))", ""]
    for backend in BACKENDS:
        if column := columns.get(backend):
            versions = ", ".join(f"{name} {version}" for name, version in column["versions"].items())
            lines += [*module.table(column), "", f"{backend.upper()}: {column['machine']}; {versions}.", ""]
        else:
            lines += [f"{backend.upper()}: not measured.", ""]
    return lines


def main() -> None:
    if unknown := set(sys.argv[1:]) - set(CLAIMS):
        sys.exit(f"run.py: expected claims among {', '.join(CLAIMS)}, got {', '.join(sorted(unknown))}")
    import jax

    backend = jax.default_backend()
    for claim in sys.argv[1:] or [claim for claim in CLAIMS if backend not in known(claim)]:
        print(f"{claim} ...", file=sys.stderr, flush=True)
        start = time.perf_counter()
        subprocess.run([sys.executable, HERE / f"{claim}.py"], check=True)
        print(f"{claim}: {time.perf_counter() - start:.0f} s", file=sys.stderr, flush=True)
    lines = [
        "# Benchmarks", "",
        "One file a claim. `python benchmarks/run.py` runs what has no result on this backend yet and writes this",
        "page; claims that are named are run anew. What it needs beside jaxmeta is in `requirements.txt`.",
        "Forms that are compared take turns, so that a drift of the machine's speed meets all of them.", "",
    ]  # fmt: skip
    for claim in CLAIMS:
        lines += section(claim)
    lines += ["What each learner's step costs beside MAML's: [learner_cost](results/learner_cost.md).", ""]
    (HERE / "README.md").write_text("\n".join(lines))


if __name__ == "__main__":
    sys.path.insert(0, str(HERE))
    main()
