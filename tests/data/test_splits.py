"""The rules by which rows become splits, on made-up datasets."""

from __future__ import annotations

import json
from collections import Counter
from random import Random
from typing import Any

import pandas as pd
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from outshine.data import splits as splits_module
from outshine.data.rows import ListRows, Pools, Row
from outshine.data.schema import Draw, Example, Recipe, row_id
from outshine.data.splits import SPLITS, PreparedSplits, SplitSettings, prepare, preview, scale_sizes
from outshine.engine.errors import DataError

SMALL = SplitSettings(n_train=40, n_val=10, n_test=20)


class Toy(Recipe):
    """Rows that are (text, label, group) already; never registered."""

    kind = "toy"

    def format(self, row: Row, draw: Draw) -> Example | None:
        return None if row.get("skip") else Example(row["text"], row["label"], row.get("group"), row.get("shorten", ""))


def prepare_rows(
    train: list[dict[str, Any]],
    test: list[dict[str, Any]] | None = None,
    split_settings: SplitSettings = SMALL,
    test_size: int | None = None,
) -> PreparedSplits:
    class Source(Toy):
        def open(self, identity: str) -> Pools:
            return Pools(ListRows(train), None if test is None else ListRows(test), test_size)

    return prepare(Source(), "toy", split_settings)


def make_rows(num: int, prefix: str = "row", positive_every: int = 2, per_group: int = 0) -> list[dict[str, Any]]:
    return [
        {
            "text": f"{prefix} {i}",
            "label": i % positive_every == 0,
            "group": f"{prefix} group {i // per_group}" if per_group else None,
        }
        for i in range(num)
    ]


def sizes(prepared: PreparedSplits) -> dict[str, int]:
    return {split: int((prepared.texts["split"] == split).sum()) for split in SPLITS}


def positives(prepared: PreparedSplits) -> dict[str, int]:
    joined = prepared.texts.merge(prepared.truth, on="id")
    return {split: int(joined.loc[joined["split"] == split, "label"].sum()) for split in SPLITS}


def in_split(prepared: PreparedSplits, split: str) -> set[str]:
    return set(prepared.texts.loc[prepared.texts["split"] == split, "text"])


def test_sizes_asked_for_are_met_exactly() -> None:
    prepared = prepare_rows(make_rows(300), make_rows(100, "test"))
    assert sizes(prepared) == {"weak_train": 20, "strong_train": 20, "val": 10, "test": 20}
    assert positives(prepared) == {"weak_train": 10, "strong_train": 10, "val": 5, "test": 10}
    assert not any("Fewer" in note for note in prepared.notes)


def test_frames_have_the_promised_shape() -> None:
    prepared = prepare_rows([{**row, "shorten": row["text"][4:]} for row in make_rows(300)], make_rows(100, "test"))
    texts, truth = prepared.texts, prepared.truth
    assert texts.columns.tolist() == ["id", "split", "text", "group", "cut_start", "cut_end"]
    assert truth.columns.tolist() == ["id", "label"]
    assert texts["id"].tolist() == truth["id"].tolist() == sorted(texts["id"])
    assert texts["id"].tolist() == [row_id("toy", text) for text in texts["text"]]
    assert set(truth["label"]) == {0, 1}
    for row in texts.itertuples():
        expected = row.text[4:] if row.split != "test" else ""
        assert row.text[row.cut_start : row.cut_end] == expected


def test_the_order_of_rows_carries_no_label() -> None:
    """Sorted by a hash, the ranks of positives are uniform: their mean is within 4 standard errors of the middle."""
    rows = [{"text": f"{i:05d} {'good' if i >= 2000 else 'bad'}", "label": i >= 2000} for i in range(4000)]
    prepared = prepare_rows(rows, None, SplitSettings(n_train=3000, n_val=400, n_test=600))
    labels = prepared.truth["label"].to_numpy()
    mean_rank = labels.nonzero()[0].mean() / len(labels)
    assert abs(mean_rank - 0.5) < 4 * (1 / 12 / 2000 / 2) ** 0.5


def test_fewer_rows_shrink_all_splits_in_proportion_and_say_so() -> None:
    prepared = prepare_rows(make_rows(2200), make_rows(100, "test"), SplitSettings())
    assert sizes(prepared) == {"weak_train": 1000, "strong_train": 1000, "val": 200, "test": 100}
    told = "Fewer rows than asked for: test 100 of 5,000, val 200 of 1,000, weak_train 1,000 of 5,000"
    assert any(told in note for note in prepared.notes)


def test_unbalanced_sources_are_undersampled_to_the_minority() -> None:
    prepared = prepare_rows(make_rows(880, positive_every=4), make_rows(100, "test", 5), SplitSettings())
    assert sizes(prepared) == {"weak_train": 200, "strong_train": 200, "val": 40, "test": 40}
    assert positives(prepared) == {"weak_train": 100, "strong_train": 100, "val": 20, "test": 20}


def test_test_may_be_left_as_it_is() -> None:
    kept = SMALL.model_copy(update={"balance_test": False, "n_test": 50})
    prepared = prepare_rows(make_rows(300), make_rows(50, "test", 5), kept)
    assert sizes(prepared)["test"] == 50
    assert positives(prepared)["test"] == 10
    assert "test is not balanced: 20.0% are positive." in prepared.notes


def test_an_unbalanced_student_sees_no_truth() -> None:
    """Which rows are in strong_train must not depend on any label: flip them all, or some, and it is the same."""
    natural = SMALL.model_copy(update={"balance_student": False})
    rows = make_rows(200, positive_every=4)
    chosen = in_split(prepare_rows(rows, make_rows(100, "test"), natural), "strong_train")
    flipped = [{**row, "label": not row["label"]} for row in rows]
    mixed = [{**row, "label": i % 3 == 0} for i, row in enumerate(rows)]
    assert len(chosen) == 20
    for other in (flipped, mixed):
        assert in_split(prepare_rows(other, make_rows(100, "test"), natural), "strong_train") == chosen


def test_an_unbalanced_student_is_no_worse_off_for_a_balanced_test_that_was_held_out() -> None:
    """The test takes half its rows from the rarer class; strong_train must not be what that leaves at one end."""
    settings = SMALL.model_copy(update={"balance_student": False, "n_train": 400, "n_val": 50, "n_test": 200})
    prepared = prepare_rows(make_rows(1500, positive_every=3), split_settings=settings)
    # 400 of 1,300 rows that are left are positive: 61.5 of 200 are expected, with a standard deviation of about 6
    assert sizes(prepared)["strong_train"] == 200
    assert abs(positives(prepared)["strong_train"] - 61.5) < 4 * 6


def test_held_out_test_rows_when_there_is_no_test_file() -> None:
    prepared = prepare_rows(make_rows(300, per_group=3))
    assert sizes(prepared) == {"weak_train": 20, "strong_train": 20, "val": 10, "test": 20}
    assert "The test rows are held out of the source's rows by group." in prepared.notes


def test_a_source_that_says_how_many_it_holds_out() -> None:
    prepared = prepare_rows(make_rows(700), None, SplitSettings(), test_size=150)
    assert sizes(prepared) == {"weak_train": 250, "strong_train": 250, "val": 50, "test": 150}


def test_test_wins_duplicates_and_conflicts_are_dropped_everywhere() -> None:
    train = [
        *make_rows(100),
        {"text": "shared", "label": True},
        {"text": "row 0", "label": True},
        {"text": "torn", "label": True},
        {"text": "torn", "label": False},
        {"text": "torn across", "label": True},
    ]
    test = [
        *make_rows(30, "test"),
        {"text": "shared", "label": True},
        {"text": "test 0", "label": True},
        {"text": "torn across", "label": False},
    ]
    prepared = prepare_rows(train, test, SplitSettings(n_train=88, n_val=12, n_test=31, balance_test=False))
    assert "shared" in in_split(prepared, "test")
    assert not prepared.texts["text"].str.startswith("torn").any()
    assert prepared.report["dropped"]["train"] == {"duplicate": 2, "conflicting labels": 3, "surplus": 0}
    assert prepared.report["dropped"]["test"] == {"duplicate": 1, "conflicting labels": 1, "surplus": 0}


def test_training_groups_that_test_has_are_removed() -> None:
    train = [*make_rows(100, per_group=2), *({"text": f"extra {i}", "label": i % 2, "group": "g"} for i in range(6))]
    test = [*make_rows(20, "test"), {"text": "of g", "label": True, "group": "g"}]
    prepared = prepare_rows(train, test, SplitSettings(n_train=90, n_val=10, n_test=20))
    assert prepared.report["dropped"]["train"]["group in test"] == 6
    assert not prepared.texts["text"].str.startswith("extra").any()


def test_unusable_and_empty_rows_are_counted() -> None:
    train = [*make_rows(100), {"text": "x", "label": True, "skip": True}, {"text": " \n", "label": True}]
    report = prepare_rows(train, make_rows(30, "test")).report
    assert report["dropped"]["train"] == {"not usable": 1, "empty text": 1, "surplus": 50}


def test_the_report_can_be_written_as_json_and_adds_up() -> None:
    prepared = prepare_rows(make_rows(100, per_group=2), make_rows(30, "test"))
    report = json.loads(json.dumps(prepared.report, allow_nan=False))
    for side, used in (("train", ["weak_train", "strong_train", "val"]), ("test", ["test"])):
        rows = sum(report["splits"][split]["rows"] for split in used)
        assert rows + sum(report["dropped"][side].values()) == report["drawn_rows"][side]
    groups = prepared.texts.groupby("split")["group"].nunique()
    assert {split: report["splits"][split]["num_groups"] for split in SPLITS} == groups.to_dict()


def test_large_sources_are_sampled_before_formatting(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(splits_module, "DRAWN_WHOLE", 60)
    rows = make_rows(5000)
    prepared = prepare_rows(rows, make_rows(3000, "test"))
    assert prepared.report["drawn_rows"] == {"train": 200, "test": 80}
    assert prepared.report["source_rows"] == {"train": 5000, "test": 3000}
    numbers = prepared.texts.loc[prepared.texts["split"] != "test", "text"].str.split().str[1].astype(int)
    assert numbers.max() > 4000  # not the head of the file


def test_the_sample_grows_until_it_suffices(monkeypatch: pytest.MonkeyPatch) -> None:
    """One row in a hundred is positive: 200 rows drawn at first hold two."""
    monkeypatch.setattr(splits_module, "DRAWN_WHOLE", 60)
    prepared = prepare_rows(make_rows(8000, positive_every=100), make_rows(100, "test"))
    assert sizes(prepared) == {"weak_train": 20, "strong_train": 20, "val": 10, "test": 20}
    assert prepared.report["drawn_rows"]["train"] == 3200


def test_data_seed_moves_every_split() -> None:
    first, again, other = (
        prepare_rows(make_rows(300), make_rows(100, "test"), SMALL.model_copy(update={"data_seed": seed}))
        for seed in (0, 0, 1)
    )
    pd.testing.assert_frame_equal(first.texts, again.texts)
    for split in SPLITS:
        assert in_split(first, split) != in_split(other, split)


@pytest.mark.parametrize("seed", range(3))
def test_more_test_rows_leave_training_rows_as_they_are(seed: int) -> None:
    small, large = (
        prepare_rows(
            make_rows(300), make_rows(100, "test"), SplitSettings(n_train=40, n_val=10, n_test=n, data_seed=seed)
        )
        for n in (20, 60)
    )
    assert in_split(small, "weak_train") == in_split(large, "weak_train")
    assert in_split(small, "test") < in_split(large, "test")


@pytest.mark.parametrize(
    ("train", "test", "told"),
    [
        (
            make_rows(50, positive_every=1),
            make_rows(30, "t"),
            "all 50 usable training rows of dataset 'toy' are",
        ),
        (make_rows(50), make_rows(30, "t", 1), "all 30 usable test rows of dataset 'toy' are labelled 1; both labels"),
        (
            make_rows(6),
            make_rows(30, "t"),
            "rows are 3 positive and 3 negative; give more rows or ask for other sizes$",
        ),
        (make_rows(60), make_rows(6, "t"), r"test of dataset 'toy' would have 3 positive and 3 negative rows"),
        ([], make_rows(30, "t"), r"dataset 'toy' has no usable training row of 0$"),
        (
            [{"text": "", "label": True}] * 4,
            make_rows(30, "t"),
            r"no usable training row of 4 \(4 empty text\)",
        ),
        (make_rows(90, per_group=90), make_rows(30, "t"), "weak_train of dataset 'toy' would have 0 positive"),
        (  # the group is the label
            [{**row, "group": str(row["label"])} for row in make_rows(400)],
            None,
            "would have 0 positive and 0 negative rows, .*: the 400 usable training rows are 200 positive and 200 "
            r"negative, in 1 group and 1 group; a group .* is never divided, so 4 splits need rows of each class in 4 ",
        ),
        (  # and so it is in a test file
            [{**row, "group": str(row["label"])} for row in make_rows(400)],
            [{**row, "group": str(row["label"])} for row in make_rows(400, "t")],
            r"no usable training row of 400 \(400 group in test\); training rows of a group that test has are left out$",
        ),
        (  # all positives are by one author
            [{**row, "group": "one" if row["label"] else f"g{i}"} for i, row in enumerate(make_rows(400))],
            make_rows(60, "t"),
            "200 positive and 200 negative, in 1 group and 200 groups; a group .* so 3 splits need",
        ),
        (  # a constant in the group's column
            make_rows(400, per_group=400),
            None,
            "in one and the same group; a group .* so 4 splits need rows of each class in 4 groups or more$",
        ),
        (
            make_rows(400, positive_every=400),
            None,
            "the 400 usable training rows are 1 positive and 399 negative, and a balanced split has as many rows of "
            "each class; give more rows of the rarer one$",
        ),
        (  # enough groups, but nearly all rows in one
            [{**row, "group": "one" if i < 390 else f"g{i}"} for i, row in enumerate(make_rows(400))],
            make_rows(60, "t"),
            "and 390 of them are one group, which is never divided; use smaller groups$",
        ),
    ],
)
def test_what_cannot_be_learned_is_refused(train: list[Any], test: list[Any], told: str) -> None:
    with pytest.raises(DataError, match=told) as caught:
        prepare_rows(train, test)
    assert "\n" not in str(caught.value)


def test_too_small_a_size_is_told_as_such() -> None:
    with pytest.raises(
        DataError, match=r"val of dataset 'toy' would have 2 positive and 2 negative rows.*: ask for 8 or more$"
    ):
        prepare_rows(make_rows(300), make_rows(100, "test"), SMALL.model_copy(update={"n_val": 4}))


def test_an_id_for_a_group_changes_nothing_but_names() -> None:
    rows = [{**row, "group": str(i)} for i, row in enumerate(make_rows(300))]
    prepared = prepare_rows(rows, make_rows(100, "test"))
    assert sizes(prepared) == {"weak_train": 20, "strong_train": 20, "val": 10, "test": 20}
    assert all(summary["num_groups"] == summary["rows"] for summary in prepared.report["splits"].values())


def test_a_group_that_is_much_of_a_split_is_told() -> None:
    rows = [{**row, "group": "one" if i < 15 else None} for i, row in enumerate(make_rows(200, "test"))]
    settings = SMALL.model_copy(update={"n_test": 200})
    prepared = prepare_rows(make_rows(300), [*rows[:30]], settings)
    assert "One group has 15 of the 30 rows of test: intervals count them as one." in prepared.notes
    assert not any("One group" in note for note in prepare_rows(make_rows(300), rows, settings).notes)


def test_a_marked_part_must_be_in_the_text() -> None:
    with pytest.raises(DataError, match="marks a part to shorten that is not in its text"):
        prepare_rows([{"text": "a", "label": True, "shorten": "b"}])


@pytest.mark.parametrize("wrong", [{"n_train": 0}, {"n_val": -1}, {"data_seed": -1}, {"n_tset": 5}])
def test_settings_refuse_nonsense(wrong: dict[str, int]) -> None:
    with pytest.raises(ValidationError):
        SplitSettings(**wrong)  # pyright: ignore


def test_preview_shows_both_classes_in_turn() -> None:
    shown = preview(prepare_rows(make_rows(300), make_rows(100, "test")), 6)
    assert shown.columns.tolist() == ["id", "split", "label", "text"]
    assert shown["label"].tolist() == [1, 0, 1, 0, 1, 0]


# --- properties --------------------------------------------------------------------------------------------


@st.composite
def made_up_rows(draw: st.DrawFn, prefix: str) -> list[dict[str, Any]]:
    """Rows with repeated texts, some with both labels, in groups of any size, at any class balance."""
    random = Random(draw(st.integers(0, 2**32)))
    num_rows, num_texts, num_groups = draw(st.integers(80, 250)), draw(st.integers(60, 400)), draw(st.integers(20, 200))
    share, noise = draw(st.floats(0.25, 0.75)), draw(st.sampled_from([0.0, 0.05]))
    rows = []
    for _ in range(num_rows):
        number, group = random.randrange(num_texts), random.randrange(num_groups)
        label = (number * 0.618 % 1 < share) ^ (random.random() < noise)
        rows.append({"text": f"text {number}", "label": label, "group": f"{prefix}{group}" if group % 3 else None})
    return rows


@pytest.mark.slow
@settings(max_examples=100)
@given(
    train_rows=made_up_rows("g"),
    test_rows=made_up_rows("g") | made_up_rows("h") | st.none(),
    asked=st.tuples(st.integers(16, 60), st.integers(8, 30), st.integers(8, 60)),
    balance=st.tuples(st.booleans(), st.booleans()),
    order_seed=st.integers(0, 2**32),
)
def test_the_rules_hold_for_any_rows(
    train_rows: list[dict[str, Any]], test_rows: list[dict[str, Any]] | None, asked: Any, balance: Any, order_seed: int
) -> None:
    wanted = SplitSettings(
        n_train=asked[0], n_val=asked[1], n_test=asked[2], balance_test=balance[0], balance_student=balance[1]
    )
    try:
        prepared = prepare_rows(train_rows, test_rows, wanted)
    except DataError:
        assume(False)
        raise
    texts = prepared.texts.merge(prepared.truth, on="id", validate="one_to_one")
    given_rows = [*train_rows, *(test_rows or [])]

    assert texts["text"].is_unique
    assert texts["id"].is_unique
    assert (texts.groupby("group")["split"].nunique() == 1).all()
    truth = {(row["text"], row["label"]) for row in given_rows}
    torn = {text for text, count in Counter(text for text, _ in truth).items() if count > 1}
    assert not torn & set(texts["text"])
    assert {(text, bool(label)) for text, label in zip(texts["text"], texts["label"], strict=True)} <= truth
    if test_rows is not None:
        assert not {row["text"] for row in test_rows} & set(texts.loc[texts["split"] != "test", "text"])
    for split in SPLITS:
        members = texts[texts["split"] == split]
        limit = {"test": wanted.n_test, "val": wanted.n_val}.get(split, wanted.n_train // 2)
        assert splits_module.MIN_ROWS <= len(members) <= limit
        natural = (split == "test" and not balance[0]) or (split == "strong_train" and not balance[1])
        assert natural or 2 * members["label"].sum() == len(members)

    order = Random(order_seed)
    order.shuffle(train_rows)
    if test_rows:
        order.shuffle(test_rows)
    shuffled = prepare_rows(train_rows, test_rows, wanted)
    pd.testing.assert_frame_equal(shuffled.texts, prepared.texts)


@given(st.fixed_dictionaries({"val": st.integers(1, 2000), "weak_train": st.integers(1, 9000)}), st.integers(0, 20_000))
def test_scaled_sizes_fit_and_keep_proportions(asked: dict[str, int], num_available: int) -> None:
    scaled = scale_sizes(asked, num_available)
    assert sum(scaled.values()) <= max(num_available, 0) or scaled == asked
    assert all(0 <= scaled[split] <= asked[split] for split in asked)
    if sum(asked.values()) <= num_available:
        assert scaled == asked
    elif scaled["val"] > 32:
        share = num_available / sum(asked.values())
        assert all(abs(scaled[split] - asked[split] * share) <= 1 for split in asked)
