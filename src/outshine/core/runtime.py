"""What may change a result by rounding only: the device, threads and memory. Never part of a key."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, PositiveInt

from outshine.core.settings import Settings


class Runtime(Settings):
    """How stages are computed here; recorded in `DONE.json`, not hashed."""

    device: Literal["auto", "cpu", "cuda", "mps"] = "auto"
    threads: PositiveInt | None = Field(
        default=None, description="CPU threads of the process; None: torch's own choice"
    )
    token_budget: PositiveInt = Field(default=2048, description="padded tokens of one training micro-batch at most")
    eval_token_budget: PositiveInt = Field(default=8192, description="padded tokens of one prediction batch at most")
    gradient_checkpointing: bool = Field(
        default=False,
        description="training runs each block twice and keeps less in between: fewer bytes a token, up to half as "
        "much time again; false: only where a single text does not fit otherwise",
    )
    cohort: PositiveInt = Field(
        default=8,
        description="models on one base and the same texts trained in one pass at most; 1: each alone",
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
