"""Test AUROC along training: the cost of choosing a checkpoint, and overfitting.

Everything here reads the test set at many checkpoints and is for looking back only; no run is ever stopped or chosen by
it.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd

from outshine.engine.errors import DataError
from outshine.results.names import IDENTITY_COLUMNS, require_columns

TRAJECTORY_COLUMNS = (*IDENTITY_COLUMNS, "step", "val_auroc", "test_auroc", "chosen")
"""A checkpoint a row: `step` updates made, AUROC on val (weak labels; may be NaN) and test (truth), `chosen` or not."""

SELECTION_COLUMNS = (
    *IDENTITY_COLUMNS,
    *("chosen_auroc", "last_auroc", "oracle_auroc", "chosen_step", "last_step", "oracle_step"),
)
OVERFITTING_COLUMNS = (*IDENTITY_COLUMNS, "peak_auroc", "last_auroc", "fall", "peak_step", "last_step", "peak_share")


def selection_sensitivity(frame: pd.DataFrame) -> pd.DataFrame:
    """Test AUROC of each run at the update chosen on weak val, at the last one, and at the best one (the oracle).

    `frame`: rows of `TRAJECTORY_COLUMNS`, in any order. One row a run, `SELECTION_COLUMNS`; steps in updates; of
    equally good checkpoints the oracle is the earliest. chosen − last is a fair comparison of two rules. The oracle is
    not: a maximum over checkpoints measured with noise lies above the AUROC of any one of them (winner's curse), even
    where nothing changes. It bounds from above what a better rule could gain, and is never used for selection.

    Raises DataError for a missing column, a checkpoint twice in a run, an unknown test AUROC, or a run that has not
    exactly one chosen checkpoint.
    """

    def measure(run: pd.DataFrame) -> dict[str, Any]:
        if run["chosen"].sum() != 1:
            raise DataError(f"{_name(run)}: {run['chosen'].sum()} checkpoints are marked as chosen, expected one")
        rows = {"chosen": int(run["chosen"].to_numpy().argmax()), "last": len(run) - 1, "oracle": _peak(run)}
        aurocs = {f"{name}_auroc": run["test_auroc"].iloc[row] for name, row in rows.items()}
        return aurocs | {f"{name}_step": run["step"].iloc[row] for name, row in rows.items()}

    return _per_run(frame, measure, SELECTION_COLUMNS)


def overfitting(frame: pd.DataFrame) -> pd.DataFrame:
    """By how much the test AUROC of each run falls from its peak to its end, and when the peak is.

    fall = peak − last, 0 where the run peaks at its end; peak_share = peak_step / last_step, as a share of the updates
    of the run (NaN where none was made); of equal peaks the earliest. A rise and fall is what one sees where
    supervision is imitated error by error. The peak is a maximum over noisy checkpoints, hence biased upward (winner's
    curse): the fall is at least 0 by construction and positive on average where nothing but noise moves the curve. It
    is never used for selection.

    `frame`: rows of `TRAJECTORY_COLUMNS`, in any order; one row a run, `OVERFITTING_COLUMNS`.
    Raises DataError for a missing column, a checkpoint twice in a run, or an unknown test AUROC.
    Source: Burns et al., arXiv:2312.09390, section 5.1 ("overfitting to weak supervision").
    """

    def measure(run: pd.DataFrame) -> dict[str, Any]:
        peak, last = run.iloc[_peak(run)], run.iloc[-1]
        return {
            "peak_auroc": peak["test_auroc"],
            "last_auroc": last["test_auroc"],
            "fall": peak["test_auroc"] - last["test_auroc"],
            "peak_step": peak["step"],
            "last_step": last["step"],
            "peak_share": peak["step"] / last["step"] if last["step"] else np.nan,
        }

    return _per_run(frame, measure, OVERFITTING_COLUMNS)


def _per_run(
    frame: pd.DataFrame, measure: Callable[[pd.DataFrame], dict[str, Any]], columns: tuple[str, ...]
) -> pd.DataFrame:
    """One row a run, in the order in which runs come; `measure` is given the run's checkpoints in order of updates."""
    require_columns(frame, TRAJECTORY_COLUMNS, "the trajectories")
    rows = []
    for identity, run in frame.groupby(list(IDENTITY_COLUMNS), sort=False, dropna=False):
        _check(run)
        rows.append({**dict(zip(IDENTITY_COLUMNS, identity, strict=True)), **measure(run.sort_values("step"))})
    return pd.DataFrame(rows, columns=list(columns))


def _check(run: pd.DataFrame) -> None:
    twice = run["step"][run["step"].duplicated()]
    if len(twice):
        raise DataError(f"{_name(run)}: update {twice.iloc[0]} is there twice; give each run an identity of its own")
    unknown = run["step"][run["test_auroc"].isna()]
    if len(unknown):
        raise DataError(f"{_name(run)}: the test AUROC after update {unknown.iloc[0]} is unknown; leave that row out")


def _peak(run: pd.DataFrame) -> int:
    """The position of the highest test AUROC, the earliest of equals."""
    return int(np.argmax(run["test_auroc"].to_numpy()))


def _name(run: pd.DataFrame) -> str:
    first = run.iloc[0]
    words = [first[name] for name in ("dataset", "method", "variant", "loss") if first[name]]
    return f"{' '.join(words)}, seed {first['seed']}"


_EXPERIMENT = ["study", "dataset", "weak", "strong", "data_seed", "seed"]
_ROUND = ["method", "variant", "round", "loss", "method_id", "settings"]


def strong_train_gain(scores: pd.DataFrame) -> pd.DataFrame:
    """Return, per round, student − weak in AUROC on strong_train itself, and its sign.

    `scores` as in `Results`; columns study, dataset, weak, strong, data_seed, seed, method, variant, round, loss,
    method_id, settings, weak_auroc, student_auroc, student_minus_weak, sign (-1, 0 or 1). No PGR: the ceiling was
    trained on these very rows. Source: the post, "Strong-to-Strong Training".
    """
    rows = scores[scores["split"] == "strong_train"]
    weak = rows[rows["role"] == "weak"].rename(columns={"auroc": "weak_auroc"})
    shared = weak.loc[weak["method"] == "", [*_EXPERIMENT, "weak_auroc"]]
    # a row about one of several supervisors has another variant
    method_columns = [*_EXPERIMENT, "method_id", "variant"]
    own = weak.loc[weak["method"] != "", [*method_columns, "weak_auroc"]]  # a method's own labels
    students = rows.loc[rows["role"] == "student", [*_EXPERIMENT, *_ROUND, "auroc"]]
    joined = students.rename(columns={"auroc": "student_auroc"})
    of_study = joined.merge(shared, how="left", on=_EXPERIMENT, validate="many_to_one")["weak_auroc"]
    of_method = joined.merge(own, how="left", on=method_columns, validate="many_to_one")["weak_auroc"]
    joined["weak_auroc"] = of_method.fillna(of_study).to_numpy()
    joined = joined[joined["weak_auroc"].notna()].reset_index(drop=True)
    gain = joined["student_auroc"] - joined["weak_auroc"]
    columns = [*_EXPERIMENT, *_ROUND, "weak_auroc", "student_auroc"]
    return joined[columns].assign(student_minus_weak=gain, sign=np.sign(gain).astype(int))
