"""Settings of a classifier: the model, its number of blocks, pooling and tuning."""

from __future__ import annotations

import re
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, PositiveFloat, PositiveInt, field_validator, model_validator

from outshine.engine.errors import SettingsError
from outshine.engine.settings import NotInKey, Settings

Pooling = Literal["last", "first", "mean", "own"]
ComputeDtype = Literal["float32", "bfloat16", "float64"]


class LoRA(Settings):
    """Low-rank adapters on every linear layer of the blocks; the rest is frozen. Source: arXiv:2106.09685."""

    kind: Literal["lora"] = "lora"
    rank: PositiveInt = Field(default=8, description="columns of A, rows of B")
    alpha: PositiveFloat = Field(default=8.0, description="the update is scaled by alpha / rank")
    base: Literal["dense", "nf4"] = Field(
        default="dense",
        description="how the frozen linear layers of the blocks are kept: dense, as they are computed, or nf4, in four "
        "bits (QLoRA, arXiv:2305.14314), with the extra outshine[4bit]",
    )


class Full(Settings):
    """Full fine-tuning: every weight of the model is trained, in float32."""

    kind: Literal["full"] = "full"


class Head(Settings):
    """Head-only training: the model is frozen (a linear probe trained by gradient descent)."""

    kind: Literal["head"] = "head"


def _tuning_by_name(value: Any) -> Any:
    if isinstance(value, dict) and "kind" not in value:
        return {"kind": "lora", **value}  # the only one with settings
    return {"kind": value} if isinstance(value, str) else value


Tuning = Annotated[LoRA | Full | Head, Field(discriminator="kind"), BeforeValidator(_tuning_by_name)]


class ModelSettings(Settings):
    """A model as a study names it: `weak:` and `strong:`. A plain text is the model's name."""

    model: str = Field(min_length=1, description="hub repository, local folder, or an embedded model such as tiny/weak")
    revision: str = Field(default="main", description="branch, tag or commit of a hub repository; sha256:… of a folder")
    num_layers: PositiveInt | None = Field(default=None, description="keep only the first n blocks; None: all")
    pooling: Literal["auto", "last", "first", "mean", "own"] = Field(
        default="auto", description="last | first token, mean over tokens, the model's own pooler; auto by architecture"
    )
    tuning: Tuning = Field(default=LoRA(), description="lora | full | head; `lora: none` is short for full")
    learning_rate: PositiveFloat | None = Field(
        default=None, description="None: the catalog's for this model, else a guess"
    )
    max_length: PositiveInt | None = Field(default=None, description="tokens; None: the model's limit, at most 1,024")
    trust_remote_code: str | None = Field(
        default=None, description="repeat the model's name to run code from its repository"
    )

    @field_validator("revision")
    @classmethod
    def _no_path(cls, value: str) -> str:
        """Return the hub's client keeps a file by this name in its cache: it must not lead elsewhere."""
        if not re.fullmatch(r"[A-Za-z0-9][\w./:+-]{0,254}", value) or ".." in value:
            raise SettingsError(f"revision '{value}' is no branch, tag or commit")
        return value

    @model_validator(mode="before")
    @classmethod
    def _short_forms(cls, data: Any) -> Any:
        if isinstance(data, str):
            return {"model": data}
        if isinstance(data, dict) and "lora" in data:
            data = dict(data)
            lora = data.pop("lora")
            if "tuning" in data:
                raise SettingsError("give either 'tuning' or its short form 'lora', not both")
            data["tuning"] = {"kind": "full"} if lora in (None, False, "none") else {"kind": "lora", **_mapping(lora)}
        return data


def _mapping(lora: Any) -> dict[str, Any]:
    if isinstance(lora, dict):
        return lora
    raise SettingsError(f"lora: {lora!r} is neither none nor a mapping such as {{rank: 8, alpha: 8}}")


def is_array_name(model: str) -> bool:
    """Whether a model's name is that of an array of features: `features.npy`, or a column, `rows.parquet:embedding`."""
    return model.endswith(".npy") or ".parquet:" in model


class ModelRef(Settings):
    """One exact set of weights.

    `identity` is `hub:<repo>@<commit>` or `sha256:<digest of the files>`; `name` and `folder` only say
    where they were found.
    """

    identity: str
    name: Annotated[str, NotInKey()]
    folder: Annotated[str | None, NotInKey()] = None
    num_layers: Annotated[int, NotInKey()] = 0  # blocks of the whole model
    trust_remote_code: bool = False


class ClassifierSpec(Settings):
    """A classifier with every choice made: equal specs give equal initial classifiers for equal seeds."""

    model: ModelRef
    num_layers: PositiveInt
    pooling: Pooling
    tuning: Tuning
    max_length: PositiveInt  # tokens
    compute_dtype: ComputeDtype

    @property
    def name(self) -> str:
        """What tables call it: the model, and how much of it where that is not all."""
        whole = self.model.num_layers
        part = f" ({self.num_layers} of {whole} blocks)" if 0 < self.num_layers < whole else ""
        return f"{self.model.name}{part}"


def in_four_bits(spec: ClassifierSpec) -> bool:
    """Whether the frozen base is kept in four bits."""
    return isinstance(spec.tuning, LoRA) and spec.tuning.base == "nf4"
