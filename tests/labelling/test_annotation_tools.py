"""Tasks of Label Studio and records of Argilla: read as rows, written back with a prediction or a suggestion more."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np

from outshine.engine.store.store import Store
from outshine.labelling.annotation_tools import Answer, answered, read_labelling_table
from outshine.labelling.files import check_output, write_labelled
from outshine.labelling.run import parse_label_settings, run_label


def task(number: int, guess: str, truth: str | None, p: float = 0.7) -> dict[str, Any]:
    """A task in the shape of Label Studio's JSON export."""

    def result(choice: str) -> list[dict[str, Any]]:
        return [
            {
                "id": "a1",
                "from_name": "sentiment",
                "to_name": "review",
                "type": "choices",
                "value": {"choices": [choice]},
            }
        ]

    annotations = [{"id": 7, "was_cancelled": True, "result": result("Negative")}]
    if truth is not None:
        annotations.append({"id": 8, "completed_by": 1, "was_cancelled": False, "result": result(truth)})
    return {
        "id": number,
        "data": {"review": " ".join(f"w{10 * number + k}" for k in range(8)), "model_p": p},
        "annotations": annotations,
        "predictions": [{"model_version": "vader", "score": 0.8, "result": result(guess)}],
        "meta": {},
    }


def record(number: int, guess: str, truth: str | None) -> dict[str, Any]:
    """A record as `Record.to_dict` of Argilla 2 has it."""
    return {
        "id": f"rec-{number}",
        "fields": {"review": f"text {number}"},
        "metadata": {"source": "shop"},
        "suggestions": {"sentiment": {"value": guess, "score": 0.8, "agent": "vader"}},
        "responses": {} if truth is None else {"sentiment": [{"value": truth, "user_id": "u1"}]},
        "vectors": {},
        "_server_id": f"0f0f{number:04d}-0000-4000-8000-000000000000",
    }


def test_tasks_are_rows(tmp_path: Path) -> None:
    path = tmp_path / "tasks.json"
    path.write_text(json.dumps([task(1, "Positive", "Negative"), task(2, "Negative", None)]))
    rows = read_labelling_table(path, {"review": "--text"}).rows
    assert [row["prediction"] for row in rows] == ["Positive", "Negative"]
    assert [row["annotation"] for row in rows] == ["Negative", None]
    assert rows[0]["prediction_score"] == 0.8
    assert rows[0]["id"] == "1"


def test_a_task_that_nobody_saw_needs_no_answers(tmp_path: Path) -> None:
    """Label Studio's own examples have tasks of bare data among others."""
    path = tmp_path / "tasks.json"
    path.write_text(json.dumps([task(1, "Positive", None), {"data": {"review": "a new one"}}]))
    rows = read_labelling_table(path, {"review": "--text", "prediction": "--label"}).rows
    assert [row["prediction"] for row in rows] == ["Positive", None]
    (_, changed) = answered([task(1, "Positive", None), {"data": {"review": "a new one"}}],
                            [Answer("Positive", 0.9, 0.1), Answer("Negative", 0.6, None)], "prediction") or []  # fmt: skip
    assert changed["predictions"][0]["score"] == 0.6


def test_records_are_rows(tmp_path: Path) -> None:
    path = tmp_path / "records.json"
    path.write_text(json.dumps([record(1, "good", "bad"), record(2, "bad", None)]))
    rows = read_labelling_table(path, {"review": "--text", "sentiment": "--label"}).rows
    assert [row["sentiment"] for row in rows] == ["good", "bad"]
    assert [row.get("sentiment.response") for row in rows] == ["bad", None]
    assert rows[1]["source"] == "shop"


def test_what_was_there_stays() -> None:
    """But for one prediction, or the suggestion, everything comes back as it was; twice is no more than once."""
    tasks, records = [task(1, "Positive", "Negative")], [record(1, "good", "bad")]
    answer = [Answer("Negative", 0.9, 0.75)]
    (changed,) = answered(tasks, answer, "prediction") or []
    added = changed["predictions"][-1]
    assert {**changed, "predictions": changed["predictions"][:-1]} == tasks[0]
    assert added == {
        "model_version": "outshine",
        "score": 0.25,
        "result": [
            {"from_name": "sentiment", "to_name": "review", "type": "choices", "value": {"choices": ["Negative"]}}
        ],
    }
    assert answered([changed], answer, "prediction") == [changed]
    (suggested,) = answered(records, answer, "sentiment") or []
    assert suggested["suggestions"]["sentiment"] == {"value": "Negative", "score": 0.25, "agent": "outshine"}
    assert {**suggested, "suggestions": records[0]["suggestions"]} == records[0]
    assert answered([{"text": "a"}], answer, "label") is None


def test_tasks_come_out_as_tasks(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    truth = rng.random(60) < 0.5
    names = ("Negative", "Positive")
    people = set(rng.choice(60, 40, replace=False).tolist())
    tasks = [
        task(i, names[int(t ^ (rng.random() < 0.2))], names[int(t)] if i in people else None, float(0.3 + 0.4 * t))
        for i, t in enumerate(truth)
    ]
    path = tmp_path / "tasks.json"
    path.write_text(json.dumps(tasks))
    columns = {"text": "review", "label": "prediction", "probs": "model_p", "trusted_label": "annotation"}
    settings = parse_label_settings({"path": str(path), "trusted": str(path), "columns": columns, "folds": 3})
    done = run_label(settings, Store(tmp_path / "store"))
    check_output(done.labeller, tmp_path / "out")
    write_labelled(done, tmp_path / "out")
    written = json.loads((tmp_path / "out" / "tasks.json").read_text())
    assert [one["id"] for one in written] == [one["id"] for one in tasks]
    assert all(one["predictions"][-1]["model_version"] == "outshine" for one in written)
    given = [one["predictions"][-1]["result"][0]["value"]["choices"][0] for one in written]
    assert all(given[i] == names[int(truth[i])] for i in people)  # the annotations are trusted
    assert done.labelling.ladder is not None
    assert done.labelling.ladder.num_rows == 40
    given = [names[int(t)] for t in truth]
    wrong = [
        one["predictions"][0]["result"][0]["value"]["choices"][0] != g for one, g in zip(written, given, strict=True)
    ]
    scores = np.array([one["predictions"][-1]["score"] for one in written])
    assert scores[np.array(wrong)].max() < scores[~np.array(wrong)].min()  # doubted ones have the lowest scores
