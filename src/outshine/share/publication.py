"""The choice of what is published: one model, or all models of a finished study."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

from outshine.engine.errors import StoreError
from outshine.engine.store.recorded_studies import recorded_studies
from outshine.results.finished import read_study
from outshine.w2s.compute_study import by_model, check_there
from outshine.w2s.expand import Experiment, Resolution, expand, resolve_study
from outshine.w2s.study_file import parse_study

if TYPE_CHECKING:
    from outshine.engine.store.store import Store
    from outshine.results.results import Results
    from outshine.w2s.stages.predictor import Predictor
    from outshine.w2s.study import Study


class PublishedModel(NamedTuple):
    """A predictor of a study, the first experiment that it is part of, and its columns of the table `scores`."""

    stage: Predictor
    run: Experiment
    facts: Mapping[str, Any]


class Publication(NamedTuple):
    """What is published. `results` are those of the whole study, or of the experiments that the one model is in."""

    resolution: Resolution
    models: list[PublishedModel]
    results: Results
    whole: bool

    @property
    def study(self) -> Study:
        """The resolved study."""
        return self.resolution.study


def of_study(study: Study, store: Store) -> Publication:
    """Supervisors, ceilings, students and controls of a finished study; sweeps are in its tables only.

    Raises DataError where the store lacks a part of it.
    """
    finished = read_study(study, store)
    models = _models(run for run in finished.experiments if run.purpose != "sweep")
    return Publication(finished.resolution, list(models.values()), finished.results, whole=True)


def of_key(key: str, store: Store) -> Publication:
    """One supervisor, student, ceiling, control or probe, read in the study that ran last of those that need it.

    Raises StoreError where no study does, or where the artefact is none of these, DataError where the store lacks what
    it is compared with.
    """
    from outshine.results.results import read_results

    for recorded in reversed(recorded_studies(store)):
        if key not in recorded.keys:
            continue
        resolution = resolve_study(parse_study(dict(recorded.study)))
        experiments = expand(resolution, store)
        model = _models(experiments).get(key)
        if model is None:
            raise StoreError(
                f"artefact {key[:16]} is '{store.done(key)['label']}'; expected is a supervisor, student, ceiling, "
                "control or probe of a study: `outshine ls --kind student` lists students"
            )
        alike = _same_but_seed(model.run, experiments)
        check_there(by_model(alike), store)
        return Publication(resolution, [model], read_results(resolution.study.name, alike, store), whole=False)
    raise StoreError(f"no study recorded in {store.where} needs artefact {key[:16]}; run its study once more")


def _models(experiments: Iterable[Experiment]) -> dict[str, PublishedModel]:
    """Every predictor of the experiments once, by key."""
    from outshine.results.read.scores import roles

    models: dict[str, PublishedModel] = {}
    for run in experiments:
        for facts, stage in roles(run):
            if stage is not None:
                models.setdefault(stage.key, PublishedModel(stage, run, facts))
    return models


def _same_but_seed(run: Experiment, experiments: Iterable[Experiment]) -> list[Experiment]:
    return [
        other
        for other in experiments
        if (other.prepare.key, other.purpose, other.method) == (run.prepare.key, run.purpose, run.method)
    ]
