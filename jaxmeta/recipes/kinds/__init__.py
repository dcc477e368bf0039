"""Kinds of data, one file each; whoever trains, evaluates, adapts or transfers asks the kind and knows none by name."""

from jaxmeta.recipes.kinds.adapted import ADAPTED
from jaxmeta.recipes.kinds.cells import CELLS
from jaxmeta.recipes.kinds.control import CONTROL
from jaxmeta.recipes.kinds.features import FEATURES, encoder
from jaxmeta.recipes.kinds.frames import Frame
from jaxmeta.recipes.kinds.functions import FUNCTIONS
from jaxmeta.recipes.kinds.kind import Domain, Given, Kind, Oracle, Own, Place, Shape, Sizes
from jaxmeta.recipes.kinds.pictures import PICTURES
from jaxmeta.recipes.kinds.seen import Seen
from jaxmeta.recipes.kinds.shown import Shown
from jaxmeta.recipes.kinds.strings import STRINGS
from jaxmeta.recipes.kinds.tables import TABLES
from jaxmeta.recipes.kinds.texts import TEXTS
from jaxmeta.recipes.kinds.tokens import TOKENS

__all__ = [
    "KINDS",
    "Domain",
    "Frame",
    "Given",
    "Kind",
    "Oracle",
    "Own",
    "Place",
    "Seen",
    "Shape",
    "Shown",
    "Sizes",
    "encoder",
]

# The first one that fits a domain is its kind.
KINDS: dict[str, Kind] = {
    kind.name: kind for kind in (STRINGS, TOKENS, TEXTS, ADAPTED, FEATURES, CONTROL, CELLS, FUNCTIONS, TABLES, PICTURES)
}
