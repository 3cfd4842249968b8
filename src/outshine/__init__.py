"""outshine: weak-to-strong generalization, from a dataset and two models to a gap recovered with its interval.

>>> import outshine
>>> results = outshine.run(outshine.Study(datasets=["tiny-home"], weak="tiny/weak", strong="tiny/strong"))
>>> results.summary[["dataset", "weak_auroc", "student_auroc", "ceiling_auroc", "pgr"]]
>>> student = outshine.load(results.scores.query("role == 'student'")["key"].iloc[0])
>>> student.predict_proba(["a text", "another text"])
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from outshine.api import label, load, run, score, select
    from outshine.engine.errors import OutshineError
    from outshine.labelling.results import LabelResults
    from outshine.results.finished import StudyFailedError
    from outshine.results.results import Results
    from outshine.results.score.measure import ScoreResults
    from outshine.w2s.load_predictor import Loaded
    from outshine.w2s.study import Study

__all__ = [
    "LabelResults",
    "Loaded",
    "OutshineError",
    "Results",
    "ScoreResults",
    "Study",
    "StudyFailedError",
    "label",
    "load",
    "run",
    "score",
    "select",
]

_HOMES = {
    "LabelResults": "outshine.labelling.results",
    "Loaded": "outshine.w2s.load_predictor",
    "OutshineError": "outshine.engine.errors",
    "Results": "outshine.results.results",
    "ScoreResults": "outshine.results.score.measure",
    "Study": "outshine.w2s.study",
    "StudyFailedError": "outshine.results.finished",
    "label": "outshine.api",
    "load": "outshine.api",
    "run": "outshine.api",
    "score": "outshine.api",
    "select": "outshine.api",
}


def __getattr__(name: str) -> Any:
    """Import the public names when they are first used: `import outshine` and `outshine --help` stay quick."""
    if name not in _HOMES:
        raise AttributeError(f"module 'outshine' has no attribute '{name}'")
    from importlib import import_module

    from outshine.engine.threads import wait_asleep

    wait_asleep()
    return getattr(import_module(_HOMES[name]), name)


def __dir__() -> list[str]:
    return sorted(__all__)
