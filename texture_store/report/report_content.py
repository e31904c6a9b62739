"""What a report shows: plain values, put together by a job, drawn by `report_page`. Text is as it is in the store.

A part whose data is missing is `Absent`, with the reason that the page gives instead of it.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

import numpy as np

from texture_store.evaluation.claims import Claim
from texture_store.evaluation.findings import Finding


@dataclass(frozen=True)
class Absent:
    """Nothing to show, and why: one sentence."""

    reason: str


@dataclass(frozen=True)
class Statement:
    """One sentence or two of the summary, and how much it matters."""

    verdict: Literal["problem", "warning", "note", "fine"]
    text: str


@dataclass(frozen=True)
class Picture:
    """One picture with its text."""

    title: str
    """Its path, or what it shows."""
    pixels: np.ndarray | None
    """(H, W) or (H, W, 3) uint8, no larger than a screen needs; None when there is none, and `lines` say why."""
    alt: str
    """What a reader who cannot see it is told."""
    lines: Sequence[str] = ()
    """Under the title."""


@dataclass(frozen=True)
class Cell:
    """Of a table."""

    text: str
    order: float | None = None
    """What the column is sorted by; None: its text."""


@dataclass(frozen=True)
class Table:
    """A table that can be sorted by its columns."""

    caption: str
    columns: Sequence[str]
    rows: Sequence[Sequence[Cell]]
    numeric: frozenset[int] = frozenset()
    """Columns (from 0) that are numbers."""
    note: str = ""


@dataclass(frozen=True)
class Plot:
    """A Plotly figure."""

    title: str
    figure: Mapping[str, object]
    """`data` and `layout` as JSON values; all text in it neutralised (`report_plots.label`)."""
    alt: str
    """What it shows, in a sentence."""
    table: Table | None = None
    """The same numbers, for paper and for readers who cannot see it."""
    thumbnails: Sequence[np.ndarray | None] = ()
    """(H, W) uint8 of each point of the first trace and those after it, in order, shown while the point is hovered."""
    names: Sequence[str] = ()
    """Of the same points: what a thumbnail is named."""


@dataclass(frozen=True)
class Samples:
    """Micrographs of each class, as the network sees them (the paper's Figures 3 to 5)."""

    classes: Sequence["ClassSamples"]
    note: str = ""


@dataclass(frozen=True)
class ClassSamples:
    """Of one class, or of a dataset without labels."""

    label: str | None
    num_images: int
    pictures: Sequence[Picture]


@dataclass(frozen=True)
class Scores:
    """How well feature sets do."""

    about: str
    """What was asked, in a sentence: label, images, classifier, trials, folds."""
    lengths: Table
    """The paper's Table 1."""
    best: Table
    """Of each encoder."""
    layers: Sequence[Plot]
    """The paper's Figure 6: one for each protocol."""
    together: Sequence[Plot]
    """Its Figure 7."""
    every: Table
    notes: Sequence[str] = ()


@dataclass(frozen=True)
class Claims:
    """The paper's claims under one protocol."""

    protocol: str
    claims: Sequence[Claim]


@dataclass(frozen=True)
class Confusion:
    """What the best feature set takes for what: one plot for each protocol."""

    plots: Sequence[Plot]
    notes: Sequence[str] = ()


@dataclass(frozen=True)
class Misclassified:
    """The images that the best feature set gets wrong most often."""

    about: str
    pictures: Sequence[Picture]
    table: Table


@dataclass(frozen=True)
class Audit:
    """What a score would mean."""

    findings: Sequence[Finding]
    source: str
    """Where the numbers are from."""


@dataclass(frozen=True)
class Rejected:
    """Images without features."""

    by_reason: Table
    every: Table


@dataclass(frozen=True)
class Provenance:
    """Where everything is from: groups of names and values, in order."""

    groups: Mapping[str, Mapping[str, str]]


@dataclass(frozen=True)
class Texture:
    """One filter that a classifier relies on."""

    name: str
    """Such as `conv4_3 filter 211`."""
    picture: Picture
    """Its texture: what raises the filter's mean activation most."""
    facts: Mapping[str, str] = field(default_factory=dict)
    """Such as importance -> `0.031 ± 0.004`, in order."""
    class_means: Mapping[str, float] = field(default_factory=dict)
    """Mean activation by class."""
    exemplars: Sequence[Picture] = ()
    """Micrographs and patches of the archive with the highest mean activation."""


@dataclass(frozen=True)
class ImportantTextures:
    """What the classifier relies on (the paper's Figures 8 and 9)."""

    about: str
    textures: Sequence[Texture]
    importances: Plot | None = None


@dataclass(frozen=True)
class CharacteristicTextures:
    """What tells one class from the others (the paper's Figures 11 and 12)."""

    about: str
    classes: Mapping[str, Sequence[Texture]]


@dataclass(frozen=True)
class Gallery:
    """Pictures in a row: heat maps (the paper's Figure 10), most atypical images."""

    about: str
    pictures: Sequence[Picture]


@dataclass(frozen=True)
class FeatureMap:
    """A dataset in two dimensions: plots of the same points, coloured by label or metadata."""

    about: str
    plots: Sequence[Plot]


@dataclass(frozen=True)
class Neighbours:
    """Micrographs with those most like them."""

    about: str
    rows: Sequence[tuple[Picture, Sequence[Picture]]]


@dataclass(frozen=True)
class Explanations:
    """What `explain` puts beside a store; what is None was not asked for, and is left out without a word."""

    important: ImportantTextures | Absent | None = None
    characteristic: CharacteristicTextures | Absent | None = None
    heat_maps: Gallery | Absent | None = None
    feature_map: FeatureMap | Absent | None = None
    neighbours: Neighbours | Absent | None = None
    atypical: Gallery | Absent | None = None


@dataclass(frozen=True)
class Report:
    """One dataset."""

    dataset: str
    state: str
    """How new what is shown is, such as `snapshot 2, newest score of 2026-01-31 12:00 UTC`."""
    summary: Sequence[Statement]
    samples: Samples | Absent
    scores: Scores | Absent
    claims: Sequence[Claims] | Absent
    confusion: Confusion | Absent
    misclassified: Misclassified | Absent
    audit: Audit | Absent
    rejected: Rejected | Absent
    provenance: Provenance
    explanations: Explanations | Absent
    history: Sequence[Plot] | Absent = Absent("Scores are of one snapshot only.")
    """Scores over snapshots."""
