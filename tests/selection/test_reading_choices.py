"""What there was to choose among in a study: candidates once each, checkpoints, weak labels; on made-up predictions."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import roc_auc_score

from made_up import finished
from outshine.engine.errors import DataError
from outshine.engine.store.store import Store
from outshine.results.read.artefacts import Reader
from outshine.results.results import read_results
from outshine.selection.candidates import read_choices
from outshine.selection.rules import weak_auroc
from outshine.selection.run import read_regrets

STUDY = {
    "seeds": [0, 1],
    "methods": [
        {"kind": "vanilla", "loss": "xent"},
        {"kind": "vanilla", "loss": "logconf"},
        {"kind": "strong_to_strong", "loss": "logconf", "rounds": 1},
        {"kind": "probe", "probe": {"kind": "knn", "k": 5}},
    ],
    "sweeps": [{"kind": "probe", "probe": "knn", "grid": {"probe.k": [1, 3]}}],
    "controls": ["weak_to_weak"],
    "trajectories": True,
}
NAMES = ("vanilla xent", "vanilla logconf", "strong_to_strong logconf rounds=1 round 1", "probe=knn(k=5)")


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Store:
    return Store(tmp_path_factory.mktemp("choices"))


@pytest.fixture(scope="module")
def experiments(store: Store) -> list:
    return finished(store, STUDY)


@pytest.fixture(scope="module")
def choices(store: Store, experiments: list) -> list:
    return list(read_choices(experiments, Reader(store), {"tiny-pet": True}))


def test_methods_are_candidates_once_each(choices):
    """No sweep, no control, and round 0 of strong-to-strong is the vanilla student."""
    found = [one for one in choices if one.kind == "method"]
    assert [(one.about["dataset"], one.about["seed"]) for one in found] == [
        ("tiny-home", 0),
        ("tiny-home", 1),
        ("tiny-pet", 0),
        ("tiny-pet", 1),
    ]
    for one in found:
        assert one.names == NAMES
        assert one.saturated == (one.about["dataset"] == "tiny-pet")
        assert one.about["method"] == one.about["loss"] == one.about["purpose"] == ""


def test_candidates_have_their_own_predictions(choices, experiments, store):
    first, second = choices[:2]
    runs = [run for run in experiments if run.prepare.name == "tiny-home" and run.purpose == "method"]
    stages = {seed: [run.students[-1] for run in runs if run.seed == seed] for seed in (0, 1)}
    truth = runs[0].truth.read_labels(store)
    for one, seed, other in ((first, 0, 1), (second, 1, 0)):
        for number in range(4):
            own = stages[seed][number].predictions(store).set_index("id")["log_odds"]
            twin = stages[other][number].predictions(store).set_index("id")["log_odds"]
            assert one.on_val[number].tolist() == own.loc[one.val.ids].tolist()
            assert one.on_test[number].tolist() == own.loc[one.test.ids].tolist()
            assert one.twins[0, number].tolist() == twin.loc[one.val.ids].tolist()
        assert one.val.y.tolist() == (truth.loc[one.val.ids] > 0.5).tolist()
        assert one.test.y.tolist() == (truth.loc[one.test.ids] > 0.5).tolist()
        weak = next(run.labels for run in runs if run.seed == seed).predictions(store).set_index("id")["p"]
        assert one.p_weak.tolist() == weak.loc[one.val.ids].tolist()
    splits = runs[0].texts.read(store).set_index("id")["split"]
    assert set(splits.loc[first.val.ids]) == {"val"}
    assert set(splits.loc[first.test.ids]) == {"test"}
    assert len(first.test.ids) == (splits == "test").sum()


def test_checkpoints_of_each_student_once(choices, experiments, store):
    found = [one for one in choices if one.kind == "checkpoint"]
    named = [(one.about["method"], one.about["loss"], one.about["round"]) for one in found if one.about["seed"] == 0]
    assert named == [("vanilla", "xent", 0), ("vanilla", "logconf", 0), ("strong_to_strong", "logconf", 1)] * 2
    for one in found:
        assert one.names == ("update 2", "update 4")
        assert one.twins.shape == (1, 2, len(one.val.ids))
        np.testing.assert_array_equal(one.on_test[1], -one.on_test[0])  # as made up
        first = roc_auc_score(one.test.y, one.on_test[0])
        assert 0.5 < first < 1


def test_the_regrets_of_a_study(store, experiments):
    summary = read_results("made-up", experiments, store).summary
    frame = read_regrets("made-up", experiments, store, summary, num_draws=20)
    assert set(frame["kind"]) == {"method", "checkpoint"}
    checkpoints = frame[frame["kind"] == "checkpoint"]
    assert (checkpoints["oracle"] == "update 2").all()
    last = checkpoints[checkpoints["rule"] == "last"]
    assert (last["choice"] == "update 4").all()
    np.testing.assert_allclose(last["regret"], 2 * last["oracle_auroc"] - 1)  # 1 − AUC of the negated scores
    methods = frame[(frame["kind"] == "method") & (frame["rule"] == "random")]
    students = summary[(summary["purpose"] == "method")]
    assert set(methods["dataset"]) == set(students["dataset"])
    assert (methods["oracle"].isin(NAMES)).all()


def test_one_method_without_trajectories_is_no_choice(tmp_path: Path):
    store = Store(tmp_path)
    experiments = finished(store, {"datasets": "tiny-home", "methods": "vanilla"})
    summary = read_results("one", experiments, store).summary
    with pytest.raises(DataError, match=r"'one' has one method a dataset and no trajectories, .* --trajectories"):
        read_regrets("one", experiments, store, summary)


def test_weak_labels_of_a_file(tmp_path: Path):
    """By probability, whatever order the file has."""
    store = Store(tmp_path / "store")
    first = {"datasets": "tiny-home", "methods": [{"kind": "vanilla", "loss": one} for one in ("xent", "logconf")]}
    finished(store, first)
    (texts,) = (pd.read_parquet(path) for path in (tmp_path / "store").rglob("texts.parquet"))
    p_weak = pd.Series(np.random.default_rng(0).uniform(size=len(texts)), index=texts["id"])
    p_weak.sample(frac=1, random_state=0).rename("p_weak").reset_index().to_csv(tmp_path / "weak.csv", index=False)
    experiments = finished(store, {**first, "labels": str(tmp_path / "weak.csv")})
    (one,) = read_choices(experiments, Reader(store), {})
    np.testing.assert_allclose(one.p_weak, p_weak.loc[one.val.ids])
    assert one.twins.shape == (0, 2, len(one.val.ids))
    upper = one.p_weak > 0.5  # of 40 rows a quarter or more on either side is enough
    assert 10 <= upper.sum() <= 30
    assert weak_auroc(one) == pytest.approx([roc_auc_score(upper, own) for own in one.on_val])
