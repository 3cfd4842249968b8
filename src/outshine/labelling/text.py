"""A labelling in sentences: what is known, what is not, and what would settle it."""

from __future__ import annotations

import math
from collections.abc import Sequence

from outshine.engine.messages import counted
from outshine.labelling.annotation_sample import AGREE, ALL, DISAGREE
from outshine.labelling.evidence import FEWEST_GROUPS, Evidence
from outshine.labelling.gains import RowsNeeded, needed_accuracy
from outshine.labelling.ladder_text import MOST_LISTED, ladder_sentences
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


def sentences(result: LabelResults) -> list[str]:
    """Say the whole result in sentences, in the order in which they should be read."""
    if result.ladder is not None:
        used = next(evidence for evidence in result.evidence if evidence.of == result.ladder.of)
        names = ("class 0", "class 1") if result.num_classes == 2 else result.spelling
        lines = [
            *ladder_sentences(result.ladder, names),
            *_supposed(used),
            *(f"Beware: {note}." for note in used.notes),
        ]
    else:
        lines = [line for evidence in result.evidence for line in evidence_sentences(evidence)]
    if not result.evidence:
        lines = unknown_sentences(result.signs, result.hard and result.num_classes == 2)
    lines += judging_sentences(result)
    if result.hard:
        lines.append(
            "The cheap labels are classes. Where their source has scores (a probability, a count of words, votes), "
            "give these in their place: they say which rows are doubtful. With the scores of a word list, not its "
            "classes, 60 trusted rows made labels of which 74% were right in place of 71% (docs/label.md)."
        )
    return [*lines, *sign_sentences(result.signs)]


def voter_rows(result: LabelResults) -> list[tuple[str, str, str, str]]:
    """Return the table of the columns that the cheap label was made of."""
    return [
        (
            voter.name,
            f"{voter.num_votes:,}",
            "–" if voter.accuracy is None else interval(voter.accuracy),
            "–" if math.isnan(voter.agreement) else f"{voter.agreement:.0%}",
        )
        for voter in result.voters
    ]


def against_the_probe(result: LabelResults, probe: LabelResults) -> str:
    """Say which ranks rows better by cheap labels that it did not see, a fine-tuned student or the probe before it."""
    student, before = result.signs.label_auroc, probe.signs.label_auroc
    advice = "" if student > before else ": the probe's labels are the better guess (--student probe)"
    return (
        f"AUC against cheap labels that they did not see: {digits(student)} with the fine-tuned student, "
        f"{digits(before)} with the probe{advice}."
    )


def evidence_sentences(evidence: Evidence) -> list[str]:
    """Give the verdict with its interval, the other measure, the levels, what would settle it, and the caveats."""
    lines = [_headline(evidence)]
    if evidence.picked:
        return [*lines, *(f"Beware: {note}." for note in evidence.notes)]
    if evidence.num_judged and evidence.accuracy_gain is not None:
        lines.append(
            f"Student and cheap labels disagree on {evidence.share:.1%} of "
            f"{'all' if evidence.of == 'file' else 'these'} rows; of the {evidence.num_judged} with a "
            f"true label the student is right on {evidence.num_right}{_both_wrong(evidence)}."
        )
    if evidence.few_groups:
        lines.append(
            "The rows that decide come from so few groups, or so unequal ones, that they tell as much as "
            f"{evidence.groups:.1f} groups of equal size: fewer than {FEWEST_GROUPS} give no verdict, since rows of "
            "one group are alike."
        )
    lines += _supposed(evidence)
    lines += _levels(evidence)
    lines += [f"Beware: {note}." for note in evidence.notes]
    if evidence.primary == "accuracy" and evidence.auroc_gain is not None and evidence.auroc_gain.value > 0:
        lines.append(
            "The AUC of 0/1 labels has one threshold only: part of the student's higher AUC may come from its having "
            "degrees, so that accuracy decides."
        )
    if evidence.verdict == "open":
        lines += _settling(evidence)
    return lines


def _headline(evidence: Evidence) -> str:
    """State the verdict, or why there is none."""
    unit, where, gain = _unit(evidence), _SORTS[evidence.of], evidence.gain
    if evidence.picked:
        return (
            f"No verdict on {where}: these trusted rows were not drawn at random, and an interval from them would be "
            f"wrong. Why: {evidence.picked}."
        )
    if gain is None:
        return f"On {where} the gain in {unit} cannot be estimated."
    if math.isnan(gain.value):
        return (
            f"Not settled: student and cheap labels disagree on none of {counted(evidence.num_rows, 'trusted row')}, "
            f"and only such rows tell whether the student is better, on {where}."
        )
    if evidence.verdict == "equal":
        return f"{_VERDICTS['equal']}, on {where}: the gain in {unit} is 0 for these students."
    if gain.low == gain.high:
        return (
            f"{_VERDICTS[evidence.verdict]}, on {where}: the gain in {unit} is {signed(gain.value)} for these "
            f"students, since all {evidence.num_judged} disagreements were judged."
        )
    return (
        f"{_VERDICTS[evidence.verdict]}, on {where}: gain in {unit} {signed(gain.value)} "
        f"[{signed(gain.low)}, {signed(gain.high)}] (95 %), from {_basis(evidence)}."
    )


def _unit(evidence: Evidence) -> str:
    return "accuracy" if evidence.primary == "accuracy" else "AUC"


def _basis(evidence: Evidence) -> str:
    """Say from which rows the interval is."""
    if evidence.by == "draw":
        rows = f"{evidence.num_judged} disagreements" if evidence.primary == "accuracy" else f"{evidence.num_rows} rows"
        return f"{rows} of to_judge.csv, drawn at random"
    if evidence.primary == "accuracy" and evidence.of == "file":
        rows = f"{evidence.num_judged} disagreements among {evidence.num_rows} trusted rows"
    else:
        rows = f"{evidence.num_rows} trusted rows"
    return f"{rows} of {evidence.num_groups} groups" if evidence.by == "groups" else rows


def _supposed(evidence: Evidence) -> list[str]:
    """Say what the interval takes for granted."""
    if evidence.gain is None or evidence.verdict == "equal":
        return []
    lines = []
    if evidence.by == "draw":
        if evidence.num_empty:
            lines.append(
                f"{evidence.num_empty} rows of the draw were left empty: the limits count each for and against "
                "the student."
            )
        return lines
    unit = "groups" if evidence.by == "groups" else "rows"
    if evidence.of == "file":
        supposed = f"The interval supposes that these {unit}, or the disagreements among them, were drawn at random."
        seen = (
            f"All {evidence.num_rows} are of one class, which speaks against it, unless nearly all of the file's are."
            if evidence.one_class
            else "Nothing that outshine sees speaks against it; it does not see everything."
        )
        lines.append(f"{supposed} {seen}")
        if evidence.num_rows < FEW:
            rows = counted(evidence.num_rows, "row")
            lines.append(f"Of {rows} it can hardly be seen whether picked ones are among them.")
    else:
        lines.append(
            f"The interval supposes that the {unit} to come are like these, drawn at random from the same source."
        )
    return lines


def unknown_sentences(signs: AgreementSummary, hard: bool) -> list[str]:
    """Say, without trusted rows, what cannot be known, and what would have to be done to know it."""
    lines = [
        "Whether the student is better than the cheap labels cannot be known without true labels. Agreement with the "
        "cheap labels is not accuracy: it tells how alike the two are, and not which is right where they differ."
    ]
    if not signs.num_disagreements and hard:
        return [*lines, "The student agrees with every cheap label: as classes the two are the same."]
    if hard:
        needed = needed_accuracy(signs.disagreement, num_all=signs.num_disagreements)
        options = "; ".join(_need(need, 0, 0) for need in needed)
        lines.append(f"Enough true labels to find out, with a chance of 80 %: {options}.")
    return lines


def judging_sentences(result: LabelResults) -> list[str]:
    """Say which file is for finding errors and which for the verdict, and how that is filled in."""
    listed = result.to_judge
    if not result.wants_judging:
        return []
    names = {DISAGREE: "disagreements", AGREE: "agreements", ALL: "rows"}
    parts = [
        f"{'all' if num == num_all else f'{num:,} of the'} {num_all:,} {names[name]}"
        for name, (num, num_all) in listed.sizes.items()
        if num
    ]
    known = len(listed.rows) - listed.num_open
    filled = f"; already filled in: {known:,}" if known else ""
    return [
        "Two files: suspects.csv is for finding errors, and gives no verdict when it is handed back, since its rows "
        f"were picked. to_judge.csv is for the verdict: {' and '.join(parts)}, drawn at random{filled}. Write "
        f"{_one_of(result.spelling)} into its column '{result.truth_column}', from the top and leaving none out, and "
        "give the file with --trusted."
    ]


def sign_sentences(signs: AgreementSummary) -> list[str]:
    """Say what can be seen without any true label."""
    lines = [
        f"Without true labels: of {signs.num_labelled:,} labelled rows the student agrees with "
        f"{1 - signs.disagreement:.1%} of labels that it did not see; AUC against these {digits(signs.label_auroc)} "
        f"(by fold {digits(signs.fold_aurocs[0])} to {digits(signs.fold_aurocs[1])})."
    ]
    if signs.label_auroc < LEARNED:
        lines.append(
            "That is next to chance: nothing shows that the student has found anything in the texts that goes with the "
            "labels, and nothing speaks for its opinion of them."
        )
    if signs.num_conflicts:
        lines.append(
            f"Labels that contradict those of rows which are nearly the same: {signs.num_conflicts}. At least so many "
            "are wrong, unless the little that differs decides the label, or the text does not decide it."
        )
    if signs.one_sided and len(signs.label_shares) > 2:
        lines.append("All labels, or all predictions, are likeliest of one class: read ranks and AUCs, not classes.")
    elif signs.one_sided:
        lines.append("All labels, or all predictions, lie on one side of one half: read ranks and AUCs, not classes.")
    if 1 in signs.label_shares:
        lines.append("No label is marked as doubted, since that goes by classes: see the ranks.")
    if signs.num_suspects:
        lines.append(
            f"{signs.num_suspects:,} labels are doubted (confident learning). Doubted is not wrong: hard rows and the "
            "student's own mistakes may be among them."
        )
    return lines


def _both_wrong(evidence: Evidence) -> str:
    """Say on how many the labels are right, where that does not follow: of several classes both may be wrong."""
    neither = evidence.num_judged - evidence.num_right - evidence.num_wrong
    return f", the cheap labels on {evidence.num_wrong}, and neither on {neither}" if neither else ""


def _one_of(names: Sequence[str]) -> str:
    """`a or b`, `a, b or c`; of many the first, and how many there are."""
    if len(names) > MOST_LISTED:
        return f"one of the {len(names)} classes ({', '.join(names[:3])} …)"
    return f"{', '.join(names[:-1])} or {names[-1]}"


def interval(value: Interval) -> str:
    """`.842 [.820, .863]`."""
    return f"{digits(value.value)} [{digits(value.low)}, {digits(value.high)}]"


def _levels(evidence: Evidence) -> list[str]:
    """Give both measures of student and cheap labels, where they can be estimated."""
    lines = []
    for name, student, labels, gain in (
        ("accuracy", evidence.student_accuracy, evidence.label_accuracy, evidence.accuracy_gain),
        ("AUC", evidence.student_auroc, evidence.label_auroc, evidence.auroc_gain),
    ):
        if student is not None and labels is not None and gain is not None:
            lines.append(
                f"{name}: student {interval(student)}, cheap labels {interval(labels)}, gain {signed(gain.value)} "
                f"[{signed(gain.low)}, {signed(gain.high)}]."
            )
    return lines


def _settling(evidence: Evidence) -> list[str]:
    """Say how many more trusted rows would settle it, for the gain seen and for others not yet within reach."""
    there = evidence.num_judged if evidence.primary == "accuracy" else evidence.num_rows
    needed = [need for need in evidence.needed if (need.judged or need.rows) > there]
    if not evidence.needed:
        return [
            "Trusted rows of both classes, drawn at random from all rows, are needed; how many cannot be told from "
            f"these {evidence.num_rows}."
        ]
    if not needed:
        least = min(abs(need.gain) for need in evidence.needed)
        return [
            f"So many rows find a gain of {signed(least)}, or {signed(-least)}, with a chance of 80 %: that they did "
            "not speaks for a smaller one, or for none."
        ]
    if evidence.primary == "accuracy":
        options = "; ".join(_need(need, evidence.num_rows, evidence.num_judged, evidence.by) for need in needed)
    else:
        options = "; ".join(
            f"for a gain of {signed(need.gain)}{', as seen' if need.seen else ''}: "
            f"{_more(need.rows, evidence.num_rows)} random rows{_of_groups(need)}"
            for need in needed
        )
    lines = [
        f"What would settle it (with a chance of 80 %): {options}. Decide on a number first: a second look at more "
        "rows raises the chance of a wrong verdict from 5 % to about 8 %."
    ]
    if evidence.by == "groups" and evidence.of == "file":
        lines.append(
            "Of the file's own rows fewer are enough when they are drawn one by one across all groups, as those of "
            "to_judge.csv are."
        )
    return lines


def _need(need: RowsNeeded, num_rows: int, num_judged: int, by: str = "rows") -> str:
    """Write `if it is right on 67 % of disagreements (gain +.061): 69 disagreements, or 380 random rows`.

    Of random rows those tell on which the two disagree: what is lacking of these is lacking of random rows in
    proportion, however many rows there are on which the two agree.
    """
    right = f"{need.right:.0%}" if need.right is not None else ""
    seen = ", as seen" if need.seen else ""
    judged = need.judged or 0
    text = (
        f"if it is right on {right} of disagreements{seen} (gain {signed(need.gain)}): "
        f"{_more(judged, num_judged)} disagreements"
    )
    rows = math.ceil(need.rows * max(judged - num_judged, 0) / judged) if judged else 0
    return text if by == "draw" else f"{text}, or {rows:,}{' more' if num_rows else ''} random rows{_of_groups(need)}"


def _of_groups(need: RowsNeeded) -> str:
    return "" if need.groups is None else f" (about {need.groups:,} groups in all)"


def _more(needed: int, there: int) -> str:
    """`340 more`, or `340` where there are none yet."""
    return f"{max(needed - there, 0):,} more" if there else f"{needed:,}"
