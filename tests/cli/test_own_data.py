"""From a messy file to plan, audit, run and label: what the messages say is enough."""

from __future__ import annotations

import json
import re
import shlex
from pathlib import Path

import pandas as pd
import pyarrow as pa
import pytest

from outshine.data.recipes.tiny import TinyHome

SIZES = ("--n-train", "80", "--n-val", "40", "--n-test", "40")
TINY = ("--weak", "tiny/weak", "--strong", "tiny/strong")


@pytest.fixture
def messy(outshine) -> pd.DataFrame:
    """`mine.csv` as a spreadsheet of half of Europe saves it, and its rows: text, class (missing: none)."""
    recipe = TinyHome()
    rows = recipe.open(recipe.identify()).train.take(range(240))
    texts = [f"{row['text']}; or not, say" for row in rows]
    classes = pd.Series([row["positive"] for row in rows], dtype="object")
    classes[::20] = None
    names = [{True: "yes", False: "No "}.get(value, "n/a") for value in classes]
    frame = pd.DataFrame({"ID": [f"{i}.0" for i in range(240)], "Review Body": texts, "sentiment": names})
    Path("mine.csv").write_text("sep=;\n" + frame.to_csv(index=False, sep=";"), encoding="utf-16")
    return pd.DataFrame({"text": texts, "truth": classes})


def asked_for(message: str) -> list[str]:
    """The options that a message proposes."""
    return shlex.split(re.search(r"did you mean (--.*)\?", message)[1])


@pytest.mark.parametrize(
    "command",
    [
        ("audit", "mine.csv"),
        ("datasets", "show", "mine.csv"),
        ("plan", "--dataset", "mine.csv", *TINY),
        ("run", "--dataset", "mine.csv", *TINY),
    ],
    ids=lambda command: command[0],
)
def test_the_message_says_what_to_add(outshine, messy, command):
    first = outshine(*command, *SIZES)
    assert first.code == 2
    assert "it has: ID, Review Body, sentiment; did you mean" in first.err
    options = asked_for(first.err)
    assert options == ["--text", "Review Body", "--label", "sentiment"]
    if command[0] != "run":
        second = outshine(*command, *SIZES, *options)
        assert second.code in (0, 1), second.err  # an audit may find something
        assert "12 rows without a label in the column 'sentiment' left out." in second.out + second.err


def test_classes_reach_the_splits(outshine, messy):
    shown = outshine(
        *("datasets", "show", "mine.csv", "--text", "Review Body", "--label", "sentiment", "--json"), *SIZES
    )
    known = dict(zip(messy["text"], messy["truth"], strict=True))
    rows = json.loads(shown.out)["rows"]
    assert len(rows) == 10
    assert all(bool(row["label"]) is known[row["text"]] for row in rows)


def test_label_asks_for_its_column_and_takes_the_same_options(outshine, messy):
    first = outshine("label", "mine.csv", "--strong", "tiny/strong", "--plan")
    assert first.code == 2
    assert asked_for(first.err) == ["--label", "sentiment"]
    second = outshine("label", "mine.csv", "--strong", "tiny/strong", "--plan", *asked_for(first.err))
    assert second.code == 2
    options = [*asked_for(first.err), *asked_for(second.err)]
    assert options == ["--label", "sentiment", "--text", "Review Body"]
    third = outshine("label", "mine.csv", "--strong", "tiny/strong", "--plan", *options, "--limit", "100")
    assert third.code == 0, third.err
    assert "a random draw of 100 of 240 rows (limit)" in third.err


def test_label_with_a_limit_leaves_the_others_empty(outshine, messy):
    outcome = outshine(
        *("label", "mine.csv", "--strong", "tiny/strong", "--text", "Review Body", "--label", "sentiment"),
        *("--limit", "90", "--folds", "2", "--out", "out", "--set", "training.epochs=1", "--id", "ID"),
    )
    assert outcome.code == 0, outcome.err
    written = Path("out/mine.csv").read_bytes().decode("utf-16")
    assert written.startswith("sep=;\nID;Review Body;sentiment;outshine_label;outshine_p;")
    frame = pd.read_csv("out/mine.csv", sep=";", skiprows=1, encoding="utf-16", dtype=str, keep_default_na=False)
    assert frame["sentiment"].tolist()[:2] == ["n/a", {True: "yes", False: "No "}[messy["truth"][1]]]
    for name in ("p", "fold", "suspect"):
        assert (frame[f"outshine_{name}"] != "").sum() == 90


def test_headers_that_would_compute_stay_in_the_users_table_alone(outshine, messy):
    classes = [{True: "yes", False: "No "}.get(value, "n/a") for value in messy["truth"]]
    pd.DataFrame({"=text": messy["text"], "cheap": classes, "+x": "=1+1"}).to_csv("mine.csv", index=False)
    command = (
        *("label", "mine.csv", "--strong", "tiny/strong", "--text", "=text", "--label", "cheap", "--out", "out"),
        *("--folds", "2", "--limit", "90", "--set", "training.epochs=1", "--trusted-label", "@truth"),
    )
    outcome = outshine(*command)
    assert outcome.code == 0, outcome.err
    own = pd.read_csv("out/mine.csv", dtype=str)
    assert own.columns.tolist()[:3] == ["=text", "cheap", "+x"]
    assert set(own["+x"]) == {"=1+1"}
    judged = pd.read_csv("out/to_judge.csv", dtype=str)
    assert {"'=text", "'@truth"} < set(judged.columns)
    judged["'@truth"] = [str(int(messy["truth"][int(row) - 1])) for row in judged["outshine_row"]]
    judged.to_csv("judged.csv", index=False)
    again = outshine(*command, "--trusted", "judged.csv")
    assert again.code == 0, again.err
    assert "Ways to label the file, by " in again.out


def test_options_for_columns_need_data_that_has_them(outshine):
    outcome = outshine("plan", "--dataset", "tiny-home", *TINY, "--text", "body")
    assert outcome.code == 2
    assert "--text describe a file of your own or a hub dataset" in outcome.err


def test_a_limit_is_said_and_part_of_the_identity(outshine):
    prepared = [
        outshine(
            "datasets", "show", "tiny-home", "--json", "--n-train", "400", "--n-val", "40", "--n-test", "60", *more
        )
        for more in ((), ("--limit", "200"))
    ]
    whole, drawn = (json.loads(one.out) for one in prepared)
    assert any("A random draw (limit): 200 of" in note for note in drawn["notes"])
    assert drawn["splits"]["weak_train"]["rows"] < whole["splits"]["weak_train"]["rows"]


def test_a_hub_dataset_without_a_recipe_is_no_file(outshine):
    outcome = outshine("run", "--dataset", "stanfordnlp/imdb", *TINY)
    assert outcome.code == 2
    assert "no recipe for the hub dataset stanfordnlp/imdb" in outcome.err
    assert "--text COLUMN --label COLUMN" in outcome.err


def saved(folder: Path, rows: dict[str, list], features: dict | None = None) -> Path:
    """What `save_to_disk` writes: streams of Arrow, their names, and what the columns are."""
    folder.mkdir(parents=True)
    table, half = pa.table(rows), len(next(iter(rows.values()))) // 2
    names = [f"data-0000{i}-of-00002.arrow" for i in range(2)]
    for name, part in zip(names, (table[:half], table[half:]), strict=True):
        with pa.OSFile(str(folder / name), "wb") as file, pa.ipc.new_stream(file, table.schema) as writer:
            writer.write_table(part)
    (folder / "state.json").write_text(json.dumps({"_data_files": [{"filename": name} for name in names]}))
    (folder / "dataset_info.json").write_text(json.dumps({"features": features or {}}))
    return folder


def test_what_save_to_disk_wrote_is_read_like_a_file(outshine):
    recipe = TinyHome()
    rows = recipe.open(recipe.identify()).train.take(range(240))
    labels = {"names": ["bad", "good"], "_type": "ClassLabel"}
    columns = {"text": [row["text"] for row in rows], "label": [int(row["positive"]) for row in rows]}
    pd.DataFrame(columns).to_csv("plain.csv", index=False)
    saved(Path("saved/train"), columns, {"label": labels})
    Path("saved/dataset_dict.json").write_text('{"splits": ["train"]}')
    refused = outshine("run", "--dataset", "saved", *TINY)
    assert (refused.code, refused.err.count("\n")) == (2, 1)
    assert "'saved' holds the splits train; name the folder of one: saved/train" in refused.err
    shown = outshine("datasets", "show", "saved/train", "--positive", "good", *SIZES, "--json")
    plain = outshine("datasets", "show", "plain.csv", *SIZES, "--json")
    assert shown.code == plain.code == 0, shown.err
    sizes = [json.loads(one.out)["splits"]["test"]["rows"] for one in (shown, plain)]
    assert sizes[0] == sizes[1]
    (Path("saved/train") / "data-00001-of-00002.arrow").unlink()
    broken = outshine("datasets", "show", "saved/train", "--positive", "good")
    assert broken.code == 2
    assert "data-00001-of-00002.arrow is missing" in broken.err
