"""Running `outshine select` on a finished study."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from outshine.engine.store.store import Store
from outshine.results.finished import read_study
from outshine.w2s.study import Study

if TYPE_CHECKING:
    import pandas as pd


class Selected(NamedTuple):
    """What choosing without ground truth would have lost in a study.

    Attributes:
        regret: One row a choice and a way to make it: a label-free rule, or n trusted labels. Regrets are in test
            AUROC.
        pooled: Means of these over seeds and over datasets, with intervals.
    """

    regret: pd.DataFrame
    pooled: pd.DataFrame


def select_in(study: Study, store: Store, num_draws: int | None = None) -> Selected:
    """Look back on a study that ran; computes no stage. `num_draws`: random sets of rows a budget (None: 1,000).

    Raises DataError where the store lacks a part of the study, or the study has nothing to choose among.
    """
    from outshine.selection.pooled import pooled_regrets
    from outshine.selection.read import read_regrets
    from outshine.selection.trusted_labels import DRAWS

    finished = read_study(study, store)
    regret = read_regrets(study.name, finished.experiments, store, finished.results.summary, num_draws or DRAWS)
    return Selected(regret, pooled_regrets(regret))
