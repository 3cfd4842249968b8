"""Checks of an untrusted model folder before transformers opens it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from outshine.engine.errors import ModelError

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


def read_json(path: Path, name: str) -> dict[str, Any]:
    """An object of settings from a file of the model called `name`. Raises ModelError for anything else."""
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise ModelError(f"model '{name}': {path.name} cannot be read ({error})") from None
    if not isinstance(found, dict):
        raise ModelError(f"model '{name}': {path.name} is a {type(found).__name__}; an object of settings is expected")
    return found


def check_config(config: dict[str, Any], name: str) -> None:
    """Raises ModelError for settings of other types than they have, for quantised weights, and for what is elsewhere.

    transformers takes an attention implementation with a slash for a repository whose kernel it downloads and runs,
    whatever `trust_remote_code` says, and a backbone for the name of another model.
    """
    for one in _objects(config):
        for setting, value in one.items():
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
    """Raises ModelError where a file beside config.json says that the weights are quantised."""
    for file in _QUANTISED_FILES:
        if (folder / file).is_file():
            raise quantised(name, file)


def quantised(name: str, where: str) -> ModelError:
    """The refusal of weights that are kept in fewer bits, of whatever sort."""
    return ModelError(
        f"model '{name}' is quantised ({where}), which outshine cannot train; name the model that it was made from, "
        "for four bits with tuning: {base: nf4}"
    )


def check_counts(config: dict[str, Any], name: str) -> None:
    """Raises ModelError for sizes of the text model that no model has. A list (a size for each block) may stand."""
    for setting in _COUNTS:
        value = config.get(setting)
        most = _MOST_LAYERS if setting in LAYERS else _MOST
        whole = isinstance(value, int) and not isinstance(value, bool) and 0 < value <= most
        if value is not None and not whole and not (isinstance(value, list) and setting != "vocab_size"):
            raise ModelError(
                f"model '{name}': config.json has {setting} = {value!r}; a positive number up to {most:,} is expected"
            )


def check_weights(folder: Path, name: str) -> None:
    """Raises ModelError where the weights are no safetensors of this folder: pickles, adapters, files elsewhere."""
    if (folder / ADAPTER).is_file():  # transformers would load the base model that it names, from wherever that is
        raise ModelError(f"model '{name}' is an adapter ({ADAPTER}), not a model; merge it into its base and save that")
    if not any(folder.glob("*.safetensors")):
        unsafe = [path.name for pattern in UNSAFE_WEIGHTS for path in folder.glob(pattern)]
        found = f" (it has {', '.join(unsafe)}, which can run code when opened)" if unsafe else ""
        raise ModelError(
            f"model '{name}' has no safetensors weights{found}; convert it with transformers' save_pretrained"
        )
    if (folder / INDEX).is_file():
        shards(folder, name)


def shards(folder: Path, name: str) -> list[str]:
    """The files that the index of the weights names. Raises ModelError for any but safetensors of the same folder."""
    parts = read_json(folder / INDEX, name).get("weight_map")
    named = set(parts.values()) if isinstance(parts, dict) and _are_texts(parts.values()) else set()
    strange = sorted(shard for shard in named if Path(shard).name != shard or not shard.endswith(".safetensors"))
    if strange or not named:
        told = f"names '{strange[0]}'" if strange else "has no map of weights"
        raise ModelError(f"model '{name}': {INDEX} {told}; safetensors files of the same folder are expected")
    return sorted(named)


def _objects(value: Any) -> Iterator[dict[str, Any]]:
    """The object and those directly or indirectly in it: a multimodal model has a config for each part."""
    if isinstance(value, dict):
        yield value
        for part in value.values():
            yield from _objects(part)


def _names_code(value: Any) -> bool:
    parts = value.values() if isinstance(value, dict) else [value]
    return any("/" in str(part) for part in parts)


def _are_texts(values: Any) -> bool:
    return all(isinstance(value, str) for value in values)
