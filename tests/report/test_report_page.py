import base64
import dataclasses
import hashlib
import io
import itertools
import re

import numpy as np
import pytest
from PIL import Image

from tests.report.made_report import HOSTILE, bare_report, made_report, picture
from tests.report.read_page import Page
from texture_store.report.report_content import Absent, ClassSamples, Explanations, Gallery, Samples
from texture_store.report.report_page import report_html

SECTIONS = [
    "Summary",
    "Samples of each class",
    "Feature sets",
    "Layers and encoders",
    "All scores",
    "Scores over snapshots",
    "Claims of the paper",
    "What is taken for what",
    "Misclassified micrographs",
    "Textures and neighbours",
    "Audit",
    "Rejected images",
    "Provenance",
]


@pytest.fixture(scope="module")
def page() -> str:
    return report_html(made_report())


@pytest.fixture(scope="module")
def read(page: str) -> Page:
    return Page(page)


def own_part(page: str) -> str:
    """Without Plotly's program."""
    return re.sub(r"<script>.*?</script>", "", page, flags=re.DOTALL)


def test_every_section_has_its_place_and_heading(page: str, read: Page) -> None:
    assert re.findall(r"<h2>(.*?)</h2>", page) == SECTIONS
    links = [attributes["href"] for attributes in read.all("a")]
    ids = {attributes.get("id") for _, attributes in read.tags}
    assert len(links) == len(SECTIONS)
    assert {str(link).removeprefix("#") for link in links} <= ids


def test_headings_go_down_one_level_at_a_time(read: Page) -> None:
    levels = [int(tag[1]) for tag, _ in read.tags if re.fullmatch(r"h[1-6]", tag)]
    assert levels[0] == 1
    assert levels.count(1) == 1
    assert all(after <= before + 1 for before, after in itertools.pairwise(levels))


def test_ids_are_there_once(read: Page) -> None:
    ids = [attributes["id"] for _, attributes in read.tags if "id" in attributes]
    assert len(ids) == len(set(ids))


def test_the_page_needs_nothing_from_outside(page: str, read: Page) -> None:
    own = own_part(page)
    assert not re.search(r"https?://|url\(|@import", own)
    assert not read.all("link")
    assert all("src" not in attributes for attributes in read.all("script"))
    sources = [attributes["src"] for attributes in read.all("img") if "src" in attributes]
    assert len(sources) > 10
    assert all(str(source).startswith("data:image/jpeg;base64,") for source in sources)


def test_only_the_scripts_of_the_page_may_run(page: str, read: Page) -> None:
    [policy] = [str(one["content"]) for one in read.all("meta") if "http-equiv" in one]
    assert policy.startswith("default-src 'none'; img-src data: blob:;")
    assert "'unsafe-inline'" not in policy.split("script-src")[1]
    programs = [text for attributes, text in read.scripts if "type" not in attributes]
    digests = [base64.b64encode(hashlib.sha256(text.encode()).digest()).decode() for text in programs]
    assert [f"'sha256-{digest}'" for digest in digests] == policy.split("script-src ")[1].split()
    assert not any(name.startswith("on") for _, attributes in read.tags for name in attributes)


def test_text_from_files_is_data_everywhere() -> None:
    hostile, plain = report_html(made_report(HOSTILE)), report_html(made_report())
    read = Page(hostile)
    elements = [[tag for tag, _ in one.tags if tag != "wbr"] for one in (read, Page(plain))]
    assert elements[0] == elements[1]  # not one more
    assert not any("onerror" in attributes for _, attributes in read.tags)
    shown = HOSTILE.replace("\x00", "?").replace("\u202e", "?")
    assert read.text.count(shown) > 40
    assert not {"\x00", "\u202e"} & set(hostile)
    assert len(read.values) == len(Page(plain).values)


def test_data_in_scripts_cannot_end_them() -> None:
    for attributes, text in Page(report_html(made_report(HOSTILE))).scripts:
        if attributes.get("type") == "application/json":
            assert not set("<>&") & set(text)


def test_every_picture_has_a_text_alternative(read: Page) -> None:
    shown = [attributes for attributes in read.all("img") if "src" in attributes]
    assert all(attributes["alt"] for attributes in shown)
    plots = [attributes for attributes in read.all("div") if attributes.get("class") == "plot"]
    assert len(plots) == len([one for one in read.all("script") if one.get("class") == "plot-values"]) >= 8
    assert all(attributes["role"] == "img" and attributes["aria-label"] for attributes in plots)


def test_the_pictures_inside_are_the_pictures() -> None:
    one = picture("a.tif")
    report = dataclasses.replace(bare_report(), samples=Samples([ClassSamples("a", 1, [one])]))
    [source] = [str(attributes["src"]) for attributes in Page(report_html(report)).all("img") if "src" in attributes]
    shown = np.asarray(Image.open(io.BytesIO(base64.b64decode(source.partition(",")[2]))), np.float32)
    assert one.pixels is not None
    assert shown.shape == one.pixels.shape
    assert np.abs(shown - one.pixels).mean() < 4  # JPEG


def test_a_large_grey_picture_is_shrunk_and_one_in_colour_is_kept() -> None:
    grey = dataclasses.replace(picture("a"), pixels=np.zeros((900, 1200), np.uint8))
    colour = dataclasses.replace(picture("b"), pixels=np.zeros((50, 70, 3), np.uint8))
    report = dataclasses.replace(bare_report(), samples=Samples([ClassSamples(None, 2, [grey, colour])]))
    sources = [str(attributes["src"]) for attributes in Page(report_html(report)).all("img") if "src" in attributes]
    opened = [Image.open(io.BytesIO(base64.b64decode(source.partition(",")[2]))) for source in sources]
    assert [one.size for one in opened] == [(400, 300), (70, 50)]
    assert opened[1].mode == "RGB"


def test_what_is_missing_is_left_out_with_its_reason() -> None:
    page = report_html(bare_report())
    assert re.findall(r"<h2>(.*?)</h2>", page) == SECTIONS
    assert page.count("There are no scores yet: run evaluate.") == 10
    assert len(page) < 40_000  # without plots Plotly stays at home
    assert "All micrographs" not in page


def test_parts_of_the_explanations_are_left_out_without_a_word() -> None:
    some = Explanations(
        heat_maps=Gallery("Of one filter.", [picture("a")]), atypical=Absent("No label, so none is odd.")
    )
    page = report_html(dataclasses.replace(bare_report(), explanations=some))
    assert re.findall(r"<h3>(.*?)</h3>", page) == ["Heat maps", "Most atypical micrographs"]
    assert "No label, so none is odd." in page
    assert "Nothing was explained yet." in report_html(dataclasses.replace(bare_report(), explanations=Explanations()))


def test_tables_say_what_they_are_sorted_by(page: str, read: Page) -> None:
    assert re.search(r'<td class="number" data-order="1\.0">100 %</td>', page)
    buttons = [one for one in read.all("button") if one.get("class") == "sort"]
    assert len(buttons) > 30
    assert all(one["type"] == "button" for one in buttons)


def test_the_same_report_makes_the_same_page(page: str) -> None:
    assert page == report_html(made_report())
