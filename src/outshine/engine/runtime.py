"""Runtime settings, which change a result by rounding only: device, threads, memory. Never part of a key."""

from __future__ import annotations

from functools import cache
from importlib.metadata import PackageNotFoundError, version
from typing import Literal, NamedTuple

from pydantic import Field, NonNegativeInt, PositiveInt

from outshine.engine.settings import Settings


class TokenBudget(NamedTuple):
    """How large batches are, in tokens; padding counts."""

    training: int  # of a micro-batch, at most
    evaluation: int  # of a prediction batch, at most
    batch_cost: int  # what a batch costs beside its tokens: one more is worth it where it saves more padding


_BUDGETS = {"cpu": TokenBudget(1152, 2048, 128)}  # measured: docs/performance.md
_OTHER_DEVICES = TokenBudget(4096, 16384, 1024)  # those of the GPU table in docs/performance.md


class Runtime(Settings):
    """How stages are computed here; recorded in `DONE.json`, not hashed."""

    device: Literal["auto", "cpu", "cuda", "mps"] = "auto"
    threads: PositiveInt | None = Field(
        default=None, description="CPU threads of the process; None: torch's own choice"
    )
    token_budget: PositiveInt | None = Field(
        default=None, description="padded tokens of one training micro-batch at most; None: 1,152 on a CPU, else 4,096"
    )
    eval_token_budget: PositiveInt | None = Field(
        default=None, description="padded tokens of one prediction batch at most; None: 2,048 on a CPU, else 16,384"
    )
    batch_cost: NonNegativeInt | None = Field(
        default=None,
        description="tokens that a batch costs beside its own; None: 128 on a CPU, else 1,024. Smaller: less padding",
    )
    gradient_checkpointing: bool = Field(
        default=False,
        description="training runs each block twice and keeps less in between: fewer bytes a token, up to half as "
        "much time again; false: only where a single text does not fit otherwise",
    )
    cohort: PositiveInt = Field(
        default=8,
        description="models on one base and the same texts trained in one pass at most; 1: each alone",
    )
    lanes: PositiveInt | None = Field(
        default=None,
        description="micro-batches computed at once on a CPU, sharing its threads; None: two unless the model is tiny",
    )
    packing: bool | None = Field(
        default=None,
        description="texts of a batch one after the other in one row, without padding, where the model allows it; "
        "None: on a CUDA GPU in 16 bits, and on a CPU unless the model is tiny",
    )
    cuda_graphs: bool = Field(
        default=True,
        description="on a CUDA GPU passes are captured as CUDA graphs and replayed, where that works; false: issued "
        "kernel by kernel, which is slower where batches are small",
    )
    checkpoint_seconds: float = Field(
        default=60.0, ge=0, description="seconds between two checkpoints of a training run"
    )
    max_rows: PositiveInt | None = Field(
        default=None, description="rows of one training micro-batch at most; None: no limit"
    )
    max_eval_rows: PositiveInt | None = Field(
        default=None, description="rows of one prediction batch at most; None: no limit"
    )

    def budget(self, device_type: str) -> TokenBudget:
        """Return the budgets that were given, and the device's own (`cpu`, `cuda`, `mps`) for the rest."""
        own = _BUDGETS.get(device_type, _OTHER_DEVICES)
        chosen = (self.token_budget, self.eval_token_budget, self.batch_cost)
        return TokenBudget(
            *(default if budget is None else budget for budget, default in zip(chosen, own, strict=True))
        )


UNKNOWN = "unknown (source tree)"


@cache
def version_of(package: str) -> str:
    """The version of an installed package; UNKNOWN for one that was put on the path without being installed."""
    return version_if_there(package) or UNKNOWN


def version_if_there(package: str) -> str | None:
    """The version of an installed package; None where it is not installed, or its metadata cannot be read."""
    try:
        return version(package)
    except (PackageNotFoundError, KeyError):  # not there, or without a version in it
        return None
