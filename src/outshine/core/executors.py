"""Who computes a study: settings of its workers. Never part of a key."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, NonNegativeFloat, NonNegativeInt, PositiveInt

from outshine.core.settings import Settings


class LocalWorkers(Settings):
    """Processes on this machine."""

    kind: Literal["local"] = "local"
    workers: PositiveInt | None = Field(
        default=None, description="processes; None: one for each GPU, and without one this process alone"
    )
    retries: NonNegativeInt = Field(default=3, description="how often a stage is begun again whose worker died")


class RayWorkers(Settings):
    """Actors of a Ray cluster (extra `ray`)."""

    kind: Literal["ray"] = "ray"
    address: str | None = Field(default=None, description="of the cluster: auto, host:port; None: one on this machine")
    workers: PositiveInt | None = Field(default=None, description="at most; None: as many as there is room for")
    num_cpus: NonNegativeFloat = Field(default=1.0, description="cores of each worker, and its threads")
    num_gpus: NonNegativeFloat = Field(default=0.0, description="GPUs of each worker, or a fraction of one")
    resources: dict[str, NonNegativeFloat] = Field(default={}, description="other resources of each worker, by name")
    retries: NonNegativeInt = Field(default=3, description="how often a stage is begun again whose worker died")


def _by_name(value: Any) -> Any:
    return {"kind": value} if isinstance(value, str) else value


Workers = Annotated[LocalWorkers | RayWorkers, Field(discriminator="kind"), BeforeValidator(_by_name)]
EXECUTORS = ("local", "ray")
