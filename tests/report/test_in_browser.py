"""The page in a real browser, where one is installed: everything is laid out, painted and allowed."""

from __future__ import annotations

import json
from html import unescape

import pytest
from matplotlib.image import imread

from browsing import browse, needs_browser

pytestmark = [needs_browser, pytest.mark.slow]

POLICY = "default-src 'none'; style-src"
MEASURE = """<script>
const refused = [];
document.addEventListener("securitypolicyviolation", event => refused.push(event.violatedDirective));
addEventListener("load", () => {
  const box = element => { const { width, height } = element.getBoundingClientRect(); return [width, height]; };
  const figures = [...document.querySelectorAll("figure")].map(figure => {
    const shapes = [...figure.querySelectorAll("path")];
    return {
      id: figure.id,
      svg: box(figure.querySelector("svg")),
      caption: box(figure.querySelector("figcaption")),
      texts: [...figure.querySelectorAll("text")].map(box),
      drawn: shapes.filter(shape => Math.max(...box(shape)) > 0).length,
      colours: new Set(shapes.flatMap(shape => [getComputedStyle(shape).stroke, getComputedStyle(shape).fill])).size,
    };
  });
  const found = document.createElement("pre");
  found.id = "measured";
  found.textContent = JSON.stringify({
    figures,
    refused,
    fetched: performance.getEntriesByType("resource").map(entry => entry.name),
    overflow: document.documentElement.scrollWidth - innerWidth,
    tables: [...document.querySelectorAll("table")].filter(table => table.checkVisibility()).map(box),
    panel: getComputedStyle(document.querySelector(".answer")).borderLeftWidth,
  });
  document.body.append(found);
});
</script>"""


@pytest.mark.parametrize("width", [1100, 600])
def test_every_figure_is_laid_out(ran, page, tmp_path, width):
    """A copy that may run the one script that measures it; all else is as strict as in the page."""
    assert ran.page.count(POLICY) == 1
    allowed = ran.page.replace(POLICY, f"script-src 'unsafe-inline'; {POLICY}").replace(
        "<style>", f"{MEASURE}<style>", 1
    )
    (tmp_path / "copy.html").write_text(allowed, encoding="utf-8")
    dom = browse(tmp_path, "--dump-dom", f"--window-size={width},900", (tmp_path / "copy.html").as_uri()).dom
    measured = json.loads(unescape(dom.split('<pre id="measured">')[1].split("</pre>")[0]))
    assert measured["refused"] == []
    assert measured["fetched"] == []
    assert measured["overflow"] <= 0
    assert measured["panel"] == "4px"  # the style sheet is in force
    assert [figure["id"] for figure in measured["figures"]] == page.figures
    for figure in measured["figures"]:
        wide, high = figure["svg"]
        assert 0.7 * min(width, 990) < wide <= width
        assert 0.1 * wide < high < 3 * wide
        assert min(figure["caption"]) > 10
        assert len(figure["texts"]) > 5
        assert all(min(text) > 3 for text in figure["texts"])
        assert figure["drawn"] > 10
        assert figure["colours"] > 3
    assert measured["tables"]
    assert all(min(table) > 20 for table in measured["tables"])


def test_the_page_itself_is_painted(ran, tmp_path):
    """As it is, with its own policy: figures in colour on white, text in between."""
    browse(
        tmp_path,
        "--hide-scrollbars",
        "--window-size=1000,2400",
        f"--screenshot={tmp_path / 'page.png'}",
        (ran.out / "report.html").as_uri(),
    )
    picture = imread(tmp_path / "page.png")[..., :3]
    assert picture.shape == (2400, 1000, 3)
    inked = (picture.max(axis=2) < 0.6).mean()
    coloured = (picture.max(axis=2) - picture.min(axis=2) > 0.3).mean()
    assert 0.005 < inked < 0.3
    assert 0.001 < coloured < 0.3
    rows = (picture.std(axis=(1, 2)) > 0.01).mean()
    assert rows > 0.5  # of the height is not empty
