"""The page: self-contained, every text escaped, real numbers in it."""

from __future__ import annotations

import base64
import hashlib
import json
import re
from html.parser import HTMLParser
from pathlib import Path

import pytest

import outshine

EVIL = "<script>alert(1)</script>\"'><img src=x onerror=alert(2)>{{ 7*7 }}"


class Tags(HTMLParser):
    """All tags and attributes of a page."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[tuple[str, dict[str, str | None]]] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.append((tag, dict(attrs)))


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> tuple[str, outshine.Results]:
    """The report of a study whose dataset has a name that tries to run."""
    folder = tmp_path_factory.mktemp("report")
    data = folder / "<img src=x onerror=alert(3)>.jsonl"
    rows = [{"text": f"{EVIL} number {i} {'odd' if i % 2 else 'even'}", "label": i % 2} for i in range(200)]
    data.write_text("".join(json.dumps(row) + "\n" for row in rows))
    study = outshine.Study(
        datasets=[str(data)],
        weak="tiny/weak",
        strong="tiny/strong",
        compute_dtype="float32",
        splits={"n_train": 96, "n_val": 40, "n_test": 40},
        training={"epochs": 1},
    )
    results = outshine.run(study, store=folder / "store", out=folder / "out")
    return (folder / "out" / "report.html").read_text(encoding="utf-8"), results


def test_nothing_runs_and_nothing_is_fetched(page):
    html, _ = page
    tags = Tags()
    tags.feed(html)
    names = {tag for tag, _ in tags.found}
    assert not names & {"iframe", "object", "embed", "link", "img", "form", "input", "base"}
    assert [attributes for tag, attributes in tags.found if tag == "script"] == [{}]
    for _, attributes in tags.found:
        for name, value in attributes.items():
            assert not name.startswith("on")
            if name in ("href", "src", "xlink:href"):
                assert value is not None
                assert value.startswith("#")
    assert not re.search(r"url\((?!#)", html)
    assert "@import" not in html


def test_the_policy_knows_the_one_script_by_its_hash(page):
    """As a browser computes it: sha256 of what stands between the tags."""
    html, _ = page
    (script,) = re.findall(r"<script>(.*?)</script>", html, re.DOTALL)
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    (policy,) = re.findall(r'Content-Security-Policy" content="([^"]*)"', html)
    rules = dict(rule.strip().split(" ", 1) for rule in policy.replace("&#39;", "'").split(";"))
    assert rules["script-src"] == f"'sha256-{digest}'"
    assert rules["default-src"] == "'none'"
    assert "eval" not in script
    assert "innerHTML" not in script


def test_the_datasets_name_is_shown_as_text(page):
    html, _ = page
    assert "&lt;img src=x onerror=alert(3)&gt;" in html
    assert "<img src=x" not in html


def test_the_figure_and_the_numbers_are_there(page):
    html, results = page
    assert html.count("<svg") == 2  # and the curves of the one dataset
    assert "test ROC AUC (0.5 = chance), with 95 % interval" in html
    row = results.summary.iloc[0]
    for role in ("weak", "student", "ceiling"):
        assert f"{row[f'{role}_auroc']:.3f}".removeprefix("0") in html


def test_the_page_says_how_to_reproduce_it(page):
    html, _ = page
    for words in ("outshine run study.yaml", "kind: file", "learning_rate:", "sha256:"):
        assert words in html


def test_the_page_is_small(page):
    html, _ = page
    assert len(html) < 300_000
    assert not Path("report.html").exists()
