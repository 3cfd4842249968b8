"""The base class of recipes with a prompt, and helpers of recipes: reading fields, proposing one candidate answer."""

from __future__ import annotations

import re
from collections.abc import Sequence
from string import Formatter
from typing import Any, Literal

from pydantic import Field, SerializerFunctionWrapHandler, model_serializer

from outshine.data.rows import Row
from outshine.data.schema import NO_PROMPT, Draw, Recipe

_SENTENCE_END = re.compile(r"(?<=[.!?])\s+|\n|\[\w+\]")


class PromptedRecipe(Recipe):
    """A recipe that writes constant words around a row's fields, which can be left out.

    A small encoder that averages over tokens sees the row's own words less clearly among them. Which candidate is
    shown, and hence the label, is drawn in the same way without them.

    Attributes:
        prompt: `default`: with the recipe's words around a row's fields; `none`: the fields alone, a line each.
    """

    prompt: Literal["default", "none"] = Field(
        default="default",
        description="default: with the recipe's words around a row's fields; none: the fields alone, a line each",
    )

    @property
    def name(self) -> str:
        """The registered name; another one without the prompt, so that one study may hold both."""
        return self.kind if self.prompt == "default" else f"{self.kind}{NO_PROMPT}"

    @model_serializer(mode="wrap")
    def _with_kind(self, handler: SerializerFunctionWrapHandler) -> dict[str, Any]:
        """The fields as a study file has them: the usual prompt is left out."""
        fields = {"kind": self.kind, **handler(self)}
        return {name: value for name, value in fields.items() if (name, value) != ("prompt", "default")}

    def write(self, template: str, **fields: str) -> str:
        """Write a text from the fields of a row.

        Args:
            template: The text with `{name}` where a field goes.
            **fields: The fields by name.

        Returns:
            The template with the fields put in; with `prompt: none` the fields alone, a line each, in the template's
            order.
        """
        if self.prompt == "default":
            return template.format(**fields)
        return "\n".join(fields[name] for _, name, _, _ in Formatter().parse(template) if name)

    def write_proposed_answer(self, question: str, answer: str, passage: str = "", heading: str = "Passage") -> str:
        """Write the text of a question with one proposed answer.

        Args:
            question: The question.
            answer: The proposed answer.
            passage: What the question is about; empty: nothing.
            heading: What the passage is called in the text.

        Returns:
            Passage, question, answer, and the question whether the answer is correct.
        """
        before = f"{heading}: {{passage}}\n\n" if passage else ""
        fields = {"passage": passage} if passage else {}
        return self.write(
            before + "Question: {question}\nProposed answer: {answer}\nIs the proposed answer correct?",
            **fields,
            question=question,
            answer=answer,
        )


def filled(row: Row, *fields: str) -> list[str] | None:
    """These text fields without surrounding white space; None where one is missing or blank."""
    values = [row.get(field) for field in fields]
    texts = [value.strip() for value in values if isinstance(value, str)]
    return texts if len(texts) == len(fields) and all(texts) else None


def long_sentences(text: str, least: int) -> tuple[str, ...]:
    """The sentences of `least` words or more: too long to be in two texts by chance. Marks such as [step] end one."""
    parts = (part.strip(" .!?") for part in _SENTENCE_END.split(text))
    return tuple(part for part in parts if len(part.split()) >= least)


def binary(row: Row, field: str = "label") -> bool | None:
    """A 0/1 label; None where the row is not labelled (hidden test labels are -1 or missing on the hub)."""
    value = row.get(field)
    return bool(value) if value in (0, 1) else None


def propose(draw: Draw, options: Sequence[str | None], right: int) -> str | None:
    """Propose the right option on heads, a wrong one drawn evenly on tails.

    The wrong one is drawn whichever way the coin fell, so that nothing that is drawn later, and no row that is left
    out, depends on the label. Options equal to the right one are not wrong.

    Args:
        draw: The row's random choices.
        options: The candidates.
        right: The index of the right one.

    Returns:
        The proposed option without surrounding white space; None where there is no right one, or no wrong one.
    """
    texts = [(option or "").strip() for option in options]
    if not 0 <= right < len(texts) or not texts[right]:
        return None
    wrong = sorted({text for text in texts if text and text != texts[right]})
    if not wrong:
        return None
    distractor = draw.choice(wrong)
    return texts[right] if draw.coin() else distractor
