"""Probe predictions, relabelling and filtering as artefacts."""

from __future__ import annotations

import pandas as pd
import pytest
import torch
from pydantic import ValidationError
from test_activations import stage as activations
from weak_labels import HashLabels

from other_device import ELSEWHERE, elsewhere, other_device
from outshine.engine.errors import DataError, SettingsError
from outshine.engine.progress import Silent
from outshine.engine.stage import Context
from outshine.learn.filters.probe_disagreement import ProbeDisagreement
from outshine.learn.filters.topofilter import TopoFilter
from outshine.learn.probes import Labelled
from outshine.learn.probes.knn import KNN
from outshine.learn.probes.logistic import Logistic
from outshine.w2s.stages.activations import Activations
from outshine.w2s.stages.keep import Keep
from outshine.w2s.stages.labels import GroundTruth
from outshine.w2s.stages.predictor import Relabelled
from outshine.w2s.stages.probing import Probing, folds


def probing(texts, probe, labels=None, **settings):
    labels = labels or HashLabels(texts=texts)
    return Probing(texts=texts, activations=activations(texts), labels=labels, probe=probe, **settings)


def rows(executor, texts, split="strong_train"):
    ids, acts = activations(texts).read(executor.store, split)
    p = HashLabels(texts=texts).read_labels(executor.store).loc[ids]
    return Labelled.of(ids, acts, torch.from_numpy(p.to_numpy(copy=True)))


def predicted(executor, stage, split):
    frame = stage.predictions(executor.store)
    return torch.from_numpy(frame.loc[frame["split"] == split].sort_values("id")["p"].to_numpy(copy=True))


def test_predictions_are_the_probes_own(executor, texts):
    stage = probing(texts, KNN(k=7))
    executor.run([stage])
    train = rows(executor, texts)
    fitted = KNN(k=7).fit(train)
    assert torch.equal(predicted(executor, stage, "strong_train"), fitted.predict_own(train).p)
    for split in ("val", "test"):
        assert torch.equal(
            predicted(executor, stage, split), fitted.predict(activations(texts).read(executor.store, split)[1]).p
        )
    frame = stage.predictions(executor.store)
    assert list(frame.columns) == ["id", "split", "log_odds", "p"]
    assert frame["id"].is_unique
    assert stage.read_labels(executor.store).equals(frame.set_index("id")["p"])


def test_cross_fitted_rows_are_predicted_by_probes_that_never_saw_them(executor, texts):
    stage, plain = probing(texts, Logistic(penalty=1e-4), cross_fit=4), probing(texts, Logistic(penalty=1e-4))
    executor.run([stage, plain])
    train = rows(executor, texts)
    groups = texts.read(executor.store).set_index("id")["group"].loc[train.ids].tolist()
    fold = torch.tensor(folds(groups, 4))
    found = predicted(executor, stage, "strong_train")
    for number in range(4):
        others = Logistic(penalty=1e-4).fit(train.take(fold != number))
        assert torch.equal(found[fold == number], others.predict(train.acts[fold == number]).p)
    assert torch.equal(predicted(executor, stage, "test"), predicted(executor, plain, "test"))
    assert not torch.allclose(found, predicted(executor, plain, "strong_train"), atol=1e-3)


def test_folds_are_even_and_keep_groups_together():
    groups = [f"g{i // 3}" for i in range(90)]
    found = folds(groups, 5)
    assert sorted(found.count(number) for number in range(5)) == [18] * 5
    assert len({(group, fold) for group, fold in zip(groups, found, strict=True)}) == 30
    assert folds(groups[::-1], 5) == found[::-1]
    with pytest.raises(SettingsError, match="5 folds need as many groups of rows; there are 4"):
        folds(["a", "b", "c", "d"] * 9, 5)


def test_one_fold_is_refused(texts):
    with pytest.raises(SettingsError, match="cross_fit = 1"):
        probing(texts, KNN(), cross_fit=1)


def test_relabelled_rows(executor, texts):
    labels = HashLabels(texts=texts)
    stage = probing(texts, KNN(k=7))
    executor.run([stage])
    weak = labels.read_labels(executor.store)
    frame = texts.read(executor.store).set_index("id")
    new = stage.predictions(executor.store).set_index("id")["p"]
    for relabel_val in (False, True):
        found = Relabelled(weak=labels, by=stage, relabel_val=relabel_val).read_labels(executor.store)
        assert found.index.is_unique
        for split in ("strong_train", "val"):
            ids = frame.index[frame["split"] == split]
            source = new if split == "strong_train" or relabel_val else weak
            pd.testing.assert_series_equal(found.loc[ids], source.loc[ids], check_names=False)
    assert not new.loc[ids].equals(weak.loc[ids])


def keep(texts, chosen, **settings):
    labels = settings.pop("labels", None) or HashLabels(texts=texts)
    return Keep(activations=activations(texts), labels=labels, filter=chosen, **{"drop": 0.1, **settings})


@pytest.mark.slow
@pytest.mark.parametrize("filter_val", [False, True])
@pytest.mark.parametrize("chosen", [TopoFilter(k=20), ProbeDisagreement(probe=KNN(k=9))], ids=["topofilter", "probe"])
def test_kept_rows(executor, texts, chosen, filter_val):
    stage = keep(texts, chosen, filter_val=filter_val, drop=0.3)
    executor.run([stage])
    frame = texts.read(executor.store).set_index("id")
    dropped = stage.dropped(executor.store)
    train, val = rows(executor, texts), rows(executor, texts, "val")
    expected = {one for one, kept in zip(train.ids, chosen.keep(train, 0.3, train).kept, strict=True) if not kept}
    if filter_val:
        expected |= {one for one, kept in zip(val.ids, chosen.keep(val, 0.3, train).kept, strict=True) if not kept}
    assert dropped == expected
    assert set(frame.loc[list(dropped), "split"]) == ({"strong_train", "val"} if filter_val else {"strong_train"})
    summary = stage.summary(executor.store)
    assert summary["strong_train"]["dropped"] == sum(one in dropped for one in train.ids)
    assert ("val" in summary) == filter_val
    assert ("removed_by_components" in summary["strong_train"]) == (chosen.kind == "topofilter")


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"labels": {"flat": 0.7}}, r"all labels are 0.7"),
        ({"chosen": TopoFilter(k=500)}, "k = 500 neighbours need more than 500 rows"),
        ({"drop": 0.999}, "leaves none"),
    ],
)
def test_what_cannot_be_filtered_is_told(executor, texts, settings, message):
    labels = HashLabels(texts=texts, **settings.pop("labels", {}))
    stage = keep(texts, settings.pop("chosen", ProbeDisagreement(probe=KNN(k=5))), labels=labels, **settings)
    with pytest.raises(DataError, match=message):
        executor.run([stage])
    assert not executor.store.has(stage.key)


def test_one_class_left_is_told(executor, texts):
    """A filter that keeps the rows with the highest labels only."""

    class Highest(ProbeDisagreement):
        kind = "highest"

        def keep(self, rows, drop, train):
            found = super().keep(rows, drop, train)
            return found._replace(kept=rows.hard)

    with pytest.raises(DataError, match="rows, all of one class; lower drop"):
        executor.run([keep(texts, Highest(probe=KNN(k=5)))])

    class Nothing(Highest):
        kind = "nothing"

        def keep(self, rows, drop, train):
            return super().keep(rows, drop, train)._replace(kept=torch.zeros_like(rows.hard))

    with pytest.raises(DataError, match="removed all"):
        executor.run([keep(texts, Nothing(probe=KNN(k=5)))])


def test_labels_on_one_side_of_one_half_are_cut_near_the_median_with_a_note(executor, texts):
    stage = keep(texts, TopoFilter(k=20), labels=HashLabels(texts=texts, most=0.4))
    executor.run([stage])
    assert any("near the median" in note for note in stage.summary(executor.store)["notes"])
    assert any("near the median" in note for note in executor.progress.notes)


def test_activations_that_do_not_vary_are_told_with_the_layer(executor, texts, monkeypatch):
    same = activations(texts)
    executor.run([same])
    original = type(same).read

    def flat(self, store, split, device):
        ids, acts = original(self, store, split)
        return ids, torch.ones_like(acts)

    monkeypatch.setattr(type(same), "read", flat)
    with pytest.raises(
        DataError, match=r"tiny-pet strong_train, layer 1: the activations of all \d+ rows are the same"
    ):
        executor.run([probing(texts, KNN(k=5))])


def test_ground_truth_is_refused_everywhere(texts):
    truth = GroundTruth(digest="0" * 64, origin=texts.origin)
    for make in (
        lambda: probing(texts, KNN(), labels=truth),
        lambda: keep(texts, TopoFilter(), labels=truth),
        lambda: Relabelled(weak=truth, by=probing(texts, KNN())),
    ):
        with pytest.raises(ValidationError, match="WeakLabelSource"):
            make()


def test_settings_move_keys(texts):
    stages = [
        probing(texts, KNN()),
        probing(texts, KNN(k=49)),
        probing(texts, KNN(include_self=True)),
        probing(texts, KNN(metric="cosine")),
        probing(texts, Logistic()),
        probing(texts, Logistic(standardize=True)),
        probing(texts, KNN(), cross_fit=2),
        probing(texts, KNN(), labels=HashLabels(texts=texts, most=0.5)),
        Probing(texts=texts, activations=activations(texts, 2), labels=HashLabels(texts=texts), probe=KNN()),
        keep(texts, TopoFilter()),
        keep(texts, TopoFilter(k=49)),
        keep(texts, TopoFilter(), drop=0.2),
        keep(texts, TopoFilter(), filter_val=True),
        keep(texts, ProbeDisagreement()),
        keep(texts, ProbeDisagreement(probe=Logistic())),
    ]
    assert len({stage.key for stage in stages}) == len(stages)


@pytest.mark.parametrize("kind", ["knn", "logistic", "cross-fitted", "probe_disagreement", "topofilter"])
def test_a_stage_computes_where_its_activations_are_read_to(executor, texts, monkeypatch, kind):
    """On a device that no tensor of the CPU may meet the files are those of the CPU."""
    shared = {"texts": texts, "activations": activations(texts), "labels": HashLabels(texts=texts)}
    stage = {
        "knn": lambda: Probing(**shared, probe=KNN(k=7)),
        "logistic": lambda: Probing(**shared, probe=Logistic()),
        "cross-fitted": lambda: Probing(**shared, probe=Logistic(), cross_fit=3),
        "probe_disagreement": lambda: keep(texts, ProbeDisagreement(), filter_val=True),
        "topofilter": lambda: keep(texts, TopoFilter(k=7), filter_val=True),
    }[kind]()
    executor.run([stage])
    (name,) = (path.name for path in executor.store.path(stage.key).glob("*.parquet"))
    expected = pd.read_parquet(executor.store.file(stage.key, name))
    asked, read = [], Activations.read

    def read_elsewhere(self, store, split, device="cpu"):
        asked.append(device)
        ids, acts = read(self, store, split)
        return ids, elsewhere(acts)

    monkeypatch.setattr(Activations, "read", read_elsewhere)
    monkeypatch.setattr("outshine.learn.device.pick_float64_device", lambda runtime: ELSEWHERE)
    folder = executor.store.root / "again"
    folder.mkdir()
    with other_device():
        stage.run(Context(executor.store, folder, folder, executor.runtime, Silent(), {}))
    pd.testing.assert_frame_equal(pd.read_parquet(folder / name), expected, rtol=1e-9)
    assert set(asked) == {ELSEWHERE}
