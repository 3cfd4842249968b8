"""Results of a labelling: the student's opinion of every row, labels in doubt, and evidence from trusted rows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import pandas as pd
from scipy.special import expit

from outshine.engine.store.store import Store
from outshine.labelling.annotation_sample import AnnotationSample, judging_order, rows_to_judge
from outshine.labelling.evidence import Evidence, evidence
from outshine.labelling.folds import EVERY, FoldPlan
from outshine.labelling.rows import NUM_TO_JUDGE, LabelledTable, TrustedTable
from outshine.stats.auroc import soft_auroc
from outshine.stats.label_quality import confident_joint, suspicion
from outshine.w2s.stages.predictor import Predictor

COLUMNS = {
    "row": "place in the file, from 1",
    "id": "the row's own id; missing where the file has none",
    "text": "what the model read",
    "label": "the cheap label as P(class 1); NaN: none",
    "fold": "which student predicted it, from 1; missing where there is no text",
    "p": "P(class 1) by the student that trained on neither this row's label nor one of its group",
    "log_odds": "the same as log-odds: rows that p rounds to 1 stay apart",
    "disagrees": "whether label and p lie on different sides of one half; missing without a label",
    "suspicion": "P(a class drawn from the label differs from one drawn from p)",
    "rank": "1: the highest suspicion; rows without a label have none",
    "suspect": "whether confident learning counts the label as doubted",
}
"""The columns of `Labelling.rows`."""


class AgreementSummary(NamedTuple):
    """What can be said without a true label: how alike student and labels are, never which of them is right.

    Attributes:
        num_rows: Rows of the file.
        num_labelled: Rows that have both a weak label and a prediction.
        num_disagreements: Labelled rows on which label and prediction lie on different sides of one half.
        label_auroc: How well the student orders rows by labels that it did not see; NaN where labels are of one class.
        fold_aurocs: The least and the greatest of it in a fold.
        num_suspects: Labels that the rule of confident learning doubts.
        num_conflicts: Rows whose label is the rarer one among rows that are nearly the same. At least so many labels
            are wrong, or the texts do not tell.
        label_positive: Share of labels above one half.
        student_positive: Share of predictions above one half.
    """

    num_rows: int
    num_labelled: int
    num_disagreements: int
    label_auroc: float
    fold_aurocs: tuple[float, float]
    num_suspects: int
    num_conflicts: int
    label_positive: float
    student_positive: float

    @property
    def disagreement(self) -> float:
        """Share of the labelled rows on which student and label are on different sides of one half."""
        return self.num_disagreements / self.num_labelled

    @property
    def one_sided(self) -> bool:
        """Whether all labels, or all predictions, lie on one side of one half, so that classes tell nothing."""
        return (
            min(self.label_positive, self.student_positive) == 0 or max(self.label_positive, self.student_positive) == 1
        )


@dataclass(frozen=True)
class LabelResults:
    """What a student that was cross-fitted on a file's weak labels says about them.

    Attributes:
        rows: One row for each of the file, in its order; columns as in `COLUMNS` of this module: `label` and `p` are
            P(class 1), `log_odds` the student's log-odds, `suspicion` P(a class drawn from the label differs from one
            drawn from p).
        signs: What can be said without true labels.
        evidence: Student against labels on trusted rows, those of the file and new ones apart. Empty without trusted
            rows.
        hard: Whether all weak labels are 0 or 1.
        names: How the file writes class 0 and class 1; None where it has probabilities.
        notes: What a reader should know of how the file was read and the students were trained.
        to_judge: Rows drawn at random, to be judged by a person for a verdict.
        truth_column: The column of `to_judge.csv` that true labels are written into.
        spelling: How class 0 and class 1 are to be written there.
    """

    rows: pd.DataFrame
    signs: AgreementSummary
    evidence: tuple[Evidence, ...]
    hard: bool
    names: tuple[str, str] | None
    notes: tuple[str, ...]
    to_judge: AnnotationSample
    truth_column: str = "label"
    spelling: tuple[str, str] = ("0", "1")

    @property
    def wants_judging(self) -> bool:
        """Whether rows are left to judge and it is open which is better on the file, student or labels."""
        settled = any(part.of == "file" and part.verdict != "open" for part in self.evidence)
        return self.to_judge.num_open > 0 and not settled

    @property
    def suspects(self) -> pd.DataFrame:
        """The rows whose labels are in doubt, the most suspicious first; columns as `rows` has them."""
        return self.rows[self.rows["suspect"]].sort_values("rank").reset_index(drop=True)


def read_label_results(
    plan: FoldPlan, students: Sequence[Predictor], notes: Sequence[str], store: Store, num_to_judge: int = NUM_TO_JUDGE
) -> LabelResults:
    """Bring the predictions of all folds together. Computes nothing; every student must be finished."""
    table = plan.table()
    placed = plan.read(store)
    placed = placed.assign(log_odds=_out_of_fold(placed, [_test_log_odds(student, store) for student in students]))
    rows = _rows(table, placed)
    signs = _signs(rows, placed)
    trusted = plan.trusted(table)
    file = _file(rows, placed)
    evidence_parts = _evidence(table, rows, placed, trusted, signs, file) if trusted is not None else ()
    hard = table.labels.hard
    truths = {} if trusted is None else dict(zip(trusted.frame["row"] + 1, trusted.frame["truth"], strict=True))
    listed = file.assign(id=rows["id"], text=rows["text"], row=file.index + 1)
    return LabelResults(
        rows,
        signs,
        evidence_parts,
        hard,
        table.labels.names,
        (*plan.notes(store), *notes),
        rows_to_judge(listed, hard, truths, num_to_judge),
        plan.columns.trusted_label,
        table.spelling,
    )


def _test_log_odds(student: Predictor, store: Store) -> Mapping[str, float]:
    predictions = student.predictions(store)
    test = predictions[predictions["split"] == "test"]
    return dict(zip(test["id"], test["log_odds"], strict=True))


def _out_of_fold(placed: pd.DataFrame, by_fold: Sequence[Mapping[str, float]]) -> list[float]:
    """Return each row's log-odds by the student of its fold; the mean of all students where none has seen its like."""
    return [
        float(np.mean([log_odds[name] for log_odds in by_fold])) if fold == EVERY else by_fold[fold][name]
        for name, fold in zip(placed["id"], placed["fold"], strict=True)
    ]


def _rows(table: LabelledTable, placed: pd.DataFrame) -> pd.DataFrame:
    """Return the table of `COLUMNS`."""
    own = placed[placed["row"] >= 0].set_index("row")
    rows = pd.DataFrame(
        {"row": np.arange(1, len(table.frame) + 1), "id": table.frame["id"], "text": table.frame["text"]}
    )
    rows["label"] = table.frame["p"].to_numpy()
    rows["fold"] = (own["fold"] + 1).reindex(rows.index).astype("Int64")
    rows["log_odds"] = own["log_odds"].reindex(rows.index)
    rows["p"] = expit(rows["log_odds"].to_numpy())
    both = rows["label"].notna() & rows["p"].notna()
    label, p = rows.loc[both, "label"].to_numpy(), rows.loc[both, "p"].to_numpy()
    rows["disagrees"] = (
        pd.Series((label > 0.5) != (p > 0.5), index=rows.index[both]).reindex(rows.index).astype("boolean")
    )
    rows["suspicion"] = pd.Series(suspicion(label, p), index=rows.index[both]).reindex(rows.index)
    order = rows.sort_values(["suspicion", "row"], ascending=[False, True]).index[: int(both.sum())]
    rank = pd.Series(np.arange(1, len(order) + 1), index=order)
    rows["rank"] = rank.reindex(rows.index).astype("Int64")
    doubted = pd.Series(False, index=rows.index)
    if 0 < (label > 0.5).mean() < 1:
        doubted[rows.index[both]] = confident_joint(label > 0.5, p).suspect
    rows["suspect"] = doubted
    return rows[list(COLUMNS)]


def _signs(rows: pd.DataFrame, placed: pd.DataFrame) -> AgreementSummary:
    known = rows[rows["label"].notna() & rows["p"].notna()]
    by_fold = [_label_auroc(part) for _, part in known.groupby("fold")]
    return AgreementSummary(
        num_rows=len(rows),
        num_labelled=len(known),
        num_disagreements=int(known["disagrees"].sum()),
        label_auroc=_label_auroc(known),
        fold_aurocs=(float(np.min(by_fold)), float(np.max(by_fold))),
        num_suspects=int(known["suspect"].sum()),
        num_conflicts=_num_conflicts(placed[placed["row"] >= 0]),
        label_positive=float((known["label"] > 0.5).mean()),
        student_positive=float((known["p"] > 0.5).mean()),
    )


def _label_auroc(rows: pd.DataFrame) -> float:
    label = rows["label"].to_numpy()
    if label.sum() == 0 or (1 - label).sum() == 0:
        return float("nan")
    return soft_auroc(label, rows["log_odds"].to_numpy())


def _num_conflicts(placed: pd.DataFrame) -> int:
    """Among rows that are nearly the same, those with the rarer class. Groups of the user's are no such rows."""
    known = placed[placed["p"].notna() & placed["given"].isna()]
    positive = (known["p"] > 0.5).groupby(known["group"]).agg(["sum", "count"])
    return int(np.minimum(positive["sum"], positive["count"] - positive["sum"]).sum())


def _file(rows: pd.DataFrame, placed: pd.DataFrame) -> pd.DataFrame:
    """Return what is known of each row that has a label and a prediction, by its place from 0; `order`: of judging."""
    own = placed[placed["row"] >= 0].set_index("row")
    known = rows[rows["label"].notna() & rows["p"].notna()]
    own = own.loc[known.index]
    return pd.DataFrame(
        {
            "apart": known["disagrees"].astype(bool),
            "order": judging_order(own["id"].tolist()),
            "suspicion": known["suspicion"],
            "log_odds": known["log_odds"],
            "label": known["label"],
            "fold": known["fold"].astype(int),
            "length": known["text"].str.len(),
            "group": own["group"],
        }
    )


def _evidence(
    table: LabelledTable,
    rows: pd.DataFrame,
    placed: pd.DataFrame,
    trusted: TrustedTable,
    signs: AgreementSummary,
    file: pd.DataFrame,
) -> tuple[Evidence, ...]:
    """Find the evidence from rows of the file, and from new ones, where there are any."""
    frame = trusted.frame
    own = frame[frame["row"] >= 0]
    group_of = placed[placed["row"] >= 0].set_index("row")["group"]
    places = own["row"].to_numpy()
    in_file = pd.DataFrame(
        {
            "row": places,
            "truth": own["truth"].to_numpy(),
            "label": rows["label"].to_numpy()[places],
            "log_odds": rows["log_odds"].to_numpy()[places],
            "group": group_of.reindex(places).to_numpy(),
        }
    )
    by_number = placed[placed["row"] < 0].set_index("number")
    fresh = trusted.new.assign(**{name: trusted.new["number"].map(by_number[name]) for name in ("log_odds", "group")})
    fresh = fresh.rename(columns={"p": "label"})[["truth", "label", "log_odds", "group"]]
    hard = table.labels.hard
    one_sided = signs.one_sided and not hard
    parts = []
    if len(in_file):
        population = (signs.num_labelled, signs.num_disagreements)
        parts.append(
            evidence(in_file, hard=hard, one_sided=one_sided, population=population, file=file, listed=trusted.listed)
        )
    if len(fresh):
        parts.append(evidence(fresh, hard=hard, one_sided=one_sided))
    return tuple(parts)
