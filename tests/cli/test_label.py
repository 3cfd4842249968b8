"""outshine label from end to end on tiny models, and weak labels from a file in a study."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from outshine.data.recipes.tiny import TinyHome

SMALL = (
    *(
        "--strong",
        "tiny/strong",
        "--student",
        "lora",
        "--folds",
        "3",
        "--set",
        "runtime.threads=1",
        "--set",
        "compute_dtype=float32",
    ),
    *("--set", "training.epochs=2", "--set", "strong.learning_rate=3e-3"),
)


def tiny_rows(num_rows: int = 240, wrong: float = 0.2) -> tuple[pd.DataFrame, np.ndarray]:
    """Rows of a tiny task with cheap labels, a share of them wrong, and their truth."""
    recipe = TinyHome()
    rows = recipe.open(recipe.identify()).train.take(range(num_rows))
    truth = np.array([row["positive"] for row in rows], dtype=bool)
    flipped = np.random.default_rng(0).random(num_rows) < wrong
    frame = pd.DataFrame(
        {"review": [row["text"] for row in rows], "cheap": (truth ^ flipped).astype(int), "note": "kept"}
    )
    return frame, truth


@pytest.fixture
def mine(outshine) -> Path:
    """`mine.jsonl` and 80 trusted rows in the folder of the command."""
    frame, truth = tiny_rows()
    frame.to_json("mine.jsonl", orient="records", lines=True)
    trusted = pd.DataFrame({"review": frame["review"], "label": truth.astype(int)}).iloc[::3]
    trusted.to_json("trusted.jsonl", orient="records", lines=True)
    return Path("mine.jsonl")


def label(outshine, *more: str, file: str = "mine.jsonl", column: str = "cheap"):
    return outshine("label", file, "--text", "review", "--weak-label", column, *SMALL, *more)


@pytest.mark.slow
def test_a_file_comes_out_as_it_went_in_with_more(outshine, mine: Path) -> None:
    plan = label(outshine, "--plan")
    assert plan.code == 0, plan.err
    assert "5 of 10 stages to do" in plan.out  # folds are dealt to make the plan; embeddings and students are to do
    outcome = label(outshine, "--trusted", "trusted.jsonl", "--out", "out")
    assert outcome.code == 0, outcome.err
    assert "The probe's answer, while a student is fine-tuned:" in outcome.out
    assert outcome.out.count("Ways to label the file, by 80 trusted rows") == 2
    assert "with the fine-tuned student" in outcome.out
    assert "Most doubted labels" in outcome.out
    before = [json.loads(line) for line in mine.read_text().splitlines()]
    after = [json.loads(line) for line in Path("out/mine.jsonl").read_text().splitlines()]
    assert [{name: row[name] for name in before[0]} for row in after] == before
    new = {name.removeprefix("outshine_") for name in after[0]} - set(before[0])
    assert new == {"label", "p", "student", "fold", "disagrees", "suspicion", "rank", "suspect"}
    assert all(0 < row["outshine_p"] < 1 for row in after)
    evidence = json.loads(Path("out/evidence.json").read_text())
    assert evidence["evidence"][0]["num_rows"] == 80
    suspects = pd.read_csv("out/suspects.csv")
    assert suspects["rank"].is_monotonic_increasing
    assert len(suspects) == evidence["signs"]["num_suspects"]
    assert "tiny/strong" in Path("out/label.yaml").read_text()

    again = label(outshine, "--trusted", "trusted.jsonl", "--out", "again")
    assert again.code == 0
    assert "tiny/strong on label-mine, fold 3 of 3" in outcome.err
    assert "tiny/strong on" not in again.err  # nothing is trained a second time
    assert Path("again/mine.jsonl").read_text() == Path("out/mine.jsonl").read_text()

    watched = outshine("watch", "label-mine", "--line")
    assert watched.code == 0
    assert watched.out.startswith("label-mine: 10 of 10 stages done")
    for command in (("report", "label-mine"), ("retry", "label-mine"), ("run", "label-mine")):
        refused = outshine(*command)
        assert refused.code == 2
        assert "is a labelling, no study" in refused.err
    assert outshine("export", "label-mine", "--out", "kept.zip").code == 0
    taken = outshine("import", "kept.zip", "--store", "other")
    assert taken.code == 0, taken.err
    assert "`outshine label mine.jsonl` with the same settings finds them" in taken.out


@pytest.mark.slow
def test_every_format_gives_the_same_opinions(outshine, mine: Path) -> None:
    frame = pd.read_json("mine.jsonl", lines=True)
    frame.to_csv("mine.csv", index=False)
    frame.to_parquet("mine.parquet")
    for name in ("mine.jsonl", "mine.csv", "mine.parquet"):
        assert label(outshine, file=name).code == 0
    found = [
        pd.read_json("outshine-label/mine.jsonl", lines=True),
        pd.read_csv("outshine-label/mine.csv"),
        pd.read_parquet("outshine-label/mine.parquet"),
    ]
    for other in found[1:]:
        pd.testing.assert_frame_equal(found[0], other, check_dtype=False)


def test_two_names_for_the_classes(outshine, mine: Path) -> None:
    frame = pd.read_json("mine.jsonl", lines=True)
    frame["tag"] = np.where(frame["cheap"] == 1, "sea", "land")
    frame.to_csv("named.csv", index=False)
    refused = label(outshine, file="named.csv", column="tag")
    assert refused.code == 2
    assert "--positive sea" in refused.err
    assert (
        label(
            outshine,
            "--positive",
            "sea",
            file="named.csv",
            column="tag",
        ).code
        == 0
    )
    assert label(outshine, "--out", "numbers").code == 0
    one, other = pd.read_csv("outshine-label/named.csv"), pd.read_json("numbers/mine.jsonl", lines=True)
    assert one["outshine_p"].to_numpy() == pytest.approx(other["outshine_p"].to_numpy())


@pytest.mark.parametrize(
    ("more", "told"),
    [
        (("--out", "."), "is the folder of the file itself"),
        (("--prefix", ""), None),
        (("--folds", "1"), "folds"),
        (("--folds", "400"), "folds"),
        (("--trusted", "nothing.jsonl"), "cannot read 'nothing.jsonl'"),
        (("--trusted", "mine.jsonl"), "has no column 'label'"),
        (("--set", "training.epoch=1"), "did you mean 'epochs'"),
        (("--loss", "crossentropy"), "unknown loss 'crossentropy'"),
        (("--group", "author"), "has no column 'author'"),
    ],
)
def test_what_is_wrong_is_told_in_a_line(outshine, mine: Path, more: tuple[str, ...], told: str | None) -> None:
    if told is None:
        frame = pd.read_json("mine.jsonl", lines=True).assign(p=0.5)
        frame.to_json("mine.jsonl", orient="records", lines=True)
        told = "has a column 'p' already; choose other names for the new ones: --prefix"
    outcome = label(outshine, *more)
    assert outcome.code == 2
    assert told in outcome.err
    assert len(outcome.err.strip().splitlines()) == 1


@pytest.mark.slow
def test_from_python_it_is_the_same(outshine, mine: Path) -> None:
    import outshine as library

    found = library.label(
        "mine.jsonl", weak_label="cheap", strong={"model": "tiny/strong", "learning_rate": 3e-3}, text="review", folds=3,
        student="lora",
        training={"epochs": 2}, runtime={"threads": 1}, compute_dtype="float32", trusted="trusted.jsonl", out="python",
    )  # fmt: skip
    assert found.evidence[0].num_rows == 80
    assert label(outshine, "--trusted", "trusted.jsonl", "--out", "command").code == 0
    assert Path("python/mine.jsonl").read_text() == Path("command/mine.jsonl").read_text()
    assert Path("python/evidence.json").read_text() == Path("command/evidence.json").read_text()


STUDY = (
    *("run", "--dataset", "tiny-home", "--strong", "tiny/strong", "--loss", "xent", "--n-train", "80", "--n-val", "40"),
    *("--n-test", "40", "--set", "training.epochs=1", "--set", "runtime.threads=1", "--set", "weak=null"),
)


def own_weak_labels(path: str, **changed: object) -> None:
    """Weak labels by text for every person of the tiny task."""
    recipe = TinyHome()
    pools = recipe.open(recipe.identify())
    rows = [row for pool in (pools.train, pools.test) if pool for row in pool.take(range(len(pool)))]
    p = [0.7 if row["positive"] else 0.4 for row in rows]
    pd.DataFrame({"text": [row["text"] for row in rows], "p_weak": p}).assign(**changed).to_csv(path, index=False)


def test_from_python_the_notes_say_what_became_of_labels_on_one_side(outshine) -> None:
    import outshine as library

    frame, _ = tiny_rows()
    soft = frame.assign(cheap=np.linspace(0.01, 0.4, len(frame)))
    soft.to_json("soft.jsonl", orient="records", lines=True)
    call = {"weak_label": "cheap", "text": "review", "strong": "tiny/strong", "folds": 3, "store": "store"}
    call |= {"student": "lora", "training": {"epochs": 1}, "runtime": {"threads": 1}, "compute_dtype": "float32"}
    notes = library.label("soft.jsonl", **call).notes
    for fold in (1, 2, 3):
        (note,) = [one for one in notes if one.startswith(f"fold {fold}: val: all ")]
        assert "count as the class that they are not at .5" in note


@pytest.mark.slow
def test_a_study_with_weak_labels_from_a_file(outshine) -> None:
    own_weak_labels("weak.csv")
    outcome = outshine(*STUDY, "--set", "labels={kind: file, path: weak.csv}")
    assert outcome.code == 0, outcome.err
    scores = pd.read_csv("outshine-out/scores.csv")
    assert (scores["weak"] == "weak.csv").all()
    summary = pd.read_csv("outshine-out/summary.csv")
    assert summary["weak_auroc"].iloc[0] == 1  # the labels order all rows by the truth
    assert "kind: file" in Path("outshine-out/study.yaml").read_text()
    assert outshine("report", "outshine-out").code == 0


@pytest.mark.slow
@pytest.mark.parametrize(
    ("make", "told"),
    [
        (lambda: None, "weak.csv': No such file"),
        (lambda: own_weak_labels("weak.csv", p_weak=1.5), "weak.csv' is '1.5'; expected a probability"),
        (lambda: own_weak_labels("weak.csv", text="a text"), None),
        (lambda: Path("weak.csv").write_text("text,p\na,1\n"), "has no column 'p_weak'"),
        (lambda: Path("weak.csv").write_text("text,p_weak\na,0.5\n"), "lack 40 of 40 rows of strong_train"),
    ],
)
def test_what_is_wrong_with_weak_labels_is_told_before_anything_is_trained(outshine, make, told: str | None) -> None:
    make()
    outcome = outshine(*STUDY, "--set", "labels=weak.csv")
    assert outcome.code == 2
    assert (told or "an earlier row") in outcome.err
    assert "tiny/strong on" not in outcome.err


@pytest.mark.slow
def test_rows_to_judge_come_back_and_are_never_replaced(outshine, mine: Path) -> None:
    """Also with texts that a spreadsheet would compute, two names for the classes, and an id in no column."""
    frame, truth = tiny_rows()
    frame["review"] = [f"={text}" if i % 3 == 0 else text for i, text in enumerate(frame["review"])]
    frame["tag"] = np.where(frame["cheap"] == 1, "Sea", "-1")
    frame.to_csv("own.csv", index=False)

    def again(*more: str):
        return label(outshine, "--positive", "sea", "--judge", "40", *more, file="own.csv", column="tag")

    first = again()
    assert first.code == 0, first.err
    assert "suspects.csv is for finding errors" in first.out
    assert "Write -1 or Sea into its column 'label'" in first.out
    listed = Path("outshine-label/to_judge.csv")
    rows = pd.read_csv(listed, dtype=str, keep_default_na=False)
    assert len(rows) == 40
    assert (rows["label"] == "").all()
    assert not rows["review"].str.startswith("=").any()
    assert set(rows.columns) == {
        *("outshine_order", "outshine_row", "review", "label", "outshine_stratum", "outshine_weight")
    }
    assert again("--seed", "0").out == first.out
    empty = again("--trusted", str(listed), "--out", "other")
    assert empty.code == 2
    assert "has a true label yet; fill in its column 'label'" in empty.err

    places = rows["outshine_row"].astype(int) - 1
    rows["label"] = np.where(truth[places], "Sea", "'-1")
    rows.to_csv(listed, index=False)
    filled = listed.read_bytes()
    outcome = again("--trusted", str(listed))
    assert outcome.code == 0, outcome.err
    assert listed.read_bytes() == filled
    evidence = json.loads(Path("outshine-label/evidence.json").read_text())["evidence"][0]
    table = pd.read_csv("outshine-label/own.csv")
    apart = table["outshine_disagrees"].astype(bool).to_numpy()
    right = ((table["outshine_student"] > 0.5).to_numpy() == truth)[places] & apart[places]
    assert (evidence["by"], evidence["num_judged"]) == ("draw", int(apart[places].sum()))
    assert evidence["num_right"] == int(right.sum())
    if evidence["verdict"] == "open":
        more = pd.read_csv("outshine-label/to_judge_2.csv", dtype=str)
        assert more["label"].notna().sum() == 40
        assert len(more) > 40
        assert again("--trusted", str(listed)).code == 0
        assert not Path("outshine-label/to_judge_3.csv").exists()

    rows["outshine_row"] = rows["outshine_row"].to_numpy()[::-1]
    rows.to_csv("mixed.csv", index=False)
    mixed = again("--trusted", "mixed.csv")
    assert mixed.code == 2
    assert "which is another text, or none, in the labelled file" in mixed.err

    suspects = pd.read_csv("outshine-label/suspects.csv").head(25)
    pd.DataFrame({"review": frame["review"][suspects["row"] - 1], "label": truth[suspects["row"] - 1]}).to_csv(
        "picked.csv", index=False
    )
    picked = again("--trusted", "picked.csv")
    assert picked.code == 0
    assert "No verdict on the file" in picked.out
