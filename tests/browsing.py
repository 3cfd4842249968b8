"""Pages in a headless browser, where one is installed: what a script finds there, and what the browser says of them."""

from __future__ import annotations

import base64
import hashlib
import json
import shutil
import subprocess
from html import unescape
from pathlib import Path
from typing import Any, NamedTuple

import pytest

NAMES = ("chromium", "chromium-browser", "google-chrome")
BROWSER = next((found for name in NAMES if (found := shutil.which(name))), "")
needs_browser = pytest.mark.skipif(not BROWSER, reason=f"none of {', '.join(NAMES)}: the page is not looked at")

_FRAME = """<!doctype html><body style="margin:0"><script>
onmessage = event => {
  const pre = document.createElement("pre");
  pre.id = "measured";
  pre.textContent = event.data;
  document.body.append(pre);
};
</script><iframe src="copy.html" style="border:0;width:%dpx;height:900px"></iframe>"""

_LOOK = """
const refused = [];
document.addEventListener("securitypolicyviolation", event => refused.push(event.violatedDirective));
const later = () => new Promise(done => setTimeout(done, 50));
const fetched = () => performance.getEntriesByType("resource").map(entry => entry.name);
addEventListener("load", async () => {
  let found;
  try { found = await (async () => { %s })(); } catch (error) { found = { error: String(error) }; }
  parent.postMessage(JSON.stringify(found), "*");
});
"""


class Said(NamedTuple):
    """The page after its scripts ran, and the browser's log."""

    dom: str
    log: str


def browse(folder: Path, *arguments: str) -> Said:
    """Run the browser; its profile lies in the folder."""
    command = [
        BROWSER,
        "--headless",
        "--no-sandbox",
        "--disable-gpu",
        "--enable-logging=stderr",
        f"--user-data-dir={folder / 'profile'}",
        *arguments,
    ]
    ended = subprocess.run(command, capture_output=True, text=True, check=True, timeout=120)
    return Said(ended.stdout, ended.stderr)


def seen(html: str, script: str, folder: Path, width: int = 1100) -> Any:
    """What `script`, the body of an async function, returns in the page in a frame of that width.

    The page's policy holds, but that it knows one more script by its hash.
    """
    text = _LOOK % script
    digest = base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()
    assert html.count("script-src '") == html.count("<style>\n") == 1
    page = html.replace("script-src '", f"script-src 'sha256-{digest}' '")
    (folder / "copy.html").write_text(page.replace("<style>\n", f"<script>{text}</script><style>\n"), encoding="utf-8")
    (folder / "frame.html").write_text(_FRAME % width, encoding="utf-8")
    opened = (folder / "frame.html").as_uri()
    options = ("--hide-scrollbars", "--virtual-time-budget=10000", f"--window-size={max(width, 800)},1000")
    said = browse(folder, *options, "--dump-dom", opened)
    return json.loads(unescape(said.dom.split('<pre id="measured">')[1].split("</pre>")[0]))
