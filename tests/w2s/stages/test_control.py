"""Control labels: what each keeps of the weak labels, and what no student may be trained on."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from pydantic import ValidationError
from scipy.stats import pearsonr
from sklearn.metrics import confusion_matrix, roc_auc_score
from test_probing import probing
from weak_labels import HashLabels

from outshine.learn.losses.xent import Xent
from outshine.learn.probes.logistic import Logistic
from outshine.learn.resolve import resolve
from outshine.learn.settings import TrainingSettings
from outshine.learn.spec import ModelSettings
from outshine.w2s.lab import Lab, TrainableModel
from outshine.w2s.stages.control import Constant, FairCoins, NoiseMatched, Shuffled
from outshine.w2s.stages.labels import GroundTruth
from outshine.w2s.stages.predictor import Relabelled

SPLITS = ("strong_train", "val")


@pytest.fixture
def truth(executor, texts) -> GroundTruth:
    return GroundTruth.of(texts.origin, executor.store)


@pytest.fixture
def lab(texts, truth) -> Lab:
    strong = resolve(ModelSettings(model="tiny/strong"), "float32")
    return Lab(
        texts=texts,
        truth=truth,
        weak=None,
        strong=TrainableModel(strong.spec, strong.learning_rate),
        training=TrainingSettings(epochs=1),
        loss=Xent(),
        seed=0,
        file_labels=HashLabels(texts=texts),
    )


def by_split(executor, texts, labels) -> dict[str, pd.DataFrame]:
    """Columns weak, made, y, in the order of ids."""
    weak = HashLabels(texts=texts).read_labels(executor.store)
    made = labels.read_labels(executor.store)
    y = GroundTruth.of(texts.origin, executor.store).read_labels(executor.store)
    frame = texts.read(executor.store).set_index("id").sort_index()
    assert set(made.index) == set(frame.index[frame["split"].isin(SPLITS)])
    frame = frame.assign(weak=weak, made=made, y=y)
    return {split: frame[frame["split"] == split] for split in SPLITS}


@pytest.mark.parametrize("kind", [Shuffled, NoiseMatched])
def test_permuted_labels_are_the_weak_ones_in_another_order(executor, texts, truth, kind):
    more = {"truth": truth} if kind is NoiseMatched else {}
    labels = kind(texts=texts, weak=HashLabels(texts=texts), seed=0, **more)
    for rows in by_split(executor, texts, labels).values():
        assert sorted(rows["made"]) == sorted(rows["weak"])
        assert (rows["made"] == rows["weak"]).sum() <= 10  # fixed points of a permutation: Poisson(1) a class


def test_noise_matched_labels_are_exactly_as_good_as_the_weak_ones(executor, texts, truth):
    labels = NoiseMatched(texts=texts, weak=HashLabels(texts=texts), seed=0, truth=truth)
    for rows in by_split(executor, texts, labels).values():
        assert roc_auc_score(rows["y"], rows["made"]) == pytest.approx(
            roc_auc_score(rows["y"], rows["weak"]), abs=1e-12
        )
        hard = [confusion_matrix(rows["y"], rows[name] > 0.5) for name in ("weak", "made")]
        np.testing.assert_array_equal(*hard)
        for y in (0, 1):  # calibration, class by class: the same labels
            members = rows[rows["y"] == y]
            assert sorted(members["made"]) == sorted(members["weak"])
            assert abs(pearsonr(members["made"], members["weak"])[0]) < 4 / np.sqrt(len(members))


def test_constant_and_random_labels(executor, texts):
    weak = HashLabels(texts=texts)
    for rows in by_split(executor, texts, Constant(texts=texts, weak=weak, seed=0)).values():
        np.testing.assert_allclose(rows["made"], rows["weak"].mean(), rtol=1e-14)
    coins = by_split(executor, texts, FairCoins(texts=texts, weak=weak, seed=0))
    assert set(coins["strong_train"]["made"]) == {0.0, 1.0}
    assert abs(coins["strong_train"]["made"].mean() - 0.5) < 4 * 0.5 / np.sqrt(len(coins["strong_train"]))


def test_another_seed_makes_other_labels_and_the_same_seed_the_same(executor, texts):
    first, again, other = (
        Shuffled(texts=texts, weak=HashLabels(texts=texts), seed=seed).read_labels(executor.store) for seed in (0, 0, 1)
    )
    assert first.equals(again)
    assert not first.equals(other)


@pytest.mark.slow
def test_a_control_student_is_trained_on_its_labels_and_no_student_on_what_it_predicts(executor, texts, truth, lab):
    labels = NoiseMatched(texts=texts, weak=lab.weak_labels, seed=0, truth=truth)
    control = lab.control(labels)
    executor.run([control])
    assert len(control.predictions(executor.store)) == 80 + 50 + 40
    with pytest.raises(ValidationError, match="trained on the ground truth of strong_train itself"):
        lab.student(control)
    with pytest.raises(ValidationError, match="WeakLabelSource"):
        lab.student(labels)
    lab.student(lab.control(Shuffled(texts=texts, weak=lab.weak_labels, seed=0)))  # knows no truth


def test_what_learned_the_truth_is_refused_behind_other_labels_too(texts, lab):
    salience = lab.truth_probing(Logistic(), 1)
    weak = lab.weak_labels
    for source in (lab.ceiling, salience, Relabelled(weak=weak, by=salience), Relabelled(weak=weak, by=lab.ceiling)):
        with pytest.raises(ValidationError, match="trained on the ground truth of strong_train itself"):
            lab.student(source)
    lab.student(Relabelled(weak=weak, by=probing(texts, Logistic())))


def test_a_truth_probe_is_fitted_to_ground_truth(executor, texts, truth, lab):
    stage = lab.truth_probing(Logistic(), 1)
    executor.run([stage])
    frame = stage.predictions(executor.store).set_index("id")
    train = frame[frame["split"] == "strong_train"]
    y = truth.read_labels(executor.store).loc[train.index]
    assert roc_auc_score(y, train["p"]) > 0.9  # of weak labels made by a hash it would know nothing
    assert stage.key != probing(texts, Logistic()).key
