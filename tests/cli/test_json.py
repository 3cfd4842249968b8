"""`--json`: every command offers it or says here why not; what it prints is one JSON document with documented fields."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import pytest
import typer.main

from outshine.cli.json_output import as_json, print_json
from outshine.cli.main import app, main
from outshine.engine.settings import Settings
from outshine.engine.store.store import Store
from outshine.stats.intervals import Interval

EXEMPT = {
    "": "prints its help or the version",
    "tiny": "prints its help",
}
SMALL = ("--weak=tiny/weak", "--strong=tiny/strong", "--n-train=64", "--n-val=24", "--n-test=24", "--loss=xent,logconf")
SMALL += ("--set=training.epochs=1", "--set=compute_dtype=float32", "--set=runtime.threads=1", "--set=name=small")
RUN = ("run", "--dataset=tiny-home,tiny-pet", *SMALL)


class World(NamedTuple):
    """A study that ran: its store, its folder, an archive of it, and the key of a student."""

    store: str
    out: str
    archive: str
    key: str


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> World:
    folder = tmp_path_factory.mktemp("json")
    store, out, archive = (str(folder / name) for name in ("store", "out", "small.zip"))
    for arguments in ((*RUN, "--out", out), ("export", "small", "-o", archive)):
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr("sys.argv", ["outshine", *arguments, "--store", store])
            with pytest.raises(SystemExit) as ended:
                main()
            assert ended.value.code == 0
    opened = Store(store)
    keys = opened.keys()
    key = next(key for key in keys if opened.done(key)["stage"] == "student")
    return World(store, out, archive, key)


def weak_labels_file(world: World) -> str:
    """A file with cheap labels beside the store."""
    path = Path(world.store).with_name("cheap.jsonl")
    words = ("red", "green", "blue", "small", "large", "round", "flat")
    rows = [
        {"text": f"{a} {b} {c}", "cheap": (i + j) % 2}
        for i, a in enumerate(words)
        for j, b in enumerate(words)
        for c in words
    ]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return str(path)


def predictions_file(world: World) -> str:
    """A table of predictions of three models beside the store."""
    path = Path(world.store).with_name("predictions.csv")
    rows = [(i, i % 2, (i % 2) + i % 5, (i % 2) + i % 4, 3 * (i % 2) + i % 3) for i in range(60)]
    lines = [",".join(map(str, row)) for row in [("id", "label", "weak", "student", "ceiling"), *rows]]
    path.write_text("\n".join(lines) + "\n")
    return str(path)


def at(store: str) -> tuple[str, str]:
    return "--store", store


EXAMPLES: dict[str, Callable[[World], tuple[str, ...]]] = {
    "run": lambda world: (*RUN, *at(world.store)),
    "demo": lambda world: (
        *("demo", "--seed=0", "--set=datasets=[tiny-home]", "--set=splits={n_train: 32, n_val: 16, n_test: 16}"),
        *("--set=training.epochs=1", "--set=runtime.threads=1"),
    ),
    "retry": lambda world: ("retry", "small", *at(world.store)),
    "watch": lambda world: ("watch", "small", *at(world.store)),
    "plan": lambda world: ("plan", "--dataset=tiny-home,tiny-pet", *SMALL, *at(world.store)),
    "report": lambda world: ("report", world.out, *at(world.store)),
    "select": lambda world: ("select", world.out, "--draws=20", *at(world.store)),
    "score": lambda world: ("score", predictions_file(world)),
    "label": lambda world: ("label", weak_labels_file(world), "--weak-label=cheap", "--strong=tiny/weak", "--plan"),
    "compare": lambda world: ("compare", world.out),
    "show": lambda world: ("show", world.key[:12], *at(world.store)),
    "verify": lambda world: ("verify", *at(world.store)),
    "ls": lambda world: ("ls", *at(world.store)),
    "studies": lambda world: ("studies", *at(world.store)),
    "gc": lambda world: ("gc", "--dry-run", "--study=small", *at(world.store)),
    "export": lambda world: ("export", "small", *at(world.store)),
    "import": lambda world: ("import", world.archive),
    "push": lambda world: ("push", world.key, "me/student", "--dry-run", *at(world.store)),
    "datasets": lambda world: ("datasets",),
    "datasets show": lambda world: ("datasets", "show", "tiny-home", *at(world.store)),
    "losses": lambda world: ("losses",),
    "methods": lambda world: ("methods",),
    "probes": lambda world: ("probes",),
    "filters": lambda world: ("filters",),
    "metrics": lambda world: ("metrics",),
    "models": lambda world: ("models",),
    "audit": lambda world: ("audit", "tiny-home", "--n-train=64", "--n-val=24", "--n-test=24", *at(world.store)),
    "tiny pretrain": lambda world: ("tiny", "pretrain"),
}
"""A call of each command, without `--json`."""

LISTS = {"ls", "studies", "datasets", "losses", "methods", "probes", "filters", "metrics", "models"}


def commands() -> Iterator[tuple[str, Any]]:
    """All commands of the app by what one types."""
    pending: list[tuple[str, Any]] = [("", typer.main.get_command(app))]
    while pending:
        name, command = pending.pop()
        yield name, command
        pending += [(f"{name} {part}".strip(), one) for part, one in getattr(command, "commands", {}).items()]


ALL = dict(sorted(commands()))


@pytest.mark.parametrize("name", ALL)
def test_every_command_offers_json_or_is_exempt_with_a_reason(name: str) -> None:
    offered = any("--json" in parameter.opts for parameter in ALL[name].params)
    assert offered != (name in EXEMPT), f"`outshine {name}`: add `as_json: JsonOption`, or a reason to EXEMPT"
    if offered:
        assert name in EXAMPLES, f"`outshine {name}`: add a call of it to EXAMPLES"


@pytest.fixture
def quick_pretraining(monkeypatch: pytest.MonkeyPatch) -> None:
    """Pretraining takes minutes; what it returns is what is looked at here."""
    from outshine.learn.tiny_models import pretrain

    record = {"seed": 1, "sizes": {"weak": {"parameters": 10, "tokens": 20, "loss": 0.5, "seconds": 1.0}}}
    monkeypatch.setattr(pretrain, "pretrain", lambda *arguments: record)


@pytest.mark.slow
@pytest.mark.usefixtures("quick_pretraining")
@pytest.mark.parametrize("name", EXAMPLES)
def test_json_is_all_that_a_command_prints(name: str, world: World, outshine) -> None:
    outcome = outshine(*EXAMPLES[name](world), "--json")
    assert outcome.code == 0, outcome.err
    document = json.loads(outcome.out)
    assert isinstance(document, list) == (name in LISTS)
    assert document
    assert "\x1b" not in outcome.out + outcome.err
    first = document[0] if name in LISTS else document
    if name != "tiny pretrain":
        assert set(first) <= documented(name), f"docs/integrations.md does not name all fields of `{name} --json`"


def documented(name: str) -> set[str]:
    """What the table of documents says about a command."""
    page = Path(__file__).resolve().parents[2] / "docs" / "integrations.md"
    rows = re.findall(r"^\| (`[^|]+`) \| (.+) \|$", page.read_text(encoding="utf-8"), flags=re.MULTILINE)
    (words,) = [words for commands, words in rows if f"`{name}`" in commands.split(", ")]
    return set(re.findall(r"`([\w.]+)`", words))


@pytest.mark.slow
def test_the_documents_say_what_the_text_says(world: World, outshine) -> None:
    def document(*arguments: str) -> Any:
        return json.loads(outshine(*arguments, "--json").out)

    ran = document(*RUN, *at(world.store))
    summary = pd.read_csv(Path(world.out) / "summary.csv")
    found = [(row["dataset"], row["loss"], row["student_auroc"]) for row in ran["summary"]]
    expected = list(summary[["dataset", "loss", "student_auroc"]].itertuples(index=False, name=None))
    assert [one[:2] for one in found] == [one[:2] for one in expected]
    np.testing.assert_allclose([one[2] for one in found], [one[2] for one in expected])
    undefined = [row["pgr"] for row in ran["summary"] if not row["defined"]]
    assert undefined == [None] * int((~summary["defined"]).sum())
    assert [one["pooled"]["num_datasets"] for one in ran["pooled"]] == [2, 2]

    whole = {key.name for key in Path(world.store).glob("artefacts/*/*")}
    assert {one["key"] for one in document("ls", *at(world.store))} == whole
    assert document("verify", *at(world.store))["num_artefacts"] == len(whole)
    keys = {one["key"] for one in document("ls", "--study", "small", *at(world.store))}
    assert len(keys) == 12  # of two datasets: rows, audit, supervisor, ceiling and two students
    plan = document("plan", "--dataset=tiny-home,tiny-pet", *SMALL, *at(world.store))
    assert {stage["key"] for stage in plan["stages"]} == keys
    assert plan["num_to_do"] == 0
    (study,) = document("studies", *at(world.store))
    assert (study["num_artefacts"], study["num_there"]) == (len(keys), len(keys))
    assert document("studies", "small", *at(world.store))["weak"]["model"] == "tiny/weak"
    watched = document("watch", "small", "--follow", *at(world.store))
    assert (watched["done"], watched["total"], watched["failed"]) == (len(keys), len(keys), [])
    swept = document("gc", "--dry-run", "--study=small", *at(world.store))
    assert {one["key"] for one in swept["artefacts"]} >= keys
    assert document("show", world.key, *at(world.store))["key"] == world.key
    compared = document("compare", world.out)
    assert [one["method"] for one in compared["methods"]["auroc"]] == ["logconf"]


def test_a_fault_is_told_in_the_document_and_by_the_exit_code(outshine) -> None:
    assert outshine("datasets", "show", "tiny-home", "--n-train=32", "--n-val=16", "--n-test=16").code == 0
    (texts,) = Path("store").glob("artefacts/*/*/texts.parquet")
    texts.write_bytes(texts.read_bytes()[:-1] + b"?")
    outcome = outshine("verify", "--mend", "--json")
    assert outcome.code == 1
    document = json.loads(outcome.out)
    assert [fault["key"] for fault in document["faults"]] == [texts.parent.name]
    assert Path(document["set_aside"][texts.parent.name]).is_dir()


@pytest.mark.parametrize("arguments", [("show", "ffff"), ("run", "--dataset=nothing"), ("watch", "nobody")])
def test_an_error_is_one_line_and_no_document(arguments: tuple[str, ...], outshine) -> None:
    outcome = outshine(*arguments, "--json")
    assert (outcome.code, outcome.out) == (2, "")
    (line,) = outcome.err.splitlines()
    assert line.startswith("outshine: ")


class Point(Settings):
    """Settings."""

    x: float = 0.5


def test_values_become_json_types() -> None:
    frame = pd.DataFrame({"a": [1, 2], "b": [0.5, math.nan], "c": ["x", None]})
    when = datetime(2026, 1, 2, tzinfo=UTC)
    value = {
        "interval": Interval(0.5, -math.inf, math.nan),
        "frame": frame,
        "path": Path("a") / "b",
        "when": when,
        "point": Point(),
        "numbers": (np.float64(0.25), np.int64(3), np.bool_(True), np.float32("nan")),
        "array": np.array([[1.0, np.inf]]),
        "names": frozenset({"b", "a"}),
        3: None,
    }
    assert as_json(value) == {
        "interval": {"value": 0.5, "low": None, "high": None, "note": ""},
        "frame": [{"a": 1, "b": 0.5, "c": "x"}, {"a": 2, "b": None, "c": None}],
        "path": "a/b",
        "when": "2026-01-02T00:00:00+00:00",
        "point": {"x": 0.5},
        "numbers": [0.25, 3, True, None],
        "array": [[1.0, None]],
        "names": ["a", "b"],
        "3": None,
    }
    with pytest.raises(TypeError, match="object has no form in JSON"):
        as_json(object())


def test_what_a_terminal_would_obey_is_escaped_and_comes_back(capsys: pytest.CaptureFixture[str]) -> None:
    text = "a\x1b]0;b\x07\x9b31m\u202e\ud800\r\n\té"
    print_json({"text": text})
    printed = capsys.readouterr().out
    assert not set(printed) & set("\x1b\x07\x9b\u202e\ud800\r\t")
    assert "é" in printed
    assert json.loads(printed) == {"text": text}
