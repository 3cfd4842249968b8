"""From a model's name to an exact classifier: which commit or files, how many blocks, which pooling."""

from __future__ import annotations

import hashlib
from glob import escape
from pathlib import Path
from typing import Any, NamedTuple

from outshine.core.errors import ModelError, SettingsError
from outshine.core.files import user_path
from outshine.core.hub import Repo, snapshot
from outshine.models.catalog import learning_rate
from outshine.models.pooling import DEFAULT_POOLING, choose_pooling, pooling_file
from outshine.models.spec import ClassifierSpec, ComputeDtype, ModelRef, ModelSettings
from outshine.models.tiny import TINY_MODELS
from outshine.models.untrusted import (
    INDEX,
    LAYERS,
    WEIGHTS,
    check_config,
    check_counts,
    check_files,
    check_weights,
    read_json,
    shards,
)

UNRESOLVED = "unresolved:"  # begins what stands for an identity that could not be found out; only plans hold such
MAX_LENGTH = 1024  # tokens, where neither the user nor the model says less

VOCABULARIES = ("*.model", "*.codes", "*.spm", "*.tiktoken", "*.tokenizer")  # beside .json and .txt; tested to be all
CONFIG_FILES = ("*.json", "*.txt", "*.py", *VOCABULARIES, DEFAULT_POOLING)
CODE_IN_FOLDERS = "*/*.py"  # of models whose code may run
WEIGHT_FILES = ("*.safetensors", "*.safetensors.index.json")

_LIMITS = ("max_position_embeddings", "n_positions", "max_seq_len")
_HIDDEN = ("hidden_size", "d_model", "n_embd", "dim")
_INNER = ("intermediate_size", "ffn_dim", "n_inner", "hidden_dim")


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
    ref, folder = find(settings)
    config = read_config(folder, settings.model)
    all_layers = _first(config, LAYERS)
    if all_layers is None:
        config = _as_transformers_reads(ref, folder)
        all_layers = config["num_hidden_layers"]
    if config.get("is_encoder_decoder"):
        raise ModelError(f"model '{settings.model}' is an encoder-decoder; encoders and decoders are supported")
    num_layers = settings.num_layers or all_layers
    if num_layers > all_layers:
        raise SettingsError(f"model '{settings.model}' has {all_layers} blocks; num_layers = {num_layers} is too many")
    num_parameters = estimate_parameters(config, num_layers)
    rate = learning_rate(settings, num_parameters)
    if settings.pooling == "auto" and ref.folder is None:
        place = pooling_file(folder, settings.model)
        if place not in (None, DEFAULT_POOLING):
            snapshot(_repo(ref), [escape(place)])
    pooling, lost = choose_pooling(settings, config, folder)
    spec = ClassifierSpec(
        model=ref.model_copy(update={"num_layers": all_layers}),
        num_layers=num_layers,
        pooling=pooling,
        tuning=settings.tuning,
        max_length=settings.max_length or MAX_LENGTH,
        compute_dtype=compute_dtype,
    )
    limit = _limit(spec, config)
    if settings.max_length is not None and limit is not None and settings.max_length > limit:
        raise SettingsError(
            f"model '{settings.model}' takes {limit} tokens; max_length = {settings.max_length} is too long"
        )
    if limit is not None:
        spec = spec.model_copy(update={"max_length": min(limit, spec.max_length)})
    return Resolved(spec, rate.value, num_parameters, tuple(note for note in (rate.note, lost) if note))


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
    found = snapshot(Repo("model", name, settings.revision), _config_files(trusted))
    if not (found.folder / "config.json").is_file():
        raise ModelError(f"model '{name}' has no config.json on the hub; only models for transformers can be used")
    return ModelRef(identity=f"hub:{name}@{found.commit}", name=name, trust_remote_code=trusted), found.folder


def config_folder(ref: ModelRef) -> Path:
    """A folder with config and tokenizer; downloads what is missing."""
    if ref.folder is not None:
        return Path(ref.folder)
    return snapshot(_repo(ref), _config_files(ref.trust_remote_code)).folder


def weights_folder(ref: ModelRef) -> Path:
    """A folder with config, tokenizer and safetensors weights; downloads what is missing.

    Of a repository that holds its weights several times, those that transformers reads are fetched: model.safetensors,
    else the files of the index. Raises ModelError where there are only weights in formats that can run code when they
    are opened, or elsewhere.
    """
    folder = config_folder(ref)
    if ref.folder is None:
        snapshot(_repo(ref), [WEIGHTS])
        if (folder / INDEX).is_file() and not (folder / WEIGHTS).is_file():
            snapshot(_repo(ref), [escape(shard) for shard in shards(folder, ref.name)])
    check_weights(folder, ref.name)
    return folder


def _repo(ref: ModelRef) -> Repo:
    if ref.identity.startswith(UNRESOLVED):
        raise ModelError(f"model '{ref.name}' was planned without the hub; nothing can be run with it")
    repo, _, commit = ref.identity.removeprefix("hub:").rpartition("@")
    return Repo("model", repo, commit)


def _config_files(trusted: bool) -> tuple[str, ...]:
    return (*CONFIG_FILES, CODE_IN_FOLDERS) if trusted else CONFIG_FILES


def read_config(folder: Path, name: str) -> dict[str, Any]:
    """The model's config.json; of a multimodal model, the part that describes the text model."""
    config = read_json(folder / "config.json", name)
    check_config(config, name)
    check_files(folder, name)
    text_model = config.get("text_config", config) if _first(config, LAYERS) is None else config
    check_counts(text_model, name)
    return text_model


def estimate_parameters(config: dict[str, Any], num_layers: int) -> int:
    """Parameters by the usual shapes: embeddings V·d and about 4·d² + 3·d·f a block (2·d·f without a gate)."""
    width = _first(config, _HIDDEN) or 0
    inner = _first(config, _INNER) or 4 * width
    matrices = 3 if config.get("hidden_act") in ("silu", "swish", "gelu_pytorch_tanh") else 2
    return (config.get("vocab_size") or 0) * width + num_layers * (4 * width * width + matrices * width * inner)


def _as_transformers_reads(ref: ModelRef, folder: Path) -> dict[str, Any]:
    """The text model's config where config.json names no number of blocks, but transformers knows to count them."""
    from outshine.models.reading import read_text_config

    found = read_text_config(folder, ref.name, ref.trust_remote_code)
    config = {**found.to_dict(), "num_hidden_layers": getattr(found, "num_hidden_layers", None)}
    if not isinstance(config["num_hidden_layers"], int):
        raise ModelError(f"model '{ref.name}': its config.json names no number of layers; is it a language model?")
    check_counts(config, ref.name)
    return config


def _limit(spec: ClassifierSpec, config: dict[str, Any]) -> int | None:
    """Tokens that the model takes at most; None: it names no limit. Raises ModelError for what cannot be trained."""
    from outshine.models.structure import check_structure  # torch, which a look at settings does without

    limit, usable = _first(config, _LIMITS), check_structure(spec)
    if usable is not None and usable < 1:
        raise ModelError(f"model '{spec.model.name}': all its positions lie before that of its padding")
    return limit if usable is None else min(limit or usable, usable)


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
