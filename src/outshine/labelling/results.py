"""Results of a labelling: the student's opinion of every row, labels in doubt, and evidence from trusted rows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from scipy.special import expit

from outshine.data.task import Task
from outshine.engine.store.store import Store
from outshine.labelling.annotation_sample import AnnotationSample, judging_order, rows_to_judge
from outshine.labelling.evidence import Evidence, evidence
from outshine.labelling.folds import EVERY, FoldPlan
from outshine.labelling.gains import wilson
from outshine.labelling.ladder import Ladder, climb
from outshine.labelling.options import Scores
from outshine.labelling.rows import NUM_TO_JUDGE, LabelledTable, TrustedTable
from outshine.labelling.trusted_sample import Floats, Trusted, likeliest, predicted, unknown
from outshine.labelling.votes import ABSTAINS
from outshine.stats.auroc import Bools, soft_auroc
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
"""The columns of `LabelResults.rows` where there are two classes."""


def columns_of(task: Task) -> dict[str, str]:
    """Return the columns of `LabelResults.rows`: those of two classes are `COLUMNS`."""
    if task.outcome == "binary":
        return COLUMNS
    every = range(task.num_outputs)
    return {
        **{name: COLUMNS[name] for name in ("row", "id", "text")},
        "label": "the number of the cheap label's likeliest class; missing: none",
        "fold": COLUMNS["fold"],
        "p": "probability of the student's likeliest class, by the student that saw no label of the row or its group",
        "log_odds": "the same as log-odds",
        "student": "the number of that class",
        "disagrees": "whether label and student have different classes; missing without a label",
        **{name: COLUMNS[name] for name in ("suspicion", "rank", "suspect")},
        "best_p": "probability of `best_label` by the recommended way, fitted without the row's own true label; else "
        "by the student",
        **{f"best_p_{k}": f"P(class {k}) by the recommended way; else the student's" for k in every},
        "best_label": COLUMNS["best_label"],
    }


class AgreementSummary(NamedTuple):
    """What can be said without a true label: how alike student and labels are, never which of them is right.

    Attributes:
        num_rows: Rows of the file.
        num_labelled: Rows that have both a weak label and a prediction.
        num_disagreements: Labelled rows on which label and prediction lie on different sides of one half.
        label_auroc: How well the student orders rows by labels that it did not see, of several classes the mean of each
            against the rest; NaN where labels are of one class.
        fold_aurocs: The least and the greatest of it in a fold.
        num_suspects: Labels that the rule of confident learning doubts.
        num_conflicts: Rows whose label is the rarer one among rows that are nearly the same. At least so many labels
            are wrong, or the texts do not tell.
        label_shares: Share of labels that are likeliest of each class [K].
        student_shares: Share of predictions, likewise.
    """

    num_rows: int
    num_labelled: int
    num_disagreements: int
    label_auroc: float
    fold_aurocs: tuple[float, float]
    num_suspects: int
    num_conflicts: int
    label_shares: tuple[float, ...]
    student_shares: tuple[float, ...]

    @property
    def disagreement(self) -> float:
        """Share of the labelled rows on which student and label have different classes."""
        return self.num_disagreements / self.num_labelled

    @property
    def one_sided(self) -> bool:
        """Whether all labels, or all predictions, are likeliest of one class, so that classes tell nothing."""
        return 1 in (max(self.label_shares), max(self.student_shares))


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
        log_odds: Of P(class 1), or the log-probabilities of K classes [K], by row id; each row by a student that saw
            the label neither of it nor of its group.
        kind: How it was trained: `probe`, `lora`, `head`, `full`; `given` where the user brought its probabilities.
        ids: Row ids of the embedding.
        embedding: What a model reads in each of these rows [n, k]; None where none has read them.
        notes: What a reader should know of how it was trained.
    """

    log_odds: Mapping[str, Any]
    kind: str
    ids: Sequence[str] = ()
    embedding: Floats | None = None
    notes: Sequence[str] = ()


@dataclass(frozen=True)
class LabelResults:
    """What a student that was cross-fitted on a file's weak labels says about them.

    Attributes:
        rows: One row for each of the file, in its order; columns as `columns_of` of this module: of two classes
            `label` and `p` are P(class 1), `log_odds` the student's log-odds, `suspicion` P(a class drawn from the
            label differs from one drawn from p).
        signs: What can be said without true labels.
        ladder: Seven ways to label the file beside each other, and the one that is recommended; None without enough
            trusted rows, or where these were picked.
        evidence: Student against labels on trusted rows, those of the file and new ones apart. Empty without trusted
            rows.
        hard: Whether all weak labels are certain.
        names: How the file writes the classes; None where it has probabilities of class 1.
        notes: What a reader should know of how the file was read and the students were trained.
        voters: The columns that the cheap label was made of, each judged; empty where there is one.
        to_judge: Rows drawn at random, to be judged by a person for a verdict.
        student: How the student was trained: `probe`, `lora`, `head`, `full` or `given`.
        truth_column: The column of `to_judge.csv` that true labels are written into.
        spelling: How the classes are to be written there.
    """

    rows: pd.DataFrame
    signs: AgreementSummary
    evidence: tuple[Evidence, ...]
    hard: bool
    names: tuple[str, ...] | None
    notes: tuple[str, ...]
    to_judge: AnnotationSample
    truth_column: str = "label"
    spelling: tuple[str, ...] = ("0", "1")
    ladder: Ladder | None = None
    student: str = "probe"
    voters: tuple[Voter, ...] = ()

    @property
    def num_classes(self) -> int:
        """How many classes there are."""
        return len(self.spelling)

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
    task, table = plan.task, plan.table()
    placed = _Placed.of(plan.read(store), task, student.log_odds)
    rows = _rows(table, placed)
    signs = _signs(rows, placed)
    trusted = plan.trusted(table)
    file = _file(rows, placed)
    evidence_parts = _evidence(table, rows, placed, trusted, signs, file) if trusted is not None else ()
    hard = table.labels.hard
    truths = {} if trusted is None else dict(zip(trusted.frame["row"] + 1, trusted.frame["truth"], strict=True))
    listed = file.assign(id=rows["id"], text=rows["text"], row=file.index + 1)
    ladder = None if trusted is None else _ladder(placed, student, trusted, evidence_parts)
    by_disagreement = hard and task.outcome == "binary"  # of several classes a disagreement may find both wrong
    return LabelResults(
        rows.assign(**_best(rows, placed, ladder, truths))[list(columns_of(task))],
        signs,
        evidence_parts,
        hard,
        table.labels.names,
        (*plan.notes(store), *student.notes),
        rows_to_judge(listed, by_disagreement, truths, num_to_judge),
        plan.columns.trusted_label,
        table.spelling,
        ladder,
        student.kind,
        _voters(table, trusted, evidence_parts, plan.columns.votes),
    )


class _Placed(NamedTuple):
    """The rows of a plan with all that is known of them, in one order.

    Attributes:
        frame: As the plan has it.
        task: What the labels are.
        label: Cheap labels, P(class 1) [n] or of K classes [n, K]; NaN where there is none.
        log_odds: The student's log-odds [n], or log-probabilities [n, K].
    """

    frame: pd.DataFrame
    task: Task
    label: Floats
    log_odds: Floats

    @classmethod
    def of(cls, frame: pd.DataFrame, task: Task, log_odds: Mapping[str, Any]) -> _Placed:
        label = task.labels_in(frame).to_numpy(dtype=float)
        return cls(frame, task, label, np.array([log_odds[name] for name in frame["id"]], dtype=float))

    @property
    def in_file(self) -> Bools:
        """Which rows are of the file; the others are new trusted ones."""
        return self.frame["row"].to_numpy() >= 0

    def known(self) -> pd.DataFrame:
        """Return what student and label say of each row: label_class, student_class, and of two classes both scores."""
        label, log_odds = self.label, self.log_odds
        if log_odds.ndim > 1:
            label = np.where(unknown(label), np.nan, likeliest(label))
            log_odds = _surest(log_odds)
        return self.frame.assign(
            label=label,
            log_odds=log_odds,
            label_class=likeliest(self.label),
            student_class=predicted(self.log_odds),
        )


def _surest(log_p: Floats) -> Floats:
    """Return the log-odds of the likeliest class of each row [n], from log-probabilities [n, K]."""
    best = log_p.max(axis=1)
    return best - np.log(-np.expm1(np.minimum(best, -1e-15)))


def out_of_fold(plan: FoldPlan, students: Sequence[Predictor], store: Store) -> dict[str, Any]:
    """Return each row's log-odds, or log-probabilities, by id, by the student of its fold; all must be finished."""
    placed = plan.read(store)
    log_odds = _out_of_fold(placed, [_test_scores(student, plan.task, store) for student in students])
    return dict(zip(placed["id"], log_odds, strict=True))


def _test_scores(student: Predictor, task: Task, store: Store) -> Mapping[str, Any]:
    predictions = student.predictions(store)
    test = predictions[predictions["split"] == "test"]
    return dict(zip(test["id"], task.scores_in(test).to_numpy(dtype=float), strict=True))


def _out_of_fold(placed: pd.DataFrame, by_fold: Sequence[Mapping[str, Any]]) -> list[Any]:
    """Return each row's scores by the student of its fold; the mean of all students where none has seen its like."""
    return [
        np.mean([scores[name] for scores in by_fold], axis=0) if fold == EVERY else by_fold[fold][name]
        for name, fold in zip(placed["id"], placed["fold"], strict=True)
    ]


def _rows(table: LabelledTable, placed: _Placed) -> pd.DataFrame:
    """Return the table of `columns_of`, but for what is best."""
    rows = pd.DataFrame(
        {"row": np.arange(1, len(table.frame) + 1), "id": table.frame["id"], "text": table.frame["text"]}
    )
    own = placed.known()[placed.in_file].set_index("row")
    by_row = placed.log_odds[placed.in_file]
    several = by_row.ndim > 1
    label = table.labels.p
    rows["label"] = label if not several else pd.Series(likeliest(label)).where(~unknown(label)).astype("Int64")
    rows["fold"] = (own["fold"] + 1).reindex(rows.index).astype("Int64")
    rows["log_odds"] = own["log_odds"].reindex(rows.index)
    rows["p"] = expit(rows["log_odds"].to_numpy())
    rows["student"] = own["student_class"].reindex(rows.index).astype("Int64")
    both = rows.index[rows["label"].notna() & rows["p"].notna()]
    at = pd.Series(np.arange(len(own)), index=own.index).loc[both].to_numpy()
    p = np.exp(by_row[at]) if several else expit(by_row[at])
    given = label[both.to_numpy()]
    label_class = likeliest(given)
    rows["disagrees"] = pd.Series(label_class != likeliest(p), index=both).reindex(rows.index).astype("boolean")
    rows["suspicion"] = pd.Series(suspicion(given, p), index=both).reindex(rows.index)
    order = rows.sort_values(["suspicion", "row"], ascending=[False, True]).index[: len(both)]
    rank = pd.Series(np.arange(1, len(order) + 1), index=order)
    rows["rank"] = rank.reindex(rows.index).astype("Int64")
    doubted = pd.Series(False, index=rows.index)
    if len(np.unique(label_class)) > 1:
        doubted[both] = confident_joint(label_class, p).suspect
    rows["suspect"] = doubted
    return rows


def _best(rows: pd.DataFrame, placed: _Placed, ladder: Ladder | None, truths: Mapping[int, int]) -> dict[str, Any]:
    """Return the columns that say what is best; `truths`: by place in the file, from 1."""
    places = placed.frame["row"].to_numpy()[placed.in_file]
    log_odds = placed.log_odds[placed.in_file] if ladder is None else ladder.log_odds
    several = log_odds.ndim > 1
    p = np.exp(log_odds) if several else expit(log_odds)
    label = placed.label[placed.in_file]
    labelled = ~unknown(label)
    source = p.copy()
    if ladder is None or ladder.recommended == "labels":
        source[labelled] = label[labelled]
    if ladder is not None:
        p = source  # where the cheap labels are recommended, they are what is best
    best = pd.Series(likeliest(source), index=places).where(~unknown(source)).reindex(rows.index).astype("Int64")
    known = pd.Series(truths, dtype=object).rename(lambda row: row - 1)
    known = known[known.index >= 0]
    best.loc[known.index] = known.astype(int)
    if not several:
        return {"best_p": pd.Series(p, index=places).reindex(rows.index), "best_label": best}
    by_class = pd.DataFrame(p, index=places).reindex(rows.index)
    of_best = pd.Series(np.nan, index=rows.index)
    there = best.index[best.notna()]
    of_best[there] = by_class.loc[there].to_numpy()[np.arange(len(there)), best[there].to_numpy(dtype=int)]
    return {"best_p": of_best, "best_label": best, **{f"best_p_{k}": by_class[k] for k in by_class}}


def _voters(
    table: LabelledTable, trusted: TrustedTable | None, parts: Sequence[Evidence], names: Sequence[str]
) -> tuple[Voter, ...]:
    """Judge each of several columns by the trusted rows of the file, where these were drawn from all rows alike."""
    if table.votes is None:
        return ()
    part = next((part for part in parts if part.of == "file" and not part.by_disagreement), None)
    used = np.array([] if part is None else part.used, dtype=int)
    truth = np.empty(0, dtype=int)
    if trusted is not None and len(used):
        truth = trusted.frame.set_index("row")["truth"].loc[used].to_numpy(dtype=int)
    combined = likeliest(table.labels.p)
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
    placed: _Placed, student: StudentPredictions, trusted: TrustedTable, parts: Sequence[Evidence]
) -> Ladder | None:
    """Have the options judged by trusted rows of the file, or by new ones where there are none of the file."""
    frame, in_file = placed.frame, placed.in_file
    place_of = pd.Series(np.arange(len(frame)), index=frame["row"].where(in_file, -1))
    embedding = np.empty((len(frame), 0))
    if student.embedding is not None:
        at = pd.Series(np.arange(len(student.ids)), index=list(student.ids))
        embedding = student.embedding[at.loc[frame["id"]].to_numpy()]
    truth_of_row = trusted.frame[trusted.frame["row"] >= 0].set_index("row")["truth"]
    if parts and parts[0].of == "file" and (parts[0].picked or not truth_of_row.empty):
        part = parts[0]
        used = [] if part.picked else list(part.used)
        rows, truth = place_of.loc[used].to_numpy(dtype=int), truth_of_row.loc[used].to_numpy(dtype=int)
    else:
        part = None
        usable = ~in_file & ~unknown(placed.label) & ~unknown(placed.log_odds)
        new, rows = frame[usable], np.flatnonzero(usable)
        truth = trusted.frame.set_index("number")["truth"].loc[new["number"]].to_numpy(dtype=int)
    group = frame["group"].to_numpy(dtype=str)
    found = Trusted(rows, truth, np.ones(len(rows)), group[rows])
    silent = None
    if part is not None:
        where = place_of.loc[[row for row in truth_of_row.index if row in place_of.index]]
        where = where[unknown(placed.label)[where.to_numpy()]]
        silent = Trusted(
            where.to_numpy(), truth_of_row.loc[where.index].to_numpy(dtype=int), np.ones(len(where)), group[where]
        )
    return climb(
        Scores(placed.log_odds, placed.label, embedding),
        found,
        in_file=in_file,
        unlabelled=silent,
        by_disagreement=part is not None and part.by_disagreement,
        of="new" if part is None else "file",
    )


def _signs(rows: pd.DataFrame, placed: _Placed) -> AgreementSummary:
    known = rows[rows["label"].notna() & rows["p"].notna()]
    at = pd.Series(np.flatnonzero(placed.in_file), index=placed.frame["row"][placed.in_file])
    where = at.loc[known.index].to_numpy()
    label, log_odds = placed.label[where], placed.log_odds[where]
    folds = known["fold"].to_numpy()
    by_fold = [_label_auroc(label[folds == fold], log_odds[folds == fold]) for fold in np.unique(folds)]
    num_classes = 2 if label.ndim == 1 else label.shape[1]
    shares = [
        np.bincount(classes, minlength=num_classes) / len(known) for classes in (likeliest(label), predicted(log_odds))
    ]
    return AgreementSummary(
        num_rows=len(rows),
        num_labelled=len(known),
        num_disagreements=int(known["disagrees"].sum()),
        label_auroc=_label_auroc(label, log_odds),
        fold_aurocs=(float(np.min(by_fold)), float(np.max(by_fold))),
        num_suspects=int(known["suspect"].sum()),
        num_conflicts=_num_conflicts(placed),
        label_shares=tuple(shares[0].tolist()),
        student_shares=tuple(shares[1].tolist()),
    )


def _label_auroc(label: Floats, log_odds: Floats) -> float:
    """Return how well scores order rows by labels, of several classes the mean of each against the rest; or NaN."""
    if label.ndim > 1:
        by_class = [_label_auroc(*pair) for pair in zip(label.T, log_odds.T, strict=True)]
        return float(np.nanmean(by_class)) if not np.isnan(by_class).all() else float("nan")
    if label.sum() == 0 or (1 - label).sum() == 0:
        return float("nan")
    return soft_auroc(label, log_odds)


def _num_conflicts(placed: _Placed) -> int:
    """Among rows that are nearly the same, those with a rarer class. Groups of the user's are no such rows."""
    alike = placed.in_file & ~unknown(placed.label) & placed.frame["given"].isna().to_numpy()
    frame = placed.known()[alike]
    counts = frame.groupby(["group", "label_class"]).size().groupby("group")
    return int((counts.sum() - counts.max()).sum())


def _file(rows: pd.DataFrame, placed: _Placed) -> pd.DataFrame:
    """Return what is known of each row that has a label and a prediction, by its place from 0; `order`: of judging."""
    known = rows[rows["label"].notna() & rows["p"].notna()]
    own = placed.known()[placed.in_file].set_index("row").loc[known.index]
    return pd.DataFrame(
        {
            "apart": known["disagrees"].astype(bool),
            "order": judging_order(own["id"].tolist()),
            "suspicion": known["suspicion"],
            "log_odds": own["log_odds"],
            "label": own["label"],
            "label_class": own["label_class"],
            "fold": known["fold"].astype(int),
            "length": known["text"].str.len(),
            "group": own["group"],
        }
    )


def _evidence(
    table: LabelledTable,
    rows: pd.DataFrame,
    placed: _Placed,
    trusted: TrustedTable,
    signs: AgreementSummary,
    file: pd.DataFrame,
) -> tuple[Evidence, ...]:
    """Find the evidence from rows of the file, and from new ones, where there are any."""
    columns = ["label", "log_odds", "label_class", "student_class", "group"]
    known, frame = placed.known(), trusted.frame
    own = frame[frame["row"] >= 0]
    places = own["row"].to_numpy()
    of_file = known[placed.in_file].set_index("row")[columns].reindex(places).reset_index()
    in_file = of_file.assign(truth=own["truth"].to_numpy())
    of_new = known[~placed.in_file].set_index("number")[columns].loc[trusted.new["number"]]
    fresh = of_new.assign(truth=trusted.new["truth"].to_numpy())
    hard, several = table.labels.hard, placed.log_odds.ndim > 1
    one_sided = signs.one_sided and not hard and not several
    parts = []
    if len(in_file):
        population = (signs.num_labelled, signs.num_disagreements)
        parts.append(
            evidence(
                in_file,
                hard=hard,
                one_sided=one_sided,
                several=several,
                population=population,
                file=file,
                listed=trusted.listed,
            )
        )
    if len(fresh):
        parts.append(evidence(fresh, hard=hard, one_sided=one_sided, several=several))
    return tuple(parts)
