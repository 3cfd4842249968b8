"""Folds of a user's rows: who may see what, what moves a student's key, and what cannot be folded."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from outshine.engine.errors import DataError
from outshine.engine.progress import Silent
from outshine.engine.run.local import LocalExecutor
from outshine.engine.runtime import Runtime
from outshine.engine.store.store import Store
from outshine.labelling.folds import EVERY, FoldTrainingLabels
from outshine.labelling.run import LabelResolution, parse_label_settings, resolve_label_settings, students
from outshine.w2s.stages.finetune import Student
from outshine.w2s.stages.prepare import Texts

pytestmark = pytest.mark.slow  # folds are trained

WORDS = [f"w{i}" for i in range(2000)]
FOLDS = 4


def made_rows(num_rows: int = 160) -> list[dict[str, Any]]:
    """Rows of random words, the last ten nearly the same as the first ten."""
    rng = np.random.default_rng(0)
    texts = [" ".join(rng.choice(WORDS, 15)) for _ in range(num_rows - 10)]
    texts += [f"{text} more" for text in texts[:10]]
    return [{"text": text, "cheap": int(rng.random() < 0.4)} for text in texts]


class Folded:
    """A labelling whose folds are in a store of their own."""

    def __init__(
        self, folder: Path, rows: list[dict[str, Any]], trusted: list[dict[str, Any]] | None = None, **settings: Any
    ):
        raw = {"path": str(write(folder / "mine.jsonl", rows)), "columns": {"label": "cheap"}, "strong": "tiny/strong"}
        if trusted is not None:
            raw["trusted"] = str(write(folder / "trusted.jsonl", trusted))
        self.store, self.progress = Store(folder / "store"), Silent()
        self.resolution: LabelResolution = resolve_label_settings(
            parse_label_settings({**raw, "folds": FOLDS, **settings})
        )
        LocalExecutor(self.store, Runtime(threads=1), self.progress).run(self.resolution.folds)

    @property
    def plan(self) -> pd.DataFrame:
        return self.resolution.plan.read(self.store)

    def split(self, number: int, split: str) -> set[str]:
        texts = self.resolution.folds[number].read_texts(self.store)
        return set(texts.loc[texts["split"] == split, "id"])

    def students(self) -> tuple[Student, ...]:
        return students(self.resolution, self.store)


def write(path: Path, rows: list[dict[str, Any]]) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def changed(rows: list[dict[str, Any]], place: int, **update: Any) -> list[dict[str, Any]]:
    return [{**row, **update} if i == place else row for i, row in enumerate(rows)]


@pytest.fixture
def folded(tmp_path: Path) -> Folded:
    return Folded(tmp_path / "one", made_rows())


def test_every_row_is_predicted_by_the_student_that_did_not_see_it(folded: Folded) -> None:
    plan = folded.plan
    assert sorted(plan["row"]) == list(range(160))
    assert set(plan["fold"]) == set(range(FOLDS))
    for number in range(FOLDS):
        own = set(plan.loc[plan["fold"] == number, "id"])
        train, val, test = (folded.split(number, split) for split in ("strong_train", "val", "test"))
        assert test == own
        assert train | val == set(plan["id"]) - own
        assert not train & val
        labels = FoldTrainingLabels.of(folded.resolution.folds[number], folded.store).read_labels(folded.store)
        assert set(labels.index) == train | val
        known = plan.set_index("id")["p"]
        assert labels.equals(known.loc[labels.index].rename("p"))


def test_folds_are_of_like_size_and_validation_is_a_tenth(folded: Folded) -> None:
    sizes = folded.plan["fold"].value_counts()
    assert sizes.max() - sizes.min() <= 2
    for number in range(FOLDS):
        assert 24 <= len(folded.split(number, "val")) <= 26  # a floor of 32, up to a fifth of the 120
    many = [{"text": f"{i} {i * 7919 % 977} {i * 31 % 1013}", "cheap": i % 2} for i in range(1000)]
    larger = Folded(folded.store.root.parent / "larger", many)
    assert all(75 <= len(larger.split(number, "val")) <= 85 for number in range(FOLDS))


def test_texts_that_are_nearly_the_same_share_a_fold_and_a_side(folded: Folded) -> None:
    plan = folded.plan.set_index("row")
    for place in range(10):
        assert plan.loc[place, "group"] == plan.loc[150 + place, "group"]
        assert plan.loc[place, "fold"] == plan.loc[150 + place, "fold"]
    sizes = plan.groupby("group").size()
    assert sizes.value_counts().to_dict() == {1: 140, 2: 10}
    for number in range(FOLDS):
        groups = plan.set_index("id")["group"]
        train, val = (set(groups.loc[list(folded.split(number, split))]) for split in ("strong_train", "val"))
        assert not train & val
    assert any("20 rows share a group" in note for note in folded.progress.notes)


def test_rows_of_the_users_own_groups_stay_together(tmp_path: Path) -> None:
    rows = [{**row, "author": f"a{i % 12}" if i % 3 else None} for i, row in enumerate(made_rows())]
    plan = Folded(tmp_path, rows, columns={"label": "cheap", "group": "author"}).plan.set_index("row")
    authors = pd.Series([row["author"] for row in rows])
    assert (plan["fold"].groupby(authors).nunique() == 1).all()
    assert plan.loc[authors.isna()[authors.isna()].index, "group"].nunique() > 40


def test_a_students_key_knows_nothing_of_the_labels_of_its_own_fold(folded: Folded, tmp_path: Path) -> None:
    place, fold = 40, int(folded.plan.set_index("row").loc[40, "fold"])
    rows = made_rows()
    other = Folded(tmp_path / "other", changed(rows, place, cheap=1 - rows[place]["cheap"]))
    assert other.plan.set_index("row")["fold"].equals(folded.plan.set_index("row")["fold"])
    same = [one.key == two.key for one, two in zip(folded.students(), other.students(), strict=True)]
    assert same == [number == fold for number in range(FOLDS)]


def test_labels_have_no_say_in_the_folds_nor_has_the_order_of_rows(folded: Folded, tmp_path: Path) -> None:
    rows = made_rows()
    turned = Folded(tmp_path / "turned", [{**row, "cheap": 1 - row["cheap"]} for row in rows[::-1]])
    fold = folded.plan.set_index("text")["fold"]
    assert turned.plan.set_index("text")["fold"].loc[fold.index].equals(fold)


def test_new_trusted_rows_are_predicted_and_never_trained_on(tmp_path: Path) -> None:
    rows = made_rows()
    trusted = [
        {"text": "a text of quite other words than theirs", "label": 1},
        {"text": f"{rows[30]['text']} indeed", "label": 0},
        {"text": rows[31]["text"], "label": 0},
    ]
    found = Folded(tmp_path / "one", rows, trusted)
    plan = found.plan
    new = plan[plan["row"] < 0].set_index("number")
    assert sorted(new.index) == [0, 1]
    assert new.loc[0, "fold"] == EVERY
    like = plan.set_index("row").loc[30]
    assert (new.loc[1, "fold"], new.loc[1, "group"]) == (like["fold"], like["group"])
    without = Folded(tmp_path / "without", rows).plan.set_index("row")[["fold", "group"]]
    assert plan[plan["row"] >= 0].set_index("row")[["fold", "group"]].loc[without.index].equals(without)
    for number in range(FOLDS):
        test = found.split(number, "test")
        assert new.loc[0, "id"] in test
        assert (new.loc[1, "id"] in test) == (number == like["fold"])
        assert not (found.split(number, "strong_train") | found.split(number, "val")) & set(new["id"])


def test_true_labels_reach_no_student(tmp_path: Path) -> None:
    rows = made_rows()
    trusted = [{"text": rows[i]["text"], "label": i % 2} for i in range(30)] + [{"text": "new words", "label": 1}]
    one = Folded(tmp_path / "one", rows, trusted)
    other = Folded(tmp_path / "other", rows, [{**row, "label": 1 - row["label"]} for row in trusted])
    assert one.resolution.plan.trusted_digest != other.resolution.plan.trusted_digest
    assert [student.key for student in one.students()] == [student.key for student in other.students()]
    without = Folded(tmp_path / "without", rows)
    matched = Folded(tmp_path / "matched", rows, trusted[:30])  # all are rows of the file: nothing is trained anew
    assert [student.key for student in matched.students()] == [student.key for student in without.students()]


def test_rows_without_label_or_text(tmp_path: Path) -> None:
    rows = changed(changed(changed(made_rows(), 50, cheap=None), 51, text="  "), 52, text=None)
    found = Folded(tmp_path, rows)
    plan = found.plan.set_index("row")
    assert {51, 52}.isdisjoint(plan.index)
    name, fold = plan.loc[50, "id"], plan.loc[50, "fold"]
    for number in range(FOLDS):
        assert (name in found.split(number, "test")) == (number == fold)
        assert name not in found.split(number, "strong_train") | found.split(number, "val")
    notes = " ".join(found.progress.notes)
    assert "2 rows have no text" in notes
    assert "1 rows have no cheap label" in notes


def test_the_same_text_twice_is_two_rows_of_one_group(tmp_path: Path) -> None:
    rows = made_rows()
    rows[61]["text"] = rows[60]["text"]
    plan = Folded(tmp_path, rows).plan.set_index("row")
    assert plan.loc[60, "id"] != plan.loc[61, "id"]
    assert plan.loc[60, "group"] == plan.loc[61, "group"]


def test_one_large_group_is_told(tmp_path: Path) -> None:
    rows = [{**row, "group": "big" if i < 80 else None} for i, row in enumerate(made_rows())]
    # ten of the others are nearly the same as ten of these
    assert any("one group has 90 of the 160 rows" in note for note in Folded(tmp_path, rows).progress.notes)


@pytest.mark.parametrize(
    ("rows", "told"),
    [
        (
            [{"text": f"the same words all over again {'!' * i}", "cheap": i % 2} for i in range(60)],
            "has 1 group of different",
        ),
        (made_rows()[:10], "would train on .* give more rows or fewer folds"),
        ([{**row, "cheap": int(i == 0)} for i, row in enumerate(made_rows())], "1 different labels"),
    ],
)
def test_what_cannot_be_folded(tmp_path: Path, rows: list[dict[str, Any]], told: str) -> None:
    with pytest.raises(DataError, match=told):
        Folded(tmp_path, rows)


def test_a_file_that_changes_in_use_is_refused(tmp_path: Path) -> None:
    resolution = resolve_label_settings(
        parse_label_settings(
            {
                "path": str(write(tmp_path / "mine.jsonl", made_rows())),
                "columns": {"label": "cheap"},
                "strong": "tiny/strong",
            }
        )
    )
    write(tmp_path / "mine.jsonl", made_rows()[1:])
    with pytest.raises(DataError, match="has changed while it was in use"):
        LocalExecutor(Store(tmp_path / "store"), Runtime(threads=1), Silent()).run(resolution.folds)


def test_where_files_lie_moves_no_key(folded: Folded, tmp_path: Path) -> None:
    moved = Folded(tmp_path / "elsewhere", made_rows(), name="another-name")
    assert [one.key for one in moved.resolution.folds] == [one.key for one in folded.resolution.folds]
    assert isinstance(Texts.of(moved.resolution.folds[0], moved.store).digest, str)
