import base64
import io
import re
from html.parser import HTMLParser

import numpy as np
from PIL import Image

from tests.report.drawn import previewed
from texture_store.report.preview_page import preview_page
from texture_store.report.previewed import Previewed, overview


class _Page(HTMLParser):
    def __init__(self, page: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        self.text += data


def page_of(*images: Previewed) -> str:
    return preview_page(images, overview(images, 1234), title="Preview of steel", settings="size 256x256")


def test_the_page_shows_each_picture_twice_and_needs_nothing_from_outside() -> None:
    page = page_of(previewed("a.png", label="pearlite"), previewed("b.png", bar=40))
    read = _Page(page)
    sources = [attributes["src"] or "" for tag, attributes in read.tags if tag == "img"]
    assert len(sources) == 4
    assert all(source.startswith("data:image/jpeg;base64,") for source in sources)
    assert "script" not in {tag for tag, _ in read.tags}
    assert not re.search(r"https?://|url\(", page)
    assert "pearlite" in read.text


def test_the_pictures_inside_are_the_pictures() -> None:
    image = previewed("a.png", width=256, height=256)
    source = next(attributes["src"] or "" for tag, attributes in _Page(page_of(image)).tags if tag == "img")
    shown = np.asarray(Image.open(io.BytesIO(base64.b64decode(source.partition(",")[2]))), np.float32)
    assert image.whole is not None
    assert shown.shape == image.whole.shape
    assert np.abs(shown - image.whole).mean() < 4  # JPEG


def test_the_cut_and_the_bar_are_drawn_where_they_are() -> None:
    boxes = [attributes for _, attributes in _Page(page_of(previewed("a.png", height=450, bar=50))).tags]
    styles = {attributes["class"]: attributes["style"] for attributes in boxes if "style" in attributes}
    assert styles["box cut"] == "left:0.0%;top:90.0%;width:100.0%;height:10.0%"
    assert styles["box bar"] == styles["box cut"]


def test_text_from_files_is_data() -> None:
    path = '<script>alert(1)</script>{{ 7 * 7 }}"><img src=x onerror=alert(2)>\x1b[31m\u202e.png'
    image = previewed(path, label="<b>bold</b>")
    image.facts["notes"].append("<i>note</i>")
    broken = Previewed("c.png", "&amp;", None, None, reason="rejected: <u>x</u>\x00")
    page = page_of(image, broken)
    read = _Page(page)
    assert {"script", "b", "i", "u"}.isdisjoint(tag for tag, _ in read.tags)
    assert not any("onerror" in attributes for _, attributes in read.tags)
    for part in ("<script>alert(1)</script>{{ 7 * 7 }}", "<b>bold</b>", "<i>note</i>", "&amp;", "<u>x</u>?"):
        assert part in read.text
    assert not {"\x1b", "\u202e", "\x00"} & set(page)


def test_a_rejected_image_has_its_reason_in_the_grid_and_in_the_table() -> None:
    text = _Page(page_of(Previewed("c.png", None, None, None, reason="rejected (decode): truncated"))).text
    assert text.count("rejected (decode): truncated") == 2


def test_the_same_images_make_the_same_page() -> None:
    assert page_of(previewed("a.png")) == page_of(previewed("a.png"))
