"""Every public name has a docstring in Google style that agrees with the code; every command and option a help text."""

from __future__ import annotations

import importlib
import inspect
from collections.abc import Iterator

import click
import pytest
import typer
from docstrings import attributes, faults_of, faults_of_class, parse

import outshine
from outshine.cli.main import app
from outshine.data.prompted_recipe import PromptedRecipe, propose
from outshine.data.rows import Hub
from outshine.data.schema import Draw, Example, Recipe, Size
from outshine.engine.progress import Progress
from outshine.engine.registry import Registry
from outshine.labelling.annotation_sample import AnnotationSample
from outshine.labelling.evidence import Evidence
from outshine.labelling.results import AgreementSummary
from outshine.learn.filters.base import Filter, Filtered, drop_highest, num_dropped
from outshine.learn.losses.base import Loss, RunningLoss, cross_entropy
from outshine.learn.probes.base import FittedProbe, Labelled, Predicted, Probe
from outshine.results.results import MethodPGR
from outshine.results.training_notes import TrainingNote
from outshine.selection.run import SelectionRegret
from outshine.share.tracked_runs import TrackedRun, Tracker
from outshine.stats.pgr import PGR, PooledPGR
from outshine.testing import check_filter, check_loss, check_probe, check_recipe
from outshine.w2s.lab import Lab, TrainableModel, Wiring
from outshine.w2s.methods.base import LayerMethod, Method

OF_RESULTS = (SelectionRegret, MethodPGR, PooledPGR, PGR, TrainingNote, AgreementSummary, Evidence, AnnotationSample)
"""Classes of what the public functions return, beside those that have a public name of their own."""

CONTRACTS = (
    *(Loss, RunningLoss, Probe, FittedProbe, Labelled, Predicted, Filter, Filtered),
    *(Recipe, PromptedRecipe, Example, Draw, Hub, Size, Method, LayerMethod, Lab, Wiring, TrainableModel),
    *(Registry, Tracker, TrackedRun, Progress),
)
"""Base classes of plug-ins and what these are given, as docs/extend.md and docs/python.md name them."""

HELPERS = (cross_entropy, drop_highest, num_dropped, propose, check_filter, check_loss, check_probe, check_recipe)
"""Functions that docs/extend.md shows in plug-ins and their tests."""

PUBLIC = [getattr(outshine, name) for name in outshine.__all__]
CLASSES = [one for one in PUBLIC if inspect.isclass(one)]
FUNCTIONS = [one for one in PUBLIC if not inspect.isclass(one)]


def test_public_names_are_classes_and_functions_whatever_was_imported_before() -> None:
    for name in ("labelling", "selection", "report.page", "share.card", "w2s.study", "results.finished"):
        importlib.import_module(f"outshine.{name}")
    assert sorted(outshine.__all__) == outshine.__all__
    for name in outshine.__all__:
        found = getattr(outshine, name)
        assert inspect.isclass(found) or inspect.isfunction(found), name
        assert found.__name__ == name


@pytest.mark.parametrize("one", [*FUNCTIONS, *HELPERS], ids=lambda one: one.__name__)
def test_functions(one: object) -> None:
    assert faults_of(getattr(one, "__name__", ""), one) == []


@pytest.mark.parametrize("cls", [*CLASSES, *OF_RESULTS, *CONTRACTS], ids=lambda cls: cls.__name__)
def test_classes_with_their_methods_and_properties(cls: type) -> None:
    assert faults_of_class(cls) == []


# --- the command line -----------------------------------------------------------------------------------------------


def commands(command: click.Command, name: str = "outshine") -> Iterator[tuple[str, click.Command]]:
    yield name, command
    for part, inner in getattr(command, "commands", {}).items():
        yield from commands(inner, f"{name} {part}")


COMMANDS = dict(commands(typer.main.get_command(app)))


def faults_of_command(name: str, command: click.Command) -> list[str]:
    """A command without a help text that is a sentence, and options and arguments without one."""
    text = (command.help or "").strip().split("\n\n")[0].strip()
    faults = [] if text[:1].isupper() and text.endswith((".", "?")) else [f"{name}: no sentence that helps: {text!r}"]
    for one in command.params:
        told = getattr(one, "help", None)
        if not told or not told.rstrip().endswith((".", ")", "…")):
            faults.append(f"{name}: {one.opts[-1]} has the help text {told!r}")
    return faults


@pytest.mark.parametrize("name", COMMANDS)
def test_commands_and_their_options_have_help_texts(name: str) -> None:
    assert faults_of_command(name, COMMANDS[name]) == []


def test_the_walk_reaches_commands_of_commands() -> None:
    assert {"outshine run", "outshine datasets show", "outshine label", "outshine gc"} <= set(COMMANDS)
    assert sum(len(command.params) for command in COMMANDS.values()) > 100


# --- the checks can fail --------------------------------------------------------------------------------------------


def test_a_function_in_this_form_has_no_faults() -> None:
    def mean(values: list[float], *, weights: list[float]) -> float:
        """Compute a weighted mean.

        Args:
            values: What is averaged, [n].
            weights: How much each counts, [n];
                not all of them 0.

        Returns:
            Σ w x / Σ w.

        Raises:
            ZeroDivisionError: All weights are 0.
            DataError: A value is NaN.

        Example:
            >>> mean([1.0], weights=[2.0])
        """
        return sum(v * w for v, w in zip(values, weights, strict=True)) / sum(weights)

    assert faults_of("mean", mean) == []


GOOD = "Compute a mean.\n\nArgs:\n    values: What is averaged.\n\nReturns:\n    The mean."


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        (None, "no docstring"),
        ("", "no docstring"),
        ("Compute a mean", "no sentence"),
        (GOOD.replace("Compute a", "The"), "not with a verb"),
        (GOOD.replace("\n\nArgs", "\nArgs"), "runs on"),
        (GOOD.replace("values", "value"), "the parameters are \\['values'\\]"),
        (GOOD.replace("values: What", "values: What\n    more: What"), "explains \\['values', 'more'\\]"),
        (GOOD.replace("\n\nReturns:\n    The mean.", ""), "Returns is missing"),
        (GOOD + "\n\nRaises:\n    MeanError: It is mean.", "MeanError is no exception"),
        (GOOD + "\n\nRaises:\n    int: It is whole.", "int is no exception"),
        (GOOD + "\n\nRaises:\n    ValueError:", "explained by nothing"),
        (GOOD + "\n\nThrows:\n    ValueError: It is empty.", "section Throws is unknown"),
        (GOOD + "\nMore.", "is not indented"),
    ],
)
def test_faults_are_found(text: str | None, fault: str) -> None:
    def mean(values: list[float]) -> float:
        return sum(values)

    mean.__doc__ = text
    with pytest.raises(AssertionError, match=fault):
        assert "; ".join(faults_of("mean", mean)) == ""


def test_faults_of_classes_and_commands_are_found() -> None:
    class Shape:
        """A shape.

        Args:
            side: Its length.
        """

        def __init__(self, width: float) -> None:
            self.width = width

        @property
        def area(self) -> float:
            return self.width**2

    assert [fault.split(": ", 1)[1] for fault in faults_of_class(Shape)] == [
        "Args explains ['side'], the parameters are ['width']",
        "no docstring",
    ]
    silent = click.Command("draw", help="draws", params=[click.Option(["--width"])])
    assert len(faults_of_command("draw", silent)) == 2


def test_every_field_of_a_named_tuple_must_be_explained() -> None:
    assert attributes(Example) == set(Example._fields) == set(parse(Example.__doc__ or "")["Attributes"])
