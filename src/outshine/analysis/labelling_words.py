"""A labelling in plain sentences: first what is known, then what is not, then what would settle it."""

from __future__ import annotations

import math
from collections.abc import Sequence

from outshine.analysis.evidence import Evidence, Needed, needed_accuracy
from outshine.analysis.labelling import Labelling, Signs
from outshine.metrics.intervals import Interval

FEW = 20  # trusted rows, or judged disagreements, below which an estimate is a hint
LEARNED = 0.55  # AUC against unseen cheap labels below which the student has found next to nothing

_VERDICTS = {
    "better": "The student is better than the cheap labels",
    "worse": "The student is worse than the cheap labels: keep those",
    "open": "Not settled: whether the student is better than the cheap labels is open",
}
_SORTS = {"file": "the file", "new": "new rows like the trusted ones"}


def sentences(found: Labelling) -> list[str]:
    """The whole result in sentences, in the order in which they should be read."""
    told = [line for one in found.evidence for line in evidence_sentences(one)]
    if not found.evidence:
        told = unknown_sentences(found.signs, found.hard)
    return [*told, *sign_sentences(found.signs)]


def evidence_sentences(one: Evidence) -> list[str]:
    """Verdict with its interval, the other measure, the levels, what would settle it, and what to beware of."""
    unit = "accuracy" if one.primary == "accuracy" else "AUC"
    gain = one.gain
    told = []
    if gain is None:
        told.append(f"On {_SORTS[one.of]} the gain in {unit} cannot be estimated.")
    else:
        told.append(
            f"{_VERDICTS[one.verdict]}, on {_SORTS[one.of]}: gain in {unit} {signed(gain.value)} "
            f"[{signed(gain.low)}, {signed(gain.high)}] (95 %), from {one.num_rows} trusted rows."
        )
    if one.num_judged and one.accuracy_gain is not None:
        told.append(
            f"Student and cheap labels disagree on {one.share:.1%} of {'all' if one.of == 'file' else 'these'} rows; "
            f"of the {one.num_judged} with a true label the student is right on {one.num_right}."
        )
    if one.num_rows < FEW:
        told.append(f"{one.num_rows} trusted rows are few: take this for a hint.")
    told += _levels(one)
    told += [f"Beware: {note}." for note in one.notes]
    if one.primary == "accuracy" and one.label_auroc is not None:
        told.append(
            "The AUC of 0/1 labels has one threshold only: part of the student's higher AUC may come from its having "
            "degrees, so that accuracy decides."
        )
    if one.verdict == "open":
        told += _settling(one.needed, one.num_rows, one.num_judged, unit)
    return told


def unknown_sentences(signs: Signs, hard: bool) -> list[str]:
    """Without trusted rows: what cannot be known, and what would have to be done to know it."""
    told = [
        "Whether the student is better than the cheap labels cannot be known without true labels. Agreement with the "
        "cheap labels is not accuracy: it tells how alike the two are, and not which is right where they differ."
    ]
    if not signs.num_disagreements:
        return [*told, "The student agrees with every cheap label: it changes nothing."]
    if hard:
        needed = needed_accuracy(signs.disagreement)
        options = "; ".join(_need(one, 0, 0, signs.num_disagreements) for one in needed)
        told.append(
            "To find out, label rows by hand, drawn at random from all or from the disagreements alone, and give them "
            f"with --trusted. Enough, with a chance of 80 %: {options}."
        )
    else:
        told.append("To find out, label about 100 rows drawn at random by hand, and give them with --trusted.")
    return told


def sign_sentences(signs: Signs) -> list[str]:
    """What can be seen without any true label."""
    told = [
        f"Without true labels: of {signs.num_labelled:,} labelled rows the student agrees with "
        f"{1 - signs.disagreement:.1%} of labels that it did not see; AUC against these {digits(signs.label_auroc)} "
        f"(by fold {digits(signs.fold_aurocs[0])} to {digits(signs.fold_aurocs[1])})."
    ]
    if signs.label_auroc < LEARNED:
        told.append(
            "That is next to chance: the student has found nothing in the texts that goes with the labels. Its opinion "
            "is worth nothing here."
        )
    if signs.num_conflicts:
        told.append(
            f"{signs.num_conflicts} labels contradict those of rows that are nearly the same: so many are wrong at "
            "least, or the text does not decide."
        )
    if signs.one_sided:
        told.append(
            "All labels, or all predictions, lie on one side of one half: read ranks and AUCs, not classes, and mind "
            "that no label is marked as doubted by its class."
        )
    told.append(
        f"{signs.num_suspects:,} labels are doubted (confident learning). Doubted is not wrong: hard rows and the "
        "student's own mistakes are among them."
    )
    return told


def interval(value: Interval) -> str:
    """`.842 [.820, .863]`."""
    return f"{digits(value.value)} [{digits(value.low)}, {digits(value.high)}]"


def digits(value: float) -> str:
    """Three decimals without the leading zero; unknown: a dash."""
    if math.isnan(value):
        return "–"
    text = f"{abs(value):.3f}"
    sign = "−" if value < 0 and float(text) else ""
    return sign + (text[1:] if text.startswith("0.") else text)


def signed(value: float) -> str:
    """The same with the sign of a gain."""
    return digits(value) if math.isnan(value) or value < 0 or not float(f"{value:.3f}") else f"+{digits(value)}"


def _levels(one: Evidence) -> list[str]:
    """Both measures of both, where they can be estimated."""
    told = []
    for name, student, labels, gain in (
        ("accuracy", one.student_accuracy, one.label_accuracy, one.accuracy_gain),
        ("AUC", one.student_auroc, one.label_auroc, one.auroc_gain),
    ):
        if student is not None and labels is not None and gain is not None:
            told.append(
                f"{name}: student {interval(student)}, cheap labels {interval(labels)}, gain {signed(gain.value)} "
                f"[{signed(gain.low)}, {signed(gain.high)}]."
            )
    return told


def _settling(needed: Sequence[Needed], num_rows: int, num_judged: int, unit: str) -> list[str]:
    """How many trusted rows more, for the gain seen and for others that are not within reach of those there are."""
    there = num_judged if unit == "accuracy" else num_rows
    needed = [one for one in needed if (one.judged or one.rows) > there]
    if not needed:
        return [f"More trusted rows, of both classes, are needed; how many cannot be told from these {num_rows}."]
    if unit == "accuracy":
        options = "; ".join(_need(one, num_rows, num_judged) for one in needed)
        advice = "; decide on a number first: to stop as soon as it looks settled settles nothing"
        return [f"What would settle it (with a chance of 80 %): {options}{advice}."]
    options = "; ".join(
        f"for a gain of {signed(one.gain)}{', as seen' if one.seen else ''}: {_more(one.rows, num_rows)} random rows"
        for one in needed
    )
    return [f"What would settle it (with a chance of 80 %): {options}."]


def _need(one: Needed, num_rows: int, num_judged: int, available: int | None = None) -> str:
    """`if it is right on 67 % of disagreements (gain +.061): 69 disagreements, or 380 random rows`."""
    right = f"{one.right:.0%}" if one.right is not None else ""
    seen = ", as seen" if one.seen else ""
    judged = one.judged or 0
    all_of_them = f" (there are {available:,}: judge them all)" if available is not None and judged > available else ""
    return (
        f"if it is right on {right} of disagreements{seen} (gain {signed(one.gain)}): "
        f"{_more(judged, num_judged)} disagreements{all_of_them}, or {_more(one.rows, num_rows)} random rows"
    )


def _more(needed: int, there: int) -> str:
    """`340 more`, or `340` where there are none yet."""
    return f"{max(needed - there, 0):,} more" if there else f"{needed:,}"
