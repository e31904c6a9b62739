"""Every table that is written, declared once as a pyarrow schema.

This package imports nothing of ours. A column is spelt here and nowhere else; a change of a table raises the
`version` in its metadata.
"""

from schemas.commits import CHECKPOINT
from schemas.dictionaries import dictionary_schema
from schemas.evaluations import EVALUATIONS
from schemas.features import VECTOR, features_schema
from schemas.fold_vectors import fold_vectors_schema
from schemas.micrographs import MICROGRAPHS
from schemas.rejected import REJECTED
from schemas.samples import DESCRIPTORS, SAMPLES
from schemas.snapshots import META_PREFIX, SNAPSHOT, snapshot_schema

__all__ = [
    "CHECKPOINT",
    "DESCRIPTORS",
    "EVALUATIONS",
    "META_PREFIX",
    "MICROGRAPHS",
    "REJECTED",
    "SAMPLES",
    "SNAPSHOT",
    "VECTOR",
    "dictionary_schema",
    "features_schema",
    "fold_vectors_schema",
    "snapshot_schema",
]
