"""The table `metrics`: the summary by other metrics, on made-up predictions; and what a metric must not touch."""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np
import pandas as pd
import pytest

import outshine
from made_up import SMALL, finished
from outshine.engine.errors import DataError, SettingsError, UnknownNameError
from outshine.engine.store.recorded_studies import study_digest
from outshine.engine.store.store import Store
from outshine.report.tables import metrics_table
from outshine.results.results import METRIC_COLUMNS, Results, read_results
from outshine.stats.metrics import Metric
from outshine.stats.metrics.accuracy import Accuracy
from outshine.stats.metrics.auroc import Auroc
from outshine.w2s.expand import Experiment
from outshine.w2s.study_file import parse_study, study_yaml

STUDY: dict[str, Any] = {
    "seeds": [0, 1],
    "methods": [{"kind": "vanilla", "loss": "xent"}, {"kind": "vanilla", "loss": "logconf"}],
}


class Never(Metric):
    """A metric that is defined on no rows."""

    kind: ClassVar[str] = "never"

    def value(self, y: np.ndarray, scores: np.ndarray) -> float:
        raise DataError("there is nothing to measure")

    def influence(self, y: np.ndarray, scores: np.ndarray) -> np.ndarray:
        return np.zeros(len(y))


def a_gap(stage: Any, sign: np.ndarray) -> np.ndarray:
    strength = {"supervised weak_train": 0.3, "supervised strong_train": 2.0}
    return strength.get(f"{stage.stage} {getattr(stage, 'train_split', '')}", 1.0) * sign


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> tuple[list[Experiment], Store, Results]:
    store = Store(tmp_path_factory.mktemp("metrics"))
    experiments = finished(store, STUDY, a_gap)
    return experiments, store, read_results("s", experiments, store, [Accuracy(), Auroc(), Never()])


def test_a_row_a_dataset_method_and_metric(study):
    table = study[2].metrics
    assert tuple(table.columns) == METRIC_COLUMNS
    assert table.groupby(["dataset", "loss"])["metric"].agg(list).tolist() == [["accuracy", "auroc", "never"]] * 4


def test_auroc_is_the_summary_once_more(study):
    by_auroc, summary = study[2].metrics.query("metric == 'auroc'").reset_index(drop=True), study[2].summary
    for role in ("weak", "student", "ceiling"):
        assert by_auroc[f"{role}_value"].tolist() == summary[f"{role}_auroc"].tolist()
    for name in ("n", "num_groups", "student_low", "pgr", "pgr_low", "pgr_high", "defined", "reason"):
        assert by_auroc[name].tolist() == summary[name].tolist()


def test_accuracy_is_the_mean_over_seeds_of_the_scores(study):
    results = study[2]
    test = results.scores.query("split == 'test'")
    for row in results.metrics.query("metric == 'accuracy'").to_dict("records"):
        own = test[test["dataset"] == row["dataset"]]
        for role, rows in (("weak", own), ("ceiling", own), ("student", own[own["loss"] == row["loss"]])):
            expected = rows.loc[rows["role"] == role, "accuracy"].mean()
            assert row[f"{role}_value"] == pytest.approx(expected, abs=1e-12)
        weak, student, ceiling = (row[f"{role}_value"] for role in ("weak", "student", "ceiling"))
        assert row["defined"]
        assert row["pgr"] == pytest.approx((student - weak) / (ceiling - weak))
        assert row["pgr_low"] < row["pgr"] < row["pgr_high"]


def test_a_metric_that_is_not_defined_says_why_and_breaks_nothing(study):
    rows = study[2].metrics.query("metric == 'never'")
    assert rows["reason"].tolist() == ["there is nothing to measure"] * len(rows)
    assert not rows["defined"].any()
    assert rows["student_value"].isna().all()
    shown = metrics_table(study[2].metrics)
    assert shown.rows[2][3:] == ["–", "–", "–", "undefined"]
    assert len(shown.rows) == 12


def test_other_tables_do_not_know_of_metrics(study):
    experiments, store, results = study
    without = read_results("s", experiments, store)
    assert without.metrics.empty
    for name, table in without.tables().items():
        if name != "metrics":
            pd.testing.assert_frame_equal(table, results.tables()[name])


def test_a_study_without_metrics_is_written_as_before_and_one_with_is_the_same_study():
    plain = parse_study({**SMALL, **STUDY})
    asked = parse_study({**SMALL, **STUDY, "metrics": ["accuracy"]})
    assert "metrics" not in study_yaml(plain)
    assert "metrics:\n- kind: accuracy\n" in study_yaml(asked)
    assert study_digest(plain.model_dump(mode="json")) == study_digest(asked.model_dump(mode="json"))
    assert parse_study(asked.model_dump(mode="json")) == asked
    assert outshine.Study(**{**SMALL, "metrics": "accuracy"}).metrics == (Accuracy(),)


def test_names_are_checked():
    with pytest.raises(UnknownNameError, match="did you mean 'accuracy'"):
        parse_study({**SMALL, "metrics": ["acuracy"]})
    with pytest.raises(SettingsError, match="metrics are named twice: accuracy"):
        parse_study({**SMALL, "metrics": ["accuracy", "accuracy"]})
