"""The files of a model: where they lie, what is fetched from the hub, and checks before transformers opens them."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from glob import escape
from pathlib import Path
from typing import Any

from outshine.engine.errors import ModelError, SettingsError
from outshine.engine.files import user_path
from outshine.engine.hub import Repo, snapshot
from outshine.engine.known_digests import sha256_of_each
from outshine.learn.spec import ModelRef, ModelSettings, is_array_name
from outshine.learn.tiny_models import TINY_MODELS

UNRESOLVED = "unresolved:"  # begins what stands for an identity that could not be found out; only plans hold such
VOCABULARIES = ("*.model", "*.codes", "*.spm", "*.tiktoken", "*.tokenizer")  # beside .json and .txt; tested to be all
DEFAULT_POOLING = "1_Pooling/config.json"  # of a sentence encoder, unless its list of modules says otherwise
CONFIG_FILES = ("*.json", "*.txt", "*.py", *VOCABULARIES, DEFAULT_POOLING)
CODE_IN_FOLDERS = "*/*.py"  # of models whose code may run
WEIGHT_FILES = ("*.safetensors", "*.safetensors.index.json")
UNSAFE_WEIGHTS = ("*.bin", "*.pt", "*.pth", "*.ckpt", "*.pkl")  # pickles: opening one can run code
WEIGHTS = "model.safetensors"
INDEX = "model.safetensors.index.json"
ADAPTER = "adapter_config.json"
LAYERS = ("num_hidden_layers", "n_layer", "n_layers", "num_layers")
_COUNTS = (  # settings that outshine itself calculates with
    *LAYERS,
    *("hidden_size", "d_model", "n_embd", "dim", "intermediate_size", "ffn_dim", "n_inner", "hidden_dim"),
    *("vocab_size", "max_position_embeddings", "n_positions", "max_seq_len"),
)
_IMPLEMENTATION = ("attn_implementation", "experts_implementation")
_QUANTISED = ("quantization_config", "compression_config", "quantization")
_QUANTISED_FILES = (
    "quantize_config.json",
    "quant_config.json",
    "hf_quant_config.json",
)  # of tools that name no setting
_OTHER_MODEL = ("backbone", "use_timm_backbone", "transformers_weights")  # what would be loaded from elsewhere
_MOST = 2**40
_MOST_LAYERS = 1000  # each is built, if only as a structure


def find(settings: ModelSettings) -> tuple[ModelRef, Path]:
    """Return the exact weights that a name means, and a folder that holds at least their config."""
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
    repository = snapshot(Repo("model", name, settings.revision), _config_files(trusted))
    if not (repository.folder / "config.json").is_file():
        raise ModelError(f"model '{name}' has no config.json on the hub; only models for transformers can be used")
    return ModelRef(identity=f"hub:{name}@{repository.commit}", name=name, trust_remote_code=trusted), repository.folder


def config_folder(ref: ModelRef) -> Path:
    """Return a folder with config and tokenizer; downloads what is missing."""
    if ref.folder is not None:
        return Path(ref.folder)
    return snapshot(repo_of(ref), _config_files(ref.trust_remote_code)).folder


def weights_folder(ref: ModelRef) -> Path:
    """Return a folder with config, tokenizer and safetensors weights; downloads what is missing.

    Of a repository that holds its weights several times, those that transformers reads are fetched: model.safetensors,
    else the files of the index. Raises ModelError where there are only weights in formats that can run code when they
    are opened, or elsewhere.
    """
    folder = config_folder(ref)
    if is_array_name(ref.name):  # one file
        return folder
    if ref.folder is None:
        snapshot(repo_of(ref), [WEIGHTS])
        if (folder / INDEX).is_file() and not (folder / WEIGHTS).is_file():
            snapshot(repo_of(ref), [escape(shard) for shard in shards(folder, ref.name)])
    check_weights(folder, ref.name)
    return folder


def repo_of(ref: ModelRef) -> Repo:
    """Return the repository at the commit that was resolved. Raises ModelError for a stand-in of a plan."""
    if ref.identity.startswith(UNRESOLVED):
        raise ModelError(f"model '{ref.name}' was planned without the hub; nothing can be run with it")
    repo, _, commit = ref.identity.removeprefix("hub:").rpartition("@")
    return Repo("model", repo, commit)


def _config_files(trusted: bool) -> tuple[str, ...]:
    return (*CONFIG_FILES, CODE_IN_FOLDERS) if trusted else CONFIG_FILES


def read_config(folder: Path, name: str) -> dict[str, Any]:
    """Return the model's config.json; of a multimodal model, the part that describes the text model."""
    config = read_json(folder / "config.json", name)
    check_config(config, name)
    check_files(folder, name)
    text_model = config.get("text_config", config) if first_count(config, LAYERS) is None else config
    check_counts(text_model, name)
    return text_model


def _digest_of(folder: Path) -> str:
    """Return the sha256 over the names and contents of the files that decide what the model computes."""
    whole = hashlib.sha256()
    patterns = (*CONFIG_FILES, *WEIGHT_FILES)
    paths = sorted({path for pattern in patterns for path in folder.glob(pattern)})
    for path, part in zip(paths, sha256_of_each(paths), strict=True):
        whole.update(f"{path.relative_to(folder).as_posix()}\x1f{part}\n".encode())
    return whole.hexdigest()


def first_count(config: dict[str, Any], names: tuple[str, ...]) -> int | None:
    """Return the first of these settings that is a whole number."""
    return next((config[name] for name in names if isinstance(config.get(name), int)), None)


def read_json(path: Path, name: str) -> dict[str, Any]:
    """Return an object of settings from a file of the model called `name`. Raises ModelError for anything else."""
    try:
        settings = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise ModelError(f"model '{name}': {path.name} cannot be read ({error})") from None
    if not isinstance(settings, dict):
        raise ModelError(
            f"model '{name}': {path.name} is a {type(settings).__name__}; an object of settings is expected"
        )
    return settings


def check_config(config: dict[str, Any], name: str) -> None:
    """Raise ModelError for settings of other types than they have, for quantised weights, and for what is elsewhere.

    transformers takes an attention implementation with a slash for a repository whose kernel it downloads and runs,
    whatever `trust_remote_code` says, and a backbone for the name of another model.
    """
    for part in _objects(config):
        for setting, value in part.items():
            if setting.removeprefix("_").removesuffix("_internal") in _IMPLEMENTATION and _names_code(value):
                raise ModelError(
                    f"model '{name}': config.json names code to be fetched ({setting}: {value!r}); take that line out"
                )
            if setting in _OTHER_MODEL and value:
                raise ModelError(
                    f"model '{name}': config.json names weights from elsewhere ({setting}: {value!r}); "
                    "a language model whose weights lie beside it is expected"
                )
            if setting in _QUANTISED and value is not None:
                kind = value.get("quant_method") if isinstance(value, dict) else None
                raise quantised(name, f"{setting} in config.json{f': {kind}' if kind else ''}")
    for setting, expected in (("model_type", str), ("architectures", list), ("text_config", dict)):
        value = config.get(setting)
        if value is not None and not isinstance(value, expected):
            raise ModelError(
                f"model '{name}': config.json has {setting} = {value!r}; a {expected.__name__} is expected"
            )
    if not all(isinstance(part, str) for part in config.get("architectures") or ()):
        raise ModelError(f"model '{name}': config.json has architectures that are no names")


def check_files(folder: Path, name: str) -> None:
    """Raise ModelError where a file beside config.json says that the weights are quantised."""
    for file in _QUANTISED_FILES:
        if (folder / file).is_file():
            raise quantised(name, file)


def quantised(name: str, where: str) -> ModelError:
    """Return the refusal of weights that are kept in fewer bits, of whatever sort."""
    return ModelError(
        f"model '{name}' is quantised ({where}), which outshine cannot train; name the model that it was made from, "
        "for four bits with tuning: {base: nf4}"
    )


def check_counts(config: dict[str, Any], name: str) -> None:
    """Raise ModelError for sizes of the text model that no model has. A list (a size for each block) may stand."""
    for setting in _COUNTS:
        value = config.get(setting)
        most = _MOST_LAYERS if setting in LAYERS else _MOST
        whole = isinstance(value, int) and not isinstance(value, bool) and 0 < value <= most
        if value is not None and not whole and not (isinstance(value, list) and setting != "vocab_size"):
            raise ModelError(
                f"model '{name}': config.json has {setting} = {value!r}; a positive number up to {most:,} is expected"
            )


def check_weights(folder: Path, name: str) -> None:
    """Raise ModelError where the weights are no safetensors of this folder: pickles, adapters, files elsewhere."""
    if (folder / ADAPTER).is_file():  # transformers would load the base model that it names, from wherever that is
        raise ModelError(f"model '{name}' is an adapter ({ADAPTER}), not a model; merge it into its base and save that")
    if not any(folder.glob("*.safetensors")):
        unsafe = [path.name for pattern in UNSAFE_WEIGHTS for path in folder.glob(pattern)]
        seen = f" (it has {', '.join(unsafe)}, which can run code when opened)" if unsafe else ""
        raise ModelError(
            f"model '{name}' has no safetensors weights{seen}; convert it with transformers' save_pretrained"
        )
    if (folder / INDEX).is_file():
        shards(folder, name)


def shards(folder: Path, name: str) -> list[str]:
    """Return the files that the index of the weights names. Raises ModelError for any but safetensors beside it."""
    parts = read_json(folder / INDEX, name).get("weight_map")
    named = set(parts.values()) if isinstance(parts, dict) and _are_texts(parts.values()) else set()
    strange = sorted(shard for shard in named if Path(shard).name != shard or not shard.endswith(".safetensors"))
    if strange or not named:
        problem = f"names '{strange[0]}'" if strange else "has no map of weights"
        raise ModelError(f"model '{name}': {INDEX} {problem}; safetensors files of the same folder are expected")
    return sorted(named)


def _objects(value: Any) -> Iterator[dict[str, Any]]:
    """Give the object and those directly or indirectly in it: a multimodal model has a config for each part."""
    if isinstance(value, dict):
        yield value
        for part in value.values():
            yield from _objects(part)


def _names_code(value: Any) -> bool:
    parts = value.values() if isinstance(value, dict) else [value]
    return any("/" in str(part) for part in parts)


def _are_texts(values: Any) -> bool:
    return all(isinstance(value, str) for value in values)
