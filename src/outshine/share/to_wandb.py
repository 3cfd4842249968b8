"""Runs in Weights & Biases (extra `wandb`)."""

from __future__ import annotations

import os
from pathlib import Path

from outshine.engine.errors import SettingsError
from outshine.share.tracked_runs import PROJECT, TrackedRun, package

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
    """A wandb run for each run, grouped by study. WANDB_PROJECT, WANDB_ENTITY, WANDB_MODE, WANDB_DIR … are heeded."""

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
