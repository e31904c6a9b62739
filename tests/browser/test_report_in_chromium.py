"""A report as headless Chromium shows it: offline, whole, and with hostile text as text."""

import json
import re
import shutil
import subprocess
from html import unescape
from pathlib import Path
from typing import Any

import pytest

from tests.report.made_report import HOSTILE, bare_report, made_report
from texture_store.report.report_page import report_html

pytestmark = pytest.mark.browser

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")

PROBE = """
<script>
addEventListener("load", () => setTimeout(async () => {
  const wide = [...document.querySelectorAll("main *")].filter((one) => {
    const box = one.getBoundingClientRect();
    return box.width && box.right > innerWidth + 1 && !one.closest(".table, .plot") ;
  });
  const sortable = document.querySelector("#scores table");
  const cells = () => [...sortable.tBodies[0].rows].map((row) => Number(row.cells[4].dataset.order));
  if (sortable) sortable.querySelectorAll("th button")[4].click();
  const descending = sortable ? cells() : [];
  if (sortable) sortable.querySelectorAll("th button")[4].click();
  const picture = document.querySelector("button.enlarge");
  if (picture) picture.click();
  const dialog = document.getElementById("enlarged");
  const map = document.querySelector(".plot-points");
  let hovered = {};
  if (map) {
    const place = document.getElementById(map.dataset.plot);
    const point = place.querySelectorAll(".scatterlayer .trace")[1].querySelectorAll(".point")[2];
    point.scrollIntoView();
    const box = point.getBoundingClientRect();
    const [clientX, clientY] = [box.x + box.width / 2, box.y + box.height / 2];
    for (const kind of ["mouseover", "mousemove"]) {
      const event = new MouseEvent(kind, { clientX, clientY, bubbles: true, view: window });
      place.querySelector(".nsewdrag").dispatchEvent(event);
    }
    await new Promise((done) => setTimeout(done, 300));
    const shown = document.getElementById(place.id.replace("plot", "hovered"));
    hovered = {
      text: shown.querySelector("span").textContent,
      hidden: shown.querySelector("img").hidden,
      source: shown.querySelector("img").src.slice(0, 23),
      label: [...place.querySelectorAll(".hoverlayer text")].map((one) => one.textContent).join(" "),
    };
  }
  const found = {
    hovered,
    width: innerWidth,
    pageWidth: document.documentElement.scrollWidth,
    wide: wide.map((one) => one.outerHTML.slice(0, 200)),
    hurt: String(window.hurt),
    plots: document.querySelectorAll(".plot").length,
    drawn: document.querySelectorAll(".plot svg.main-svg").length,
    texts: [...document.querySelectorAll(".plot svg text")].map((one) => one.textContent),
    bold: document.querySelectorAll(".plot svg tspan[style*=bold]").length,
    links: document.querySelectorAll(".plot svg a").length,
    buttons: [...document.querySelectorAll(".modebar-btn")].map((one) => one.dataset.title),
    descending,
    ascending: sortable ? cells() : [],
    sorted: sortable ? sortable.querySelectorAll("th")[4].getAttribute("aria-sort") : "",
    open: dialog.open,
    enlarged: document.getElementById("enlarged-picture").alt,
    requests: performance.getEntriesByType("resource").map((one) => one.name)
      .filter((name) => !name.startsWith("data:")),
  };
  const place = document.createElement("pre");
  place.id = "probed";
  place.textContent = JSON.stringify(found);
  document.body.append(place);
}, 500));
</script>
"""


@pytest.fixture(autouse=True)
def _chromium() -> None:
    if CHROMIUM is None:
        pytest.skip("no Chromium on PATH")


def shown(page: str, folder: Path, *, width: int = 1280) -> tuple[dict[str, Any], str]:
    """What a script finds on the page once it is drawn, and what Chromium logs.

    A window is never narrower than 500 px, so that the page is put into a frame of `width`.
    """
    # The page's own policy lets no script run that it does not name, such as this one.
    page = re.sub(r'<meta http-equiv="Content-Security-Policy".*?>', "", page)
    (folder / "page.html").write_text(page.replace("</body>", PROBE + "</body>"))
    frame = f'<iframe src="page.html" width="{width}" height="4000" style="border:0"></iframe>'
    (folder / "frame.html").write_text(f"<!doctype html><body style='margin:0'>{frame}<script>{_HAND_OVER}</script>")
    dom, log = chromium(folder / "frame.html", folder)
    found = re.search(r'<pre id="handed">(.*?)</pre>', dom, re.DOTALL)
    assert found, dom[-2000:] + log
    return json.loads(unescape(found[1])), log


_HAND_OVER = """
const frame = document.querySelector("iframe");
const look = () => {
  const probed = frame.contentDocument && frame.contentDocument.getElementById("probed");
  if (!probed) { setTimeout(look, 200); return; }
  const place = document.createElement("pre");
  place.id = "handed";
  place.textContent = probed.textContent;
  document.body.append(place);
};
look();
"""


def chromium(file: Path, folder: Path) -> tuple[str, str]:
    """The drawn document, and the log with the console in it. Nothing outside of this machine can be resolved."""
    command = [str(CHROMIUM), "--headless", "--no-sandbox", "--disable-gpu", "--hide-scrollbars"]
    command += ["--host-resolver-rules=MAP * ~NOTFOUND", "--allow-file-access-from-files", "--enable-logging=stderr"]
    command += [f"--user-data-dir={folder / 'profile'}", "--virtual-time-budget=20000", "--dump-dom", file.as_uri()]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout, "\n".join(line for line in done.stderr.splitlines() if "CONSOLE" in line)


def test_plots_are_drawn_under_the_page_s_own_policy_without_a_complaint(tmp_path: Path) -> None:
    (tmp_path / "report.html").write_text(report_html(made_report()))
    dom, console = chromium(tmp_path / "report.html", tmp_path)
    assert console == ""
    plots = len(re.findall(r'<div class="plot[ "]', dom))
    assert plots == len(re.findall(r'class="plot-values"', dom)) >= 8
    assert len(re.findall(r'<svg class="main-svg"', dom)) >= 2 * plots


def test_a_script_that_is_not_the_page_s_does_not_run(tmp_path: Path) -> None:
    page = report_html(made_report()).replace("</main>", '<script>document.title="hurt"</script></main>')
    (tmp_path / "report.html").write_text(page)
    dom, console = chromium(tmp_path / "report.html", tmp_path)
    assert "<title>steel: texture report</title>" in dom
    assert "Content Security Policy" in console


def test_hostile_text_is_drawn_as_text(tmp_path: Path) -> None:
    found, console = shown(report_html(made_report(HOSTILE)), tmp_path)
    assert found["hurt"] == "undefined"
    assert console == ""
    assert (found["bold"], found["links"]) == (0, 0)
    assert any("<b>bold</b>" in text or "&lt;b&gt;" in text or "</script>" in text for text in found["texts"])
    assert found["drawn"] >= 2 * found["plots"] > 0


def test_nothing_is_fetched_and_nothing_can_be_sent(tmp_path: Path) -> None:
    found, _ = shown(report_html(made_report()), tmp_path)
    assert found["requests"] == []
    assert set(found["buttons"]) == {"Zoom", "Pan", "Zoom in", "Zoom out", "Reset axes", "Download plot as a PNG"}


def test_a_table_is_sorted_by_a_click_and_back_by_another(tmp_path: Path) -> None:
    found, _ = shown(report_html(made_report()), tmp_path)
    assert found["descending"] == sorted(found["descending"], reverse=True)
    assert found["ascending"] == sorted(found["ascending"])
    assert len(found["ascending"]) == 16
    assert found["sorted"] == "ascending"


def test_a_micrograph_is_enlarged_by_a_click(tmp_path: Path) -> None:
    found, _ = shown(report_html(made_report()), tmp_path)
    assert (found["open"], found["enlarged"]) == (True, "Micrograph name.tif.")


def test_a_point_of_a_map_shows_its_micrograph_and_its_path(tmp_path: Path) -> None:
    found, _ = shown(report_html(made_report("<b>x</b>")), tmp_path)
    # Labels go round a, b, none; the third of those with b is the seventh micrograph from 0.
    assert found["hovered"]["text"] == "<b>x</b>/7.tif"
    assert (found["hovered"]["hidden"], found["hovered"]["source"]) == (False, "data:image/jpeg;base64,")
    assert "<b>x</b>/7.tif" in found["hovered"]["label"]
    assert "<b>x</b> b" in found["hovered"]["label"]


@pytest.mark.parametrize("text", ["name", HOSTILE, "unbroken" * 40])
def test_nothing_is_wider_than_a_phone_of_320_px(tmp_path: Path, text: str) -> None:
    found, _ = shown(report_html(made_report(text)), tmp_path, width=320)
    assert found["width"] == 320
    assert found["pageWidth"] == 320
    assert found["wide"] == []


def test_a_report_of_nothing_is_still_a_page(tmp_path: Path) -> None:
    found, console = shown(report_html(bare_report()), tmp_path, width=320)
    assert (found["plots"], found["pageWidth"], console) == (0, 320, "")
