"""Labelled examples grouped by class, tables, pairs of strings, questions: built-in ones and a user's own files; NumPy
only."""

from jaxmeta.datasets.catalogue import FIELDS, Builtin
from jaxmeta.datasets.corpora import identity
from jaxmeta.datasets.examples import Column, Examples, composed, from_labels, rotated, rows, select, union
from jaxmeta.datasets.loading import (
    found,
    load,
    load_inputs,
    load_table,
    load_text_inputs,
    load_texts,
    names,
    suggested,
)
from jaxmeta.datasets.pairs import Pairs, load_pairs, load_sources
from jaxmeta.datasets.pictures import Form, border, bright_border, check_form, with_polarity
from jaxmeta.datasets.questions import Questions, load_questions
from jaxmeta.datasets.sentences import is_texts, looks_like_texts
from jaxmeta.datasets.sheets import is_table
from jaxmeta.datasets.splits import MIN_CLASSES, by_class, by_example, deal, own, share_rows
from jaxmeta.datasets.tables import Table, groups, read_table
from jaxmeta.datasets.tagged import Tagged, load_sentences, load_tagged, load_words

__all__ = [
    "FIELDS",
    "MIN_CLASSES",
    "Builtin",
    "Column",
    "Examples",
    "Form",
    "Pairs",
    "Questions",
    "Table",
    "Tagged",
    "border",
    "bright_border",
    "by_class",
    "by_example",
    "check_form",
    "composed",
    "deal",
    "found",
    "from_labels",
    "groups",
    "identity",
    "is_table",
    "is_texts",
    "load",
    "load_inputs",
    "load_pairs",
    "load_questions",
    "load_sentences",
    "load_sources",
    "load_table",
    "load_tagged",
    "load_text_inputs",
    "load_texts",
    "load_words",
    "looks_like_texts",
    "names",
    "own",
    "read_table",
    "rotated",
    "rows",
    "select",
    "share_rows",
    "suggested",
    "union",
    "with_polarity",
]
