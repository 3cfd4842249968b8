"""Whole runs through the command line, on the embedded models."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import yaml
from own_rows import good_rows
from sklearn.metrics import accuracy_score, roc_auc_score

TINY = (
    "--weak",
    "tiny/weak",
    "--strong",
    "tiny/strong",
    "--set",
    "compute_dtype=float32",
    "--set",
    "runtime.threads=1",
)
SMALL = ("--n-train", "96", "--n-val", "40", "--n-test", "60")
RUN = ("run", "--dataset", "tiny-home,tiny-pet", *TINY, *SMALL, "--set", "training.epochs=1")

SCORE_COLUMNS = [
    "study",
    "dataset",
    "weak",
    "strong",
    "purpose",
    "method",
    "variant",
    "round",
    "loss",
    "method_id",
    "settings",
    "data_seed",
    "seed",
    "role",
    "split",
    "n",
    "num_groups",
    "auroc",
    "auroc_low",
    "auroc_high",
    "accuracy",
    "key",
]
PGR_COLUMNS = [
    "study",
    "dataset",
    "weak",
    "strong",
    "purpose",
    "method",
    "variant",
    "round",
    "loss",
    "method_id",
    "settings",
    "data_seed",
    "seed",
    "pgr",
    "pgr_low",
    "pgr_high",
    "defined",
    "reason",
    "student_minus_weak",
    "ceiling_minus_weak",
    "saturated",
]


def artefacts() -> dict[str, float]:
    """Key -> time of its commit."""
    return {path.parent.name: path.stat().st_mtime_ns for path in Path("store/artefacts").glob("??/*/DONE.json")}


def test_a_run_prints_one_table_and_writes_everything(run_once):
    outcome = run_once(*RUN)
    assert outcome.code == 0, outcome.err
    for word in ("tiny-home", "tiny-pet", "weak", "student", "ceiling", "PGR", "Pooled PGR"):
        assert word in outcome.out
    written = {path.name for path in Path("outshine-out").iterdir()}
    tables = {
        f"{name}.{kind}"
        for name in ("scores", "pgr", "summary", "diagnostics", "training")
        for kind in ("csv", "parquet")
    }
    assert written == tables | {"study.yaml", "report.html"}
    scores, pgr = pd.read_parquet("outshine-out/scores.parquet"), pd.read_parquet("outshine-out/pgr.parquet")
    assert list(scores.columns) == SCORE_COLUMNS
    assert list(pgr.columns) == PGR_COLUMNS
    assert len(scores) == 2 * 3 * 3  # datasets × roles × splits
    assert list(pd.read_csv("outshine-out/scores.csv").columns) == SCORE_COLUMNS
    # stages are counted, and progress goes to the error stream
    assert "[1/6] tiny/weak on tiny-home weak_train, ground truth, seed 0" in outcome.err


@pytest.mark.slow
def test_the_tables_are_what_scikit_learn_makes_of_the_artefacts(run_once):
    assert run_once(*RUN).code == 0
    scores = pd.read_parquet("outshine-out/scores.parquet")
    pgr = pd.read_parquet("outshine-out/pgr.parquet").set_index("dataset")
    truths = [pd.read_parquet(path).set_index("id")["label"] for path in Path("store").rglob("truth.parquet")]
    truth = pd.concat(truths)
    assert truth.index.is_unique
    for row in scores.itertuples():
        predictions = pd.read_parquet(Path("store/artefacts") / row.key[:2] / row.key / "predictions.parquet")
        part = predictions[predictions["split"] == row.split]
        y = truth.loc[part["id"]].to_numpy()
        assert row.n == len(part)
        assert row.auroc == pytest.approx(roc_auc_score(y, part["log_odds"]), abs=1e-12)
        assert row.accuracy == pytest.approx(accuracy_score(y, part["log_odds"] > 0), abs=1e-12)
        assert row.auroc_low <= row.auroc <= row.auroc_high
        np.testing.assert_allclose(part["p"], 1 / (1 + np.exp(-part["log_odds"])), rtol=1e-12)
    test = scores[scores["split"] == "test"].pivot_table(index="dataset", columns="role", values="auroc")
    for name, found in pgr.iterrows():
        gap, gain = (
            test.loc[name, "ceiling"] - test.loc[name, "weak"],
            test.loc[name, "student"] - test.loc[name, "weak"],
        )
        assert found["ceiling_minus_weak"] == pytest.approx(gap)
        assert found["student_minus_weak"] == pytest.approx(gain)
        if found["defined"]:
            assert found["pgr"] == pytest.approx(gain / gap)
            assert found["pgr_low"] <= found["pgr"] <= found["pgr_high"]
        else:
            assert np.isnan(found["pgr"])
            assert found["reason"]


@pytest.mark.slow
def test_no_test_or_val_row_is_trained_on_and_weak_labels_are_the_supervisors(run_once):
    assert run_once(*RUN).code == 0
    for path in Path("store").rglob("texts.parquet"):
        texts = pd.read_parquet(path)
        assert texts["id"].is_unique
        assert texts["text"].is_unique
        assert set(texts["split"]) == {"weak_train", "strong_train", "val", "test"}
        assert (texts.groupby("group")["split"].nunique() == 1).all()
        assert "label" not in texts.columns
        assert texts["id"].is_monotonic_increasing


@pytest.mark.slow
def test_a_second_run_finds_everything(outshine, run_once):
    assert run_once(*RUN).code == 0
    before = artefacts()
    tables = Path("outshine-out/scores.csv").read_bytes()
    outcome = outshine(*RUN, "--set", "runtime.token_budget=100", "--set", "runtime.checkpoint_seconds=1")
    assert outcome.code == 0
    assert "[1/" not in outcome.err
    assert artefacts() == before
    assert Path("outshine-out/scores.csv").read_bytes() == tables


@pytest.mark.slow
def test_the_resolved_study_runs_to_the_same_keys(outshine, run_once):
    assert run_once(*RUN).code == 0
    before = artefacts()
    resolved = yaml.safe_load(Path("outshine-out/study.yaml").read_text())
    assert resolved["strong"]["pooling"] == "last"
    assert resolved["strong"]["revision"].startswith("sha256:")
    assert set(resolved["sources"]) == {"tiny-home", "tiny-pet"}
    outcome = outshine("run", "outshine-out/study.yaml", "--out", "again")
    assert outcome.code == 0
    assert artefacts() == before
    assert Path("again/scores.csv").read_bytes() == Path("outshine-out/scores.csv").read_bytes()


@pytest.mark.slow
def test_a_second_loss_costs_only_its_students(outshine, run_once):
    assert run_once(*RUN).code == 0
    before = artefacts()
    outcome = outshine(*RUN, "--loss", "logconf,xent")
    assert outcome.code == 0
    assert len(artefacts()) == len(before) + 2
    summary = pd.read_csv("outshine-out/summary.csv")
    assert sorted(summary["loss"]) == ["logconf", "logconf", "xent", "xent"]


@pytest.mark.slow
def test_seeds_share_texts_and_give_one_summary(outshine):
    outcome = outshine("run", "--dataset", "tiny-home", *TINY, *SMALL, "--seed", "0,1", "--set", "training.epochs=1")
    assert outcome.code == 0
    assert len(list(Path("store").rglob("texts.parquet"))) == 1
    pgr, summary = pd.read_csv("outshine-out/pgr.csv"), pd.read_csv("outshine-out/summary.csv")
    assert list(pgr["seed"]) == [0, 1]
    assert list(summary["num_seeds"]) == [2]
    scores = pd.read_csv("outshine-out/scores.csv").query("split == 'test'")
    for role in ("weak", "student", "ceiling"):
        mean = scores.query("role == @role")["auroc"].mean()
        assert summary[f"{role}_auroc"][0] == pytest.approx(mean)


@pytest.mark.slow
def test_plan_says_what_is_there_and_what_is_to_do(outshine, run_once):
    assert run_once(*RUN).code == 0
    plan = ("plan", *RUN[1:])
    first = outshine(*plan, "--store", "new")
    assert first.code == 0
    assert "10 stages, 2 in the store, 8 to do" in first.out
    second = outshine(*plan)
    assert "10 stages, 10 in the store, 0 to do: about 0 tokens" in second.out
    changed = outshine(*plan, "--set", "strong.learning_rate=1e-4")
    assert "10 stages, 6 in the store, 4 to do" in changed.out


def test_planned_rows_and_tokens_are_those_processed(outshine):
    plan = outshine("plan", "--dataset", "tiny-home", *TINY, *SMALL, "--set", "training.epochs=2")
    lines = [line.split("│") for line in plan.out.splitlines() if "tiny/weak on" in line]
    # weak_train 48 × 2 epochs; val 40 × (1 validation at the end + 1 prediction); strong_train 48; test 60
    assert [line[4].strip() for line in lines] == [str(48 * 2 + 40 * 2 + 48 + 60)]


@pytest.mark.slow
def test_ls_show_verify(outshine, run_once):
    assert run_once(*RUN).code == 0
    listed = outshine("ls")
    assert "10 artefacts" in listed.out  # an audit beside each preparation
    assert "prepare tiny-home" in listed.out
    key = next(iter(artefacts()))
    shown = outshine("show", key[:10])
    assert shown.code == 0
    assert f'"key": "{key}"' in shown.out
    assert outshine("verify").code == 0


@pytest.mark.slow
def test_show_begins_with_how_good_a_predictor_is(outshine):
    """The numbers are those of the table, for supervisors, students and probes; what predicts nothing has none."""
    methods = "methods=[vanilla, {kind: probe, probe: logistic}]"
    assert outshine(*RUN[:2], "tiny-home", *TINY, *SMALL, "--set", "training.epochs=1", "--set", methods).code == 0
    scores = pd.read_parquet("outshine-out/scores.parquet")
    for key, rows in scores.groupby("key"):
        shown = json.loads(outshine("show", str(key)[:12]).out)
        assert next(iter(shown)) == "scores"
        assert next(iter(shown["scores"])) == "test"
        for row in rows.to_dict("records"):
            own = shown["scores"][row["split"]]
            for name in ("n", "auroc", "auroc_low", "auroc_high", "accuracy"):
                assert own[name] == pytest.approx(row[name], abs=1e-12)
    prepared = next(path.parent.name for path in Path("store").rglob("texts.parquet"))
    assert "scores" not in json.loads(outshine("show", prepared).out)
    for path in Path("store").rglob("predictions.parquet"):  # what is damaged is shown all the same
        path.write_bytes(b"PAR1")
        assert "scores" not in json.loads(outshine("show", path.parent.name).out)


@pytest.mark.slow
def test_a_damaged_artefact_is_found_told_and_computed_anew(outshine, run_once):
    assert run_once(*RUN).code == 0
    tables = Path("outshine-out/scores.csv").read_bytes()
    student = pd.read_csv("outshine-out/scores.csv").query("role == 'student'")["key"].iloc[0]
    file = Path("store/artefacts") / student[:2] / student / "predictions.parquet"
    file.write_bytes(file.read_bytes()[:-1])
    checked = outshine("verify")
    assert checked.code == 1
    assert "predictions.parquet has" in checked.out
    again = outshine(*RUN)
    assert again.code == 0
    assert "damaged artefact set aside" in again.err
    assert Path("outshine-out/scores.csv").read_bytes() == tables
    assert outshine("verify").code == 0


def test_own_rows_and_own_labels(outshine, rows_file):
    rows = good_rows(240)
    data = rows_file([{**row, "id": f"r{i}", "group": f"g{i // 2}"} for i, row in enumerate(rows)])
    rng = np.random.default_rng(0)
    weak = [
        {"id": f"r{i}", "p_weak": float(np.clip(row["label"] + rng.normal(0, 0.6), 0, 1))} for i, row in enumerate(rows)
    ]
    sizes = ("--n-train", "120", "--n-val", "40", "--n-test", "60", "--set", "training.epochs=1")
    outcome = outshine("run", "--dataset", data, *TINY, *sizes, "--set", f"labels={rows_file(weak, 'weak.jsonl')}")
    assert outcome.code == 0, outcome.err
    scores = pd.read_csv("outshine-out/scores.csv").query("split == 'test'").set_index("role")
    assert list(scores["weak"]) == ["weak.jsonl"] * 3
    # the weak AUC is that of the user's own labels
    texts = pd.concat(pd.read_parquet(path) for path in Path("store").rglob("texts.parquet"))
    test = texts[texts["split"] == "test"]["text"]
    p, y = (
        {row["text"]: one[name] for row, one in zip(rows, source, strict=True)}
        for name, source in (("p_weak", weak), ("label", rows))
    )
    expected = roc_auc_score([y[text] for text in test], [p[text] for text in test])
    assert scores.loc["weak", "auroc"] == pytest.approx(expected)


@pytest.mark.slow
def test_labels_that_do_not_cover_test_leave_pgr_undefined_and_say_so(outshine, rows_file):
    data = rows_file(good_rows(240))
    sizes = ("--n-train", "120", "--n-val", "40", "--n-test", "60", "--set", "training.epochs=1")
    assert outshine("datasets", "show", data, *sizes[:6]).code == 0
    texts = pd.concat(pd.read_parquet(path) for path in Path("store").rglob("texts.parquet"))
    known = texts[texts["split"] != "test"]["text"]
    weak = rows_file([{"text": text, "p_weak": 0.2 + 0.6 * ("odd" in text)} for text in known], "weak.jsonl")
    outcome = outshine("run", "--dataset", data, *TINY, *sizes, "--set", f"labels={weak}")
    assert outcome.code == 0, outcome.err
    assert "the weak labels do not cover the test rows" in outcome.out
    assert pd.read_csv("outshine-out/summary.csv")["student_auroc"].notna().all()


@pytest.mark.slow
def test_weak_labels_on_one_side_of_one_half_are_noted(outshine, rows_file):
    data = rows_file(good_rows(240))
    p = [0.1 + 0.2 * row["label"] + place / 10_000 for place, row in enumerate(good_rows(240))]
    weak = rows_file(
        [{"text": r["text"], "p_weak": one} for r, one in zip(good_rows(240), p, strict=True)], "weak.jsonl"
    )
    sizes = ("--n-train", "120", "--n-val", "40", "--n-test", "60", "--set", "training.epochs=1")
    outcome = outshine("run", "--dataset", data, *TINY, *sizes, "--set", f"labels={weak}")
    assert outcome.code == 0, outcome.err
    assert "near the median" in outcome.err


@pytest.mark.slow
def test_texts_too_long_are_shortened_counted_and_told(outshine):
    outcome = outshine(
        "run", "--dataset", "tiny-home", *TINY, *SMALL, "--set", "strong.max_length=4", "--set", "training.epochs=1"
    )
    assert outcome.code == 0
    assert "of the texts were shortened to 4 tokens" in outcome.err


@pytest.mark.slow
def test_divergence_stops_with_a_clear_line_and_keeps_what_is_done(outshine):
    outcome = outshine(*RUN, "--set", "strong.learning_rate=1e30", "--set", "strong.tuning=full")
    assert outcome.code == 3
    assert "diverged" in outcome.err
    assert "learning rate" in outcome.err
    assert len(artefacts()) >= 3
    assert not Path("outshine-out/scores.csv").exists()


def test_listings(outshine):
    listed = outshine("datasets").out
    for name in ("sciq_with_support", "anthropic_hh", "ethics-virtue", "mc_taco", "tiny-home"):
        assert name in listed
    assert "logconf" in outshine("losses").out
    assert "vanilla" in outshine("methods").out
    assert "tiny/strong" in outshine("models").out
    shown = outshine("datasets", "show", "tiny-home")
    assert shown.code == 0
    assert shown.out.count("positive  ") == 5
    assert shown.out.count("negative  ") == 5


@pytest.mark.slow
def test_a_killed_run_goes_on_to_the_same_bits(outshine, tmp_path):
    """SIGKILL in the middle of a training that writes a checkpoint after every update."""
    arguments = (*RUN[:2], "tiny-home", *TINY, "--n-train", "400", "--n-val", "40", "--n-test", "60")
    assert outshine(*arguments, "--store", "undisturbed", "--out", "a").code == 0
    checkpoints = ("--set", "runtime.checkpoint_seconds=0")
    command = [sys.executable, "-m", "outshine.cli.main", *arguments, *checkpoints, "--store", "killed", "--out", "b"]
    process = subprocess.Popen(
        command, cwd=tmp_path, env={**os.environ, "OMP_NUM_THREADS": "1"}, stderr=subprocess.DEVNULL
    )
    deadline = time.monotonic() + 120
    while not list(Path("killed/work").glob("*/checkpoint.safetensors")):
        assert process.poll() is None, "it finished before it could be killed"
        assert time.monotonic() < deadline
        time.sleep(0.002)
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert list(Path("killed/work").glob("*/checkpoint.safetensors"))
    assert outshine(*arguments, *checkpoints, "--store", "killed", "--out", "b").code == 0
    assert Path("a/scores.csv").read_bytes() == Path("b/scores.csv").read_bytes()
    for path in Path("undisturbed/artefacts").rglob("*"):
        if path.suffix in (".parquet", ".safetensors"):
            other = Path("killed/artefacts") / path.relative_to("undisturbed/artefacts")
            assert other.read_bytes() == path.read_bytes(), path
    assert not list(Path("killed/tmp").iterdir())
    assert not list(Path("killed/work").iterdir())


@pytest.mark.slow
def test_ctrl_c_keeps_what_is_finished_and_says_how_to_go_on(outshine, monkeypatch):
    from outshine.w2s.stages.finetune import Student

    def interrupt(self: Student) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(Student, "train_config", interrupt)  # when the student's training is about to begin
        outcome = outshine(*RUN)
    assert outcome.code == 130
    assert "run the same command again to go on" in outcome.err
    assert not list(Path("store/tmp").iterdir())
    finished = artefacts()
    assert len(finished) >= 3
    assert outshine(*RUN).code == 0
    assert finished.items() <= artefacts().items()


@pytest.mark.slow
def test_python_gives_the_same_frames(run_once, tmp_path):
    import outshine as package

    assert run_once(*RUN).code == 0
    study = package.Study(
        datasets=["tiny-home", "tiny-pet"],
        weak="tiny/weak",
        strong="tiny/strong",
        compute_dtype="float32",
        splits={"n_train": 96, "n_val": 40, "n_test": 60},
        training={"epochs": 1},
        runtime={"threads": 1},
    )
    results = package.run(study, store=tmp_path / "other-store")
    pd.testing.assert_frame_equal(results.scores, pd.read_parquet("outshine-out/scores.parquet"), check_dtype=False)
    pd.testing.assert_frame_equal(results.pgr, pd.read_parquet("outshine-out/pgr.parquet"), check_dtype=False)


def test_help_needs_no_torch():
    code = (
        "import sys; sys.argv = ['outshine', '--help']\n"
        "from outshine.cli.main import main\n"
        "try: main()\nexcept SystemExit: pass\n"
        "heavy = {'torch', 'transformers', 'pandas', 'scipy', 'matplotlib'} & set(sys.modules)\n"
        "sys.exit(', '.join(heavy) or 0)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "run" in done.stdout
