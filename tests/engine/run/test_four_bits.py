"""A study whose student's base is kept in four bits, and the refusal of one that could not be computed."""

import json
import sys
from typing import Any

import numpy as np
import pandas as pd
import pytest

from outshine.engine.errors import SettingsError
from outshine.engine.progress import Silent
from outshine.engine.store.store import Store
from outshine.results.finished import run_study
from outshine.w2s.stages.finetune import Finetune
from outshine.w2s.study_file import parse_study


def study(**changes: Any):
    return parse_study(
        {
            "name": "four-bits",
            "datasets": ["tiny-home"],
            "weak": "tiny/weak",
            "strong": {"model": "tiny/strong", "tuning": {"base": "nf4"}},
            "methods": ["vanilla", {"kind": "probe_to_strong", "probe": "logistic"}],
            "compute_dtype": "float32",
            "runtime": {"threads": 1},
            "training": {"epochs": 1, "eval_every": 1},
            "splits": {"n_train": 128, "n_val": 40, "n_test": 80},
            **changes,
        }
    )


def test_without_bitsandbytes_it_is_refused_before_anything_is_trained(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "bitsandbytes", None)
    store = Store(tmp_path / "store")
    with pytest.raises(SettingsError, match="needs bitsandbytes, which is not installed"):
        run_study(study(), store, Silent())
    made = [json.loads(path.read_text())["stage"] for path in store.root.glob("artefacts/*/*/DONE.json")]
    assert sorted(made) == ["audit", "prepare"]


@pytest.mark.slow
def test_a_study_in_four_bits_runs_and_shares_supervisor_and_activations_with_a_dense_one(tmp_path):
    pytest.importorskip("bitsandbytes", reason="a base in four bits needs the extra outshine[4bit]")
    store = Store(tmp_path / "store")
    small = run_study(study(), store, Silent())
    dense = run_study(study(strong="tiny/strong"), store, Silent())
    stages = [{one.key: one for e in ran.experiments for one in e.stages()} for ran in (small, dense)]
    shared = stages[0].keys() & stages[1].keys()
    assert [stages[0][key].label for key in shared] == [small.experiments[0].labels.label]
    made = [json.loads(path.read_text())["stage"] for path in store.root.glob("artefacts/*/*/DONE.json")]
    assert made.count("activations") == 1  # read from the pretrained model itself, which both have
    found, expected = (
        np.concatenate([_log_odds(store, one) for one in some.values() if one.key not in shared]) for some in stages
    )
    assert not np.array_equal(found, expected)
    assert np.corrcoef(found, expected)[0, 1] > 0.9
    assert store.done(small.experiments[0].ceiling.key)["made"]["packages"]["bitsandbytes"]


def _log_odds(store: Store, stage: Finetune) -> np.ndarray:
    return pd.read_parquet(store.file(stage.key, "predictions.parquet"))["log_odds"].to_numpy()
