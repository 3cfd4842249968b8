"""Rows in the hub's own schema for every built-in recipe: right columns and types, invented contents.

Field values are distinct and none is a part of another, so that a test can tell where in a text each one went.
"""

from __future__ import annotations

from typing import Any

LETTERS = ["A", "B", "C", "D"]


def _choices(i: int, num: int) -> list[str]:
    return [f"option {'wxyz'[j]} number {i}." for j in range(num)]


def _mc(i: int, num: int = 4) -> dict[str, Any]:
    return {"text": _choices(i, num), "label": LETTERS[:num]}


def _options(i: int, *names: str) -> dict[str, str]:
    return dict(zip(names, _choices(i, len(names)), strict=True))


def _hh(i: int) -> dict[str, str]:
    prompt = f"\n\nHuman: Greeting {i}!\n\nAssistant: Hello, what is it?\n\nHuman: Request {i}?"
    return {
        "chosen": f"{prompt}\n\nAssistant: Helpful reply {i}.",
        "rejected": f"{prompt}\n\nAssistant: Useless reply {i}.",
    }


def _shared(i: int) -> int:
    """Three rows in a row share a passage."""
    return i // 3


def _sciq(i: int) -> dict[str, str]:
    return {
        "question": f"Which is question {i}?",
        "distractor3": f"distractor gamma {i}.",
        "distractor1": f"distractor alpha {i}.",
        "distractor2": f"distractor beta {i}.",
        "correct_answer": f"right thing {i}.",
        "support": f"Supporting text {i}!",
    }


BUILDERS: dict[str, Any] = {
    "anli-r2": lambda i: {
        "uid": f"uid-{i}",
        "premise": f"Premise {_shared(i)}!",
        "hypothesis": f"Hypothesis {i}.",
        "label": (0, 1, 0, 2)[i % 4],
        "reason": f"because {i}",
    },
    "cola": lambda i: {"sentence": f"Sentence {i} stands.", "label": i % 2, "idx": i},
    "dream": lambda i: {
        "id": i,
        "dialogue_id": f"4-{_shared(i)}",
        "dialogue": [f"M: Line {_shared(i)}a?", f"W: Line {_shared(i)}b."],
        "question": f"What of {i}?",
        "choice": _choices(i, 3),
        "answer": _choices(i, 3)[i % 3],
    },
    "ethics-deontology": lambda i: {
        "label": i % 2,
        "scenario": f"Should you not do {_shared(i)}?",
        "excuse": f"No because of {i}.",
    },
    "ethics-justice": lambda i: {"label": i % 2, "scenario": f"I deserve {_shared(i)} because I worked {i}."},
    "ethics-virtue": lambda i: {"label": i % 2, "scenario": f"Person {_shared(i)} acted. [SEP] trait{i}"},
    "ethics-utilitarianism": lambda i: {"baseline": f"I ate cake {i}.", "less_pleasant": f"I ate mud {i}."},
    "mc_taco": lambda i: {
        "sentence": f"Event {_shared(i)} took place!",
        "question": f"How long was {_shared(i)}?",
        "answer": f"{i} minutes",
        "label": i % 2,
        "category": "Event Duration",
    },
    "hellaswag": lambda i: {
        "ind": i,
        "activity_label": "Rowing",
        "ctx_a": f"A scene {_shared(i)}.",
        "ctx_b": "someone",
        "ctx": f"A scene {_shared(i)}. someone",
        "endings": _choices(i, 4),
        "source_id": f"activitynet~{i}",
        "split": "train",
        "split_type": "indomain",
        "label": str(i % 4),
    },
    "multirc": lambda i: {
        "paragraph": f"Paragraph {_shared(i)}!",
        "question": f"Who is {_shared(i)}?",
        "answer": f"Candidate {i}.",
        "idx": {"paragraph": _shared(i), "question": _shared(i), "answer": i},
        "label": i % 2,
    },
    "openbookqa": lambda i: {
        "id": f"8-{i}",
        "question_stem": f"The stem number {i}",
        "choices": _mc(i),
        "answerKey": LETTERS[i % 4],
    },
    "paws": lambda i: {"id": i, "sentence1": f"From {i} to there.", "sentence2": f"To {i} from there.", "label": i % 2},
    "piqa": lambda i: {"goal": f"reach goal {i}!", **_options(i, "sol1", "sol2"), "label": i % 2},
    "quail": lambda i: {
        "id": f"n001_{i}",
        "context_id": f"n{_shared(i):03}",
        "question_id": str(i),
        "domain": "news",
        "metadata": {"author": "someone", "title": "a title", "url": "http://example.org"},
        "context": f"Context {_shared(i)}!",
        "question": f"Why {i}?",
        "question_type": "Causality",
        "answers": [*_choices(i, 3), f"not enough information {i}."],
        "correct_answer_id": i % 4,
    },
    "quartz": lambda i: {
        "id": f"QRQA-{i}",
        "answerKey": LETTERS[i % 2],
        "choices": _mc(i, 2),
        "para": f"Background {_shared(i)}!",
        "para_id": f"QRSent-{_shared(i)}",
        "para_anno": {"effect_prop": "speed", "cause_dir_str": "more"},
        "question": f"Which is faster, {i}?",
        "question_anno": {"more_effect_dir": "faster"},
    },
    "social_i_qa": lambda i: {
        "context": f"Sasha did {_shared(i)}!",
        "question": f"What will Sasha want {i}?",
        **_options(i, "answerA", "answerB", "answerC"),
        "label": str(i % 3 + 1),
    },
    "sst2": lambda i: {"idx": i, "sentence": f"a film like {i} others ", "label": i % 2},
    "wic": lambda i: {
        "word": f"word{i}",
        "sentence1": f"The word{i} stands here.",
        "sentence2": f"There stands a word{i}.",
        "start1": 4,
        "start2": 15,
        "end1": 8,
        "end2": 19,
        "idx": i,
        "label": i % 2,
    },
    "twitter-sentiment": lambda i: {"text": f"@someone tweets {i} :", "label": i % 2},
    "sciq": _sciq,
    "sciq_with_support": _sciq,
    "anthropic_hh": _hh,
    "cosmos_qa": lambda i: {
        "id": f"id-{i}",
        "context": f"Blog text {_shared(i)} !",
        "question": f"Why {i} ?",
        **_options(i, "answer0", "answer1", "answer2"),
        "answer3": "None of the above choices .",
        "label": i % 4,
    },
    "boolq": lambda i: {"question": f"is {i} a number", "answer": i % 2 == 0, "passage": f"Passage {_shared(i)}!"},
    "amazon_polarity": lambda i: {"label": i % 2, "title": f"Title {i}", "content": f"Content of review {i}."},
}


def fixture_rows(name: str, num_rows: int = 240, start: int = 0) -> list[dict[str, Any]]:
    return [BUILDERS[name](i) for i in range(start, start + num_rows)]
