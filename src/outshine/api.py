"""outshine from Python: the same studies and the same frames as on the command line."""

from __future__ import annotations

import difflib
import inspect
from collections.abc import Callable, Mapping, Sequence
from functools import wraps
from pathlib import Path
from typing import Any, ParamSpec, TypeVar

from outshine.engine.errors import SettingsError
from outshine.engine.progress import Progress
from outshine.engine.runtime import Runtime
from outshine.engine.store.open_store import open_store
from outshine.labelling.files import check_output, write_labelled
from outshine.labelling.results import LabelResults
from outshine.labelling.run import run_label
from outshine.labelling.settings import parse_label_settings
from outshine.report.write import check_writable, write_outputs
from outshine.results.finished import StudyFailedError
from outshine.results.results import Results
from outshine.selection.run import Selected, select_in
from outshine.share.follow import run_tracked
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
    own = [name for name, one in signature.parameters.items() if one.kind is not one.VAR_KEYWORD]
    takes_more = len(own) < len(signature.parameters)

    @wraps(function)
    def called(*args: P.args, **kwargs: P.kwargs) -> R:
        try:
            signature.bind(*args, **kwargs)
        except TypeError as error:
            raise ArgumentError(f"outshine.{function.__name__}: {_told(error, kwargs, own, takes_more)}") from None
        return function(*args, **kwargs)

    return called


def _told(error: TypeError, given: Mapping[str, Any], own: Sequence[str], takes_more: bool) -> str:
    for name in given:
        if name in own:
            continue
        close = difflib.get_close_matches(name, own, n=1)
        if close and close[0] not in given:
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
    """Run a study and return its frames (`scores`, `pgr`, `summary`) and pooled PGRs.

    What `store`, a folder or a URL (default: `default_store()`), already has is not computed again. With `out`, the
    tables, `study.yaml` and `report.html` are written there. A dataset whose audit finds a leak is refused unless
    `allow_leaks`. `log`: trackers that curves and scores go to (`wandb`, `tensorboard`, `trackio`); what they keep on
    this machine lies in `out`, or in the current folder. Where torchrun started several processes, all call this and
    compute together; the first writes. Raises OutshineError for what a user can mend; where stages failed a
    StudyFailedError, whose `results` are those of the methods that are finished, which are written to `out` too.
    """
    with together() as processes:
        if out is not None and processes.is_main:
            check_writable(Path(out))
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
def select(study: Study, store: Path | str | None = None, *, num_draws: int | None = None) -> Selected:
    """How well label-free rules, or n trusted labels, would have picked a method or checkpoint of a study that ran.

    Frames `regret` and `pooled`, the tables of `outshine select`. Trains nothing; the ground truth of val and test is
    used for this look back alone. `num_draws`: random sets of rows for each n (default 1,000). Raises DataError where
    the store lacks a part of the study, or there is nothing to choose.
    """
    return select_in(study, open_store(store), num_draws)


@_named_arguments
def load(
    key: str,
    store: Path | str | None = None,
    *,
    model: str | None = None,
    trust_remote_code: str | None = None,
    runtime: Runtime | None = None,
) -> Loaded:
    """A finished supervisor, ceiling, student, control or probe, by its key or the beginning of it.

    Keys are in the column `key` of `Results.scores`, and `outshine ls` lists them. `store` as for `run`; the other
    arguments: see `Loaded`. Raises StoreError where no artefact, or several, have such a key, or it is of another kind.
    """
    opened = open_store(store)
    return Loaded(opened, opened.find(key), model=model, trust_remote_code=trust_remote_code, runtime=runtime)


@_named_arguments
def label(
    path: Path | str,
    *,
    weak_label: str,
    strong: str | dict[str, Any],
    text: str = "text",
    trusted: Path | str | None = None,
    columns: dict[str, Any] | None = None,
    store: Path | str | None = None,
    out: Path | str | None = None,
    progress: Progress | None = None,
    **settings: Any,
) -> LabelResults:
    """Cross-fit a student on the cheap labels of a file; its opinion of every row, and whether it beats the labels.

    `weak_label`, `text`: columns of the file; `columns`: others, as of `Columns` (`id`, `group`, `trusted_label`), and
    what the labels' values mean (`positive`, `negative`, `missing`). `trusted`: a file of rows with true labels, which
    reach no student. `settings`: the other fields of `Labeller`, such as `limit`, `folds`, `seed`, `loss`, `training`,
    `runtime`. With `out` the file with new columns, `suspects.csv`, `to_judge.csv`, `evidence.json` and `label.yaml`
    are written there. Raises OutshineError for what a user can mend. What it can and cannot tell: docs/label.md.
    """
    raw = {
        "path": str(path),
        "columns": {"text": text, "label": weak_label, **(columns or {})},
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
