"""Resolution of a model's name to an exact classifier: commit or files, number of blocks, pooling."""

from __future__ import annotations

import json
from glob import escape
from pathlib import Path, PurePosixPath
from typing import Any, NamedTuple

from outshine.engine.errors import ModelError, SettingsError
from outshine.engine.hub import snapshot
from outshine.learn.known_models import learning_rate
from outshine.learn.model_files import (
    DEFAULT_POOLING,
    LAYERS,
    check_counts,
    find,
    first_count,
    read_config,
    read_json,
    repo_of,
)
from outshine.learn.spec import ClassifierSpec, ComputeDtype, ModelRef, ModelSettings, Pooling, is_array_name

MAX_LENGTH = 1024  # tokens, where neither the user nor the model says less
_LIMITS = ("max_position_embeddings", "n_positions", "max_seq_len")
_HIDDEN = ("hidden_size", "d_model", "n_embd", "dim")
_INNER = ("intermediate_size", "ffn_dim", "n_inner", "hidden_dim")
MODULES = "modules.json"  # of sentence-transformers: what a text goes through
_PREFIX = "pooling_mode"
_MODES: dict[str, Pooling] = {  # of sentence-transformers, which has others, and several at once
    "cls": "first",
    "cls_token": "first",
    "mean": "mean",
    "mean_tokens": "mean",
    "lasttoken": "last",
}
_NO_LOSS = ("Normalize", "Dropout")  # a head of its own makes up for what these do behind the pooling


class ResolvedModel(NamedTuple):
    """A model with every choice made, and what people should know about the choices."""

    spec: ClassifierSpec
    learning_rate: float
    num_parameters: int  # estimated from the config
    notes: tuple[str, ...]


def resolve(settings: ModelSettings, compute_dtype: ComputeDtype) -> ResolvedModel:
    """Find the model's config (hub, folder, embedded) and make every choice that the key depends on.

    Raises HubError where the repository cannot be had and ModelError where the model cannot be used.
    """
    if is_array_name(settings.model):
        return _resolve_array(settings, compute_dtype)
    ref, folder = find(settings)
    config = read_config(folder, settings.model)
    all_layers = first_count(config, LAYERS)
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
            snapshot(repo_of(ref), [escape(place)])
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
    return ResolvedModel(spec, rate.value, num_parameters, tuple(note for note in (rate.note, lost) if note))


def _resolve_array(settings: ModelSettings, compute_dtype: ComputeDtype) -> ResolvedModel:
    """Resolve an array of features: one layer, no pooling, one token a row."""
    from outshine.learn.arrays import LEARNING_RATES, array_ref, array_tuning, read_array

    tuning = array_tuning(settings)
    rate = settings.learning_rate or LEARNING_RATES[tuning.kind]
    spec = ClassifierSpec(
        model=array_ref(settings),
        num_layers=1,
        pooling="mean",
        tuning=tuning,
        max_length=1,
        compute_dtype=compute_dtype if compute_dtype == "float64" else "float32",
    )
    return ResolvedModel(spec, rate, read_array(settings.model).shape[1], ())


def estimate_parameters(config: dict[str, Any], num_layers: int) -> int:
    """Return parameters by the usual shapes: embeddings V·d and about 4·d² + 3·d·f a block (2·d·f without a gate)."""
    width = first_count(config, _HIDDEN) or 0
    inner = first_count(config, _INNER) or 4 * width
    matrices = 3 if config.get("hidden_act") in ("silu", "swish", "gelu_pytorch_tanh") else 2
    return (config.get("vocab_size") or 0) * width + num_layers * (4 * width * width + matrices * width * inner)


def _as_transformers_reads(ref: ModelRef, folder: Path) -> dict[str, Any]:
    """Return the text model's config where config.json names no number of blocks but transformers counts them."""
    from outshine.learn.load import read_configs

    _, text_config = read_configs(folder, ref.name, ref.trust_remote_code)
    config = {**text_config.to_dict(), "num_hidden_layers": getattr(text_config, "num_hidden_layers", None)}
    if not isinstance(config["num_hidden_layers"], int):
        raise ModelError(f"model '{ref.name}': its config.json names no number of layers; is it a language model?")
    check_counts(config, ref.name)
    return config


def _limit(spec: ClassifierSpec, config: dict[str, Any]) -> int | None:
    """Return how many tokens the model takes; None: it names no limit. Raises ModelError for what cannot be trained."""
    from outshine.learn.structure import check_structure  # torch, which a look at settings does without

    limit, usable = first_count(config, _LIMITS), check_structure(spec)
    if usable is not None and usable < 1:
        raise ModelError(f"model '{spec.model.name}': all its positions lie before that of its padding")
    return limit if usable is None else min(limit or usable, usable)


def choose_pooling(settings: ModelSettings, config: dict[str, Any], folder: Path) -> tuple[Pooling, str | None]:
    """Return the pooling, and a note where it is not all that a sentence encoder does to a text.

    `auto`: as the sentence encoder says, else last for decoders, else the encoder's own. Raises ModelError where it
    says what outshine does not do, and SettingsError for a pooling that reads nothing of the text.
    """
    chosen: Pooling | None = None if settings.pooling == "auto" else settings.pooling
    note = None
    if chosen is None:
        chosen, note = _of_sentences(folder, settings.model)
    if chosen is None:
        return ("last" if is_causal(config) else "own"), note
    if chosen in ("first", "own") and is_causal(config):
        raise SettingsError(
            f"model '{settings.model}' is a decoder: its first token sees nothing of the text; "
            f"pooling '{chosen}' is for encoders, use last or mean"
        )
    return chosen, note


def pooling_file(folder: Path, name: str) -> str | None:
    """Return where in its repository a sentence encoder describes its pooling; None where it has none of its own.

    Raises ModelError for a list of modules that is none, or leads elsewhere.
    """
    modules = _modules(folder, name)
    if modules is None:
        return DEFAULT_POOLING
    paths = [path for kind, path in modules if kind == "Pooling"]
    return (PurePosixPath(paths[0]) / "config.json").as_posix() if paths else None


def is_causal(config: dict[str, Any]) -> bool:
    """Whether a model is a decoder: its checkpoint says so, else transformers has only heads that write for its type.

    BERT and RoBERTa have both heads; for them the checkpoint's own `is_decoder` decides.
    """
    architectures = " ".join(config.get("architectures") or ())
    if "CausalLM" in architectures or "LMHead" in architectures:
        return True
    if "MaskedLM" in architectures:
        return bool(config.get("is_decoder"))
    from transformers.models.auto.modeling_auto import (
        MODEL_FOR_CAUSAL_LM_MAPPING_NAMES,
        MODEL_FOR_IMAGE_TEXT_TO_TEXT_MAPPING_NAMES,
        MODEL_FOR_MASKED_LM_MAPPING_NAMES,
    )

    kind = config.get("model_type") or ""
    if kind in MODEL_FOR_MASKED_LM_MAPPING_NAMES:
        return bool(config.get("is_decoder"))
    whole = kind.removesuffix("_text")  # a multimodal model, of which this is the part that writes
    return kind in MODEL_FOR_CAUSAL_LM_MAPPING_NAMES or whole in MODEL_FOR_IMAGE_TEXT_TO_TEXT_MAPPING_NAMES


def _of_sentences(folder: Path, name: str) -> tuple[Pooling | None, str | None]:
    """Return what a sentence encoder says, and a note on what it does behind the pooling; (None, None): it is none."""
    modules = _modules(folder, name)
    note = None
    if modules is not None:
        kinds = [kind for kind, _ in modules]
        pooled = kinds.index("Pooling") if "Pooling" in kinds else len(kinds)
        before, behind = kinds[:pooled], kinds[pooled + 1 :]
        if before[:1] != ["Transformer"] or any(kind not in _NO_LOSS for kind in before[1:]) or "Pooling" in behind:
            raise _other(name, f"reads its texts through {', '.join(kinds) or 'nothing'}", MODULES)
        if pooled == len(kinds):
            return None, None
        lost = [kind for kind in behind if kind not in _NO_LOSS]
        if lost:
            note = f"{name}: {', '.join(lost)} behind its pooling is left out; the head reads the pooled states"
    place = pooling_file(folder, name)
    if place is None or not (folder / place).is_file():
        if modules is not None:
            raise _other(name, "lacks the settings of its pooling", str(place))
        return None, None
    modes = _modes(read_json(folder / place, name))
    poolings: set[Pooling | None] = {_MODES.get(mode) for mode in modes}
    if len(poolings) != 1 or None in poolings:
        raise _other(name, f"pools by {' and '.join(sorted(modes)) or 'a mode that it does not name'}", place)
    return poolings.pop(), note


def _modes(settings: dict[str, Any]) -> set[str]:
    """Return the modes that are on, in either spelling: one setting that names them, or one for each."""
    named = settings.get(_PREFIX)
    if named is not None:
        return {str(mode) for mode in (named if isinstance(named, list) else [named])}
    return {
        setting.removeprefix(f"{_PREFIX}_")
        for setting, value in settings.items()
        if setting.startswith(f"{_PREFIX}_") and value
    }


def _modules(folder: Path, name: str) -> list[tuple[str, str]] | None:
    """Return class and folder of each module of a sentence encoder; None where the model is no such."""
    path = folder / MODULES
    if not path.is_file():
        return None
    try:
        listed = json.loads(path.read_text(encoding="utf-8"))
        modules = [(str(module["type"]).rpartition(".")[2], str(module["path"])) for module in listed]
    except (OSError, ValueError, RecursionError, TypeError, KeyError) as error:
        raise _other(name, f"has no list of modules ({type(error).__name__})", MODULES) from None
    for _, inside in modules:
        if PurePosixPath(inside).is_absolute() or ".." in PurePosixPath(inside).parts or "\0" in inside:
            raise _other(name, f"names the folder {inside!r}", MODULES)
    return modules


def _other(name: str, what: str, where: str) -> ModelError:
    return ModelError(
        f"model '{name}' {what} ({where}), which outshine does not do; choose with pooling: last, first, mean or own"
    )
