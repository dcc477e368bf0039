import numpy as np
import pytest

from jaxmeta import checks, datasets


def test_breast_cancer():
    loaded = datasets.load("breast_cancer")
    assert loaded.class_names == ("malignant", "benign")
    assert loaded.inputs.shape == (569, 30)
    assert loaded.inputs.dtype == np.float32
    assert np.diff(loaded.offsets).tolist() == [212, 357]
    assert len(loaded.checksums["breast_cancer"]) == 64
    with pytest.raises(ValueError, match="breast_cancer: expected pictures"):
        datasets.load("breast_cancer", form=datasets.Form(2, 2, 1))


def test_diabetes_is_as_measured():
    table = datasets.load_table("diabetes")
    assert table.inputs.shape == (442, 10)
    assert table.targets.shape == (442, 1)
    assert table.targets.dtype == np.float32
    assert table.column_names[:3] == ("age", "sex", "bmi")
    assert 18 <= table.inputs[:, 0].min() < table.inputs[:, 0].max() < 100
    assert len(table.checksums["diabetes"]) == 64


def test_values_and_classes_are_told_apart():
    with pytest.raises(ValueError, match="values to predict"):
        datasets.load("diabetes")
    for name in ("breast_cancer", "no_such", "x.npz"):
        with pytest.raises(ValueError, match="diabetes, or a path to a csv") as caught:
            datasets.load_table(name)
        assert not isinstance(caught.value, checks.DataError)
