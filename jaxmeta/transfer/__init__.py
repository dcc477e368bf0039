"""Sources x targets x learners on the same episodes, and what the scores allow one to say."""

from jaxmeta.transfer.cells import fitted, linear_mmd
from jaxmeta.transfer.estimates import text as estimate
from jaxmeta.transfer.meetings import carried_out, matrix
from jaxmeta.transfer.plan import PLANS, Plan, checked, setting
from jaxmeta.transfer.summary import Row, comparisons, multi_source, rankings, summarized
from jaxmeta.transfer.tables import Comparison, compare, csv_text, markdown

__all__ = [
    "PLANS",
    "Comparison",
    "Plan",
    "Row",
    "carried_out",
    "checked",
    "compare",
    "comparisons",
    "csv_text",
    "estimate",
    "fitted",
    "linear_mmd",
    "markdown",
    "matrix",
    "multi_source",
    "rankings",
    "setting",
    "summarized",
]
