"""From a model's name to an exact classifier: which commit or files, how many blocks, which pooling."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any, NamedTuple

from outshine.core.errors import ModelError, SettingsError
from outshine.core.files import user_path
from outshine.core.hub import Repo, snapshot
from outshine.models.catalog import learning_rate
from outshine.models.spec import ClassifierSpec, ComputeDtype, ModelRef, ModelSettings, Pooling
from outshine.models.tiny import TINY_MODELS
from outshine.models.untrusted import check_config, check_counts, check_weights, read_json

UNRESOLVED = "unresolved:"  # begins what stands for an identity that could not be found out; only plans hold such
MAX_LENGTH = 1024  # tokens, where neither the user nor the model says less

CONFIG_FILES = ("*.json", "*.txt", "*.model", "*.py", "1_Pooling/config.json")
WEIGHT_FILES = ("*.safetensors", "*.safetensors.index.json")

_LIMITS = ("max_position_embeddings", "n_positions", "max_seq_len")
_LAYERS = ("num_hidden_layers", "n_layer", "n_layers", "num_layers")
_HIDDEN = ("hidden_size", "d_model", "n_embd", "dim")
_INNER = ("intermediate_size", "ffn_dim", "n_inner", "hidden_dim")

_POSITIONS_BEHIND_PADDING = (  # positions of these start behind the padding token's number
    *("camembert", "data2vec-text", "ibert", "longformer", "luke", "mpnet", "xmod"),
    *("roberta", "roberta-prelayernorm", "xlm-roberta", "xlm-roberta-xl"),
)


class Resolved(NamedTuple):
    """A model with every choice made, and what people should know about the choices."""

    spec: ClassifierSpec
    learning_rate: float
    num_parameters: int  # estimated from the config
    notes: tuple[str, ...]


def resolve(settings: ModelSettings, compute_dtype: ComputeDtype) -> Resolved:
    """Find the model's config (hub, folder, embedded) and make every choice that the key depends on.

    Raises HubError where the repository cannot be had and ModelError where the model cannot be used.
    """
    from outshine.models.usable import check_usable  # torch, and what is imported here itself

    ref, folder = find(settings)
    config = read_config(folder, settings.model)
    all_layers = _first(config, _LAYERS)
    if all_layers is None:
        raise ModelError(
            f"model '{settings.model}': its config.json names no number of layers; is it a language model?"
        )
    if config.get("is_encoder_decoder"):
        raise ModelError(f"model '{settings.model}' is an encoder-decoder; encoders and decoders are supported")
    num_layers = settings.num_layers or all_layers
    if num_layers > all_layers:
        raise SettingsError(f"model '{settings.model}' has {all_layers} blocks; num_layers = {num_layers} is too many")
    num_parameters = estimate_parameters(config, num_layers)
    rate = learning_rate(settings, num_parameters)
    spec = ClassifierSpec(
        model=ref.model_copy(update={"num_layers": all_layers}),
        num_layers=num_layers,
        pooling=_pooling(settings, config, folder),
        tuning=settings.tuning,
        max_length=_max_length(settings, config),
        compute_dtype=compute_dtype,
    )
    check_usable(spec)
    return Resolved(spec, rate.value, num_parameters, (rate.note,) if rate.note else ())


def find(settings: ModelSettings) -> tuple[ModelRef, Path]:
    """The exact weights that a name means, and a folder that holds at least their config."""
    name = settings.model
    if settings.trust_remote_code not in (None, name):
        raise SettingsError(
            "trust_remote_code must repeat the model's name to be believed: "
            f"given '{settings.trust_remote_code}', model '{name}'"
        )
    trusted = settings.trust_remote_code == name
    if name.startswith("tiny/") and name not in TINY_MODELS:
        raise ModelError(f"unknown embedded model '{name}'; known: {', '.join(TINY_MODELS)}")
    local = TINY_MODELS.get(name) or user_path(name)
    if local.is_dir():
        if not (local / "config.json").is_file():
            raise ModelError(
                f"folder '{name}' holds no config.json; a model folder as transformers saves it is expected"
            )
        identity = f"sha256:{_digest_of(local)}"
        if settings.revision.startswith("sha256:") and settings.revision != identity:
            raise ModelError(
                f"model '{name}' has changed: its files are not those of revision {settings.revision[:19]}…"
            )
        return ModelRef(identity=identity, name=name, folder=str(local), trust_remote_code=trusted), local
    if name.startswith(("/", "./", "../", "~")):
        raise ModelError(f"there is no folder '{name}'")
    found = snapshot(Repo("model", name, settings.revision), CONFIG_FILES)
    if not (found.folder / "config.json").is_file():
        raise ModelError(f"model '{name}' has no config.json on the hub; only models for transformers can be used")
    return ModelRef(identity=f"hub:{name}@{found.commit}", name=name, trust_remote_code=trusted), found.folder


def config_folder(ref: ModelRef) -> Path:
    """A folder with config and tokenizer; downloads what is missing."""
    return _folder(ref, CONFIG_FILES)


def weights_folder(ref: ModelRef) -> Path:
    """A folder with config, tokenizer and safetensors weights; downloads what is missing.

    Raises ModelError where there are only weights in formats that can run code when they are opened, or elsewhere.
    """
    folder = _folder(ref, (*CONFIG_FILES, *WEIGHT_FILES))
    check_weights(folder, ref.name)
    return folder


def _folder(ref: ModelRef, patterns: tuple[str, ...]) -> Path:
    if ref.folder is not None:
        return Path(ref.folder)
    if ref.identity.startswith(UNRESOLVED):
        raise ModelError(f"model '{ref.name}' was planned without the hub; nothing can be run with it")
    repo, _, commit = ref.identity.removeprefix("hub:").rpartition("@")
    return snapshot(Repo("model", repo, commit), patterns).folder


def read_config(folder: Path, name: str) -> dict[str, Any]:
    """The model's config.json; of a multimodal model, the part that describes the text model."""
    config = read_json(folder / "config.json", name)
    check_config(config, name)
    text_model = config.get("text_config", config) if _first(config, _LAYERS) is None else config
    check_counts(text_model, name)
    return text_model


def estimate_parameters(config: dict[str, Any], num_layers: int) -> int:
    """Parameters by the usual shapes: embeddings V·d and about 4·d² + 3·d·f a block (2·d·f without a gate)."""
    width = _first(config, _HIDDEN) or 0
    inner = _first(config, _INNER) or 4 * width
    matrices = 3 if config.get("hidden_act") in ("silu", "swish", "gelu_pytorch_tanh") else 2
    return config.get("vocab_size", 0) * width + num_layers * (4 * width * width + matrices * width * inner)


def _pooling(settings: ModelSettings, config: dict[str, Any], folder: Path) -> Pooling:
    """`auto`: as the sentence encoder says, else last for decoders, else the encoder's own."""
    if settings.pooling != "auto":
        chosen: Pooling = settings.pooling
        if chosen in ("first", "own") and is_causal(config):
            raise SettingsError(
                f"model '{settings.model}' is a decoder: its first token sees nothing of the text; "
                f"pooling '{chosen}' is for encoders, use last or mean"
            )
        return chosen
    sentence = folder / "1_Pooling" / "config.json"
    if sentence.is_file():
        modes = read_json(sentence, settings.model)
        choices: list[tuple[str, Pooling]] = [("cls_token", "first"), ("lasttoken", "last")]
        for mode, pooling in choices:
            if modes.get(f"pooling_mode_{mode}"):
                return pooling
        return "mean"
    return "last" if is_causal(config) else "own"


def is_causal(config: dict[str, Any]) -> bool:
    """Whether a model is a decoder: its checkpoint says so, else transformers has only a causal head for its type.

    BERT and RoBERTa have both heads; for them the checkpoint's own `is_decoder` decides.
    """
    architectures = " ".join(config.get("architectures") or ())
    if "CausalLM" in architectures or "LMHead" in architectures:
        return True
    if "MaskedLM" in architectures:
        return bool(config.get("is_decoder"))
    from transformers.models.auto.modeling_auto import (
        MODEL_FOR_CAUSAL_LM_MAPPING_NAMES,
        MODEL_FOR_MASKED_LM_MAPPING_NAMES,
    )

    kind = config.get("model_type", "")
    if kind in MODEL_FOR_MASKED_LM_MAPPING_NAMES:
        return bool(config.get("is_decoder"))
    return kind in MODEL_FOR_CAUSAL_LM_MAPPING_NAMES


def _max_length(settings: ModelSettings, config: dict[str, Any]) -> int:
    limit = _first(config, _LIMITS)
    if limit is not None and config.get("model_type") in _POSITIONS_BEHIND_PADDING:
        limit -= config.get("pad_token_id", 1) + 1
    if settings.max_length is not None and limit is not None and settings.max_length > limit:
        raise SettingsError(
            f"model '{settings.model}' takes {limit} tokens; max_length = {settings.max_length} is too long"
        )
    return settings.max_length or min(limit or MAX_LENGTH, MAX_LENGTH)


def _digest_of(folder: Path) -> str:
    """sha256 over the names and contents of the files that decide what the model computes."""
    whole = hashlib.sha256()
    patterns = (*CONFIG_FILES, *WEIGHT_FILES)
    for path in sorted({path for pattern in patterns for path in folder.glob(pattern)}):
        with path.open("rb") as file:
            part = hashlib.file_digest(file, "sha256").hexdigest()
        whole.update(f"{path.relative_to(folder).as_posix()}\x1f{part}\n".encode())
    return whole.hexdigest()


def _first(config: dict[str, Any], names: tuple[str, ...]) -> int | None:
    return next((config[name] for name in names if isinstance(config.get(name), int)), None)
