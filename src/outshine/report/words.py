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
