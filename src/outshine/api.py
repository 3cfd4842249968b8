"""The Python interface: run, select, score, load and label."""

from __future__ import annotations

import difflib
import inspect
from collections.abc import Callable, Mapping, Sequence
from functools import wraps
from pathlib import Path
from typing import Any, ParamSpec, TypeVar

from outshine.data.label_spellings import Words
from outshine.engine.errors import SettingsError
from outshine.engine.progress import Progress
from outshine.engine.runtime import Runtime
from outshine.engine.store.store import open_store
from outshine.labelling.files import check_output, write_labelled
from outshine.labelling.results import LabelResults
from outshine.labelling.run import parse_label_settings, run_label
from outshine.labelling.saved_student import SavedStudent, is_saved_student
from outshine.report.write import check_run_folder, check_writable, write_outputs, write_score
from outshine.results.finished import StudyFailedError
from outshine.results.results import Results
from outshine.results.score.measure import ScoreResults, ScoreSettings, ScoreSources
from outshine.results.score.measure import score as measure_predictions
from outshine.results.score.predictions import Columns, Source
from outshine.selection.run import SelectionRegret, select_in
from outshine.share.tracking import run_tracked
from outshine.w2s.compute_study import together
from outshine.w2s.load_predictor import Loaded
from outshine.w2s.study import Study

P = ParamSpec("P")
R = TypeVar("R")


class ArgumentError(SettingsError, TypeError):
    """An argument that a function of outshine does not have, or one that it needs and was not given."""


def _named_arguments(function: Callable[P, R]) -> Callable[P, R]:
    """Have a call with wrong arguments told in one line, with the nearest name for a misspelt one."""
    signature = inspect.signature(function)
    own = [name for name, parameter in signature.parameters.items() if parameter.kind is not parameter.VAR_KEYWORD]
    takes_more = len(own) < len(signature.parameters)

    @wraps(function)
    def called(*args: P.args, **kwargs: P.kwargs) -> R:
        try:
            signature.bind(*args, **kwargs)
        except TypeError as error:
            raise ArgumentError(
                f"outshine.{function.__name__}: {_argument_error(error, kwargs, own, takes_more)}"
            ) from None
        return function(*args, **kwargs)

    return called


def _argument_error(error: TypeError, arguments: Mapping[str, Any], own: Sequence[str], takes_more: bool) -> str:
    for name in arguments:
        if name in own:
            continue
        close = difflib.get_close_matches(name, own, n=1)
        if close and close[0] not in arguments:
            return f"unknown argument '{name}'; did you mean '{close[0]}'?"
        if not takes_more:
            where = f": it is a setting of the study, Study({name}=…)" if name in Study.model_fields else ""
            return f"unknown argument '{name}'{where or '; known: ' + ', '.join(own)}"
    return str(error)


@_named_arguments
def run(
    study: Study,
    store: Path | str | None = None,
    out: Path | str | None = None,
    progress: Progress | None = None,
    *,
    allow_leaks: bool = False,
    log: Sequence[str] = (),
) -> Results:
    """Run a study and read its results.

    What the store already has is not computed again. Where torchrun started several processes, all of them call this
    and compute together; the first writes.

    Args:
        study: What to run.
        store: A folder or a URL where artefacts are kept. None: `$OUTSHINE_STORE`, else the user's cache.
        out: A folder for the tables (CSV and Parquet), `study.yaml` and `report.html`. None: nothing is written.
        progress: A listener that is told of stages, rows and notes. None: silent.
        allow_leaks: Run even where an audit finds that the form of the texts gives labels away.
        log: Trackers that curves and scores are written to: `wandb`, `tensorboard`, `trackio`. What they keep on this
            machine lies in `out`, else in the current folder.

    Returns:
        The frames of the study and its pooled PGRs.

    Raises:
        ArgumentError: An argument is unknown or missing.
        StudyFailedError: Stages failed. All that does not need them is finished; its results are in the error, and in
            `out`.
        DataError: An audit found a leak and `allow_leaks` is false, or rows cannot be used.
        SettingsError: A setting cannot be used here, or a tracker's package is not installed.
        UnknownNameError: A name in `log` is no tracker.
        HubError: A model or a dataset could not be fetched.
        ModelError: A model cannot be used as a classifier.
        OutputError: `out` cannot be written.
        StoreError: The store cannot be read or written.

    Example:
        >>> study = outshine.Study(datasets=["tiny-home"], weak="tiny/weak", strong="tiny/strong")
        >>> results = outshine.run(study, store="store")
        >>> results.summary[["dataset", "weak_auroc", "student_auroc", "ceiling_auroc"]]
    """
    with together() as processes:
        if out is not None and processes.is_main:
            check_run_folder(Path(out))
        opened = open_store(store)
        folder = Path(out) if out is not None else Path()
        try:
            finished = run_tracked(study, opened, progress, log, folder, allow_leaks=allow_leaks, processes=processes)
        except StudyFailedError as error:
            if error.finished and out is not None and processes.is_main:
                write_outputs(error.finished, opened, Path(out))
            raise
        if out is not None and processes.is_main:
            write_outputs(finished, opened, Path(out))
        return finished.results


@_named_arguments
def select(study: Study, store: Path | str | None = None, *, num_draws: int | None = None) -> SelectionRegret:
    """Compute what choosing without ground truth would have lost in a study that ran.

    The choices are methods on a dataset and checkpoints of a student. Each label-free rule, and each number n of
    trusted labels, picks one; its regret is the test AUROC of the best candidate less that of the picked one. Nothing
    is trained. The ground truth of val and test is used for this look back alone.

    Args:
        study: A study of which the store has every stage.
        store: A folder or a URL. None: `$OUTSHINE_STORE`, else the user's cache.
        num_draws: Random sets of val rows for each n. None: 1,000.

    Returns:
        The frames `regret` and `pooled`.

    Raises:
        ArgumentError: An argument is unknown or missing.
        DataError: The store lacks a part of the study, or there is nothing to choose among.
        StoreError: The store cannot be read.

    Example:
        >>> regret, pooled = outshine.select(study, store="store")
        >>> pooled.query("dataset == 'tiny-home' and rule == 'trusted'")[["dataset", "n"]]
    """
    return select_in(study, open_store(store), num_draws)


@_named_arguments
def score(
    predictions: Source | Sequence[Source] = (),
    *,
    weak: Source | Sequence[Source] = (),
    student: Source | Sequence[Source] | Mapping[str, Any] = (),
    ceiling: Source | Sequence[Source] = (),
    controls: Mapping[str, Any] | None = None,
    labels: Source | None = None,
    metric: Any = (),
    values: str = "auto",
    pairs: bool = False,
    classes: Sequence[str] = (),
    baseline: str = "",
    columns: Mapping[str, str] | None = None,
    out: Path | str | None = None,
) -> ScoreResults:
    """Measure predictions that were made anywhere as a study's are: values, PGRs, gaps, paired comparisons.

    Nothing is trained. Which columns tables have, and which logs are read: docs/score.md.

    Args:
        predictions: Tables of several models, frames or files: a row a test row with columns weak, student, ceiling and
            label, or a row a model and test row with a column role.
        weak: The supervisor's predictions alone, or its log; several are several seeds.
        student: The student's likewise, or a mapping from methods to theirs.
        ceiling: The ceiling's likewise.
        controls: From the names of controls to their predictions, which are compared with the student's.
        labels: A table of the truth, where it lies by itself.
        metric: A metric or several, by name. None is named: AUROC, of K classes macro AUROC, of pairs pair accuracy.
        values: What the values are: `log-odds` (of K classes logits), `probability`, `auto`, or `weak=probability,…`.
        pairs: Whether rows are pairs, of which label and values say whether the first is better.
        classes: The labels in the order of the values, where columns do not name them.
        baseline: The method that others are compared with. Empty: the first.
        columns: Names of the columns `label`, `group` and `id`, and what labels mean (`positive`, `negative`,
            `missing`).
        out: A folder for the tables (CSV and Parquet) and the figure. None: nothing is written.

    Returns:
        Frames of values, PGRs, seeds and comparisons.

    Raises:
        ArgumentError: An argument is unknown.
        DataError: Predictions or labels cannot be used.
        SettingsError: An argument or a metric does not suit the predictions.
        UnknownNameError: There is no such metric or baseline.
        OutputError: `out` cannot be written.

    Example:
        >>> scored = outshine.score("predictions.csv", metric="accuracy")
        >>> scored.summary[["method", "student_minus_weak", "pgr", "pgr_low", "pgr_high"]]
    """
    if out is not None:
        check_writable(Path(out))
    told = dict(columns or {})
    names = [told.pop(name, None) for name in Columns._fields]
    words = Words(*(told.pop(name, None) for name in Words._fields))
    if told:
        known = ", ".join((*Columns._fields, *Words._fields))
        raise SettingsError(f"columns has '{next(iter(told))}'; known: {known}")
    students = student if isinstance(student, Mapping) else {"": student}
    sources = ScoreSources(
        _several(predictions),
        _several(weak),
        {name: files for name, one in students.items() if (files := _several(one))},
        _several(ceiling),
        {name: _several(one) for name, one in (controls or {}).items()},
        labels,
    )
    metrics = _several(metric)
    settings = ScoreSettings(metrics, values, pairs, tuple(classes), Columns(*names), words, baseline)
    results = measure_predictions(sources, settings)
    if out is not None:
        write_score(results, Path(out))
    return results


def _several(value: Any) -> list[Any]:
    """Nothing, one thing, or a sequence of them, as a list."""
    if value is None:
        return []
    return list(value) if isinstance(value, list | tuple) else [value]


@_named_arguments
def load(
    key: str,
    store: Path | str | None = None,
    *,
    model: str | None = None,
    trust_remote_code: str | None = None,
    runtime: Runtime | None = None,
) -> Loaded | SavedStudent:
    """Load a trained model or probe from a store, or the model of a labelling from its folder.

    Args:
        key: The key of a supervisor, ceiling, student, control or probe, or a beginning that only one has. Keys are in
            the column `key` of `Results.scores`, and `outshine ls` lists them. Or the folder `student` that
            `outshine label` wrote.
        store: A folder or a URL. None: `$OUTSHINE_STORE`, else the user's cache.
        model: The folder of the base model, where that was a folder that has moved; other weights are refused.
        trust_remote_code: The base's name once more, where its repository's own code is to be run.
        runtime: Where to compute, such as `Runtime(device="cpu")`. None: chosen for this machine.

    Returns:
        The predictor. Its weights are read when they are first needed. Of a labelling its model
            (`outshine.labelling.saved_student.SavedStudent`), which predicts new texts.

    Raises:
        ArgumentError: An argument is unknown or missing.
        StoreError: No artefact has such a key, several have, or it is no predictor.

    Example:
        >>> student = outshine.load(results.scores.query("role == 'student'")["key"].iloc[0], store="store")
        >>> student.predict_proba(["where does fofe live ? in"])
    """
    if is_saved_student(key):
        return SavedStudent(Path(key), model=model, trust_remote_code=trust_remote_code, runtime=runtime)
    opened = open_store(store)
    return Loaded(opened, opened.find(key), model=model, trust_remote_code=trust_remote_code, runtime=runtime)


@_named_arguments
def label(
    path: Path | str,
    *,
    weak_label: str | None,
    strong: str | dict[str, Any] | None = None,
    text: str = "text",
    trusted: Path | str | None = None,
    columns: dict[str, Any] | None = None,
    store: Path | str | None = None,
    out: Path | str | None = None,
    progress: Progress | None = None,
    **settings: Any,
) -> LabelResults:
    """Cross-fit a student on the weak labels of a file, and compare the two.

    The file's rows are dealt to folds, and each fold is predicted by a student that trained on the others. Rows with
    true labels, where given, decide whether the student is better than the labels. What this can and cannot tell:
    docs/label.md.

    Args:
        path: The file: CSV, JSON lines or Parquet.
        weak_label: The column with the weak labels: classes or probabilities. None: `columns` names several (`votes`).
        strong: The student's model: a hub name, a folder, `tiny/strong`, or a mapping of model settings. None: the
            column `probs` has the probabilities of a model of yours.
        text: The column with the texts.
        trusted: A file of rows with true labels, which reach no student. None: no verdict.
        columns: Other columns (`id`, `group`, `trusted_label`, `votes`, `probs`), and what the labels' values mean
            (`positive`, `negative`, `missing`, or `classes` where there are three or more).
        store: A folder or a URL. None: `$OUTSHINE_STORE`, else the user's cache.
        out: A folder for the file with new columns, `suspects.csv`, `to_judge.csv`, `evidence.json`, `label.yaml` and
            the folder `student` with a model for new texts, which `load` reads. None: nothing is written.
        progress: A listener that is told of stages, rows and notes. None: silent.
        **settings: Other fields of `LabelSettings`, such as `student`, `limit`, `folds`, `seed`, `loss`, `training` and
            `runtime`.

    Returns:
        The student's opinion of every row, the labels in doubt, and what the trusted rows say.

    Raises:
        ArgumentError: An argument is missing.
        SettingsError: A setting is unknown or of a wrong value.
        DataError: The rows or labels of a file cannot be used.
        HubError: The model could not be fetched.
        ModelError: The model cannot be used as a classifier.
        OutputError: `out` cannot be written.
        StoreError: The store cannot be read or written.
        StagesFailedError: A student could not be trained.
    """
    raw = {
        "path": str(path),
        "columns": {"text": text, **({"label": weak_label} if weak_label else {}), **(columns or {})},
        "trusted": None if trusted is None else str(trusted),
        "strong": strong,
        **settings,
    }
    labeller = parse_label_settings(raw)
    if out is not None:
        check_output(labeller, Path(out))
    done = run_label(labeller, open_store(store), progress)
    if out is not None:
        write_labelled(done, Path(out))
    return done.labelling
