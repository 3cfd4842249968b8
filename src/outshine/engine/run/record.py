"""What `DONE.json` says beside the files: what was computed, and (unhashed) where and how."""

from __future__ import annotations

import platform
import resource
import sys
from collections.abc import Sequence
from datetime import UTC, datetime
from functools import cache
from typing import Any

from outshine.engine.key import canonical_fields
from outshine.engine.runtime import Runtime, version_if_there, version_of
from outshine.engine.stage import Stage

_RECORDED = (
    "outshine",
    "torch",
    "transformers",
    "huggingface-hub",
    "numpy",
    "scipy",
    "scikit-learn",
    "pandas",
    "pyarrow",
    "tokenizers",
)
_RECORDED_IF_THERE = ("bitsandbytes",)


def record_of(stage: Stage, seconds: float, runtime: Runtime, cohort: Sequence[str] = ()) -> dict[str, Any]:
    """The record of a stage that took `seconds`; of a member of a cohort (the keys trained in one pass) its share."""
    return {
        "stage": stage.stage,
        "version": stage.VERSION,
        "label": stage.label,
        "fields": canonical_fields(stage),
        "inputs": [one.key for one in stage.inputs()],
        "made": {
            "at": datetime.now(UTC).isoformat(timespec="seconds"),
            "seconds": round(seconds, 3),
            "peak_memory_mb": round(_peak_memory_mb(), 1),
            "host": platform.node(),
            "machine": platform.machine(),
            "python": platform.python_version(),
            "packages": _versions(),
            "runtime": runtime.model_dump(),
            **({"cohort": list(cohort)} if cohort else {}),
        },
    }


@cache
def _versions() -> dict[str, str]:
    """Of what is recorded: looked up once, it takes longer than many a stage."""
    optional = {name: version_if_there(name) for name in _RECORDED_IF_THERE}
    return {name: version_of(name) for name in _RECORDED} | {name: found for name, found in optional.items() if found}


def _peak_memory_mb() -> float:
    """Largest resident size of this process so far, in MB."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / 1e6 if sys.platform == "darwin" else peak / 1e3
