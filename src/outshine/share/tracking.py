"""Tracking of a run through its store: what is committed there is tracked, whichever process computed it."""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from outshine.engine.errors import OutshineError
from outshine.engine.process_group import ONE_PROCESS, ProcessGroup
from outshine.engine.progress import Progress, Silent, tell_overall
from outshine.engine.store.recorded_studies import study_digest
from outshine.results.finished import FinishedStudy, run_study
from outshine.share.tracked_runs import (
    TrackedFinetune,
    TrackedRun,
    Tracker,
    fine_tunings,
    tracked_fine_tuning,
    tracked_study,
)
from outshine.share.trackers import Ledger, start

if TYPE_CHECKING:
    from outshine.engine.store.store import Store
    from outshine.w2s.expand import Experiment
    from outshine.w2s.study import Study

_LOOK_EVERY = 5.0  # seconds between two looks at the store


def run_tracked(
    study: Study,
    store: Store,
    progress: Progress | None,
    names: Sequence[str],
    folder: Path,
    *,
    allow_leaks: bool = False,
    processes: ProcessGroup = ONE_PROCESS,
) -> FinishedStudy:
    """`run_study`, with its fine-tunings and results handed to the trackers of these names. The main process does.

    Raises as `run_study`, and before anything is computed as `trackers.start`. What goes wrong with a tracker later is
    told in a note, and the run goes on without it.
    """
    if not names or not processes.is_main:
        return run_study(study, store, progress, allow_leaks=allow_leaks, processes=processes)
    following = TrackingProgress(study.name, progress or Silent(), start(names, folder), Ledger(folder), store)
    try:
        finished = run_study(
            study, store, following, allow_leaks=allow_leaks, processes=processes, expect=following.expect
        )
    except OutshineError:  # some stages failed: the others are finished
        following.look()
        raise
    following.look()
    following.conclude(finished)
    return finished


class TrackingProgress:
    """Progress that passes everything on, and looks for finished fine-tunings whenever a stage begins."""

    def __init__(self, study: str, shown: Progress, trackers: dict[str, Tracker], ledger: Ledger, store: Store) -> None:
        self._study = study
        self._shown = shown
        self._trackers = dict(trackers)  # those that go wrong are taken out
        self._ledger = ledger
        self._store = store
        self._waiting: dict[str, TrackedFinetune] = {}
        self._looked = -_LOOK_EVERY

    def expect(self, experiments: Sequence[Experiment]) -> None:
        """Be told what will be computed, or is there already."""
        self._waiting = fine_tunings(experiments)

    def stage(self, number: int, total: int, label: str) -> None:
        self._shown.stage(number, total, label)
        if time.monotonic() - self._looked >= _LOOK_EVERY:
            self.look()

    def advance(self, done: int, total: int, unit: str) -> None:
        self._shown.advance(done, total, unit)

    def overall(self, done: float, next_stage: float, total: float) -> None:
        tell_overall(self._shown, done, next_stage, total)

    def note(self, message: str) -> None:
        self._shown.note(message)

    def look(self) -> None:
        """Track what was finished since the last look."""
        from outshine.results.read.artefacts import Reader

        if not (self._waiting and self._trackers):
            return
        try:
            lacking = set(self._store.lacking(list(self._waiting)))
            there = [key for key in self._waiting if key not in lacking]
            reader = Reader(self._store)
            for part in [self._waiting.pop(key) for key in there]:
                if any(not self._ledger.has(name, part.stage.key) for name in self._trackers):
                    self._write(tracked_fine_tuning(self._study, part, reader))
        except Exception as error:  # whatever it is, it must not end the run
            self._stop(error)
        self._looked = time.monotonic()

    def conclude(self, finished: FinishedStudy) -> None:
        """Track the results of the whole study."""
        if not self._trackers:
            return
        try:
            resolution = finished.resolution
            digest = study_digest(resolution.study.model_dump(mode="json"))
            self._write(tracked_study(digest, resolution, finished.results))
        except Exception as error:  # as above
            self._stop(error)

    def _write(self, run: TrackedRun) -> None:
        for name, tracker in list(self._trackers.items()):
            if self._ledger.has(name, run.id):
                continue
            try:
                tracker.write(run)
                self._ledger.add(name, run.id)
            except Exception as error:  # of a package that is not ours, or of the network
                del self._trackers[name]
                self._shown.note(f"--log {name}: {_words(error)}; the run goes on without it")

    def _stop(self, error: Exception) -> None:
        self._trackers.clear()
        self._shown.note(f"--log: {_words(error)}; the run goes on without it")


def _words(error: Exception) -> str:
    return str(error) if isinstance(error, OutshineError) else f"{type(error).__name__}: {error}"
