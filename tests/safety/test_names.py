"""Names that try to lead out of the store or the output folder do not, wherever they are written."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from caged import ROWS, SMALL, TINY, write_rows
from hostile import CONTROLS, MARKUP, PATHS, file_names

from calling import Outcome, Run
from outshine.engine.errors import StoreError
from outshine.engine.store.records import DONE
from outshine.engine.store.store import Store

PLAN = ("plan", "--offline", "--n-train=64", "--n-val=24", "--n-test=24")
TASK = "--dataset=tiny-home"

PLACES: dict[str, Callable[[str], list[str]]] = {
    "dataset": lambda name: [*PLAN, f"--dataset={name}", *TINY],
    "data file": lambda name: [*PLAN, f"--dataset={name}.jsonl", *TINY],
    "weak model": lambda name: [*PLAN, TASK, f"--weak={name}", "--strong=tiny/strong"],
    "strong model": lambda name: [*PLAN, TASK, "--weak=tiny/weak", f"--strong={name}"],
    "revision": lambda name: [
        *PLAN,
        TASK,
        "--weak=tiny/weak",
        f"--set=strong={_flow(model='org/name', revision=name)}",
    ],
    "trusted code": lambda name: [*PLAN, TASK, *TINY, f"--set=strong.trust_remote_code={_quoted(name)}"],
    "loss": lambda name: [*PLAN, TASK, *TINY, f"--loss={name}"],
    "method": lambda name: [*PLAN, TASK, *TINY, f"--set=methods={_flow(kind=name)}"],
    "study's name": lambda name: [*PLAN, TASK, *TINY, f"--set=name={_quoted(name)}"],
    "source": lambda name: [*PLAN, TASK, *TINY, f"--set=sources={_flow(**{'tiny-home': name})}"],
    "column": lambda name: [
        *PLAN,
        *TINY,
        f"--set=datasets=[{_flow(kind='file', path='rows.jsonl', text_column=name)}]",
    ],
    "weak labels": lambda name: [*PLAN, TASK, *TINY, f"--set=labels={_quoted(name + '.csv')}"],
    "note": lambda name: [*PLAN, TASK, *TINY, f"--set=notes=[{_quoted(name)}]"],
    "setting": lambda name: [*PLAN, TASK, *TINY, f"--set={name}=1"],
    "part of a setting": lambda name: [*PLAN, TASK, *TINY, f"--set=strong.{name}.x=1"],
    "study": lambda name: [*PLAN, "--", name],
    "study file": lambda name: [*PLAN, "--", f"{name}.yaml"],
    "key": lambda name: ["show", "--", name],
    "run's folder": lambda name: ["report", "--", name],
    "scores": lambda name: ["compare", "--", name],
    "size": lambda name: ["tiny", "pretrain", f"--size={name}", "--out=sizes"],
}


def _quoted(text: str) -> str:
    return json.dumps(text)


def _flow(**settings: str) -> str:
    return json.dumps(settings)


def everything(root: Path) -> set[Path]:
    return set(root.rglob("*"))


def outside(root: Path, before: set[Path], *allowed: Path) -> list[Path]:
    """What is new under `root` and lies in none of the allowed folders."""
    return sorted(
        path
        for path in everything(root) - before
        if not any(path.is_relative_to(folder) or folder.is_relative_to(path) for folder in allowed)
    )


def told(outcome: Outcome) -> None:
    """Done, or refused in one line that shows every character."""
    assert outcome.code in (0, 1, 2), outcome
    assert "Traceback" not in outcome.err, outcome.err
    assert not CONTROLS & set(outcome.out + outcome.err)
    if outcome.code == 2 and "Usage:" not in outcome.err:
        lines = [line for line in outcome.err.splitlines() if not line.startswith(("note: ", "["))]
        assert len(lines) == 1, outcome.err
        assert lines[0].startswith("outshine: ")


@pytest.mark.slow
@pytest.mark.parametrize("every", [8, pytest.param(1, marks=pytest.mark.exhaustive)])
@pytest.mark.parametrize("place", PLACES)
def test_no_name_leads_elsewhere(outshine: Run, cage: Path, tmp_path: Path, place: str, every: int):
    """The first names in every place, the others each in every eighth of them; `make test-all`: all names in all."""
    write_rows(cage / "rows.jsonl")
    before = everything(tmp_path)
    codes = set()
    for name in dict.fromkeys([*PATHS[:6], *PATHS[[*PLACES].index(place) % every :: every]]):
        outcome = outshine(*PLACES[place](name))
        told(outcome)
        codes.add(outcome.code)
    assert 2 in codes or place in ("note", "source")
    assert outside(tmp_path, before, cage / "store", cage / "sizes") == []


@pytest.mark.slow
@pytest.mark.parametrize(
    "name", ["../escaped", "../../out", "~/escaped", "..\\out", "C:\\out", "a b", "CON", "{dataset}", "$HOME", "=1+1"]
)
def test_a_run_writes_in_the_folders_that_it_is_told_and_nowhere_else(
    outshine: Run, cage: Path, tmp_path: Path, name: str
):
    """`--out` and `--store` are the user's own word; they may lead anywhere, and are taken literally."""
    write_rows(cage / "rows.jsonl")
    before = everything(tmp_path)
    outcome = outshine("audit", "rows.jsonl", f"--store={name}-store")
    told(outcome)
    store = Store(Path(f"{name}-store")).root.resolve()
    assert (store / "STORE.json").is_file()
    assert outside(tmp_path, before, store) == []


@pytest.mark.slow
def test_data_files_of_any_name_run_through_to_the_report(outshine: Run, cage: Path, tmp_path: Path):
    names = [name for name in file_names([*PATHS, *MARKUP]) if name.strip(". ") and "," not in name]
    chosen = [name for name in names if name.startswith(("..", "~", "C:", "=", "{", "$(", "-", "CON"))][:12]
    assert len(chosen) == 12
    data = cage / "data"
    data.mkdir()
    rows = [
        {**row, "id": f"../{row['text']}", "group": f"/{number}", "../../col": "~/x"} for number, row in enumerate(ROWS)
    ]
    for name in chosen:
        write_rows(data / f"{name}.jsonl", rows)
    before = everything(tmp_path)
    files = ",".join(str(data / f"{name}.jsonl") for name in chosen)
    outcome = outshine("run", f"--dataset={files}", *TINY, *SMALL, "--out=out")
    told(outcome)
    assert outcome.code == 0, outcome.err
    fonts = [
        tmp_path / "home" / place / "matplotlib" for place in (".cache", ".config")
    ]  # matplotlib's own list of them
    assert outside(tmp_path, before, cage / "store", cage / "out", *fonts) == []
    assert {path.relative_to(cage / "out").parts[0] for path in everything(cage / "out")} == {
        *(
            f"{table}.{end}"
            for table in ("scores", "pgr", "summary", "diagnostics", "training")
            for end in ("csv", "parquet")
        ),
        *("report.html", "study.yaml"),
    }


def test_ids_groups_and_columns_that_look_like_paths(outshine: Run, cage: Path, tmp_path: Path):
    usable = [name for name in dict.fromkeys(PATHS) if name.strip() and name != "\ud800"]
    rows = [
        {"text": f"{name} number {number}", "label": number % 2, "id": f"{name}{number}", "group": name, name: name}
        for number, name in enumerate(usable * 4)
    ]
    write_rows(cage / "rows.jsonl", rows)
    before = everything(tmp_path)
    told(outshine("audit", "rows.jsonl"))
    told(outshine("datasets", "show", "rows.jsonl", "--n-train=64", "--n-val=24", "--n-test=24"))
    assert outside(tmp_path, before, cage / "store") == []


def test_a_store_has_no_place_for_such_names(cage: Path, tmp_path: Path):
    store = Store(cage / "store")
    before = everything(tmp_path)
    for name in PATHS:
        for use in (store.path, store.work, store.done, store.set_aside, store.has, store.is_locked):
            with pytest.raises(StoreError, match="64 hex digits"):
                use(name)
        assert [fault.key for fault in store.verify(name)] == [name]
        with pytest.raises(StoreError, match="no artefact has a key"):
            store.find(f"{name}x")
        with pytest.raises(StoreError, match="cannot name a document"):
            store.documents("studies").write(f"../{name}", {})
        with pytest.raises(StoreError, match="cannot name a document"):
            store.documents(f"../{name}")
    assert everything(tmp_path) == before


def test_a_store_from_elsewhere_cannot_name_other_files(cage: Path, tmp_path: Path):
    store, key = Store(cage / "store"), "ab" * 32
    secret = tmp_path / "home" / "secret.txt"
    secret.write_text("secret")
    with store.lock(key), store.writing(key) as folder:
        (folder / "summary.json").write_text("{}")
        store.commit(key, folder, {})
    record = json.loads((store.path(key) / DONE).read_text())
    for name in ("../../../../../../../home/secret.txt", str(secret)):
        record["files"][name] = {"bytes": 6, "sha256": "0" * 64}
        (store.path(key) / DONE).write_text(json.dumps(record))
        (fault,) = store.verify(key)
        assert f"{name} is no file of the artefact" in fault.message
        del record["files"][name]


def test_a_journal_from_elsewhere_cannot_move_other_folders(cage: Path, tmp_path: Path):
    store, key = Store(cage / "store"), "ab" * 32
    valuable = tmp_path / "home" / "valuable"
    valuable.mkdir()
    with store.lock(key):
        (store.root / "commits").mkdir()
        for name in ("../../../../../home/valuable", str(valuable), "..", ""):
            (store.root / "commits" / "0.json").write_text(json.dumps([[key, name]]))
            (note,) = store.finish_commits([key])
            assert "cannot be read and is passed over" in note
    assert valuable.is_dir()
    assert not store.path(key).exists()
