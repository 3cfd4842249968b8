"""A comparison in sentences, the same in the terminal and on the page."""

from __future__ import annotations

import math
from collections.abc import Sequence

from outshine.engine.messages import counted, decimals
from outshine.results.compare import ComparisonResult, MethodComparison, SmallestDetectable
from outshine.stats.power_analysis import ALPHA
from outshine.w2s.fewest_datasets import cannot_show, sides_text

SKEWED_FROM = 1.0
UNITS = {"auroc": "AUROC", "pgr": "PGR"}

_STRONG = 0.01


def p_text(p: float) -> str:
    """`p = .079`, `p < .001`."""
    return f"p {p_cell(p)}" if p < 0.001 else f"p = {p_cell(p)}"


def p_cell(p: float) -> str:
    """The same for a column of a table: `.079`, `< .001`."""
    return "< .001" if p < 0.001 else decimals(p)


def verdict(compared: ComparisonResult, method: str, pgr: ComparisonResult | None = None) -> str:
    """What the comparison says about one method, in one or two sentences.

    The first follows the primary test (Wilcoxon's, Holm over the methods); the second names the secondary tests that
    would say something else, the same test on PGR among them where that is given.
    """
    result = compared.method(method)
    if result is None:
        return f"{method} and {compared.baseline} share fewer than two datasets: no test can be made."
    tied = f" ({result.ties} tied)" if result.ties else ""
    record = f"{method} beats {compared.baseline} on {result.wins} of {result.num_datasets} datasets{tied}"
    measured = "" if compared.metric == "auroc" else f" in {UNITS[compared.metric]} (a secondary measure)"
    on_pgr = pgr.method(method) if pgr is not None else None
    return f"{record}{measured}; {_evidence(result, compared)}.{_disagreement(result, compared, on_pgr)}"


def shown(result: MethodComparison, *, one_sided: bool) -> str:
    """What the primary test shows of a method at .05: `helps`, `hurts`, or nothing. One-sided it never `hurts`."""
    return _side(result.wilcoxon.better, result.wilcoxon.worse, result.holm, one_sided)


def too_few_datasets(compared: ComparisonResult) -> str:
    """`cannot_show` of a comparison as a sentence, empty where its largest number of datasets can show something."""
    most = max(result.num_datasets for result in compared.methods)
    sentence = cannot_show(most, len(compared.methods), one_sided=compared.one_sided)
    return f"{sentence[0].upper()}{sentence[1:]}." if sentence else ""


def caveats(compared: ComparisonResult) -> list[str]:
    """What else a reader must know: skew, seeds left out, approximate p-values, methods that were not tested."""
    unit = UNITS[compared.metric]
    notes = [
        f"{result.method}: its differences are skewed ({result.skewness:+.1f}): the t interval and t-test lean on "
        "normality, Wilcoxon's test and interval on symmetry, the median's interval and the sign test on neither"
        for result in compared.methods
        if abs(result.skewness) > SKEWED_FROM
    ]
    notes += [
        f"{result.method}: its differences are the same on all {result.num_datasets} datasets, so that neither a "
        "t-test nor an interval of their mean can be had"
        for result in compared.methods
        if math.isnan(result.t.two_sided)
    ]
    notes += _undeclared(compared)
    notes += [
        f"{pair.dataset}, {pair.method}: {pair.num_left_out} of {pair.num_left_out + len(pair.per_run)} seeds left out "
        f"(not run for both, or {unit} undefined)"
        for pair in compared.paired.differences
        if pair.num_left_out
    ]
    approximate = [result for result in compared.methods if not result.wilcoxon.null.startswith("exact")]
    if approximate:
        notes.append(
            f"Wilcoxon's p of {', '.join(result.method for result in approximate)}: {approximate[0].wilcoxon.null}"
        )
    return [*notes, *(f"{method}: fewer than two datasets, no test" for method in compared.too_few)]


def left_out_text(compared: ComparisonResult) -> list[str]:
    """One line a reason: how many datasets were left out, which, and for which methods where not for all."""
    by_reason: dict[str, dict[str, list[str]]] = {}
    for omitted in compared.paired.left_out:
        reason = "PGR undefined" if omitted.reason.startswith("PGR undefined: ") else omitted.reason
        by_reason.setdefault(reason, {}).setdefault(omitted.dataset, []).append(omitted.method)
    details = {omitted.dataset: omitted.reason.removeprefix("PGR undefined: ") for omitted in compared.paired.left_out}
    lines = []
    for reason, datasets in by_reason.items():
        methods = list(dict.fromkeys(name for names in datasets.values() for name in names))
        whom = "" if len(methods) == len(compared.paired.methods) else f" for {', '.join(methods)}"
        plural = "" if len(datasets) == 1 else "s"
        named = [f"{name} ({details[name]})" if reason == "PGR undefined" else name for name in datasets]
        lines.append(f"{len(datasets)} dataset{plural} left out{whom}, {reason}: {', '.join(named)}")
    return lines


def noise_sentence(compared: ComparisonResult, result: MethodComparison) -> str:
    """The noise floor of one comparison: what could have been found, and what a PGR difference of .05 would need."""
    seeds = result.noise.components.num_seeds
    size = f"{result.num_datasets} datasets × {seeds:.3g} seed{'' if seeds == 1 else 's'}"
    return (
        f"Noise floor of {result.method} − {compared.baseline} ({size}): {_floor(compared, result)}. {_needed(result)}"
    )


def _floor(compared: ComparisonResult, result: MethodComparison) -> str:
    num, noise = len(compared.methods), result.noise
    if result.least_p >= ALPHA:
        return "none, since no difference, however large, can be shown"
    if math.isnan(noise.detectable):
        return "unknown, since the differences do not vary over the datasets"
    level = decimals(ALPHA)[:3] + (f"/{num}" if num > 1 else "")
    test = f"Wilcoxon's test ({sides_text(compared.one_sided)}, level {level})"
    if math.isinf(noise.detectable):
        return f"none for {test}, which so few datasets reach only where other methods pass before it"
    return (
        f"the smallest true mean difference that {test} finds with power .8 is "
        f"{_amount(noise, noise.detectable, compared.metric)}, if differences between datasets are normal with the "
        f"standard deviation estimated here, {_size(noise.sd)}"
    )


def _needed(result: MethodComparison) -> str:
    target = result.noise.target
    if math.isnan(target.effect):
        return "In PGR it is not known: the mean gap between supervisor and ceiling is not, or not above 0."
    if math.isnan(target.datasets):
        return "What a PGR difference of .05 needs is unknown too."
    seeds = f"or else {_number(target.seeds, 'seed')} on these datasets"
    if math.isinf(target.seeds):
        seeds = "and no number of seeds on these datasets is enough"
    return (
        f"By the standard deviation of these {result.num_datasets} datasets a PGR difference of .05 needs "
        f"{_number(target.datasets, 'dataset')} at these seeds, {seeds}."
    )


def _number(number: float, what: str) -> str:
    return f"an unknown number of {what}s" if math.isnan(number) else counted(number, what)


def _amount(noise: SmallestDetectable, difference: float, metric: str) -> str:
    if metric == "pgr":
        return f"{_size(difference)} PGR"
    return f"{_size(difference)} AUROC ({_size(noise.in_pgr(difference))} PGR)"


def _size(value: float) -> str:
    """A size that is not 0, never as `.000`."""
    return "below .001" if 0 < value < 0.0005 else decimals(value)


def _undeclared(compared: ComparisonResult) -> list[str]:
    """Why a direction that was declared does not make the tests one-sided."""
    names = list(dict.fromkeys(compared.declared))
    if compared.one_sided or names in ([], [None]):
        return []
    if len(names) > 1:
        directions = ", ".join(f"better than {name}" if name else "none" for name in names)
        return [f"the studies declared different directions ({directions}): every test is two-sided"]
    return [f"the study declared its methods better than {names[0]}, not than {compared.baseline}: tests are two-sided"]


def _evidence(result: MethodComparison, compared: ComparisonResult) -> str:
    """What the primary test says, with its p and what it was corrected for."""
    num = len(compared.methods)
    sides = "one-sided as the study declared" if compared.one_sided else "two-sided"
    tests = f"Wilcoxon {p_text(result.p)}, {sides}"
    if num > 1:
        tests += f"; {p_text(result.holm)} after Holm's correction over {num} methods"
    does = "helps" if compared.one_sided else "helps or hurts"
    if result.least_p >= ALPHA:
        among = f" for {num} methods" if num > 1 else ""
        few = f"{result.num_datasets} datasets are too few{among} to show whether it {does} on a typical dataset"
        return f"{few} ({tests}; the least that is possible is {decimals(result.least_p)})"
    verb = shown(result, one_sided=compared.one_sided)
    if not verb:
        return f"there is no good evidence that it {does} on a typical dataset ({tests})"
    strength = "strong" if result.holm < _STRONG else "moderate"
    return f"the evidence that it {verb} on a typical dataset is {strength} ({tests})"


def _side(better: float, worse: float, p: float, one_sided: bool) -> str:
    """`helps` or `hurts` where p is below .05, else nothing."""
    if not p < ALPHA:
        return ""
    return "helps" if one_sided or better < worse else "hurts"


def _disagreement(result: MethodComparison, compared: ComparisonResult, on_pgr: MethodComparison | None) -> str:
    """Which secondary tests would say something else, each with the sides and the correction of the primary one.

    Nothing where the datasets are too few for the primary test: what is left is a t-test that leans on normality.
    """
    if result.least_p >= ALPHA:
        return ""
    tests = {"the sign test": (result.sign, result.sign_holm), "the t-test": (result.t, result.t_holm)}
    if on_pgr is not None and on_pgr.least_p < ALPHA:
        tests["Wilcoxon's test on PGR"] = (on_pgr.wilcoxon, on_pgr.holm)
    own, others = shown(result, one_sided=compared.one_sided), []
    for name, (values, p) in tests.items():
        verb = _side(values.better, values.worse, p, compared.one_sided)
        if verb != own and not math.isnan(p):
            others.append(f"{name} ({p_text(p)}) {f'would say that it {verb}' if verb else 'does not show it'}")
    alike = ", with the same correction" if len(compared.methods) > 1 else ""
    return f" The tests disagree: {_listed(others)}{alike}." if others else ""


def _listed(parts: Sequence[str]) -> str:
    return " and ".join([", ".join(parts[:-1]), parts[-1]] if len(parts) > 1 else parts)
