"""Micrographs with a known ground truth: powders of spheres whose size distribution is stated."""

from texture_store.synthetic.collection import PowderFile, labels_csv, powder_collection
from texture_store.synthetic.distributions import DISTRIBUTIONS, Component, SizeDistribution
from texture_store.synthetic.powder import UM_PER_PX, PowderMicrograph, powder, powder_radii
from texture_store.synthetic.tiff import to_tiff

__all__ = [
    "DISTRIBUTIONS",
    "UM_PER_PX",
    "Component",
    "PowderFile",
    "PowderMicrograph",
    "SizeDistribution",
    "labels_csv",
    "powder",
    "powder_collection",
    "powder_radii",
    "to_tiff",
]
