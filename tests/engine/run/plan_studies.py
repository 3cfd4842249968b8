"""Studies for the tests of plans: one grid, on embedded models and tasks and on those of a hub."""

from __future__ import annotations

from typing import Any

from outshine.w2s.study import Study
from outshine.w2s.study_file import parse_study

GRID: list[Any] = [
    "vanilla",
    {"kind": "vanilla", "loss": "logconf"},
    "strong_to_strong",
    {"kind": "probe", "probe": "knn"},
    {"kind": "probe", "probe": "logistic", "layer": "last"},
    {"kind": "probe_to_strong", "probe": "knn"},
    {"kind": "filtered", "filter": "topofilter"},
    {"kind": "filtered", "filter": "knn", "drop": 0.25, "filter_val": True},
]

DISTINCT = {  # of GRID, by hand: (for each dataset, for each dataset and seed)
    "prepared datasets": (1, 0),
    "audits": (1, 0),
    "supervisors": (0, 1),
    "ceilings": (0, 1),
    "activations": (2, 0),  # the middle and the last layer of the pretrained model
    "probes": (0, 2),  # knn in the middle is that of probe_to_strong too
    "filters": (0, 2),
    "students": (0, 7),  # 2 vanilla, 2 after the first of strong_to_strong, 1 probe_to_strong, 2 filtered
}
UNSHARED = {  # of GRID, by hand, for each dataset and seed: what eight experiments alone would compute
    "prepared datasets": 8,
    "audits": 8,
    "supervisors": 8,
    "ceilings": 8,
    "activations": 5,
    "probes": 3,
    "filters": 2,
    "students": 8,
}


def tiny(**settings: Any) -> Study:
    """The grid on embedded models and tasks."""
    raw = {
        "datasets": ["tiny-home", "tiny-pet"],
        "weak": "tiny/weak",
        "strong": "tiny/strong",
        "loss": "xent",
        "compute_dtype": "float32",
        "splits": {"n_train": 160, "n_val": 60, "n_test": 60},
        "methods": GRID,
        "seeds": [0, 1],
    }
    return parse_study(raw | settings)


def real(**settings: Any) -> Study:
    """The same on the models of the post and datasets of the hub."""
    on_hub = {
        "datasets": ["sst2", "sciq"],
        "weak": "Qwen/Qwen1.5-0.5B",
        "strong": "meta-llama/Meta-Llama-3-8B",
        "splits": {},
    }
    return tiny(**(on_hub | settings))
