"""Choice of the device and of the number format."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Literal

import torch

from outshine.engine.errors import SettingsError
from outshine.engine.runtime import Runtime
from outshine.learn.spec import ComputeDtype


def pick_device(runtime: Runtime) -> torch.device:
    """Return the device asked for, or the best there is. Raises SettingsError where it is not there."""
    available = {"cpu": True, "cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available()}
    if runtime.device == "auto":
        return torch.device(next(name for name in ("cuda", "mps", "cpu") if available[name]))
    if not available[runtime.device]:
        usable = ", ".join(name for name, there in available.items() if there)
        raise SettingsError(f"device '{runtime.device}' is not available here; use one of: {usable}")
    return torch.device(runtime.device)


def pick_float64_device(runtime: Runtime) -> torch.device:
    """Return the device asked for, or the best there is, for work in float64: the CPU in place of one without."""
    device = pick_device(runtime)
    return torch.device("cpu") if device.type == "mps" else device


def resolve_dtype(dtype: Literal["auto"] | ComputeDtype, device: torch.device) -> ComputeDtype:
    """`auto`: bfloat16 where the device multiplies it fast, else float32."""
    if dtype != "auto":
        return dtype
    if device.type == "cuda":
        return "bfloat16" if torch.cuda.is_bf16_supported(including_emulation=False) else "float32"
    return "bfloat16" if device.type == "cpu" and _cpu_has_amx() else "float32"


@cache
def _cpu_has_amx() -> bool:
    """Matrix units for bfloat16: without them bf16 on a CPU gains little or loses."""
    try:
        return "amx_bf16" in Path("/proc/cpuinfo").read_text(encoding="utf-8")
    except OSError:
        return False
