"""A dataset from near: the right rows, seeds and curves of one student, on made-up predictions."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from made_up import resolved
from outshine.engine.store.store import Store
from outshine.learn.losses.xent import Xent
from outshine.results.names import Contender
from outshine.results.read.artefacts import Reader
from outshine.results.read.dataset_details import CURVE_COLUMNS, read_dataset_details
from outshine.w2s.method_identity import identify
from outshine.w2s.methods.vanilla import Vanilla

STUDY = {
    "seeds": [0, 1],
    "loss": "xent",
    "methods": [
        "vanilla",
        {"kind": "vanilla", "loss": "xent"},
        {"kind": "vanilla", "loss": "logconf"},
        {"kind": "probe", "probe": "logistic"},
    ],
    "controls": [{"kind": "control", "labels": "shuffled"}],
}
VANILLA = Contender("vanilla", "", 0, "xent", identify(Vanilla(), Xent()).method_id)


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory):
    store = Store(tmp_path_factory.mktemp("closeups"))
    return store, *resolved(store, STUDY)


def test_probabilities_are_means_over_the_students_own_seeds(study):
    store, resolution, experiments = study
    prepare = resolution.prepares[1]
    found = read_dataset_details(prepare, experiments, VANILLA, Reader(store), most=1000).differ
    own = [run for run in experiments if run.prepare == prepare and run.method.kind == "vanilla"]
    of_xent = {run.seed: run for run in own if run.students[0].loss.kind == "xent"}
    assert sorted(of_xent) == [0, 1]
    tables = {
        name: [stage.predictions(store).query("split == 'test'").set_index("id")["p"] for stage in stages]
        for name, stages in {
            "p_weak": [run.labels for run in of_xent.values()],
            "p_student": [run.students[0] for run in of_xent.values()],
        }.items()
    }
    rows = pd.DataFrame({name: np.mean(several, axis=0) for name, several in tables.items()}, tables["p_weak"][0].index)
    truth = prepare.read(store).truth.set_index("id")["label"]
    apart = rows[(rows["p_weak"] > 0.5) != (rows["p_student"] > 0.5)]
    assert set(found.rows.index) == set(apart.index)
    assert len(apart) == found.num_apart > 5
    assert found.num_rows == len(rows)
    for name in rows:
        assert found.rows[name].to_dict() == pytest.approx(apart[name].to_dict())
    assert found.rows["y"].to_dict() == truth.loc[found.rows.index].astype(float).to_dict()
    texts = prepare.read(store).texts.set_index("id")["text"]
    assert found.rows["text"].to_dict() == texts.loc[found.rows.index].to_dict()


def test_the_samples_are_rows_of_the_dataset_of_both_classes(study):
    store, resolution, experiments = study
    for prepare in resolution.prepares:
        samples = read_dataset_details(prepare, experiments, VANILLA, Reader(store)).samples
        prepared = prepare.read(store)
        known = prepared.texts.merge(prepared.truth, on="id").set_index("id")
        assert len(samples) == 10
        assert samples["label"].tolist() == [1, 0] * 5
        for row in samples.itertuples():
            assert (row.text, row.label, row.split) == tuple(known.loc[row.id, ["text", "label", "split"]])


def test_curves_of_supervisor_student_and_ceiling(study):
    store, resolution, experiments = study
    curves = read_dataset_details(resolution.prepares[0], experiments, VANILLA, Reader(store)).curves
    assert tuple(curves.columns) == CURVE_COLUMNS
    assert len(curves) == 3 * 2 * 4  # roles, seeds, updates
    assert set(curves["role"]) == {"weak", "student", "ceiling"}
    assert not curves.duplicated(["role", "seed", "step"]).any()
    assert curves.loc[curves["chosen"], "step"].tolist() == [2] * 6
    assert curves["val_auroc"].notna().sum() == 3 * 2 * 2


def test_a_probe_has_no_curve(study):
    store, _, experiments = study
    probe = next(run for run in experiments if run.method.kind == "probe")
    which = Contender("probe", "probe=logistic", 0, "", identify(probe.method, None).method_id)
    found = read_dataset_details(probe.prepare, experiments, which, Reader(store))
    assert set(found.curves["role"]) == {"weak", "ceiling"}
    assert found.differ is not None


def test_weak_labels_that_do_not_cover_test_leave_nothing_to_compare(tmp_path: Path):
    store = Store(tmp_path / "store")
    (prepare,) = resolved(store, {"datasets": ["tiny-home"]})[0].prepares
    texts = prepare.read(store).texts
    trained = texts[texts["split"].isin(["strong_train", "val"])]
    trained[["id"]].assign(p_weak=0.5).to_csv(tmp_path / "weak.csv", index=False)
    _, experiments = resolved(store, {"datasets": ["tiny-home"], "labels": str(tmp_path / "weak.csv"), "loss": "xent"})
    found = read_dataset_details(prepare, experiments, VANILLA, Reader(store))
    assert found.differ is None
    assert set(found.curves["role"]) == {"student", "ceiling"}
