"""The section on reproducing a study: its resolved file, models and data, versions, and every key."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from outshine.engine.stage import in_order
from outshine.report.tables import TextTable
from outshine.w2s.study_file import study_yaml

if TYPE_CHECKING:
    from collections.abc import Sequence

    from outshine.engine.store.store import Store
    from outshine.learn.resolve import Resolved
    from outshine.results.finished import Finished

SHOWN_DIGITS = 12  # of a key; `outshine show` takes as many


def reproduction(finished: Finished, store: Store) -> dict[str, Any]:
    """`yaml`, `sources` (models and datasets with their revisions), `versions` and `stages` for the template."""
    stages = in_order([stage for experiment in finished.experiments for stage in experiment.stages()])
    records = [store.done(stage.key)["made"] for stage in stages]
    rows = []
    for stage, made in zip(stages, records, strict=True):
        summary = getattr(stage, "summary", None)
        notes = summary(store)["notes"] if summary else []
        rows.append([stage.key[:SHOWN_DIGITS], stage.label, f"{made['seconds']:.1f}", "; ".join(notes)])
    return {
        "yaml": study_yaml(finished.resolution.study),
        "sources": _sources(finished),
        "versions": _versions(records),
        "stages": TextTable("", ["key", "stage", "seconds", "notes"], rows, right=["seconds"]),
        "seconds": sum(made["seconds"] for made in records),
    }


def _sources(finished: Finished) -> TextTable:
    resolution = finished.resolution
    models = [
        ("weak supervisor", resolution.weak),
        ("strong student and ceiling", resolution.strong),
        *(("model of a method", one) for one in resolution.of_methods.values()),
    ]
    rows = [_model(role, resolved) for role, resolved in models if resolved is not None]
    rows += [["dataset", prepare.name, prepare.source] for prepare in resolution.prepares]
    return TextTable("", ["what", "name", "revision"], rows)


def _model(role: str, resolved: Resolved) -> list[str]:
    return [role, resolved.spec.name, resolved.spec.model.identity]


def _versions(records: Sequence[dict[str, Any]]) -> str:
    """`outshine 0.1.0, Python 3.11.7, torch 2.13.0+cpu, …`; several versions of one where stages differ in it."""
    found: dict[str, set[str]] = {}
    for made in records:
        for name, number in {"Python": made.get("python"), **made.get("packages", {})}.items():
            found.setdefault(name, set()).add(str(number or "unknown"))
    first = ["outshine", "Python"]
    names = [*first, *sorted(found.keys() - set(first))]
    return ", ".join(f"{name} {' and '.join(sorted(found[name]))}" for name in names)
