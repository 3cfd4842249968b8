"""The documentation as a site that needs no network: `make docs`, or `python website/build.py [--out FOLDER]`.

The pages are those of `docs`, as a code host shows them. Zensical reads one folder, so they are laid out in one first,
with the pages of the root beside them. Links that lead out of `docs` are bent to those pages, and pictures are put
into the page itself, so that they take its colours. A warning of zensical (a dead link, say) fails the build.
"""

from __future__ import annotations

import argparse
import html
import posixpath
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).resolve().parents[1]
WEBSITE = Path(__file__).resolve().parent
OUT = ROOT / "build" / "site"
BESIDE = {f"{name}.md": f"{name.lower()}.md" for name in ("CONTRIBUTING", "CODE_OF_CONDUCT", "SECURITY", "CHANGELOG")}
"""Pages outside `docs`, by the name that they have on the site."""

HOME = {"README.md": "index.md"}
"""What stands for a page that the site has not: the README says for a code host what the first page says here."""

SHIM = "https://unpkg.com/iframe-worker/shim"
"""What the theme would fetch for search without a server; website/iframe-worker.js is the same."""

LINK = re.compile(r"(!?)\[([^\]]*)\]\(([^)\s]+)\)")
FENCED = re.compile(r"(^```.*?^```$)", flags=re.DOTALL | re.MULTILINE)


class SiteError(Exception):
    """Something on a page that the site cannot show."""


def pages() -> dict[str, Path]:
    """The pages by their path on the site."""
    docs = ROOT / "docs"
    found = {path.relative_to(docs).as_posix(): path for path in sorted(docs.rglob("*.md"))}
    return found | {name: ROOT / path for path, name in BESIDE.items()}


def site_path(path: str) -> str:
    """Where a file of the repository lies on the site. Raises SiteError where it is not on it."""
    if path in BESIDE or path in HOME:
        return (BESIDE | HOME)[path]
    if path.startswith("docs/"):
        return path.removeprefix("docs/")
    raise SiteError(f"{path} is not on the site; link to a page")


def mended(text: str, source: str) -> str:
    """A page's text with its links as the site needs them. `source`: its path in the repository."""

    def link(found: re.Match[str]) -> str:
        picture, words, target = found.groups()
        path, hashed, anchor = target.partition("#")
        if re.match(r"[a-z]+:", target) or not path:
            return found[0]
        there = posixpath.normpath(posixpath.join(posixpath.dirname(source), path))
        if picture and there.endswith(".svg"):
            return drawn(ROOT / there, words)
        here = posixpath.dirname(site_path(source))
        bent = posixpath.relpath(site_path(there), here or ".")
        return f"{picture}[{words}]({bent}{'' if there in HOME else hashed + anchor})"

    parts = FENCED.split(text)
    return "".join(part if number % 2 else LINK.sub(link, part) for number, part in enumerate(parts))


def drawn(path: Path, words: str) -> str:
    """A picture as a part of the page, without its own colours: those of style.css hold."""
    svg = re.sub(r"<style>.*?</style>\s*", "", path.read_text(encoding="utf-8"), flags=re.DOTALL)
    svg = re.sub(r"^<\?xml.*?\?>\s*|<!--.*?-->\s*", "", svg, flags=re.DOTALL)
    lines = "\n".join(line for line in svg.splitlines() if line.strip())  # a blank line would end the block
    return f'<div class="picture" role="img" aria-label="{html.escape(words)}">\n{lines}\n</div>'


def settings() -> dict[str, Any]:
    """site.yml with the folders filled in, and without the pages that are not there."""
    config = yaml.safe_load((WEBSITE / "site.yml").read_text(encoding="utf-8"))
    there = pages()
    nav = []
    for section in config["nav"]:
        ((title, entries),) = section.items()
        kept = [entry for entry in entries if next(iter(entry.values())) in there]
        nav += [{title: kept}] if kept else []
    return config | {"nav": nav, "docs_dir": "pages", "site_dir": "site"}


def lay_out(stage: Path) -> None:
    """All pages, and what lies beside them, in one folder."""
    shutil.rmtree(stage, ignore_errors=True)
    folder = stage / "pages"
    shutil.copytree(ROOT / "docs", folder, ignore=shutil.ignore_patterns("*.md", ".*", "__pycache__"))
    for name, path in pages().items():
        made = folder / name
        made.parent.mkdir(parents=True, exist_ok=True)
        text = path.read_text(encoding="utf-8")
        made.write_text(mended(text, path.relative_to(ROOT).as_posix()), encoding="utf-8")
    for name in ("style.css", "iframe-worker.js"):
        shutil.copy(WEBSITE / name, folder)


def build(out: Path) -> None:
    """Build the site into `out`. Raises SiteError, with what zensical said, for any warning."""
    out = out.resolve()
    if out.exists() and any(out.iterdir()) and not (out / "sitemap.xml").exists():
        raise SiteError(f"{out} holds something else than a site; name an empty folder")
    stage = out.with_name(out.name + "-pages")
    lay_out(stage)
    config = stage / "mkdocs.yml"
    config.write_text(yaml.safe_dump(settings(), sort_keys=False), encoding="utf-8")
    command = [sys.executable, "-m", "zensical", "build", "--strict", "--config-file", str(config)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)  # noqa: S603 - our own words
    if done.returncode:
        said = re.sub(r"\x1b\[[0-9;]*m", "", done.stdout + done.stderr)
        raise SiteError(said.partition("Traceback")[0])
    _fetch_nothing(stage / "site")
    shutil.rmtree(out, ignore_errors=True)
    shutil.move(stage / "site", out)


def _fetch_nothing(site: Path) -> None:
    """Put our copy in place of the script that the theme fetches."""
    for page in site.rglob("*.html"):
        up = "../" * (len(page.relative_to(site).parts) - 1)
        text = page.read_text(encoding="utf-8")
        page.write_text(text.replace(SHIM, f"{up}iframe-worker.js"), encoding="utf-8")


def main() -> None:
    """Build, and say where."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, default=OUT, help="folder of the site; what is in it goes")
    out = parser.parse_args().out
    try:
        build(out)
    except SiteError as error:
        sys.exit(f"the site was not built: {error}")
    sys.stdout.write(f"{out / 'index.html'}: {len(pages())} pages\n")


if __name__ == "__main__":
    main()
