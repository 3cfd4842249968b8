"""Exports of annotation tools: tasks of Label Studio and records of Argilla, read as plain rows and written back.

Sources: labelstud.io/guide/task_format and /guide/predictions (JSON with annotations and predictions); Argilla 2,
`Record.to_dict` (fields, metadata, suggestions, responses, vectors), which `dataset.records.to_json` writes.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from outshine.data.rows import Row
from outshine.data.user_tables import Table, check_columns, read_table, refuse_repeated

AGENT = "outshine"


class Answer(NamedTuple):
    """What outshine says of a row: `label` as the file writes it, the probability of that label, how doubted it is."""

    label: Any
    p: float | None
    suspicion: float | None

    @property
    def score(self) -> float | None:
        """How sure it is of the label that is there: low where it is doubted, so that those rows are opened first."""
        return self.p if self.suspicion is None else 1 - self.suspicion


def read_labelling_table(path: str | Path, needed: Mapping[str, str] | Sequence[str] = ()) -> Table:
    """Read a table, tasks of Label Studio or records of Argilla as rows; arguments and errors as of `read_table`.

    A task has the columns of its data, `id`, `prediction` and `prediction_score` (its last prediction), `annotation`
    (its first that was not cancelled). A record has its fields and metadata, `id`, and for each question `QUESTION`
    (the suggestion), `QUESTION.score` and `QUESTION.response` (the first response).
    """
    options = needed if isinstance(needed, Mapping) else dict.fromkeys(needed, "")
    table = read_table(path)
    plain = _as_rows(table.rows)
    if plain is None:
        check_columns(f"'{path}'", table.rows, options, table.columns)
        refuse_repeated(path, table, options)
        return table
    columns = list(dict.fromkeys(name for row in plain for name in row))
    check_columns(f"'{path}'", plain, options, columns)
    return Table(plain, columns, frozenset(), table.notes)


def is_answer_of_people(column: str, columns: Sequence[str]) -> bool:
    """Whether a column of `read_labelling_table` holds what people answered; they need not have done so everywhere."""
    return (column == "annotation" and "prediction" in columns) or column.endswith(".response")


def answered(rows: Sequence[Row], answers: Sequence[Answer], label: str) -> list[Row] | None:
    """Return tasks or records with what outshine says as a prediction or a suggestion; None: they are plain rows.

    `label`: the column with the cheap labels, of a record the question that they answer.
    """
    if _are_tasks(rows):
        return [_with_prediction(row, answer) for row, answer in zip(rows, answers, strict=True)]
    if _are_records(rows):
        question = label.split(".")[0]
        return [_with_suggestion(row, answer, question) for row, answer in zip(rows, answers, strict=True)]
    return None


def _as_rows(rows: Sequence[Row]) -> list[Row] | None:
    if _are_tasks(rows):
        return [_row_of_task(row) for row in rows]
    return [_row_of_record(row) for row in rows] if _are_records(rows) else None


def _are_tasks(rows: Sequence[Row]) -> bool:
    known = any({"annotations", "predictions"} & set(row) for row in rows)  # a task that nobody saw may have neither
    return known and all(isinstance(row.get("data"), dict) for row in rows)


def _are_records(rows: Sequence[Row]) -> bool:
    return all(isinstance(row.get("fields"), dict) and {"suggestions", "responses"} & set(row) for row in rows)


def _row_of_task(task: Row) -> Row:
    predictions = [item for item in task.get("predictions") or [] if isinstance(item, dict)]
    annotations = [item for item in task.get("annotations") or [] if isinstance(item, dict)]
    kept = [item for item in annotations if not item.get("was_cancelled")]
    last = predictions[-1] if predictions else {}
    return {
        **({"id": str(task["id"])} if "id" in task else {}),
        **task["data"],
        "prediction": _choice(last),
        "prediction_score": last.get("score"),
        "annotation": _choice(kept[0]) if kept else None,
    }


def _choice(item: Row) -> Any:
    """Return the class of an annotation or a prediction; None: it names none, or several."""
    part = _choices(item)
    chosen = part["value"].get("choices") if part else None
    return chosen[0] if isinstance(chosen, list) and len(chosen) == 1 else None


def _choices(item: Row) -> dict[str, Any] | None:
    parts = [part for part in item.get("result") or [] if isinstance(part, dict) and part.get("type") == "choices"]
    return next((part for part in parts if isinstance(part.get("value"), dict)), None)


def _row_of_record(record: Row) -> Row:
    row: Row = {**({"id": str(record["id"])} if record.get("id") is not None else {}), **record["fields"]}
    row |= {name: value for name, value in (record.get("metadata") or {}).items() if name not in row}
    for question, suggestion in (record.get("suggestions") or {}).items():
        row |= {question: suggestion.get("value"), f"{question}.score": suggestion.get("score")}
    for question, responses in (record.get("responses") or {}).items():
        row[f"{question}.response"] = responses[0].get("value") if responses else None
    return row


def _with_prediction(task: Row, answer: Answer) -> Row:
    """Return a task with one prediction more, on the control that the others are on."""
    changed = copy.deepcopy(dict(task))
    if answer.label is None:
        return changed
    items = [*(task.get("predictions") or []), *(task.get("annotations") or [])]
    known = next((part for item in items if isinstance(item, dict) and (part := _choices(item))), {})
    names = {"from_name": known.get("from_name", "label"), "to_name": known.get("to_name", "text")}
    result = [{**names, "type": "choices", "value": {"choices": [str(answer.label)]}}]
    earlier = [item for item in changed.get("predictions") or [] if item.get("model_version") != AGENT]
    changed["predictions"] = [*earlier, {"model_version": AGENT, "score": answer.score, "result": result}]
    return changed


def _with_suggestion(record: Row, answer: Answer, question: str) -> Row:
    """Return a record whose suggestion for the question is outshine's; responses stay."""
    changed = copy.deepcopy(dict(record))
    if answer.label is None:
        return changed
    suggestion = {"value": answer.label, "score": answer.score, "agent": AGENT}
    changed["suggestions"] = {**(record.get("suggestions") or {}), question: suggestion}
    return changed
