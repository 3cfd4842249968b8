"""What a comparison over a study's datasets could show at all, told before anything is trained."""

from __future__ import annotations

from collections.abc import Sequence

from outshine.data.schema import families
from outshine.engine.messages import counted, decimals
from outshine.stats.power_analysis import ALPHA, least_num_datasets, least_p, tail_level
from outshine.w2s.expand import Experiment
from outshine.w2s.study import Study


def cannot_show(num_datasets: int, num_methods: int, *, one_sided: bool = False) -> str:
    """That so few datasets cannot show any difference, in one sentence without its full stop; empty where they can.

    All differences of one sign give the smallest p, and Holm's correction multiplies it by the number of methods.
    """
    least = min(1.0, num_methods * least_p(num_datasets, two_sided=not one_sided))
    if least < ALPHA:
        return ""
    size, after = counted(num_datasets, "dataset"), ""
    if num_methods > 1:
        size, after = f"{size} and {num_methods} methods", f" after Holm's correction over {num_methods} methods"
    needed = least_num_datasets(tail_level(num_methods, two_sided=not one_sided))
    return (
        f"with {size} no difference, however large, can be shown: the smallest p that Wilcoxon's test can give is "
        f"{decimals(least)} ({sides_text(one_sided)}{after}); at least {needed} datasets are needed"
    )


def planned(experiments: Sequence[Experiment], study: Study) -> list[str]:
    """`cannot_show` of a study that is to run, as a note: none where it can, or where it has one method only.

    Methods are counted as `compare` does, those with the same students once; one of them is the baseline.
    """
    methods = {student.key for run in _first(experiments) if run.purpose == "method" for student in run.students}
    if len(methods) < 2:
        return []
    num = len(families(one.name for one in study.datasets))
    told = cannot_show(num, len(methods) - 1, one_sided=study.better_than is not None)
    return [f"compare: {told}"] if told else []


def _first(experiments: Sequence[Experiment]) -> list[Experiment]:
    """Those of the first dataset and seed."""
    return [run for run in experiments if (run.prepare, run.seed) == (experiments[0].prepare, experiments[0].seed)]


def sides_text(one_sided: bool) -> str:
    """Whether a test has one side or two, in words."""
    return "one-sided" if one_sided else "two-sided"
