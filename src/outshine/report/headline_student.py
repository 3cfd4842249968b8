"""The choice of the student that a study's headline is about."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from outshine.report.figures import select
from outshine.results.names import Contender

if TYPE_CHECKING:
    import pandas as pd

    from outshine.results.finished import Finished
    from outshine.results.results import MethodPGR


class Reference(NamedTuple):
    """Vanilla with the study's loss, else what `select.reference_contender` says.

    `rows`: its rows of the summary, a dataset a row. `pooled`: its PGR over datasets.
    """

    contender: Contender
    rows: pd.DataFrame
    pooled: MethodPGR


def reference_of(finished: Finished) -> Reference:
    """The reference student of a finished study."""
    results = finished.results
    methods = results.summary[results.summary["purpose"] == "method"]
    student = select.reference_contender(methods, finished.resolution.study.loss.kind)
    (pooled,) = [one for one in results.pooled if Contender.of(one._asdict()) == student]
    own = methods[[Contender.of(row) == student for row in methods.to_dict("records")]]
    return Reference(student, own.drop_duplicates("dataset"), pooled)
