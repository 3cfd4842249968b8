"""Trajectories: what a fine-tuning would have predicted for test at each validation on its way."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from pydantic import SerializeAsAny

from outshine.engine.checked_reading import Columns, read_table
from outshine.engine.process_group import processes_in
from outshine.engine.stage import Context, Cost, Stage
from outshine.w2s.stages.finetune import Finetune, train_data

if TYPE_CHECKING:
    from pathlib import Path

    import pandas as pd

    from outshine.data.task import Task
    from outshine.engine.store.store import Store
    from outshine.w2s.cost import Estimator

FILES = {"test": "trajectory.parquet", "val": "trajectory_val.parquet"}


class Trajectory(Stage):
    """A fine-tuning run once more, alone, with test and val predicted at every validation.

    It is the same to the bit, or up to rounding where the run was in a cohort.

    Writes `trajectory.parquet` (step: optimizer updates made, id, scores of test rows: of a binary task log_odds, else
    the columns of the task) and `trajectory_val.parquet` (the same of val rows: what choosing a checkpoint by trusted
    labels would have seen). For looking at only: the run whose labels and results count never sees a test prediction
    before its end, and nothing selects by these.
    """

    VERSION: ClassVar[int] = 2
    stage: ClassVar[str] = "trajectory"
    trains: ClassVar[bool] = True

    run_again: SerializeAsAny[Finetune]

    @property
    def label(self) -> str:
        return f"trajectory of {self.run_again.label}"

    @property
    def plan_row(self) -> tuple[int, str]:
        return 9, "trajectories"

    def cost(self, estimator: Estimator) -> Cost:
        return estimator.fine_tuning(self.run_again, watched=True)

    @property
    def base_model(self) -> str:
        return self.run_again.base_model

    def run(self, context: Context) -> None:
        """Predictions are kept in the work folder as they come: a run that is taken up again has the earlier ones."""
        import numpy as np

        from outshine.learn.batches import predict
        from outshine.learn.loop import finetune

        kept, is_main = context.work / "watched", processes_in(context.memory).is_main
        kept.mkdir(parents=True, exist_ok=True)
        with self.run_again.fresh_classifier(context) as model:
            data = train_data(model, [self.run_again], context)
            watched = {split: data.frame[data.frame["split"] == split] for split in FILES}

            def keep(updates: int) -> None:
                for split, rows in watched.items():
                    log_odds = predict(model, rows["tokens"].tolist(), data.pad_id, context.runtime)
                    if is_main:
                        np.save(kept / f"{split}-{updates}.npy", log_odds, allow_pickle=False)

            run_env = self.run_again.run_env(context, data.pad_id)._replace(watch=keep)
            finetune(model, data.train[0], data.val[0], self.run_again.train_config(), run_env)
        for split, rows in watched.items() if is_main else ():
            tracked = _in_order_of_steps(kept, split, rows["id"].tolist(), self.run_again.texts.task)
            tracked.to_parquet(context.folder / FILES[split], index=False)

    def read(self, store: Store, split: str = "test") -> pd.DataFrame:
        """Columns step, id and the task's scores, of a binary one log_odds, of the rows of test, or of val."""
        columns: Columns = {"step": "number", "id": "text"}
        columns |= dict.fromkeys(self.run_again.texts.task.score_columns, "number")
        return read_table(store, self.key, FILES[split], columns)

    def read_curve(self, store: Store) -> pd.DataFrame:
        """The curve of the original run, as `Finetune.read_curve` gives it."""
        return self.run_again.read_curve(store)


def _in_order_of_steps(kept: Path, split: str, ids: list[str], task: Task) -> pd.DataFrame:
    """The predictions that lie in `kept` for one split, one below the other."""
    import numpy as np
    import pandas as pd

    steps = sorted(int(path.stem.rpartition("-")[2]) for path in kept.glob(f"{split}-*.npy"))
    parts = []
    for step in steps:
        predicted = task.predicted(np.load(kept / f"{split}-{step}.npy", allow_pickle=False))
        parts.append(pd.DataFrame({"step": step, "id": ids, **{name: predicted[name] for name in task.score_columns}}))
    return pd.concat(parts, ignore_index=True)
