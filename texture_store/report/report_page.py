"""A report as one HTML file that needs nothing else: text escaped, pictures and scripts inside, no network."""

import base64
import hashlib
import json
import re
from dataclasses import fields
from importlib.resources import files
from typing import Any

import jinja2
import plotly.offline
from markupsafe import Markup, escape

from texture_store.report.plain_text import plain
from texture_store.report.report_content import Absent, Explanations, Picture, Plot, Report
from texture_store.report.three_digits import three_digits
from texture_store.report.thumbnail import data_uri, thumbnail

PICTURE_PX = 400
"""Longer side of a grey picture. At quality 80 an SEM micrograph then takes 75 kB of the page."""
_POINT_PX = 72
"""Of a thumbnail of a map's point: 2.6 kB each, so that 2,000 of them leave room for all else in 25 MB."""


def report_html(report: Report) -> str:
    """The page. All text is escaped; scripts are named by their hashes, so that no other one runs."""
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("texture_store.report"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        finalize=_finalize,
    )
    environment.tests["absent"] = lambda part: isinstance(part, Absent)
    environment.filters["uri"] = _uri
    environment.filters["point_uri"] = lambda pixels: data_uri(thumbnail(pixels, _POINT_PX, _POINT_PX), quality=75)
    environment.filters["script_json"] = _script_json
    environment.filters["breakable"] = _breakable
    environment.filters["activation"] = three_digits
    plots = _has_plots(report)
    scripts = [plotly.offline.get_plotlyjs()] if plots else []
    scripts.append(_text("report_page.js"))
    policy = (
        "default-src 'none'; img-src data: blob:; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'; "
        "script-src " + " ".join(f"'sha256-{_digest(script)}'" for script in scripts)
    )
    return environment.get_template("report_page.html").render(
        report=report,
        policy=policy,
        # Ours and Plotly's own text, which holds no closing tag of a script.
        style=Markup(_text("report_page.css")),  # noqa: S704
        scripts=[Markup(script) for script in scripts],  # noqa: S704
        explained=_explained(report.explanations),
        numbers=_Numbers(),
    )


class _Numbers:
    """Counts the plots and pictures of a page, whose ids they are."""

    def __init__(self) -> None:
        self._last = 0

    def __call__(self) -> int:
        self._last += 1
        return self._last


def _finalize(value: Any) -> Any:
    """No invisible text on the page, wherever it comes from."""
    return plain(value) if isinstance(value, str) and not isinstance(value, Markup) else value


def _breakable(text: str) -> Markup:
    """A path that may go on in the next line after a separator, rather than in the middle of a word."""
    parts = [escape(plain(part)) for part in re.split(r"(?<=[/\\_.])(?=[^/\\_.])", text)]
    return Markup("<wbr>").join(parts)


def _uri(picture: Picture) -> str:
    assert picture.pixels is not None
    pixels = picture.pixels
    return data_uri(thumbnail(pixels, PICTURE_PX, PICTURE_PX) if pixels.ndim == 2 else pixels, quality=80)


def _script_json(value: Any) -> Markup:
    """JSON that ends no script element and opens no comment, whatever text is in it."""
    text = json.dumps(value, allow_nan=False, separators=(",", ":"))
    for character in "<>&":
        text = text.replace(character, f"\\u{ord(character):04x}")
    return Markup(text)  # noqa: S704


def _digest(script: str) -> str:
    return base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()


def _text(name: str) -> str:
    return files(__package__).joinpath("templates", name).read_text("utf-8")


def _explained(explanations: Explanations | Absent) -> bool:
    """Whether there is anything to see of them."""
    if isinstance(explanations, Absent):
        return False
    return any(getattr(explanations, one.name) is not None for one in fields(explanations))


def _has_plots(part: Any) -> bool:
    """Whether a plot is somewhere in what is shown: without one the page is 4.8 MB smaller."""
    if isinstance(part, Plot):
        return True
    if isinstance(part, list | tuple):
        return any(_has_plots(one) for one in part)
    if hasattr(part, "__dataclass_fields__"):
        return any(_has_plots(getattr(part, one.name)) for one in fields(part))
    return False
