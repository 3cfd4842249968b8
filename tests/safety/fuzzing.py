"""What is fuzzed: each target takes a strange input and must succeed or refuse it in one line.

Run as a script it tries many more inputs than the tests do: `make fuzz`, or `make fuzz FUZZ="--inputs 50000 --seed 7"`.
"""

from __future__ import annotations

import argparse
import atexit
import contextlib
import io
import random
import re
import shutil
import signal
import sys
import tempfile
import time
import warnings
from collections import Counter
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path
from types import FrameType
from typing import Any, NamedTuple
from unittest.mock import patch

from hostile import CONTROLS
from hypothesis import HealthCheck, given, seed, settings
from hypothesis import strategies as st
from store_documents import DAMAGES, Damage, look
from strange import (
    ASSIGNMENTS,
    HUB_ANSWERS,
    MODEL_FOLDERS,
    NAMED_FILES,
    PREDICTIONS,
    RECORDS,
    SCORE_TABLES,
    STUDY_FILES,
)

from outshine.cli.main import main
from outshine.data.hub_source import identify_hub, open_hub
from outshine.data.recipes.file import FileDataset
from outshine.data.rows import Hub
from outshine.data.splits import SPLITS, SplitSettings, prepare
from outshine.data.weak_label_file import read_weak_labels
from outshine.engine.errors import OutshineError
from outshine.engine.hub import Repo, snapshot
from outshine.engine.store.records import DONE
from outshine.engine.store.store import Store
from outshine.learn.load import load_backbone, load_tokenizer
from outshine.learn.resolve import MAX_LENGTH, resolve
from outshine.learn.spec import ModelSettings
from outshine.report import score_section
from outshine.results.saved_tables import read_tables
from outshine.results.score.measure import ScoreSettings, ScoreSources, score
from outshine.w2s.study_file import parse_study, read_study, study_yaml, with_settings

PATIENCE = 20  # seconds until an input counts as one that hangs
LONGEST = 2100  # characters of a message
SIZES = SplitSettings(n_train=16, n_val=8, n_test=8)
KEY = "ab" * 32
SMALL = 1000  # numbers of a config below which a model is built, which takes memory


class Target(NamedTuple):
    """Something that reads what others wrote. `share`: of the inputs that the script runs, beside those of the others."""

    inputs: st.SearchStrategy[Any]
    run: Callable[[Path, Any], object]
    share: float


def _study(folder: Path, content: bytes) -> None:
    """A study that parses is written so that it reads back as itself."""
    path = folder / "study.yaml"
    path.write_bytes(content)
    study = parse_study(read_study(str(path)))
    path.write_text(study_yaml(study), encoding="utf-8")
    assert parse_study(read_study(str(path))) == study


def _assignments(folder: Path, assignments: list[str]) -> None:
    raw = {"datasets": ["tiny-home"], "methods": ["vanilla", {"kind": "probe", "probe": "knn"}]}
    parse_study(with_settings(raw, assignments))


def _written(folder: Path, file: tuple[str, bytes]) -> Path:
    folder.mkdir(exist_ok=True)
    path = folder / f"rows{file[0]}"
    path.write_bytes(file[1])
    return path


def _dataset(folder: Path, file: tuple[str, bytes]) -> None:
    """Rows that are taken make four splits with texts, both labels and ids of their own."""
    dataset = FileDataset(path=str(_written(folder, file)))
    prepared = prepare(dataset, dataset.identify(), SIZES)
    assert set(prepared.texts["split"]) == set(SPLITS)
    assert prepared.texts["id"].is_unique
    assert prepared.texts["text"].str.strip().all()
    joined = prepared.texts.merge(prepared.truth, on="id", validate="one_to_one")
    assert joined.groupby("split")["label"].nunique().eq(2).all()


def _weak_labels(folder: Path, file: tuple[str, bytes]) -> None:
    frame = read_weak_labels(_written(folder, file))
    assert frame["p"].between(0, 1).all()


def _tables(folder: Path, file: tuple[str, bytes]) -> None:
    read_tables([_written(folder, file)])


def _score(folder: Path, given_input: tuple[dict[str, tuple[str, bytes]], dict[str, Any]]) -> None:
    """Predictions that are taken have values within reason, and every sentence about them can be said."""
    files, chosen = given_input
    paths = {role: _written(folder / (role or "table"), file) for role, file in files.items()}
    sources = ScoreSources(
        tables=[paths[""]] if "" in paths else (),
        weak=[paths["weak"]] if "weak" in paths else (),
        students={"": [paths["student"]]} if "student" in paths else {},
        ceiling=[paths["ceiling"]] if "ceiling" in paths else (),
    )
    results = score(sources, ScoreSettings(**chosen))
    for row in results.summary.to_dict("records"):
        assert not row["defined"] or row["pgr_low"] <= row["pgr"] <= row["pgr_high"]
        assert row["n"] == 0 or row["student_low"] <= row["student_value"] <= row["student_high"]
    assert score_section.tables(results)
    assert score_section.sentences(results)


def _record(folder: Path, content: bytes) -> None:
    """Whatever a store's record says, looking at the store ends well."""
    store = Store(folder / "store")
    store.path(KEY).mkdir(parents=True)
    (store.path(KEY) / DONE).write_bytes(content)
    assert store.keys() == [KEY]
    store.has(KEY)
    assert store.verify(KEY) or store.done(KEY)["files"] == {}
    store.file(KEY, "summary.json")


def _command(folder: Path, arguments: list[str]) -> None:
    """The command itself: a code that is documented, and one line that shows every character where it refuses."""
    out, err = io.StringIO(), io.StringIO()
    code = 0
    command = ["outshine", *arguments, f"--store={folder / 'store'}"]
    with (
        patch("sys.argv", command),
        contextlib.redirect_stdout(out),
        contextlib.redirect_stderr(err),
        patch("os.fsync"),
    ):
        try:
            main()
        except SystemExit as stop:
            code = stop.code if isinstance(stop.code, int) else 1
    printed = out.getvalue() + err.getvalue()
    assert code in (0, 1, 2, 3, 4), printed  # 3 and 4: `watch` of a study that failed, or is not finished
    assert "Traceback" not in printed, printed
    assert not CONTROLS & set(printed), repr(printed)
    told = [line for line in err.getvalue().splitlines() if line.startswith("outshine: ")]
    assert len(told) == (code == 2), printed


def _plan(folder: Path, content: bytes) -> None:
    (folder / "study.yaml").write_bytes(content)
    with patch("huggingface_hub.constants.HF_HUB_OFFLINE", True):
        _command(folder, ["plan", str(folder / "study.yaml"), "--offline", "--set=datasets=[tiny-home]"])


def _audit(folder: Path, file: tuple[str, bytes]) -> None:
    _command(folder, ["audit", str(_written(folder, file)), "--n-train=16", "--n-val=8", "--n-test=8"])


def _model(folder: Path, files: dict[str, str]) -> None:
    """All that is read of a model before its weights, then those, where they are of its type and little is asked for."""
    from tiny_checkpoints import CPU

    model = Path(shutil.copytree(_checkpoint(), folder / "model"))
    for name, text in files.items():
        (model / name).parent.mkdir(exist_ok=True)
        (model / name).write_text(text, encoding="utf-8", errors="surrogatepass")
    with patch("huggingface_hub.constants.HF_HUB_OFFLINE", True):
        resolved = resolve(ModelSettings(model=str(model)), "float32")
        assert 0 < resolved.spec.max_length <= MAX_LENGTH
        load_tokenizer(resolved.spec.model)
        small = max((int(number) for number in re.findall(r"\d+", files["config.json"])), default=0) < SMALL
        if small and '"llama"' in files["config.json"]:
            load_backbone(resolved.spec, CPU)


@cache
def _checkpoint() -> Path:
    """A good little model, made once and left to the end of the process."""
    from tiny_checkpoints import write_checkpoint

    folder = tempfile.mkdtemp(prefix="fuzz-model-")
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    return write_checkpoint(Path(folder) / "whole", "llama")


def _hub(folder: Path, asked: tuple[str, int, bytes]) -> None:
    """Whatever a hub says: models and datasets are found, or it is told in one line; nothing is written elsewhere."""
    from model_hub import ModelHub, serving

    dataset, commit = Hub("org/data"), "b" * 40
    calls: dict[str, Callable[[], object]] = {
        "model": lambda: snapshot(Repo("model", "org/model"), ["*.json", "*/*.py"]),
        "files": lambda: snapshot(Repo("model", "org/model", commit), ["*.json"]),
        "dataset": lambda: identify_hub(dataset),
        "shards": lambda: open_hub(dataset, f"hub:org/data@{commit}"),
    }
    call, status, answer = asked
    with serving(ModelHub(), folder / "cache") as hub:
        hub.status, hub.answer = status, answer
        try:
            calls[call]()
        finally:
            assert {path.name for path in folder.iterdir()} <= {"cache"}


def _store(folder: Path, damage: Damage) -> None:
    look(folder, damage, _command)


TARGETS: dict[str, Target] = {
    "study files": Target(STUDY_FILES, _study, 0.3),
    "--set": Target(ASSIGNMENTS, _assignments, 0.15),
    "data files": Target(NAMED_FILES, _dataset, 0.25),
    "weak labels": Target(NAMED_FILES, _weak_labels, 0.1),
    "score tables": Target(SCORE_TABLES, _tables, 0.05),
    "predictions": Target(PREDICTIONS, _score, 0.1),
    "records of a store": Target(RECORDS, _record, 0.07),
    "model folders": Target(MODEL_FOLDERS, _model, 0.06),
    "hub answers": Target(HUB_ANSWERS, _hub, 0.03),
    "documents of a store": Target(DAMAGES, _store, 0.05),
    "outshine plan": Target(STUDY_FILES, _plan, 0.015),
    "outshine audit": Target(NAMED_FILES, _audit, 0.015),
}


class Hang(BaseException):
    """An input took too long."""


@contextlib.contextmanager
def _patience() -> Iterator[None]:
    def stop(_: int, frame: FrameType | None) -> None:
        raise Hang(f"still at {frame.f_code.co_qualname if frame else 'it'} after {PATIENCE} s")

    before = signal.signal(signal.SIGALRM, stop)
    signal.alarm(PATIENCE)
    try:
        yield
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)


def check(target: Target, given_input: Any) -> str:
    """`taken` or `refused`; anything else is a failure: another exception, a warning, a long or unseemly message, a hang."""
    folder = Path(tempfile.mkdtemp(prefix="fuzz-"))
    try:
        with warnings.catch_warnings(), _patience():
            warnings.simplefilter("error")
            target.run(folder, given_input)
        return "taken"
    except OutshineError as error:
        _check_message(str(error))
        return "refused"
    finally:
        shutil.rmtree(folder)


def _check_message(message: str) -> None:
    assert message
    assert len(message) < LONGEST, message
    assert not (CONTROLS | {"\n"}) & set(message), message
    assert message.encode().decode() == message


def fuzz(target: Target, num_inputs: int, at: int | None = None) -> Counter[str]:
    """How many of the inputs were taken and refused. `at`: the seed; None: the same inputs each time."""
    counts: Counter[str] = Counter()

    @settings(
        max_examples=num_inputs,
        deadline=None,
        database=None,
        derandomize=at is None,
        suppress_health_check=list(HealthCheck),
    )
    @given(target.inputs)
    def one(given_input: Any) -> None:
        counts[check(target, given_input)] += 1

    (one if at is None else seed(at)(one))()
    return counts


def _main() -> None:
    sys.path.append(str(Path(__file__).resolve().parents[1]))  # helpers of all tests, as under pytest
    parser = argparse.ArgumentParser(description="Try strange inputs on everything that reads what others wrote.")
    parser.add_argument("--inputs", type=int, default=12_000, help="how many, over all targets")
    parser.add_argument(
        "--seed", type=int, default=random.randrange(2**32), help="repeats a run; else drawn and printed"
    )
    parser.add_argument("--only", choices=TARGETS, help="one target")
    options = parser.parse_args()
    sys.stdout.write(f"seed {options.seed}\n")
    total = 0
    shares = sum(target.share for target in TARGETS.values())
    for name, target in TARGETS.items():
        if options.only in (None, name):
            began = time.monotonic()
            num = options.inputs if options.only else round(options.inputs * target.share / shares)
            counts = fuzz(target, num, options.seed)
            total += counts.total()
            sys.stdout.write(
                f"{name}: {counts.total():,} inputs, {counts['taken']:,} taken, {counts['refused']:,} refused, "
            )
            sys.stdout.write(f"{time.monotonic() - began:.0f} s\n")
            sys.stdout.flush()
    sys.stdout.write(f"{total:,} inputs, no other outcome\n")


if __name__ == "__main__":
    _main()
