"""How models were trained: the table against scikit-learn and plain sums, and what is said of it."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import roc_auc_score

from made_up import resolved
from outshine.data.task import BINARY, MultiClass
from outshine.engine.store.store import Store
from outshine.results.names import Contender
from outshine.results.read.training import _auroc
from outshine.results.results import Results, read_results
from outshine.results.training_notes import TRAINING_COLUMNS, TrainingNote, doubt, doubtful, training_notes
from outshine.w2s.stages.finetune import Student, Supervised

ROW: dict[str, Any] = {
    "study": "s",
    "dataset": "d",
    "weak": "w",
    "strong": "l",
    "purpose": "method",
    "method": "vanilla",
    "variant": "",
    "round": 0,
    "loss": "xent",
    "data_seed": 0,
    "seed": 0,
    "role": "student",
    "updates": 470,
    "warmup": 40,
    "chosen_update": 200,
    "num_validations": 19,
    "val_rows": 1000,
    "val_auroc": 0.8,
    "val_low": 0.75,
    "test_rows": 5000,
    "test_auroc": 0.8,
    "test_low": 0.78,
    "label_sd": 0.3,
    "test_sd": 0.3,
    "test_one_side": 0.55,
    "unknown_tokens": 0.0,
    "key": "k",
}
FAILED = {"val_auroc": 0.36, "val_low": 0.3, "test_auroc": 0.41, "test_low": 0.39}
UNSURE = {"val_rows": 32, "val_auroc": 0.52, "val_low": 0.3, "test_rows": 60, "test_auroc": 0.55, "test_low": 0.4}
SHARED = {"method": "", "variant": "", "loss": "xent"}
"""Supervisor and ceiling are of no method, unless a method has supervisors of its own."""
STUDENT = Contender("vanilla", "", 0, "xent")


def notes(*changes: dict[str, Any]) -> list[TrainingNote]:
    """The notes on rows that are as they should be but for the changes."""
    rows = [{**ROW, **(SHARED if one.get("role", "student") != "student" else {}), **one} for one in changes]
    return training_notes(pd.DataFrame(rows, columns=list(TRAINING_COLUMNS)))


def told(*changes: dict[str, Any]) -> list[str]:
    return [note.text for note in notes(*changes)]


@pytest.mark.parametrize("role", ["weak", "student", "ceiling"])
def test_nothing_is_said_of_models_that_are_as_they_should_be(role):
    assert told({"role": role}) == []


def test_a_student_that_did_not_learn():
    (text,) = told(FAILED)
    assert text == (
        "the student vanilla xent on d: did not learn its labels, as far as these rows can tell (AUROC against them "
        ".360 on 1,000 rows of val, .410 on 5,000 of test): its PGR says what happens when training fails, nothing "
        "about weak-to-strong generalization."
    )


def test_few_rows_of_val_leave_it_open():
    (text,) = told(UNSURE)
    assert ".520 on 32 rows of val, .550 on 60 of test, not shown to be above .5" in text
    assert "may say no more than what happens when training fails" in text


def test_test_rows_can_settle_what_few_rows_of_val_leave_open():
    assert told({**UNSURE, "test_low": 0.51}) == []


def test_weights_that_a_val_below_chance_chose_are_chosen_by_chance():
    (text,) = told({"val_auroc": 0.48, "val_low": 0.4})
    assert "chosen by an AUROC that is not above .5 (.480 on 1,000 rows of val): by chance" in text
    assert told({"val_auroc": 0.48, "val_low": 0.4, "num_validations": 1}) == []  # nothing was chosen


@pytest.mark.parametrize(("role", "words"), [("weak", "compares with chance"), ("ceiling", "nothing to measure")])
def test_supervisor_and_ceiling_that_are_not_shown_to_have_learned(role, words):
    (text,) = told({**UNSURE, "role": role})
    assert words in text
    assert "vanilla" not in text


def test_a_methods_own_supervisor_is_told_as_its_own_and_doubts_its_method_alone():
    own = {**UNSURE, "role": "weak", "method": "filtered"}
    (text,) = told(own)
    assert text.startswith("a supervisor of filtered xent on d: not shown to have learned its task")
    assert doubtful(notes(own), STUDENT, ("weak",)) == set()
    assert doubtful(notes(own), Contender("filtered", "", 0, "xent"), ("weak",)) == {"d"}


def test_labels_that_hardly_vary_and_predictions_that_do_not():
    texts = told({"label_sd": 0.04, "test_sd": 0.01, "test_one_side": 0.995})
    assert [text.partition(": ")[2][:30] for text in texts] == [
        "the labels that it was trained",
        "100% of the test rows are give",
    ]
    unsure = told({**UNSURE, "test_sd": 0.01})
    assert any("its probabilities hardly vary" in text for text in unsure)
    assert not any("hardly vary" in text for text in told({**UNSURE, "test_low": 0.51, "test_sd": 0.01}))
    assert told({"label_sd": 0.05, "test_sd": 0.02, "test_one_side": 0.97}) == []


def test_a_model_that_cannot_read_its_texts():
    (text,) = told({"unknown_tokens": 1.0})
    assert text == (
        "the student vanilla xent on d: 100% of the tokens of its texts are unknown to its tokenizer: it cannot read them."
    )
    assert told({"unknown_tokens": 0.49}) == []
    assert told({"unknown_tokens": math.nan}) == []  # of an artefact that does not tell


def test_models_that_were_barely_trained():
    assert told({"updates": 12, "chosen_update": 12}) == [
        "the student vanilla xent on d: barely trained, 12 updates in all."
    ]
    assert "after 25 of 470 updates" in told({"chosen_update": 25})[0]
    assert told({"chosen_update": 50}) == []


def test_an_unknown_auroc_says_nothing():
    nan = math.nan
    assert told({"val_auroc": nan, "val_low": nan, "test_auroc": nan, "test_low": nan}) == []
    (text,) = told({**FAILED, "test_auroc": nan, "test_low": nan})
    assert "(AUROC against them .360 on 1,000 rows of val)" in text


def test_seeds_share_a_sentence_and_so_do_models_with_the_same_to_say():
    seeds = [{**FAILED, "seed": 0}, {**FAILED, "seed": 1, "val_auroc": 0.37}, {"seed": 2}]
    (text,) = told(*seeds)
    assert text.startswith("the student vanilla xent, seed 0, 1 on d: did not learn")
    assert ".360, .370 on 1,000 rows of val" in text
    barely = {"updates": 3, "chosen_update": 3}
    (text,) = told(*({**barely, "role": role, "dataset": name} for name in "ab" for role in ("weak", "student")))
    assert text == "the weak supervisor, the student vanilla xent on a, b: barely trained, 3 updates in all."


def test_the_doubt_is_about_the_models_behind_one_number():
    other = {**FAILED, "method": "filtered", "dataset": "b"}
    found = notes({**FAILED, "dataset": "a"}, other, {**UNSURE, "role": "weak", "dataset": "c"})
    assert doubtful(found, STUDENT, ("student", "ceiling")) == {"a"}
    assert "on 2 of 4 datasets (a, c) a model behind this answer" in doubt(found, STUDENT, ["a", "b", "c", "e"])
    assert doubt(found, STUDENT, ["b", "e"]) == ""
    assert "here a model behind this answer" in doubt(found, STUDENT, ["a"])


# -- the table, on made-up predictions ------------------------------------------------------------


def signal(stage, sign: np.ndarray) -> np.ndarray:
    """Supervisor and ceiling learned, students did not."""
    return 0 * sign if isinstance(stage, Student) else 2 * sign


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> tuple[Results, Store, list]:
    store = Store(tmp_path_factory.mktemp("training"))
    experiments = resolved(store, {"seeds": [0, 1], "methods": ["vanilla"], "controls": True}, signal, 60)[1]
    return read_results("made-up", experiments, store), store, experiments


def test_the_table_by_scikit_learn_and_plain_sums(made):
    results, store, experiments = made
    table = results.training
    assert tuple(table.columns) == TRAINING_COLUMNS
    assert table.groupby("role").size().to_dict() == {"weak": 4, "student": 4, "ceiling": 4}  # no control is in it
    stages = {stage.key: (run, stage) for run in experiments for stage in (run.labels, run.ceiling, *run.students)}
    for row in table.to_dict("records"):
        run, stage = stages[row["key"]]
        truth = run.prepare.read(store).truth.set_index("id")["label"]
        own = stage.predictions(store).set_index("id")
        test = own[own["split"] == "test"]
        assert row["updates"] == 60
        assert row["warmup"] == 6  # a tenth
        assert row["chosen_update"] == 2
        assert row["val_auroc"] == 0.6  # as the curve says
        assert row["test_sd"] == pytest.approx(np.std(test["p"]))
        assert row["test_one_side"] == pytest.approx(max(np.mean(test["p"] > 0.5), np.mean(test["p"] <= 0.5)))
        y = truth.loc[test.index]
        if isinstance(stage, Student):
            weak = run.labels.predictions(store).set_index("id")
            p = weak.loc[test.index, "p"]
            y = p > (0.5 if 20 <= (p > 0.5).sum() <= len(p) - 20 else p.median())
            assert row["label_sd"] == pytest.approx(np.std(weak.loc[weak["split"] == "strong_train", "p"]))
        else:
            assert math.isnan(row["label_sd"])
        assert row["test_auroc"] == pytest.approx(roc_auc_score(y, test["log_odds"]))
        assert row["test_low"] < row["test_auroc"]


def test_supervisors_and_ceilings_that_learned_are_not_among_the_notes(made):
    roles = {subject.role for note in made[0].training_notes for subject in note.subjects if note.what == "learned"}
    assert roles <= {"student"}


def test_the_limit_on_val_counts_validations(made):
    """The lower limit on val is at 95 % for all validations together: below the ordinary one."""
    results, _, experiments = made
    stages = {stage.key: stage for run in experiments for stage in (run.labels, run.ceiling)}
    scores = results.scores.set_index(["key", "split"])
    rows = results.training[results.training["role"] != "student"]
    assert all(isinstance(stages[key], Supervised) for key in rows["key"])
    for row in rows.to_dict("records"):
        assert row["num_validations"] > 10
        assert row["val_low"] < scores.loc[(row["key"], "val"), "auroc_low"]
        assert row["test_low"] == pytest.approx(scores.loc[(row["key"], "test"), "auroc_low"])


@pytest.mark.parametrize("rare", [0, 1, 2, 4, 8])
def test_a_class_of_few_rows_does_not_hide_that_a_model_of_many_classes_learned(rare: int):
    """Of such a class hardly any variance is known; the limits are those of the others, the value is that of all."""
    rng = np.random.default_rng(0)
    y = np.repeat(np.arange(6), [rare, *[30] * 5])
    task = MultiClass(class_names=tuple("abcdef"))
    scores = pd.DataFrame(rng.normal(size=(len(y), 6)) + 3 * np.eye(6)[y], columns=list(task.score_columns))
    rows = pd.DataFrame({"group": [f"g{i}" for i in range(len(y))]})
    found = _auroc(task, rows, task.label_table(np.eye(6)[y], rows.index), True, scores, 0.95)
    p = np.exp(scores.to_numpy()) / np.exp(scores.to_numpy()).sum(1, keepdims=True)
    assert found.value == pytest.approx(np.mean([roc_auc_score(y == k, p[:, k]) for k in np.unique(y)]))
    assert 0.8 < found.low < found.value
    binary = pd.Series((y == 0).astype(float) if rare else (np.arange(len(y)) == 0).astype(float))
    alone = _auroc(BINARY, rows, binary, True, scores["log_p_0"], 0.95)
    assert (alone.low > 0) == (rare > 1)
