import numpy as np
import pyarrow as pa
import pytest

from jobs.metadata_fields import metadata_fields
from schemas import MICROGRAPHS
from texture_store.errors import UsageError

PATHS = ["a/1.tif", "a/2.tif", "b/3.PNG"]


def images(paths=PATHS, **meta: list[str | None]) -> pa.Table:
    columns = {"path": paths} | {f"meta_{name}": pa.array(values, pa.string()) for name, values in meta.items()}
    return pa.table(columns)


def facts(**columns: list[object]) -> pa.Table:
    """All else is null, as where a file was not read."""
    arrays = [pa.array(columns.get(one.name, [None] * len(PATHS)), one.type) for one in MICROGRAPHS]
    return pa.Table.from_arrays(arrays, schema=MICROGRAPHS)


def test_a_labels_file_gives_its_columns_and_the_type_of_file():
    found = metadata_fields(images(detector=["SE", "BSE", None], magnification=["100x", "250x", "100x"]))
    assert {name: field.kind for name, field in found.fields.items()} == {
        "detector": "imaging",
        "file_type": "imaging",
        "magnification": "imaging",
    }
    assert found.fields["file_type"].column.tolist() == ["tif", "tif", "png"]
    assert found.fields["magnification"].column.tolist() == [100, 250, 100]
    assert found.um_per_px_source is None
    assert np.isnan(found.um_per_px).all()


def test_the_scale_comes_from_the_micron_bar_and_its_unit():
    bar = {"micron_bar": ["10", "500", None], "micron_bar_px": ["100"] * 3, "micron_bar_units": ["um", "nm", "um"]}
    found = metadata_fields(images(**bar))
    np.testing.assert_allclose(found.um_per_px, [0.1, 0.005, np.nan])
    assert found.um_per_px_source == "micron bar"
    assert set(found.fields) == {"um_per_px", "file_type"}  # the bar itself would say the same again
    named = metadata_fields(images(um_per_px=["0.2", "0.3", "-1"], **bar))
    np.testing.assert_allclose(named.um_per_px, [0.2, 0.3, np.nan])
    assert named.um_per_px_source == "column um_per_px"


def test_what_files_say_comes_first_and_the_picture_is_apart():
    read = facts(
        um_per_px_x=[0.4, None, None],
        px_per_px_x=[2.0, 2.0, 2.0],
        detector=["T1", "T2", None],
        grey_mean=[100.0, 120.0, 90.0],
        width=[512, 512, 512],
        databar_method=["none", "bottom", "none"],
    )
    found = metadata_fields(images(detector=["SE", "SE", "BSE"], um_per_px=["0.1", "0.1", None]), read)
    np.testing.assert_allclose(found.um_per_px, [0.4, 0.2, np.nan])
    assert found.um_per_px_source == "files and column um_per_px"
    assert found.fields["detector"].column.tolist() == ["T1", "T2", None]
    assert found.fields["databar"].column.tolist() == ["none", "bottom", "none"]
    assert found.fields["mean_grey"].kind == "picture"
    assert "image_width" in found.constants
    assert set(found.columns()) == {"databar", "detector", "file_type", "um_per_px"}
    assert set(found.columns("picture")) == {"mean_grey"}


def test_names_of_pieces_are_groups_and_names_of_images_are_nothing():
    found = metadata_fields(
        images(
            sample_id=["1", "1", "2"], micrograph_id=["7", "8", "9"], contributor=["x"] * 3, heat_time=["1", "2", "2"]
        )
    )
    assert set(found.groups) == {"sample_id"}
    assert found.identities == ("micrograph_id",)
    assert found.constants == ("contributor",)
    assert found.fields["heat_time"].kind == "other"
    assert "heat_time" not in found.columns()


def test_labels_and_groups_do_not_predict_themselves():
    found = metadata_fields(images(phase=["a", "b", "a"], piece=["1", "1", "2"]), not_used=["phase", "piece"])
    assert set(found.fields) == {"file_type"}
    assert not found.groups


def test_columns_that_are_named_predict_whatever_they_are_called():
    table = images(sample_id=["1", "1", "2"], heat_time=["1", "2", "2"])
    found = metadata_fields(table, only=["sample_id"])
    assert set(found.columns()) == {"sample_id"}
    assert not found.groups
    with pytest.raises(
        UsageError, match=r"--columns colour: no such column; there are file_type, heat_time, sample_id"
    ):
        metadata_fields(table, only=["colour"])


def test_pieces_are_read_off_paths_when_all_paths_name_one():
    paths = ["x/specimen-01_IMG_1.png", "x/specimen-1_IMG_2.png", "y/Specimen_01-IMG_3.png"]
    assert metadata_fields(images(paths)).groups["path: specimen"].tolist() == ["01", "1", "01"]
    assert not metadata_fields(images([*paths[:2], "y/IMG_3.png"])).groups
