"""Runs as TensorBoard event files (extra `tensorboard`), through torch's own writer."""

from __future__ import annotations

import re
import shutil
import uuid
from pathlib import Path

from outshine.share.tracked_runs import TrackedRun, package


class TensorBoard:
    """A folder of event files for each run, below `<folder>/tensorboard/<study>`: one log directory for all of them."""

    def __init__(self, folder: Path) -> None:
        self._writer = package("torch.utils.tensorboard", "tensorboard").SummaryWriter
        self._folder = folder / "tensorboard"

    def write(self, run: TrackedRun) -> None:
        """Written beside its place and moved there: TensorBoard never reads half a run."""
        place = self._folder / _file_name(run.group) / _file_name(run.name)
        unfinished = self._folder.with_name(f".tensorboard-{uuid.uuid4().hex[:8]}")
        try:
            with self._writer(log_dir=str(unfinished)) as writer:
                writer.add_text("settings", _as_markdown(run), 0)
                for step, values in run.points:
                    for name, value in values.items():
                        writer.add_scalar(name, value, step)
                last = run.points[-1][0] if run.points else 0
                for name, value in run.final.items():
                    writer.add_scalar(name, value, last)
            if place.exists():  # of a run of which nothing was noted: its process died
                shutil.rmtree(place)
            place.parent.mkdir(parents=True, exist_ok=True)
            unfinished.rename(place)
        finally:
            shutil.rmtree(unfinished, ignore_errors=True)


def _file_name(text: str) -> str:
    """A name for a folder: TensorBoard shows it as the name of the run."""
    return re.sub(r"[^\w.=-]+", "-", text).strip("-.")[-200:] or "run"


def _as_markdown(run: TrackedRun) -> str:
    """The settings as indented text, which Markdown shows as it is."""
    return "\n".join(f"    {name}: {value}" for name, value in run.config.items())
