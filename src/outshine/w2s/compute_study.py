"""Computing a study: resolve, prepare, audit, expand, compute."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, NamedTuple, TypeVar

from outshine.data.audit.findings import Finding, leaks
from outshine.engine.errors import DataError
from outshine.engine.process_group import ONE_PROCESS, ProcessGroup
from outshine.engine.progress import Progress, Silent
from outshine.engine.run.executors import executor
from outshine.engine.run.failures import StagesFailedError
from outshine.engine.run.local import LocalExecutor
from outshine.engine.run.sharded_model import ShardedModelExecutor
from outshine.engine.run.worker_process import WorkerJob
from outshine.engine.runtime import Runtime
from outshine.engine.stage import Stage, in_order
from outshine.engine.store.recorded_studies import record_study
from outshine.engine.store.store import Store
from outshine.learn.spec import in_four_bits
from outshine.w2s.cost import work_of
from outshine.w2s.expand import Experiment, Resolution, expand, resolve_study
from outshine.w2s.fewest_datasets import planned
from outshine.w2s.stages.audit import Audit
from outshine.w2s.stages.finetune import Finetune
from outshine.w2s.study import Study
from outshine.w2s.study_file import parse_study

T = TypeVar("T")


class ComputedStudy(NamedTuple):
    """What a run left in the store, and what failed of it (None: nothing did)."""

    resolution: Resolution
    experiments: list[Experiment]
    findings: Mapping[str, list[Finding]]  # dataset's name -> every check of its audit
    failed: StagesFailedError | None = None


def compute_study(
    study: Study,
    store: Store,
    progress: Progress | None = None,
    *,
    allow_leaks: bool = False,
    processes: ProcessGroup = ONE_PROCESS,
    expect: Callable[[Sequence[Experiment]], object] = lambda experiments: None,
) -> ComputedStudy:
    """Compute what the store lacks. Raises OutshineError for what a user can mend.

    A dataset whose audit finds a leak is refused before anything is trained, unless `allow_leaks`.
    Stages are computed by the study's `executor`; datasets are prepared and audited in this process. Where some fail,
    all that does not need them is finished.
    Of several `processes` each calls this, and the main process's progress alone is shown. `expect` is told the
    experiments before their stages are computed.
    """
    progress = progress if progress and processes.is_main else Silent()
    resolution = _resolved(study, processes)
    for note in resolution.notes:
        progress.note(note)
    audits = _audits(resolution)
    record_study(resolution.study, [*audits.values()], store, progress, processes)
    here = _here(study, store, progress, processes)
    here.run([*audits.values()])
    check_leaks(_findings(audits, store), progress, allow_leaks)
    experiments = expand(resolution, store)
    for note in planned(experiments, study):
        progress.note(note)
    wanted = by_model(experiments)
    models, checkpointed = (resolution.weak, resolution.strong), study.runtime.gradient_checkpointing
    work = work_of(wanted, models, store, checkpointed=checkpointed) if processes.is_main else {}
    record_study(resolution.study, [*audits.values(), *wanted], store, progress, processes, expanded=True, work=work)
    expect(experiments)
    here.work = work
    job = WorkerJob(stages_of, resolution.study)
    compute = executor(study.executor, store, study.runtime, progress, job, work) if processes.size == 1 else here
    missing = compute.missing(wanted)
    main_process_first(processes, lambda: check_models(missing, study.runtime))
    computed = ComputedStudy(resolution, experiments, _findings(audits, store))
    try:
        compute.run(wanted)
    except StagesFailedError as error:
        return computed._replace(failed=error)
    return computed


def stages_of(resolved: dict[str, Any], store: Store) -> list[Stage]:
    """The stages asked for of a resolved study whose datasets are prepared, as a worker process finds them."""
    return by_model(expand(resolve_study(parse_study(resolved)), store))


@contextmanager
def together() -> Iterator[ProcessGroup]:
    """The process group that WORLD_SIZE in the environment speaks of, as torchrun sets it; usually this process alone.

    Where the block fails in any process, all end: the first to fail raises its error, the others exit in silence.
    """
    if not os.environ.get("WORLD_SIZE", "1").isdecimal() or int(os.environ.get("WORLD_SIZE", "1")) < 2:
        yield ONE_PROCESS
        return
    from outshine.learn.distributed import joined

    with joined() as processes:
        yield processes


def main_process_first(processes: ProcessGroup, compute: Callable[[], T]) -> T:
    """The main process's result, then everyone's own: what it fetched from a hub is there for the others."""
    if processes.is_main:
        result = compute()
        processes.broadcast(None)
        return result
    processes.broadcast(None)
    return compute()


def find_study(study: Study, store: Store) -> ComputedStudy:
    """What the store has of a study that ran; computes nothing. Raises DataError where it lacks a part of it."""
    resolution = resolve_study(study)
    audits = _audits(resolution)
    check_there([*audits.values()], store)
    experiments = expand(resolution, store)
    check_there(by_model(experiments), store)
    return ComputedStudy(resolution, experiments, _findings(audits, store))


def _here(study: Study, store: Store, progress: Progress, processes: ProcessGroup) -> LocalExecutor:
    """Stages are computed in this process, or together with its process group; the first failure ends the run."""
    if processes.size == 1:
        return LocalExecutor(store, study.runtime, progress)
    return ShardedModelExecutor(store, study.runtime, progress, processes)


def _resolved(study: Study, processes: ProcessGroup) -> Resolution:
    """The main process asks the hub; the others make the same choices from what it was told."""
    if processes.is_main:
        resolution = resolve_study(study)
        processes.broadcast(resolution.study.model_dump(mode="json"))
        return resolution
    return resolve_study(parse_study(processes.broadcast({})))


def _audits(resolution: Resolution) -> dict[str, Audit]:
    return {prepare.name: Audit(prepare=prepare) for prepare in resolution.prepares}


def _findings(audits: Mapping[str, Audit], store: Store) -> dict[str, list[Finding]]:
    return {name: audit.read(store) for name, audit in audits.items()}


def check_there(wanted: Sequence[Stage], store: Store) -> None:
    """That the store has the stages and all they depend on. Raises DataError where it lacks any."""
    stages = in_order(list(wanted))
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
    leaking = {name: leaks(checks) for name, checks in findings.items() if leaks(checks)}
    if leaking and not allow_leaks:
        first = "; ".join(f"'{name}' ({checks[0].message})" for name, checks in leaking.items())
        raise DataError(
            f"the audit found leaks in {first}; `outshine audit {','.join(leaking)}` shows rows; mend the recipe or "
            f"leave the dataset out, or run all the same with --allow-leaks"
        )
    for name, checks in findings.items():
        for finding in checks:
            if finding.severity in ("leak", "warning"):
                progress.note(f"{name}: {finding.severity}, {finding.check}: {finding.message}")


def check_models(stages: Sequence[Stage], runtime: Runtime) -> None:
    """Have the weights and tokenizers of all models at hand before anything is computed. Raises OutshineError."""
    specs = [stage.classifier for stage in stages if isinstance(stage, Finetune)]
    refs = {spec.model.identity: spec.model for spec in specs}
    if refs:
        from outshine.learn.device import pick_device
        from outshine.learn.load import DTYPES, load_tokenizer
        from outshine.learn.model_files import weights_folder
        from outshine.learn.nf4 import check_nf4

        for dtype in {spec.compute_dtype for spec in specs if in_four_bits(spec)}:
            check_nf4(pick_device(runtime), DTYPES[dtype])
        for ref in sorted(refs.values(), key=lambda ref: ref.name):
            weights_folder(ref)
            load_tokenizer(ref)


def by_model(experiments: list[Experiment]) -> list[Stage]:
    """All stages asked for, supervisors first, so that each base model is loaded once."""
    stages = [stage for experiment in experiments for stage in experiment.stages()]
    supervisors = {supervisor.key for experiment in experiments for supervisor in experiment.wiring.supervisors}
    return sorted(stages, key=lambda stage: stage.key not in supervisors)
