"""What `compare`, and the page's part on comparisons, can say."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cache, partial
from types import SimpleNamespace
from typing import Any

from claim import Claim

from outshine.engine.errors import DataError
from outshine.report import compare_section
from outshine.results.compare import compare
from outshine.results.compare_text import verdict
from outshine.stats.paired_differences import hodges_lehmann, median_interval
from outshine.w2s.fewest_datasets import planned
from study_tables import against_xent, pgrs, scores

MODULES: tuple[str, ...] = (
    "results/compare.py",
    "results/compare_text.py",
    "stats/paired_differences.py",
    "report/compare_section.py",
    "w2s/fewest_datasets.py",
)

SIX = (0.01, 0.02, 0.03, 0.05, 0.07, 0.09)
SEVEN = (*SIX, 0.1)
MIXED = (0.01, -0.012, 0.02, -0.022, 0.03, 0.04, -0.05)
LOST = tuple(-one for one in SEVEN)
SKEWED = (0.001, 0.002, 0.003, 0.004, 0.005, 0.006, 0.3)
SIGNS = (*(0.001 + 1e-5 * k for k in range(16)), *(-0.1 - 1e-4 * k for k in range(5)))  # the sign test helps, t hurts
MORE_SIGNS = (*(0.001 + 1e-5 * k for k in range(24)), *SIGNS[-5:])

Differences = Sequence[float]
Printed = Callable[[], list[str]]


@cache
def said(
    *methods: Differences,
    seeds: int = 1,
    baseline: str = "xent",
    declared: tuple[str | None, ...] = (),
    pgr: bool = True,
    metric: str = "auroc",
    weak: float = 0.7,
    gaps: tuple[tuple[str, tuple[float, float]], ...] = (),
    lacking_seed: bool = False,
) -> list[str]:
    """All that `compare` and the page print of methods with these differences from xent, one for each dataset."""
    rows = []
    for number, d in enumerate(methods):
        for seed in range(seeds):
            both = against_xent([one + 0.003 * seed for one in d], f"loss{number}", seed)
            rows += [row for row in both if row not in rows]
    if lacking_seed:
        rows += against_xent([0.0], "loss0", seed=9)[:1]
    table = scores(rows, weak=weak, **dict(gaps))
    compared, on_pgr, notes = compare_section.compare_both(
        table, pgrs(table) if pgr else None, baseline, metric, declared=declared
    )
    sheets = compare_section.comparison_tables(compared)
    return [
        compare_section.conclusion(compared),
        *compare_section.comparison_sentences(compared, on_pgr),
        *compare_section.noise_sentences(compared),
        *notes,
        *compare_section.comparison_notes(compared, on_pgr),
        *(verdict(compared, name) for name in compared.too_few),
        *(text for sheet in sheets for text in (sheet.title, *sheet.columns)),
        *(str(cell) for column in compared.frame() for cell in compared.frame()[column]),
    ]


@cache
def refused(*differences: float) -> list[str]:
    """What is said where no comparison can be made; nothing where one can."""
    try:
        compare(scores(against_xent(list(differences))), baseline="xent")
    except DataError as error:
        return [str(error)]
    return []


def to_run(num_datasets: int, num_methods: int, better_than: str | None = None) -> list[str]:
    """The note on a study that is to run, with as many methods beside its baseline."""
    students: list[Any] = [SimpleNamespace(key=str(number)) for number in range(num_methods + 1)]
    runs: list[Any] = [SimpleNamespace(prepare=0, seed=0, purpose="method", students=[one]) for one in students]
    study: Any = SimpleNamespace(
        datasets=[SimpleNamespace(name=f"d{number}") for number in range(num_datasets)], better_than=better_than
    )
    return planned(runs, study)


def case(*methods: Differences, **settings: Any) -> Printed:
    return partial(said, *methods, **settings)


STEADY = (0.01,) * 7
FEW_SECOND = case(SEVEN, SIX[:1])  # the second method has one dataset
UNEQUAL = case((*SEVEN, 0.11), SIX)  # 8 and 6 datasets: the second passes only after the first
DECLARED = case(SEVEN, declared=("xent",))
NARROW = (("d07", (0.79, 0.80)), ("d08", (0.79, 0.80)))
PGR_DOUBTS = case((0.03, 0.031, 0.032, 0.033, 0.034, 0.035, 0.036, -0.004, -0.005), gaps=NARROW)

CLAIMS: tuple[Claim, ...] = (
    # what the primary test says
    Claim("{} beats {} on {} of {} datasets{}", case(SEVEN), lambda: refused(0.1)),
    Claim("the evidence that it {} on a typical dataset is {} ({})", case(SEVEN), case(MIXED)),
    Claim("the evidence that it {} on a typical dataset is {} ({})", case(LOST), case(SEVEN[:5])),
    Claim("the evidence that it {} on a typical dataset is {} ({})", DECLARED, case(LOST, declared=("xent",))),
    Claim("there is no good evidence that it {} on a typical dataset ({})", case(MIXED), case(SEVEN)),
    Claim("there is no good evidence that it {} on a typical dataset ({})", case(SIGNS), case(SEVEN[:2])),
    Claim("{} datasets are too few{} to show whether it {} on a typical dataset", case(SEVEN[:2]), case(SIX)),
    Claim(
        "{} datasets are too few{} to show whether it {} on a typical dataset", case(*[SIX] * 12), case(*[SEVEN] * 2)
    ),
    Claim("{} ({}; the least that is possible is {})", case(SEVEN[:5]), case(SIX)),
    Claim("{} and {} share fewer than two datasets: no test can be made.", FEW_SECOND, case(SEVEN, SIX)),
    Claim("{}: fewer than two datasets, no test", FEW_SECOND, case(SEVEN, SIX)),
    Claim("; {} after Holm's correction over {} methods", case(SEVEN, MIXED), case(SEVEN)),
    Claim(" after Holm's correction over {} methods", case(SIX, SIX), case(SIX)),
    Claim("one-sided as the study declared", DECLARED, case(SEVEN)),
    Claim("one-sided as the study declared", DECLARED, case(SEVEN, declared=("loss0",))),
    # what could not be shown
    Claim(
        "with {} no difference, however large, can be shown: the smallest p that Wilcoxon's test can give is {} "
        "({}{}); at least {} datasets are needed",
        lambda: to_run(6, 12),
        lambda: [*to_run(9, 12), *to_run(6, 1), *to_run(5, 1, "xent"), *to_run(3, 0)],
    ),
    Claim("none, since no difference, however large, can be shown", case(SIX, SIX), case(SEVEN, SEVEN)),
    Claim(
        "none, since no difference, however large, can be shown", case(SEVEN[:5]), case(SEVEN[:5], declared=("xent",))
    ),
    Claim(
        "none for {}, which so few datasets reach only where other methods pass before it", UNEQUAL, case(SEVEN, SEVEN)
    ),
    # the noise floor
    Claim(
        "the smallest true mean difference that {} finds with power .8 is {}, if differences between datasets are "
        "normal with the standard deviation estimated here, {}",
        case(SIX),
        case(SEVEN[:5]),
    ),
    Claim("unknown, since the differences do not vary over the datasets", case(STEADY), case(SEVEN)),
    Claim("What a PGR difference of .05 needs is unknown too.", case(STEADY), case(SEVEN)),
    Claim(
        "By the standard deviation of these {} datasets a PGR difference of .05 needs {} at these seeds, {}.",
        case(SIX, seeds=2),
        case(SIX, weak=0.95),
    ),
    Claim("or else {} on these datasets", case(tuple(0.01 + one / 1e3 for one in SIX), seeds=2), case(SIX, seeds=2)),
    Claim("and no number of seeds on these datasets is enough", case(SIX, seeds=2), case(SIX)),
    Claim("an unknown number of {}s", case(SIX), case(SIX, seeds=2)),
    Claim(
        "In PGR it is not known: the mean gap between supervisor and ceiling is not, or not above 0.",
        case(SIX, weak=0.95),
        case(SIX),
    ),
    # secondary tests
    Claim("would say that it {}", case(SIGNS), case(SEVEN)),
    Claim("does not show it", PGR_DOUBTS, case(SEVEN)),
    Claim("Wilcoxon's test on PGR", PGR_DOUBTS, case(SEVEN)),
    Claim(", with the same correction", case(MORE_SIGNS, MIXED), case(MORE_SIGNS)),
    # notes
    Claim(
        "{}: its differences are skewed ({}): the t interval and t-test lean on normality, Wilcoxon's test and interval "
        "on symmetry, the median's interval and the sign test on neither",
        case(SKEWED),
        case(SEVEN),
    ),
    Claim(
        "{}: its differences are the same on all {} datasets, so that neither a t-test nor an interval of their mean "
        "can be had",
        case(STEADY),
        case(SEVEN),
    ),
    Claim("unknown: the differences do not vary", case(STEADY), case(SEVEN)),
    Claim(
        "{}, {}: {} of {} seeds left out (not run for both, or {} undefined)", case(SIX, lacking_seed=True), case(SIX)
    ),
    Claim(
        "the studies declared different directions ({}): every test is two-sided",
        case(SEVEN, declared=("xent", None)),
        case(SEVEN, declared=("xent", "xent")),
    ),
    Claim(
        "the study declared its methods better than {}, not than {}: tests are two-sided",
        case(SEVEN, baseline="loss0", declared=("xent",)),
        DECLARED,
    ),
    Claim("not compared on PGR: {}", case(SEVEN, pgr=False), case(SEVEN)),
    Claim("normal approximation with continuity correction", case(tuple(0.01 * k for k in range(1, 70))), case(SEVEN)),
    Claim("exact, by sign flips", case(SEVEN), case(tuple(0.01 * k for k in range(1, 70)))),
    Claim("t with {} degrees of freedom", case(SEVEN), case(STEADY)),
    Claim(
        "{} differences are too few for a {} interval",
        lambda: [hodges_lehmann(SIX[:5]).note],
        lambda: [hodges_lehmann(SIX).note, median_interval(SIX).note],
    ),
    Claim(
        "comparing {} over datasets needs two or more on which a method meets the baseline {}; there is {}{}",
        lambda: refused(0.1),
        lambda: refused(0.1, 0.2),
    ),
    # tables and the page
    Claim("Student's test {}, method less {}, a dataset a unit; p {}{} ({})", case(SEVEN), lambda: refused(0.1)),
    Claim("one-sided for better", case(SEVEN), DECLARED),
    Claim(", as the study declared", DECLARED, case(SEVEN)),
    Claim("least possible after Holm", case(SEVEN), lambda: refused(0.1)),
    Claim("Of {} compared with {}, by the evidence {} on a typical dataset ({}).", case(LOST), case(MIXED)),
    Claim("Of {} compared with {}, none is shown {} on a typical dataset ({}).", case(MIXED), case(SEVEN)),
    Claim("to help or to hurt", case(MIXED), case(MIXED, declared=("xent",))),
    Claim("Wilcoxon's test over datasets, {}, p < {}{}", case(MIXED), lambda: refused(0.1)),
)
