import io

import numpy as np
from PIL import Image

from tests.report.drawn import previewed
from texture_store.report.contact_sheet import contact_sheet
from texture_store.report.previewed import Previewed, overview
from texture_store.report.thumbnail import thumbnail


def sheet(*images: Previewed) -> np.ndarray:
    data = contact_sheet(images, overview(images, 99), title="Preview of steel", settings="size 256x256")
    with Image.open(io.BytesIO(data)) as opened:
        assert opened.format == "PNG"
        return np.asarray(opened.convert("RGB")).astype(np.int16)


def redness(drawn: np.ndarray) -> np.ndarray:
    return (drawn[..., 0] - drawn[..., 1] > 60) & (drawn[..., 0] - drawn[..., 2] > 40)


def test_a_cut_databar_is_marked_red_at_the_foot_of_the_whole_picture_only() -> None:
    drawn = sheet(previewed("a.png", width=500, height=450, bar=50))
    rows = np.flatnonzero(redness(drawn).sum(axis=1) > 100)
    # 190 px of sheet show 500 rows of file: 50 of them are 19.
    assert 19 <= rows[-1] - rows[0] + 1 <= 23
    assert redness(drawn)[rows[0] : rows[-1]].any(axis=0).sum() <= 195
    assert not (redness(sheet(previewed("a.png", width=500, height=500))).sum(axis=1) > 100).any()


def test_more_images_make_a_longer_sheet_of_the_same_width() -> None:
    images = [previewed(f"{i}.png", size="64x64", width=200, height=150) for i in range(12)]
    few, many = sheet(*images[:5]), sheet(*images)
    assert few.shape[1] == many.shape[1]
    assert many.shape[0] - few.shape[0] == 2 * 256


def test_paths_of_any_script_and_dollars_are_drawn_as_text() -> None:
    hostile = "$\\frac{1}{0$ \x1b[2J\n 日本 \u202e" + "long/" * 80 + "a.png"
    shown = sheet(previewed(hostile, label="$x^{"), Previewed(hostile, None, None, None, reason="$\\broken{ " * 60))
    assert shown.size


def test_the_same_images_make_the_same_bytes() -> None:
    images = [previewed("a.png"), Previewed("b.png", None, None, None, reason="truncated")]
    made = [contact_sheet(images, overview(images, 2), title="t", settings="s") for _ in range(2)]
    assert made[0] == made[1]


def test_a_thumbnail_keeps_the_shape_and_never_enlarges() -> None:
    picture = np.add.outer(np.arange(100), np.arange(300)).clip(0, 255).astype(np.uint8)
    assert thumbnail(picture, 150, 150).shape == (50, 150)
    assert thumbnail(picture, 600, 600) is picture
    assert abs(float(thumbnail(picture, 30, 30).mean()) - float(picture.mean())) < 1
