"""Sources x targets x learners on the same episodes, and what the scores allow one to say."""

from jaxmeta.transfer.cells import Sizes, fitted, linear_mmd
from jaxmeta.transfer.summary import Row, comparisons, multi_source, rankings, summarized
from jaxmeta.transfer.tables import csv_text, markdown

__all__ = [
    "Row",
    "Sizes",
    "comparisons",
    "csv_text",
    "fitted",
    "linear_mmd",
    "markdown",
    "multi_source",
    "rankings",
    "summarized",
]
