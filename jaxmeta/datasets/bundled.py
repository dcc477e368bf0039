"""Tables that come with scikit-learn; nothing to download."""

from __future__ import annotations

import hashlib
from typing import Any

from jaxmeta import checks, floats
from jaxmeta.datasets import examples, files, pictures, tables


def breast_cancer(form: pictures.Form | None) -> examples.Examples:
    """Returns 30 measurements of cell nuclei for each of 569 tumours, malignant or benign."""
    if form is not None:
        checks.fail("breast_cancer", "pictures, as a form is asked for", "vectors of 30 numbers")
    bundle = files.extra("sklearn.datasets").load_breast_cancer()
    return examples.from_labels(
        bundle.data.astype(floats.number_type()),
        bundle.target,
        [str(name) for name in bundle.target_names],
        name="breast_cancer",
        checksums=_checksums("breast_cancer", bundle),
    )


def diabetes() -> tables.Table:
    """Returns 10 measurements of 442 patients, as they were taken, and how far their diabetes went in a year."""
    # scikit-learn's default is scaled on all rows, query rows included.
    bundle = files.extra("sklearn.datasets").load_diabetes(scaled=False)
    inputs, targets = bundle.data.astype(floats.number_type()), bundle.target.astype(floats.number_type())[:, None]
    checksums = _checksums("diabetes", bundle)
    return tables.Table(inputs, targets, tuple(bundle.feature_names), "diabetes", checksums)


def _checksums(name: str, bundle: Any) -> dict[str, str]:
    digest = hashlib.sha256(bundle.data.astype("<f8").tobytes())
    digest.update(bundle.target.astype("<f8").tobytes())
    return {name: digest.hexdigest()}
