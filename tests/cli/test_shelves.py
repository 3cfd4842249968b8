"""Keeping a store in order from the command line: ls, studies, gc, export, import."""

from __future__ import annotations

import json
import zipfile
from pathlib import Path

import pytest

from fake_artefacts import fake_artefact
from outshine.engine.store import index

SMALL = ("--weak", "tiny/weak", "--strong", "tiny/strong", "--n-train", "48", "--n-val", "20", "--n-test", "20")
SMALL += ("--set", "training.epochs=1", "--set", "compute_dtype=float32", "--set", "runtime.threads=1")
RUN = ("run", "--dataset", "tiny-home", *SMALL)


def files(folder: str) -> dict[str, bytes]:
    root = Path(folder)
    return {path.relative_to(root).as_posix(): path.read_bytes() for path in root.rglob("*") if path.is_file()}


def artefacts(store: str) -> dict[str, bytes]:
    return {name: data for name, data in files(store).items() if name.startswith("artefacts/")}


def refused(outcome, *words: str) -> None:
    assert outcome.code == 2, outcome
    assert outcome.out == ""
    (line,) = outcome.err.splitlines()
    assert line.startswith("outshine: ")
    for word in words:
        assert word in line


@pytest.mark.slow
def test_an_exported_study_is_found_whole_after_import_and_gives_the_same_tables(outshine, run_once):
    assert run_once(*RUN).code == 0
    done = outshine("export", "study", "-o", "carried/study.zip")
    assert done.code == 0, done.err
    assert "study study, 5 artefacts" in done.out
    assert outshine("export", "outshine-out", "-o", "again.zip").code == 0  # by the run's folder
    assert Path("again.zip").read_bytes() == Path("carried/study.zip").read_bytes()

    elsewhere = ("--store", "other-store")
    taken = outshine("import", "carried/study.zip", *elsewhere)
    assert taken.code == 0, taken.err
    assert "5 artefacts imported, 0 already there" in taken.out
    there = artefacts("other-store")
    assert there == artefacts("store")

    again = outshine(*RUN, *elsewhere, "--out", "again")
    assert again.code == 0
    assert "[1/" not in again.err  # nothing was computed
    assert files("again") == files("outshine-out")
    by_name = outshine("run", "study", *elsewhere, "--out", "by-name")
    assert by_name.code == 0, by_name.err
    assert files("by-name") == files("outshine-out")
    page = outshine("report", "study", *elsewhere)
    assert page.code == 0, page.err
    assert Path("study-report/report.html").read_bytes() == Path("outshine-out/report.html").read_bytes()
    assert artefacts("other-store") == there
    assert outshine("verify", *elsewhere).code == 0
    assert "0 artefacts imported, 5 already there" in outshine("import", "carried/study.zip", *elsewhere).out


@pytest.mark.slow
def test_a_recorded_study_is_listed_and_printed_as_a_study_file(outshine, run_once):
    assert run_once(*RUN).code == 0
    listed = outshine("studies")
    assert "study" in listed.out
    assert "5 of 5" in listed.out
    assert "1 study recorded" in listed.out
    printed = outshine("studies", "study")
    Path("mine.yaml").write_text(printed.out)
    plan = outshine("plan", "mine.yaml")
    assert "5 stages, 5 in the store, 0 to do" in plan.out
    refused(outshine("studies", "studdy"), "unknown study", "did you mean 'study'?")
    of_study = json.loads(outshine("ls", "--study", "study", "--json").out)
    assert sorted(one["stage"] for one in of_study) == ["audit", "prepare", "student", "supervised", "supervised"]


def test_gc_prints_before_what_it_removes_then_and_keeps_what_a_study_needs(outshine, run_once):
    assert run_once(*RUN).code == 0
    assert outshine(*RUN, "--set", "name=other", "--set", "strong.learning_rate=1e-3").code == 0
    needed = artefacts("store")
    key = fake_artefact(Path("store"), 1, made_at="2999-01-01T00:00:00+00:00")
    old = fake_artefact(Path("store"), 2, made_at="2001-01-01T00:00:00+00:00")
    before = files("store")
    said = outshine("gc", "--dry-run")
    assert said.code == 0, said.err
    assert files("store") == before
    assert f"artefacts/{key[:2]}/{key}: student number 1" in said.out
    assert "0 studies, 1 artefact," in said.out
    assert "kept though no recorded study needs them: 1 artefact," in said.err
    assert "--unrecorded" in said.err
    assert outshine("gc") == said
    left = artefacts("store")
    assert {name.split("/")[2] for name in left.keys() - needed.keys()} == {old}
    assert needed.items() <= left.items()

    assert outshine("gc", "--study", "other").code == 0
    again = outshine(*RUN, "--out", "again")
    assert "[1/" not in again.err  # all that the first study needs is there
    assert "1 study recorded" in outshine("studies").out
    assert len(outshine("ls", "--study", "study", "--json").out) > 100


def test_gc_names_what_it_cannot_use(outshine):
    refused(outshine("gc", "--older-than", "soon"), "--older-than soon", "30d")
    refused(outshine("gc", "--older-than", "30"), "an age is expected")
    refused(outshine("gc", "--max-size", "-1GB"), "a size is expected")
    refused(outshine("gc", "--max-size", "1 elephant"), "such as 500MB")
    refused(outshine("gc", "--study", "none"), "unknown study")
    assert not Path("store").exists()
    fake_artefact(Path("store"), 1)
    said = outshine("gc", "--max-size", "1kB", "--dry-run")
    assert "kept though no recorded study needs them: 1 artefact," in said.err
    assert outshine("gc").code == 0
    assert "1 artefact in" in outshine("ls").out


def test_import_refuses_in_one_line_and_makes_no_store(outshine):
    Path("no.zip").write_text("nothing")
    refused(outshine("import", "no.zip"), "no.zip cannot be imported", "no zip archive")
    refused(outshine("import", "missing.zip"), "No such file")
    with zipfile.ZipFile("evil.zip", "w") as zipped:
        zipped.writestr("../evil", "x")
    refused(outshine("import", "evil.zip"), "'../evil'")
    refused(outshine("import", "no.zip", "--max-size", "much"), "a size is expected")
    refused(outshine("export", "none"), "unknown study")
    assert sorted(path.name for path in Path().iterdir()) == ["evil.zip", "no.zip"]


def test_ls_selects_sorts_and_limits(outshine, monkeypatch):
    assert "0 artefacts" in outshine("ls").out
    assert not Path("store").exists()
    for number in range(12):
        stage = "keep" if number % 2 else "student"
        fake_artefact(Path("store"), number, stage=stage, label=f"Nr. {number}", content=b"x" * (100 - number))
    listed = json.loads(outshine("ls", "--json", "--sort", "size").out)
    assert [one["bytes"] for one in listed] == list(range(89, 101))
    assert set(listed[0]) == {"key", "stage", "label", "made_at", "seconds", "bytes", "inputs"}
    kept = outshine("ls", "--kind", "keep", "--sort", "size", "--limit", "2")
    assert "the 2 largest of 6 artefacts" in kept.out
    assert [word in kept.out for word in ("Nr. 3 ", "Nr. 1 ", "Nr. 5 ")] == [True, True, False]
    assert "3 artefacts in" in outshine("ls", "--text", "nr. 1").out
    refused(outshine("ls", "--study", "none"), "unknown study")

    from outshine.cli import artefacts

    monkeypatch.setattr(artefacts, "_LIMIT", 5)
    assert "the 5 newest of 12 artefacts" in outshine("ls").out
    plain = outshine("ls", "--limit", "0").out.splitlines()
    assert len(plain) == 13  # without a table's frame
    assert "12 artefacts in" in plain[-1]
    assert Path("store", index.INDEX).is_file()


@pytest.mark.parametrize(
    ("text", "expected"), [("10GB", 10**10), ("1.5 kB", 1500), ("7", 7), ("2MiB", 2 * 2**20), ("0", 0)]
)
def test_sizes_are_read_as_written(text, expected):
    from outshine.cli.options import parse_size

    assert parse_size(text, "--max-size") == expected
