"""Diagnostics of a student beside its supervisor and ceiling on test: calibration, imitation, agreement, misfit."""

from __future__ import annotations

import math
from typing import NamedTuple

import pandas as pd
from numpy.typing import ArrayLike

from outshine.engine.errors import DataError
from outshine.results.names import IDENTITY_COLUMNS, METHOD_COLUMNS, require_columns
from outshine.stats.calibration import brier, ece
from outshine.stats.supervisor_agreement import Imitation, capa, error_imitation, misfit, misfit_gain

_NAN = math.nan
_NO_IMITATION = Imitation(_NAN, _NAN, 0, 0, _NAN, _NAN)


class Diagnostics(NamedTuple):
    """What scores alone do not tell, each on the test rows of one run. NaN: not defined, or no weak test labels.

    `*_brier`, `*_ece`: squared probability, and probability (10 bins of equal mass). `imitation_wrong`,
    `imitation_right`: share of the supervisor's wrong and right hard labels that the student repeats; `num_weak_wrong`,
    `num_weak_right`: of how many (both 0 without weak test labels). `weak_positive`, `student_positive`: share of rows
    called positive (of several classes: the class that most are called); at 0 or 1 a model hardens to one class, and
    imitation tells little. `capa_*`: chance-adjusted
    agreement. `misfit`, `misfit_gain`: squared probability; a gain at or above the misfit is what theory promises for
    squared loss only. Formulas: `stats/calibration.py`, `stats/supervisor_agreement.py`.
    """

    weak_brier: float
    student_brier: float
    ceiling_brier: float
    weak_ece: float
    student_ece: float
    ceiling_ece: float
    imitation_wrong: float
    imitation_right: float
    num_weak_wrong: int
    num_weak_right: int
    weak_positive: float
    student_positive: float
    capa_weak_student: float
    capa_weak_ceiling: float
    misfit: float
    misfit_gain: float


DIAGNOSTIC_COLUMNS = (*IDENTITY_COLUMNS, *Diagnostics._fields)


def diagnose(y: ArrayLike, p_weak: ArrayLike | None, p_student: ArrayLike, p_ceiling: ArrayLike) -> Diagnostics:
    """All diagnostics of one student with one seed.

    `y` [n] ground truth of the test rows; `p_weak`, `p_student`, `p_ceiling` [n] P(y=1) for the same rows in the same
    order; `p_weak` None: the weak labels say nothing about test, and what needs them is NaN. Of K classes `y` is the
    class's number and p is [n, K].
    Raises DataError for unequal lengths, no rows, labels that are no class, and p outside [0, 1] or NaN.
    """
    imitation = _NO_IMITATION if p_weak is None else error_imitation(y, p_weak, p_student)
    return Diagnostics(
        weak_brier=_NAN if p_weak is None else brier(y, p_weak),
        student_brier=brier(y, p_student),
        ceiling_brier=brier(y, p_ceiling),
        weak_ece=_NAN if p_weak is None else ece(y, p_weak),
        student_ece=ece(y, p_student),
        ceiling_ece=ece(y, p_ceiling),
        imitation_wrong=imitation.wrong,
        imitation_right=imitation.right,
        num_weak_wrong=imitation.num_wrong,
        num_weak_right=imitation.num_right,
        weak_positive=imitation.weak_positive,
        student_positive=imitation.student_positive,
        capa_weak_student=_NAN if p_weak is None else capa(y, p_weak, p_student),
        capa_weak_ceiling=_NAN if p_weak is None else capa(y, p_weak, p_ceiling),
        misfit=_NAN if p_weak is None else misfit(p_weak, p_student),
        misfit_gain=_NAN if p_weak is None else misfit_gain(y, p_weak, p_student),
    )


def mean_over_seeds(frame: pd.DataFrame) -> pd.DataFrame:
    """Each method on each dataset: the mean of every diagnostic over seeds, counts too, and `num_seeds`.

    `frame`: rows of `DIAGNOSTIC_COLUMNS`; columns METHOD_COLUMNS, num_seeds, then the diagnostics, in the order of the
    rows. A mean is over the seeds in which the diagnostic is defined, NaN where it is in none.
    Raises DataError where a column is missing.
    """
    require_columns(frame, DIAGNOSTIC_COLUMNS, "the diagnostics")
    keys, fields = list(METHOD_COLUMNS), list(Diagnostics._fields)
    grouped = frame.groupby(keys, sort=False, dropna=False)
    means = grouped[fields].mean().astype("float64")
    means.insert(0, "num_seeds", grouped["seed"].nunique())
    return means.reset_index()


COLUMNS = ("y", "p_weak", "p_student")


class Disagreements(NamedTuple):
    """How often student and supervisor differ on test, who is right then, and rows to read.

    `rows`: index id; y, weak, student, p_weak, p_student, `student_right` and `weak_right`, in order of falling
    |p_student − ½| (equal ones by id), of several classes of the student's falling probability of its class. They are
    chosen by the student's confidence alone, whoever is right; of several classes neither may be. The counts are over
    all `num_rows`. `one_sided`: the supervisor gives every row the same hard label, so that differing says little
    about it.
    """

    num_rows: int
    num_apart: int
    num_student_right: int
    num_weak_right: int
    one_sided: bool
    rows: pd.DataFrame


def disagreements(scored: pd.DataFrame, most: int) -> Disagreements:
    """Count rows whose classes differ, and give the `most` of them that the student is surest of.

    `scored`: index row id, columns `y` (truth), `p_weak` and `p_student`: of two classes P(y = 1). Of several they are
    the probability of the class that each calls, which the columns `weak` and `student` tell.
    Raises DataError for a missing column, no rows, or a probability that is unknown.
    """
    require_columns(scored, COLUMNS, "the rows")
    if scored.empty or scored[list(COLUMNS)].isna().to_numpy().any():
        raise DataError("disagreements need rows, each with its truth and both probabilities")
    called = {name: scored[name] if name in scored else scored[f"p_{name}"] > 0.5 for name in ("weak", "student")}
    known = scored[list(COLUMNS)].assign(**called)
    weak, student, truth = (known[name] for name in ("weak", "student", "y"))
    apart = known.assign(student_right=student == truth, weak_right=weak == truth)[weak != student]
    sure = apart["p_student"] if "student" in scored else (apart["p_student"] - 0.5).abs()
    surest = apart.sort_index().assign(doubt=-sure).sort_values("doubt", kind="stable")
    return Disagreements(
        num_rows=len(known),
        num_apart=len(apart),
        num_student_right=int(apart["student_right"].sum()),
        num_weak_right=int(apart["weak_right"].sum()),
        one_sided=bool(weak.nunique() == 1),
        rows=surest.drop(columns="doubt").head(most),
    )
