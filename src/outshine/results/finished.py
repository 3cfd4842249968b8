"""Running a study and reading its results, or reading them alone."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

from outshine.data.audit.findings import Finding
from outshine.engine.process_group import ONE_PROCESS, ProcessGroup
from outshine.engine.progress import Progress
from outshine.engine.run.failures import StagesFailedError
from outshine.engine.stage import in_order
from outshine.engine.store.store import Store
from outshine.results.read.unfinished import separate_failed
from outshine.results.results import Results, read_results
from outshine.w2s.compute_study import ComputedStudy, compute_study, find_study
from outshine.w2s.expand import Experiment, Resolution
from outshine.w2s.study import Study


class FinishedStudy(NamedTuple):
    """A finished study: what it was resolved to, its experiments, their results, and what the audits found."""

    resolution: Resolution
    experiments: list[Experiment]
    results: Results
    findings: Mapping[str, list[Finding]]  # dataset's name -> every check of its audit


class StudyFailedError(StagesFailedError):
    """Some stages of a study failed; all that does not need them is finished.

    Args:
        failed: The failures, as the executor raised them.
        finished: The study as far as it went. None: no method is finished.

    Attributes:
        finished: The same.
        failures: Key, label and message of each stage that failed.
        num_left_out: How many stages were left out because they need one that failed.
    """

    def __init__(self, failed: StagesFailedError, finished: FinishedStudy | None) -> None:
        super().__init__(failed.failures, failed.num_left_out)
        self.finished = finished

    @property
    def results(self) -> Results | None:
        """The results of the methods that are finished, whose `failed` names the others; None where none is."""
        return self.finished.results if self.finished else None


def run_study(
    study: Study,
    store: Store,
    progress: Progress | None = None,
    *,
    allow_leaks: bool = False,
    processes: ProcessGroup = ONE_PROCESS,
    expect: Callable[[Sequence[Experiment]], object] = lambda experiments: None,
) -> FinishedStudy:
    """Compute what the store lacks (`compute_study`, with the same arguments) and read the results.

    Raises OutshineError for what a user can mend, and StudyFailedError where stages failed, when all that does not
    need them is finished: it has the results of the methods that are.
    """
    computed = compute_study(study, store, progress, allow_leaks=allow_leaks, processes=processes, expect=expect)
    if computed.failed:
        raise StudyFailedError(computed.failed, _of_the_rest(computed, store, computed.failed)) from computed.failed
    return _read(computed, store)


def read_study(study: Study, store: Store) -> FinishedStudy:
    """The results of a study that ran; computes nothing. Raises DataError where the store lacks a part of it."""
    return _read(find_study(study, store), store)


def _read(computed: ComputedStudy, store: Store) -> FinishedStudy:
    resolution, experiments, findings, _ = computed
    study = resolution.study
    return FinishedStudy(resolution, experiments, read_results(study.name, experiments, store, study.metrics), findings)


def _of_the_rest(computed: ComputedStudy, store: Store, error: StagesFailedError) -> FinishedStudy | None:
    """The study without what failed; None where no method is finished on any dataset."""
    experiments = computed.experiments
    needed = in_order([stage for experiment in experiments for stage in experiment.stages()])
    lacking = set(store.lacking([stage.key for stage in needed]))
    reasons = {failure.key: failure.message for failure in error.failures}
    separated = separate_failed(computed.resolution.study.name, experiments, lacking, reasons)
    if not any(experiment.purpose == "method" for experiment in separated.finished):
        return None
    finished = _read(computed._replace(experiments=separated.finished), store)
    return finished._replace(results=finished.results._replace(failed=separated.failed))
