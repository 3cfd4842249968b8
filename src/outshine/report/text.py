"""Numbers and results in sentences, the same in the terminal and on the page."""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

from outshine.engine.messages import counted, decimals, signed_decimals
from outshine.results.names import Contender

if TYPE_CHECKING:
    import pandas as pd

    from outshine.results.results import MethodPGR
    from outshine.stats.pgr import PGR


def auroc_text(value: float, low: float, high: float) -> str:
    """`.842 [.820, .863]`; unknown: a dash."""
    return "–" if math.isnan(value) else f"{decimal_text(value)} [{decimal_text(low)}, {decimal_text(high)}]"


def pgr_text(row: Mapping[Any, Any] | pd.Series) -> str:
    """A PGR with its interval, or undefined; saturated datasets are marked."""
    mark = " (saturated)" if row["saturated"] else ""
    if not row["defined"]:
        return f"undefined{mark}"
    return f"{row['pgr']:z.2f} [{row['pgr_low']:z.2f}, {row['pgr_high']:z.2f}]{mark}"


def decimal_text(value: float) -> str:
    """`.079`, `−.012`: three decimals as `decimals` writes them, with a typeset minus sign."""
    return decimals(value, minus="−")


def signed_text(value: float) -> str:
    """`+.031`, `−.012`, `.000`; unknown: a dash."""
    return signed_decimals(value, minus="−")


def excerpt(text: str, most: int) -> str:
    """A text of at most about `most` characters: of a longer one its first third and its end, and what is missing."""
    if len(text) <= most:
        return text
    head, tail = most // 3, most - most // 3
    return f"{text[:head].rstrip()} […{len(text) - most:,} characters…] {text[-tail:].lstrip()}"


def amount_text(value: float, low: float, high: float) -> str:
    """`.012 [−.004, .028]`; the value alone where its limits are unknown or infinite."""
    if not (math.isfinite(low) and math.isfinite(high)):
        return decimal_text(value)
    return f"{decimal_text(value)} [{decimal_text(low)}, {decimal_text(high)}]"


def contender_name(row: Mapping[Any, Any] | pd.Series) -> str:
    """Method, loss, what differs from the defaults, and the round: `strong_to_strong logconf round 1`."""
    from outshine.w2s.method_identity import method_word

    number = f"round {row['round']}" if row["round"] else ""
    method = method_word(str(row["method"]), str(row["variant"]))
    return " ".join(str(part) for part in (method, row["loss"], row["variant"], number) if part)


def interval_text(pgr: PGR) -> str:
    """`0.41 [0.30, 0.55]` of a defined PGR."""
    return f"{pgr.value:z.2f} [{pgr.low:z.2f}, {pgr.high:z.2f}]"


def rows_of(summary: pd.DataFrame, pooled: MethodPGR) -> pd.DataFrame:
    """The rows of the summary, a dataset each, that a method's pooled PGR is made of; saturated ones among them."""
    who = Contender.of(pooled._asdict())
    own = summary[[Contender.of(row) == who for row in summary.to_dict("records")]]
    return own[own["purpose"] == "method"].drop_duplicates("dataset")


class GapCounts(NamedTuple):
    """Of how many of a method's datasets that are not saturated the gap between supervisor and ceiling is above 0.

    `num` datasets, `num_clear` of them with a gap whose interval leaves out 0, which is where their own PGR is defined;
    on `num_ahead` and `num_behind` of those the interval of that PGR lies above 0 and below.
    """

    num: int
    num_clear: int
    num_ahead: int
    num_behind: int

    @classmethod
    def of(cls, rows: pd.DataFrame) -> GapCounts:
        own = compared(rows)
        clear = own[own["defined"].astype(bool)]
        return cls(len(own), len(clear), int((clear["pgr_low"] > 0).sum()), int((clear["pgr_high"] < 0).sum()))


def compared(rows: pd.DataFrame) -> pd.DataFrame:
    """The datasets that count in a pooled PGR: not saturated, and with a supervisor's AUROC."""
    return rows[~rows["saturated"].astype(bool) & rows["weak_auroc"].notna()]


def rests_on_few(pooled: MethodPGR, gaps: GapCounts) -> bool:
    """Whether a ratio of sums that is defined speaks for a few of its datasets only, and is no result for all of them.

    So it is where most datasets have no gap that can be told from 0, unless the gaps, however small each, are above 0
    over the datasets as well: then the PGR for a population of datasets is defined.
    """
    return 2 * gaps.num_clear < gaps.num and not pooled.pooled.any_datasets.defined


def pooled_sentence(pooled: MethodPGR, rows: pd.DataFrame) -> str:
    """What a method recovered over all datasets: for these datasets, then for a population of such.

    `rows`: the method's rows of the summary (`rows_of`).
    """
    name, gaps = contender_name(pooled._asdict()), GapCounts.of(rows)
    record = pooled.pooled
    datasets = counted(record.num_datasets, "dataset")
    these = record.these_datasets
    if not these.defined:
        return f"Pooled PGR of {name} over {datasets}: undefined, {these.reason}."
    if rests_on_few(pooled, gaps):
        return f"Pooled PGR of {name} over {datasets}: none is given, {_without_gap(gaps)}, and the rest are too few."
    sentence = f"Pooled PGR of {name} over {datasets} (ratio of sums): {interval_text(these)} for these datasets"
    if record.num_datasets > 1:
        hint = ", exploratory" if record.exploratory else ""
        population = record.any_datasets
        interval = interval_text(population) if population.defined else "undefined"
        sentence += f"; {interval} for a population of datasets{hint}"
    return f"{sentence}{f'; {_without_gap(gaps)}' if gaps.num_clear < gaps.num else ''}."


def _without_gap(gaps: GapCounts) -> str:
    num = gaps.num - gaps.num_clear
    have = "has" if num == 1 else "have"
    return f"{num} of {gaps.num} {have} no gap between supervisor and ceiling that can be told from 0"


def verdict(pooled: MethodPGR, rows: pd.DataFrame, untrained: Collection[str] = ()) -> str:
    """The answer to the study's question in one plain sentence, which speaks of these datasets and models only.

    `rows`: the method's rows of the summary (`rows_of`). `untrained`: the datasets on which student or ceiling are not
    shown to have learned; where they are more than half, there is a number and no verdict.
    """
    these, gaps = pooled.pooled.these_datasets, GapCounts.of(rows)
    if not these.defined:
        return f"How much of the gap the student recovers cannot be said: {these.reason}."
    if rests_on_few(pooled, gaps):
        return f"How much of the gap the student recovers cannot be said: of the datasets {_without_gap(gaps)}."
    value, low, high = (f"{100 * part:z.0f} %" for part in (these.value, these.low, these.high))
    share = f"{value} of the gap between supervisor and ceiling (95 % interval {low} to {high})"
    head = f"{_where(rows, gaps)} the student recovers {share}"
    num_untrained = int(compared(rows)["dataset"].isin(list(untrained)).sum())
    if 2 * num_untrained > gaps.num:
        where = f" on {num_untrained} of the {gaps.num}" if gaps.num > 1 else ""
        return f"{head}, from which nothing follows: student or ceiling are not shown to have learned{where}."
    if gaps.num == 1:
        return f"{head}: {_outcome(these)}."
    if not (these.low > 0 or these.high < 0):
        return f"{head}: {_outcome(these)}; {_ahead_and_behind(gaps)}."
    own = gaps.num_ahead if these.low > 0 else gaps.num_behind
    return f"{head}: {_outcome(these)} on the whole, and on {own} of the {gaps.num} by their own intervals."


def _where(rows: pd.DataFrame, gaps: GapCounts) -> str:
    """Of which datasets and models the answer speaks."""
    own = compared(rows)
    where = f"On {own['dataset'].iloc[0]}" if gaps.num == 1 else f"On these {gaps.num} datasets taken together"
    return f"{where}, with these trained models," if rows["num_seeds"].max() == 1 else where


def _outcome(pgr: PGR) -> str:
    if pgr.low > 0:
        return "it outshines its supervisor"
    if pgr.high < 0:
        return "it falls behind its supervisor"
    return "whether it outshines its supervisor is not settled"


def _ahead_and_behind(gaps: GapCounts) -> str:
    return f"by their own intervals it is ahead on {gaps.num_ahead} of the {gaps.num} and behind on {gaps.num_behind}"


def question(weak: str, strong: str) -> str:
    """What a study asks."""
    return (
        f"When {strong} learns from labels that {weak} gave, how much does it recover of the gap between {weak} "
        f"and {strong} fine-tuned on ground truth?"
    )


def uncertainty(pooled: MethodPGR, rows: pd.DataFrame) -> list[str]:
    """What stands behind the answer: mean AUROCs, on how many datasets the student is ahead, what the interval covers.

    `rows`: the method's rows of the summary, a dataset a row.
    """
    gaps = GapCounts.of(rows)
    if not pooled.pooled.these_datasets.defined or rests_on_few(pooled, gaps):
        return _means(rows)
    some = [f"Of the datasets {_without_gap(gaps)}."] if gaps.num_clear < gaps.num else []
    return [*_means(rows), *some, _what_is_covered(pooled, int(rows["num_seeds"].max())), *_for_others(pooled)]


def _means(rows: pd.DataFrame) -> list[str]:
    known, num_saturated = compared(rows), int(rows["saturated"].sum())
    if known.empty:
        return []
    weak, student, ceiling = (decimal_text(known[f"{role}_auroc"].mean()) for role in ("weak", "student", "ceiling"))
    ahead, num = int((known["student_minus_weak"] > 0).sum()), len(known)
    where = f"Mean test AUROC over {num} datasets" if num > 1 else "Test AUROC"
    won = f" It is higher for the student than for its supervisor on {ahead} of them." if num > 1 else ""
    left = f" Saturated and left out: {counted(num_saturated, 'dataset')}." if num_saturated else ""
    return [f"{where}: supervisor {weak}, student {student}, ceiling {ceiling}.{won}{left}"]


def _what_is_covered(pooled: MethodPGR, num_seeds: int) -> str:
    num = pooled.pooled.num_datasets
    where = "this dataset" if num == 1 else f"these {num} datasets"
    if num_seeds == 1:
        return f"One seed: the interval covers the choice of test rows of {where}, for these trained models only."
    return f"{num_seeds} seeds: the interval covers the choice of test rows and of seeds, for {where} only."


def _for_others(pooled: MethodPGR) -> list[str]:
    record = pooled.pooled
    if record.num_datasets < 2:
        return []
    others = record.any_datasets
    if not others.defined:
        return [f"For other datasets nothing can be said: {others.reason}."]
    hint = f"; exploratory: {record.num_datasets} datasets are few" if record.exploratory else ""
    limits = f"{100 * others.low:z.0f} % and {100 * others.high:z.0f} %"
    share = f"the kind's share lies between {limits} (95 % interval){hint}"
    return [f"If these datasets were drawn at random from their kind, {share}."]
