"""The known trackers, how each is started, and the record of what was tracked already."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path

from outshine.engine.errors import UnknownNameError
from outshine.engine.files import write_synced
from outshine.share.to_tensorboard import TensorBoard
from outshine.share.to_trackio import Trackio
from outshine.share.to_wandb import Wandb
from outshine.share.tracked_runs import Tracker

LEDGER = "tracked.json"


TRACKERS: dict[str, Callable[[Path], Tracker]] = {
    "tensorboard": TensorBoard,
    "trackio": lambda folder: Trackio(),
    "wandb": Wandb,
}


def start(names: Sequence[str], folder: Path) -> dict[str, Tracker]:
    """The trackers of these names; what they keep on this machine lies in `folder`, unless they are told otherwise.

    Raises UnknownNameError for a name that is none of them, and SettingsError where a package is not installed or a
    tracker wants a login.
    """
    for name in names:
        if name not in TRACKERS:
            raise UnknownNameError("tracker", name, TRACKERS)
    return {name: TRACKERS[name](folder) for name in names}


class Ledger:
    """Which runs were tracked from this folder, by tracker: `tracked.json`. Delete it to have all tracked again."""

    def __init__(self, folder: Path) -> None:
        self._path = folder / LEDGER
        self._ids = self._read()

    def has(self, tracker: str, run_id: str) -> bool:
        return run_id in self._ids.get(tracker, ())

    def add(self, tracker: str, run_id: str) -> None:
        """Note that a run was written. Raises OSError where the file cannot be."""
        self._ids.setdefault(tracker, []).append(run_id)
        self._path.parent.mkdir(parents=True, exist_ok=True)
        write_synced(self._path, json.dumps(self._ids, indent=1))

    def _read(self) -> dict[str, list[str]]:
        """What is noted; one that cannot be read is begun anew."""
        try:
            found = json.loads(self._path.read_text(encoding="utf-8"))
            return {str(name): [str(one) for one in ids] for name, ids in found.items()}
        except (OSError, ValueError, AttributeError, TypeError):
            return {}
