"""Numbers and results in words; the same in the terminal and on the page."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from outshine.analysis.contenders import method_word

if TYPE_CHECKING:
    import pandas as pd

    from outshine.analysis.results import MethodPGR
    from outshine.metrics.pgr import PGR


def auroc_text(value: float, low: float, high: float) -> str:
    """`.842 [.820, .863]`; unknown: a dash."""
    return "–" if math.isnan(value) else f"{short(value)} [{short(low)}, {short(high)}]"


def pgr_text(row: pd.Series) -> str:
    """A PGR with its interval, or undefined; saturated datasets are marked."""
    mark = " (saturated)" if row["saturated"] else ""
    if not row["defined"]:
        return f"undefined{mark}"
    return f"{row['pgr']:z.2f} [{row['pgr_low']:z.2f}, {row['pgr_high']:z.2f}]{mark}"


def short(value: float) -> str:
    """An AUROC to three places without the leading zero."""
    text = f"{value:.3f}"
    return text[1:] if text.startswith("0.") else text


def decimal_text(value: float) -> str:
    """Three places without the leading zero; unknown: a dash."""
    if math.isnan(value):
        return "–"
    text = f"{abs(value):.3f}"
    sign = "−" if value < 0 and float(text) else ""
    return sign + (text[1:] if text.startswith("0.") else text)


def signed_text(value: float) -> str:
    """`+.031`, `−.012`, `.000`; unknown: a dash."""
    text = decimal_text(value)
    return f"+{text}" if value > 0 and float(f"{value:.3f}") else text


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
    number = f"round {row['round']}" if row["round"] else ""
    method = method_word(str(row["method"]), str(row["variant"]))
    return " ".join(str(part) for part in (method, row["loss"], row["variant"], number) if part)


def interval_text(found: PGR) -> str:
    """`0.41 [0.30, 0.55]` of a defined PGR."""
    return f"{found.value:z.2f} [{found.low:z.2f}, {found.high:z.2f}]"


def pooled_sentence(pooled: MethodPGR) -> str:
    """What a method recovered over all datasets: for these datasets, then for a population of such."""
    name = contender_name(pooled._asdict())
    record = pooled.pooled
    datasets = f"{record.num_datasets} dataset" + ("" if record.num_datasets == 1 else "s")
    these = record.these_datasets
    if not these.defined:
        return f"Pooled PGR of {name} over {datasets}: undefined, {these.reason}."
    sentence = f"Pooled PGR of {name} over {datasets} (ratio of sums): {interval_text(these)} for these datasets"
    if record.num_datasets > 1:
        hint = ", exploratory" if record.exploratory else ""
        population = record.any_datasets
        told = interval_text(population) if population.defined else "undefined"
        sentence += f"; {told} for a population of datasets{hint}"
    return sentence + "."


def verdict(pooled: MethodPGR) -> str:
    """The answer to the study's question in one plain sentence."""
    these = pooled.pooled.these_datasets
    if not these.defined:
        return f"How much of the gap the student recovers cannot be said: {these.reason}."
    value, low, high = (f"{100 * part:z.0f} %" for part in (these.value, these.low, these.high))
    share = f"{value} of the gap between supervisor and ceiling (95 % interval {low} to {high})"
    if these.low > 0:
        return f"The student recovers {share}: it outshines its supervisor."
    if these.high < 0:
        return f"The student recovers {share}: it falls behind its supervisor."
    return f"The student recovers {share}: whether it outshines its supervisor is not settled."


def question(weak: str, strong: str) -> str:
    """What a study asks."""
    return (
        f"When {strong} is fine-tuned on labels that {weak} gave, how much does it recover of the gap between {weak} "
        f"and {strong} fine-tuned on ground truth?"
    )


def uncertainty(pooled: MethodPGR, rows: pd.DataFrame) -> list[str]:
    """What stands behind the answer: mean AUROCs, on how many datasets the student is ahead, what the interval covers.

    `rows`: the method's rows of the summary, a dataset a row.
    """
    if not pooled.pooled.these_datasets.defined:
        return _means(rows)
    return [*_means(rows), _what_is_covered(pooled, int(rows["num_seeds"].max())), *_for_others(pooled)]


def _means(rows: pd.DataFrame) -> list[str]:
    known = rows[rows["weak_auroc"].notna()]
    if known.empty:
        return []
    weak, student, ceiling = (short(known[f"{role}_auroc"].mean()) for role in ("weak", "student", "ceiling"))
    ahead, num = int((known["student_minus_weak"] > 0).sum()), len(known)
    where = f"Mean test AUROC over {num} datasets" if num > 1 else "Test AUROC"
    won = f" The student is ahead of its supervisor on {ahead} of {num} datasets." if num > 1 else ""
    return [f"{where}: supervisor {weak}, student {student}, ceiling {ceiling}.{won}"]


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
        return [f"For other datasets of the kind nothing can be said: {others.reason}."]
    hint = f" (exploratory: {record.num_datasets} datasets are few)" if record.exploratory else ""
    return [f"For other datasets of the kind it is {100 * others.low:z.0f} % to {100 * others.high:z.0f} %{hint}."]
