"""What a binary task says: how labels are hardened, what chooses weights, columns of predictions, words."""

import numpy as np
import pandas as pd
import pytest
from scipy.special import ndtr
from sklearn.metrics import roc_auc_score

from outshine.data.task import BINARY, Binary, tasks
from outshine.engine.key import canonical

RNG = np.random.default_rng(0)


def sided(high: int, low: int) -> np.ndarray:
    """So many labels above one half, and so many below."""
    return np.concatenate([0.5 + 0.5 * RNG.random(high) + 1e-9, 0.5 * RNG.random(low)]).clip(0, 1)


@pytest.mark.parametrize(
    ("high", "low"), [(20, 300), (300, 20), (20, 20), (40, 1960), (1960, 40), (8, 24), (16, 16), (10, 9), (2, 2)]
)
def test_enough_labels_on_either_side_are_split_at_one_half(high, low):
    p = sided(high, low)
    hardened = BINARY.harden(p)
    assert hardened.note is None
    assert (hardened.y == (p > 0.5)).all()


@pytest.mark.parametrize(("high", "low"), [(19, 300), (300, 19), (0, 50), (50, 0), (7, 25), (39, 1961), (1961, 39)])
def test_soft_labels_with_too_few_on_a_side_are_split_at_the_median(high, low):
    p = sided(high, low)
    hardened = BINARY.harden(p)
    few = min(high, low)
    assert hardened.note.startswith(f"all but {few} of {high + low} labels" if few else f"all {high + low} labels")
    assert f"so that {abs((high + low + 1) // 2 - high)} rows count as the class that they are not" in hardened.note
    assert (hardened.y == (p > np.sort(p)[(high + low) // 2 - 1])).all()


@pytest.mark.parametrize("values", [(0.0, 1.0), (0.1, 0.9), (0.2, 0.3), (0.7, 0.9)])
@pytest.mark.parametrize(
    ("num", "positive"), [(100, 10), (100, 90), (32, 14), (32, 16), (40, 20), (200, 19), (50, 1), (2000, 3)]
)
def test_labels_of_two_values_stay_the_classes_that_they_are(values, num, positive):
    y = RNG.permutation(np.arange(num) < positive)
    hardened = BINARY.harden(np.where(y, values[1], values[0]))
    assert (hardened.y == y).all()
    few = min(positive, num - positive)
    expected = f"one class has {few} row{'s' if few > 1 else ''} of {num} only" if few < 10 else None
    assert hardened.note == (None if values[0] < 0.5 < values[1] and few >= 20 else expected)


def test_equal_labels_are_never_in_different_classes():
    for _ in range(200):
        p = RNG.choice(RNG.random(RNG.integers(2, 6)), size=RNG.integers(2, 200))
        y = BINARY.harden(p).y
        if y is None:
            assert len(set(p)) == 1
            continue
        assert 0 < y.sum() < len(p)
        assert p[y].min() > p[~y].max()


def test_a_cut_leaves_the_sides_as_alike_as_equal_labels_allow():
    p = np.array([0.0] * 30 + [0.1] * 25 + [0.2] * 25 + [0.3] * 20)
    assert BINARY.harden(p).y.tolist() == [False] * 55 + [True] * 45


@pytest.mark.slow
@pytest.mark.parametrize(("num", "share", "noise"), [(200, 0.05, 0), (400, 0.04, 0), (160, 0.10, 0), (32, 0.5, 0.2)])
def test_weights_chosen_on_hard_labels_are_those_that_the_classes_choose(num, share, noise):
    """Twelve checkpoints a run: the loss of test AUROC against the best is that of choosing by the labels themselves."""
    rng = np.random.default_rng(1)
    lost = {"ours": 0.0, "classes": 0.0}
    for _ in range(100):
        truth = rng.permutation(np.arange(num) < round(share * num))
        labels = truth ^ (rng.random(num) < noise)
        quality = rng.uniform(0, 2, size=12)  # the true separation of a checkpoint: its test AUROC grows with it
        seen = [rng.normal(size=num) + one * truth for one in quality]
        score = BINARY.selection(labels.astype(float), False, "hard").score
        for name, rate in (("ours", score), ("classes", lambda z, y=labels: roc_auc_score(y, z))):
            lost[name] += ndtr(quality.max() / 2**0.5) - ndtr(
                quality[np.argmax(np.round([rate(z) for z in seen], 12))] / 2**0.5
            )
    assert lost["ours"] == pytest.approx(lost["classes"], abs=1e-12)


def test_a_label_of_exactly_one_half_is_negative():
    p = np.array([0.5] * 30 + [0.6] * 30)
    assert BINARY.harden(p).y.tolist() == [False] * 30 + [True] * 30


def test_equal_labels_make_no_classes():
    assert BINARY.harden(np.full(50, 0.7)).y is None
    chosen = BINARY.selection(np.full(50, 0.7), False, "hard")
    assert chosen.score is None
    assert "the last weights are kept" in chosen.note


@pytest.mark.parametrize("metric", ["hard", "soft"])
def test_ground_truth_is_taken_as_it_is_however_few_positives(metric):
    p = np.array([1.0] + [0.0] * 99)
    z = RNG.normal(size=100)
    chosen = BINARY.selection(p, True, metric)
    assert chosen.note is None
    assert chosen.score(z) == pytest.approx(roc_auc_score(p, z))


def test_weak_labels_score_against_their_hardened_selves():
    p, z = sided(100, 80), RNG.normal(size=180)
    assert BINARY.selection(p, False, "hard").score(z) == pytest.approx(roc_auc_score(p > 0.5, z))
    one_sided = sided(5, 175)
    chosen = BINARY.selection(one_sided, False, "hard")
    assert chosen.note.startswith("val: all but 5 of 180 labels")
    assert chosen.score(z) == pytest.approx(roc_auc_score(one_sided >= np.median(one_sided), z))


def test_soft_scores_count_each_row_in_both_classes():
    p, z = RNG.random(60), RNG.normal(size=60).round(1)
    expected = roc_auc_score([1] * 60 + [0] * 60, np.concatenate([z, z]), sample_weight=np.concatenate([p, 1 - p]))
    assert BINARY.selection(p, False, "soft").score(z) == pytest.approx(expected)
    assert BINARY.selection(np.full(60, 0.3), False, "soft").score is None


def test_ground_truth_of_one_class_cannot_choose():
    chosen = BINARY.selection(np.ones(30), True, "hard")
    assert chosen.score is None
    assert "all of one class" in chosen.note


@pytest.mark.parametrize("threshold", [0.2, 0.5, 0.8])
def test_the_threshold_is_where_labels_are_split(threshold):
    p = np.concatenate([RNG.random(200), [threshold]])
    task = Binary(threshold=threshold)
    assert (task.classes(p) == (p > threshold)).all()
    assert (task.harden(p).y == (p > threshold)).all()
    one_sided = threshold + (1 - threshold) * (0.1 + 0.9 * RNG.random(60))
    assert f"lie on one side of {threshold:g}".replace("0.", ".") in task.harden(one_sided).note


def test_predictions_and_labels_of_a_binary_task():
    z = np.array([-30.0, -1.0, 0.0, 2.0])
    columns = BINARY.predicted(z)
    assert tuple(columns) == (*BINARY.score_columns, *BINARY.label_columns)
    np.testing.assert_allclose(columns["p"], 1 / (1 + np.exp(-z)))
    frame = pd.DataFrame(columns, index=list("abcd"))
    assert BINARY.labels_in(frame).equals(frame["p"])
    assert BINARY.score_shape == ()
    logits = RNG.normal(size=(2, 5, 2))
    assert (BINARY.scores(logits) == logits[..., 1] - logits[..., 0]).all()
    assert BINARY.soft(pd.Series([0, 1, 1], index=list("xyz"))).tolist() == [0.0, 1.0, 1.0]


def test_rows_are_counted_in_the_tasks_words():
    assert BINARY.counts_text([30, 12]) == "12 positive and 30 negative"
    assert Binary(class_names=("no", "yes")).counts_text([1, 2]) == "2 yes and 1 no"
    with pytest.raises(ValueError, match="at most 2"):
        Binary(class_names=("a", "b", "c"))


def test_words_are_in_no_key_and_a_threshold_is():
    assert canonical(Binary(class_names=("no", "yes"))) == canonical(BINARY)
    assert canonical(Binary(threshold=0.4)) != canonical(BINARY)
    assert tasks.parse("binary") == BINARY
