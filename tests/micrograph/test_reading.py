import csv
import hashlib
import io
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
import tifffile
from PIL import Image

from schemas import MICROGRAPHS
from texture_store.errors import (
    ImageTooLargeError,
    ImageTooSmallError,
    RejectedImageError,
    UnknownScaleError,
    UnreadableImageError,
    UnsupportedImageError,
)
from texture_store.micrograph.reading import read_micrograph
from texture_store.spec import PixelSpec

RNG = np.random.default_rng(9)
NATIVE = PixelSpec(size="native", databar="none")


def texture(height: int = 300, width: int = 400) -> np.ndarray:
    """Noise of grain size 4 px, with no row or column that looks like a bar."""
    coarse = RNG.integers(20, 230, (height // 4 + 1, width // 4 + 1))
    fine = np.kron(coarse, np.ones((4, 4)))[:height, :width] + RNG.integers(-15, 15, (height, width))
    return fine.astype(np.uint8)


def tiff(picture: np.ndarray, **options: object) -> bytes:
    file = io.BytesIO()
    tifffile.imwrite(file, picture, **{"metadata": None, "photometric": "minisblack", **options})
    return file.getvalue()


def png(picture: np.ndarray) -> bytes:
    file = io.BytesIO()
    Image.fromarray(picture).save(file, "PNG")
    return file.getvalue()


def fei(picture: np.ndarray, um: float, bar: int) -> bytes:
    text = (
        f"[Scan]\nPixelWidth={um * 1e-6}\nPixelHeight={um * 1e-6}\n[Image]\nResolutionX={picture.shape[1]}\n"
        f"ResolutionY={picture.shape[0] - bar}\n[PrivateFei]\nDatabarHeight={bar}\n\0"
    )
    return tiff(picture, extratags=[(34682, 2, len(text), text, False)])


def with_bar(picture: np.ndarray, rows: int) -> np.ndarray:
    bar = np.zeros((rows, picture.shape[1]), np.uint8)
    bar[rows // 3 : -rows // 3, 20:90:3] = 255
    return np.concatenate([picture, bar])


def test_facts_are_the_columns_of_the_table_and_fit_their_types() -> None:
    facts = read_micrograph(tiff(texture()), PixelSpec()).facts
    assert set(facts) == set(MICROGRAPHS.names) - {"image_id", "path"}
    rows = pa.Table.from_pylist([{"image_id": "0", "path": "a.tif", **facts}], schema=MICROGRAPHS)
    rows.validate(full=True)
    assert all(rows.column(field.name).null_count == 0 for field in MICROGRAPHS if not field.nullable)


def test_native_8_bit_picture_is_seen_as_it_is() -> None:
    picture = texture()
    micrograph = read_micrograph(tiff(picture), NATIVE)
    np.testing.assert_array_equal(micrograph.seen, picture)
    assert micrograph.seen.dtype == np.uint8
    facts = micrograph.facts
    assert (facts["width"], facts["height"], facts["seen_width"], facts["seen_height"]) == (400, 300, 400, 300)
    assert (facts["grey_min"], facts["grey_max"]) == (picture.min(), picture.max())
    assert facts["grey_mean"] == pytest.approx(picture.mean(dtype=np.float64))
    assert facts["grey_std"] == pytest.approx(picture.std(dtype=np.float64))
    assert (facts["px_per_px_x"], facts["px_per_px_y"], facts["enlarged"]) == (1, 1, False)


def test_digests_are_of_the_bytes_and_of_the_pixels_in_any_container() -> None:
    picture = texture()
    data = tiff(picture)
    facts = read_micrograph(data, NATIVE).facts
    assert facts["sha256_bytes"] == hashlib.sha256(data).hexdigest()
    assert facts["sha256_pixels"] == hashlib.sha256(b"300x400 |u1\n" + picture.tobytes()).hexdigest()
    for other in (png(picture), tiff(picture, compression="lzw"), tiff(picture, byteorder=">")):
        assert read_micrograph(other, NATIVE).facts["sha256_pixels"] == facts["sha256_pixels"]
    wide = picture.astype(np.uint16)
    assert (
        read_micrograph(tiff(wide, byteorder=">"), NATIVE).facts["sha256_pixels"]
        == read_micrograph(tiff(wide), NATIVE).facts["sha256_pixels"]
        != facts["sha256_pixels"]
    )


def test_resizing_happens_before_rounding_and_rounds_half_to_even() -> None:
    columns = np.tile(np.array([[0, 1, 1, 2, 2, 3, 3, 4]], np.uint8), (64, 8))
    seen = read_micrograph(tiff(columns), PixelSpec(size="32x64", databar="none")).seen
    np.testing.assert_array_equal(seen[:, :4], np.tile([[0, 2, 2, 4]], (64, 1)))  # means 0.5, 1.5, 2.5, 3.5
    sixteen = np.full((64, 64), 128 * 257 + 100, np.uint16)  # 128.39
    sixteen[:, ::2] = 128 * 257 + 200  # 128.78; rounding first would give 128.5 -> 128
    seen = read_micrograph(tiff(sixteen), PixelSpec(size="32x64", databar="none")).seen
    assert (seen == 129).all()


def test_overshoot_of_enlarging_is_clipped() -> None:
    edge = np.zeros((64, 64), np.uint8)
    edge[:, 32:] = 255
    micrograph = read_micrograph(tiff(edge), PixelSpec(size="256x256", databar="none"))
    assert micrograph.facts["enlarged"] is True
    assert set(np.unique(micrograph.seen[:, :100])) == {0}
    assert set(np.unique(micrograph.seen[:, -100:])) == {255}


def test_vendor_databar_is_cut_before_anything_else_is_measured() -> None:
    picture = texture(300, 400)
    micrograph = read_micrograph(fei(with_bar(picture, 20), 0.05, 20), PixelSpec(size="native"))
    np.testing.assert_array_equal(micrograph.seen, picture)
    facts = micrograph.facts
    assert (facts["databar_method"], facts["databar_top"], facts["databar_bottom"]) == ("vendor", 300, 320)
    assert (facts["height"], facts["seen_height"]) == (320, 300)
    assert facts["grey_min"] == picture.min() > 0


def test_databar_is_left_where_the_spec_says_none_and_cut_where_it_names_rows() -> None:
    data = fei(with_bar(texture(300, 400), 20), 0.05, 20)
    kept = read_micrograph(data, PixelSpec(size="native", databar="none"))
    assert kept.seen.shape == (320, 400)
    assert kept.facts["databar_top"] is None
    fixed = read_micrograph(data, PixelSpec(size="native", databar="30"))
    assert fixed.seen.shape == (290, 400)
    assert fixed.facts["databar_method"] == "rows"


def test_um_per_px_is_that_of_the_seen_picture() -> None:
    data = fei(with_bar(texture(300, 400), 20), 0.05, 20)
    facts = read_micrograph(data, PixelSpec(size="100x100")).facts
    assert (facts["file_um_per_px_x"], facts["file_um_per_px_y"]) == (pytest.approx(0.05), pytest.approx(0.05))
    assert (facts["um_per_px_x"], facts["um_per_px_y"]) == (pytest.approx(0.2), pytest.approx(0.15))
    facts = read_micrograph(data, PixelSpec(size="100x100", fit="crop")).facts
    assert (facts["um_per_px_x"], facts["um_per_px_y"]) == (pytest.approx(0.15), pytest.approx(0.15))
    facts = read_micrograph(data, PixelSpec(size=None, um_per_px=0.1)).facts
    assert (facts["seen_width"], facts["seen_height"]) == (200, 150)
    assert (facts["um_per_px_x"], facts["um_per_px_y"]) == (pytest.approx(0.1), pytest.approx(0.1))


def test_sidecar_gives_the_scale() -> None:
    sidecar = b"$CM_FORMAT JEOL-SEM\n$$SM_MICRON_BAR 100\n$$SM_MICRON_MARKER 10um\n"
    spec = PixelSpec(size=None, um_per_px=0.2, databar="none")
    assert read_micrograph(png(texture()), spec, sidecar=sidecar).seen.shape == (150, 200)
    with pytest.raises(UnknownScaleError):
        read_micrograph(png(texture()), spec)


def test_crop_takes_the_middle() -> None:
    picture = texture(300, 400)
    seen = read_micrograph(tiff(picture), PixelSpec(size="300x300", fit="crop", databar="none")).seen
    np.testing.assert_array_equal(seen, picture[:, 50:350])


def test_float_picture_needs_a_range() -> None:
    floats = texture().astype(np.float32) / 255
    with pytest.raises(UnsupportedImageError):
        read_micrograph(tiff(floats), NATIVE)
    seen = read_micrograph(tiff(floats), NATIVE.model_copy(update={"value_range": (0.0, 1.0)})).seen
    np.testing.assert_array_equal(seen, np.rint(floats * 255))
    broken = floats.copy()
    broken[5, 5] = np.nan
    with pytest.raises(UnsupportedImageError):
        read_micrograph(tiff(broken), PixelSpec(value_range=(0, 1)))


def test_picture_in_an_eighth_of_its_range_is_reported() -> None:
    assert read_micrograph(tiff(texture().astype(np.uint16) * 16), NATIVE).facts["low_range"] is True
    assert read_micrograph(tiff(texture().astype(np.uint16) * 256), NATIVE).facts["low_range"] is False
    twelve_bits = tiff(texture().astype(np.uint16) * 16, extratags=[(281, 3, 1, 4095, False)])
    facts = read_micrograph(twelve_bits, NATIVE).facts
    assert (facts["low_range"], facts["bit_depth"]) == (False, 12)


def test_standardized_pictures_do_not_tell_the_instruments_brightness() -> None:
    picture = texture()
    darker = (picture // 2 + 20).astype(np.uint8)
    spec = NATIVE.model_copy(update={"intensity": "standardize"})
    one, other = (read_micrograph(tiff(p), spec).seen.astype(int) for p in (picture, darker))
    assert np.abs(one - other).max() <= 2
    flat = read_micrograph(tiff(np.full((64, 64), 7, np.uint8)), spec)
    assert np.unique(flat.seen).tolist() == [128]
    assert flat.facts["low_range"] is True


def test_file_with_another_formats_name_is_read_and_said() -> None:
    picture = texture()
    micrograph = read_micrograph(png(picture), NATIVE, name="steel/a.TIF")
    np.testing.assert_array_equal(micrograph.seen, picture)
    assert micrograph.facts["file_format"] == "PNG"
    assert micrograph.facts["notes"] == ["named as TIFF, is PNG"]
    for name in ("a.png", "a", "a.dat", ""):
        assert read_micrograph(png(picture), NATIVE, name=name).facts["notes"] == []


def test_every_rejection_is_a_rejected_image_error() -> None:
    small = tiff(texture(20, 400))
    cases: list[tuple[bytes, PixelSpec, type[RejectedImageError]]] = [
        (b"", NATIVE, UnreadableImageError),
        (b"hello", NATIVE, UnreadableImageError),
        (tiff(texture())[:-500], NATIVE, UnreadableImageError),
        (small, NATIVE, ImageTooSmallError),
        (small, PixelSpec(databar="25"), ImageTooSmallError),
        (tiff(texture()), PixelSpec(size=None, um_per_px=1), UnknownScaleError),
        (tiff(texture().astype(float)), NATIVE, UnsupportedImageError),
    ]
    for data, spec, error in cases:
        with pytest.raises(error) as caught:
            read_micrograph(data, spec)
        assert str(caught.value).isprintable()
    huge = bytearray(tiff(texture()))
    width, height = (huge.index(code.to_bytes(2, "little"), 8) + 8 for code in (256, 257))
    huge[width : width + 2] = huge[height : height + 2] = b"\xff\xff"
    with pytest.raises(ImageTooLargeError):
        read_micrograph(bytes(huge), NATIVE)


def test_a_picture_of_one_pixel_is_read() -> None:
    assert (read_micrograph(tiff(np.full((1, 1), 9, np.uint8)), PixelSpec()).seen == 9).all()


def test_steel_micrographs_lose_exactly_their_38_rows(test_data: Path) -> None:
    with (test_data / "uhcs" / "labels.csv").open() as file:
        paths = [test_data / "uhcs" / row["path"] for row in csv.DictReader(file)]
    facts = [read_micrograph(path.read_bytes(), PixelSpec(), name=path.name).facts for path in paths]
    assert len(facts) == 38
    assert sum(fact["databar_top"] == 484 for fact in facts) >= 36
    assert {fact["is_colour"] for fact in facts} == {False}


@pytest.mark.parametrize(("folder", "step"), [("nffa", 9), ("neu", 25), ("schott", 25)])
def test_real_micrographs_are_read_whole(test_data: Path, folder: str, step: int) -> None:
    with (test_data / folder / "labels.csv").open() as file:
        paths = [test_data / folder / row["path"] for row in csv.DictReader(file)][::step]
    for path in paths:
        micrograph = read_micrograph(path.read_bytes(), PixelSpec(size="64x64"), name=path.name)
        assert micrograph.seen.shape == (64, 64)
        # as Pillow sees it, averaged
        with Image.open(path) as image:
            whole = np.asarray(image.convert("L"), np.float64)
        kept = whole[: micrograph.facts["databar_top"]]
        assert micrograph.facts["grey_mean"] == pytest.approx(kept.mean(), abs=0.5)


def test_floats_of_any_size_are_clipped_to_the_range_in_silence(recwarn: pytest.WarningsRecorder) -> None:
    floats = texture().astype(np.float64) / 255
    floats[0, :3] = 1e308, -1e308, np.inf
    seen = read_micrograph(tiff(floats), PixelSpec(size="native", value_range=(0, 1))).seen
    assert seen[0, :3].tolist() == [255, 0, 255]
    assert not recwarn.list
