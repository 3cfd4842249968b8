"""Did a round of training improve on the labels it was given? The post relabels only where it did."""

from __future__ import annotations

import numpy as np
import pandas as pd

_EXPERIMENT = ["study", "dataset", "weak", "strong", "data_seed", "seed"]
_ROUND = ["method", "variant", "round", "loss", "method_id", "settings"]


def strong_train_gain(scores: pd.DataFrame) -> pd.DataFrame:
    """Per round, student − weak in AUROC on strong_train itself, and its sign.

    `scores` as in `Results`; columns study, dataset, weak, strong, data_seed, seed, method, variant, round, loss,
    method_id, settings, weak_auroc, student_auroc, student_minus_weak, sign (-1, 0 or 1). No PGR: the ceiling was
    trained on these very rows. Source: the post, "Strong-to-Strong Training".
    """
    rows = scores[scores["split"] == "strong_train"]
    weak = rows.loc[rows["role"] == "weak", [*_EXPERIMENT, "auroc"]].rename(columns={"auroc": "weak_auroc"})
    students = rows.loc[rows["role"] == "student", [*_EXPERIMENT, *_ROUND, "auroc"]]
    joined = students.rename(columns={"auroc": "student_auroc"}).merge(weak, on=_EXPERIMENT, validate="many_to_one")
    gain = joined["student_auroc"] - joined["weak_auroc"]
    columns = [*_EXPERIMENT, *_ROUND, "weak_auroc", "student_auroc"]
    return joined[columns].assign(student_minus_weak=gain, sign=np.sign(gain).astype(int))
