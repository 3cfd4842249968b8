"""Hub datasets without a recipe, read under the columns that the user names, from a hub on loopback."""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Any

import pandas as pd
import pytest
from hub_places import point_client_at
from loopback_hub import LoopbackHub, serving

from outshine.data.recipes.file import FileDataset
from outshine.data.recipes.hub import HubDataset
from outshine.data.splits import PreparedSplits, SplitSettings, prepare
from outshine.engine import hub as core_hub
from outshine.engine.errors import DataError, HubError, SettingsError
from outshine.w2s.study_file import parse_study, with_columns

Served = Callable[[dict[str, pd.DataFrame]], AbstractContextManager[LoopbackHub]]


def rows(start: int, num_rows: int, labels: tuple[Any, Any] = (0, 1)) -> pd.DataFrame:
    return pd.DataFrame(
        {
            "body": [f"Row number {i}." for i in range(start, start + num_rows)],
            "stars": [labels[i % 2] for i in range(num_rows)],
            "author": [f"a{i // 4}" for i in range(start, start + num_rows)],
        }
    )


@pytest.fixture
def served(client: pytest.MonkeyPatch) -> Served:
    """`served({"default/train": frame, …})` is `org/toy` on a hub, and the client pointed at it."""

    @contextmanager
    def serve(splits: dict[str, pd.DataFrame]) -> Iterator[LoopbackHub]:
        files = {}
        for place, frame in splits.items():
            buffer = io.BytesIO()
            frame.to_parquet(buffer)
            files[f"{place}/0000.parquet"] = buffer.getvalue()
        client.setattr(core_hub, "RETRY_WAITS", (0.0,) * 5)
        with serving(LoopbackHub("org/toy", files, commit="a" * 40)) as hub:
            point_client_at(hub.endpoint, client)
            yield hub

    return serve


def toy(**settings: Any) -> HubDataset:
    return HubDataset(repo="org/toy", **{"text_column": "body", "label_column": "stars", **settings})


def prepared(**settings: Any) -> PreparedSplits:
    recipe = toy(**settings)
    return prepare(recipe, recipe.identify(), SplitSettings())


def in_splits(found: PreparedSplits, *names: str) -> set[str]:
    return set(found.texts.loc[found.texts["split"].isin(names), "text"])


def test_rows_are_those_of_the_same_table_in_a_file(served: Served, tmp_path: Any) -> None:
    train, test = rows(0, 80), rows(80, 20)
    with served({"default/train": train, "default/test": test}):
        found = prepared(group_column="author")
    for name, frame in (("train", train), ("test", test)):
        frame.to_parquet(tmp_path / f"{name}.parquet")
    file = FileDataset(
        path=str(tmp_path / "train.parquet"),
        test_path=str(tmp_path / "test.parquet"),
        text_column="body",
        label_column="stars",
        group_column="author",
    )
    same = prepare(file, file.identify(), SplitSettings())
    truth = [one.texts.merge(one.truth, on="id").set_index("text")["label"].to_dict() for one in (found, same)]
    assert set(truth[0]) <= set(test["body"]) | set(train["body"])
    assert all(value == (int(text.split()[-1][:-1]) % 2) for text, value in truth[0].items())
    assert in_splits(found, "test") == in_splits(same, "test") == set(test["body"])
    assert (found.texts.groupby("group")["split"].nunique() == 1).all()


@pytest.mark.slow
@pytest.mark.parametrize(
    ("splits", "settings", "test"),
    [
        (["default/train", "default/test", "default/validation"], {}, "default/test"),
        (["default/train", "default/validation"], {}, "default/validation"),
        (["default/train", "default/test"], {"test": "train", "train": "test"}, "default/train"),
        (["a/train", "a/test", "b/train", "b/test"], {"config": "b"}, "b/test"),
        (["a/train", "default/train", "default/test"], {}, "default/test"),
        (["only/train", "only/test"], {}, "only/test"),
        (["default/partial-train", "default/partial-test"], {}, "default/partial-test"),
        (["default/everything"], {}, None),
    ],
)
def test_which_configuration_and_splits_are_read(
    served: Served, splits: list[str], settings: dict[str, str], test: str | None
) -> None:
    frames = {place: rows(100 * number, 80) for number, place in enumerate(splits)}
    with served(frames):
        found = prepared(**settings)
    if test is None:
        assert "The test rows are held out of the source's rows by group." in found.notes
    else:
        assert in_splits(found, "test") == set(frames[test]["body"])
        assert not in_splits(found, "weak_train", "strong_train", "val") & set(frames[test]["body"])


@pytest.mark.parametrize(
    ("splits", "settings", "told"),
    [
        (["a/train", "b/train"], {}, "has the configurations a, b; name one: --dataset org/toy:NAME"),
        (["a/train"], {"config": "c"}, "has the configurations a; name one"),
        (["default/one", "default/two"], {}, r"has no split 'train'; it has one, two: --set datasets.0.train=NAME"),
        (["default/train"], {"test": "exam"}, "has no split 'exam'; it has train"),
        (
            ["default/train"],
            {"text_column": "text"},
            "train of 'org/toy' has no column 'text'; .*did you mean --text body",
        ),
        (["default/train"], {"group_column": "writer"}, "has no column 'writer'.*--group COLUMN"),
    ],
)
def test_what_is_not_there_is_told(served: Served, splits: list[str], settings: dict[str, Any], told: str) -> None:
    with (
        served({place: rows(0, 80) for place in splits}),
        pytest.raises((DataError, SettingsError), match=told),
    ):
        prepared(**settings)


def test_labels_of_any_spelling_and_rows_without(served: Served) -> None:
    train = pd.concat([rows(0, 80, ("bad", "good")), rows(80, 6, ("n/a", "n/a")), rows(86, 4, ("so so", "so so"))])
    with served({"default/train": train, "default/test": rows(100, 20, ("good", "bad"))}):
        with pytest.raises(DataError, match=r'holds 3 different values \(bad, good, "so so"\)'):
            prepared()
        found = prepared(positive="good", missing="so so")
    assert "10 rows without a label in the column 'stars' left out." in found.notes
    test = found.texts.merge(found.truth, on="id").query("split == 'test'").set_index("text")["label"]
    assert test.to_dict() == {f"Row number {i}.": int(i % 2 == 0) for i in range(100, 120)}


def test_a_test_split_without_labels_is_told(served: Served) -> None:
    frames = {"default/train": rows(0, 80), "default/test": rows(80, 20, (-1, -1)), "default/validation": rows(100, 20)}
    with served(frames):
        with pytest.raises(DataError, match=r"row 1 of test of 'org/toy' has -1 .*--missing -1"):
            prepared()
        with pytest.raises(DataError, match="no row of test of 'org/toy' has a label; name another split"):
            prepared(missing="-1")
        found = prepared(missing="-1", test="validation")
    assert in_splits(found, "test") == set(frames["default/validation"]["body"])


def test_offline_the_cache_serves(served: Served, client: pytest.MonkeyPatch) -> None:
    from huggingface_hub import constants

    with served({"default/train": rows(0, 80), "default/test": rows(80, 20)}):
        before = prepared()
    client.setattr(constants, "HF_HUB_OFFLINE", True)
    again = prepared()
    assert again.texts.equals(before.texts)
    with pytest.raises(HubError):
        HubDataset(repo="org/other", text_column="a", label_column="b").identify()


def test_a_study_names_it_with_columns() -> None:
    raw = with_columns({"datasets": ["org/toy:b", "mine.csv", "sciq"]}, {"text": "body", "label": "stars"})
    hub, file, sciq = parse_study(raw).datasets
    assert hub == toy(config="b")
    assert (hub.name, toy().name) == ("toy-b", "toy")
    assert file == FileDataset(path="mine.csv", text_column="body", label_column="stars")
    assert sciq.name == "sciq"
    for given, told in (
        ({"text": "body"}, "say which column it is, too: --label COLUMN"),
        ({}, "no recipe for the hub"),
    ):
        with pytest.raises(SettingsError, match=told):
            parse_study(with_columns({"datasets": ["org/toy"]}, given))
    with pytest.raises(SettingsError, match=r"--text and --positive describe a file of your own .*; sciq has its own"):
        with_columns({"datasets": ["sciq"]}, {"text": "body", "positive": "1"})
