"""The known trackers, Weights & Biases, TensorBoard and trackio, and the record of what was tracked already."""

from __future__ import annotations

import io
import json
import os
import re
import shutil
import uuid
from collections.abc import Callable, Sequence
from contextlib import redirect_stdout
from pathlib import Path

from outshine.engine.errors import SettingsError, UnknownNameError
from outshine.engine.files import write_synced
from outshine.share.tracked_runs import PROJECT, TrackedRun, Tracker, package

LEDGER = "tracked.json"

_WITHOUT_NETWORK = ("offline", "disabled", "dryrun")

_PRIVATE = {  # nothing but what is logged leaves: no output, code, git remote, command line, host or machine
    "console": "off",
    "silent": True,
    "save_code": False,
    "disable_code": True,
    "disable_git": True,
    "disable_job_creation": True,
    "x_disable_meta": True,
    "x_disable_machine_info": True,
    "x_disable_stats": True,
    "x_save_requirements": False,
}


class Wandb:
    """Weights & Biases (extra `wandb`): a run of it for each run, grouped by study.

    WANDB_PROJECT, WANDB_ENTITY, WANDB_MODE, WANDB_DIR … are heeded.
    """

    def __init__(self, folder: Path) -> None:
        self._wandb = package("wandb", "wandb")
        self._folder = folder
        if os.environ.get("WANDB_MODE") not in _WITHOUT_NETWORK:
            self._log_in()

    def write(self, run: TrackedRun) -> None:
        folder = Path(os.environ.get("WANDB_DIR") or self._folder)
        folder.mkdir(parents=True, exist_ok=True)
        with self._wandb.init(
            project=os.environ.get("WANDB_PROJECT") or PROJECT,
            name=run.name[-128:],
            group=run.group,
            config=dict(run.config),
            dir=str(folder),
            reinit="create_new",
            settings=self._wandb.Settings(**_PRIVATE),
        ) as live:
            for step, values in run.points:
                live.log(values, step=step)
            live.summary.update(run.final)

    def _log_in(self) -> None:
        """Before anything is computed: in a terminal wandb asks for a key, elsewhere it cannot."""
        try:
            self._wandb.login(verify=False)
        except Exception as error:  # which classes it raises differs by version
            raise SettingsError(
                f"--log wandb: not logged in ({error}); `wandb login`, set WANDB_API_KEY, or set WANDB_MODE=offline"
            ) from error


class TensorBoard:
    """TensorBoard (extra `tensorboard`), through torch's own writer.

    A folder of event files for each run, below `<folder>/tensorboard/<study>`: one log directory for all of them.
    """

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


class Trackio:
    """Trackio (extra `trackio`), on this machine unless its environment names a Space or a server.

    A trackio run for each run, grouped by study. TRACKIO_DIR, TRACKIO_SPACE_ID … are heeded.
    """

    def __init__(self) -> None:
        self._trackio = package("trackio", "trackio")

    def write(self, run: TrackedRun) -> None:
        """Its notices are kept off standard output, which belongs to results. Final values are logged last."""
        with redirect_stdout(io.StringIO()):
            self._trackio.init(
                project=PROJECT,
                name=run.name,
                group=run.group,
                config=dict(run.config),
                embed=False,
                auto_log_gpu=False,
                auto_log_cpu=False,
            )
            try:
                for step, values in run.points:
                    self._trackio.log(values, step=step)
                if run.final:
                    self._trackio.log(run.final, step=run.points[-1][0] if run.points else 0)
            finally:
                self._trackio.finish()


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
            ledger = json.loads(self._path.read_text(encoding="utf-8"))
            return {str(name): [str(run_id) for run_id in ids] for name, ids in ledger.items()}
        except (OSError, ValueError, AttributeError, TypeError):
            return {}
