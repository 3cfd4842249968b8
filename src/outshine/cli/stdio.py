"""Standard output and error: other encodings than UTF-8, closed pipes, full disks."""

from __future__ import annotations

import codecs
import io
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TextIO

ERRORS = "outshine"  # the name of the handler, as `replace` is one
_PLAIN = {  # what our own tables and sentences are written with
    "−": "-", "–": "-", "—": "-", "×": "x", "·": "*", "±": "+-", "≈": "~", "≤": "<=", "≥": ">=", "→": "->", "∞": "inf",
    "½": "1/2", "Σ": "Sum", "…": "...", "“": '"', "”": '"', "’": "'", "━": "-", "╸": "-", "╺": "-", "•": "*",
}  # fmt: skip


def prepare() -> None:
    """Have both streams take whatever is written, before anything is.

    What the encoding lacks is written in ASCII where a sign of ours has such a form, and as `?` where not. A stream
    that is closed becomes one that nobody reads, also below Python: the next file that is opened would get its number.
    What cannot be written to the error stream is lost, and nothing else is.
    """
    codecs.register_error(ERRORS, _in_ascii)
    for number in (0, 1, 2):
        _take_number(number)
    sys.stdout = _as(_Output, sys.stdout, sys.__stdout__)
    sys.stderr = _as(_Error, sys.stderr, sys.__stderr__)


def fault_of(stream: TextIO) -> OSError | None:
    """Why a stream could not be written, if so. It is let go then, so that Python does not try again at its end."""
    with suppress(OSError, ValueError):  # it is remembered; it was closed
        stream.flush()
    fault = stream.fault if isinstance(stream, _Output) else None
    if fault is not None:
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, stream.fileno())
        os.close(nowhere)
    return fault


def _take_number(number: int) -> None:
    """Have a closed stream's number lead nowhere, so that no file gets it."""
    try:
        os.fstat(number)
    except OSError:
        opened = os.open(os.devnull, os.O_RDWR)
        if opened != number:
            os.dup2(opened, number)
            os.close(opened)


def _as(kind: type[io.TextIOWrapper], stream: TextIO | None, own: TextIO | None) -> TextIO:
    """A stream of the process as one of ours; one that somebody put in its place takes any letter, no more."""
    if stream is None:
        return Path(os.devnull).open("w", encoding="utf-8")
    if not isinstance(stream, io.TextIOWrapper):
        return stream
    if stream is own:
        return kind(stream.buffer, encoding=stream.encoding, errors=ERRORS, line_buffering=stream.line_buffering)
    stream.reconfigure(errors=ERRORS)
    return stream


def _in_ascii(error: UnicodeError) -> tuple[str, int]:
    if not isinstance(error, UnicodeEncodeError):
        raise error
    return "".join(_PLAIN.get(character, "?") for character in error.object[error.start : error.end]), error.end


class _Output(io.TextIOWrapper):
    """Standard output, which remembers why it could not be written."""

    fault: OSError | None = None

    def write(self, text: str, /) -> int:
        with self._remembering():
            return super().write(text)

    def flush(self) -> None:
        with self._remembering():
            super().flush()

    @contextmanager
    def _remembering(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            self.fault = error
            raise


class _Error(io.TextIOWrapper):
    """The error stream, which ends nothing: a run goes on although nobody can be told how far it is."""

    def write(self, text: str, /) -> int:
        with suppress(OSError):
            super().write(text)
        return len(text)

    def flush(self) -> None:
        with suppress(OSError):
            super().flush()
