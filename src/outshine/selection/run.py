"""Running `outshine select` on a finished study."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import pandas as pd

from outshine.data.task import ONE_NUMBER
from outshine.engine.errors import DataError
from outshine.engine.store.store import Store
from outshine.results.finished import read_study
from outshine.results.read.artefacts import Reader
from outshine.selection.candidates import read_choices
from outshine.selection.regret import pooled_regrets, regrets
from outshine.selection.rules import DRAWS
from outshine.w2s.expand import Experiment
from outshine.w2s.study import Study


class SelectionRegret(NamedTuple):
    """What choosing without ground truth would have lost in a study.

    Attributes:
        regret: One row a choice and a way to make it: a label-free rule, or n trusted labels. Regrets are in test
            AUROC.
        pooled: Means of these over seeds and over datasets, with intervals.
    """

    regret: pd.DataFrame
    pooled: pd.DataFrame


def select_in(study: Study, store: Store, num_draws: int | None = None) -> SelectionRegret:
    """Look back on a study that ran; compute no stage. `num_draws`: random sets of rows a budget (None: 1,000).

    Raises DataError where the store lacks a part of the study, or the study has nothing to choose among.
    """
    finished = read_study(study, store)
    regret = read_regrets(study.name, finished.experiments, store, finished.results.summary, num_draws or DRAWS)
    return SelectionRegret(regret, pooled_regrets(regret))


def read_regrets(
    study: str, experiments: Sequence[Experiment], store: Store, summary: pd.DataFrame, num_draws: int = DRAWS
) -> pd.DataFrame:
    """Return what every way to choose loses in a finished study, columns REGRET_COLUMNS; `summary`: of its results.

    Raises DataError where there is nothing to choose, and for labels of several classes.
    """
    several = sorted({run.prepare.name for run in experiments if not run.texts.task.works_with(ONE_NUMBER)})
    if several:
        raise DataError(
            f"`outshine select` is for labels of two classes; {', '.join(several)} of the study '{study}' has more: "
            "run and select without it"
        )
    saturated = {str(name): bool(own.any()) for name, own in summary.groupby("dataset")["saturated"]}
    table = regrets(study, read_choices(experiments, Reader(store), saturated), num_draws)
    if table.empty:
        raise DataError(
            f"the study '{study}' has one method a dataset and no trajectories, so that there is nothing to choose; "
            "run it with several methods or losses (--loss logconf,xent), or with --trajectories"
        )
    return table
