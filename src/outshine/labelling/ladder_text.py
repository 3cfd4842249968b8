"""The ladder in sentences: which labels to use, how sure that is, what the cheap labels are worth."""

from __future__ import annotations

from collections.abc import Sequence

from outshine.engine.messages import counted
from outshine.labelling.gains import RowsNeeded
from outshine.labelling.ladder import Confusion, Ladder, Worth
from outshine.labelling.options import BY_NAME
from outshine.labelling.trusted_sample import LEVEL
from outshine.report.text import decimal_text as digits
from outshine.report.text import signed_text as signed
from outshine.stats.intervals import Interval

MOST_LISTED = 6  # classes that a sentence lists one by one

_WHERE = {"file": "", "new": ", on rows like the new trusted ones"}


def ladder_sentences(ladder: Ladder, names: Sequence[str] = ("class 0", "class 1")) -> list[str]:
    """Say which labels to use, then why, what would settle what is open, and what the trusted rows tell besides.

    `names`: of the classes, by number.
    """
    lines = [_recommendation(ladder), *_reason(ladder), *_openness(ladder)]
    if ladder.unlabelled is not None:
        title = "the student, recalibrated," if ladder.recommended == "labels" else "it"
        lines.append(
            f"On rows without a cheap label, which all that was said leaves aside, {title} is right on "
            f"{_percent(ladder.unlabelled)}, by {counted(ladder.num_unlabelled, 'trusted row')} of that kind."
        )
    if ladder.worth is not None:
        lines.append(_worth(ladder.worth))
    lines += [*_class_shares(ladder, names), _confusion(ladder.confusion, names)]
    if ladder.drawn_by_disagreement:
        lines.append(
            "Trusted rows are taken to be drawn by whether student and cheap label disagree: each counts for as many "
            "rows of the file as it stands for."
        )
    return lines


def _recommendation(ladder: Ladder) -> str:
    """Say which labels to use, in one sentence."""
    title, where = BY_NAME[ladder.recommended].title, _WHERE[ladder.of]
    labels, gain = ladder.of_option("labels").accuracy.value, ladder.gain
    if ladder.recommended == "labels":
        return (
            f"Keep the cheap labels as they are: about {_percent(ladder.of_option('labels').accuracy)} right{where}, "
            f"by {ladder.num_rows} trusted rows. No label is turned."
        )
    shown = (
        f"gain {signed(gain.value)} [{signed(gain.low)}, {signed(gain.high)}] (95 %), from {ladder.num_rows} trusted "
        "rows, none of which judged what it had taught or chosen."
    )
    if gain.value <= 0:
        return (
            f"Not told apart: {title}, about {ladder.accuracy.value:.0%} right, and the cheap labels as they are, "
            f"{labels:.0%}{where}; {shown} The new column has the former; who keeps the cheap labels loses nothing "
            "that is shown."
        )
    return (
        f"Use {title}: about {ladder.accuracy.value:.0%} right against {labels:.0%} of the cheap labels as they "
        f"are{where}; {shown}"
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
    lines = []
    if ladder.gain.value > 0:
        lines.append(
            "That it beats the cheap labels is not shown yet: it is preferred for what it is made of, and the trusted "
            "rows do not speak against it."
        )
    more = [need for need in ladder.needed if need.gain > 0 and need.rows > ladder.num_rows]
    if more:
        lines.append(f"What would settle it (with a chance of 80 %): {'; '.join(_need(n, ladder) for n in more[:3])}.")
    return lines


def _need(need: RowsNeeded, ladder: Ladder) -> str:
    gain = "about the gain that was seen" if need.seen else f"a gain of {signed(need.gain)}"
    return f"for {gain}: {need.rows - ladder.num_rows:,} more random trusted rows"


def _worth(worth: Worth) -> str:
    start = f"Your {worth.num_labels:,} cheap labels are worth "
    if worth.value is None:
        return (
            f"{start}more than {worth.num_trusted:,} checked ones, the most that a model could be tried with"
            f"{f'; at 95 % at least {worth.low:,.0f}' if worth.low < worth.num_trusted else ''}."
        )
    high = f"no upper limit from {worth.num_trusted:,}" if worth.high is None else f"{worth.high:,.0f}"
    return f"{start}about {worth.value:,.0f} checked ones [{worth.low:,.0f}, {high}] (95 %)."


def _class_shares(ladder: Ladder, names: Sequence[str]) -> list[str]:
    """Say how many rows are truly of each class; of many classes only those of which the labels give another share."""
    shares = ladder.class_shares
    rows = "file's rows" if ladder.shares_of_all else "rows with a cheap label"
    start = f"Of the {rows}, by predictions and trusted rows together, "
    if len(shares) <= MOST_LISTED:
        parts = [
            f"{names[share.number]} are {_percent(share.share)} (the cheap labels say {share.labels:.0%})"
            for share in shares
        ]
        return [f"{start}{'; '.join(parts)}."]
    other = [share for share in shares if not share.share.low <= share.labels <= share.share.high]
    if not other:
        return [f"{start}no class of {len(shares)} is shown to have another share than the cheap labels say."]
    other.sort(key=lambda share: abs(share.labels - share.share.value), reverse=True)
    parts = [
        f"{names[share.number]} are {_percent(share.share)}, and the cheap labels say {share.labels:.0%}"
        for share in other[:MOST_LISTED]
    ]
    chance = len(shares) * (1 - LEVEL)
    return [
        f"{start}{'; '.join(parts)}. {counted(len(other), 'class', 'classes')} of {len(shares)} lie outside their 95 % "
        f"intervals, where about {chance:.0f} would by chance."
    ]


def _confusion(confusion: Confusion, names: Sequence[str]) -> str:
    """Say how the labels treat each class; of many classes only those that they have right least often."""
    counts = confusion.counts
    rows = [number for number in range(len(counts)) if sum(counts[number])]
    rows.sort(key=lambda number: -number if len(counts) == 2 else confusion.rightly[number].value)
    parts = []
    for number in rows[:MOST_LISTED]:
        num = sum(counts[number])
        parts.append(
            f"on {_percent(confusion.rightly[number])} of the rows of {names[number]} "
            f"({num - counts[number][number]} of {num} trusted rows wrong{_mostly(counts[number], number, names)})"
        )
    rest = len(rows) - MOST_LISTED
    further = f"; on those of {rest} other classes, by these trusted rows, at least as often" if rest > 0 else ""
    return f"The cheap labels are right {'; '.join(parts)}{further}."


def _mostly(counts: Sequence[int], number: int, names: Sequence[str]) -> str:
    """Say which other class most of a class's rows are taken for, where there are several and one stands out."""
    others = {other: count for other, count in enumerate(counts) if other != number and count}
    if len(counts) == 2 or not others:
        return ""
    most = max(others, key=lambda other: others[other])
    return f", {others[most]} of them called {names[most]}" if sum(others.values()) > 1 else f", called {names[most]}"


def _percent(value: Interval) -> str:
    """`73% [65, 80]`."""
    return f"{value.value:.0%} [{100 * value.low:.0f}, {100 * value.high:.0f}]"


def ladder_columns(ladder: Ladder) -> tuple[str, ...]:
    """Return the columns of `ladder_rows`."""
    of_two = len(ladder.options[0].class_shares) == 2
    return ("labels", "right [95 %]", "gain [95 %]", "AUC", *(["class 1"] if of_two else []))


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
            *([f"{option.class_shares[1]:.0%}"] if len(option.class_shares) == 2 else []),
        )
        for option in ladder.options
    ]
