"""The site is built without a warning, holds every page, and asks nothing of the network."""

from __future__ import annotations

import importlib.util
import json
import re
import shutil
import subprocess
from collections.abc import Iterator
from functools import partial
from html import unescape
from html.parser import HTMLParser
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from queue import Queue
from threading import Thread
from types import ModuleType
from typing import Any
from urllib.parse import urlsplit

import pytest
import yaml
from doc_pages import PAGES, ROOT, blocks

NAMES = ("chromium", "chromium-browser", "google-chrome")
BROWSER = next((found for name in NAMES if (found := shutil.which(name))), "")

PLACES = {"label.md", "select.md", "python.md", "integrations.md", "notebooks/index.md"}
"""Places in the navigation for pages that may not be written yet."""

FETCHED = {"script": "src", "img": "src", "source": "srcset", "iframe": "src", "audio": "src", "video": "src"}
LINKS_THAT_FETCH = {
    "stylesheet",
    "icon",
    "preload",
    "prefetch",
    "preconnect",
    "dns-prefetch",
    "modulepreload",
    "manifest",
}


def load() -> ModuleType:
    """website/build.py as a module of its own."""
    spec = importlib.util.spec_from_file_location("website_build", ROOT / "website" / "build.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def website() -> ModuleType:
    return load()


@pytest.fixture(scope="module")
def site(website: ModuleType, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("website") / "site"
    website.build(out)
    return out


def named() -> list[str]:
    """The pages that the navigation names."""
    nav = yaml.safe_load((ROOT / "website" / "site.yml").read_text(encoding="utf-8"))["nav"]
    return [page for section in nav for entries in section.values() for entry in entries for page in entry.values()]


def test_every_page_is_in_the_navigation_once(website: ModuleType) -> None:
    missing = sorted(set(website.pages()) - set(named()))
    assert not missing, f"not in the nav of website/site.yml: {', '.join(missing)}"
    assert len(named()) == len(set(named()))


def test_the_navigation_names_nothing_that_is_not_there(website: ModuleType) -> None:
    assert set(named()) - set(website.pages()) <= PLACES


def test_every_page_is_built(site: Path, website: ModuleType) -> None:
    for name in website.pages():
        html = (site / name).with_suffix(".html").read_text(encoding="utf-8")
        assert "<h1" in html
        assert 'id="__search"' in html, "no search box"


class Fetches(HTMLParser):
    """What a page makes a browser fetch; its links; what it draws itself."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.fetched: list[str] = []
        self.links: list[str] = []
        self.ids: set[str] = set()
        self.drawings: list[str] = []
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        of = {name: value or "" for name, value in attrs}
        if tag in FETCHED and of.get(FETCHED[tag]):
            self.fetched.append(of[FETCHED[tag]])
        if tag == "link" and set(of.get("rel", "").split()) & LINKS_THAT_FETCH:
            self.fetched.append(of["href"])
        if tag == "a" and "href" in of:
            self.links.append(of["href"])
        if "id" in of:
            self.ids.add(of["id"])
        if tag == "div" and of.get("class") == "picture":
            self.drawings.append(of.get("aria-label", ""))


def test_nothing_is_fetched_from_elsewhere(site: Path) -> None:
    files = [*site.rglob("*.html")]
    assert len(files) > 15
    fetched = {(file.name, one) for file in files for one in Fetches(file.read_text(encoding="utf-8")).fetched}
    assert len(fetched) > 15
    assert [one for one in fetched if urlsplit(one[1]).scheme or one[1].startswith("//")] == []
    for file in site.rglob("*.css"):
        urls = re.findall(r"""(?:url\(|@import)\s*["']?([^"')]+)""", file.read_text(encoding="utf-8"))
        assert [url for url in urls if not url.startswith(("data:", "#")) and urlsplit(url).scheme] == []


def test_what_the_script_would_fetch_from_elsewhere_is_used_on_no_page(site: Path) -> None:
    """The theme's script can load libraries for diagrams and galleries, and a repository's stars: no page asks for them."""
    for file in site.rglob("*.html"):
        html = file.read_text(encoding="utf-8")
        assert not re.search(r'class="[^"]*\b(mermaid|glightbox|pyodide|md-source)\b', html), file.name


def test_links_between_pages_lead_to_pages_and_places_on_them(site: Path) -> None:
    """What zensical checks in the sources, once more in what is read."""
    found = {
        file: Fetches(file.read_text(encoding="utf-8")) for file in site.rglob("*.html") if file.name != "404.html"
    }
    checked = 0
    for file, page in found.items():
        for link in page.links:
            path, _, anchor = link.partition("#")
            if urlsplit(link).scheme or link in ("", "."):
                continue
            there = (file.parent / path).resolve() if path else file
            assert there.is_file(), f"{file.name}: {link}"
            assert not anchor or anchor in found[there].ids, f"{file.name}: {link}"
            checked += bool(anchor)
    assert checked > 100


def test_the_first_page_has_the_picture_in_it(site: Path) -> None:
    page = Fetches((site / "index.html").read_text(encoding="utf-8"))
    assert len(page.drawings) == 1
    assert "PGR" in page.drawings[0]


def test_code_is_shown_as_it_is_written(site: Path) -> None:
    """Every fenced block, markup and all, is on its page."""
    for page in PAGES:
        if page.name == "README.md":
            continue
        name = page.relative_to(ROOT / "docs") if page.is_relative_to(ROOT / "docs") else Path(page.name.lower())
        html = (site / name).with_suffix(".html").read_text(encoding="utf-8")
        shown = [
            unescape(re.sub(r"<[^>]+>", "", code)) for code in re.findall(r"<code[^>]*>(.*?)</code>", html, re.DOTALL)
        ]
        for block in blocks(page, "python", "sh", "bash", "yaml", "toml", "text", "markdown"):
            assert any(code.strip("\n") == block.text.strip("\n") for code in shown), block.where


def test_search_knows_the_pages(site: Path) -> None:
    index = json.loads((site / "search.json").read_text(encoding="utf-8"))
    texts = json.dumps(index)
    assert "statistics.html" in texts
    assert "Fieller" in texts
    assert (site / "search.js").exists(), "the site would not search without a server"


BROKEN = {
    "a page": ("[gone](gone.md)", "gone.md"),
    "a place on a page": ("[gone](glossary.md#gone)", "gone"),
    "a file of the repository": ("[code](../src/outshine/api.py)", "src/outshine/api.py is not on the site"),
}


@pytest.mark.slow
@pytest.mark.parametrize("broken", BROKEN)
def test_a_dead_link_fails_the_build(website: ModuleType, broken: str, tmp_path: Path, monkeypatch) -> None:
    link, said = BROKEN[broken]
    shutil.copytree(ROOT / "docs", tmp_path / "docs")
    for name in website.BESIDE:
        shutil.copy(ROOT / name, tmp_path)
    with (tmp_path / "docs" / "concepts.md").open("a", encoding="utf-8") as page:
        page.write(f"\n{link}\n")
    monkeypatch.setattr(website, "ROOT", tmp_path)
    with pytest.raises(website.SiteError, match=re.escape(said)):
        website.build(tmp_path / "site")


def test_a_folder_with_other_things_is_left_alone(website: ModuleType, tmp_path: Path) -> None:
    (tmp_path / "thesis.tex").write_text("years of work")
    with pytest.raises(website.SiteError, match="holds something else"):
        website.build(tmp_path)
    assert (tmp_path / "thesis.tex").exists()


PROBE = """<script>
const pause = ms => new Promise(done => setTimeout(done, ms));
const until = async look => { for (let i = 0; i < 200 && !look(); i++) await pause(100); return look(); };
addEventListener("load", async () => {
  await pause(500);
  document.querySelector(".md-search__button").click();
  const host = await until(() => [...document.querySelectorAll("*")].find(element => element.shadowRoot));
  const dialog = host.shadowRoot;
  const input = await until(() => dialog.querySelector("input"));
  await until(() => !dialog.querySelector("[role=status]").textContent.includes("Loading"));
  input.value = "Fieller";
  input.dispatchEvent(new InputEvent("input", { bubbles: true }));
  await until(() => dialog.querySelector("ol a"));
  await pause(500);
  navigator.sendBeacon("REPORT", JSON.stringify({
    results: [...dialog.querySelectorAll("ol a")].map(link => link.href.replace(/.*[/]/, "").replace(/[?].*/, "")),
    fetched: performance.getEntriesByType("resource").map(entry => entry.name),
    overflow: document.documentElement.scrollWidth - innerWidth,
    picture: document.querySelector(".picture svg").getBoundingClientRect().width,
    ink: getComputedStyle(document.querySelector(".picture text")).fill,
  }));
});
</script>"""


class Served(ThreadingHTTPServer):
    """Gives out the site on loopback, and takes what a page reports."""

    daemon_threads = True

    def __init__(self, site: Path) -> None:
        super().__init__(("127.0.0.1", 0), partial(_Handler, directory=str(site)))
        self.reports: Queue[dict[str, Any]] = Queue()
        self.address = f"http://127.0.0.1:{self.server_port}"


class _Handler(SimpleHTTPRequestHandler):
    server: Served

    def do_POST(self) -> None:
        self.server.reports.put(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
        self.send_response(204)
        self.end_headers()

    def log_message(self, format: str, *args: object) -> None:
        pass


@pytest.fixture
def served(site: Path) -> Iterator[Served]:
    with Served(site) as server:
        Thread(target=server.serve_forever, daemon=True).start()
        yield server
        server.shutdown()


def looked_at(page: Path, folder: str, served: Served, width: int, profile: Path) -> dict[str, Any]:
    """What the script above reports of a copy of the page, opened at the address of its folder."""
    copy = page.with_name(f"measured-{width}.html")
    probe = PROBE.replace("REPORT", f"{served.address}/report")
    copy.write_text(page.read_text(encoding="utf-8").replace("</head>", f"{probe}</head>"), encoding="utf-8")
    command = [BROWSER, "--headless", "--no-sandbox", "--disable-gpu", f"--user-data-dir={profile}"]
    command += ["--remote-debugging-port=0", f"--window-size={width},900", f"{folder}/{copy.name}"]  # stays open
    browser = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        return served.reports.get(timeout=90)
    finally:
        browser.terminate()
        browser.wait()
        copy.unlink()


@pytest.mark.slow
@pytest.mark.skipif(not BROWSER, reason=f"none of {', '.join(NAMES)}: the site is not looked at")
@pytest.mark.parametrize("width", [1440, 500])  # headless Chromium has no narrower windows
@pytest.mark.parametrize("opened", ["from a server", "as a file"])
def test_in_a_browser_it_searches_and_fetches_nothing_from_elsewhere(
    site: Path, served: Served, tmp_path: Path, width: int, opened: str
) -> None:
    folder = served.address if opened == "from a server" else site.as_uri()
    measured = looked_at(site / "index.html", folder, served, width, tmp_path)
    assert "statistics.html" in measured["results"]
    assert [name for name in measured["fetched"] if not name.startswith((folder, "data:", "blob:"))] == []
    assert measured["fetched"] or opened == "as a file"  # of files browsers do not tell
    assert measured["overflow"] <= 0
    assert 300 < measured["picture"] <= width
    assert measured["ink"] == "rgb(28, 37, 48)"  # the picture takes the page's colours
