"""One way in: a built-in name or a path of the user's own."""

from __future__ import annotations

import os
import pathlib
from collections.abc import Callable
from typing import NamedTuple, NoReturn

import numpy as np

from jaxmeta import checks
from jaxmeta.datasets import digits, examples, files, folders, idx, npz, omniglot, pictures, tables

_FASHION = (
    "T-shirt/top,Trouser,Pullover,Dress,Coat,Sandal,Shirt,Sneaker,Bag,Ankle boot",
)  # fmt: skip


class Builtin(NamedTuple):
    """What is known of a built-in domain before it is read."""

    field: str
    classes: int
    examples: int
    source: str  # "embedded": comes with a package; "files": lies in the data folder
