"""Sentences on models that did not learn, were barely trained, or had labels that hardly vary.

A student that learned nothing has a PGR too. These sentences say where that, or something like it, is so.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import pandas as pd

from outshine.engine.messages import decimals
from outshine.results.names import METHOD_COLUMNS, Contender
from outshine.w2s.method_identity import method_word
from outshine.w2s.stages.prepare import MOST_UNKNOWN

TRAINING_COLUMNS = (
    *METHOD_COLUMNS,
    *("seed", "role", "updates", "warmup", "chosen_update", "num_validations"),
    *("val_rows", "val_auroc", "val_low", "test_rows", "test_auroc", "test_low"),
    *("label_sd", "test_sd", "test_one_side", "unknown_tokens", "key"),
)

CHANCE = 0.5
LEAST_LABEL_SD = 0.05
"""Labels that spread less leave next to nothing to learn: the mean on every row has a loss that is higher by about
sd² / 2p(1 − p), .005 nats at p = ½."""
LEAST_TEST_SD = 0.02
"""Probabilities that spread less, of a model that is not shown to have learned, are nearly those of a fresh head."""
FEW_UPDATES = 20
"""AdamW's average of squared gradients looks back over 1 / (1 − .95) = 20 updates: with fewer it is still filling."""
ONE_SIDE = 0.98
"""The share of test rows on one side of one half from which classes say little; hardening labels takes the same."""

_DOUBTS = ("learned", "spread")

Row = dict[Any, Any]
Statement = tuple[str, tuple[str, ...]]
"""A sentence without its subject, `{}` in place of each value, and the values as text."""


class Subject(NamedTuple):
    """A model of a dataset. `contender` None: the supervisor or the ceiling, which all methods share."""

    dataset: str
    role: str
    contender: Contender | None


class TrainingNote(NamedTuple):
    """One sentence on how one model or several were trained.

    Attributes:
        what: What it is about: `texts` (a model cannot read them), `learned` (a model did not learn its labels, or is
            not shown to have), `choice` (its weights were chosen by chance), `labels`, `training`, `spread` or
            `classes`.
        subjects: The models: dataset, role and method of each.
        text: The sentence.
    """

    what: str
    subjects: tuple[Subject, ...]
    text: str


def training_notes(training: pd.DataFrame) -> list[TrainingNote]:
    """What is to be said of the models of a study; nothing where all is as it should be.

    `training`: columns TRAINING_COLUMNS, a model and seed a row, as `Results.training` has them. Seeds of a model share
    a sentence, and so do models of which the very same is to be said.
    """
    who = ["dataset", "data_seed", "role", "method", "variant", "round", "loss", "method_id"]
    merged: dict[tuple[str, str], list[tuple[Subject, str]]] = {}
    for _, own in training.groupby(who, sort=False, dropna=False):
        for what, subject, named, text in _of_model(own.to_dict("records")):
            merged.setdefault((what, text), []).append((subject, named))
    return [
        TrainingNote(what, tuple(subject for subject, _ in models), f"{_joined(models)}: {text}.")
        for (what, text), models in merged.items()
    ]


def _of_model(rows: list[Row]) -> Iterator[tuple[str, Subject, str, str]]:
    """What is said of one model over its seeds: what it is about, its subject, that in words, and the statement."""
    first = rows[0]
    subject = Subject(str(first["dataset"]), str(first["role"]), _contender(first))
    for what, check in _CHECKS:
        by_template: dict[str, list[tuple[Any, tuple[str, ...]]]] = {}
        for row in rows:
            if statement := check(row):
                by_template.setdefault(statement[0], []).append((row["seed"], statement[1]))
        for template, several in by_template.items():
            values = [", ".join(dict.fromkeys(column)) for column in zip(*(v for _, v in several), strict=True)]
            seeds = [str(seed) for seed, _ in several]
            named = _who(first) + (f", seed {', '.join(seeds)}" if len(seeds) < len(rows) else "")
            yield what, subject, named, template.format(*values)


def _joined(subjects: Sequence[tuple[Subject, str]]) -> str:
    """`the student (vanilla logconf), seed 0, on tiny-home and tiny-pet`; models one after the other."""
    datasets: dict[str, list[str]] = {}
    for subject, named in subjects:
        datasets.setdefault(named, []).append(subject.dataset)
    whose: dict[tuple[str, ...], list[str]] = {}
    for named, several in datasets.items():
        whose.setdefault(tuple(several), []).append(named)
    return "; ".join(f"{', '.join(names)} on {', '.join(several)}" for several, names in whose.items())


def doubtful(notes: Sequence[TrainingNote], student: Contender, roles: Sequence[str]) -> set[str]:
    """The datasets on which a model of these roles did not learn, or is not shown to have; of students `student`."""
    return {
        subject.dataset
        for note in notes
        if note.what in _DOUBTS
        for subject in note.subjects
        if subject.role in roles and subject.contender in (None, student)
    }


def doubt(notes: Sequence[TrainingNote], student: Contender, datasets: Sequence[str]) -> str:
    """On which of the datasets the models behind one student's number did not learn, in one sentence; empty: on none.

    `notes`: of `training_notes`. Supervisor, ceiling and this student count, other students do not.
    """
    doubted = doubtful(notes, student, ("weak", "student", "ceiling"))
    named = [name for name in datasets if name in doubted]
    if not named:
        return ""
    where = f"on {len(named)} of {len(datasets)} datasets ({', '.join(named)})" if len(datasets) > 1 else "here"
    return (
        f"Mind the training: {where} a model behind this answer is not shown to have learned from its labels, and "
        "what is measured may be that training failed rather than weak-to-strong generalization."
    )


def _contender(row: Row) -> Contender | None:
    """Whose model it is; None: supervisor or ceiling, which all methods share."""
    return Contender.of(row) if row["method"] else None


def _texts(row: Row) -> Statement | None:
    if not row["unknown_tokens"] >= MOST_UNKNOWN:
        return None
    return "{} of the tokens of its texts are unknown to its tokenizer: it cannot read them", (
        f"{row['unknown_tokens']:.0%}",
    )


def _learned(row: Row) -> Statement | None:
    """A model of which nothing shows that it learned: by its val AUROC, or by test, which has chosen nothing."""
    if row["val_low"] > CHANCE or row["test_low"] > CHANCE or pd.isna(row["val_auroc"]):
        return None
    return _NOT_LEARNED[row["role"]](row)


def _student_learned(row: Row) -> Statement:
    where, values = _where(row)
    if row["val_auroc"] <= CHANCE:
        return (
            f"did not learn its labels, as far as these rows can tell (AUROC against them {where}): its PGR says what "
            "happens when training fails, nothing about weak-to-strong generalization"
        ), values
    return (
        f"not shown to have learned its labels (AUROC against them {where}, not shown to be above .5): its PGR may "
        "say no more than what happens when training fails"
    ), values


def _weak_learned(row: Row) -> Statement:
    where, values = _where(row)
    return (
        f"not shown to have learned its task (AUROC {where}, not shown to be above .5): its labels may say nothing "
        "about the truth, and PGR then compares with chance"
    ), values


def _ceiling_learned(row: Row) -> Statement:
    where, values = _where(row)
    return (
        f"not shown to have learned from ground truth (AUROC {where}, not shown to be above .5): PGR has nothing "
        "to measure the student against"
    ), values


_NOT_LEARNED = {"student": _student_learned, "weak": _weak_learned, "ceiling": _ceiling_learned}


def _where(row: Row) -> Statement:
    """The AUROCs on val and, where they are known, on test."""
    val = (decimals(row["val_auroc"]), f"{int(row['val_rows']):,}")
    if pd.isna(row["test_auroc"]):
        return "{} on {} rows of val", val
    return "{} on {} rows of val, {} on {} of test", (*val, decimals(row["test_auroc"]), f"{int(row['test_rows']):,}")


def _choice(row: Row) -> Statement | None:
    """Weights that validation chose although it was no better than chance, of a model that did learn."""
    if not row["val_auroc"] <= CHANCE or not row["test_low"] > CHANCE or row["num_validations"] < 2:
        return None
    return (
        "the weights kept were chosen by an AUROC that is not above .5 ({} on {} rows of val): by chance",
        (decimals(row["val_auroc"]), f"{int(row['val_rows']):,}"),
    )


def _labels(row: Row) -> Statement | None:
    if not row["label_sd"] < LEAST_LABEL_SD:
        return None
    return (
        "the labels that it was trained on hardly vary (standard deviation {}): predicting their mean on every row has "
        "nearly the same loss",
        (decimals(row["label_sd"]),),
    )


def _training(row: Row) -> Statement | None:
    updates, chosen = int(row["updates"]), int(row["chosen_update"])
    if updates < FEW_UPDATES:
        return "barely trained, {} updates in all", (str(updates),)
    if chosen <= row["warmup"]:
        return (
            "barely trained, for the weights kept are those after {} of {} updates, before the learning rate had "
            "passed its warm-up",
            (str(chosen), str(updates)),
        )
    return None


def _spread(row: Row) -> Statement | None:
    if not row["test_sd"] < LEAST_TEST_SD or row["val_low"] > CHANCE or row["test_low"] > CHANCE:
        return (
            None  # close to one half and yet in the right order: a small head on small activations learned all the same
        )
    return (
        "its probabilities hardly vary over the test rows (standard deviation {}), as those of a model that was not "
        "trained",
        (decimals(row["test_sd"]),),
    )


def _classes(row: Row) -> Statement | None:
    if not row["test_one_side"] >= ONE_SIDE:
        return None
    return (
        "{} of the test rows are given one and the same class: its AUROC is about ranks, and what counts "
        "classes (accuracy, repeated errors, differing labels) says little",
        (f"{row['test_one_side']:.0%}",),
    )


_CHECKS = (
    ("texts", _texts),
    ("learned", _learned),
    ("choice", _choice),
    ("labels", _labels),
    ("training", _training),
    ("spread", _spread),
    ("classes", _classes),
)


def _who(row: Row) -> str:
    if row["role"] == "ceiling":
        return "the strong ceiling"
    if row["role"] == "weak" and not row["method"]:
        return "the weak supervisor"
    number = f"round {row['round']}" if row["round"] else ""
    method = method_word(str(row["method"]), str(row["variant"]))
    name = " ".join(str(part) for part in (method, row["loss"], row["variant"], number) if part)
    return f"the student {name}" if row["role"] == "student" else f"a supervisor of {name}"
