"""An archive of powders: which files it has, and the labels file with the truth about them."""

import csv
import io
from collections.abc import Sequence
from dataclasses import dataclass

from texture_store.errors import UsageError
from texture_store.synthetic.distributions import DISTRIBUTIONS, SizeDistribution
from texture_store.synthetic.powder import powder, powder_radii
from texture_store.synthetic.tiff import to_tiff

LABEL_COLUMNS = ("path", "label", "family", "seed", "mean_radius_um", "std_radius_um")

DATABAR_EVERY = 4
"""One picture in four carries a databar, so that there is something to cut."""


@dataclass(frozen=True)
class PowderFile:
    """A file of the archive, not drawn yet."""

    path: str
    """Relative to the archive, such as `wide-a/0007.tif`."""
    distribution: SizeDistribution
    seed: int
    size: int
    """Side of the picture, px."""
    databar: bool

    def tiff(self) -> bytes:
        """Draws the powder; the bytes of the file."""
        return to_tiff(powder(self.distribution, seed=self.seed, size=self.size, databar=self.databar))


def powder_collection(images_per_class: int, *, seed: int = 0, size: int = 512) -> tuple[PowderFile, ...]:
    """`images_per_class` powders of each of DISTRIBUTIONS; the powders' seeds count up from `seed`.

    A larger collection begins with the files of a smaller one. Raises UsageError for fewer than one image.
    """
    if images_per_class < 1:
        raise UsageError(f"{images_per_class} images of each powder are not a collection; give 1 or more")
    return tuple(
        PowderFile(
            path=f"{distribution.name}/{number:04}.tif",
            distribution=distribution,
            seed=seed + number,
            size=size,
            databar=number % DATABAR_EVERY == DATABAR_EVERY - 1,
        )
        for number in range(images_per_class)
        for distribution in DISTRIBUTIONS
    )


def labels_csv(files: Sequence[PowderFile]) -> bytes:
    """The labels file, UTF-8 CSV with LABEL_COLUMNS: the distribution is the label, the radii are those drawn."""
    text = io.StringIO(newline="")
    table = csv.writer(text, lineterminator="\n")
    table.writerow(LABEL_COLUMNS)
    for file in files:
        radii_um = powder_radii(file.distribution, seed=file.seed, size=file.size)
        table.writerow(
            [
                file.path,
                file.distribution.name,
                file.distribution.family,
                file.seed,
                f"{radii_um.mean():.4f}",
                f"{radii_um.std():.4f}",
            ]
        )
    return text.getvalue().encode()
