"""The controls of a study in sentences, the same in the terminal and on the page.

The sentences say what was measured and what it is compatible with. They name no cause: a control changes one thing
that can be named and others that cannot.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, NamedTuple

import pandas as pd

from outshine.engine.messages import counted, decimals, signed_decimals

CHANCE = 0.5
ENOUGH_DATASETS = 5  # from which an interval over datasets is taken at its word
WIDE = 0.2  # an interval of an AUROC that is as wide could hide what it is looked at for

_DESCRIBES = "One dataset gives this difference no interval: it is a description, and tells nothing apart."

WHAT_IT_IS = {
    "shuffled": "the weak labels permuted over all rows",
    "constant": "the mean weak label on every row",
    "random": "fair coins",
    "noise_matched": "the weak labels permuted within each true class: the same AUROC and calibration, errors "
    "independent of the text",
    "weak_to_weak": "a student of the supervisor's own model, trained on the weak labels",
    "truth_probe": "a probe of the pretrained strong model, fitted on ground truth",
}
"""Each control in a few words; a control of someone else's is shown by its name."""


class _Amount(NamedTuple):
    """A mean over datasets with its interval."""

    value: float
    low: float
    high: float

    @classmethod
    def of(cls, row: Mapping[Any, Any], name: str) -> _Amount:
        return cls(float(row[name]), float(row[f"{name}_low"]), float(row[f"{name}_high"]))

    @property
    def known(self) -> bool:
        return not math.isnan(self.value)

    @property
    def bounded(self) -> bool:
        """Whether it has an interval: a difference on one dataset has none."""
        return not (math.isinf(self.low) or math.isinf(self.high))

    def side_of(self, reference: float) -> str:
        """`above` or `below` where the interval leaves `reference` out, else empty."""
        return "above" if self.low > reference else "below" if self.high < reference else ""

    def text(self, *, signed: bool = True) -> str:
        """`+.031 [+.012, +.050]`; without an interval `+.031 (no interval)`."""
        write = signed_decimals if signed else decimals
        if not self.bounded:
            return f"{write(self.value)} (no interval)"
        return f"{write(self.value)} [{write(self.low)}, {write(self.high)}]"


def sentences(overall: pd.DataFrame) -> list[str]:
    """One statement per row of `ControlTables.overall`, in its order."""
    return [sentence(row) for row in overall.to_dict("records")]


def sentence(row: Mapping[Any, Any]) -> str:
    """What one control says: its test AUROC over datasets, beside vanilla student and supervisor, and a reading."""
    control = str(row["control"])
    name = " ".join(str(row[part]) for part in ("control", "loss", "setting") if row[part])
    head = f"{name} ({WHAT_IT_IS[control]})" if control in WHAT_IT_IS else name
    if not row["num_datasets"]:
        return f"{head}: {_only_saturated(row)}."
    auroc = _Amount.of(row, "auroc")
    where = f"over {row['num_datasets']} datasets" if row["num_datasets"] > 1 else "on one dataset"
    measured = f"{head}: test AUROC {auroc.text(signed=False)} {where}"
    measured = "; ".join([measured, *_beside(row)])
    reading = _READINGS[control](row) if control in _READINGS else ""
    return f"{measured}.{_left_out(row)}{' ' if reading else ''}{reading}"


def _without_signal(row: Mapping[Any, Any]) -> str:
    """Shuffled, constant and random labels: nothing about the texts can be learned from them."""
    auroc = _Amount.of(row, "auroc")
    side = auroc.side_of(CHANCE)
    if not auroc.bounded:
        return ""
    if not side and auroc.high - auroc.low > WIDE:
        return (
            "These labels say nothing about single texts, and the AUROC should be near .5: its interval is too wide to "
            "tell."
        )
    if side and row["num_datasets"] < ENOUGH_DATASETS:
        return (
            f"These labels say nothing about single texts, and the AUROC is {side} .5: a weak sign over so few "
            "datasets, for single students of such labels scatter far more than their test rows tell. More seeds "
            "settle it."
        )
    if side:
        return (
            f"These labels say nothing about single texts, yet the AUROC is {side} .5: chance over few datasets, or "
            "something other than the labels reaches the scores. Look into it before reading any other result."
        )
    return (
        "These labels say nothing about single texts, and the AUROC cannot be told from .5, as it should be: "
        "what the vanilla student has above that goes with what its labels say about the texts."
    )


def _cost_of_structured_errors(row: Mapping[Any, Any]) -> str:
    """Noise-matched labels: as good as the weak ones, but wrong in places that no text predicts."""
    cost = _Amount.of(row, "minus_vanilla")
    if not cost.known:
        return ""
    measured = f"Cost of structured errors, student(noise_matched) − student(p_weak): {cost.text()}."
    readings = {
        "above": "Labels as good by every count, but with errors that no text predicts, go with a better student: "
        "compatible with a student that imitates errors it can predict.",
        "below": "The weak labels themselves go with the better student: compatible with their doubts marking the hard "
        "texts, which permuting destroys along with the structure of the errors.",
        "": "It cannot be told from 0 here: there is no good evidence that the structure of the errors matters.",
    }
    return f"{measured} {readings[cost.side_of(0)] if cost.bounded else _DESCRIBES}"


def _smoothing(row: Mapping[Any, Any]) -> str:
    """Weak to weak: what retraining gives without a stronger model."""
    gain, less = _Amount.of(row, "minus_weak"), _Amount.of(row, "minus_vanilla")
    readings = {
        "above": "Training anew on the weak labels goes with a gain over the supervisor without any stronger model: "
        "smoothing alone may account for that much.",
        "below": "Training anew on the weak labels loses against the supervisor where the model is not stronger.",
        "": "Training anew on the weak labels gives no gain over the supervisor that can be told from 0: "
        "there is no good evidence of mere smoothing.",
    }
    if gain.known and not gain.bounded:
        return _DESCRIBES
    reading = readings[gain.side_of(0)] if gain.known else ""
    if less.known and less.side_of(0) == "above":
        reading += (
            f" It is ahead of the strong student by {decimals(less.value)}: no stronger model is needed for that."
        )
    if less.known and less.side_of(0) == "below":
        reading += (
            f" The strong student is ahead of it by {decimals(-less.value)}: compatible with knowledge or capacity "
            "that only the strong model has."
        )
    if less.known and not less.side_of(0):
        reading += " The strong student cannot be told from it: its gain, if any, may be mere smoothing."
    return reading.strip()


def _salience(row: Mapping[Any, Any]) -> str:
    """A probe on ground truth: how much of the task the pretrained activations hold in plain form."""
    less = _Amount.of(row, "minus_vanilla")
    readings = {
        "above": "The pretrained activations hold more of the task, in a form that a probe can read, than the student "
        "shows: compatible with something left to elicit.",
        "below": "The student shows more of the task than this probe reads from the pretrained activations: "
        "compatible with fine-tuning that does more than to read off what this layer holds in plain form.",
        "": "The student cannot be told from this probe of the pretrained activations: compatible with elicitation of "
        "what the model already holds.",
    }
    if less.known and not less.bounded:
        return _DESCRIBES
    return readings[less.side_of(0)] if less.known else ""


_READINGS = {
    "shuffled": _without_signal,
    "constant": _without_signal,
    "random": _without_signal,
    "noise_matched": _cost_of_structured_errors,
    "weak_to_weak": _smoothing,
    "truth_probe": _salience,
}


def _beside(row: Mapping[Any, Any]) -> list[str]:
    """The two differences, each with what it is a difference from."""
    vanilla, weak = _Amount.of(row, "minus_vanilla"), _Amount.of(row, "minus_weak")
    differences = []
    if vanilla.known:
        differences.append(
            f"{vanilla.text()} against the vanilla {row['vanilla']} student ({decimals(row['vanilla_auroc'])})"
        )
    if weak.known:
        differences.append(f"{weak.text()} against the weak supervisor ({decimals(row['weak_auroc'])})")
    return differences


def _left_out(row: Mapping[Any, Any]) -> str:
    """Which datasets a number does not speak of."""
    notes = []
    if row["num_saturated"]:
        notes.append(f"{counted(row['num_saturated'], 'saturated dataset')} left out")
    if row["num_unpaired"]:
        where = "any dataset" if row["num_unpaired"] == row["num_datasets"] else counted(row["num_unpaired"], "dataset")
        notes.append(f"no run of a vanilla student of the same loss and settings on {where}")
    return f" ({'; '.join(notes)}.)" if notes else ""


def _only_saturated(row: Mapping[Any, Any]) -> str:
    return f"all of its datasets ({row['num_saturated']}) are saturated, nothing to compare"
