"""Labels that are probably wrong: ranked by how much a held-out model doubts them, or counted by confident learning."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from outshine.engine.errors import DataError
from outshine.stats.auroc import Bools, Floats, as_truth
from outshine.stats.calibration import as_probabilities


class ConfidentJoint(NamedTuple):
    """`counts` [2, 2]: rows by labelled class and by the class the model is sure of; `suspect` [n]: off the diagonal.

    Rows of whose class the model is not sure are in no cell. `thresholds` [2]: how sure it must be of each class.
    """

    counts: NDArray[np.int64]
    suspect: Bools
    thresholds: Floats


def suspicion(p_label: ArrayLike, p_model: ArrayLike) -> Floats:
    """P(a class drawn from the label differs from one drawn from the model) = l (1 − p) + (1 − l) p, for each row.

    For a label that is 0 or 1 it is 1 − p(given class), one less the self-confidence of Northcutt et al.; with two
    classes the normalised margin p(given) − p(other) = 1 − 2 · suspicion puts rows in the same order. It is not the
    probability that the label is wrong: p is the model's, trained on labels of the same kind, and no better calibrated
    than they allow. A soft label of ½ has ½ whatever the model says.

    `p_label`, `p_model` [n] in [0, 1]; p of a model that was not trained on the row. Raises DataError for unequal
    lengths and values outside [0, 1] or NaN. Source: Northcutt, Jiang, Chuang 2021, "Confident learning: estimating
    uncertainty in dataset labels", JAIR 70, arXiv:1911.00068, section 3.
    """
    label = as_probabilities(p_label, np.size(p_label))
    model = as_probabilities(p_model, len(label))
    return label * (1 - model) + (1 - label) * model


def confident_joint(labels: ArrayLike, p_model: ArrayLike) -> ConfidentJoint:
    """Count rows by labelled class and by the class that the model is sure of.

    Sure of class j: p(j) ≥ tⱼ, the mean of p(j) over the rows labelled j; sure of both: the likelier one, the labelled
    one where they are level. The thresholds carry a model's general lack of confidence, which noisy labels bring.
    A count off the diagonal is a number of doubted rows, and an estimate of wrong labels only under the source's
    conditions: noise that depends on the class alone, and a model that is near its thresholds' ideal.

    `labels` [n] 0 or 1, both present; `p_model` [n] = p(1) by a model that was not trained on the row. Raises DataError
    as `suspicion` does, and where all rows are of one class. Source: Northcutt et al. 2021, arXiv:1911.00068, eq. 1.
    """
    label = as_truth(labels, both_classes=False)
    if label.all() or not label.any():
        raise DataError(
            f"doubted labels are counted where both classes are given; all {label.size} are {int(label[0])}"
        )
    p_one = as_probabilities(p_model, len(label))
    p = np.stack([1 - p_one, p_one])
    thresholds = np.array([p[0, ~label].mean(), p[1, label].mean()])
    sure = p >= thresholds[:, None]
    likelier = np.where(p[0] == p[1], label, p[1] > p[0])
    believed = np.where(sure[0] & sure[1], likelier, sure[1])
    counted = sure.any(axis=0)
    counts = np.zeros((2, 2), dtype=np.int64)
    np.add.at(counts, (label[counted].astype(int), believed[counted].astype(int)), 1)
    return ConfidentJoint(counts, counted & (believed != label), thresholds)
