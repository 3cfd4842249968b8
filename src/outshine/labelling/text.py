"""A labelling in sentences: what is known, what is not, and what would settle it."""

from __future__ import annotations

import math

from outshine.labelling.annotation_sample import AGREE, ALL, DISAGREE
from outshine.labelling.evidence import FEWEST_GROUPS, Evidence
from outshine.labelling.gains import Needed, needed_accuracy
from outshine.labelling.results import AgreementSummary, LabelResults
from outshine.report.text import decimal_text as digits
from outshine.report.text import signed_text as signed
from outshine.stats.intervals import Interval

FEW = 20  # rows of the file below which hardly any way of picking them can be seen
LEARNED = 0.55  # AUC against unseen cheap labels below which the student has found next to nothing

_VERDICTS = {
    "better": "The student is better than the cheap labels",
    "worse": "The student is worse than the cheap labels",
    "equal": "Student and cheap labels are right equally often",
    "open": "Not settled: whether the student is better than the cheap labels is open",
}
_SORTS = {"file": "the file", "new": "new rows like the trusted ones"}


def sentences(found: LabelResults) -> list[str]:
    """The whole result in sentences, in the order in which they should be read."""
    told = [line for one in found.evidence for line in evidence_sentences(one)]
    if not found.evidence:
        told = unknown_sentences(found.signs, found.hard)
    told += judging_sentences(found)
    return [*told, *sign_sentences(found.signs)]


def evidence_sentences(one: Evidence) -> list[str]:
    """Verdict with its interval, the other measure, the levels, what would settle it, and what to beware of."""
    told = [_headline(one)]
    if one.picked:
        return [*told, *(f"Beware: {note}." for note in one.notes)]
    if one.num_judged and one.accuracy_gain is not None:
        told.append(
            f"Student and cheap labels disagree on {one.share:.1%} of {'all' if one.of == 'file' else 'these'} rows; "
            f"of the {one.num_judged} with a true label the student is right on {one.num_right}."
        )
    if one.few_groups:
        told.append(
            "The rows that decide come from so few groups, or so unequal ones, that they tell as much as "
            f"{one.groups:.1f} groups of equal size: fewer than {FEWEST_GROUPS} give no verdict, since rows of one "
            "group are alike."
        )
    told += _supposed(one)
    told += _levels(one)
    told += [f"Beware: {note}." for note in one.notes]
    if one.primary == "accuracy" and one.auroc_gain is not None and one.auroc_gain.value > 0:
        told.append(
            "The AUC of 0/1 labels has one threshold only: part of the student's higher AUC may come from its having "
            "degrees, so that accuracy decides."
        )
    if one.verdict == "open":
        told += _settling(one)
    return told


def _headline(one: Evidence) -> str:
    """The verdict, or why there is none."""
    unit, where, gain = _unit(one), _SORTS[one.of], one.gain
    if one.picked:
        return (
            f"No verdict on {where}: these trusted rows were not drawn at random, and an interval from them would be "
            f"wrong. Why: {one.picked}."
        )
    if gain is None:
        return f"On {where} the gain in {unit} cannot be estimated."
    if math.isnan(gain.value):
        return (
            f"Not settled: on none of the {one.num_rows} trusted rows do student and cheap labels disagree, and only "
            f"such rows tell whether the student is better, on {where}."
        )
    if one.verdict == "equal":
        return f"{_VERDICTS['equal']}, on {where}: the gain in {unit} is 0 for these students."
    if gain.low == gain.high:
        return (
            f"{_VERDICTS[one.verdict]}, on {where}: the gain in {unit} is {signed(gain.value)} for these students, "
            f"since all {one.num_judged} disagreements were judged."
        )
    return (
        f"{_VERDICTS[one.verdict]}, on {where}: gain in {unit} {signed(gain.value)} "
        f"[{signed(gain.low)}, {signed(gain.high)}] (95 %), from {_basis(one)}."
    )


def _unit(one: Evidence) -> str:
    return "accuracy" if one.primary == "accuracy" else "AUC"


def _basis(one: Evidence) -> str:
    """From which rows the interval is."""
    if one.by == "draw":
        rows = f"{one.num_judged} disagreements" if one.primary == "accuracy" else f"{one.num_rows} rows"
        return f"{rows} of to_judge.csv, drawn at random"
    if one.primary == "accuracy" and one.of == "file":
        rows = f"{one.num_judged} disagreements among {one.num_rows} trusted rows"
    else:
        rows = f"{one.num_rows} trusted rows"
    return f"{rows} of {one.num_groups} groups" if one.by == "groups" else rows


def _supposed(one: Evidence) -> list[str]:
    """What the interval takes for granted."""
    if one.gain is None or one.verdict == "equal":
        return []
    told = []
    if one.by == "draw":
        if one.num_empty:
            told.append(
                f"{one.num_empty} rows of the draw were left empty: the limits count each for and against the student."
            )
        return told
    unit = "groups" if one.by == "groups" else "rows"
    if one.of == "file":
        told.append(
            f"The interval supposes that these {unit}, or the disagreements among them, were drawn at random. Nothing "
            "that outshine sees speaks against it; it does not see everything."
        )
        if one.num_rows < FEW:
            told.append(f"Of {one.num_rows} rows it can hardly be seen whether they were picked.")
    else:
        told.append(
            f"The interval supposes that the {unit} to come are like these, drawn at random from the same source."
        )
    return told


def unknown_sentences(signs: AgreementSummary, hard: bool) -> list[str]:
    """Without trusted rows: what cannot be known, and what would have to be done to know it."""
    told = [
        "Whether the student is better than the cheap labels cannot be known without true labels. Agreement with the "
        "cheap labels is not accuracy: it tells how alike the two are, and not which is right where they differ."
    ]
    if not signs.num_disagreements and hard:
        return [*told, "The student agrees with every cheap label: as classes the two are the same."]
    if hard:
        needed = needed_accuracy(signs.disagreement, num_all=signs.num_disagreements)
        options = "; ".join(_need(one, 0, 0) for one in needed)
        told.append(f"Enough true labels to find out, with a chance of 80 %: {options}.")
    return told


def judging_sentences(found: LabelResults) -> list[str]:
    """Which file is for finding errors and which for the verdict, and how that is filled in."""
    listed = found.to_judge
    if not found.wants_judging:
        return []
    names = {DISAGREE: "disagreements", AGREE: "agreements", ALL: "rows"}
    parts = [
        f"{'all' if num == num_all else f'{num:,} of the'} {num_all:,} {names[name]}"
        for name, (num, num_all) in listed.sizes.items()
        if num
    ]
    known = len(listed.rows) - listed.num_open
    filled = f"; {known:,} of them are filled in already" if known else ""
    return [
        "Two files: suspects.csv is for finding errors, and gives no verdict when it is handed back, since its rows "
        f"were picked. to_judge.csv is for the verdict: {' and '.join(parts)}, drawn at random{filled}. Write "
        f"{found.spelling[0]} or {found.spelling[1]} into its column '{found.truth_column}', from the top and leaving "
        "none out, and give the file with --trusted."
    ]


def sign_sentences(signs: AgreementSummary) -> list[str]:
    """What can be seen without any true label."""
    told = [
        f"Without true labels: of {signs.num_labelled:,} labelled rows the student agrees with "
        f"{1 - signs.disagreement:.1%} of labels that it did not see; AUC against these {digits(signs.label_auroc)} "
        f"(by fold {digits(signs.fold_aurocs[0])} to {digits(signs.fold_aurocs[1])})."
    ]
    if signs.label_auroc < LEARNED:
        told.append(
            "That is next to chance: nothing shows that the student has found anything in the texts that goes with the "
            "labels, and nothing speaks for its opinion of them."
        )
    if signs.num_conflicts:
        told.append(
            f"{signs.num_conflicts} labels contradict those of rows that are nearly the same: at least so many are "
            "wrong, unless what little differs decides, or the text does not."
        )
    if signs.one_sided:
        told.append("All labels, or all predictions, lie on one side of one half: read ranks and AUCs, not classes.")
    if signs.label_positive in (0, 1):
        told.append("No label is marked as doubted, since that goes by classes: see the ranks.")
    if signs.num_suspects:
        told.append(
            f"{signs.num_suspects:,} labels are doubted (confident learning). Doubted is not wrong: hard rows and the "
            "student's own mistakes may be among them."
        )
    return told


def interval(value: Interval) -> str:
    """`.842 [.820, .863]`."""
    return f"{digits(value.value)} [{digits(value.low)}, {digits(value.high)}]"


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


def _settling(one: Evidence) -> list[str]:
    """How many trusted rows more, for the gain seen and for others that are not within reach of those there are."""
    there = one.num_judged if one.primary == "accuracy" else one.num_rows
    needed = [each for each in one.needed if (each.judged or each.rows) > there]
    if not one.needed:
        return [
            "Trusted rows of both classes, drawn at random from all rows, are needed; how many cannot be told from "
            f"these {one.num_rows}."
        ]
    if not needed:
        least = min(abs(each.gain) for each in one.needed)
        return [
            f"So many rows find a gain of {signed(least)}, or {signed(-least)}, with a chance of 80 %: that they did "
            "not speaks for a smaller one, or for none."
        ]
    if one.primary == "accuracy":
        options = "; ".join(_need(each, one.num_rows, one.num_judged, one.by) for each in needed)
    else:
        options = "; ".join(
            f"for a gain of {signed(each.gain)}{', as seen' if each.seen else ''}: "
            f"{_more(each.rows, one.num_rows)} random rows{_of_groups(each)}"
            for each in needed
        )
    told = [
        f"What would settle it (with a chance of 80 %): {options}. Decide on a number first: a second look at more "
        "rows raises the chance of a wrong verdict from 5 % to about 8 %."
    ]
    if one.by == "groups" and one.of == "file":
        told.append(
            "Of the file's own rows fewer are enough when they are drawn one by one across all groups, as those of "
            "to_judge.csv are."
        )
    return told


def _need(one: Needed, num_rows: int, num_judged: int, by: str = "rows") -> str:
    """`if it is right on 67 % of disagreements (gain +.061): 69 disagreements, or 380 random rows`."""
    right = f"{one.right:.0%}" if one.right is not None else ""
    seen = ", as seen" if one.seen else ""
    told = (
        f"if it is right on {right} of disagreements{seen} (gain {signed(one.gain)}): "
        f"{_more(one.judged or 0, num_judged)} disagreements"
    )
    return told if by == "draw" else f"{told}, or {_more(one.rows, num_rows)} random rows{_of_groups(one)}"


def _of_groups(one: Needed) -> str:
    return "" if one.groups is None else f" (about {one.groups:,} groups in all)"


def _more(needed: int, there: int) -> str:
    """`340 more`, or `340` where there are none yet."""
    return f"{max(needed - there, 0):,} more" if there else f"{needed:,}"
