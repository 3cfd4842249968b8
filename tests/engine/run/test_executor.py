"""The local executor: inputs first, each stage once, failures leave what is finished, damage is mended."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import ClassVar

import pytest

from outshine.engine.progress import Silent
from outshine.engine.run import local
from outshine.engine.run.local import LocalExecutor
from outshine.engine.runtime import Runtime
from outshine.engine.stage import Context, Stage
from outshine.engine.store.store import Store

LOG: list[str] = []


class Number(Stage):
    stage: ClassVar[str] = "number"
    n: int

    def run(self, context: Context) -> None:
        LOG.append(f"number {self.n}")
        if self.n < 0:
            raise RuntimeError("no negative numbers")
        (context.folder / "n.txt").write_text(str(self.n))


class Sum(Stage):
    stage: ClassVar[str] = "sum"
    parts: tuple[Number, ...]

    def run(self, context: Context) -> None:
        LOG.append("sum")
        total = sum(int(context.store.file(part.key, "n.txt").read_text()) for part in self.parts)
        (context.folder / "n.txt").write_text(str(total))


@pytest.fixture
def executor(tmp_path: Path) -> LocalExecutor:
    LOG.clear()
    return LocalExecutor(Store(tmp_path / "store"), Runtime(), Silent())


def test_inputs_are_computed_first_and_shared_ones_once(executor):
    a, b = Number(n=1), Number(n=2)
    whole = Sum(parts=(a, b))
    executor.run([whole, Sum(parts=(b,))])
    assert LOG == ["number 1", "number 2", "sum", "sum"]
    assert executor.store.file(whole.key, "n.txt").read_text() == "3"


def test_what_is_there_is_not_computed_again(executor):
    executor.run([Sum(parts=(Number(n=1),))])
    LOG.clear()
    executor.run([Sum(parts=(Number(n=1),)), Sum(parts=(Number(n=1), Number(n=5)))])
    assert LOG == ["number 5", "sum"]


def test_a_failure_keeps_what_is_finished_and_leaves_no_litter(executor):
    stage = Sum(parts=(Number(n=1), Number(n=-1)))
    with pytest.raises(RuntimeError, match="negative"):
        executor.run([stage])
    assert executor.store.has(Number(n=1).key)
    assert not executor.store.has(Number(n=-1).key)
    assert list((executor.store.root / "tmp").iterdir()) == []


def test_the_record_tells_what_was_computed_where_and_how(executor):
    stage = Sum(parts=(Number(n=1),))
    executor.run([stage])
    record = executor.store.done(stage.key)
    assert record["stage"] == "sum"
    assert record["inputs"] == [Number(n=1).key]
    assert record["fields"] == {"parts": [{"stage": Number(n=1).key}]}
    assert record["made"]["packages"]["torch"]
    assert record["made"]["runtime"]["token_budget"] == Runtime().token_budget
    assert record["made"]["peak_memory_mb"] > 1


@pytest.mark.parametrize("damage", ["truncate", "delete file", "delete record", "break record"])
def test_a_damaged_artefact_is_set_aside_and_computed_anew(executor, damage):
    stage = Number(n=7)
    executor.run([stage])
    folder = executor.store.path(stage.key)
    match damage:
        case "truncate":
            (folder / "n.txt").write_text("")
        case "delete file":
            (folder / "n.txt").unlink()
        case "delete record":
            (folder / "DONE.json").unlink()
        case "break record":
            (folder / "DONE.json").write_text("{}")
    executor.run([stage])
    assert LOG == ["number 7", "number 7"]
    assert executor.store.file(stage.key, "n.txt").read_text() == "7"
    assert any("damaged artefact set aside" in note for note in executor.progress.notes)
    assert len(list((executor.store.root / "damaged").iterdir())) == 1


def test_a_second_process_waits_says_so_and_finds_the_result(executor, monkeypatch):
    monkeypatch.setattr(local, "_WORTH_A_NOTE", 0.05)
    stage = Number(n=3)
    other = Store(executor.store.root)
    held, noted = threading.Event(), threading.Event()

    def first_writer() -> None:
        with other.lock(stage.key), other.writing(stage.key) as folder:
            held.set()
            noted.wait(10)
            (folder / "n.txt").write_text("by the other")
            other.commit(stage.key, folder, {})

    thread = threading.Thread(target=first_writer)
    thread.start()
    held.wait(10)

    class Listening(Silent):
        def note(self, message: str) -> None:
            super().note(message)
            noted.set()

    executor.progress = Listening()
    executor.run([stage])
    thread.join(10)
    assert executor.store.file(stage.key, "n.txt").read_text() == "by the other"
    assert LOG == []
    assert "another process is computing it; waiting" in executor.progress.notes[0]
