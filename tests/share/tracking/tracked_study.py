"""The study that the trackers' tests follow."""

from __future__ import annotations

MARK = "Quetzalcoatlus"  # in every text
STUDY = {
    "name": "small",
    "weak": "tiny/weak",
    "strong": "tiny/strong",
    "compute_dtype": "float32",
    "runtime": {"threads": 1},
    "training": {"epochs": 1, "eval_every": 1},
    "splits": {"n_train": 64, "n_val": 24, "n_test": 24},
    "methods": [{"kind": "vanilla", "loss": "xent"}, {"kind": "probe", "probe": "logistic"}],
    "controls": [{"kind": "control", "labels": "shuffled", "loss": "xent"}],
    "seeds": [0, 1],
    "loss": "xent",
}
