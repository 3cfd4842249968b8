"""Who computes a study: settings of its workers. Never part of a key."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, NonNegativeFloat, NonNegativeInt, PositiveInt

from outshine.engine.settings import Settings


class LocalWorkers(Settings):
    """Processes on this machine."""

    kind: Literal["local"] = "local"
    workers: PositiveInt | None = Field(
        default=None, description="local: processes; None: one for each GPU, and without one this process alone"
    )
    retries: NonNegativeInt = Field(default=3, description="how often a stage is begun again whose worker died")


class RayWorkers(Settings):
    """Actors of a Ray cluster (extra `ray`)."""

    kind: Literal["ray"] = "ray"
    address: str | None = Field(
        default=None, description="ray: of the cluster: auto or host:port; None: one on this machine"
    )
    workers: PositiveInt | None = Field(default=None, description="ray: at most; None: as many as there is room for")
    num_cpus: NonNegativeFloat = Field(default=1.0, description="ray: cores of each worker, and its threads")
    num_gpus: NonNegativeFloat = Field(default=0.0, description="ray: GPUs of each worker, or a fraction of one")
    resources: dict[str, NonNegativeFloat] = Field(default={}, description="ray: other resources of each, by name")
    retries: NonNegativeInt = Field(default=3, description="how often a stage is begun again whose worker died")


def _by_name(value: Any) -> Any:
    return {"kind": value} if isinstance(value, str) else value


Workers = Annotated[LocalWorkers | RayWorkers, Field(discriminator="kind"), BeforeValidator(_by_name)]
