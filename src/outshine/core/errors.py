"""Errors that a user can act on. Everything else is a defect and shows its traceback."""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from typing import ClassVar

from outshine.core.messages import one_line


class OutshineError(Exception):
    """Something the user can mend; the message says what was given, what was expected and what to do.

    It is one line, free of control characters and secrets, whatever was given. The command line prints it and
    exits with its code (`--debug` shows the traceback).
    """

    exit_code: ClassVar[int] = 2

    def __str__(self) -> str:
        return one_line(super().__str__())


class UnknownNameError(OutshineError):
    """A name that no registry entry, setting or file answers to."""

    def __init__(self, what: str, given: str, known: Iterable[str]) -> None:
        known = sorted(known)
        close = difflib.get_close_matches(given, known, n=1, cutoff=0.5)
        hint = f"did you mean '{close[0]}'? " if close else ""
        super().__init__(f"unknown {what} '{given}'; {hint}known: {', '.join(known) or 'none'}")


class SettingsError(OutshineError):
    """A study, a setting or a command-line option that cannot be used as given."""


class DataError(OutshineError):
    """Rows or labels that cannot be used: one class, too few rows, NaN labels, missing columns."""


class HubError(OutshineError):
    """A model or dataset repository that could not be had."""


class ModelError(OutshineError):
    """A model that cannot be used as a classifier here."""


class StoreError(OutshineError):
    """A store that cannot be read or written: full, read-only, newer, damaged."""


class LostLeaseError(StoreError):
    """A writer that stood still for so long that another took its place; its result was not committed."""


class TrainingError(OutshineError):
    """Training that cannot go on: a loss or gradient that is not finite."""
