"""What is known of every built-in domain before it is read."""

from __future__ import annotations

from typing import NamedTuple

from jaxmeta.datasets import pairs, splits


class Builtin(NamedTuple):
    """What is known of a built-in domain before it is read."""

    field: str  # one of FIELDS
    classes: int  # 0: a value for each row instead, read by `load_table`
    examples: int
    source: str  # "embedded": comes with a package; "files": read from the data folder; "tfds": tensorflow-datasets
    splits: tuple[str, ...] = ()  # what `load` takes as a split, besides None


FIELDS = ("glyph", "natural", "remote sensing", "medical", "plants", "clothing", "emoji", "text", "tokens", "strings")
LANGUAGES = {
    "sib200": "arb_Arab deu_Latn eng_Latn fra_Latn hin_Deva jpn_Jpan rus_Cyrl spa_Latn swh_Latn tur_Latn yor_Latn "
    "zho_Hans",
    "xsid": "ar da de de-st en id it ja nl tr zh",
}
INTENTS = ("banking", "credit_cards", "kitchen_and_dining", "home", "auto_and_commute", "travel", "utility", "work",
           "small_talk", "meta")  # fmt: skip
ENTITIES = {"ai": 881, "literature": 916, "music": 945, "politics": 1392, "science": 1193}
STYLES = ("noto", "twemoji", "fluent3d", "openmoji")
STYLES_TOGETHER = ("noto+twemoji", "fluent3d+openmoji")  # each emoji twice: styles to train on, and held-out ones

_ALL = splits.SPLITS
_FILES = "files"

BUILTINS = {
    "omniglot": Builtin("glyph", 1623, 32460, _FILES, (*_ALL, "train+validation")),
    "mnist": Builtin("glyph", 10, 70000, _FILES, ("train", "test")),
    "fashion_mnist": Builtin("clothing", 10, 70000, _FILES, ("train", "test")),
    "digits": Builtin("glyph", 10, 1797, "embedded"),
    "digits_moved": Builtin("glyph", 10, 1797, "embedded"),
    "breast_cancer": Builtin("medical", 2, 569, "embedded"),
    "diabetes": Builtin("medical", 0, 442, "embedded"),
    "fonts": Builtin("glyph", 94, 3620, "embedded", _ALL),
    "emoji_styles": Builtin("emoji", 1299, 5196, _FILES, _ALL),
    **{f"emoji_styles:{style}": Builtin("emoji", 1299, 1299, _FILES, _ALL) for style in STYLES},
    **{f"emoji_styles:{styles}": Builtin("emoji", 1299, 2598, _FILES, _ALL) for styles in STYLES_TOGETHER},
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
    **{name: Builtin("strings", 0, 1000, _FILES) for name in pairs.NAMES},
    "crop_disease": Builtin("plants", 38, 43456, _FILES),
    "clinc150": Builtin("text", 150, 22500, _FILES, _ALL),
    **{f"clinc150:{domain}": Builtin("text", 15, 2250, _FILES) for domain in INTENTS},
    "banking77": Builtin("text", 77, 13083, _FILES, _ALL),
    "snips7": Builtin("text", 7, 14484, _FILES),
    **{f"sentiment:{source}": Builtin("text", 2, 1000, _FILES, _ALL) for source in ("amazon", "imdb", "yelp")},
    **{f"sib200:{name}": Builtin("text", 7, 1004, _FILES, _ALL) for name in LANGUAGES["sib200"].split()},
    **{f"crossner:{name}": Builtin("tokens", 0, count, _FILES) for name, count in ENTITIES.items()},
    **{
        f"xsid:{name}": Builtin("text", *((4, 225) if name == "ja" else (10, 625)), _FILES, _ALL)
        for name in LANGUAGES["xsid"].split()
    },
}

# Sets of tensorflow-datasets that `load` can read once they are prepared: one picture or text and one label each.
# The sizes are those of all splits together, rows without a label left out.
SUGGESTED = {
    "tfds:emnist/balanced": Builtin("glyph", 47, 131600, "tfds"),
    "tfds:kmnist": Builtin("glyph", 10, 70000, "tfds"),
    "tfds:cifar100": Builtin("natural", 100, 60000, "tfds"),
    "tfds:dtd": Builtin("natural", 47, 5640, "tfds"),
    "tfds:oxford_iiit_pet": Builtin("natural", 37, 7349, "tfds"),
    "tfds:stanford_dogs": Builtin("natural", 120, 20580, "tfds"),
    "tfds:resisc45": Builtin("remote sensing", 45, 31500, "tfds"),
    "tfds:eurosat/rgb": Builtin("remote sensing", 10, 27000, "tfds"),
    "tfds:colorectal_histology": Builtin("medical", 8, 5000, "tfds"),
    "tfds:malaria": Builtin("medical", 2, 27558, "tfds"),
    "tfds:oxford_flowers102": Builtin("plants", 102, 8189, "tfds"),
    "tfds:plant_village": Builtin("plants", 38, 54303, "tfds"),
    "tfds:plant_leaves": Builtin("plants", 22, 4502, "tfds"),
    "tfds:deep_weeds": Builtin("plants", 9, 17509, "tfds"),
    "tfds:ag_news_subset": Builtin("text", 4, 127600, "tfds"),
    "tfds:imdb_reviews/plain_text": Builtin("text", 2, 50000, "tfds"),
}
