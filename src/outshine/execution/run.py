"""Running a study: resolve, prepare, expand, compute, read the results."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, NamedTuple

from outshine.audit.findings import Finding, leaks
from outshine.core.errors import DataError
from outshine.core.progress import Progress, Silent
from outshine.core.runtime import Runtime
from outshine.core.stage import Stage, in_order
from outshine.core.store import Store
from outshine.core.team import ALONE, Team
from outshine.execution.executors import executor
from outshine.execution.failures import StagesFailedError
from outshine.execution.local import LocalExecutor
from outshine.execution.recorded import record_study
from outshine.execution.team import TeamExecutor, leader_first
from outshine.execution.work import work_of
from outshine.models.spec import in_four_bits
from outshine.stages.audit import Audit
from outshine.stages.finetune import Finetune
from outshine.studies.expand import Experiment, Resolution, expand, resolve_study
from outshine.studies.parse import parse_study
from outshine.studies.study import Study

if TYPE_CHECKING:
    from outshine.analysis.results import Results


class Finished(NamedTuple):
    """A study that ran: what it was resolved to, its experiments, their results, and what the audits found."""

    resolution: Resolution
    experiments: list[Experiment]
    results: Results
    findings: Mapping[str, list[Finding]]  # dataset's name -> every check of its audit


class StudyFailedError(StagesFailedError):
    """Some stages of a study failed. `finished`: the study as far as it went; None where no method is finished."""

    def __init__(self, failed: StagesFailedError, finished: Finished | None) -> None:
        super().__init__(failed.failures, failed.num_left_out)
        self.finished = finished

    @property
    def results(self) -> Results | None:
        """The results of the methods that are finished; their `failed` names the others."""
        return self.finished.results if self.finished else None


def run_study(
    study: Study,
    store: Store,
    progress: Progress | None = None,
    *,
    allow_leaks: bool = False,
    team: Team = ALONE,
    expect: Callable[[Sequence[Experiment]], object] = lambda experiments: None,
) -> Finished:
    """Compute what the store lacks and read the results. Raises OutshineError for what a user can mend.

    A dataset whose audit finds a leak is refused before anything is trained, unless `allow_leaks`.
    Stages are computed by the study's `executor`; datasets are prepared and audited in this process. Raises
    StudyFailedError where some failed, when all that does not need them is finished: it has the results of the methods
    that are.
    With a `team` every process of it calls this, and the leader's progress alone is shown. `expect` is told the
    experiments before their stages are computed.
    """
    from outshine.studies.comparable import planned

    progress = progress if progress and team.leads else Silent()
    resolution = _resolved(study, team)
    for note in resolution.notes:
        progress.note(note)
    audits = _audits(resolution)
    record_study(resolution.study, [*audits.values()], store, progress, team)
    here = _here(study, store, progress, team)
    here.run([*audits.values()])
    check_leaks({name: audit.read(store) for name, audit in audits.items()}, progress, allow_leaks)
    experiments = expand(resolution, store)
    for note in planned(experiments, study):
        progress.note(note)
    asked = by_model(experiments)
    models, checkpointed = (resolution.weak, resolution.strong), study.runtime.gradient_checkpointing
    work = work_of(asked, models, store, checkpointed=checkpointed) if team.leads else {}
    record_study(resolution.study, [*audits.values(), *asked], store, progress, team, expanded=True, work=work)
    expect(experiments)
    here.work = work
    compute = executor(study.executor, store, study.runtime, progress, work) if team.size == 1 else here
    missing = compute.missing(asked)
    leader_first(team, lambda: check_models(missing, study.runtime))
    try:
        compute.run(asked)
    except StagesFailedError as error:
        raise StudyFailedError(error, _of_the_rest(resolution, audits, experiments, store, error)) from error
    return _finished(resolution, audits, experiments, store)


def read_study(study: Study, store: Store) -> Finished:
    """The results of a study that ran; computes nothing. Raises DataError where the store lacks a part of it."""
    resolution = resolve_study(study)
    audits = _audits(resolution)
    check_there([*audits.values()], store)
    experiments = expand(resolution, store)
    check_there(by_model(experiments), store)
    return _finished(resolution, audits, experiments, store)


def _here(study: Study, store: Store, progress: Progress, team: Team) -> LocalExecutor:
    """Stages are computed in this process, or together with its team; the first failure ends the run."""
    if team.size == 1:
        return LocalExecutor(store, study.runtime, progress)
    return TeamExecutor(store, study.runtime, progress, team)


def _resolved(study: Study, team: Team) -> Resolution:
    """The leader asks the hub; the others make the same choices from what it was told."""
    if team.leads:
        resolution = resolve_study(study)
        team.tell(resolution.study.model_dump(mode="json"))
        return resolution
    return resolve_study(parse_study(team.tell({})))


def _audits(resolution: Resolution) -> dict[str, Audit]:
    return {prepare.name: Audit(prepare=prepare) for prepare in resolution.prepares}


def _finished(
    resolution: Resolution, audits: Mapping[str, Audit], experiments: list[Experiment], store: Store
) -> Finished:
    from outshine.analysis.results import read_results

    findings = {name: audit.read(store) for name, audit in audits.items()}
    return Finished(resolution, experiments, read_results(resolution.study.name, experiments, store), findings)


def _of_the_rest(
    resolution: Resolution,
    audits: Mapping[str, Audit],
    experiments: list[Experiment],
    store: Store,
    error: StagesFailedError,
) -> Finished | None:
    """The study without what failed; None where no method is finished on any dataset."""
    from outshine.analysis.reading.unfinished import part

    needed = in_order([stage for experiment in experiments for stage in experiment.stages()])
    lacking = set(store.lacking([stage.key for stage in needed]))
    reasons = {failure.key: failure.message for failure in error.failures}
    parted = part(resolution.study.name, experiments, lacking, reasons)
    if not any(experiment.purpose == "method" for experiment in parted.finished):
        return None
    found = _finished(resolution, audits, parted.finished, store)
    return found._replace(results=found.results._replace(failed=parted.failed))


def check_there(asked: Sequence[Stage], store: Store) -> None:
    """That the store has the stages and all they depend on. Raises DataError where it lacks any."""
    stages = in_order(list(asked))
    lacking = set(store.lacking([stage.key for stage in stages]))
    missing = [stage for stage in stages if stage.key in lacking]
    if missing:
        raise DataError(
            f"{len(missing)} of {len(stages)} stages are not in the store {store.where}, such as '{missing[0].label}'; "
            "run the study first with `outshine run`, or name its store with --store"
        )


def check_leaks(findings: Mapping[str, list[Finding]], progress: Progress, allow_leaks: bool) -> None:
    """Tell the warnings of the audits as notes, and refuse datasets with leaks unless they are allowed.

    Raises DataError naming the datasets and what gives their labels away.
    """
    leaking = {name: leaks(found) for name, found in findings.items() if leaks(found)}
    if leaking and not allow_leaks:
        told = "; ".join(f"'{name}' ({found[0].message})" for name, found in leaking.items())
        raise DataError(
            f"the audit found leaks in {told}; `outshine audit {','.join(leaking)}` shows rows; mend the recipe or "
            f"leave the dataset out, or run all the same with --allow-leaks"
        )
    for name, found in findings.items():
        for finding in found:
            if finding.severity in ("leak", "warning"):
                progress.note(f"{name}: {finding.severity}, {finding.check}: {finding.message}")


def check_models(stages: Sequence[Stage], runtime: Runtime) -> None:
    """Have the weights and tokenizers of all models at hand before anything is computed. Raises OutshineError."""
    specs = [stage.classifier for stage in stages if isinstance(stage, Finetune)]
    refs = {spec.model.identity: spec.model for spec in specs}
    if refs:
        from outshine.models.device import pick_device
        from outshine.models.files import weights_folder
        from outshine.models.loading import DTYPES, load_tokenizer
        from outshine.models.nf4 import check_nf4

        for dtype in {spec.compute_dtype for spec in specs if in_four_bits(spec)}:
            check_nf4(pick_device(runtime), DTYPES[dtype])
        for ref in sorted(refs.values(), key=lambda ref: ref.name):
            weights_folder(ref)
            load_tokenizer(ref)


def by_model(experiments: list[Experiment]) -> list[Stage]:
    """All stages asked for, supervisors first, so that each base model is loaded once."""
    stages = [stage for experiment in experiments for stage in experiment.stages()]
    supervisors = {experiment.weak.key for experiment in experiments if experiment.weak}
    return sorted(stages, key=lambda stage: stage.key not in supervisors)
