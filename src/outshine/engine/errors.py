"""Errors that a user can act on. Everything else is a defect and shows its traceback."""

from __future__ import annotations

import difflib
import errno
import os
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path
from typing import ClassVar

from outshine.engine.messages import one_line


class OutshineError(Exception):
    """Something the user can mend; the message says what was given, what was expected and what to do.

    It is one line, free of control characters and secrets, whatever was given. The command line prints it and exits
    with its code (`--debug` shows the traceback).

    Attributes:
        exit_code: What the command line exits with.
    """

    exit_code: ClassVar[int] = 2

    def __str__(self) -> str:
        return one_line(super().__str__())


class UnknownNameError(OutshineError):
    """A name that no registry entry, setting or file answers to."""

    def __init__(self, what: str, name: str, known: Iterable[str]) -> None:
        known = sorted(known)
        close = difflib.get_close_matches(name, known, n=1, cutoff=0.5)
        hint = f"did you mean '{close[0]}'? " if close else ""
        super().__init__(f"unknown {what} '{name}'; {hint}known: {', '.join(known) or 'none'}")


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


_FULL = "free some space or choose another place with {place}, then run again"
_ADVICE = {
    errno.ENOSPC: f"the disk is full; {_FULL}",
    errno.EDQUOT: f"the disk quota is used up; {_FULL}",
    errno.EROFS: "it is on a read-only file system; choose another place with {place}",
    errno.EACCES: "permission is denied; choose another place with {place}",
    errno.EPERM: "permission is denied; choose another place with {place}",
    errno.ENOTDIR: "a part of its path is a file where a folder is expected; choose another place with {place}",
    errno.EEXIST: "a file is where a folder is expected; choose another place with {place}",
    errno.ENAMETOOLONG: "its path is too long for the file system; choose another place with {place}",
    errno.ELOOP: "links in its path lead in a circle; choose another place with {place}",
    errno.EIO: "the disk or the network reports an error (EIO); check that the folder is there and can be reached",
    errno.ESTALE: "the file server has lost it (ESTALE); check that the folder is there and can be reached",
    errno.ENOENT: "a file or folder went away meanwhile; run again",
    errno.EMFILE: "too many files are open in this process; raise `ulimit -n`, then run again",
    errno.ENFILE: "too many files are open on this machine; close some, then run again",
    errno.ENOLCK: "its file system has no locks, which decide who writes; choose another place with {place}",
    errno.EFBIG: "a file is larger than its file system allows; choose another place with {place}",
}
_NO_INODES = (
    "the file system has no inode left: it can hold no more files, however much space is free; remove some files or "
    "choose another place with {place}, then run again"
)
_OTHER = "{problem}; check that the folder is there and can be reached"

OF_A_DISK = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EACCES, errno.EPERM, errno.EIO, errno.ESTALE})
"""What an error that names no file is taken for one of the disk by."""


def advice(error: OSError, root: Path, elsewhere: str = "--store") -> str:
    """What is wrong and what to do. `root`: the folder that is used; `elsewhere`: how to name another one."""
    words = _ADVICE.get(error.errno or 0, _OTHER)
    if error.errno in (errno.ENOSPC, errno.EDQUOT) and _is_out_of_inodes(root):
        words = _NO_INODES
    return words.format(place=elsewhere, problem=error.strerror or type(error).__name__)


def is_below(error: OSError, root: Path) -> bool:
    """Whether an error speaks of the folder, of something in it, or of a folder that it lies in.

    One that names no file does where its number is one of a disk's.
    """
    if error.filename is None:
        return error.errno in OF_A_DISK
    try:
        named = Path(os.fsdecode(error.filename)).absolute()
    except (TypeError, ValueError):  # the number of an open file
        return error.errno in OF_A_DISK
    return named.is_relative_to(root) or root.is_relative_to(named)


def _is_out_of_inodes(root: Path) -> bool:
    for folder in (root, *root.parents):
        with suppress(OSError):
            facts = os.statvfs(folder)
            return bool(facts.f_files) and facts.f_favail == 0  # some file systems count no inodes
    return False
