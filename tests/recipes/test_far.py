"""Numbers that are far from the labelled rows' are said, column by column."""

import numpy as np
import pytest

from jaxmeta import datasets
from jaxmeta.datasets import doubts, files
from jaxmeta.recipes.kinds import vectors
from jaxmeta.recipes.kinds.kind import Own

COLUMNS = (datasets.Column("age"), datasets.Column("sex", ("f", "m")), datasets.Column("income"))
SHOWN = np.array([[30.0, 0, 2e4], [65, 1, 9e4], [np.nan, 0, 5e4]])


def table(rows):
    return datasets.Table(rows, rows[:, :0], (), "", {}, COLUMNS)


@pytest.mark.fault(promised="a line that names the column and both ranges")
def test_ages_in_months_are_far_from_ages_in_years():
    said, own = [], Own("labelled.csv", "new.csv", None, "ink", None)
    asked = np.array([[400.0, 1, 3e4], [700, 0, 4e4], [np.nan, 7, 6e4]])
    with files.watched(lambda items, count, what: items, said.append):
        vectors.check_like(own, table(SHOWN), asked)
        vectors.check_like(own, table(SHOWN), SHOWN)
        vectors.check_like(own, table(SHOWN[:0]), asked)
    told = "column 'age': 2 of 2 cells, 400 to 700, are far from the labelled rows' 30 to 65"
    assert said == [f"read new.csv, inputs: {told}"]


def test_a_few_columns_are_named_and_the_others_counted():
    told = doubts.far((), np.array([[0.0] * 6, [1.0] * 6]), np.full((3, 6), 9.0))
    assert len(told) == 4
    assert told[0].startswith("column '1': 3 of 3 cells, 9 to 9")
    assert told[-1] == "so are some of 3 other columns"
    assert doubts.far((), np.array([[0.0], [1.0]]), np.array([[1.9], [-0.9]])) == []
