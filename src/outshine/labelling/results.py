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
from outshine.labelling.gains import wilson
from outshine.labelling.ladder import Ladder, climb
from outshine.labelling.options import Scores
from outshine.labelling.rows import NUM_TO_JUDGE, LabelledTable, TrustedTable
from outshine.labelling.trusted_sample import Floats, Trusted
from outshine.labelling.votes import ABSTAINS
from outshine.stats.auroc import soft_auroc
from outshine.stats.intervals import Interval
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
    "best_p": "P(class 1) by the recommended way, fitted without the row's own true label; else the student's",
    "best_label": "the class to use: the true one where it is known, else by the recommended way, else the cheap label",
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


class Voter(NamedTuple):
    """One of several columns with cheap labels.

    Attributes:
        name: The column.
        num_votes: Rows that it labels.
        accuracy: Share of these that it has right, by trusted rows; None: there are none, or they were picked.
        agreement: Share of these on which it agrees with the label that was made of all columns.
    """

    name: str
    num_votes: int
    accuracy: Interval | None
    agreement: float


class StudentPredictions(NamedTuple):
    """What a student says of every row.

    Attributes:
        log_odds: Of P(class 1), by row id; each row by a student that saw the label neither of it nor of its group.
        kind: How it was trained: `probe`, `lora`, `head`, `full`; `given` where the user brought its probabilities.
        ids: Row ids of the embedding.
        embedding: What a model reads in each of these rows [n, k]; None where none has read them.
        notes: What a reader should know of how it was trained.
    """

    log_odds: Mapping[str, float]
    kind: str
    ids: Sequence[str] = ()
    embedding: Floats | None = None
    notes: Sequence[str] = ()


@dataclass(frozen=True)
class LabelResults:
    """What a student that was cross-fitted on a file's weak labels says about them.

    Attributes:
        rows: One row for each of the file, in its order; columns as in `COLUMNS` of this module: `label` and `p` are
            P(class 1), `log_odds` the student's log-odds, `suspicion` P(a class drawn from the label differs from one
            drawn from p).
        signs: What can be said without true labels.
        ladder: Seven ways to label the file beside each other, and the one that is recommended; None without enough
            trusted rows, or where these were picked.
        evidence: Student against labels on trusted rows, those of the file and new ones apart. Empty without trusted
            rows.
        hard: Whether all weak labels are 0 or 1.
        names: How the file writes class 0 and class 1; None where it has probabilities.
        notes: What a reader should know of how the file was read and the students were trained.
        voters: The columns that the cheap label was made of, each judged; empty where there is one.
        to_judge: Rows drawn at random, to be judged by a person for a verdict.
        student: How the student was trained: `probe`, `lora`, `head`, `full` or `given`.
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
    ladder: Ladder | None = None
    student: str = "probe"
    voters: tuple[Voter, ...] = ()

    @property
    def wants_judging(self) -> bool:
        """Whether rows are left to judge and it is open what labels the file best."""
        if self.ladder is not None and self.ladder.of == "file":
            settled = self.ladder.verdict != "open"
        else:
            settled = any(part.of == "file" and part.verdict != "open" for part in self.evidence)
        return self.to_judge.num_open > 0 and not settled

    @property
    def suspects(self) -> pd.DataFrame:
        """The rows whose labels are in doubt, the most suspicious first; columns as `rows` has them."""
        return self.rows[self.rows["suspect"]].sort_values("rank").reset_index(drop=True)


def read_label_results(
    plan: FoldPlan, student: StudentPredictions, store: Store, num_to_judge: int = NUM_TO_JUDGE
) -> LabelResults:
    """Bring the rows of a finished plan and a student's predictions of them together. Trains nothing."""
    table = plan.table()
    placed = plan.read(store)
    placed = placed.assign(log_odds=[student.log_odds[name] for name in placed["id"]])
    rows = _rows(table, placed)
    signs = _signs(rows, placed)
    trusted = plan.trusted(table)
    file = _file(rows, placed)
    evidence_parts = _evidence(table, rows, placed, trusted, signs, file) if trusted is not None else ()
    hard = table.labels.hard
    truths = {} if trusted is None else dict(zip(trusted.frame["row"] + 1, trusted.frame["truth"], strict=True))
    listed = file.assign(id=rows["id"], text=rows["text"], row=file.index + 1)
    ladder = None if trusted is None else _ladder(placed, student, trusted, evidence_parts)
    return LabelResults(
        rows.assign(**_best(rows, placed, ladder, truths))[list(COLUMNS)],
        signs,
        evidence_parts,
        hard,
        table.labels.names,
        (*plan.notes(store), *student.notes),
        rows_to_judge(listed, hard, truths, num_to_judge),
        plan.columns.trusted_label,
        table.spelling,
        ladder,
        student.kind,
        _voters(table, trusted, evidence_parts, plan.columns.votes),
    )


def out_of_fold(plan: FoldPlan, students: Sequence[Predictor], store: Store) -> dict[str, float]:
    """Return each row's log-odds by id, by the student of its fold. Every student must be finished."""
    placed = plan.read(store)
    log_odds = _out_of_fold(placed, [_test_log_odds(student, store) for student in students])
    return dict(zip(placed["id"], log_odds, strict=True))


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
    return rows


def _best(rows: pd.DataFrame, placed: pd.DataFrame, ladder: Ladder | None, truths: Mapping[int, bool]) -> dict:
    """Return the columns `best_p` and `best_label`; `truths`: by place in the file, from 1."""
    own = placed[placed["row"] >= 0]
    if ladder is None:
        p, source = rows["p"], rows["label"].where(rows["label"].notna(), rows["p"])
    else:
        p = pd.Series(expit(ladder.log_odds), index=own["row"].to_numpy()).reindex(rows.index)
        if ladder.recommended == "labels":
            p = rows["label"].where(rows["label"].notna(), p)
        source = p
    label = (source > 0.5).astype("Int64").where(source.notna())
    known = pd.Series(truths, dtype=object).rename(lambda row: row - 1)
    known = known[known.index >= 0]
    label.loc[known.index] = known.astype(int)
    return {"best_p": p, "best_label": label}


def _voters(
    table: LabelledTable, trusted: TrustedTable | None, parts: Sequence[Evidence], names: Sequence[str]
) -> tuple[Voter, ...]:
    """Judge each of several columns by the trusted rows of the file, where these were drawn from all rows alike."""
    if table.votes is None:
        return ()
    part = next((part for part in parts if part.of == "file" and not part.by_disagreement), None)
    used = np.array([] if part is None else part.used, dtype=int)
    truth = np.empty(0, dtype=bool)
    if trusted is not None and len(used):
        truth = trusted.frame.set_index("row")["truth"].loc[used].to_numpy(dtype=bool)
    combined = table.frame["p"].to_numpy() > 0.5
    voters = []
    for name, votes in zip(names, table.votes.T, strict=True):
        cast = votes != ABSTAINS
        judged = cast[used]
        right = int((votes[used][judged] == truth[judged]).sum())
        accuracy = wilson(right, int(judged.sum())) if judged.any() else None
        agreement = float(np.mean(votes[cast] == combined[cast])) if cast.any() else float("nan")
        voters.append(Voter(name, int(cast.sum()), accuracy, agreement))
    return tuple(voters)


def _ladder(
    placed: pd.DataFrame, student: StudentPredictions, trusted: TrustedTable, parts: Sequence[Evidence]
) -> Ladder | None:
    """Have the options judged by trusted rows of the file, or by new ones where there are none of the file."""
    place_of = pd.Series(np.arange(len(placed)), index=placed["row"].where(placed["row"] >= 0, -1))
    embedding = np.empty((len(placed), 0))
    if student.embedding is not None:
        at = pd.Series(np.arange(len(student.ids)), index=list(student.ids))
        embedding = student.embedding[at.loc[placed["id"]].to_numpy()]
    label = placed["p"].to_numpy(dtype=float)
    in_file = placed["row"].to_numpy() >= 0
    truth_of_row = trusted.frame[trusted.frame["row"] >= 0].set_index("row")["truth"]
    if parts and parts[0].of == "file" and (parts[0].picked or not truth_of_row.empty):
        part = parts[0]
        used = [] if part.picked else list(part.used)
        rows, truth = place_of.loc[used].to_numpy(dtype=int), truth_of_row.loc[used].to_numpy(dtype=bool)
    else:
        part = None
        usable = ~in_file & ~np.isnan(label) & placed["log_odds"].notna().to_numpy()
        new, rows = placed[usable], np.flatnonzero(usable)
        truth = trusted.frame.set_index("number")["truth"].loc[new["number"]].to_numpy(dtype=bool)
    found = Trusted(rows, truth, np.ones(len(rows)), placed["group"].to_numpy(dtype=str)[rows])
    return climb(
        Scores(placed["log_odds"].to_numpy(dtype=float), label, embedding),
        found,
        in_file=in_file,
        by_disagreement=part is not None and part.by_disagreement,
        of="new" if part is None else "file",
    )


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
