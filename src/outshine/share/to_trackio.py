"""Runs in trackio (extra `trackio`), on this machine unless its environment names a Space or a server."""

from __future__ import annotations

import io
from contextlib import redirect_stdout

from outshine.share.tracked_runs import PROJECT, TrackedRun, package


class Trackio:
    """A trackio run for each run, grouped by study. TRACKIO_DIR, TRACKIO_SPACE_ID … are heeded."""

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
