"""`jaxmeta domains`."""

from __future__ import annotations

from collections.abc import Iterable

from jaxmeta import datasets, recipes
from jaxmeta.cli.config import Domains

_LINE = "{:<30} {:<15} {:>8} {:>9}  {}"
_ENDLESS = {
    **dict.fromkeys(("sinusoid", *recipes.PROCESSES), ("regression", "a value")),
    "tabular": ("tables", "any"),
    **dict.fromkeys(recipes.CONTROL, ("control", "returns")),
    "strokes": ("glyph", "endless"),
    "drawn_strokes": ("glyph", "1,000"),
}


def run(options: Domains) -> int:
    found = datasets.found(options.data_dir)
    known = datasets.names() | datasets.suggested() | {name: about for name, about in found.items() if ":" in name}
    print(_LINE.format("name", "field", "classes", "examples", "source"))
    for name, (field, classes) in _ENDLESS.items():
        print(_LINE.format(name, field, classes, "20,000" if name == "drawn_strokes" else "endless", "embedded"))
    fields = (*datasets.FIELDS, "tfds")
    for name, about in sorted(known.items(), key=lambda item: fields.index(item[1].field)):
        print(_LINE.format(name, about.field, *_size(about), _source(name, about, found)))
    print(
        "found: files lie in --data-dir or JAXMETA_DATA. Any .npz, .csv, folder of class folders, or set of\n"
        'tensorflow-datasets (tfds:NAME) that is prepared with file_format="array_record" is a domain too.'
    )
    return 0


def _size(about: datasets.Builtin) -> Iterable[str]:
    targets = {"strings": "strings", "tokens": "tags"}.get(about.field, "a value")
    return f"{about.classes:,}" if about.classes else targets, f"{about.examples:,}"


def _source(name: str, about: datasets.Builtin, found: dict[str, datasets.Builtin]) -> str:
    if about.source == "embedded":
        return "embedded"
    if name in found:
        return "found"
    return {"files": "files, not found", "tfds": "tensorflow-datasets, to be prepared"}[about.source]
