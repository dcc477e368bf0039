"""What is known of every built-in domain before it is read."""

from __future__ import annotations

from typing import NamedTuple

from jaxmeta.datasets import splits


class Builtin(NamedTuple):
    """What is known of a built-in domain before it is read."""

    field: str
    classes: int  # 0: a value for each row instead, read by `load_table`
    examples: int
    source: str  # "embedded": comes with a package; "files": read from the data folder
    splits: tuple[str, ...] = ()  # what `load` takes as a split, besides None


STYLES = ("noto", "twemoji", "fluent3d", "openmoji")

_ALL = splits.SPLITS
_FILES = "files"

BUILTINS = {
    "omniglot": Builtin("handwritten characters", 1623, 32460, _FILES, (*_ALL, "train+validation")),
    "mnist": Builtin("handwritten digits", 10, 70000, _FILES, ("train", "test")),
    "fashion_mnist": Builtin("clothing", 10, 70000, _FILES, ("train", "test")),
    "digits": Builtin("handwritten digits", 10, 1797, "embedded"),
    "digits_moved": Builtin("handwritten digits", 10, 1797, "embedded"),
    "breast_cancer": Builtin("medical", 2, 569, "embedded"),
    "diabetes": Builtin("medical, regression", 0, 442, "embedded"),
    "fonts": Builtin("printed characters", 94, 3620, "embedded", _ALL),
    "emoji_styles": Builtin("emoji", 1299, 5196, _FILES, _ALL),
    **{f"emoji_styles:{style}": Builtin("emoji", 1299, 1299, _FILES, _ALL) for style in STYLES},
    "caltech101": Builtin("natural", 101, 5975, _FILES, _ALL),
    "mini_imagenet": Builtin("natural", 100, 60000, _FILES, _ALL),
    "tiered_imagenet": Builtin("natural", 608, 779165, _FILES, _ALL),
    "cifar_fs": Builtin("natural", 100, 60000, _FILES, _ALL),
    "fc100": Builtin("natural", 100, 60000, _FILES, _ALL),
    "cub": Builtin("natural", 200, 11788, _FILES, _ALL),
    "ucmerced": Builtin("remote sensing", 21, 2100, _FILES, _ALL),
    "eurosat": Builtin("remote sensing", 10, 27000, _FILES),
    "bccd_cells": Builtin("medical", 3, 1133, _FILES, _ALL),
    "isic": Builtin("medical", 7, 10015, _FILES),
    "chestx": Builtin("medical", 7, 25847, _FILES),
    "crop_disease": Builtin("plants", 38, 43456, _FILES),
}
