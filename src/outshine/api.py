"""outshine from Python: the same studies and the same frames as on the command line."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from outshine.analysis.results import Results
from outshine.core.progress import Progress
from outshine.core.stores import open_store
from outshine.execution.team import together
from outshine.report.write import check_writable, write_outputs
from outshine.studies.study import Study
from outshine.tracking.follow import run_tracked


def run(
    study: Study,
    store: Path | str | None = None,
    out: Path | str | None = None,
    progress: Progress | None = None,
    *,
    allow_leaks: bool = False,
    log: Sequence[str] = (),
) -> Results:
    """Run a study and return its frames (`scores`, `pgr`, `summary`) and pooled PGRs.

    What `store`, a folder or a URL (default: `default_store()`), already has is not computed again. With `out`, the
    tables, `study.yaml` and `report.html` are written there. A dataset whose audit finds a leak is refused unless
    `allow_leaks`. `log`: trackers that curves and scores go to (`wandb`, `tensorboard`, `trackio`); what they keep on
    this machine lies in `out`, or in the current folder. Where torchrun started several processes, all call this and
    compute together; the first writes. Raises OutshineError for what a user can mend.
    """
    with together() as team:
        if out is not None and team.leads:
            check_writable(Path(out))
        opened = open_store(store)
        folder = Path(out) if out is not None else Path()
        finished = run_tracked(study, opened, progress, log, folder, allow_leaks=allow_leaks, team=team)
        if out is not None and team.leads:
            write_outputs(finished, opened, Path(out))
        return finished.results
