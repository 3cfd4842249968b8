"""A bounded number of strange inputs, the same ones each time; `make fuzz` tries many others."""

from __future__ import annotations

import pytest
from fuzzing import TARGETS, check, fuzz
from hypothesis import given, settings
from hypothesis import strategies as st
from strange import VALID

from outshine.engine.errors import DataError, SettingsError
from outshine.w2s.study_file import parse_study, read_study

NUMBERS = {
    "study files": 150,
    "--set": 150,
    "data files": 100,
    "weak labels": 60,
    "score tables": 30,
    "predictions": 200,
    "records of a store": 60,
    "model folders": 80,
    "hub answers": 40,
    "documents of a store": 60,
}


BOTH_ENDS = ("study files", "--set", "data files", "weak labels", "score tables", "predictions", "model folders")


@pytest.mark.slow
@pytest.mark.parametrize("parts", [2, pytest.param(1, marks=pytest.mark.exhaustive)])
@pytest.mark.parametrize("name", TARGETS)
def test_a_strange_input_is_taken_or_refused_in_one_line(name, parts):
    """Of some both: a fuzzer whose every input is refused at the door would test the door.

    `make test` tries half of them, `make test-all` all.
    """
    counts = fuzz(TARGETS[name], NUMBERS.get(name, 25) // parts)
    assert counts.total() > 0
    if name in BOTH_ENDS:
        assert counts["taken"] > 0
        assert counts["refused"] > 0


def test_the_study_that_is_altered_is_a_good_one():
    assert parse_study(VALID).name == "fuzzed"


@pytest.mark.parametrize(
    "fault",
    [
        ValueError("other"),
        KeyError("other"),
        RecursionError(),
        UserWarning("a warning"),
        OSError("other"),
        AssertionError(),
    ],
    ids=lambda fault: type(fault).__name__,
)
def test_the_fuzzer_lets_nothing_else_pass(fault):
    target = TARGETS["study files"]._replace(run=lambda *_: (_ for _ in ()).throw(fault))
    with pytest.raises(type(fault)):
        check(target, b"")


@pytest.mark.parametrize("message", [""])
def test_the_fuzzer_wants_a_message(message):
    def refuse(*_: object) -> None:
        raise DataError(message)

    with pytest.raises(AssertionError):
        check(TARGETS["study files"]._replace(run=refuse), b"")


BOMB = "a: &a [x,x,x,x,x,x,x,x,x]\n" + "".join(
    f"{name}: &{name} [{','.join([f'*{before}'] * 9)}]\n" for before, name in zip("abcdefgh", "bcdefghi", strict=True)
)


@pytest.mark.parametrize(
    ("text", "word"),
    [
        (f"{BOMB}datasets: *i\n", "stands for more than 100,000 values"),
        ("datasets: " + "[" * 100_000, "nested too deep"),
        ("datasets: " + "[" * 51 + "]" * 51, "nested too deep"),
        ("datasets: &a [*a]", "holds itself"),
        ("datasets: [tiny-home]\ndatasets: [tiny-pet]", "'datasets' is given twice"),
        ("strong: {model: a/b, model: c/d}\ndatasets: x", "'model' is given twice"),
        ("1: 2", "name is no text"),
        ("on: true", "name is no text"),
        ("? [a]\n: b", "name is no text"),
        ('datasets: "a\\0.csv"', "does not show"),
        ('notes: "\\e[31m"', "does not show"),
        ('notes: "\\ud800"', "does not show"),
        (f"seeds: {'9' * 30}", "number is too large"),
        (f"seeds: {'9' * 5000}", "number is too large"),
        ("datasets: 2020-99-99", "not what it looks like"),
        ("datasets: !!int abc", "not what it looks like"),
        ("datasets: !!python/object/apply:os.system [echo]", "no valid YAML"),
        ("x" * 1_000_001, "at most 1,000,000"),
    ],
    ids=lambda value: value[:24],
)
def test_yaml_that_no_study_needs_is_refused_with_its_reason(tmp_path, text, word):
    (tmp_path / "study.yaml").write_text(text)
    with pytest.raises(SettingsError, match=r"study\.yaml") as caught:
        read_study(str(tmp_path / "study.yaml"))
    assert word in str(caught.value)


def test_aliases_and_merges_within_bounds_are_read(tmp_path):
    (tmp_path / "study.yaml").write_text("a: &a {k: 5}\nb: {<<: *a, x: [1, 0x10, .5, null, 2020-01-01]}\nc: *a\n")
    raw = read_study(str(tmp_path / "study.yaml"))
    assert raw["b"]["k"] == raw["c"]["k"] == 5
    assert raw["b"]["x"][:4] == [1, 16, 0.5, None]


@settings(max_examples=100, derandomize=True, database=None)
@given(st.text(max_size=300))
def test_any_error_is_one_line_that_shows_and_is_stable(text):
    once = str(DataError(text))
    assert len(once.splitlines()) <= 1
    assert once.isprintable() or not set(once) & {chr(number) for number in range(32)}
    assert str(DataError(once)) == once
