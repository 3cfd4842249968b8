"""`outshine report`: the page and its figures of a study that ran; computes nothing; bad input in one line."""

from __future__ import annotations

import re
import shutil
from collections.abc import Iterator
from pathlib import Path
from unittest.mock import patch

import pytest

from html_pages import Page
from outshine.engine.store.store import Store
from outshine.results import finished
from outshine.w2s.study import Study
from small_study import Ran, small_study

FIGURES = ["auroc", "rounds", "losses", "probes", "filters-and-probe-labels", "topocc", "sweep-knn", "sweep-logistic"]
FIGURES += ["training"]
SMALL = ("--weak", "tiny/weak", "--strong", "tiny/strong", "--n-train", "48", "--n-val", "20", "--n-test", "20")
SMALL += ("--set", "training.epochs=1", "--set", "compute_dtype=float32", "--set", "runtime.threads=1")


@pytest.fixture(scope="session")
def ran(tmp_path_factory: pytest.TempPathFactory) -> Ran:
    return small_study(tmp_path_factory.getbasetemp())


@pytest.fixture(scope="module")
def reading_once(ran: Ran) -> Iterator[None]:
    """The large study is read from its store by the first of the commands that ask for it."""
    read_study, found = finished.read_study, []

    def read(study: Study, store: Store) -> finished.FinishedStudy:
        if study.name != "everything":
            return read_study(study, store)
        found.append(found[0] if found else read_study(study, store))
        return found[-1]

    with patch.object(finished, "read_study", read):
        yield


@pytest.fixture
def plain(run_once) -> Path:
    """The folder of a study with one dataset, one method and one seed."""
    outcome = run_once("run", "--dataset", "tiny-home", *SMALL)
    assert outcome.code == 0, outcome.err
    return Path("outshine-out")


def files(folder: Path) -> dict[str, tuple[int, int]]:
    """Every file below a folder, with its size and when it was written."""
    found = {path: path.stat() for path in folder.rglob("*") if path.is_file()}
    return {str(path.relative_to(folder)): (stat.st_size, stat.st_mtime_ns) for path, stat in found.items()}


def refused(outcome, *words: str) -> None:
    assert outcome.code == 2, outcome
    assert outcome.out == ""
    (line,) = outcome.err.splitlines()
    assert line.startswith("outshine: ")
    for word in words:
        assert word in line


@pytest.mark.slow
@pytest.mark.usefixtures("reading_once")
def test_a_study_with_everything_has_every_figure(outshine, ran, tmp_path):
    store, out = files(ran.store), files(ran.out)
    outcome = outshine("report", str(ran.out), "--store", str(ran.store), "-o", "there/page.html")
    assert outcome.code == 0, outcome.err
    assert outcome.err == ""
    assert "report: there/page.html, and its 9 figures as SVG and PNG in there/figures" in " ".join(outcome.out.split())
    assert (files(ran.store), files(ran.out)) == (store, out)
    assert not (tmp_path / "store").exists()

    html = Path("there/page.html").read_text(encoding="utf-8")
    assert html == ran.page  # what the run itself wrote
    written = {f"figures/{name}.{end}" for name in FIGURES for end in ("svg", "png")}
    assert set(files(Path("there"))) == {"page.html", *written}
    page = Page(html)
    assert page.figures == [f"figure-{name}" for name in FIGURES]
    assert page.drawings == dict.fromkeys(page.figures, 1)
    assert page.dangers == []
    for name in FIGURES:
        drawing = Path(f"there/figures/{name}.svg").read_text(encoding="utf-8")
        assert drawing.startswith("<svg")
        assert html.count(drawing.strip()) == 1
        assert Path(f"there/figures/{name}.png").read_bytes().startswith(b"\x89PNG")
    ids = re.findall(r' id="([^"]+)"', html)
    assert len(ids) == len(set(ids))  # figures share one page


def test_a_plain_study_has_one_figure_and_no_empty_section(outshine, plain):
    store, before = files(Path("store")), (plain / "report.html").read_bytes()
    (plain / "report.html").unlink()
    outcome = outshine("report")
    assert outcome.code == 0, outcome.err
    assert "and its figure as SVG and PNG" in outcome.out
    assert files(Path("store")) == store
    assert (plain / "report.html").read_bytes() == before
    assert {path.name for path in (plain / "figures").iterdir()} == {"auroc.svg", "auroc.png"}
    html = before.decode()
    page = Page(html)
    assert page.figures == ["figure-auroc"]
    assert page.headings == ["What to know first", "Results", "Diagnostics", "Datasets", "How to reproduce it"]
    assert not re.findall(r"</h2>\s*(?:<h2|</body)", html)
    assert not re.findall(r"<(ul|ol|tbody|p|details)>\s*</\1>", html)
    assert not re.search(r"\bnan\b|\bNone\b", page.text)


def test_a_study_file_and_its_store_do_as_well(outshine, plain):
    shutil.move("store", "elsewhere")
    shutil.copy(plain / "study.yaml", "mine.yaml")
    outcome = outshine("report", "mine.yaml", "--store", "elsewhere", "--out", "page.html")
    assert outcome.code == 0, outcome.err
    assert Path("page.html").read_bytes() == (plain / "report.html").read_bytes()
    assert {path.name for path in Path("figures").iterdir()} == {"auroc.svg", "auroc.png"}
    assert not Path("store").exists()


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ((), ("there is no folder outshine-out; name a run's folder",)),
        (("nowhere",), ("nowhere", "a .yaml file is expected, or a preset")),
        (("nowhere.yaml",), ("study 'nowhere.yaml' cannot be read",)),
        (("empty",), ("the folder 'empty' holds no study.yaml; name the --out folder of a run",)),
    ],
)
def test_what_is_no_study_is_told(outshine, tmp_path, arguments, words):
    (tmp_path / "empty").mkdir()
    refused(outshine("report", *arguments), *words)
    assert files(tmp_path) == {}


def test_the_runs_of_this_folder_are_named(outshine, plain):
    Path("outshine-out").rename("mine")
    refused(outshine("report"), "there is no folder outshine-out", "such as 'mine'")
    Path("outshine-out").mkdir()
    refused(outshine("report"), "holds no study.yaml", "such as 'mine'")


def test_a_study_that_did_not_run_is_told(outshine, plain):
    told = ("stages are not in the store", "such as", "run the study first with `outshine run`", "--store")
    refused(outshine("report", "--store", "other"), "2 of 2 stages", "'prepare tiny-home'", *told)
    (student,) = [done.parent for done in Path("store").rglob("DONE.json") if '"stage": "student"' in done.read_text()]
    shutil.rmtree(student)
    before = (plain / "report.html").read_bytes()
    refused(outshine("report"), "1 of 3 stages", "tiny/strong on tiny-home strong_train, labels of tiny/weak", *told)
    assert not student.exists()
    assert not Path("other").exists()
    assert (plain / "report.html").read_bytes() == before


def test_a_place_that_cannot_be_written_is_told(outshine, plain):
    Path("file").write_text("mine")
    Path("there/figures.html").mkdir(parents=True)
    Path("there/figures").write_text("mine")
    refused(outshine("report", "-o", "file/report.html"), "cannot write to the folder file", "choose another one")
    refused(outshine("report", "-o", "there/report.html"), "cannot write to the folder there", "File exists")
    refused(outshine("report", "-o", "there/figures.html"), "figures.html' is no plain file", "choose another name")
    Path("there/link").symlink_to("/dev/stdout")  # which a file in its place would take from all that write to it
    refused(outshine("report", "--format", "md", "-o", "there/link"), "link' is no plain file")
    Path("there/link").unlink()
    assert Path("file").read_text() == Path("there/figures").read_text() == "mine"
    assert set(files(Path("there"))) == {"figures"}  # no half page, no temporary file
    assert (plain / "report.html").exists()


@pytest.mark.slow
@pytest.mark.usefixtures("reading_once")
def test_several_studies_on_one_page(outshine, ran, plain):
    """The second study is in the same store under another name; figures are numbered, ids differ, both are there."""
    shutil.copytree(ran.store, "store", dirs_exist_ok=True)
    outcome = outshine("report", str(ran.out), str(plain), "--store", "store")
    assert outcome.code == 0, outcome.err
    assert "report: outshine-report/report.html, and its 10 figures" in " ".join(outcome.out.split())
    written = {path.name for path in Path("outshine-report/figures").iterdir()}
    assert written == {
        f"{stem}.{end}" for stem in [*(f"1-{name}" for name in FIGURES), "2-auroc"] for end in ("svg", "png")
    }
    html = Path("outshine-report/report.html").read_text(encoding="utf-8")
    page = Page(html)
    assert page.dangers == []
    assert page.headings == ["Studies", "1. everything", "2. study"]
    assert page.figures == [*(f"study-1-figure-{name}" for name in FIGURES), "study-2-figure-auroc"]
    ids = re.findall(r' id="([^"]+)"', html)
    assert len(ids) == len(set(ids))
    links = set(re.findall(r'<a [^>]*href="#([^"]+)"', html))
    assert links <= set(ids)
    alone = [Page(Path(out, "report.html").read_text(encoding="utf-8")) for out in (ran.out, plain)]
    side_by_side, *others = page.tables
    assert others == [table for one in alone for table in one.tables]
    assert side_by_side.caption.startswith("Studies side by side")
    assert [row[0] for row in side_by_side.rows] == ["1. everything", "2. study"]
    assert [row[3] for row in side_by_side.rows] == ["3 × 2", "1 × 1"]
    for row, study in zip(side_by_side.rows, alone, strict=True):
        (answer,) = re.findall(
            r"AUROC[^:]*: supervisor (\S+), student (\S+), ceiling (\S+)\.", " ".join(study.text.split())
        )
        assert tuple(row[4:7]) == answer
    drawing = Path("outshine-report/figures/2-auroc.svg").read_text(encoding="utf-8").strip()
    assert html.count(drawing.replace('id="auroc-', 'id="study-2-auroc-').replace("#auroc-", "#study-2-auroc-")) == 1


def test_a_study_named_twice_is_there_once(outshine, plain):
    outcome = outshine("report", "outshine-out", "outshine-out", "-o", "page.html")
    assert outcome.code == 0, outcome.err
    assert Path("page.html").read_bytes() == (plain / "report.html").read_bytes()


@pytest.mark.slow
@pytest.mark.usefixtures("reading_once")
@pytest.mark.parametrize(("form", "name"), [("md", "tables.md"), ("latex", "tables.tex")])
def test_tables_for_a_paper(outshine, ran, form, name):
    """Every table of the page but for datasets and stages, with its numbers; nothing else is written."""
    outcome = outshine("report", str(ran.out), "--store", str(ran.store), "--format", form, "-o", f"paper/{name}")
    assert outcome.code == 0, outcome.err
    assert outcome.out.split() == ["tables:", f"paper/{name}"]
    assert set(files(Path("paper"))) == {name}
    text = Path(f"paper/{name}").read_text(encoding="utf-8")
    for escaped, letter in {"$-$": "-", "$\\infty$": "∞", "\\textless{}": "<", "--": "–"}.items():
        text = text.replace(escaped, letter)
    plain = re.sub(r"\{([][*-])\}", r"\1", text).replace("\\", "")
    captioned = [table for table in Page(ran.page).tables if table.caption]
    assert len(captioned) == 9
    for table in captioned:
        for row in table.rows:
            joined = (" | " if form == "md" else " & ").join(row)
            assert joined.replace("−", "-") in plain.replace("−", "-"), row


def test_a_format_that_there_is_not(outshine, plain):
    refused_by_typer = outshine("report", "--format", "pdf")
    assert refused_by_typer.code == 2
    assert "latex" in refused_by_typer.err
