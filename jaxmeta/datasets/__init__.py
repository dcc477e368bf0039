"""Labelled examples grouped by class, from built-in domains and from a user's own files; NumPy only."""

from jaxmeta.datasets.catalogue import FIELDS, Builtin
from jaxmeta.datasets.examples import Examples, from_labels, rotated, select, union
from jaxmeta.datasets.loading import found, load, load_inputs, load_table, names, suggested
from jaxmeta.datasets.pictures import Form, bright_border, check_form, with_polarity
from jaxmeta.datasets.splits import MIN_CLASSES, by_class, by_example, share_rows
from jaxmeta.datasets.tables import Table, read_table

__all__ = [
    "FIELDS",
    "MIN_CLASSES",
    "Builtin",
    "Examples",
    "Form",
    "Table",
    "bright_border",
    "by_class",
    "by_example",
    "check_form",
    "found",
    "from_labels",
    "load",
    "load_inputs",
    "load_table",
    "names",
    "read_table",
    "rotated",
    "select",
    "share_rows",
    "suggested",
    "union",
    "with_polarity",
]
