"""Logs of evaluation harnesses, one model a file: samples of lm-evaluation-harness, and logs of inspect as JSON.

Formats: `EvaluationTracker.save_results_samples` of lm-evaluation-harness 0.4 (`samples_TASK_DATE.jsonl`, all responses
as texts), and `EvalLog` of inspect 0.3 (`inspect log convert --to json`).
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from outshine.data.user_tables import file_format, read_table
from outshine.engine.errors import DataError
from outshine.engine.files import user_path
from outshine.results.score.predictions import Model, Predicted

_LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
_RIGHT = ("acc", "exact_match", "em", "correct")  # per-sample measures of lm-evaluation-harness that are 0 or 1
_INSPECT = {"c": 1.0, "i": 0.0, "n": 0.0, "true": 1.0, "false": 0.0, "yes": 1.0, "no": 0.0}


def read_log(path: Path | str, model: Model, notes: list[str]) -> list[Predicted] | None:
    """Read what a harness wrote of one model; None: it is no such log. Raises DataError for one that cannot be used."""
    path = user_path(path)
    if path.suffix == ".eval":
        raise DataError(f"'{path}' is a packed inspect log; make JSON of it: inspect log convert --to json")
    inspect = _inspect_document(path)
    if inspect is not None:
        return [_inspect(inspect, str(path), model, notes)]
    if file_format(path) != "jsonl":
        return None
    rows = read_table(path).rows
    if not all("doc_id" in row and ("resps" in row or "filtered_resps" in row) for row in rows):
        return None
    return [_lm_eval(rows, str(path), model, notes)]


# --- lm-evaluation-harness ----------------------------------------------------------------------------------------


def _lm_eval(rows: Sequence[Mapping[str, Any]], source: str, model: Model, notes: list[str]) -> Predicted:
    filters = list(dict.fromkeys(str(row.get("filter", "none")) for row in rows))
    if len(filters) > 1:
        notes.append(f"{model.words}: of the filters {', '.join(filters)} the first was taken")
        rows = [row for row in rows if str(row.get("filter", "none")) == filters[0]]
    ids = [str(row["doc_id"]) for row in rows]
    choices = [_log_likelihoods(row) for row in rows]
    if any(own is None for own in choices):
        right = [_lm_eval_right(row, source) for row in rows]
        notes.append(f"{model.words}: no log-likelihoods of choices in '{source}'; only whether answers are right")
        return _right_or_wrong(ids, right, None, source, model)
    known = [own for own in choices if own is not None]
    texts = [_choice_texts(row, len(own)) for row, own in zip(rows, known, strict=True)]
    labels = _targets(rows, known, texts, source)
    # Choices that are the same in all rows are classes; else a place means another answer in every row.
    same = len({tuple(own) for own in texts}) == 1 and len(set(texts[0])) == len(texts[0])
    values = np.full((len(rows), max(map(len, known))), -math.inf)  # −∞: a choice that a row does not have
    for number, own in enumerate(known):
        values[number, : len(own)] = own
    return Predicted(model, "", "test", "", ids, values, labels, None, "log-odds", () if same else None, source)


def _log_likelihoods(row: Mapping[str, Any]) -> list[float] | None:
    """The log-likelihood of each choice; None: the row has none, as where a model wrote its answer."""
    responses = row.get("filtered_resps") or row.get("resps")
    if not isinstance(responses, list) or len(responses) < 2:
        return None
    found = []
    for response in responses:
        while isinstance(response, list) and len(response) == 1:  # `resps` has one list more than `filtered_resps`
            response = response[0]
        try:
            number = float(response[0]) if isinstance(response, list) and len(response) == 2 else math.nan
        except (TypeError, ValueError):
            number = math.nan
        if math.isnan(number):
            return None
        found.append(number)
    metrics = row.get("metrics")
    if isinstance(metrics, list) and "acc_mutual_info" in metrics and len(found) % 2 == 0:
        found = found[: len(found) // 2]  # the second half is the choices without the question
    return found if len(found) > 1 else None


def _choice_texts(row: Mapping[str, Any], num: int) -> list[str]:
    """What each choice says; its number where the file does not tell, or where all say the same."""
    arguments = row.get("arguments")
    told = list(arguments.values()) if isinstance(arguments, dict) else arguments if isinstance(arguments, list) else []
    texts = []
    for one in told[:num]:
        parts = list(one.values()) if isinstance(one, dict) else one if isinstance(one, list) else []
        texts.append(str(parts[1]).strip() if len(parts) > 1 else "")
    usable = len(texts) == num and len(set(texts)) == num and all(texts)
    return texts if usable else [f"choice {number}" for number in range(num)]


def _targets(
    rows: Sequence[Mapping[str, Any]], values: Sequence[list[float]], texts: Sequence[list[str]], source: str
) -> list[int]:
    """The place of the right choice in each row: told by its place or by its text, whichever `acc` bears out."""

    def by_place(target: str, own: list[str]) -> int | None:
        return int(target) if target.isdecimal() and int(target) < len(own) else None

    def by_text(target: str, own: list[str]) -> int | None:
        return own.index(target) if target in own else None

    readings: tuple[Callable[[str, list[str]], int | None], ...] = (by_place, by_text)
    targets = [str(row.get("target", "")).strip() for row in rows]
    readable = False
    for read in readings:
        places = [read(target, own) for target, own in zip(targets, texts, strict=True)]
        known = [place for place in places if place is not None]
        if len(known) == len(rows):
            readable = True
            if _borne_out(rows, values, known):
                return known
    if readable:
        raise DataError(
            f"the targets, log-likelihoods and 'acc' of '{source}' do not go together; which choice is right?"
        )
    told = zip(targets, texts, strict=True)
    unread = [number for number, one in enumerate(told) if all(read(*one) is None for read in readings)]
    first = unread[0] if unread else 0
    raise DataError(
        f"'{source}' does not tell which choice is right: sample {rows[first]['doc_id']} has the target "
        f"'{targets[first][:40]}', where the number or the text of a choice is expected"
    )


def _borne_out(rows: Sequence[Mapping[str, Any]], values: Sequence[list[float]], places: Sequence[int]) -> bool:
    """Whether `acc` is 1 where the likeliest choice is the right one, and 0 elsewhere; True where it is not told."""
    return all(
        row.get("acc") not in (0, 1) or (int(np.argmax(own)) == place) == (row["acc"] == 1)
        for row, own, place in zip(rows, values, places, strict=True)
    )


def _lm_eval_right(row: Mapping[str, Any], source: str) -> float:
    for name in _RIGHT:
        value = row.get(name)
        if isinstance(value, int | float) and value in (0, 1):
            return float(value)
    raise DataError(
        f"'{source}' has neither log-likelihoods of choices (filtered_resps) nor one of {', '.join(_RIGHT)} as 0 or 1 "
        f"for sample {row['doc_id']}"
    )


# --- inspect ------------------------------------------------------------------------------------------------------


def _inspect_document(path: Path) -> dict[str, Any] | None:
    if path.suffix != ".json":
        return None
    try:
        text = path.read_text(encoding="utf-8")
        document = json.loads(text) if text.lstrip().startswith("{") else None
    except (OSError, ValueError, RecursionError):
        return None  # whoever reads it as a table says what is wrong
    is_log = isinstance(document, dict) and "eval" in document and isinstance(document.get("samples"), list)
    return document if is_log else None


def _inspect(document: Mapping[str, Any], source: str, model: Model, notes: list[str]) -> Predicted:
    samples = [sample for sample in document["samples"] if isinstance(sample, dict)]
    if not samples:
        raise DataError(f"'{source}' has no samples; the evaluation was not finished, or its log is a header alone")
    epochs = {str(sample.get("epoch", 1)) for sample in samples}
    if any(sample.get("id") in (None, "") for sample in samples):
        raise DataError(f"'{source}' has samples without an id, by which models are brought to the same rows")
    names = [str(sample["id"]) for sample in samples]
    ids = names
    if len(epochs) > 1:
        ids = [f"{name} ({sample.get('epoch')})" for name, sample in zip(names, samples, strict=True)]
    groups = None if len(epochs) == 1 else names  # answers to one question are not independent
    if document.get("status") not in (None, "success"):
        notes.append(f"{model.words}: the evaluation in '{source}' ended with '{document.get('status')}'")
    values = [_choice_log_probabilities(sample) for sample in samples]
    targets = [_letter(sample.get("target")) for sample in samples]
    told = zip(values, targets, strict=True)
    usable = all(own is not None and target is not None and target < len(own) for own, target in told)
    if usable:
        known = [own for own in values if own is not None]
        scores = np.full((len(known), max(map(len, known))), -math.inf)
        for number, own in enumerate(known):
            scores[number, : len(own)] = own
        return Predicted(model, "", "test", "", ids, scores, targets, groups, "log-odds", None, source)
    notes.append(f"{model.words}: no log-probabilities of all choices in '{source}'; only whether answers are right")
    return _right_or_wrong(ids, [_inspect_right(sample, source) for sample in samples], groups, source, model)


def _letter(target: Any) -> int | None:
    """The place of a choice that is told by its letter."""
    if isinstance(target, list) and len(target) == 1:
        target = target[0]
    return _LETTERS.index(target) if isinstance(target, str) and len(target) == 1 and target in _LETTERS else None


def _choice_log_probabilities(sample: Mapping[str, Any]) -> list[float] | None:
    """Log-probabilities of the letters of all choices as the first token of the answer, where the log has them."""
    choices = sample.get("choices")
    try:
        first = sample["output"]["choices"][0]["logprobs"]["content"][0]
        told = [(str(one["token"]).strip(), float(one["logprob"])) for one in (*(first["top_logprobs"] or ()), first)]
    except (KeyError, IndexError, TypeError, ValueError):
        return None
    if not isinstance(choices, list) or not 2 <= len(choices) <= len(_LETTERS):
        return None
    by_letter: dict[str, float] = {}
    for token, number in told:
        by_letter[token] = max(number, by_letter.get(token, -math.inf))
    found = [by_letter.get(letter, math.nan) for letter in _LETTERS[: len(choices)]]
    return None if any(map(math.isnan, found)) else found


def _inspect_right(sample: Mapping[str, Any], source: str) -> float:
    """Whether the first scorer says that the answer is right."""
    scores = sample.get("scores")
    score = next(iter(scores.values()), None) if isinstance(scores, dict) else None
    value = score.get("value") if isinstance(score, dict) else None
    number = _INSPECT.get(value.lower()) if isinstance(value, str) else value
    if not isinstance(number, int | float) or number not in (0, 1):
        raise DataError(
            f"the score of sample {sample.get('id')} in '{source}' is {str(value)[:40]}; only right (C, 1) and wrong "
            "(I, 0) can be measured"
        )
    return float(number)


def _right_or_wrong(
    ids: list[str], right: Sequence[float], groups: Sequence[Any] | None, source: str, model: Model
) -> Predicted:
    values = np.array(right, dtype=np.float64)[:, None]
    return Predicted(model, "", "test", "", ids, values, None, groups, "correct", (), source)
