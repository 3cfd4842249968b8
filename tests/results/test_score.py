"""What `outshine.score` takes: K classes, pairs, logs of harnesses, few roles; what it makes of them, and refuses."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from scipy.special import expit, softmax
from sklearn.metrics import accuracy_score, roc_auc_score

import outshine
from outshine.engine.errors import DataError, SettingsError, UnknownNameError
from outshine.report.score_section import sentences, tables
from outshine.stats.metrics.macro_auroc import MacroAuroc
from outshine.stats.pgr import ROLES, compare_roles

EFFECTS = {"weak": 0.4, "student": 1.0, "ceiling": 1.8}
N = 120


def binary(num_seeds: int = 1, n: int = N, **effects: float) -> pd.DataFrame:
    """A wide table: the same rows for each seed, in groups of three."""
    rng = np.random.default_rng([61, num_seeds, n])
    y = np.arange(n) % 2
    parts = []
    for seed in range(num_seeds):
        roles = {role: rng.normal(size=n) + effect * (2 * y - 1) for role, effect in {**EFFECTS, **effects}.items()}
        facts = {"id": [f"r{number}" for number in range(n)], "seed": seed, "label": y, "group": np.arange(n) // 3}
        parts.append(pd.DataFrame({**facts, **roles}))
    return pd.concat(parts, ignore_index=True)


def classes(num_classes: int = 3, n: int = 150) -> tuple[np.ndarray, dict[str, np.ndarray]]:
    rng = np.random.default_rng([67, num_classes])
    y = rng.integers(0, num_classes, n)
    return y, {
        role: rng.normal(size=(n, num_classes)) + effect * np.eye(num_classes)[y] for role, effect in EFFECTS.items()
    }


def of_classes(names: list[str], labels: Any, values: dict[str, np.ndarray]) -> pd.DataFrame:
    columns = {f"{role}_{name}": own[:, place] for role, own in values.items() for place, name in enumerate(names)}
    return pd.DataFrame({"id": range(len(labels)), "label": labels, **columns})


def only(scored: outshine.ScoreResults) -> dict[str, Any]:
    assert len(scored.summary) == 1
    return scored.summary.to_dict("records")[0]


# --- K classes and pairs ------------------------------------------------------------------------------------------


def test_k_classes_are_measured_as_scikit_learn_and_the_statistics_say():
    y, values = classes()
    row = only(outshine.score(of_classes(["0", "1", "2"], y, values)))
    for role in ROLES:
        expected = roc_auc_score(y, softmax(values[role], axis=1), multi_class="ovr", average="macro")
        assert row[f"{role}_value"] == pytest.approx(expected, abs=1e-12)
    expected = compare_roles(y, np.stack([values[role] for role in ROLES])[None], metric=MacroAuroc()).overall.pgr
    assert [row["pgr"], row["pgr_low"], row["pgr_high"]] == pytest.approx(expected[:3], abs=1e-12)
    assert (row["metric"], row["num_groups"]) == ("macro_auroc", 150)


def test_classes_by_name_lists_and_probabilities_are_the_same(tmp_path: Path):
    y, values = classes()
    names = ["joy", "anger", "fear"]
    by_number = only(outshine.score(of_classes(["0", "1", "2"], y, values), metric=["accuracy", "macro_auroc"][:1]))
    named = of_classes(names, [names[number].upper() for number in y], values)
    p = {role: softmax(own, axis=1) for role, own in values.items()}
    lists = pd.DataFrame(
        {
            "id": range(len(y)),
            "label": [names[number] for number in y],
            **{role: own.tolist() for role, own in p.items()},
        }
    )
    lists.to_csv(tmp_path / "lists.csv", index=False)
    lists.to_parquet(tmp_path / "lists.parquet", index=False)
    several = [
        outshine.score(named, metric="accuracy"),
        outshine.score(lists, metric="accuracy", classes=names),
        outshine.score(tmp_path / "lists.csv", metric="accuracy", classes=names),
        outshine.score(tmp_path / "lists.parquet", metric="accuracy", classes=names),
    ]
    for scored in several:
        row = only(scored)
        assert [row["weak_value"], row["pgr"], row["pgr_low"]] == pytest.approx(
            [by_number["weak_value"], by_number["pgr"], by_number["pgr_low"]], abs=1e-12
        )
        assert row["weak_value"] == accuracy_score(y, values["weak"].argmax(axis=1))
    assert set(several[1].values.values()) == {"probability"}


def test_two_classes_are_the_binary_case():
    y, values = classes(2)
    two = only(outshine.score(of_classes(["no", "yes"], np.where(y == 1, "yes", "no"), values)))
    one = pd.DataFrame(
        {"id": range(len(y)), "label": y, **{role: own[:, 1] - own[:, 0] for role, own in values.items()}}
    )
    for name, value in only(outshine.score(one)).items():
        assert two[name] == (pytest.approx(value, abs=1e-12) if isinstance(value, float) else value)


def test_pairs_leave_ties_out_and_count_even_odds_half():
    table = binary().round(0)
    table["label"] = np.where(np.arange(N) % 10 == 0, "tie", np.where(table["label"] == 1, "a", "b"))
    scored = outshine.score(table, pairs=True)
    row = only(scored)
    kept = table[table["label"] != "tie"]
    right = np.where(kept["student"] == 0, 0.5, (kept["student"] > 0) == (kept["label"] == "a"))
    assert (row["metric"], row["n"]) == ("pair_accuracy", 108)
    assert row["student_value"] == pytest.approx(right.mean(), abs=1e-12)
    assert any("12 pairs" in note and "tie" in note for note in scored.notes)
    with pytest.raises(SettingsError, match="one value a row"):
        outshine.score(of_classes(["0", "1"], [0, 1, 1], {"student": np.eye(3)[:, :2]}), pairs=True)


# --- values -------------------------------------------------------------------------------------------------------


def test_what_values_were_taken_for_is_told_and_can_be_said():
    table = binary()
    p = table.assign(**{role: expit(table[role]) for role in ROLES})
    assert any("taken for log-odds" in note for note in outshine.score(table).notes)
    assert any("taken for probabilities" in note for note in outshine.score(p).notes)
    for metric in ("accuracy", "log_loss"):
        ours, theirs = (only(outshine.score(one, metric=metric)) for one in (table, p))
        assert ours["student_value"] == pytest.approx(theirs["student_value"], abs=1e-12)
    read_as_log_odds = only(outshine.score(p, metric="accuracy", values="log-odds"))
    assert read_as_log_odds["student_value"] == pytest.approx((p["label"] == 1).mean())
    mixed = p.assign(student=table["student"])
    with pytest.raises(DataError, match="the values of weak and ceiling lie in"):
        outshine.score(mixed)
    told = outshine.score(mixed, values="weak=probability,ceiling=probability,student=log-odds", metric="accuracy")
    assert only(told)["pgr"] == pytest.approx(only(outshine.score(table, metric="accuracy"))["pgr"])
    with pytest.raises(DataError, match="the values of student in 'the frame' are no probabilities: -"):
        outshine.score(mixed, values="probability")


def test_percentages_decimal_commas_and_hard_labels_are_numbers(tmp_path: Path):
    table = binary()
    hard = (table["weak"] > 0).astype(int)
    percent = expit(table["student"]).map(lambda p: f"{100 * p:.6f} %")
    comma = expit(table["ceiling"]).map(lambda p: f"{p:.8f}".replace(".", ","))
    written = table.assign(weak=hard, student=percent, ceiling=comma)
    written.to_csv(tmp_path / "p.csv", index=False, sep=";")
    row = only(outshine.score(tmp_path / "p.csv", metric="accuracy"))
    for role in ROLES:
        assert row[f"{role}_value"] == accuracy_score(table["label"], table[role] > 0)


def test_a_column_that_says_what_it_holds_is_believed(tmp_path: Path):
    """A store's own predictions have log-odds and p beside each other."""
    table = binary()
    files = {}
    for role in ROLES:
        p = expit(table[role])
        files[role] = tmp_path / f"{role}.parquet"
        table[["id"]].assign(split="test", log_odds=table[role] / 100, p=p).to_parquet(files[role])
    scored = outshine.score(**files, labels=table[["id", "label"]])
    assert set(scored.values.values()) == {"log-odds"}
    assert only(scored)["pgr"] == pytest.approx(only(outshine.score(table.drop(columns="group")))["pgr"])


def test_rows_of_files_are_matched_by_ids_in_any_order_and_spelling(tmp_path: Path):
    table = binary().drop(columns=["seed", "group"]).assign(id=np.arange(N))
    ids = {"weak": table["id"], "student": table["id"].astype(float), "ceiling": table["id"].astype(str)}
    files = {}
    for number, (role, own) in enumerate(ids.items()):
        files[role] = tmp_path / f"{role}.csv"
        part = pd.DataFrame({"id": own, "score": table[role]}).sample(frac=1, random_state=number)
        part.to_csv(files[role], index=False)
    scored = outshine.score(**files, labels=table[["id", "label"]])
    assert only(scored)["student_value"] == pytest.approx(roc_auc_score(table["label"], table["student"]))


def test_a_file_without_ids_is_not_matched_with_one_that_has_them(tmp_path: Path):
    """Places in a file are no ids, though ids are often numbers too."""
    table = binary().drop(columns=["seed", "group"]).assign(id=np.arange(N)[::-1])
    files = {role: tmp_path / f"{role}.csv" for role in ("weak", "student")}
    for role, path in files.items():
        table[["id", role]].to_csv(path, index=False)
    table[["student"]].to_csv(files["student"], index=False)
    with pytest.raises(DataError, match=r"student.csv' has no column 'id' and .*weak.csv' has one"):
        outshine.score(**files, labels=table[["id", "label"]])
    table[["weak"]].to_csv(files["weak"], index=False)
    table[["label"]].to_csv(tmp_path / "labels.csv", index=False)
    scored = outshine.score(**files, labels=tmp_path / "labels.csv")
    assert only(scored)["weak_value"] == pytest.approx(roc_auc_score(table["label"], table["weak"]))
    assert any(note.startswith("without ids row n of ") for note in scored.notes)


# --- roles, seeds, tests ------------------------------------------------------------------------------------------


def test_without_a_ceiling_there_is_a_gap_and_no_pgr():
    scored = outshine.score(binary(3).drop(columns="ceiling"))
    row = only(scored)
    assert not row["defined"]
    assert "no ceiling" in row["reason"]
    whole = only(outshine.score(binary(3)))
    for name in ("student_minus_weak", "student_minus_weak_low", "student_minus_weak_high", "weak_low"):
        assert row[name] == pytest.approx(whole[name], abs=1e-12)
    assert np.isnan(row["ceiling_value"])
    (line,) = sentences(scored)
    assert "is above its supervisor (+." in line
    assert "no PGR: no ceiling's predictions are given" in line
    assert tables(scored)[0].rows[0][-1] == "–"


def test_a_student_alone_has_its_value():
    scored = outshine.score(binary().drop(columns=["ceiling", "weak"]))
    assert np.isnan(only(scored)["student_minus_weak"])
    assert "no gain is known" in sentences(scored)[0]


def test_a_model_without_seeds_is_repeated_and_lost_seeds_are_told(tmp_path: Path):
    table = binary(3)
    first = table[table["seed"] == 0]
    student = [table[table["seed"] == seed][["id", "student"]] for seed in range(3)]
    scored = outshine.score(
        weak=first[["id", "weak"]], student=student, ceiling=table.query("seed > 0")[["id", "seed", "ceiling"]],
        labels=first[["id", "label", "group"]],
    )  # fmt: skip
    row = only(scored)
    assert row["num_seeds"] == 2
    assert any("weak on test has one seed" in note for note in scored.notes)
    assert any("student on test: seed 0 left out" in note for note in scored.notes)
    repeated = table.query("seed > 0").assign(weak=np.tile(first["weak"], 2))
    assert row["pgr_low"] == pytest.approx(only(outshine.score(repeated))["pgr_low"], abs=1e-12)
    with pytest.raises(DataError, match="no seed is there for all models"):
        outshine.score(weak=table.query("seed < 2")[["id", "seed", "weak"]], labels=first[["id", "label"]],
                       student=[one.assign(seed=seed + 5) for seed, one in enumerate(student)])  # fmt: skip


def test_several_test_sets_are_each_by_themselves_and_told_apart():
    near, far = binary(), binary(n=119, student=0.4)
    table = pd.concat([near.assign(test="same source"), far.assign(test="shifted")])
    scored = outshine.score(table)
    assert scored.summary["test"].tolist() == ["same source", "shifted"]
    assert scored.summary["pgr"][0] == only(outshine.score(near))["pgr"]
    assert sentences(scored)[-1].startswith("In auroc the gain of the student is shown on same source (+.")
    assert "and not on shifted (" in sentences(scored)[-1]


def test_splits_that_were_trained_on_are_left_out_with_a_note():
    table = pd.concat([binary().assign(split=split) for split in ("test", "val", "strong_train", "Training")])
    scored = outshine.score(table)
    assert only(scored)["n"] == N
    assert any(note.startswith("360 rows of val, strong_train, Training left out") for note in scored.notes)
    with pytest.raises(DataError, match="none is of a test set"):
        outshine.score(table.query("split == 'val'"))


def test_methods_and_controls_are_paired_on_the_same_rows():
    table = pd.concat([binary(2).assign(method="plain"), binary(2).assign(method="new", student=binary(2)["ceiling"])])
    table["control:shuffled"] = np.tile(np.random.default_rng(0).normal(size=N), 4)
    scored = outshine.score(table)
    pairs = scored.comparisons.set_index(["method", "than"])
    values = scored.summary.query("purpose == 'method'").set_index("method")["student_value"]
    assert pairs.loc[("new", "plain"), "difference"] == pytest.approx(values["new"] - values["plain"])
    assert pairs.loc[("shuffled", "new"), "difference_high"] < 0
    turned = outshine.score(table, baseline="new").comparisons.set_index(["method", "than"])
    ours, theirs = pairs.loc[("new", "plain")], turned.loc[("plain", "new")]
    assert ours["difference_low"] == pytest.approx(-theirs["difference_high"])
    with pytest.raises(UnknownNameError, match="did you mean 'plain'"):
        outshine.score(table, baseline="plane")


def test_rows_without_a_label_are_left_out_with_a_note():
    table = binary()
    table["label"] = table["label"].astype(object).where(np.arange(N) % 4 != 3)
    scored = outshine.score(table)
    assert only(scored)["n"] == 90
    assert any(note.startswith("30 rows of test left out, without a label") for note in scored.notes)


# --- logs ---------------------------------------------------------------------------------------------------------


def lm_eval(path: Path, values: np.ndarray, targets: list[str], choices: Any, **extra: Any) -> Path:
    """What `save_results_samples` of lm-evaluation-harness 0.4 writes: all of responses and targets as texts."""
    lines = []
    for number, row in enumerate(values):
        own = choices(number)
        responses = [[str(float(value)), str(value == row.max())] for value in row[: len(own)]]
        lines.append({
            "doc_id": number, "doc": {"text": f"row {number}"}, "target": targets[number],
            "arguments": {f"gen_args_{k}": {"arg_0": f"row {number}", "arg_1": f" {choice}"} for k, choice in enumerate(own)},
            "resps": [[response] for response in responses], "filtered_resps": responses, "filter": "none",
            "metrics": ["acc", "acc_norm"], "doc_hash": "…", "prompt_hash": "…", "target_hash": "…", "acc_norm": 0.0, **extra,
        })  # fmt: skip
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    return path


@pytest.mark.parametrize("target", ["number", "text"])
def test_samples_of_lm_evaluation_harness(tmp_path: Path, target: str):
    """Choices that are the same in all rows are classes; the target is their number, or their text."""
    y, values = classes()
    names = ["joy", "anger", "fear"]
    targets = [str(number) if target == "number" else f" {names[number]}" for number in y]
    files = {
        role: lm_eval(tmp_path / f"samples_{role}.jsonl", own, targets, lambda _: names) for role, own in values.items()
    }
    ours, theirs = only(outshine.score(**files)), only(outshine.score(of_classes(["0", "1", "2"], y, values)))
    assert ours["metric"] == "macro_auroc"
    assert [ours["pgr"], ours["pgr_low"]] == pytest.approx([theirs["pgr"], theirs["pgr_low"]], abs=1e-12)


def test_answers_that_differ_from_row_to_row_are_no_classes(tmp_path: Path):
    """The numbers of answers mean nothing by themselves, and some questions have fewer answers."""
    y, values = classes(4)
    y = np.minimum(y, 2)
    choices = lambda number: [f"answer {number} {k}" for k in range(4 - number % 2)]  # noqa: E731
    files = {role: lm_eval(tmp_path / f"{role}.jsonl", own, list(map(str, y)), choices) for role, own in values.items()}
    row = only(outshine.score(**files))
    usable = values["student"].copy()
    usable[1::2, 3] = -np.inf
    assert (row["metric"], row["student_value"]) == ("accuracy", accuracy_score(y, usable.argmax(axis=1)))


def test_two_choices_are_the_binary_case(tmp_path: Path):
    y, values = classes(2)
    files = {
        role: lm_eval(tmp_path / f"{role}.jsonl", own, list(map(str, y)), lambda _: ["no", "yes"])
        for role, own in values.items()
    }
    row = only(outshine.score(**files))
    expected = roc_auc_score(y, values["student"][:, 1] - values["student"][:, 0])
    assert (row["metric"], row["student_value"]) == ("auroc", pytest.approx(expected, abs=1e-12))


def test_choices_called_by_digits_are_told_by_acc(tmp_path: Path):
    """Of choices 1 and 0 the target 1 is a text if `acc` says so, and else a number."""
    y, values = classes(2)
    for reading in ("number", "text"):
        place = y if reading == "number" else 1 - y
        files = {}
        for role, own in values.items():
            files[role] = lm_eval(tmp_path / f"{role}.jsonl", own, list(map(str, y)), lambda _: ["1", "0"])
            rows = [json.loads(line) for line in files[role].read_text().splitlines()]
            for row, right in zip(rows, own.argmax(axis=1) == place, strict=True):
                row["acc"] = float(right)
            files[role].write_text("".join(json.dumps(row) + "\n" for row in rows))
        row = only(outshine.score(**files, metric="accuracy"))
        assert row["student_value"] == pytest.approx(accuracy_score(place, values["student"].argmax(axis=1)))


def test_answers_that_a_model_wrote_are_right_or_wrong(tmp_path: Path):
    y, values = classes()
    files = {}
    for role, own in values.items():
        right = own.argmax(axis=1) == y
        rows = [
            {"doc_id": n, "target": str(t), "resps": [["42"]], "filtered_resps": ["42"], "exact_match": float(r)}
            for n, (t, r) in enumerate(zip(y, right, strict=True))
        ]
        files[role] = tmp_path / f"{role}.jsonl"
        files[role].write_text("".join(json.dumps(row) + "\n" for row in rows))
    scored = outshine.score(**files)
    assert only(scored)["student_value"] == pytest.approx(accuracy_score(y, values["student"].argmax(axis=1)))
    assert any("only whether answers are right" in note for note in scored.notes)
    with pytest.raises(SettingsError, match="these logs only tell right from wrong; choose accuracy"):
        outshine.score(**files, metric="auroc")


def inspect(path: Path, values: np.ndarray, y: np.ndarray, *, logprobs: bool, epochs: int = 1) -> Path:
    """A log as `inspect log convert --to json` gives it."""
    samples = []
    for epoch in range(1, epochs + 1):
        for number, row in enumerate(values):
            best = int(row.argmax())
            top = [{"token": "ABC"[k], "logprob": float(value), "bytes": None} for k, value in enumerate(row)]
            first = {"token": "ABC"[best], "logprob": float(row[best]), "top_logprobs": top}
            output: dict[str, Any] = {"choices": [{"message": {"role": "assistant", "content": "ABC"[best]}}]}
            if logprobs:
                output["choices"][0]["logprobs"] = {"content": [first]}
            samples.append({
                "id": number, "epoch": epoch, "input": "…", "choices": ["joy", "anger", "fear"], "target": "ABC"[y[number]],
                "output": output, "scores": {"choice": {"value": "C" if best == y[number] else "I", "answer": "ABC"[best]}},
            })  # fmt: skip
    path.write_text(
        json.dumps({"version": 2, "status": "success", "eval": {"model": "m"}, "samples": samples}, indent=1)
    )
    return path


def test_logs_of_inspect(tmp_path: Path):
    y, values = classes()
    expected = accuracy_score(y, values["student"].argmax(axis=1))
    for logprobs in (True, False):
        files = {role: inspect(tmp_path / f"{role}.json", own, y, logprobs=logprobs) for role, own in values.items()}
        row = only(outshine.score(**files))
        assert (row["metric"], row["student_value"], row["num_groups"]) == ("accuracy", pytest.approx(expected), 150)
        if logprobs:
            auroc = roc_auc_score(y, softmax(values["student"], axis=1), multi_class="ovr")
            assert only(outshine.score(**files, metric="macro_auroc"))["student_value"] == pytest.approx(
                auroc, abs=1e-12
            )
    repeated = {
        role: inspect(tmp_path / f"{role}.json", own, y, logprobs=False, epochs=2) for role, own in values.items()
    }
    row = only(outshine.score(**repeated))
    assert (row["n"], row["num_groups"]) == (300, 150)


def test_logs_that_cannot_be_used_are_told(tmp_path: Path):
    (tmp_path / "log.eval").write_bytes(b"PK")
    with pytest.raises(DataError, match="inspect log convert --to json"):
        outshine.score(student=tmp_path / "log.eval")
    (tmp_path / "log.json").write_text('{"eval": {}, "samples": []}')
    with pytest.raises(DataError, match="has no samples"):
        outshine.score(student=tmp_path / "log.json")
    y, values = classes()
    path = lm_eval(tmp_path / "s.jsonl", values["student"], ["perhaps"] * len(y), lambda _: ["a", "b", "c"])
    with pytest.raises(DataError, match="sample 0 has the target 'perhaps'"):
        outshine.score(student=path)


# --- what is refused ----------------------------------------------------------------------------------------------


def changed(**columns: Any) -> pd.DataFrame:
    return binary(2).assign(**columns)


def replaced(name: str, place: int, value: Any) -> pd.DataFrame:
    table = binary(2)
    table[name] = table[name].astype(object)
    table.loc[place, name] = value
    return table


@pytest.mark.parametrize(
    ("table", "message"),
    [
        (replaced("student", 7, np.nan), "the values of student on test seed 0 in 'the frame' are missing or NaN in 1 row, such as 'r7'"),
        (replaced("student", 7, "good"), "row 8 of 'the frame' has 'good' in the column 'student'; a number is expected"),
        (replaced("student", 7, [0.1, 0.9]), "row 1 of 'the frame' has no list of numbers in the column 'student', as other rows have"),
        (replaced("label", 7, "maybe"), "row 'r7' in 'the frame' has maybe in the column 'label', which is no class"),
        (replaced("label", 7, [1]), "the label of row 'r7' in 'the frame' is [1]; one class is expected"),
        (replaced("label", 7, 0), "the labels of test in 'the frame' and 'the frame' differ in 1 row, such as 'r7'"),
        (replaced("id", 7, "r8"), "has several predictions of weak seed 0 on test for 1 row, such as 'r8'; give each once"),
        (replaced("id", 7, "x"), "are not of the same rows of test: 1 are in the latter alone and 1 in the former alone, such as"),
        (replaced("id", 7, ""), "row 8 of 'the frame' has no id; every row needs one"),
        (replaced("group", 7, "other"), "row 'r7' of test is in one group here and in another there"),
        (changed(label=1), "test: AUROC needs rows of both classes, given 120 rows, all positive"),
        (changed(label=None), "no row of test has a label that can be measured: they are empty or ties"),
        (binary().drop(columns="label"), "there is no truth: give a column 'label'"),
        (binary(2).drop(columns="id"), "has no column 'id'"),
        (binary().drop(columns="student"), "has no column 'student'; it has: id, seed, label, group, weak, ceiling (wide:"),
        (binary().rename(columns={"student": "strong", "weak": "role"}), "has no column with predictions"),
        (binary().iloc[:0], "a frame of predictions has no rows"),
        (changed(student_0=1, student_2=2).drop(columns="student"), "classes are numbered 0, 1, 2"),
        (changed(student_0=1, student_1=2).drop(columns="student"), "the models have different numbers of values a row (weak 1, student 2"),
        (changed(**{"control:": 1}), "has a column 'control:'; write which control it is: control:NAME"),
    ],
)  # fmt: skip
def test_what_cannot_be_scored_is_told_in_one_line(table, message):
    with pytest.raises(DataError) as caught:
        outshine.score(table)
    assert message in str(caught.value)


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        (
            {"metric": "macro_auroc"},
            SettingsError,
            "'macro_auroc' measures multiclass labels, and these are binary; choose among accuracy,",
        ),
        ({"metric": "acuracy"}, UnknownNameError, "did you mean 'accuracy'"),
        ({"values": "odds"}, SettingsError, "--values odds: auto, log-odds or probability is expected"),
        ({"classes": ["a", "b", "c"]}, SettingsError, "the classes are a, b, c; there must be 2 different names"),
        ({"columns": {"labels": "x"}}, SettingsError, "columns has 'labels'; known: label, group, id, positive"),
        ({"columns": {"label": "truth"}}, DataError, "'the frame' has no column 'truth'"),
        ({"student": "nowhere.csv"}, DataError, "cannot read 'nowhere.csv': No such file or directory"),
        ({"students": 1}, SettingsError, "unknown argument 'students'; did you mean 'student'?"),
    ],
)
def test_what_is_asked_wrongly_is_told_in_one_line(arguments, error, message):
    with pytest.raises(error) as caught:
        outshine.score(binary(), **arguments)
    assert message in str(caught.value)


def test_ragged_lists_and_foreign_classes_are_told(tmp_path: Path):
    y, values = classes()
    rows = [
        {"id": n, "label": int(y[n]), **{role: own[n].tolist() for role, own in values.items()}} for n in range(len(y))
    ]
    rows[5]["student"] = rows[5]["student"][:2]
    path = tmp_path / "ragged.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    with pytest.raises(
        DataError, match=r"row 6 of .* has 2 values in the column 'student', where the rows before have 3"
    ):
        outshine.score(path)
    with pytest.raises(
        DataError, match="has the label 'joy', and the classes are 0, 1, 2; the labels are joy: name them"
    ):
        outshine.score(of_classes(["0", "1", "2"], ["joy"] * 150, values))
    with pytest.raises(DataError, match="has the label '7', and the classes are a, b, c"):
        outshine.score(of_classes(["a", "b", "c"], [7] * 150, values))
    other = of_classes(["a", "b", "c"], ["a"] * 150, values).rename(columns={"weak_a": "weak_z"})
    with pytest.raises(DataError, match="the models name different classes, or in another order"):
        outshine.score(other)


def test_a_metric_that_is_defined_on_one_test_set_alone_is_told_there():
    table = pd.concat([binary().assign(test="whole"), binary().assign(test="one class", label=1)])
    scored = outshine.score(table)
    assert scored.summary["n"].tolist() == [N, 0]
    assert any(note.startswith("auroc is not defined on one class: AUROC needs") for note in scored.notes)
    assert "nothing can be measured" in sentences(scored)[1]


def test_files_are_written_and_the_figure_is_one(tmp_path: Path):
    outshine.score(pd.concat([binary(2), binary(2)]).iloc[: 2 * N], out=tmp_path / "out")
    names = sorted(path.relative_to(tmp_path / "out").as_posix() for path in (tmp_path / "out").rglob("*.*"))
    assert names == [
        "figures/score.png",
        "figures/score.svg",
        "seeds.csv",
        "seeds.parquet",
        "summary.csv",
        "summary.parquet",
    ]
    svg = (tmp_path / "out/figures/score.svg").read_text()
    assert "weak supervisor" in svg
    assert "PGR, with 95 % interval" in svg
