"""Every table that is written, declared once as a pyarrow schema.

This package imports nothing of ours. A column is spelt here and nowhere else; a change of a table raises the
`version` in its metadata.
"""

from schemas.characteristics import CHARACTERISTICS
from schemas.commits import CHECKPOINT
from schemas.dictionaries import dictionary_schema
from schemas.evaluations import EVALUATIONS
from schemas.exemplars import EXEMPLARS
from schemas.features import VECTOR, features_schema
from schemas.fold_vectors import fold_vectors_schema
from schemas.heat_maps import HEAT_MAPS
from schemas.importances import IMPORTANCES
from schemas.map_points import MAP_POINTS
from schemas.micrographs import MICROGRAPHS
from schemas.neighbours import NEIGHBOURS
from schemas.rejected import REJECTED
from schemas.samples import DESCRIPTORS, SAMPLES
from schemas.snapshots import META_PREFIX, SNAPSHOT, snapshot_schema
from schemas.textures import TEXTURES
from schemas.typical import TYPICAL

__all__ = [
    "CHARACTERISTICS",
    "CHECKPOINT",
    "DESCRIPTORS",
    "EVALUATIONS",
    "EXEMPLARS",
    "HEAT_MAPS",
    "IMPORTANCES",
    "MAP_POINTS",
    "META_PREFIX",
    "MICROGRAPHS",
    "NEIGHBOURS",
    "REJECTED",
    "SAMPLES",
    "SNAPSHOT",
    "TEXTURES",
    "TYPICAL",
    "VECTOR",
    "dictionary_schema",
    "features_schema",
    "fold_vectors_schema",
    "snapshot_schema",
]
