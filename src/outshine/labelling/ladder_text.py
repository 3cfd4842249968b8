"""The ladder in sentences: which labels to use, how sure that is, what the cheap labels are worth."""

from __future__ import annotations

from outshine.labelling.gains import RowsNeeded
from outshine.labelling.ladder import Confusion, Ladder, Worth
from outshine.labelling.options import BY_NAME
from outshine.report.text import decimal_text as digits
from outshine.report.text import signed_text as signed
from outshine.stats.intervals import Interval

_WHERE = {"file": "", "new": ", on rows like the new trusted ones"}


def ladder_sentences(ladder: Ladder) -> list[str]:
    """Say which labels to use, then why, what would settle what is open, and what the trusted rows tell besides."""
    lines = [_recommendation(ladder), *_reason(ladder), *_openness(ladder)]
    if ladder.worth is not None:
        lines.append(_worth(ladder.worth))
    share = ladder.class_share
    lines.append(
        f"Class 1 are {_percent(share.share)} of the file's rows, by labels and trusted rows together; the cheap "
        f"labels say {share.labels:.0%}."
    )
    lines.append(_confusion(ladder.confusion))
    if ladder.drawn_by_disagreement:
        lines.append(
            "Trusted rows were drawn by whether student and cheap label disagree: each counts for as many rows of the "
            "file as it stands for."
        )
    return lines


def _recommendation(ladder: Ladder) -> str:
    """Say which labels to use, in one sentence."""
    title, where = BY_NAME[ladder.recommended].title, _WHERE[ladder.of]
    labels = ladder.of_option("labels").accuracy.value
    if ladder.recommended == "labels":
        return (
            f"Keep the cheap labels as they are: about {_percent(ladder.of_option('labels').accuracy)} right{where}, "
            f"by {ladder.num_rows} trusted rows. No label is turned."
        )
    gain = ladder.gain
    return (
        f"Use {title}: about {ladder.accuracy.value:.0%} right against {labels:.0%} of the cheap labels as they "
        f"are{where}; gain {signed(gain.value)} [{signed(gain.low)}, {signed(gain.high)}] (95 %), from "
        f"{ladder.num_rows} trusted rows, none of which judged what it had taught or chosen."
    )


def _reason(ladder: Ladder) -> list[str]:
    """Say why this one, where it is not the one that is preferred."""
    if ladder.reason == "keep_labels":
        student = ladder.of_option("student_recalibrated")
        return [
            f"Less what a student of them, recalibrated, has right: {signed(-student.gain.value)} "
            f"[{signed(-student.gain.high)}, {signed(-student.gain.low)}]. Nothing that was tried is shown to beat "
            "them."
        ]
    if ladder.reason == "shown_better":
        return ["The trusted rows show it to be better than what is preferred otherwise, all comparisons counted."]
    return []


def _openness(ladder: Ladder) -> list[str]:
    """Say what is not settled, and how many trusted rows would settle it."""
    if ladder.verdict in ("better", "equal"):
        return []
    if ladder.few_groups:
        return ["The trusted rows are of too few groups for a verdict: rows of one group are alike."]
    lines = [
        "That it beats the cheap labels is not shown yet: it is preferred for what it is made of, and the trusted rows "
        "do not speak against it."
    ]
    more = [need for need in ladder.needed if need.gain > 0 and need.rows > ladder.num_rows]
    if more:
        lines.append(f"What would settle it (with a chance of 80 %): {'; '.join(_need(n, ladder) for n in more[:3])}.")
    return lines


def _need(need: RowsNeeded, ladder: Ladder) -> str:
    seen = ", as seen" if need.seen else ""
    return f"for a gain of {signed(need.gain)}{seen}: {need.rows - ladder.num_rows:,} more random trusted rows"


def _worth(worth: Worth) -> str:
    start = f"Your {worth.num_labels:,} cheap labels are worth "
    beyond = f"no upper limit from {worth.num_trusted:,}"
    high = beyond if worth.high is None else f"{worth.high:,.0f}"
    if worth.value is None:
        return (
            f"{start}more than {worth.num_trusted:,} checked ones, as far as a model of so many can be measured "
            f"[{worth.low:,.0f}, {high}]."
        )
    return f"{start}about {worth.value:,.0f} checked ones [{worth.low:,.0f}, {high}] (95 %)."


def _confusion(confusion: Confusion) -> str:
    """Say how the labels treat each class."""
    negative, positive = confusion.called_positive
    (_, wrong_negative), (wrong_positive, _) = confusion.counts
    return (
        f"The cheap labels call {_percent(positive)} of rows of class 1 so, and {_percent(negative)} of rows of class "
        f"0 ({wrong_positive} and {wrong_negative} trusted rows are labelled wrongly)."
    )


def _percent(value: Interval) -> str:
    """`73% [65, 80]`."""
    return f"{value.value:.0%} [{100 * value.low:.0f}, {100 * value.high:.0f}]"


LADDER_COLUMNS = ("labels", "right [95 %]", "gain [95 %]", "AUC", "class 1")


def ladder_rows(ladder: Ladder) -> list[tuple[str, ...]]:
    """Return the table of all ways, a row each, the recommended one marked."""
    return [
        (
            f"{'→ ' if option.name == ladder.recommended else ''}{option.title}",
            f"{digits(option.accuracy.value)} [{digits(option.accuracy.low)}, {digits(option.accuracy.high)}]",
            "–"
            if option.name == "labels"
            else f"{signed(option.gain.value)} [{signed(option.gain.low)}, {signed(option.gain.high)}]",
            "–" if option.auroc is None else digits(option.auroc.value),
            f"{option.share_positive:.0%}",
        )
        for option in ladder.options
    ]
