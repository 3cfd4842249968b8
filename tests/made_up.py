"""Finished studies without a model: real preparations, and predictions that are made up from the rows' labels."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from outshine.engine.progress import Silent
from outshine.engine.run.local import LocalExecutor, record_of
from outshine.engine.runtime import Runtime
from outshine.engine.stage import Stage, in_order
from outshine.engine.store.store import Store
from outshine.results.results import Results, read_results
from outshine.w2s.compute_study import by_model
from outshine.w2s.expand import Experiment, Resolution, expand, resolve_study
from outshine.w2s.stages.keep import Keep
from outshine.w2s.stages.predictor import Predictor, predicted_splits
from outshine.w2s.stages.prepare import Prepare
from outshine.w2s.stages.trajectory import FILES, Trajectory
from outshine.w2s.study_file import parse_study

SMALL: dict[str, Any] = {
    "datasets": ["tiny-home", "tiny-pet"],
    "weak": "tiny/weak",
    "strong": "tiny/strong",
    "compute_dtype": "float32",
    "splits": {"n_train": 96, "n_val": 40, "n_test": 60},
}

Signal = Callable[[Predictor, np.ndarray], np.ndarray]
"""What a stage's log-odds hold beside noise of standard deviation 1, from the labels (-1 or 1) of the rows."""


def half(stage: Predictor, sign: np.ndarray) -> np.ndarray:
    return 0.5 * sign


def finished(store: Store, raw: dict[str, Any], signal: Signal = half) -> list[Experiment]:
    """The experiments of a study, their artefacts made up."""
    return resolved(store, raw, signal)[1]


def resolved(
    store: Store, raw: dict[str, Any], signal: Signal = half, updates: int = 4
) -> tuple[Resolution, list[Experiment]]:
    """The study with every choice made, and its experiments; `updates`: how long each was trained, it is said."""
    resolution = resolve_study(parse_study({**SMALL, **raw}))
    LocalExecutor(store, Runtime(threads=1), Silent()).run([*resolution.prepares])
    experiments = expand(resolution, store)
    rows = {prepare.key: _rows(prepare, store) for prepare in resolution.prepares}
    for stage in in_order(by_model(experiments)):
        if not store.has(stage.key):
            with store.writing(stage.key) as folder:
                _write(stage, store, folder, rows, signal, updates)
                store.commit(stage.key, folder, record_of(stage, 1.0, Runtime()))
    return resolution, experiments


def results(store: Store, raw: dict[str, Any], signal: Signal = half) -> Results:
    """The frames of such a study."""
    return read_results("made-up", finished(store, raw, signal), store)


def _rows(prepare: Prepare, store: Store) -> pd.DataFrame:
    prepared = prepare.read(store)
    rows = prepared.texts.merge(prepared.truth, on="id")
    return rows[rows["split"].isin(predicted_splits(rows["split"]))]


def _write(
    stage: Stage, store: Store, folder: Path, rows: dict[str, pd.DataFrame], signal: Signal, updates: int
) -> None:
    if isinstance(stage, Predictor):
        _predictions(stage, rows[stage.texts.origin.key], signal).to_parquet(
            folder / "predictions.parquet", index=False
        )
        _curve(updates).to_parquet(folder / "curve.parquet", index=False)
        (folder / "summary.json").write_text(json.dumps({"chosen_update": 2, "updates": updates, "notes": []}))
    elif isinstance(stage, Keep):
        facts = {"removed_by_components": 0.125} if stage.filter.kind == "topofilter" else {}
        splits = ("strong_train", "val") if stage.filter_val else ("strong_train",)
        kept = {split: {"rows": 48, "dropped": 12, **facts} for split in splits}
        none = pd.DataFrame({"id": pd.Series(dtype=str), "split": pd.Series(dtype=str), "kept": pd.Series(dtype=bool)})
        none.to_parquet(folder / "keep.parquet", index=False)
        (folder / "summary.json").write_text(json.dumps({**kept, "notes": []}))
    elif isinstance(stage, Trajectory):
        own = stage.run_again.predictions(store)
        steps = [step for step in range(1, updates + 1) if _validated(step, updates)]
        for split, name in FILES.items():
            first = own.loc[own["split"] == split, ["id", "log_odds"]]
            worse = first.assign(log_odds=-first["log_odds"])
            several = [(first if step == 2 else worse).assign(step=step) for step in steps]
            pd.concat(several).to_parquet(folder / name, index=False)


def _validated(step: int, updates: int) -> bool:
    """After every second update of a short run, else twenty times or so."""
    return step == 2 or step == updates or step % max(2, updates // 19) == 0


def _curve(updates: int) -> pd.DataFrame:
    """A loss that falls, and one AUROC wherever it is validated."""
    steps = np.arange(1, updates + 1)
    auroc = [0.6 if _validated(step, updates) else np.nan for step in steps]
    loss = 0.3 + 0.4 / np.sqrt(steps)
    return pd.DataFrame({"step": steps, "loss": loss, "grad_norm": 1.0, "learning_rate": 0.1, "val_auroc": auroc})


def _predictions(stage: Predictor, rows: pd.DataFrame, signal: Signal) -> pd.DataFrame:
    sign = 2 * rows["label"].to_numpy(dtype=np.float64) - 1
    noise = np.random.default_rng(int(stage.key[:12], 16)).normal(size=len(rows))
    log_odds = signal(stage, sign) + noise
    return rows[["id", "split"]].assign(log_odds=log_odds, p=1 / (1 + np.exp(-log_odds)))
