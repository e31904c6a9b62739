import csv
import io
from collections import Counter

import numpy as np
import pytest

from texture_store.errors import UsageError
from texture_store.synthetic import DISTRIBUTIONS, labels_csv, powder, powder_collection, powder_radii, to_tiff


def test_every_distribution_has_its_share_of_files() -> None:
    files = powder_collection(5, seed=100)
    assert Counter(file.distribution.name for file in files) == {each.name: 5 for each in DISTRIBUTIONS}
    assert len({file.path for file in files}) == 40
    assert {file.seed for file in files} == set(range(100, 105))


def test_a_quarter_of_the_files_carries_a_databar_whatever_the_powder() -> None:
    with_bar = Counter(file.distribution.name for file in powder_collection(8) if file.databar)
    assert with_bar == {each.name: 2 for each in DISTRIBUTIONS}


def test_a_larger_collection_begins_with_a_smaller_one() -> None:
    assert powder_collection(7)[:24] == powder_collection(3)


def test_a_file_holds_the_powder_that_it_names() -> None:
    file = powder_collection(4, seed=9, size=64)[-1]
    assert file.path == "rosin-rammler-b/0003.tif"
    assert file.tiff() == to_tiff(powder(DISTRIBUTIONS[-1], seed=12, size=64, databar=True))


def test_labels_give_the_truth_about_each_file() -> None:
    files = powder_collection(2, size=96)
    rows = list(csv.DictReader(io.StringIO(labels_csv(files).decode())))
    assert [row["path"] for row in rows] == [file.path for file in files]
    for file, row in zip(files, rows, strict=True):
        radii_um = powder(file.distribution, seed=file.seed, size=96).bed.radii_um
        assert row["label"] == file.distribution.name
        assert row["label"].startswith(row["family"])
        assert float(row["mean_radius_um"]) == pytest.approx(radii_um.mean(), abs=1e-4)
        assert float(row["std_radius_um"]) == pytest.approx(radii_um.std(), abs=1e-4)


def test_radii_are_those_of_the_powder() -> None:
    drawn = powder(DISTRIBUTIONS[4], seed=3, size=64).bed.radii_um
    np.testing.assert_array_equal(powder_radii(DISTRIBUTIONS[4], seed=3, size=64), drawn)


def test_an_empty_collection_is_refused() -> None:
    with pytest.raises(UsageError, match="0 images"):
        powder_collection(0)
