"""How quickly this machine would compute: a matrix product is timed, and half of what it reaches is reckoned with."""

from __future__ import annotations

import time
from statistics import median
from typing import NamedTuple

from outshine.core.messages import duration
from outshine.core.runtime import Runtime
from outshine.execution.work import PER_TOKEN
from outshine.models.spec import ComputeDtype

SUSTAINED = 0.5  # of a matrix product's rate; training reached 46 to 69 % of it (docs/performance.md)
_SIZES = {"cpu": 1024, "mps": 2048, "cuda": 4096}
_ROUNDS = 7


class Speed(NamedTuple):
    """What a matrix product reached just now."""

    device: str
    dtype: ComputeDtype
    flops: float  # a second

    def seconds(self, flops: float, tokens: float) -> float:
        """About how long so much work takes here, by one worker."""
        return (flops + PER_TOKEN * tokens) / (SUSTAINED * self.flops)

    def line(self, flops: float, tokens: float) -> str:
        """The same in words, with how it comes about."""
        return (
            f"on this machine ({self.device}, {self.dtype}) about {duration(self.seconds(flops, tokens))} with one "
            f"worker: at {SUSTAINED:.0%} of the {self.flops / 1e9:,.0f} GFLOP/s that a matrix product reached just now"
        )


def speed_here(runtime: Runtime, dtype: ComputeDtype) -> Speed:
    """Time a matrix product in this number format where the runtime would compute.

    Raises SettingsError for a device that is not there.
    """
    import torch

    from outshine.models.device import pick_device
    from outshine.models.loading import DTYPES

    device = pick_device(runtime)
    if runtime.threads is not None:
        torch.set_num_threads(runtime.threads)
    size = _SIZES[device.type]
    a, b = (torch.ones(size, size, device=device, dtype=DTYPES[dtype]) for _ in range(2))
    took = []
    for _ in range(_ROUNDS):
        began = time.perf_counter()
        float((a @ b)[0, 0])  # on a GPU too it is waited for
        took.append(time.perf_counter() - began)
    return Speed(device.type, dtype, 2 * size**3 / median(took))
