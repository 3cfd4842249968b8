"""Names and texts of a study reach page, tables and terminal as text: nothing of them runs, is fetched or is obeyed."""

from __future__ import annotations

import csv
import json
import re
import shutil
import subprocess
from html import unescape
from html.parser import HTMLParser
from pathlib import Path
from typing import NamedTuple

import pandas as pd
import pytest
from caged import write_rows
from hostile import CONTROLS, MARKUP, file_names

import outshine as package
from calling import Run
from html_pages import Page
from outshine.learn.tiny_models import TINY_MODELS
from outshine.results.saved_tables import escape_formulas, read_tables, unescape_formulas
from outshine.w2s.study_file import parse_study, read_study

BROWSERS = ("chromium", "chromium-browser", "google-chrome")
BROWSER = next((found for name in BROWSERS if (found := shutil.which(name))), "")
SHOWN = [text for text in MARKUP if not CONTROLS & set(text)]
FORMULAS = ("=", "+", "-", "@", "\t", "\r")
COLOUR = re.compile(r"\x1b\[[0-9;]*m")
NAMES_IN_ONE = 6  # of a file's name, which has 255 bytes at most


class Study(NamedTuple):
    """A study that ran: its folder and the names that were in it."""

    out: Path
    datasets: list[str]
    model: str

    @property
    def html(self) -> str:
        return (self.out / "report.html").read_text(encoding="utf-8")


def _run(folder: Path, datasets: list[str], model: str, notes: list[str]) -> Study:
    """The same rows, full of markup and control characters, under the names given."""
    (folder / "data").mkdir(parents=True)
    rows = [
        {"text": f"{text} {'odd' if number % 2 else 'even'} {number}", "label": number % 2, "id": f"{text}{number}"}
        for number, text in enumerate([*MARKUP, *MARKUP])
    ]
    for name in datasets:
        write_rows(folder / "data" / f"{name}.jsonl", rows)
    (folder / model).parent.mkdir(parents=True, exist_ok=True)
    shutil.copytree(str(TINY_MODELS["tiny/weak"]), folder / model)
    study = {
        "datasets": [str(folder / "data" / f"{name}.jsonl") for name in datasets],
        "weak": "tiny/weak",
        "strong": str(folder / model),
        "compute_dtype": "float32",
        "methods": ["vanilla", {"kind": "probe", "probe": "logistic"}],
        "splits": {"n_train": 40, "n_val": 16, "n_test": 24},
        "training": {"epochs": 1},
        "runtime": {"threads": 1},
        "notes": notes,
    }
    package.run(parse_study(study), store=folder / "store", out=folder / "out", allow_leaks=True)
    return Study(folder / "out", datasets, str(folder / model))


def _bundles() -> list[str]:
    names = file_names(SHOWN)
    return [" ".join(names[start : start + NAMES_IN_ONE])[:200].strip() for start in range(0, len(names), NAMES_IN_ONE)]


@pytest.fixture(scope="module")
def evil(tmp_path_factory: pytest.TempPathFactory) -> Study:
    model = '"><img src=x onerror=alert(1)> </script><script>alert(1)</script>'
    return _run(tmp_path_factory.mktemp("evil"), ["=1+1", *_bundles()], model, SHOWN)


@pytest.fixture(scope="module")
def plain(tmp_path_factory: pytest.TempPathFactory) -> Study:
    """The same with names that mean no harm: what its page is made of, the other's must be made of too."""
    datasets = [f"rows-{number}" for number in range(1 + len(_bundles()))]
    return _run(
        tmp_path_factory.mktemp("plain"), datasets, "model/of/rows", [f"note {number}" for number in range(len(SHOWN))]
    )


class Skeleton(HTMLParser):
    """The elements of a page with the names of their attributes: outside of drawings in order, inside as a set."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.frame: list[tuple[str, ...]] = []
        self.drawn: set[tuple[str, ...]] = set()
        self.others: list[str] = []  # comments, declarations, processing instructions
        self._inside = False
        self.feed(html)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self._inside |= tag == "svg"
        shape = (tag, *(name for name, _ in attrs))
        if self._inside:
            self.drawn.add(shape)
        else:
            self.frame.append(shape)

    def handle_endtag(self, tag: str) -> None:
        self._inside &= tag != "svg"

    def handle_comment(self, data: str) -> None:
        self.others.append(data)

    def handle_decl(self, decl: str) -> None:
        self.others.append(decl)

    def handle_pi(self, data: str) -> None:
        self.others.append(data)

    def unknown_decl(self, data: str) -> None:
        self.others.append(data)


def test_no_element_or_attribute_comes_from_a_name(evil, plain):
    found, expected = Skeleton(evil.html), Skeleton(plain.html)
    assert found.frame == expected.frame
    assert {shape[0] for shape in found.drawn} <= {shape[0] for shape in expected.drawn}
    assert {name for shape in found.drawn for name in shape} <= {name for shape in expected.drawn for name in shape}
    assert found.others == [other for other in expected.others if "rows" not in other]


def test_nothing_runs_or_is_fetched(evil):
    assert Page(evil.html).dangers == []
    assert "default-src 'none'" in evil.html


def test_the_names_are_there_as_text(evil):
    text = Page(evil.html).text
    for name in evil.datasets:
        assert name in text
    for note in SHOWN:
        assert note in text
    assert "7*7" in text
    assert "49" not in [word for line in text.splitlines() if "{{" in line for word in line.split()]


def test_no_control_character_is_on_the_page_or_in_a_drawing(evil):
    assert not CONTROLS & set(evil.html)


def test_the_study_on_the_page_is_the_study(evil):
    study = parse_study(read_study(str(evil.out / "study.yaml")))
    assert [dataset.name for dataset in study.datasets] == evil.datasets
    assert list(study.notes) == SHOWN


def test_no_cell_of_a_csv_table_is_a_formula(evil):
    tables = list(evil.out.glob("*.csv"))
    assert len(tables) >= 4
    for path in tables:
        with path.open(newline="", encoding="utf-8") as file:
            for cell in (cell for row in csv.reader(file) for cell in row):
                assert not cell.startswith(FORMULAS) or _is_number(cell), cell


def test_a_csv_table_reads_as_its_parquet_twin(evil):
    from_csv = read_tables([evil.out / "scores.csv"]).scores
    from_parquet = read_tables([evil.out / "scores.parquet"]).scores
    assert "=1+1" in set(from_parquet["dataset"])
    for name in ("dataset", "strong", "variant", "key"):
        assert from_csv[name].tolist() == from_parquet[name].tolist()


def test_any_text_comes_back_from_its_cell():
    texts = [*MARKUP, "'", "'=1", "''=1", "'a", "", "-", "1"]
    frame = pd.DataFrame({"text": texts, "number": [-1.5] * len(texts)})
    marked = escape_formulas(frame)
    assert not any(text.startswith(FORMULAS) for text in marked["text"])
    pd.testing.assert_frame_equal(unescape_formulas(marked), frame)


def _is_number(cell: str) -> bool:
    try:
        float(cell)
    except ValueError:
        return False
    return True


def test_a_terminal_gets_no_control_character(outshine: Run, cage: Path, monkeypatch):
    """In colour as on a terminal: what is left without the colours holds none, and what was given is written out."""
    monkeypatch.setenv("FORCE_COLOR", "1")
    rows = [{"text": f"{MARKUP[number % len(MARKUP)]} {number}", "label": number % 2} for number in range(200)]
    name = "[red]x :red_heart: [link=https:evil.example]"
    write_rows(cage / f"{name}.jsonl", rows)
    sizes = ("--n-train=64", "--n-val=24", "--n-test=24")
    shown = outshine("datasets", "show", f"{name}.jsonl", *sizes)
    audited = outshine("audit", f"{name}.jsonl", *sizes)
    listed = outshine("ls")
    key = next(path.parent.name for path in (cage / "store").glob("artefacts/*/*/texts.parquet"))
    record = outshine("show", key)
    for outcome in (shown, audited, listed, record):
        assert not CONTROLS & set(COLOUR.sub("", outcome.out + outcome.err))
        assert name in COLOUR.sub("", outcome.out).replace("\n", "")
    assert json.loads(COLOUR.sub("", record.out))["key"] == key
    assert "red_heart" in shown.out


@pytest.mark.parametrize("text", [text for text in MARKUP if CONTROLS & set(text)])
def test_errors_notes_and_progress_write_control_characters_out(outshine: Run, capsys, monkeypatch, text):
    from outshine.cli.terminal import LineProgress, TerminalProgress

    refused = outshine("plan", "--offline", f"--dataset={text}")
    assert refused.code == 2
    assert not CONTROLS & set(refused.err)
    lines = LineProgress()
    lines.stage(1, 2, text)
    lines.note(f"{text}\nnote: a line of its own")
    printed = capsys.readouterr().err
    assert not CONTROLS & set(printed)
    assert len(printed.splitlines()) == 2
    monkeypatch.setenv("FORCE_COLOR", "1")
    bar = TerminalProgress()
    bar.stage(1, 2, f"{text}[red]")
    bar.note(text)
    bar.close()
    printed = capsys.readouterr().err
    assert "\x1b]" not in printed
    assert "\x9b" not in printed
    assert "\x1b[31m" not in printed
    assert "[red]" in COLOUR.sub("", printed)


@pytest.mark.slow
@pytest.mark.skipif(not BROWSER, reason=f"none of {', '.join(BROWSERS)}: the page is not opened")
@pytest.mark.parametrize("policy", [True, False], ids=["with its policy", "without"])
def test_nothing_runs_in_a_browser(evil, tmp_path, policy):
    """Even without the policy that forbids scripts no name runs one: the only script is the one that listens."""
    listens = (
        "<script>window.ran = []; window.alert = what => ran.push(what); addEventListener('load', () => setTimeout(() => {"
        "const pre = document.createElement('pre'); pre.id = 'measured'; pre.textContent = JSON.stringify({ran, fetched:"
        "performance.getEntriesByType('resource').map(entry => entry.name)}); document.body.append(pre); }, 500));</script>"
    )
    rule = "default-src 'none'; style-src"
    assert evil.html.count(rule) == 1
    html = evil.html.replace(rule, f"script-src 'unsafe-inline'; {rule}" if policy else "default-src *; style-src")
    html = html if policy else re.sub(r"<meta http-equiv=\"Content-Security-Policy\"[^>]*>", "", html, count=1)
    (tmp_path / "copy.html").write_text(html.replace("<style>", f"{listens}<style>", 1), encoding="utf-8")
    command = [BROWSER, "--headless", "--no-sandbox", "--disable-gpu", f"--user-data-dir={tmp_path / 'profile'}"]
    command += ["--virtual-time-budget=3000", "--dump-dom", (tmp_path / "copy.html").as_uri()]
    dom = subprocess.run(command, capture_output=True, text=True, check=True, timeout=120).stdout
    measured = json.loads(unescape(dom.split('<pre id="measured">')[1].split("</pre>")[0]))
    assert measured == {"ran": [], "fetched": []}
