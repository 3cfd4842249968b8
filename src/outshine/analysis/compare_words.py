"""A comparison in plain sentences; the same in the terminal and on a page."""

from __future__ import annotations

import math

from outshine.analysis.compare import Compared, MethodComparison, NoiseFloor, Sizes
from outshine.core.messages import counted

ALPHA = 0.05
SKEWED_FROM = 1.0
UNITS = {"auroc": "AUROC", "pgr": "PGR"}

_STRENGTHS = ((0.01, "strong"), (0.05, "moderate"), (0.10, "weak"))


def p_text(p: float) -> str:
    """`p = .079`, `p < .001`."""
    return f"p {p_cell(p)}" if p < 0.001 else f"p = {p_cell(p)}"


def p_cell(p: float) -> str:
    """The same for a column of a table: `.079`, `< .001`."""
    return "< .001" if p < 0.001 else decimals(p)


def decimals(value: float) -> str:
    """Three decimals without the leading zero: `.079`, `-.012`, `1.000`; unbounded: `∞`, unknown: a dash."""
    if math.isnan(value):
        return "–"
    if math.isinf(value):
        return "∞" if value > 0 else "-∞"
    sign, digits = ("-" if value < 0 else ""), f"{abs(value):.3f}"
    if float(digits) == 0:
        return ".000"
    return sign + (digits[1:] if digits.startswith("0.") else digits)


def verdict(compared: Compared, method: str, pgr: Compared | None = None) -> str:
    """What the comparison says about one method, in one or two sentences.

    The first follows the primary test (Wilcoxon's, one-sided, Holm over the methods); the second names the
    secondary tests that fall on the other side of .05, the same test on PGR among them where that is given.
    """
    one = compared.method(method)
    if one is None:
        return f"{method} and {compared.baseline} share fewer than two datasets: no test can be made."
    tied = f" ({one.ties} tied)" if one.ties else ""
    record = f"{method} beats {compared.baseline} on {one.wins} of {one.num_datasets} datasets{tied}"
    measured = "" if compared.metric == "auroc" else f" in {UNITS[compared.metric]} (a secondary measure)"
    on_pgr = pgr.method(method) if pgr is not None else None
    return f"{record}{measured}; {_evidence(one, len(compared.methods))}.{_disagreement(one, on_pgr)}"


def caveats(compared: Compared) -> list[str]:
    """What else a reader must know: skew, seeds left out, approximate p-values, methods that were not tested."""
    unit = UNITS[compared.metric]
    told = [
        f"{one.method}: its differences are skewed ({one.skewness:+.1f}): the t interval and t-test lean on normality, "
        "Wilcoxon's test and interval on symmetry, the median's interval and the sign test on neither"
        for one in compared.methods
        if abs(one.skewness) > SKEWED_FROM
    ]
    told += [
        f"{one.dataset}, {one.method}: {one.num_left_out} of {one.num_left_out + len(one.per_run)} seeds left out "
        f"(not run for both, or {unit} undefined)"
        for one in compared.paired.differences
        if one.num_left_out
    ]
    approximate = [one.method for one in compared.methods if not one.wilcoxon.null.startswith("exact")]
    if approximate:
        told.append(f"Wilcoxon's p of {', '.join(approximate)}: {compared.methods[0].wilcoxon.null}")
    return [*told, *(f"{method}: fewer than two datasets, no test" for method in compared.too_few)]


def left_out_text(compared: Compared) -> list[str]:
    """One line a reason: how many datasets were left out, which, and for which methods where not for all."""
    by_reason: dict[str, dict[str, list[str]]] = {}
    for one in compared.paired.left_out:
        reason = "PGR undefined" if one.reason.startswith("PGR undefined: ") else one.reason
        by_reason.setdefault(reason, {}).setdefault(one.dataset, []).append(one.method)
    details = {one.dataset: one.reason.removeprefix("PGR undefined: ") for one in compared.paired.left_out}
    lines = []
    for reason, found in by_reason.items():
        methods = list(dict.fromkeys(name for names in found.values() for name in names))
        whom = "" if len(methods) == len(compared.paired.methods) else f" for {', '.join(methods)}"
        plural = "" if len(found) == 1 else "s"
        named = [f"{name} ({details[name]})" if reason == "PGR undefined" else name for name in found]
        lines.append(f"{len(found)} dataset{plural} left out{whom}, {reason}: {', '.join(named)}")
    return lines


def noise_sentence(compared: Compared, one: MethodComparison) -> str:
    """The noise floor of one comparison: what could have been found, and what a PGR difference of .05 would need."""
    noise, seeds = one.noise, one.noise.components.num_seeds
    size = f"{one.num_datasets} datasets × {seeds:.3g} seed{'' if seeds == 1 else 's'}"
    here = "not known from one seed (run --seed 0,1,2)"
    if not math.isnan(noise.detectable_here):
        here = _amount(noise, noise.detectable_here, compared.metric)
    return (
        f"Noise floor of {one.method} − {compared.baseline} ({size}): the smallest difference found with power .8 "
        f"at level .05 is {_amount(noise, noise.detectable, compared.metric)} for a typical dataset; "
        f"on these very datasets and test rows {here}. {_needed(noise.target)}"
    )


def _needed(target: Sizes) -> str:
    if math.isnan(target.effect):
        return "In PGR it is not known: the mean gap between supervisor and ceiling is not, or not above 0."
    return (
        f"A PGR difference of .05 needs {_number(target.datasets, 'dataset')} at these seeds, "
        f"or {_number(target.seeds, 'seed')} on these datasets."
    )


def _number(number: float, what: str) -> str:
    if math.isnan(number):
        return f"an unknown number of {what}s"
    return f"more {what}s than there can be" if math.isinf(number) else counted(number, what)


def _amount(noise: NoiseFloor, difference: float, metric: str) -> str:
    if metric == "pgr":
        return f"{decimals(difference)} PGR"
    return f"{decimals(difference)} AUROC ({decimals(noise.in_pgr(difference))} PGR)"


def _evidence(one: MethodComparison, num_methods: int) -> str:
    helps = one.holm <= one.holm_worse
    adjusted, plain, verb = (
        (one.holm, one.wilcoxon.better, "helps") if helps else (one.holm_worse, one.wilcoxon.worse, "hurts")
    )
    side = "one-sided" if helps else "one-sided for worse"
    told = f"Wilcoxon {p_text(plain)} {side}, {p_cell(one.wilcoxon.two_sided)} two-sided"
    if num_methods > 1:
        told += f"; {p_text(adjusted)} after Holm's correction over {num_methods} methods"
    strength = next((word for limit, word in _STRENGTHS if adjusted < limit), None)
    if strength:
        return f"the evidence that it {verb} on average is {strength} ({told})"
    return f"there is no good evidence that it {verb} on average ({told})"


def _disagreement(one: MethodComparison, on_pgr: MethodComparison | None) -> str:
    """Which secondary tests fall on the other side of .05, in the direction that the first sentence speaks of."""
    side = "better" if one.holm <= one.holm_worse else "worse"
    others = {"sign test": one.sign, "t-test": one.t}
    if on_pgr is not None:
        others["Wilcoxon on PGR"] = on_pgr.wilcoxon
    significant = getattr(one.wilcoxon, side) < ALPHA
    told = {name: getattr(found, side) for name, found in others.items()}
    opposed = [f"{name} {p_text(p)}" for name, p in told.items() if (p < ALPHA) != significant]
    agreeing = [f"{name} {p_text(p)}" for name, p in told.items() if (p < ALPHA) == significant]
    if not opposed:
        return ""
    beside = f", unlike {' and '.join(agreeing)}" if agreeing else ""
    would = "would not call it significant" if significant else "would call it significant"
    return f" The tests disagree: {' and '.join(opposed)} {would}{beside}."
