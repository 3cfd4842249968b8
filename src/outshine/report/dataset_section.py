"""The page's section on each dataset: splits, sample texts, audit, curves, and where student and supervisor differ."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from outshine.data.audit.findings import worst_first
from outshine.report import figures
from outshine.report.tables import ROLES, splits_table
from outshine.report.text import auroc_text, contender_name, decimal_text, excerpt, pgr_text
from outshine.results.names import Contender
from outshine.results.read.artefacts import Reader
from outshine.results.read.dataset_details import read_dataset_details

if TYPE_CHECKING:
    import pandas as pd

    from outshine.data.task import Task
    from outshine.engine.store.store import Store
    from outshine.report.study_section import HeadlineStudent
    from outshine.results.diagnostics import Disagreements
    from outshine.results.finished import FinishedStudy
    from outshine.results.read.dataset_details import DatasetDetails
    from outshine.w2s.stages.prepare import Prepare

MOST_CHARACTERS = 600  # of a text that is shown
ROLE_WORDS = {"weak": "supervisor", "student": "student", "ceiling": "ceiling"}


def dataset_pages(
    finished: FinishedStudy, headline: HeadlineStudent, store: Store, prefix: str
) -> list[dict[str, Any]]:
    """What the template shows of each dataset, in the study's order; `headline`: the student it is about.

    Where that student is not finished it is about the first method that is; where none is, the dataset is left out.
    """
    reader = Reader(store)
    shown = _shown(finished.results.summary, headline)
    pages = []
    for number, prepare in enumerate(finished.resolution.prepares, 1):
        if prepare.name not in shown:
            continue
        row = shown[prepare.name]
        student = Contender.of(row)
        details = read_dataset_details(prepare, finished.experiments, student, reader)
        tests = _tests(finished.results.trajectories, prepare.name, student)
        drawn = figures.curves_of_dataset(details.curves, tests, f"dataset-training-{number}")
        pages.append(
            {
                "id": f"{prefix}dataset-{number}",
                **_about(prepare, finished, store),
                "student": contender_name(row),
                "aurocs": _aurocs(row),
                "pgr": pgr_text(row),
                "samples": _samples(details, prepare.task),
                "curves": figures.svg(drawn, prefix),
                "with_tests": len(tests) > 0,
                "differ": None if details.differ is None else _differ(details.differ, prepare.task),
            }
        )
    return pages


def _shown(summary: pd.DataFrame, headline: HeadlineStudent) -> dict[str, dict[str, Any]]:
    """The row of the summary that each dataset's part is about."""
    methods = summary[summary["purpose"] == "method"].drop_duplicates("dataset").to_dict("records")
    rows: list[dict[Any, Any]] = [*methods, *headline.rows.to_dict("records")]
    return {row["dataset"]: row for row in rows}


def _about(prepare: Prepare, finished: FinishedStudy, store: Store) -> dict[str, Any]:
    report, recipe = prepare.report(store), prepare.recipe
    findings = worst_first(finished.findings.get(prepare.name, []))
    return {
        "name": prepare.name,
        "title": recipe.title,
        "meaning": recipe.meaning[0].upper() + recipe.meaning[1:],
        "source": recipe.source,
        "license": recipe.license,
        "note": recipe.note,
        "pinned": prepare.source,
        "splits": splits_table(report),
        "notes": report["notes"],
        "findings": [finding for finding in findings if finding.severity != "passed"],
        "num_passed": sum(finding.severity == "passed" for finding in findings),
    }


def _aurocs(row: Mapping[str, Any]) -> str:
    texts = {role: auroc_text(*(row[f"{role}_{end}"] for end in ("auroc", "low", "high"))) for role in ROLES}
    return ", ".join(f"{ROLE_WORDS[role]} {text}" for role, text in texts.items())


def _samples(details: DatasetDetails, task: Task) -> list[dict[str, str]]:
    return [
        {"label": task.class_names[row["label"]], "split": row["split"], "text": excerpt(row["text"], MOST_CHARACTERS)}
        for row in details.samples.to_dict("records")
    ]


def _tests(trajectories: pd.DataFrame, dataset: str, student: Contender) -> pd.DataFrame:
    """The student's test AUROC along training on one dataset."""
    own = trajectories[trajectories["dataset"] == dataset]
    return own if own.empty else own[[Contender.of(row) == student for row in own.to_dict("records")]]


def _differ(differing: Disagreements, task: Task) -> dict[str, Any]:
    return {
        "sentence": differ_sentence(differing),
        "several_classes": len(task.class_names) > 2,
        "second_class": task.class_names[1],
        "rows": [
            {
                "p_student": _answer(row, "student", task),
                "p_weak": _answer(row, "weak", task),
                "truth": task.class_names[int(row["y"])],
                "right": next((who for who in ("student", "weak") if row[f"{who}_right"]), ""),
                "text": excerpt(row["text"], MOST_CHARACTERS),
            }
            for row in differing.rows.to_dict("records")
        ],
    }


def _answer(row: Mapping[Any, Any], who: str, task: Task) -> str:
    """A probability: of two classes that of the second, of more that of the class which is called, with its name."""
    p = decimal_text(row[f"p_{who}"])
    return p if len(task.class_names) == 2 else f"{task.class_names[int(row[who])]} {p}"


def differ_sentence(differing: Disagreements) -> str:
    """On how many test rows the two differ, and how often the student is right there."""
    if not differing.num_apart:
        return f"Student and supervisor give the same label to all {differing.num_rows:,} test rows."
    share = f"{differing.num_apart / differing.num_rows:.0%}"
    neither = differing.num_apart - differing.num_student_right - differing.num_weak_right
    others = (
        f"{differing.num_weak_right:,}, neither on {neither:,}"
        if neither
        else f"the other {differing.num_weak_right:,}"
    )
    sentence = (
        f"Student and supervisor give different labels to {differing.num_apart:,} of {differing.num_rows:,} test rows "
        f"({share}); the student is right on {differing.num_student_right:,} of them, the supervisor on {others}."
    )
    if differing.one_sided:
        sentence += " The supervisor gives every row the same label, so this says little."
    return sentence
