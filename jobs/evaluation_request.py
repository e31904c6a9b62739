"""What evaluate is asked for."""

from collections.abc import Callable
from dataclasses import dataclass

from texture_store.evaluation.classifiers import NUM_TREES, Classifier, Regressor, Task
from texture_store.evaluation.folds import Protocol
from texture_store.spec import LAYERS, Encoder

ALL_LAYERS = "all"
"""The five layers of the network side by side (the paper's Figure 7)."""
PAPER_LAYERS: tuple[str, ...] = (*LAYERS, ALL_LAYERS)
PROTOCOLS: tuple[Protocol, ...] = ("image", "group")

Say = Callable[[str], None]


@dataclass(frozen=True)
class EvaluationRequest:
    """What evaluate is asked for."""

    store_url: str
    dataset: str
    encoders: tuple[Encoder, ...] = ()
    """None: all that there are."""
    layers: tuple[str, ...] = ()
    """Layers, or `all` for those of the network together; none: all that there are."""
    paper_grid: bool = False
    """All six layers and the five of the network together, of every encoder that has them."""
    classifier: Classifier | Regressor = "forest"
    task: Task = "classification"
    trials: int = 10
    folds: int = 3
    trees: int = NUM_TREES
    protocols: tuple[Protocol, ...] = ()
    """None: by image, and by group where there are groups."""
    label_column: str = "label"
    group_column: str | None = None
    with_columns: tuple[str, ...] = ()
    where: tuple[str, ...] = ()
    spec: str | None = None
    vlad_spec: str | None = None
    """Of VLAD, which has a spec of its own; None: as `spec`."""
    snapshot: int | None = None
    raw_sums: bool = False
    strict: bool = False
    """Also score VLAD by dictionaries that are learnt inside the folds."""
    address: str = "local"

    def spec_of(self, encoder: Encoder) -> str | None:
        """The spec that is asked for an encoder; None for that of the newest complete one."""
        return self.vlad_spec if encoder == "vlad" and self.vlad_spec is not None else self.spec
