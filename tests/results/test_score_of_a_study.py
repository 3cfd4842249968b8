"""Predictions that are exported from a study are scored as the study's own tables say, whatever files they lie in."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

import outshine
from made_up import finished
from outshine.engine.store.store import Store
from outshine.results.controls import against
from outshine.results.names import Contender
from outshine.results.read.artefacts import Reader, method_facts
from outshine.results.results import Results, read_results
from outshine.results.score.measure import ScoreResults
from outshine.stats.metrics.accuracy import Accuracy
from outshine.stats.metrics.balanced_accuracy import BalancedAccuracy
from outshine.w2s.expand import Experiment

pytestmark = pytest.mark.slow  # a study of its own, measured twice

STUDY: dict[str, Any] = {
    "seeds": [0, 1, 2],
    "methods": [{"kind": "vanilla", "loss": "xent"}, {"kind": "vanilla", "loss": "logconf"}],
    "controls": [{"kind": "control", "labels": "shuffled", "loss": "xent"}],
}
PAIRS = ("value", "low", "high")
TOLERANCE = {"rtol": 0, "atol": 1e-12}


def a_gap(stage: Any, sign: np.ndarray) -> np.ndarray:
    strength = {"supervised weak_train": 0.3, "supervised strong_train": 2.0}
    return strength.get(f"{stage.stage} {getattr(stage, 'train_split', '')}", 1.0) * sign


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> tuple[Results, pd.DataFrame]:
    """A finished study of two datasets, two methods, a control and three seeds; its predictions as a wide table."""
    store = Store(tmp_path_factory.mktemp("scored"))
    experiments = finished(store, STUDY, a_gap)
    results = read_results("s", experiments, store, [Accuracy(), BalancedAccuracy()])
    return results, exported(experiments, Reader(store))


def exported(experiments: list[Experiment], reader: Reader) -> pd.DataFrame:
    """Test rows in the store's order: one for each dataset, method and seed, the control beside the student of xent."""
    controls = {
        (run.prepare.name, run.seed): reader.predictions(run.students[-1])["log_odds"]
        for run in experiments
        if run.purpose == "control"
    }
    parts = []
    for run in experiments:
        if run.purpose != "method":
            continue
        rows = reader.rows(run)
        test = rows[rows["split"] == "test"]
        loss = method_facts(run, 0)["loss"]
        scores = {
            "weak": reader.weak_scores(run),
            "student": reader.predictions(run.students[-1])["log_odds"],
            "ceiling": reader.predictions(run.ceiling)["log_odds"],
        }
        part = test[["group"]].assign(
            dataset=run.prepare.name, seed=run.seed, method=loss, label=test["y"].astype(int), split="test"
        )
        part = part.assign(**{role: series.loc[test.index] for role, series in scores.items()})
        shuffled = controls[run.prepare.name, run.seed].loc[test.index] if loss == "xent" else np.nan
        parts.append(part.assign(**{"control:shuffled": shuffled}).reset_index(names="id"))
    return pd.concat(parts, ignore_index=True)


def row_of(table: pd.DataFrame, **facts: Any) -> dict[str, Any]:
    own = table[np.logical_and.reduce([table[name] == value for name, value in facts.items()])]
    assert len(own) == 1
    return own.to_dict("records")[0]


def check(scored: ScoreResults, results: Results) -> None:
    """Every number of the summary, of the other metrics, of the seeds, of controls and of pooled PGRs."""
    num = 0
    for row in results.summary.to_dict("records"):
        control = row["purpose"] == "control"
        name = "shuffled xent" if control else row["loss"]
        own = row_of(scored.summary, dataset=row["dataset"], purpose=row["purpose"], method=name, metric="auroc")
        for role in ("weak", "student", "ceiling"):
            ours = [own[f"{role}_{end}"] for end in PAIRS]
            np.testing.assert_allclose(ours, [row[f"{role}_{end}"] for end in ("auroc", "low", "high")], **TOLERANCE)
        same = ("pgr", "pgr_low", "pgr_high", "student_minus_weak", "ceiling_minus_weak")
        np.testing.assert_allclose([own[one] for one in same], [row[one] for one in same], **TOLERANCE)
        for one in ("n", "num_groups", "num_seeds", "defined", "reason", "saturated"):
            assert own[one] == row[one]
        num += 1
    assert num == len(scored.summary.query("metric == 'auroc'")) == 6
    for row in results.metrics.to_dict("records"):
        name = "shuffled xent" if row["purpose"] == "control" else row["loss"]
        own = row_of(scored.summary, dataset=row["dataset"], purpose=row["purpose"], method=name, metric=row["metric"])
        same = [f"{role}_{end}" for role in ("weak", "student", "ceiling") for end in PAIRS]
        same += ["pgr", "pgr_low", "pgr_high"]
        np.testing.assert_allclose([own[one] for one in same], [row[one] for one in same], **TOLERANCE)
    for row in results.pgr.to_dict("records"):
        name = "shuffled xent" if row["purpose"] == "control" else row["loss"]
        facts = {"dataset": row["dataset"], "purpose": row["purpose"], "method": name, "seed": str(row["seed"])}
        own = row_of(scored.seeds, metric="auroc", **facts)
        np.testing.assert_allclose([own[one] for one in ("pgr", "pgr_low")], [row["pgr"], row["pgr_low"]], **TOLERANCE)
    for row in against(results.scores).by_dataset.to_dict("records"):
        own = row_of(scored.comparisons, dataset=row["dataset"], purpose="control", than="xent", metric="auroc")
        assert own["difference"] == pytest.approx(row["minus_vanilla"], abs=1e-12)
        assert own["difference_low"] < own["difference"] < own["difference_high"]
    by_loss = {Contender.of(one._asdict()).loss: one.pooled for one in results.pooled}
    pooled = [one for one in scored.pooled if one.metric == "auroc"]
    assert {one.method for one in pooled} == set(by_loss)
    for one in pooled:
        for ours, theirs in ((one.pooled.these_datasets, by_loss[one.method].these_datasets),
                             (one.pooled.any_datasets, by_loss[one.method].any_datasets)):  # fmt: skip
            np.testing.assert_allclose(
                [ours.value, ours.low, ours.high], [theirs.value, theirs.low, theirs.high], **TOLERANCE
            )


METRICS = ["auroc", "accuracy", "balanced_accuracy"]


@pytest.mark.parametrize("ending", [".csv", ".jsonl", ".parquet", "frame"])
def test_a_wide_table_gives_the_tables_of_the_run(study, tmp_path: Path, ending: str):
    results, wide = study
    check(outshine.score(written(wide, tmp_path / f"wide{ending}"), metric=METRICS), results)


def test_rows_in_any_order_and_probabilities_give_them_too(study, tmp_path: Path):
    results, wide = study
    shuffled = wide.sample(frac=1, random_state=1)
    check(outshine.score(written(shuffled, tmp_path / "wide.parquet"), metric=METRICS), results)
    roles = ["weak", "student", "ceiling", "control:shuffled"]
    p = wide.assign(**{role: 1 / (1 + np.exp(-wide[role])) for role in roles})
    scored = outshine.score(p, metric=METRICS)
    check(scored, results)
    assert set(scored.values.values()) == {"probability"}


def test_a_long_table_gives_them_too(study, tmp_path: Path):
    """Supervisor and ceiling are told once, of no method."""
    results, wide = study
    facts = ["dataset", "seed", "id", "label", "group", "split"]
    first = wide[wide["method"] == "xent"]
    parts = [first[facts].assign(method="", role=role, score=first[role]) for role in ("weak", "ceiling")]
    parts += [wide[[*facts, "method"]].assign(role="student", score=wide["student"])]
    parts += [first[[*facts, "method"]].assign(role="control:shuffled", score=first["control:shuffled"])]
    long = pd.concat(parts, ignore_index=True)
    check(outshine.score(written(long, tmp_path / "long.csv"), metric=METRICS), results)


def test_a_file_a_model_gives_them_too(study, tmp_path: Path):
    results, wide = study
    rows = wide.drop(columns=["split"])
    first = rows[rows["method"] == "xent"]

    def own(part: pd.DataFrame, role: str, name: str) -> Path:
        table = part[["id", "dataset", "seed"]].assign(log_odds=part[role].to_numpy())
        return written(table, tmp_path / f"{name}.parquet")

    students = {loss: own(part, "student", loss) for loss, part in rows.groupby("method")}
    truth = first.drop_duplicates(["dataset", "id"])[["dataset", "id", "label", "group"]]
    scored = outshine.score(
        weak=own(first, "weak", "weak"),
        ceiling=own(first, "ceiling", "ceiling"),
        student=students,
        controls={"shuffled": own(first, "control:shuffled", "shuffled")},
        labels=written(truth, tmp_path / "truth.csv"),
        metric=METRICS,
    )
    # Here the control is of no method and is set beside both students.
    of_xent = scored.summary[scored.summary["method"] != "shuffled logconf"]
    seeds = scored.seeds[scored.seeds["method"] != "shuffled logconf"]
    comparisons = scored.comparisons[
        (scored.comparisons["purpose"] == "method") | (scored.comparisons["than"] == "xent")
    ]
    check(scored._replace(summary=of_xent, seeds=seeds, comparisons=comparisons), results)


def written(table: pd.DataFrame, path: Path) -> Any:
    if path.suffix == ".csv":
        table.to_csv(path, index=False)
    elif path.suffix == ".jsonl":
        path.write_text(
            "".join(json.dumps(row) + "\n" for row in json.loads(table.to_json(orient="records", double_precision=15)))
        )
    elif path.suffix == ".parquet":
        table.to_parquet(path, index=False)
    else:
        return table
    return path
