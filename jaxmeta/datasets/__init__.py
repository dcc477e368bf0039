"""Labelled examples grouped by class, from built-in domains and from a user's own files; NumPy only."""

from jaxmeta.datasets.catalogue import Builtin
from jaxmeta.datasets.examples import Examples, from_labels, rotated, select, union
from jaxmeta.datasets.loading import load, load_inputs, load_table, names
from jaxmeta.datasets.pictures import Form, bright_border, check_form, with_polarity
from jaxmeta.datasets.tables import Table, read_table

__all__ = [
    "Builtin",
    "Examples",
    "Form",
    "Table",
    "bright_border",
    "check_form",
    "from_labels",
    "load",
    "load_inputs",
    "load_table",
    "names",
    "read_table",
    "rotated",
    "select",
    "union",
    "with_polarity",
]
