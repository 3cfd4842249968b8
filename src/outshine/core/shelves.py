"""The folders of artefacts as they lie on the disk: what listings and the index start from."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from outshine.core.key import KEY


def shelves(root: Path, beginning: str = "") -> list[os.DirEntry[str]]:
    """The folders `artefacts/<k2>` that can hold keys with this beginning, sorted; none where there is no store."""
    with suppress(FileNotFoundError, NotADirectoryError), os.scandir(root / "artefacts") as entries:
        fitting = [one for one in entries if one.name.startswith(beginning[:2]) and len(one.name) == 2 and one.is_dir()]
        return sorted(fitting, key=_name)
    return []


def on_shelf(shelf: os.DirEntry[str], beginning: str = "") -> Iterator[os.DirEntry[str]]:
    """The folders of artefacts on one shelf. Whether DONE.json is in them is not looked at."""
    with suppress(FileNotFoundError, NotADirectoryError), os.scandir(shelf.path) as entries:
        for entry in entries:
            if entry.name.startswith(beginning) and entry.name[:2] == shelf.name and KEY.fullmatch(entry.name):
                yield entry


def sorted_shelved(root: Path, beginning: str = "") -> list[os.DirEntry[str]]:
    """The folders of all artefacts whose keys begin so, in the order of the keys."""
    return [one for shelf in shelves(root, beginning) for one in sorted(on_shelf(shelf, beginning), key=_name)]


def _name(entry: os.DirEntry[str]) -> str:
    return entry.name
