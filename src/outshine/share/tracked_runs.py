"""Runs as trackers receive them: one for each fine-tuning, and one for the study as a whole."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from importlib import import_module
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

from outshine.engine.errors import SettingsError
from outshine.engine.messages import one_line
from outshine.w2s.stages.finetune import Finetune

if TYPE_CHECKING:
    from outshine.engine.store.store import Store
    from outshine.results.read.artefacts import Reader
    from outshine.results.results import Results
    from outshine.w2s.expand import Experiment, Resolution

Fact = str | int | float | bool | None

_CURVE = {  # column of curve.parquet -> name of the metric
    "loss": "train/loss",
    "grad_norm": "train/grad_norm",
    "learning_rate": "train/learning_rate",
    "val_auroc": "val/auroc_on_given_labels",  # of a student: on its weak labels, not on the truth
}
_SUMMARY = ("student_auroc", "student_low", "student_high", "student_minus_weak", "pgr", "pgr_low", "pgr_high")


class TrackedRun(NamedTuple):
    """Numbers with names, and the settings that they belong to. No text of a dataset is ever among them.

    Attributes:
        id: The stage's key, or the study's name and digest; what was tracked once is not tracked again.
        name: For people: dataset, student and seed.
        group: The study's name.
        config: Settings and facts by name.
        points: Metrics along training: optimizer updates made, and values by name.
        final: Scores at the end, by name.
    """

    id: str  # the stage's key, or the study's name and digest: what is tracked once is not tracked again
    name: str
    group: str  # the study
    config: dict[str, Fact]
    points: list[tuple[int, dict[str, float]]]  # (optimizer updates made, metrics)
    final: dict[str, float]


class TrackedFinetune(NamedTuple):
    """One fine-tuning of a study: the first experiment that it is part of, and what tables say about it."""

    stage: Finetune
    run: Experiment
    facts: Mapping[str, Any]


def fine_tunings(experiments: Iterable[Experiment]) -> dict[str, TrackedFinetune]:
    """Every fine-tuning of the experiments once, by key."""
    from outshine.results.read.scores import roles

    parts: dict[str, TrackedFinetune] = {}
    for run in experiments:
        for facts, stage in roles(run):
            if isinstance(stage, Finetune):
                parts.setdefault(stage.key, TrackedFinetune(stage, run, facts))
    return parts


def tracked_fine_tuning(study: str, part: TrackedFinetune, reader: Reader) -> TrackedRun:
    """A finished fine-tuning: its curve as points, its scores against ground truth as final values."""
    from outshine.report.text import contender_name
    from outshine.results.read.scores import split_scores

    stage, facts = part.stage, part.facts
    who = contender_name(facts) if facts["method"] else facts["role"]
    name = f"{facts['dataset']} {who} seed {facts['seed']}"
    scores = split_scores(part.run, stage, reader)
    final = {
        f"{split}/{measure}": measured[measure]
        for split, measured in scores.items()
        for measure in ("auroc", "auroc_low", "auroc_high", "accuracy")
    }
    return TrackedRun(
        id=stage.key,
        name=f"{one_line(name)} {stage.key[:8]}",
        group=study,
        config=_clean({"study": study, **facts, **_settings(stage), **_counts(stage, reader.store)}),
        points=_points(stage, reader.store),
        final=_finite(final),
    )


def tracked_study(digest: str, resolution: Resolution, results: Results) -> TrackedRun:
    """The study as a whole: student's AUC, what it gained and PGR, by dataset and method; then the pooled PGRs."""
    from outshine.report.text import contender_name

    study = resolution.study
    final: dict[str, float] = {}
    for _, row in results.summary.iterrows():
        final |= {f"{row['dataset']}/{contender_name(row)}/{name}": row[name] for name in _SUMMARY}
    for method in results.pooled:
        pgr = method.pooled.these_datasets
        where = f"pooled/{contender_name(method._asdict())}"
        final |= {f"{where}/pgr": pgr.value, f"{where}/pgr_low": pgr.low, f"{where}/pgr_high": pgr.high}
    config: dict[str, Any] = {
        "study": study.name,
        "digest": digest,
        "datasets": ", ".join(prepare.name for prepare in resolution.prepares),
        "weak": study.weak.model if study.weak else None,
        "strong": study.strong.model,
        "loss": study.loss.kind,
        "seeds": ", ".join(map(str, study.seeds)),
    }
    named = {one_line(name): value for name, value in final.items()}
    return TrackedRun(f"{study.name} {digest}", f"{study.name} results", study.name, _clean(config), [], _finite(named))


def _settings(stage: Finetune) -> dict[str, Any]:
    training = {f"training.{name}": value for name, value in stage.training.model_dump(mode="json").items()}
    tuning = {f"tuning.{name}": value for name, value in stage.classifier.tuning.model_dump(mode="json").items()}
    return {"model": stage.classifier.name, "learning_rate": stage.learning_rate, **tuning, **training}


def _counts(stage: Finetune, store: Store) -> dict[str, Any]:
    return {name: value for name, value in stage.summary(store).items() if isinstance(value, int)}


def _points(stage: Finetune, store: Store) -> list[tuple[int, dict[str, float]]]:

    curve = stage.read_curve(store)
    return [
        (int(row["step"]), _finite({metric: row[column] for column, metric in _CURVE.items()}))
        for row in curve.to_dict(orient="records")
    ]


def _finite(values: Mapping[str, Any]) -> dict[str, float]:
    return {name: float(value) for name, value in values.items() if math.isfinite(value)}


def _clean(facts: Mapping[str, Any]) -> dict[str, Fact]:
    """Plain values; text in one line, without secrets."""
    return {name: one_line(value) if isinstance(value, str) else value for name, value in facts.items()}


PROJECT = "outshine"  # what a tracker files runs under, where its own environment names nothing else


class Tracker(Protocol):
    """A place that finished runs are written to, such as Weights & Biases or TensorBoard."""

    def write(self, run: TrackedRun) -> None:
        """Write one run, whole; whatever it raises is told in a note, and the study goes on without it.

        Args:
            run: The run's curve, scores and settings.
        """


def package(name: str, tracker: str) -> Any:
    """A module of an optional package. Raises SettingsError where it is not installed."""
    try:
        return import_module(name)
    except ImportError as error:
        raise SettingsError(
            f"--log {tracker} needs a package that cannot be imported ({error}); pip install 'outshine[{tracker}]'"
        ) from error
