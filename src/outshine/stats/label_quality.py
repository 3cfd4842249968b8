"""Labels that are probably wrong: ranked by how much a held-out model doubts them, or counted by confident learning."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from outshine.engine.errors import DataError
from outshine.stats.auroc import Bools, Floats, as_truth
from outshine.stats.calibration import as_probabilities, of_classes


class ConfidentJoint(NamedTuple):
    """`counts` [K, K]: rows by labelled class and by the class the model is sure of; `suspect` [n]: off the diagonal.

    Rows of whose class the model is not sure are in no cell. `thresholds` [K]: how sure it must be of each class; ∞ of
    one that no row is labelled.
    """

    counts: NDArray[np.int64]
    suspect: Bools
    thresholds: Floats


def suspicion(p_label: ArrayLike, p_model: ArrayLike) -> Floats:
    """P(a class drawn from the label differs from one drawn from the model) = 1 − Σₖ lₖ pₖ, for each row.

    With two classes l (1 − p) + (1 − l) p. For a label that is certain it is 1 − p(given class), one less the
    self-confidence of Northcutt et al.; with two classes the normalised margin p(given) − p(other) = 1 − 2 · suspicion
    puts rows in the same order. It is not the probability that the label is wrong: p is the model's, trained on labels
    of the same kind, and no better calibrated than they allow. A soft label of ½ has ½ whatever the model says.

    `p_label`, `p_model` [n] in [0, 1], or probabilities of K classes, [n, K]; p of a model that was not trained on the
    row. Raises DataError for unequal lengths and values outside [0, 1] or NaN. Source: Northcutt, Jiang, Chuang 2021,
    "Confident learning: estimating uncertainty in dataset labels", JAIR 70, arXiv:1911.00068, section 3.
    """
    if np.ndim(p_model) == 2:
        label, model = (as_probabilities(np.ravel(p), np.size(p)).reshape(np.shape(p)) for p in (p_label, p_model))
        if label.shape != model.shape:
            raise DataError(f"labels of shape {label.shape} and a model's probabilities of shape {model.shape}")
        return np.clip(1 - (label * model).sum(axis=1), 0.0, 1.0)
    label = as_probabilities(p_label, np.size(p_label))
    model = as_probabilities(p_model, len(label))
    return label * (1 - model) + (1 - label) * model


def confident_joint(labels: ArrayLike, p_model: ArrayLike) -> ConfidentJoint:
    """Count rows by labelled class and by the class that the model is sure of.

    Sure of class j: p(j) ≥ tⱼ, the mean of p(j) over the rows labelled j; sure of several: the likeliest, the labelled
    one where it is level with that. Of a class that no row is labelled the model is never sure. The thresholds carry a
    model's general lack of confidence, which noisy labels bring. A count off the diagonal is a number of doubted rows,
    and an estimate of wrong labels only under the source's conditions: noise that depends on the class alone, and a
    model that is near its thresholds' ideal.

    `labels` [n] 0 or 1, or numbers of K classes, two of them present; `p_model` [n] = p(1), or [n, K], by a model that
    was not trained on the row. Raises DataError as `suspicion` does, and where all rows are of one class. Source:
    Northcutt et al. 2021, arXiv:1911.00068, eq. 1.
    """
    if np.ndim(p_model) == 2:
        p, given = of_classes(labels, p_model)
        label = given.argmax(axis=1)
    else:
        label = as_truth(labels, both_classes=False).astype(np.int64)
        p_one = as_probabilities(p_model, len(label))
        p = np.stack([1 - p_one, p_one], axis=1)
    num_classes = p.shape[1]
    there = np.bincount(label, minlength=num_classes) > 0
    if there.sum() < 2:
        raise DataError(
            f"doubted labels are counted where two classes or more are given; all {label.size} are {int(label[0])}"
        )
    thresholds = np.array([p[label == k, k].mean() if there[k] else np.inf for k in range(num_classes)])
    sure = p >= thresholds
    among = np.where(sure, p, -1.0)
    rows = np.arange(len(label))
    believed = np.where(among[rows, label] == among.max(axis=1), label, among.argmax(axis=1))
    counted = sure.any(axis=1)
    counts = np.zeros((num_classes, num_classes), dtype=np.int64)
    np.add.at(counts, (label[counted], believed[counted]), 1)
    return ConfidentJoint(counts, counted & (believed != label), thresholds)
