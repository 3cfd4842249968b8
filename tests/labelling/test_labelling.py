"""What a labelling says of rows, labels and trusted rows, from predictions made up for the purpose."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from scipy.special import expit

from outshine.engine.progress import Silent
from outshine.engine.run.local import LocalExecutor
from outshine.engine.runtime import Runtime
from outshine.engine.store.store import Store
from outshine.labelling.evidence import evidence
from outshine.labelling.files import evidence_document
from outshine.labelling.folds import EVERY
from outshine.labelling.gains import RowsNeeded, gain_by_disagreements, needed_accuracy
from outshine.labelling.results import COLUMNS, LabelResults, StudentPredictions, out_of_fold, read_label_results
from outshine.labelling.run import parse_label_settings, resolve_label_settings
from outshine.labelling.text import _need, evidence_sentences, sentences
from outshine.stats.auroc import auroc, soft_auroc
from outshine.stats.intervals import share_of_file

NUM_FOLDS = 3


class MadeUp:
    """Predictions in a student's place: log-odds by row id, and its number added to those of every row."""

    def __init__(self, plan: pd.DataFrame, log_odds: dict[str, float], number: int) -> None:
        test = plan[plan["fold"].isin([number, EVERY])]
        ids = [*test["id"], "a-training-row"]
        split = ["test"] * len(test) + ["strong_train"]
        z = [
            log_odds[name] + (number if fold == EVERY else 0)
            for name, fold in zip(test["id"], test["fold"], strict=True)
        ]
        self._frame = pd.DataFrame({"id": ids, "split": split, "log_odds": [*z, 99.0]})

    def predictions(self, store: Store) -> pd.DataFrame:
        return self._frame


class World:
    """A file of 300 rows with labels of which a fifth are wrong, and a student that is better."""

    def __init__(self, soft: bool = False) -> None:
        rng = np.random.default_rng(11)
        self.truth = rng.random(300) < 0.5
        self.label = np.where(rng.random(300) < 0.2, ~self.truth, self.truth).astype(float)
        if soft:
            self.label = np.round(expit(3 * (2 * self.label - 1) + rng.normal(size=300)), 4)
        self.z = 1.6 * (2 * self.truth - 1) + rng.normal(size=300)
        words = [f"w{i}" for i in range(3000)]
        self.texts = [" ".join(rng.choice(words, 12)) for _ in range(300)]
        self.rows = [
            {"text": t, "cheap": float(p), "id": f"r{i}"}
            for i, (t, p) in enumerate(zip(self.texts, self.label, strict=True))
        ]

    def read(
        self, folder: Path, trusted: list[dict[str, Any]] | None = None, rows: list[dict] | None = None
    ) -> LabelResults:
        raw: dict[str, Any] = {"path": write(folder / "mine.jsonl", rows or self.rows), "columns": {"label": "cheap"}}
        if trusted:
            raw["trusted"] = write(folder / "trusted.jsonl", trusted)
        resolution = resolve_label_settings(parse_label_settings({**raw, "strong": "tiny/strong", "folds": NUM_FOLDS}))
        store = Store(folder / "store")
        LocalExecutor(store, Runtime(threads=1), Silent()).run([resolution.plan])
        plan = resolution.plan.read(store)
        known = dict(zip(self.texts, self.z, strict=True))
        log_odds = {name: float(known.get(text, 0.5)) for name, text in zip(plan["id"], plan["text"], strict=True)}
        students = [MadeUp(plan, log_odds, number) for number in range(NUM_FOLDS)]
        out = out_of_fold(resolution.plan, students, store)  # type: ignore[arg-type]
        return read_label_results(resolution.plan, StudentPredictions(out, "lora", notes=["a note"]), store)

    def drawn(self, num: int) -> list[dict[str, Any]]:
        """So many random rows with their truth."""
        return self.trusted(np.random.default_rng(5).choice(300, num, replace=False))

    def trusted(self, places: Any) -> list[dict[str, Any]]:
        return [{"id": f"r{i}", "label": int(self.truth[i])} for i in places]


def write(path: Path, rows: list[dict[str, Any]]) -> str:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return str(path)


WORLD = World()


def test_rows_come_in_the_files_order_with_the_predictions_of_their_fold(tmp_path: Path) -> None:
    found = WORLD.read(tmp_path)
    rows = found.rows
    assert list(rows.columns) == list(COLUMNS)
    assert rows["row"].tolist() == list(range(1, 301))
    assert rows["id"].tolist() == [row["id"] for row in WORLD.rows]
    assert rows["log_odds"].to_numpy() == pytest.approx(WORLD.z)
    assert rows["p"].to_numpy() == pytest.approx(expit(WORLD.z))
    assert set(rows["fold"]) == {1, 2, 3}
    assert rows["disagrees"].tolist() == ((WORLD.z > 0) != (WORLD.label > 0.5)).tolist()
    assert "a note" in found.notes


def test_the_most_suspicious_labels_come_first(tmp_path: Path) -> None:
    found = WORLD.read(tmp_path)
    rows = found.rows.sort_values("rank")
    given = np.where(rows["label"] > 0.5, rows["p"], 1 - rows["p"])
    assert np.all(np.diff(given) >= 0)  # self-confidence, from the lowest
    assert sorted(found.rows["rank"]) == list(range(1, 301))
    assert found.suspects["suspect"].all()
    assert found.suspects["rank"].is_monotonic_increasing
    wrong = WORLD.label.astype(bool) != WORLD.truth
    assert wrong[found.suspects["row"] - 1].mean() > 0.6
    assert wrong.mean() < 0.3
    assert len(found.suspects) == found.signs.num_suspects > 10


def test_signs_without_truth(tmp_path: Path) -> None:
    signs = WORLD.read(tmp_path).signs
    apart = (WORLD.z > 0) != (WORLD.label > 0.5)
    assert (signs.num_rows, signs.num_labelled, signs.num_disagreements) == (300, 300, int(apart.sum()))
    assert signs.label_auroc == pytest.approx(auroc(WORLD.label, WORLD.z))
    assert signs.fold_aurocs[0] <= signs.label_auroc <= signs.fold_aurocs[1]
    assert signs.num_conflicts == 0
    assert not signs.one_sided


def test_labels_that_contradict_their_like_are_counted(tmp_path: Path) -> None:
    rows = [*WORLD.rows, *({"text": WORLD.texts[0], "cheap": WORLD.label[0], "id": f"x{i}"} for i in range(2))]
    rows += [{"text": WORLD.texts[i], "cheap": 1 - WORLD.label[i], "id": f"y{i}"} for i in range(4)]
    assert WORLD.read(tmp_path, rows=rows).signs.num_conflicts == 4


def test_without_trusted_rows_the_words_do_not_claim(tmp_path: Path) -> None:
    found = WORLD.read(tmp_path)
    assert found.evidence == ()
    told = " ".join(sentences(found))
    assert "cannot be known without true labels" in told
    assert "Agreement with the cheap labels is not accuracy" in told
    num_apart = found.signs.num_disagreements
    needed = next(need.judged for need in needed_accuracy(num_apart / 300, num_all=num_apart) if need.right == 2 / 3)
    assert f"{needed} disagreements" in told
    assert f"of the {num_apart} disagreements" in told or f"all {num_apart} disagreements" in told
    assert "to_judge.csv is for the verdict" in told
    assert "better than the cheap labels," not in told


def test_evidence_from_rows_of_the_file(tmp_path: Path) -> None:
    places = list(range(0, 300, 2))
    (one,) = WORLD.read(tmp_path, WORLD.trusted(places)).evidence
    truth, label, student = WORLD.truth[places], WORLD.label[places] > 0.5, WORLD.z[places] > 0
    apart = label != student
    share = np.mean((WORLD.label > 0.5) != (WORLD.z > 0))
    right = int((apart & (student == truth)).sum())
    assert (one.of, one.primary, one.num_rows, one.num_judged, one.num_right) == (
        "file",
        "accuracy",
        150,
        apart.sum(),
        right,
    )
    assert one.share == pytest.approx(share)
    num_apart = int(((WORLD.label > 0.5) != (WORLD.z > 0)).sum())
    assert one.accuracy_gain == gain_by_disagreements(share_of_file(right, int(apart.sum()), num_apart), float(share))
    assert one.student_accuracy is not None
    assert one.student_accuracy.value == pytest.approx(np.mean(student == truth))
    assert one.label_accuracy is not None
    assert one.label_accuracy.value == pytest.approx(np.mean(label == truth))
    assert one.auroc_gain is not None
    assert one.auroc_gain.value == pytest.approx(auroc(truth, WORLD.z[places]) - auroc(truth, WORLD.label[places]))
    true_gain = np.mean((WORLD.z > 0) == WORLD.truth) - np.mean((WORLD.label > 0.5) == WORLD.truth)
    assert one.gain is not None
    assert one.gain.low <= true_gain <= one.gain.high


def test_the_verdict_follows_the_primary_interval(tmp_path: Path) -> None:
    every = WORLD.read(tmp_path / "all", WORLD.trusted(range(300)))
    assert every.evidence[0].verdict == "better"
    assert evidence_sentences(every.evidence[0])[0].startswith(
        "The student is better than the cheap labels, on the file"
    )
    few = WORLD.read(tmp_path / "few", WORLD.drawn(12))
    assert few.evidence[0].verdict == "open"
    told = " ".join(evidence_sentences(few.evidence[0]))
    assert "Not settled" in told
    assert "Of 12 rows it can hardly be seen whether picked ones are among them" in told
    assert "What would settle it" in told
    worse = WORLD.read(tmp_path / "worse", [{"id": f"r{i}", "label": int(WORLD.label[i])} for i in range(300)])
    assert worse.evidence[0].verdict == "worse"


def test_rows_drawn_by_disagreement_give_no_levels(tmp_path: Path) -> None:
    """The gain stands, and nothing else is claimed."""
    apart = np.flatnonzero((WORLD.z > 0) != (WORLD.label > 0.5))
    some = WORLD.read(tmp_path / "some", WORLD.trusted(apart[::2])).evidence[0]
    assert any("taken to be drawn by disagreement" in note for note in some.notes)
    assert (some.student_accuracy, some.auroc_gain) == (None, None)
    (one,) = WORLD.read(tmp_path, WORLD.trusted(apart)).evidence
    assert one.auroc_gain is None
    assert one.student_accuracy is None
    true_gain = np.mean((WORLD.z > 0) == WORLD.truth) - np.mean((WORLD.label > 0.5) == WORLD.truth)
    assert one.accuracy_gain is not None
    assert one.accuracy_gain[:3] == pytest.approx([true_gain] * 3)  # every disagreement of the file was judged
    assert one.verdict == "better"


def test_new_rows_are_apart_and_are_predicted_by_all(tmp_path: Path) -> None:
    new = [{"text": f"unheard {i} of {i * 37}", "label": i % 2, "cheap": int(i % 3 == 0)} for i in range(8)]
    found = WORLD.read(tmp_path, [*WORLD.drawn(40), *new])
    assert [one.of for one in found.evidence] == ["file", "new"]
    other = found.evidence[1]
    assert other.num_rows == 8
    assert other.student_accuracy is not None
    assert other.student_accuracy.value == 0.5  # the mean log-odds of all students are .5 + (0 + 1 + 2) / 3
    assert other.accuracy_gain is not None
    assert -1 <= other.accuracy_gain.low < other.accuracy_gain.high <= 1
    without = WORLD.read(tmp_path / "bare", [{key: row[key] for key in ("text", "label")} for row in new])
    (bare,) = without.evidence
    assert (bare.num_rows, bare.gain) == (0, None)
    assert any("8 of 8 trusted rows have no cheap label" in note for note in bare.notes)
    assert "cannot be estimated" in " ".join(sentences(without))


def test_soft_labels_are_judged_by_auc(tmp_path: Path) -> None:
    world = World(soft=True)
    found = world.read(tmp_path, world.trusted(range(0, 300, 3)))
    assert not found.hard
    assert found.signs.label_auroc == pytest.approx(soft_auroc(world.label, world.z))
    (one,) = found.evidence
    assert one.primary == "auroc"
    assert one.gain is one.auroc_gain
    assert one.needed[0].seen
    assert [need.gain for need in one.needed[1:]] == [0.02, 0.05, 0.1]
    assert one.needed[1].rows > one.needed[2].rows > one.needed[3].rows


def test_soft_labels_on_one_side_of_one_half(tmp_path: Path) -> None:
    world = World(soft=True)
    for row in world.rows:
        row["cheap"] = row["cheap"] * 0.3
    found = world.read(tmp_path, world.trusted(range(0, 300, 3)))
    assert found.signs.one_sided
    assert found.signs.num_suspects == 0
    (one,) = found.evidence
    assert one.accuracy_gain is None
    assert one.auroc_gain is not None
    assert "one side of one half" in " ".join(sentences(found))


def test_rows_without_label_or_text_have_empty_places(tmp_path: Path) -> None:
    rows = [dict(row) for row in WORLD.rows]
    rows[5]["cheap"], rows[6]["text"] = None, ""
    found = WORLD.read(tmp_path, WORLD.trusted([5, 6, 7]), rows=rows)
    assert pd.isna(found.rows.loc[5, "rank"])
    assert found.rows.loc[5, "p"] == pytest.approx(expit(WORLD.z[5]))
    assert pd.isna(found.rows.loc[6, "p"])
    assert pd.isna(found.rows.loc[6, "fold"])
    assert found.signs.num_labelled == 298
    assert found.evidence[0].num_rows == 1
    assert any("2 of 3 trusted rows" in note for note in found.evidence[0].notes)


def test_the_evidence_is_plain_json(tmp_path: Path) -> None:
    found = WORLD.read(tmp_path, WORLD.trusted(range(3)))
    document = json.loads(json.dumps(evidence_document(found), allow_nan=False))
    assert document["evidence"][0]["verdict"] == found.evidence[0].verdict
    assert document["signs"]["num_labelled"] == 300
    assert document["sentences"] == sentences(found)


def test_how_many_rows_are_needed() -> None:
    first, *_ = needed_accuracy(0.25, seen=2 / 3)
    assert (first.judged, first.rows, first.seen) == (75, 300, True)
    assert first.gain == pytest.approx(0.25 / 3)
    assert needed_accuracy(0.25, seen=0.5)[0].right == 0.6  # no number shows that there is no difference
    assert needed_accuracy(0.0) == ()


def test_what_is_lacking_of_disagreements_is_lacking_of_random_rows() -> None:
    """40 random rows of which the two disagree on 2 only: 4 disagreements more are 16 rows more, not none."""
    need = RowsNeeded(0.25, 1.0, 24, 6, True)
    assert "4 more disagreements, or 16 more random rows" in _need(need, 40, 2)
    assert "6 disagreements, or 24 random rows" in _need(need, 0, 0)
    assert "0 more disagreements, or 0 more random rows" in _need(need, 40, 9)


def test_trusted_rows_of_one_class_give_no_auc() -> None:
    frame = pd.DataFrame(
        {"truth": [True] * 30, "label": [0.0, 1.0, 1.0] * 10, "log_odds": [1.0, 2.0] * 15, "group": range(30)}
    )
    one = evidence(frame.assign(group=frame["group"].astype(str)), hard=True, one_sided=False)
    assert one.auroc_gain is None
    assert any("not of both classes" in note for note in one.notes)
    assert one.one_class
    assert one.accuracy_gain is not None
    assert one.accuracy_gain.value == pytest.approx(1 / 3)
