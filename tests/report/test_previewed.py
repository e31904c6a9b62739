import numpy as np
import pytest

from tests.report.drawn import png_bytes, previewed
from texture_store.micrograph.reading import read_micrograph
from texture_store.report.previewed import (
    Previewed,
    describe_databar,
    describe_scale,
    frame,
    kept_rows,
    overview,
    warnings_of,
)
from texture_store.spec import PixelSpec


def test_facts_are_put_into_words() -> None:
    facts = previewed("a.png", height=500, bar=38).facts
    assert kept_rows(facts) == 500
    assert describe_databar(facts) == "rows, 38 rows cut (7.1 %)"
    assert describe_databar(previewed("a.png").facts) == "none"


@pytest.mark.parametrize(
    ("x", "y", "words"),
    [
        (None, None, "scale unknown"),
        (0.03876, 0.03876, "0.0388"),
        (0.04, 0.05, "0.04 x 0.05"),
        (12.5, 12.5, "12.5"),
    ],
)
def test_a_scale_is_put_into_words(x: float | None, y: float | None, words: str) -> None:
    assert describe_scale(x, y) == words


def test_the_frame_of_a_centre_crop_lies_in_the_middle_of_what_is_kept() -> None:
    left, top, right, bottom = frame(previewed("a.png", width=800, height=400, bar=40, fit="crop").facts)
    assert (left, top, right, bottom) == pytest.approx((200, 0, 600, 400))


def test_the_frame_without_a_crop_is_all_that_is_kept() -> None:
    assert frame(previewed("a.png", width=800, height=400, bar=40).facts) == pytest.approx((0, 0, 800, 400))


def test_what_is_special_about_a_picture_is_said() -> None:
    dim = np.random.default_rng(0).integers(100, 110, (200, 300), dtype=np.uint8)
    facts = read_micrograph(png_bytes(dim), PixelSpec(size="400x400"), name="a.jpg").facts
    said = " / ".join(warnings_of(facts))
    for part in ("1/8 of its grey range", "enlarged (0.75 x 0.50", "squeezed 1.50x across", "named as JPEG, is PNG"):
        assert part in said
    assert warnings_of(previewed("b.png", width=512, height=512).facts) == []


def test_the_overview_counts_every_picture_once_under_each_title() -> None:
    images = [previewed(f"{i}.png", width=300 + 10 * i, bar=20 * (i % 2)) for i in range(9)]
    found = overview(images, 1000)
    assert found.counts["databar"] == [("none", 5), ("rows", 4)]
    assert all(sum(number for _, number in counts) == 9 for counts in found.counts.values())
    assert found.counts["picture size, databar cut (px)"][-1] == ("4 others", 4)


def test_findings_name_what_a_long_run_would_suffer_from() -> None:
    images = [
        previewed("a.png", bar=30, um_per_px=0.1),
        previewed("b.png", um_per_px=2.0),
        Previewed("c.png", None, None, None, reason="rejected (decode): truncated"),
    ]
    findings = " ".join(overview(images, 300).findings)
    assert "1 of 3 cannot be used; of all 300 images that would be about 100." in findings
    assert "databar is cut from 1 of 2" in findings
    assert "Scales differ: " in findings
    assert "not in the file" not in findings


def test_a_uniform_dataset_has_no_findings() -> None:
    assert overview([previewed(f"{i}.png", width=512, height=512, um_per_px=0.1) for i in range(4)], 4).findings == []


def test_an_overview_of_nothing_readable_says_so() -> None:
    found = overview([Previewed("c.png", None, None, None, reason="x")], 1)
    assert len(found.findings) == 1
    assert not any(found.counts.values())
