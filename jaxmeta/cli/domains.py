"""`jaxmeta domains`."""

from __future__ import annotations

from jaxmeta import datasets
from jaxmeta.cli.config import Domains


def run(options: Domains) -> int:
    del options
    line = "{:<22} {:<23} {:>8} {:>9}  {}"
    print(line.format("name", "field", "classes", "examples", "source"))
    print(line.format("sinusoid", "regression", "endless", "endless", "embedded"))
    print(line.format("strokes", "glyph", "endless", "endless", "embedded"))
    for name, known in datasets.names().items():
        source = {"files": "files: --data-dir or JAXMETA_DATA"}.get(known.source, known.source)
        print(line.format(name, known.field, f"{known.classes:,}", f"{known.examples:,}", source))
    print("Any .npz, .csv or folder of class folders is a domain too: give its path.")
    return 0
