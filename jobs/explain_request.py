"""What explain is asked for."""

from dataclasses import dataclass
from typing import Literal

from texture_store.evaluation.classifiers import NUM_TREES
from texture_store.evaluation.embedding import Method
from texture_store.evaluation.folds import Protocol
from texture_store.spec import Encoder, Layer

Filter = tuple[Layer, int]
"""A filter of the network: layer, and number from 0."""
RecipeChoice = Literal["better", "paper", "both"]


@dataclass(frozen=True)
class ExplainRequest:
    """What explain is asked for."""

    store_url: str
    dataset: str
    label_column: str = "label"
    group_column: str | None = None
    where: tuple[str, ...] = ()
    protocol: Protocol | None = None
    """None: by group, where there are groups and every class is in several; else by image."""
    trials: int = 10
    folds: int = 3
    trees: int = NUM_TREES
    top: int = 12
    """Filters that are looked at, by importance."""
    recipe: RecipeChoice = "better"
    map_method: Method = "pca"
    encoder: Encoder | None = None
    """Of the map and the neighbours; None: mean."""
    layer: str | None = None
    """Of the map and the neighbours, or `all`; None: all for the map, for neighbours conv4_3."""
    spec: str | None = None
    snapshot: int | None = None
    filters: tuple[Filter, ...] = ()
    """Only these; none: what is important and characteristic."""
    image: str | None = None
    """Path: only heat maps of this image."""
    neighbours: str | None = None
    """Path: only the micrographs nearest to it."""
    same_scale: bool = False
    address: str = "local"
