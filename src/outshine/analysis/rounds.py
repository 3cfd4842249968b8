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
    weak = rows[rows["role"] == "weak"].rename(columns={"auroc": "weak_auroc"})
    shared = weak.loc[weak["method"] == "", [*_EXPERIMENT, "weak_auroc"]]
    own = weak.loc[weak["method"] != "", [*_EXPERIMENT, "method_id", "weak_auroc"]]  # a method's own supervisors
    students = rows.loc[rows["role"] == "student", [*_EXPERIMENT, *_ROUND, "auroc"]]
    joined = students.rename(columns={"auroc": "student_auroc"})
    of_study = joined.merge(shared, how="left", on=_EXPERIMENT, validate="many_to_one")["weak_auroc"]
    of_method = joined.merge(own, how="left", on=[*_EXPERIMENT, "method_id"], validate="many_to_one")["weak_auroc"]
    joined["weak_auroc"] = of_method.fillna(of_study).to_numpy()
    joined = joined[joined["weak_auroc"].notna()].reset_index(drop=True)
    gain = joined["student_auroc"] - joined["weak_auroc"]
    columns = [*_EXPERIMENT, *_ROUND, "weak_auroc", "student_auroc"]
    return joined[columns].assign(student_minus_weak=gain, sign=np.sign(gain).astype(int))
