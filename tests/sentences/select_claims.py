"""What `select` can say."""

from __future__ import annotations

import io
import math
import tempfile
from collections.abc import Callable, Iterable
from contextlib import redirect_stdout
from pathlib import Path
from unittest.mock import patch

import matplotlib.text
import pandas as pd
from cases import study
from claim import Claim

from outshine.cli import select as selecting
from outshine.report.tables import TextTable
from outshine.selection.regret import pooled_regrets
from outshine.selection.text import by_dataset_table, choosing_sentences, regret_figures, regret_table
from regret_tables import THREE, rows

MODULES: tuple[str, ...] = (
    "selection/text.py",
    "report/figures/regret.py",
    "selection/rules.py",
    "cli/select.py",
)

Say = Callable[[], Iterable[str]]
COLUMN = "the name of a table, a column or a figure"
MEASURE = "it says how a measure is defined"


def told(frame: pd.DataFrame) -> Say:
    """All sentences, tables and figures of a table of regrets."""

    def said() -> list[str]:
        pooled = pooled_regrets(frame)
        found: list[str] = []
        for kind in frame["kind"].unique():
            found += choosing_sentences(frame, pooled, kind)
            for sheet in (regret_table(pooled, kind), by_dataset_table(pooled, kind)):
                found += _cells(sheet)
        for plate in regret_figures(pooled):
            found += [plate.title, plate.caption]
            found += [text.get_text().replace("\n", " ") for text in plate.figure.findobj(matplotlib.text.Text)]
        return found

    return said


def _cells(sheet: TextTable) -> list[str]:
    return [sheet.title, *sheet.columns, *(cell for row in sheet.rows for cell in row)]


def saturated() -> list[str]:
    """Sentences where every dataset is saturated."""
    frame = rows({"d": THREE["d"]}, saturated=("d",))
    return choosing_sentences(frame, pooled_regrets(rows(THREE)), "method")


def seeds(*pairs: tuple[float, float]) -> pd.DataFrame:
    """One dataset; regrets with 5 and with 20 trusted labels, a seed each. The rule always loses .02."""
    several = [
        rows({"d": {"agreement": 0.02, "random": 0.05, 5: worse, 20: better}}, seed=seed)
        for seed, (worse, better) in enumerate(pairs)
    ]
    return pd.concat(several)


three = told(rows(THREE))
lone = told(rows({"d": {"agreement": 0.02, "random": 0.04, 5: 0.05, 10: 0.0}}))
settled = told(seeds((0.04, 0.010), (0.05, 0.008), (0.045, 0.012)))
open_ = told(seeds((0.0, 0.05), (0.05, 0.0)))
poor = told(rows({"d": {"confidence": 0.05, "random": 0.04, 5: 0.06, 10: 0.01}}))
fewest = told(rows({"d": {"agreement": 0.02, "random": 0.04, 5: 0.01, 10: 0.0}}))
most = told(rows({"d": {"agreement": 0.02, "random": 0.04, 5: 0.05, 10: 0.03}}))
halved = told(rows(THREE).assign(nested_regret=math.nan))
checkpoints = told(rows({"d": {"weak_auroc": 0.02, "random": 0.04, 5: 0.05, 10: 0.0}}, "checkpoint"))


def selected() -> list[str]:
    """What the command prints."""
    text = io.StringIO()
    finished, store = study("bare")
    frame = rows(THREE)
    with (
        tempfile.TemporaryDirectory() as folder,
        patch("outshine.cli.select.study_at", return_value=finished.resolution.study),
        patch("outshine.cli.select.open_store", return_value=store),
        patch("outshine.selection.run.select_in", return_value=(frame, pooled_regrets(frame))),
        redirect_stdout(text),
    ):
        selecting.select(folder, None, Path(folder) / "out", 10, False)
    return [" ".join(text.getvalue().split())]


CLAIMS: tuple[Claim, ...] = (
    Claim(
        "The oracle is chosen on test itself: its AUROC, and with it every regret, is too high on average. One that is "
        "chosen on one half of test and measured on the other is not too high on average; against it the rule loses "
        "{}. On average the truth lies in between.",
        three,
        saturated,
    ),
    Claim(
        "Nothing can be said of choosing among {}: all datasets are saturated or too small.",
        saturated,
        three,
    ),
    Claim("an unknown amount (test is too small to be halved)", halved, three),
    Claim("the best label-free rule, {}", three, saturated),
    Claim("To choose among {}, {}, is by mean regret worth {}.", three, saturated),
    Claim("It is the best of {} rules on these same results, which flatters it.", three, lone),
    Claim("No label-free rule loses less on average than a random choice here.", poor, three),
    Claim("more than {} trusted labels, the most that could be tried", most, fewest),
    Claim("no more than {} trusted labels, the fewest that were tried", fewest, most),
    Claim("between {} and {} trusted labels", three, most),
    Claim("It loses {} AUROC to the oracle over {}; {}.", three, saturated),
    Claim("One dataset and one seed give no interval: run more of either.", lone, three),
    Claim("up to {} labels lose more than the rule", settled, open_),
    Claim("from {} on they lose less", settled, open_),
    Claim("By the 95 % intervals of paired differences over {}", three, lone),
    Claim("no budget is told apart from the rule: the number is not settled", open_, settled),
    Claim("regret to a nested oracle{}", three, None, COLUMN),
    Claim("Choosing among {}: test AUROC lost to the oracle, mean over unsaturated datasets", three, None, COLUMN),
    Claim("The same by dataset, mean regret over seeds", three, None, COLUMN),
    Claim("Band and bars: 95 % intervals over {}; those that leave a panel are cut.", three, lone),
    Claim(
        "Test ROC AUC of the best candidate on test (oracle) less that of the chosen one. Points: chosen by AUROC on n "
        "random rows of val with ground truth, mean over draws. Lines: label-free rules.",
        three,
        None,
        MEASURE,
    ),
    Claim("trusted labels (log scale)", three, None, COLUMN),
    Claim("regret: oracle − choice, test ROC AUC", three, None, COLUMN),
    Claim("val AUROC against the weak labels", checkpoints, lone),
    Claim("agreement with the weak labels", three, checkpoints),
    Claim("tables regret and regret_pooled, and figures: {}", selected, lone),
)
