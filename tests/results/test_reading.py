"""From artefacts to frames: what is there once, what each row is for, sweeps and filters; on made-up predictions."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from made_up import results
from outshine.engine.store.store import Store
from outshine.results.compare import compare
from outshine.results.controls import against
from outshine.results.names import IDENTITY_COLUMNS
from outshine.results.results import Results
from outshine.w2s.stages.control import ControlStudent
from outshine.w2s.stages.finetune import Supervised
from outshine.w2s.stages.probing import TruthProbing

pytestmark = pytest.mark.slow  # a study of everything, made up

LAYERS = ["1/2", "last"]
KNN = {"kind": "probe", "probe": "knn", "grid": {"layer": LAYERS, "probe.k": [1, 5]}}
LOGISTIC = {"kind": "probe", "probe": "logistic", "grid": {"layer": LAYERS, "probe.penalty": [0.1, 1.0]}}
EVERYTHING = {
    "datasets": ["tiny-home", "tiny-food", "tiny-pet"],
    "seeds": [0, 1],
    "methods": [
        {"kind": "vanilla", "loss": "xent"},
        {"kind": "vanilla", "loss": "logconf"},
        {"kind": "probe", "probe": {"kind": "knn", "k": 5}},  # in a sweep too
        {"kind": "filtered", "filter": "topofilter", "filter_val": True},
        {"kind": "filtered", "filter": "knn", "drop": 0.25},
    ],
    "sweeps": [KNN, LOGISTIC],
    "controls": True,
}


def a_study_in_which_controls_win(stage, sign: np.ndarray) -> np.ndarray:
    """And tiny-pet is saturated: supervisor and ceiling rank every row rightly."""
    if isinstance(stage, ControlStudent | TruthProbing):
        return 2 * sign
    if isinstance(stage, Supervised):
        return 99 * sign if stage.texts.origin.name == "tiny-pet" else (0.3 + (stage.train_split[0] == "s")) * sign
    return 0.5 * sign


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Store:
    return Store(tmp_path_factory.mktemp("reading"))


@pytest.fixture(scope="module")
def study(store: Store) -> Results:
    return results(store, EVERYTHING, a_study_in_which_controls_win)


def test_supervisor_and_ceiling_are_scored_once(study):
    scores = study.scores
    shared = scores[scores["role"] != "student"]
    assert (shared.groupby(["role", "dataset", "seed", "split"]).size() == 1).all()
    assert len(shared) == 2 * 3 * 2 * 3
    assert (shared[["purpose", "method", "variant"]] == "").all(axis=None)
    assert shared["key"].nunique() == 2 * 3 * 2
    assert not scores.duplicated([*IDENTITY_COLUMNS, "role", "split"]).any()


def test_every_row_says_what_it_is_for(study):
    students = study.scores[study.scores["role"] == "student"]
    # the controls: four labels, weak to weak, and truth probes at layers 1 and 2
    one_split_and_run = {"method": 5, "sweep": 4 + 4, "control": 4 + 1 + 2}
    assert students.groupby("purpose").size().to_dict() == {name: 3 * 6 * n for name, n in one_split_and_run.items()}
    for table in (study.pgr, study.diagnostics):
        assert table.groupby("purpose").size().to_dict() == {"method": 5 * 6, "control": 7 * 6}
    assert study.summary.groupby("purpose").size().to_dict() == {"method": 5 * 3, "control": 7 * 3}
    assert set(study.filters["purpose"]) == set(study.trajectories["purpose"]) == {"method"}
    assert set(study.sweeps["purpose"]) == {"sweep"}


def test_pooled_are_methods_only_and_datasets_with_a_gap_only(study):
    methods = study.summary[study.summary["purpose"] == "method"]
    which = ["method", "variant", "round", "loss"]
    named = methods[which].drop_duplicates()
    assert [one[:4] for one in study.pooled] == list(named.itertuples(index=False, name=None))
    assert set(methods.loc[methods["saturated"], "dataset"]) == {"tiny-pet"}
    gaps = methods[~methods["saturated"]].groupby(which)[["student_minus_weak", "ceiling_minus_weak"]].sum()
    for one in study.pooled:
        assert one.pooled.num_datasets == 2
        expected = gaps.loc[one[:4]]
        assert one.pooled.these_datasets.student_minus_weak == pytest.approx(expected["student_minus_weak"])
        assert one.pooled.these_datasets.value == pytest.approx(expected.iloc[0] / expected.iloc[1])


def test_controls_and_sweeps_are_not_compared(store, study):
    """Though controls win: all is as if they had not been run."""
    own = {name: value for name, value in EVERYTHING.items() if name not in ("sweeps", "controls")}
    alone = results(store, own)
    test = study.scores[study.scores["split"] == "test"].groupby("purpose")["auroc"].mean()
    assert test["control"] > test["method"] + 0.1
    for metric in ("auroc", "pgr"):
        found, expected = (compare(one.scores, one.pgr, baseline="xent", metric=metric) for one in (study, alone))
        assert [one.method for one in found.methods] == [one.method for one in expected.methods]
        assert len(found.methods) == 4
        pd.testing.assert_frame_equal(found.frame(), expected.frame())
    assert study.pooled == alone.pooled
    assert not len(alone.sweeps) + len(alone.trajectories) + len(against(alone.scores).overall)


def test_the_sweeps_frame(study):
    sweeps, scores = study.sweeps, study.scores
    assert len(sweeps) == 3 * 2 * 8
    assert set(zip(sweeps["layer"], sweeps["layer_name"], strict=True)) == {(1, "1/2 (layer 1)"), (2, "last (layer 2)")}
    for probe, name, settings in (("knn", "probe.k", {1.0, 5.0}), ("logistic", "probe.penalty", {0.1, 1.0})):
        own = sweeps[sweeps["probe"] == probe]
        assert set(own["setting_name"]) == {name}
        assert set(own["setting"]) == settings
        assert (own.groupby(["dataset", "seed", "layer", "setting"]).size() == 1).all()
    test = scores[scores["split"] == "test"]
    weak = test[test["role"] == "weak"].set_index(["dataset", "seed"])["auroc"]
    own = test[test["purpose"] == "sweep"].set_index(["dataset", "seed", "key"])["auroc"]
    for row in sweeps.itertuples():
        assert row.auroc == own[row.dataset, row.seed, row.key]
        assert row.weak_auroc == weak[row.dataset, row.seed]
        assert row.difference == row.auroc - row.weak_auroc


@pytest.mark.parametrize(
    ("sweep", "names", "settings"),
    [
        (["probe.k", "probe.metric"], {"probe.k"}, {1.0, 5.0}),  # a word is no setting to draw over
        (["probe.k", "cross_fit"], {""}, set()),
        (["probe.metric"], {""}, set()),
        (["layer"], {""}, set()),
    ],
)
def test_several_varying_settings_or_none_are_no_axis(tmp_path, sweep, names, settings):
    grids = {"probe.k": [1, 5], "probe.metric": ["euclidean", "cosine"], "cross_fit": [0, 2], "layer": [1, 2]}
    raw = {"kind": "probe_to_strong", "probe": "knn", "grid": {name: grids[name] for name in sweep}}
    found = results(Store(tmp_path), {"datasets": "tiny-home", "sweeps": [raw]}).sweeps
    assert len(found) == math.prod(len(grids[name]) for name in sweep)
    assert set(found["setting_name"]) == names
    assert set(found["setting"].dropna()) == settings
    assert found["setting"].isna().all() == (not settings)


def test_sorts_of_methods_have_axes_of_their_own(tmp_path):
    sweeps = [
        {"kind": "filtered", "filter": "topofilter", "layer": 1, "grid": {"drop": [0.1, 0.2]}},
        {"kind": "filtered", "filter": "knn", "grid": {"layer": [1, 2], "filter.probe.k": [3, 9]}},
        {"kind": "probe", "grid": {"layer": [0, 1, 2]}},
        {"kind": "vanilla", "loss": "logconf", "grid": {"loss.alpha": [0.2, 0.8]}},
    ]
    sweeps[1]["filter"] = {"kind": "probe_disagreement", "probe": {"kind": "knn"}}
    found = results(Store(tmp_path), {"datasets": "tiny-home", "sweeps": sweeps}).sweeps
    axes = found.groupby(["method", "probe", "loss", "setting_name"], sort=False).size().to_dict()
    assert axes == {
        ("filtered", "", "logconf", "drop"): 2,
        ("filtered", "", "logconf", "filter.probe.k"): 4,
        ("probe", "logistic", "", ""): 3,
        ("vanilla", "", "logconf", "loss.alpha"): 2,
    }
    probes = found[found["method"] == "probe"]
    assert probes["layer_name"].tolist() == ["layer 0", "layer 1", "layer 2"]
    others = found[found["method"] != "probe"]
    assert others["layer"].isna().all()
    assert set(others["layer_name"]) == {""}


def test_the_filters_frame(study):
    filters = study.filters
    assert filters.groupby(["method", "split"]).size().to_dict() == {
        ("filtered", "strong_train"): 2 * 3 * 2,
        ("filtered", "val"): 3 * 2,
    }
    topo = filters["variant"].str.startswith("filter=topofilter")
    assert set(filters.loc[filters["split"] == "val", "variant"]) == {"filter=topofilter, filter_val=True"}
    found = filters[["rows", "dropped", "dropped_fraction"]].drop_duplicates()
    assert found.values.tolist() == [[48, 12, 0.25]]
    assert filters["removed_by_components"].isna().tolist() == (~topo).tolist()
    assert set(filters.loc[topo, "removed_by_components"]) == {0.125}
    assert set(filters.loc[topo, "quota"]) == {0.1}
    assert set(filters.loc[~topo, "quota"]) == {0.25}
    assert filters.groupby("key").size().max() == 2  # a key is one filter on one dataset and seed


def test_trajectories_are_the_vanilla_students_where_there_are_controls(study):
    frame = study.trajectories
    assert frame.groupby(["method", "loss"]).size().to_dict() == {
        ("vanilla", x): 2 * 3 * 2 for x in ("xent", "logconf")
    }
    chosen, last = (frame[frame["step"] == step].reset_index(drop=True) for step in (2, 4))
    assert chosen["chosen"].all()
    assert not last["chosen"].any()
    np.testing.assert_allclose(chosen["test_auroc"], 1 - last["test_auroc"])
    own = study.scores[(study.scores["split"] == "test") & (study.scores["method"] == "vanilla")]
    own = own.set_index(["dataset", "seed", "loss"])["auroc"]
    for row in chosen.itertuples():
        assert row.test_auroc == own[row.dataset, row.seed, row.loss]


@pytest.mark.parametrize("covers_test", [True, False])
def test_weak_labels_of_a_file_that_may_say_nothing_of_test(tmp_path: Path, covers_test):
    """Without them on test nothing is less them, and nothing is left out for it."""
    first = {"datasets": "tiny-home", "methods": "vanilla", "sweeps": [{**KNN, "grid": {"probe.k": [1, 5]}}]}
    store = Store(tmp_path / "store")
    supervised = results(store, first)
    (texts,) = (pd.read_parquet(path) for path in (tmp_path / "store").rglob("texts.parquet"))
    wanted = texts[texts["split"].isin(["strong_train", "val", *(["test"] if covers_test else [])])]
    p_weak = np.random.default_rng(0).uniform(size=len(wanted))
    wanted[["id"]].assign(p_weak=p_weak).to_csv(tmp_path / "weak.csv", index=False)
    found = results(store, {**first, "labels": str(tmp_path / "weak.csv"), "controls": True})
    assert set(found.scores["weak"]) == {"weak.csv"}
    assert set(found.scores.loc[found.scores["role"] == "student", "method"]) == {
        *("vanilla", "probe", "control", "truth_probe")
    }
    covered = {"strong_train", "val", *(["test"] if covers_test else [])}
    assert set(found.scores.loc[found.scores["role"] == "weak", "split"]) == covered
    assert len(found.sweeps) == len(supervised.sweeps) == 2
    assert supervised.sweeps["difference"].notna().all()
    for column in ("weak_auroc", "difference"):
        assert found.sweeps[column].notna().all() == covers_test
        assert found.sweeps[column].isna().all() != covers_test
    for column in ("misfit", "capa_weak_student", "weak_brier"):
        assert found.diagnostics[column].notna().all() == covers_test
    assert found.diagnostics["student_brier"].notna().all()
    (pooled,) = found.pooled
    assert pooled.pooled.num_datasets == covers_test
