"""Labels of several classes: fits, the ladder, the file that comes back, and what is refused."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from scipy.optimize import minimize
from scipy.special import log_softmax
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import confusion_matrix, roc_auc_score

from outshine.data.recipes.tiny import TinyInstrumentFamily
from outshine.data.schema import Draw
from outshine.engine.errors import DataError, OutshineError, SettingsError
from outshine.engine.store.store import Store
from outshine.labelling.files import evidence_document, issues_table, write_labelled
from outshine.labelling.ladder import Ladder, climb
from outshine.labelling.ladder_text import ladder_columns, ladder_rows, ladder_sentences
from outshine.labelling.options import BY_NAME, Designs, Scores, fit_logistic, fit_softmax
from outshine.labelling.probe import read_embeddings
from outshine.labelling.rows import Columns, read_labelled, resolve_classes
from outshine.labelling.run import LabelRun, parse_label_settings, probe_of, run_label
from outshine.labelling.text import sentences
from outshine.labelling.trusted_sample import Trusted, likeliest, predicted, unknown
from outshine.learn.losses.xent import Xent
from outshine.stats.label_quality import confident_joint

NUM, CLASSES = 900, 4


class World:
    """A file of four classes of unequal size, with labels that confuse two of them and a student that is better."""

    def __init__(self, seed: int = 0, silent: float = 0.0) -> None:
        rng = np.random.default_rng(seed)
        self.embedding = rng.normal(size=(NUM, 20)) / np.sqrt(20)
        logits = 3.0 * np.sqrt(20) * self.embedding[:, :CLASSES] + np.array([0.7, 0.3, 0.0, -0.6])
        self.truth = (logits + rng.gumbel(size=logits.shape)).argmax(axis=1)
        wrong = rng.random(NUM) < np.where(self.truth == 2, 0.6, 0.2)
        given = np.where(wrong, np.where(self.truth == 2, 0, rng.integers(CLASSES, size=NUM)), self.truth)
        self.label = np.eye(CLASSES)[given]
        self.label[rng.random(NUM) < silent] = np.nan
        self.student = log_softmax(logits + 1.5 * rng.normal(size=logits.shape), axis=1)
        self.scores = Scores(self.student, self.label, self.embedding)

    def trusted(self, rows: np.ndarray) -> Trusted:
        return Trusted(rows, self.truth[rows], np.ones(len(rows)), rows.astype(str))

    def climb(self, num: int = 100, seed: int = 1) -> Ladder:
        rows = np.random.default_rng(seed).choice(NUM, num, replace=False)
        silent = unknown(self.label[rows])
        everything = np.ones(NUM, dtype=bool)
        found = climb(
            self.scores, self.trusted(rows[~silent]), in_file=everything, unlabelled=self.trusted(rows[silent])
        )
        assert found is not None
        return found


WORLD = World()


def test_a_fit_of_two_classes_is_the_logistic_one() -> None:
    rng = np.random.default_rng(0)
    score, embedding, truth = rng.normal(size=60), rng.normal(size=(60, 5)), rng.integers(2, size=60)
    weight = rng.random(60) + 0.5
    x = np.c_[score, np.ones(60), embedding]
    mean, precision = np.r_[1.0, 0.3, np.zeros(5)], np.r_[1.0, 1.5, np.full(5, 0.5)]
    own = fit_logistic(x, truth.astype(float), weight, mean, precision)
    both = np.stack([-score / 2, score / 2], axis=1)[:, :, None]
    start = (np.ones(1), np.array([-0.15, 0.15]))
    a, c, w = fit_softmax(both, embedding, truth, weight, start, (np.ones(1), 3.0, 1.0))
    assert np.r_[a, c[1] - c[0], w[:, 1] - w[:, 0]] == pytest.approx(own, abs=1e-4)


def test_a_fit_is_the_minimum_of_what_it_promises() -> None:
    rng = np.random.default_rng(1)
    scores, embedding = rng.normal(size=(30, 3, 2)), rng.normal(size=(30, 2))
    truth, weight = rng.integers(3, size=30), rng.random(30)
    mean, precision = (np.array([1.0, 0.5]), np.array([0.2, 0.0, -0.2])), (np.array([1.0, 4.0]), 2.0, 0.5)

    def objective(t: np.ndarray) -> float:
        a, c, w = t[:2], t[2:5], t[5:].reshape(2, 3)
        total = 0.5 * (precision[0] @ (a - mean[0]) ** 2 + 2.0 * np.sum((c - mean[1]) ** 2) + 0.5 * np.sum(w**2))
        for i in range(30):
            z = [scores[i, k] @ a + c[k] + embedding[i] @ w[:, k] for k in range(3)]
            total -= weight[i] * (z[truth[i]] - np.log(np.sum(np.exp(z))))
        return float(total)

    found = np.concatenate([part.ravel() for part in fit_softmax(scores, embedding, truth, weight, mean, precision)])
    least = minimize(objective, np.zeros(11), method="BFGS", options={"gtol": 1e-6})
    assert objective(found) == pytest.approx(least.fun, abs=1e-8)
    assert found == pytest.approx(least.x, abs=1e-3)


def test_two_classes_make_the_designs_of_binary_labels() -> None:
    """The same scores as log-odds and as log-probabilities give the same labels, whatever is fitted."""
    rng = np.random.default_rng(2)
    z, embedding = rng.normal(size=300), rng.normal(size=(300, 6)) / np.sqrt(6)
    truth, p = rng.integers(2, size=300), np.where(rng.random(300) < 0.3, np.nan, rng.random(300))
    both = Scores(-np.logaddexp(0, np.stack([z, -z], axis=1)), np.stack([1 - p, p], axis=1), embedding)
    rows = np.flatnonzero(~np.isnan(p))[:50]
    trusted = Trusted(rows, truth[rows], np.ones(50), rows.astype(str))
    one = Designs(Scores(z, p, embedding))
    for name in ("labels_recalibrated", "student_recalibrated", "trusted_only", "combined", "together"):
        log_odds = one.log_odds(BY_NAME[name], trusted, np.arange(300))
        log_p = Designs(both).log_odds(BY_NAME[name], trusted, np.arange(300))
        assert log_p[:, 1] - log_p[:, 0] == pytest.approx(log_odds, abs=2e-3, nan_ok=True), name


def test_shares_confusion_and_aurocs_are_the_plain_ones() -> None:
    rows = np.random.default_rng(1).choice(NUM, 100, replace=False)
    found = WORLD.climb()
    truth, label = WORLD.truth[rows], WORLD.label[rows].argmax(axis=1)
    assert np.array(found.confusion.counts).tolist() == confusion_matrix(truth, label).tolist()
    assert [share.number for share in found.class_shares] == [0, 1, 2, 3]
    assert sum(share.share.value for share in found.class_shares) == pytest.approx(1)
    assert [share.trusted.value for share in found.class_shares] == pytest.approx(np.bincount(truth) / 100)
    student = found.of_option("student")
    assert student.accuracy.value == pytest.approx((WORLD.student[rows].argmax(axis=1) == truth).mean())
    p = np.exp(WORLD.student[rows])
    assert student.auroc is not None
    assert student.auroc.value == pytest.approx(roc_auc_score(truth, p, multi_class="ovr"))
    assert sum(student.class_shares) == pytest.approx(1)


@pytest.mark.slow
def test_what_is_claimed_is_true_in_most_files() -> None:
    held: list[list[bool]] = []
    for seed in range(12):
        world = World(seed, silent=0.3)
        found = world.climb(120, seed)
        rows = np.random.default_rng(seed).choice(NUM, 120, replace=False)
        rest = np.setdiff1d(np.arange(NUM), rows)
        labelled, silent = (rest[unknown(world.label[rest]) == flag] for flag in (False, True))
        right = predicted(found.log_odds) == world.truth
        gain = right[labelled].mean() - (likeliest(world.label) == world.truth)[labelled].mean()
        shares = np.bincount(world.truth, minlength=CLASSES) / NUM
        assert found.unlabelled is not None
        assert found.num_unlabelled == unknown(world.label[rows]).sum()
        held.append(
            [
                found.gain.low <= gain <= found.gain.high,
                found.unlabelled.low <= right[silent].mean() <= found.unlabelled.high,
                *(part.share.low <= shares[part.number] <= part.share.high for part in found.class_shares),
            ]
        )
    assert np.mean(held) > 0.9


def test_of_unlabelled_rows_nothing_is_said_without_trusted_ones_of_them() -> None:
    world = World(3, silent=0.3)
    rows = np.flatnonzero(~unknown(world.label))[:100]
    found = climb(world.scores, world.trusted(rows), in_file=np.ones(NUM, dtype=bool))
    assert found is not None
    assert found.unlabelled is None
    assert not found.shares_of_all
    assert "Of the rows with a cheap label" in " ".join(ladder_sentences(found, list("abcd")))


def test_the_words_name_the_classes() -> None:
    found = WORLD.climb()
    said = " ".join(ladder_sentences(found, ["anger", "joy", "fear", "calm"]))
    assert "fear are" in said
    assert "of the rows of fear" in said
    assert "called anger" in said
    assert ladder_columns(found) == ("labels", "right [95 %]", "gain [95 %]", "AUC")
    assert {len(row) for row in ladder_rows(found)} == {4}


def table(seed: int = 0) -> tuple[list[dict[str, Any]], list[str]]:
    """Rows of the embedded task of four classes, with cheap labels a quarter of which are wrong."""
    recipe = TinyInstrumentFamily()
    names = [name.title() for name in recipe.task.class_names]
    rng = np.random.default_rng(seed)
    rows, truths = [], []
    for i, row in enumerate(recipe.open(recipe.identify()).train.take(range(240))):
        example = recipe.format(row, Draw(0, str(i)))
        assert example is not None
        truth = names[int(example.label)]
        cheap = names[rng.integers(len(names))] if rng.random() < 0.25 else truth
        rows.append({"id": f"r{i}", "text": row["text"], "cheap": cheap if i % 7 else f" {cheap.upper()} "})
        truths.append(truth)
    return rows, truths


def write(path: Path, rows: list[dict[str, Any]]) -> str:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return str(path)


def run(folder: Path, num_trusted: int = 60, columns: dict[str, Any] | None = None, **settings: Any) -> LabelRun:
    rows, truths = table()
    chosen = np.random.default_rng(1).choice(len(rows), num_trusted, replace=False)
    raw: dict[str, Any] = {
        "path": write(folder / "mine.jsonl", rows),
        "columns": columns or {"label": "cheap", "classes": "all", "trusted_label": "family"},
        "strong": "tiny/strong",
        "folds": 3,
        "runtime": {"threads": 1},
        "compute_dtype": "float32",
        **settings,
    }
    if num_trusted:
        raw["trusted"] = write(folder / "checked.jsonl", [{"id": f"r{i}", "family": truths[i]} for i in chosen])
    return run_label(parse_label_settings(raw), Store(folder.parent / "store"))


def test_from_the_file_to_the_file(tmp_path: Path) -> None:
    done = run(tmp_path / "a")
    names = done.labelling.spelling
    assert done.labelling.ladder is not None
    paths = write_labelled(done, tmp_path / "out")
    own, new = (
        [json.loads(line) for line in Path(path).read_text().splitlines()] for path in (done.labeller.path, paths[0])
    )
    for before, after in zip(own, new, strict=True):
        assert {name: after[name] for name in before} == before
        by_class = [after[f"outshine_p_{name}"] for name in names]
        assert sum(by_class) == pytest.approx(1)
        assert after["outshine_p"] == after[f"outshine_p_{after['outshine_label']}"]
        assert after["outshine_student"] in names
    lines = (tmp_path / "a/checked.jsonl").read_text().splitlines()
    checked = {row["id"]: row["family"] for row in map(json.loads, lines)}
    assert all(row["outshine_label"] == checked[row["id"]] for row in new if row["id"] in checked)
    issues = issues_table(done.labelling)
    assert set(issues["given_label"]) <= set(names)
    suspects = pd.read_csv(tmp_path / "out/suspects.csv")
    assert set(suspects["label"]) <= set(names)
    document = json.loads((tmp_path / "out/evidence.json").read_text())
    assert document == json.loads(json.dumps(evidence_document(done.labelling)))
    assert len(document["ladder"]["class_shares"]) == 4
    assert Path(tmp_path / "out/label.yaml").read_text().count("classes") == 1


def test_doubted_labels_are_those_of_confident_learning(tmp_path: Path) -> None:
    done = run(tmp_path / "a", 0)
    rows, names = done.labelling.rows, done.labelling.spelling
    given = rows["label"].to_numpy(dtype=int)
    p = rows[[f"best_p_{k}" for k in range(4)]].to_numpy(dtype=float)  # without trusted rows the student's
    assert rows["suspect"].tolist() == confident_joint(given, p).suspect.tolist()
    assert rows["suspicion"].to_numpy() == pytest.approx(1 - p[np.arange(len(p)), given])
    assert rows["student"].tolist() == p.argmax(axis=1).tolist()
    assert [names[k] for k in given] == [row["cheap"].strip().title() for row in table()[0]]
    said = " ".join(sentences(done.labelling))
    assert "cannot be known without true labels" in said
    assert "disagreements" not in said.split("Without true labels")[0]


def test_the_probe_is_scikit_learns(tmp_path: Path) -> None:
    done = run(tmp_path / "a", 0)
    assert done.resolution is not None
    store = Store(tmp_path / "store")
    probe = probe_of(done.resolution, store)
    ids, acts = read_embeddings(probe.activations, store)
    plan = done.resolution.plan.read(store).set_index("id").loc[ids]
    penalties = store.document(probe.key, "summary.json", lambda document: document)["penalties"]
    label = plan[[f"p_{k}" for k in range(4)]].to_numpy().argmax(axis=1)
    x, z = acts.double().numpy(), probe.scores(store).loc[ids].to_numpy()
    assert np.exp(z).sum(axis=1) == pytest.approx(1)
    for number in range(3):
        train = (plan["fold"] != number).to_numpy()
        scale = x[train].std(0)
        scaled = (x - x[train].mean(0)) / np.where(scale > 0, scale, 1)
        c = 1 / (4 * train.sum() * penalties[number] * x.shape[1])
        other = LogisticRegression(C=c, tol=1e-9, max_iter=5000).fit(scaled[train], label[train])
        assert z[~train] == pytest.approx(other.predict_log_proba(scaled[~train]), abs=5e-3)


def test_a_judged_list_comes_back(tmp_path: Path) -> None:
    """Rows are drawn from all alike, since a disagreement may find both wrong."""
    done = run(tmp_path / "a", 0, judge=40)
    write_labelled(done, tmp_path / "out")
    listed = pd.read_csv(tmp_path / "out/to_judge.csv", dtype=object)
    assert set(listed["outshine_stratum"]) == {"all"}
    _, truths = table()
    listed["family"] = [truths[int(row) - 1] for row in listed["outshine_row"]]
    listed.to_csv(tmp_path / "judged.csv", index=False)
    again = run(tmp_path / "a", 0, judge=40, trusted=str(tmp_path / "judged.csv"))
    (part,) = again.labelling.evidence
    assert (part.by, part.num_rows, part.picked) == ("draw", 40, "")
    assert part.num_right + part.num_wrong <= part.num_judged
    assert again.labelling.ladder is not None
    assert again.labelling.ladder.num_rows == 40


def test_rows_that_were_picked_are_refused(tmp_path: Path) -> None:
    done = run(tmp_path / "a", 0)
    doubted = done.labelling.rows.sort_values("rank").head(60)["row"].astype(int)
    _, truths = table()
    picked = write(tmp_path / "picked.jsonl", [{"id": f"r{i - 1}", "family": truths[i - 1]} for i in doubted])
    found = run(tmp_path / "a", 0, trusted=picked).labelling
    assert found.ladder is None
    assert "No verdict on the file" in sentences(found)[0]


def test_new_rows_may_judge(tmp_path: Path) -> None:
    rows, truths = table()
    new = [{**row, "id": f"n{i}", "text": f"{row['text']} ?!", "family": truth} for i, (row, truth) in
           enumerate(zip(rows, truths, strict=True))]  # fmt: skip
    path = write(tmp_path / "new.jsonl", new[:80])
    found = run(tmp_path / "a", 0, trusted=path).labelling
    assert [part.of for part in found.evidence] == ["new"]
    assert found.ladder is None or found.ladder.of == "new"


def test_two_classes_are_a_binary_labelling(tmp_path: Path) -> None:
    rows = [{"text": f"text {i} of {'abcdefg'[i % 7]}", "cheap": ("ham", "spam")[i % 2]} for i in range(40)]
    path = write(tmp_path / "mine.jsonl", rows)
    for classes in ("all", "ham,spam"):
        columns = resolve_classes(path, Columns(label="cheap", classes=classes))
        assert columns.task.outcome == "binary"
        found = read_labelled(path, columns)
        plain = read_labelled(path, Columns(label="cheap", positive="spam"))
        assert found.frame["p"].tolist() == plain.frame["p"].tolist()


def test_classes_are_called_as_the_file_does_it(tmp_path: Path) -> None:
    """Codes are names: 01 is neither 1 nor 001, and 1_2 is not 12."""
    names = ["001", "01", "1", "12", "1_2", "inf"]
    path = write(tmp_path / "mine.jsonl", [{"text": f"text {i}", "cheap": names[i % 6]} for i in range(30)])
    columns = resolve_classes(path, Columns(label="cheap", classes="all"))
    assert columns.task.class_names == tuple(names)
    found = read_labelled(path, columns)
    assert found.labels.p.argmax(axis=1).tolist() == [i % 6 for i in range(30)]
    whole = write(
        tmp_path / "whole.jsonl", [{"text": f"text {i}", "cheap": ["1", 2.0, "3.0"][i % 3]} for i in range(9)]
    )
    assert resolve_classes(whole, Columns(label="cheap", classes="all")).task.class_names == ("1", "2", "3")


def test_none_is_a_class_where_it_is_named_and_none_where_that_is_said(tmp_path: Path) -> None:
    """A stance may be favor, against and none; elsewhere a program has written None for an empty cell."""
    values = ["favor", "against", "None", "n/a"]
    path = write(tmp_path / "mine.jsonl", [{"text": f"text {i}", "cheap": values[i % 4]} for i in range(40)])
    with pytest.raises(
        DataError, match=r"'none' stands in 10 rows .* \(--classes against,favor,none\); .*--missing none"
    ):
        resolve_classes(path, Columns(label="cheap", classes="all"))
    named = resolve_classes(path, Columns(label="cheap", classes="favor,against,none"))
    assert read_labelled(path, named).labels.p[:4].argmax(axis=1).tolist()[:3] == [0, 1, 2]
    two = read_labelled(path, resolve_classes(path, Columns(label="cheap", classes="all", missing="none")))
    assert two.labels.p[:4] == pytest.approx([1, 0, np.nan, np.nan], nan_ok=True)


def test_probabilities_and_votes_of_several_classes(tmp_path: Path) -> None:
    rows = [
        {"text": f"text {i}", "lm_a": 0.5, "lm_b": "30 %", "lm_c": 0.2 if i else 0.201, "x": "a", "y": "abc"[i % 3]}
        for i in range(6)
    ]
    rows[4] |= {"lm_a": None, "lm_b": None, "lm_c": None}
    path = write(tmp_path / "mine.jsonl", rows)
    soft = read_labelled(path, resolve_classes(path, Columns(label="lm", classes="all")))
    assert soft.notes == ("3 classes; labels: 0 c, 0 b and 5 a",)
    assert soft.labels.names == ("a", "b", "c")
    assert soft.labels.p[1].tolist() == pytest.approx([0.5, 0.3, 0.2])
    assert soft.labels.p[0].sum() == pytest.approx(1)
    assert np.isnan(soft.labels.p[4]).all()
    assert not soft.labels.hard
    votes = read_labelled(path, resolve_classes(path, Columns(votes=("x", "y"), classes="all", combine="majority")))
    assert votes.votes is not None
    assert votes.labels.p[1].tolist() == [0.5, 0.5, 0.0]


REFUSED: list[tuple[dict[str, Any], dict[str, Any], str]] = [
    ({"cheap": "jazz"}, {"classes": "wind,string,drum"}, "which is none of the 3 classes; add it to --classes"),
    ({}, {"classes": "wind"}, "classes names 1 class; two or more are needed"),
    ({}, {"classes": "wind,Wind"}, "twice; upper and lower case are one spelling"),
    ({}, {"classes": "wind,drum", "positive": "wind"}, "positive and negative are for two: leave them out"),
    ({}, {"label": "lm", "classes": "a,b,c"}, "has no column 'lm_c'"),
    ({"lm_c": 0.9}, {"label": "lm", "classes": "a,b,c"}, "add up to 1.5; those of all classes add up to 1"),
    ({"lm_c": "x"}, {"label": "lm", "classes": "a,b,c"}, "'lm_c' of row 1 .* is 'x'; expected a probability"),
    ({"cheap": "jazz"}, {}, "each value is a class of its own: --classes all"),
]


@pytest.mark.parametrize(("first", "columns", "message"), REFUSED)
def test_what_cannot_be_read_is_said_in_one_line(
    tmp_path: Path, first: dict[str, Any], columns: dict[str, Any], message: str
) -> None:
    names = ["wind", "string", "drum", "wind", "drum", "string", "wind", "drum"]
    rows = [{"text": f"text {i}", "cheap": name, "lm_a": 0.4, "lm_b": 0.2} for i, name in enumerate(names)]
    if "lm_c" in first:
        rows = [{**row, "lm_c": 0.4} for row in rows]
    rows[0] |= first
    path = write(tmp_path / "mine.jsonl", rows)

    def read() -> None:
        raw = {"path": path, "columns": {"label": "cheap", **columns}, "strong": "tiny/strong"}
        read_labelled(path, resolve_classes(path, parse_label_settings(raw).columns))

    with pytest.raises(OutshineError, match=message) as refused:
        read()
    assert "\n" not in str(refused.value)


def test_a_class_that_only_people_know_must_be_named(tmp_path: Path) -> None:
    rows, _ = table()
    checked = write(tmp_path / "checked.jsonl", [{"id": "r0", "family": "voice"}])
    with pytest.raises(DataError, match=r"has voice .* none of the 4 classes; add it to --classes"):
        run(tmp_path / "a", 0, trusted=checked)
    names = ",".join([*{row["cheap"].strip().lower() for row in rows}, "voice"])
    columns = {"label": "cheap", "classes": names, "trusted_label": "family"}
    done = run(tmp_path / "a", 0, columns=columns, trusted=checked)
    assert np.isfinite(done.labelling.rows["p"]).all()
    assert (done.labelling.rows["student"] < 4).all()  # no label taught it the fifth


def test_a_loss_of_two_classes_is_refused_before_anything_is_trained(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Xent, "outcomes", ("binary",))
    with pytest.raises(SettingsError, match="'xent' works with binary labels only, and these are multiclass"):
        run(tmp_path / "a", 0, student="head")


@pytest.mark.slow
def test_students_may_be_fine_tuned(tmp_path: Path) -> None:
    done = run(tmp_path / "a", student="head", training={"epochs": 1})
    assert done.labelling.student == "head"
    assert done.first is not None
    assert done.labelling.signs.label_auroc > 0.5
    rows = done.labelling.rows
    assert rows[[f"best_p_{k}" for k in range(4)]].sum(axis=1).to_numpy() == pytest.approx(1)
