"""Trajectory: what a fine-tuning would have predicted for test at each validation on its way."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from pydantic import SerializeAsAny

from outshine.core.stage import Context, Stage
from outshine.core.team import team_in
from outshine.stages.finetune import Finetune

if TYPE_CHECKING:
    import pandas as pd

    from outshine.core.store import Store

TRAJECTORY = "trajectory.parquet"


class Trajectory(Stage):
    """The same run once more, alone, with test predicted at every validation: to the same bits, or where the run was in
    a cohort up to rounding.

    Writes `trajectory.parquet` (step: optimizer updates made, id, log_odds). For looking at only: the run whose
    labels and results count never sees a test prediction before its end, and nothing selects by these.
    """

    VERSION: ClassVar[int] = 1
    stage: ClassVar[str] = "trajectory"
    shares_model: ClassVar[bool] = True

    run_again: SerializeAsAny[Finetune]

    @property
    def label(self) -> str:
        return f"trajectory of {self.run_again.label}"

    def run(self, context: Context) -> None:
        """Predictions are kept in the work folder as they come: a run that is taken up again has the earlier ones."""
        import numpy as np
        import pandas as pd

        from outshine.training.predict import predict

        kept, leads = context.work / "test", team_in(context.memory).leads
        kept.mkdir(parents=True, exist_ok=True)
        with self.run_again.trial(context) as trial:
            test = trial.frame[trial.frame["split"] == "test"]
            tokens, ids = test["tokens"].tolist(), test["id"].tolist()

            def keep(updates: int) -> None:
                found = predict(trial.model, tokens, trial.pad_id, context.runtime)
                if leads:
                    np.save(kept / f"{updates}.npy", found, allow_pickle=False)

            self.run_again.train(trial, context, keep)
        if not leads:
            return
        steps = sorted(int(path.stem) for path in kept.glob("*.npy"))
        parts = [
            pd.DataFrame({"step": step, "id": ids, "log_odds": np.load(kept / f"{step}.npy", allow_pickle=False)})
            for step in steps
        ]
        pd.concat(parts, ignore_index=True).to_parquet(context.folder / TRAJECTORY, index=False)

    def read(self, store: Store) -> pd.DataFrame:
        """Columns step, id, log_odds (test rows only)."""
        import pandas as pd

        return pd.read_parquet(store.file(self.key, TRAJECTORY))

    def read_curve(self, store: Store) -> pd.DataFrame:
        """The curve of the original run, as `Finetune.read_curve` gives it."""
        return self.run_again.read_curve(store)
