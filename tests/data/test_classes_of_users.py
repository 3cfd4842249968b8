"""Files whose labels are of several classes: how they are named, read and cut into splits."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from outshine.data.recipes.file import FileDataset
from outshine.data.splits import SplitSettings, in_shares, prepare
from outshine.data.task import Binary, MultiClass, task_of
from outshine.data.weak_label_file import join_weak_labels, read_weak_labels
from outshine.engine.errors import DataError

MOODS = ("anger", "joy", "optimism", "sadness")
COUNTS = (160, 90, 30, 120)


def moods(folder: Path, counts: tuple[int, ...] = COUNTS, **changed: Any) -> Path:
    """A file of short texts with four labels, not equally often."""
    labels = np.random.default_rng(0).permutation(np.repeat(MOODS, counts))
    frame = pd.DataFrame({"text": [f"text {i} of many" for i in range(len(labels))], "label": labels})
    for column, values in changed.items():
        frame[column] = values
    path = folder / "moods.csv"
    frame.to_csv(path, index=False)
    return path


def prepared(path: Path, settings: SplitSettings | None = None, **fields: Any) -> Any:
    recipe = FileDataset(path=str(path), **{"classes": "all", **fields})
    identity = recipe.identify()
    recipe = recipe.resolved(identity)
    return recipe, prepare(recipe, identity, settings or SplitSettings(n_train=160, n_val=40, n_test=80))


def test_all_values_of_the_column_are_classes(tmp_path: Path) -> None:
    recipe, splits = prepared(moods(tmp_path))
    assert recipe.task == MultiClass(class_names=MOODS)
    assert recipe.task.num_outputs == 4
    by_text = pd.read_csv(tmp_path / "moods.csv").set_index("text")["label"]
    rows = splits.texts.merge(splits.truth, on="id")
    assert [MOODS[number] for number in rows["label"]] == by_text[rows["text"]].tolist()


def test_splits_have_the_shares_of_the_source(tmp_path: Path) -> None:
    _, splits = prepared(moods(tmp_path))
    rows = splits.texts.merge(splits.truth, on="id")
    for split, size in {"weak_train": 80, "strong_train": 80, "val": 40, "test": 80}.items():
        counts = Counter(rows.loc[rows["split"] == split, "label"])
        assert sum(counts.values()) == size
        for number, of_class in enumerate(COUNTS):
            assert abs(counts[number] - size * of_class / 400) <= 1
    assert splits.report["splits"]["test"]["class_counts"] == [32, 18, 6, 24]
    assert any("Rare classes in test, fewer than 10 rows: optimism (6)" in note for note in splits.notes)


@pytest.mark.parametrize("seed", range(5))
def test_shares_are_rounded_to_the_size(seed: int) -> None:
    rng = np.random.default_rng(seed)
    counts = rng.integers(3, 200, rng.integers(2, 12)).tolist()
    size = int(rng.integers(4 * len(counts), sum(counts)))
    shares = in_shares(size, counts)
    assert abs(sum(shares) - size) <= len(counts)
    exact = [size * count / sum(counts) for count in counts]
    assert all(abs(share - value) <= 1 or share <= 2 for share, value in zip(shares, exact, strict=True))
    assert min(shares) >= 1


def test_groups_stay_together(tmp_path: Path) -> None:
    path = moods(tmp_path, group=[f"author {i % 37}" for i in range(400)])
    _, splits = prepared(path)
    assert (splits.texts.groupby("group")["split"].nunique() == 1).all()


def test_named_classes_have_their_order_and_case_and_blanks_do_not_count(tmp_path: Path) -> None:
    path = moods(tmp_path)
    frame = pd.read_csv(path)
    frame["label"] = [
        label.upper() if i % 3 == 0 else f" {label} " if i % 3 == 1 else label for i, label in enumerate(frame["label"])
    ]
    frame.to_csv(path, index=False)
    recipe, splits = prepared(path, classes="sadness, Joy,optimism,anger")
    assert recipe.task.class_names == ("sadness", "Joy", "optimism", "anger")
    assert sum(splits.report["splits"]["test"]["class_counts"][:1]) == 24


def test_numbers_are_in_the_order_of_numbers(tmp_path: Path) -> None:
    path = moods(tmp_path, label=[f"{i % 12}.0" for i in range(400)])
    recipe, _ = prepared(path)
    assert recipe.task.class_names == tuple(map(str, range(12)))


def test_two_classes_are_a_binary_task(tmp_path: Path) -> None:
    path = moods(tmp_path, label=["ham" if i % 2 else "spam" for i in range(400)])
    recipe, splits = prepared(path)
    assert recipe.task == Binary(class_names=("ham", "spam"))
    plain = FileDataset(path=str(path), positive="spam")
    same = prepare(plain, plain.identify(), SplitSettings(n_train=160, n_val=40, n_test=80))
    pd.testing.assert_frame_equal(splits.texts, same.texts)
    pd.testing.assert_frame_equal(splits.truth, same.truth)
    assert task_of(("ham", "spam")) == recipe.task


@pytest.mark.parametrize(
    ("fields", "labels", "message"),
    [
        ({"classes": "anger,joy"}, None, r"row \d+ of '.*' has (sadness|optimism) .* none of the 2 classes"),
        ({"classes": "anger,joy,sadness,optimsm"}, None, r"has optimism .* did you mean optimsm\? add it to --classes"),
        ({"classes": "anger,joy,sadness,optimism,fear"}, None, r"--classes names fear, which no row has"),
        ({"classes": "anger,joy,Anger"}, None, r"names .*anger.* twice"),
        ({"classes": "anger"}, None, r"names 1 class; two or more"),
        ({"classes": "anger,,joy"}, None, r"names an empty class"),
        ({"classes": "anger,joy", "positive": "joy"}, None, r"positive and negative are for two"),
        ({"classes": ",".join(f"c{i}" for i in range(1001))}, None, r"1,001 classes are more than"),
        ({}, [f"c{i}" for i in range(400)], r"holds 400 different values in 400 rows: is it the column of the labels"),
        ({}, ["one"] * 400, r"holds one; two or more classes are needed"),
        ({}, ["a"] * 198 + ["b"] * 200 + ["c", "d"], r"would have \d+ rows and none of [cd]|no usable .* labelled"),
        ({"classes": None}, None, r"or that each value is a class of its own: --classes all"),
    ],
)
def test_what_cannot_be_classes_is_said_in_one_line(
    tmp_path: Path, fields: dict[str, Any], labels: list[str] | None, message: str
) -> None:
    path = moods(tmp_path) if labels is None else moods(tmp_path, label=labels)
    with pytest.raises(DataError, match=message) as raised:
        prepared(path, **fields)
    assert "\n" not in str(raised.value)


def test_weak_labels_are_a_column_of_each_class_or_names(tmp_path: Path) -> None:
    recipe, splits = prepared(moods(tmp_path))
    texts, task = splits.texts, recipe.task
    p = np.random.default_rng(2).dirichlet(np.ones(4), len(texts))
    soft = tmp_path / "weak.csv"
    pd.DataFrame({"text": texts["text"], **{f"p_weak_{mood}": p[:, k] for k, mood in enumerate(MOODS)}}).to_csv(soft)
    joined = join_weak_labels(read_weak_labels(soft, task), texts, task)
    np.testing.assert_allclose(joined[list(task.label_columns)], p, atol=1e-12)
    assert joined["id"].tolist() == texts["id"].tolist()

    hard = tmp_path / "hard.csv"
    names = [MOODS[k].upper() for k in p.argmax(1)]
    pd.DataFrame({"text": texts["text"], "p_weak": names}).to_csv(hard)
    joined = join_weak_labels(read_weak_labels(hard, task), texts, task)
    np.testing.assert_array_equal(joined[list(task.label_columns)], np.eye(4)[p.argmax(1)])


@pytest.mark.parametrize(
    ("columns", "message"),
    [
        ({"p_weak_anger": [0.5], "p_weak_joy": [0.5]}, "neither a column for each of the 4 classes .* nor one column"),
        ({f"p_weak_{mood}": [0.4] for mood in MOODS}, "add up to 1.6; those of all classes add up to 1"),
        ({f"p_weak_{mood}": ["x"] for mood in MOODS}, "class anger is 'x'; expected a probability"),
        ({"p_weak": ["fear"]}, "has fear .* none of the 4 classes"),
        ({"p_weak": [""]}, "has no weak label"),
    ],
)
def test_weak_labels_that_are_none_are_refused(tmp_path: Path, columns: dict[str, Any], message: str) -> None:
    path = tmp_path / "weak.jsonl"
    pd.DataFrame({"text": ["a text"], **columns}).to_json(path, orient="records", lines=True)
    with pytest.raises(DataError, match=message):
        read_weak_labels(path, MultiClass(class_names=MOODS))
