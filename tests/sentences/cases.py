"""Cases in which sentences are printed: small results made by hand, and two pages of made-up studies."""

from __future__ import annotations

import io
import math
import tempfile
from collections.abc import Callable, Sequence
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from claim import shown
from rich.console import Console

from made_up import resolved
from outshine.cli.run import print_results
from outshine.data.audit.findings import Finding
from outshine.engine.store.store import Store
from outshine.report.page import render
from outshine.report.study_figures import StudyFigure, study_figures
from outshine.report.study_section import StudySection
from outshine.report.tables import pooled_table
from outshine.report.text import contender_name, pooled_sentence, question, uncertainty, verdict
from outshine.results.finished import FinishedStudy
from outshine.results.results import MethodPGR, Results, read_results
from outshine.results.training_notes import TRAINING_COLUMNS, training_notes
from outshine.share.card import card
from outshine.share.publication import Publication, PublishedModel
from outshine.stats.pgr import PGR, PooledPGR
from outshine.w2s.stages.finetune import Supervised

NAN = math.nan
AHEAD, BEHIND, OPEN, NO_GAP = (0.2, 0.6), (-0.6, -0.2), (-0.3, 0.4), None
Limits = tuple[float, float] | None


# -- a method's pooled PGR in words -----------------------------------------------------------------


def pgr(low: float, high: float) -> PGR:
    return PGR((low + high) / 2, low, high, True, "", 0.1, 0.2)


UNDEFINED = PGR(NAN, NAN, NAN, False, "the ceiling does not exceed the weak supervisor", 0.1, -0.01)


def answer(
    these: PGR,
    *limits: Limits,
    others: PGR = UNDEFINED,
    seeds: int = 3,
    saturated: int = 0,
    untrained: Sequence[str] = (),
) -> Callable[[], list[str]]:
    """All that is said of one method. `limits`: of each dataset's own PGR; None: there is no gap on it."""

    def said() -> list[str]:
        num = len(limits) + saturated
        own = [*limits, *[AHEAD] * saturated]
        rows = pd.DataFrame([one or (NAN, NAN) for one in own], columns=["pgr_low", "pgr_high"]).assign(
            dataset=[f"d{number}" for number in range(num)],
            num_seeds=seeds,
            weak_auroc=0.6,
            student_auroc=0.7,
            ceiling_auroc=0.9,
            student_minus_weak=0.1,
            defined=[one is not None for one in own],
            saturated=[number >= len(limits) for number in range(num)],
            purpose="method",
            method="vanilla",
            variant="",
            round=0,
            loss="xent",
        )
        record = PooledPGR(these, others, len(limits), len(limits) < 10)
        pooled = MethodPGR("vanilla", "", 0, "xent", record)
        told = [verdict(pooled, rows, untrained), *uncertainty(pooled, rows), pooled_sentence(pooled, rows)]
        cells = [cell for row in pooled_table([pooled], rows).rows for cell in row]
        return [*told, *cells, question("tiny/weak", "tiny/strong"), contender_name(pooled._asdict())]

    return said


# -- training ---------------------------------------------------------------------------------------

TRAINED: dict[str, Any] = {
    "study": "s",
    "dataset": "d",
    "weak": "w",
    "strong": "l",
    "purpose": "method",
    "method": "vanilla",
    "variant": "",
    "round": 0,
    "loss": "xent",
    "data_seed": 0,
    "seed": 0,
    "role": "student",
    "updates": 470,
    "warmup": 40,
    "chosen_update": 200,
    "num_validations": 19,
    "val_rows": 1000,
    "val_auroc": 0.8,
    "val_low": 0.75,
    "test_rows": 5000,
    "test_auroc": 0.8,
    "test_low": 0.78,
    "label_sd": 0.3,
    "test_sd": 0.3,
    "test_one_side": 0.55,
    "unknown_tokens": 0.0,
    "key": "k",
}


def training(**changes: Any) -> Callable[[], list[str]]:
    """What is said of one model that is as it should be but for the changes."""
    frame = pd.DataFrame([{**TRAINED, **changes}], columns=list(TRAINING_COLUMNS))
    return lambda: [note.text for note in training_notes(frame)]


# -- whole studies, on made-up predictions ------------------------------------------------------------

FULL: dict[str, Any] = {
    "datasets": ["tiny-home", "tiny-pet"],
    "seeds": [0, 1],
    "loss": "logconf",
    "methods": [
        {"kind": "vanilla", "loss": "xent"},
        {"kind": "vanilla", "loss": "logconf"},
        {"kind": "strong_to_strong", "rounds": 1},
        {"kind": "probe", "probe": "knn"},
        {"kind": "probe_to_strong", "probe": "logistic"},
        {"kind": "filtered", "filter": "topofilter"},
    ],
    "sweeps": [
        {"kind": "probe", "probe": "knn", "grid": {"layer": ["1/2", "last"], "probe.k": [1, 5]}},
        {"kind": "probe", "probe": "logistic", "grid": {"layer": ["1/2", "last"], "probe.penalty": [0.1, 1.0]}},
    ],
    "controls": True,
    "trajectories": True,
    "notes": ["a note of the study"],
}
BARE: dict[str, Any] = {"datasets": ["tiny-home"], "seeds": [0], "methods": ["vanilla"], "loss": "xent"}
STUDIES: dict[str, dict[str, Any]] = {
    "full": {**FULL, "metrics": ["accuracy"]},
    "bare": BARE,
    "three": {
        "datasets": ["tiny-home", "tiny-food", "tiny-pet"],
        "methods": [{"kind": "vanilla", "loss": "xent"}, {"kind": "vanilla", "loss": "logconf"}],
    },
    "two-methods": {**BARE, "methods": [{"kind": "vanilla", "loss": "xent"}, {"kind": "vanilla", "loss": "logconf"}]},
    "unbalanced": {**BARE, "splits": {"n_train": 96, "n_val": 40, "n_test": 60, "balance_student": False}},
    "last-weights": {**BARE, "training": {"select": "last"}},
    "four-bits": {**BARE, "strong": {"model": "tiny/strong", "tuning": {"kind": "lora", "base": "nf4"}}},
    "other-tests": {**BARE, "tests": {"pets": "tiny-pet"}},
    "file": BARE,  # its weak labels come from a file
}

_FOLDERS: list[Any] = []  # kept until the tests end


def _gap(stage: Any, sign: np.ndarray) -> np.ndarray:
    """Students between supervisors and ceilings."""
    if isinstance(stage, Supervised):
        return (1.5 if stage.train_split == "strong_train" else 0.4) * sign
    return 0.8 * sign


def _nothing(stage: Any, sign: np.ndarray) -> np.ndarray:
    """No model has learned anything."""
    return 0.0 * sign


def _one_gap(stage: Any, sign: np.ndarray) -> np.ndarray:
    """One dataset has a gap between supervisor and ceiling, the others have none."""
    if isinstance(stage, Supervised):
        far = stage.texts.origin.name == "tiny-home" and stage.train_split == "strong_train"
        return (3.0 if far else 0.8) * sign
    return 0.8 * sign


def _all(stage: Any, sign: np.ndarray) -> np.ndarray:
    """Every model has learned nearly everything."""
    return 3.0 * sign


SIGNALS = {"gap": _gap, "all": _all, "nothing": _nothing, "one gap": _one_gap}


@cache
def study(name: str, signal: str = "gap") -> tuple[FinishedStudy, Store]:
    """A finished study: `full` or `bare`, and what its predictions hold."""
    folder = tempfile.TemporaryDirectory()
    _FOLDERS.append(folder)
    store = Store(Path(folder.name))
    raw = {"name": name, **STUDIES[name]}
    if name == "file":
        raw |= {"weak": None, "labels": str(_label_file(Path(folder.name) / "labels.csv"))}
    resolution, experiments = resolved(store, raw, SIGNALS[signal], 60)
    results = read_results(name, experiments, store, resolution.study.metrics)
    severities = ("warning", "passed") if name == "full" else ("passed",)
    found = [Finding(f"check {one}", one, "what was found", examples=("a row",)) for one in severities]
    names = [prepare.name for prepare in resolution.prepares]
    return FinishedStudy(resolution, experiments, results, dict.fromkeys(names, found)), store


def _label_file(path: Path) -> Path:
    """Weak labels of the rows that a student sees, and of no test row."""
    finished, store = study("bare")
    rows = finished.resolution.prepares[0].read(store).texts
    seen = rows[rows["split"].isin(["strong_train", "val"])]
    p = np.random.default_rng(0).uniform(size=len(seen))
    pd.DataFrame({"id": seen["id"], "p_weak": p}).to_csv(path, index=False)
    return path


@cache
def figures(name: str) -> tuple[StudyFigure, ...]:
    finished, _ = study(name)
    return tuple(study_figures(finished.results, finished.resolution.study.loss.kind))


@cache
def _page(name: str, signal: str) -> str:
    finished, store = study(name, signal)
    drawn = figures(name) if signal == "gap" else study_figures(finished.results, "xent")
    return shown(render([StudySection(finished, drawn)], store))


def page(name: str, signal: str = "gap") -> Callable[[], list[str]]:
    """What a reader sees of the report of a study."""
    return lambda: [_page(name, signal)]


def captions(name: str) -> Callable[[], list[str]]:
    """Headings and captions of its figures."""
    return lambda: [text for plate in figures(name) for text in (plate.title, plate.caption, plate.name)]


@cache
def _drawn(name: str) -> str:
    import matplotlib.text

    found = [text for plate in figures(name) for text in plate.figure.findobj(matplotlib.text.Text)]
    return " | ".join(text.get_text().replace("\n", " ") for text in found)


def drawn(name: str) -> Callable[[], list[str]]:
    """What is written in its figures."""
    return lambda: [_drawn(name)]


@cache
def _two_pages() -> str:
    finished, store = study("bare")
    chapter = StudySection(finished, figures("bare"))
    return shown(render([chapter, chapter], store))


def two_studies() -> list[str]:
    """The report of two studies on one page."""
    return [_two_pages()]


def printed(name: str, signal: str = "gap", changed: Callable[[Results], Results] = lambda r: r) -> Callable:
    """What `run` prints of a study's results."""

    def said() -> list[str]:
        screen = Console(file=io.StringIO(), width=400)
        finished, _ = study(name, signal)
        print_results(changed(finished.results), finished.resolution.study.loss.kind, screen)
        return [" ".join(screen.file.getvalue().split())]  # type: ignore[attr-defined]

    return said


# -- cards --------------------------------------------------------------------------------------------


@cache
def _card(name: str, role: str, license_id: str | None) -> str:
    finished, store = study(name)
    models = _models(finished, role)
    subject = Publication(finished.resolution, models, finished.results, whole=not role)
    return " ".join(card(subject, store, "me/it", license_id).split())


def _models(finished: FinishedStudy, role: str) -> list[PublishedModel]:
    from outshine.results.read.scores import roles

    found = [
        PublishedModel(stage, run, facts)
        for run in finished.experiments
        if run.purpose != "sweep"
        for facts, stage in roles(run)
        if stage is not None
    ]
    wanted = {
        "": lambda model: True,
        "probe": lambda model: model.facts["method"] == "probe",
        "control": lambda model: model.facts["purpose"] == "control",
        "student": lambda model: model.facts["role"] == "student" and model.facts["method"] == "vanilla",
        "weak": lambda model: model.facts["role"] == "weak",
        "ceiling": lambda model: model.facts["role"] == "ceiling",
    }[role]
    chosen = [model for model in found if wanted(model)]
    return chosen if not role else chosen[:1]


def pushed(name: str, role: str = "", license_id: str | None = None) -> Callable[[], list[str]]:
    """The card of a study's repository, or of one of its models."""
    return lambda: [_card(name, role, license_id)]
