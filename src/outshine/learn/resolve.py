"""Resolution of a model's name to an exact classifier: commit or files, number of blocks, pooling."""

from __future__ import annotations

from glob import escape
from pathlib import Path
from typing import Any, NamedTuple

from outshine.engine.errors import ModelError, SettingsError
from outshine.engine.hub import snapshot
from outshine.learn.config_checks import LAYERS, check_counts
from outshine.learn.known_models import learning_rate
from outshine.learn.model_files import find, first_count, read_config, repo_of
from outshine.learn.pooling import DEFAULT_POOLING, choose_pooling, pooling_file
from outshine.learn.spec import ClassifierSpec, ComputeDtype, ModelRef, ModelSettings

MAX_LENGTH = 1024  # tokens, where neither the user nor the model says less


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
    return Resolved(spec, rate.value, num_parameters, tuple(note for note in (rate.note, lost) if note))


def estimate_parameters(config: dict[str, Any], num_layers: int) -> int:
    """Parameters by the usual shapes: embeddings V·d and about 4·d² + 3·d·f a block (2·d·f without a gate)."""
    width = first_count(config, _HIDDEN) or 0
    inner = first_count(config, _INNER) or 4 * width
    matrices = 3 if config.get("hidden_act") in ("silu", "swish", "gelu_pytorch_tanh") else 2
    return (config.get("vocab_size") or 0) * width + num_layers * (4 * width * width + matrices * width * inner)


def _as_transformers_reads(ref: ModelRef, folder: Path) -> dict[str, Any]:
    """The text model's config where config.json names no number of blocks, but transformers knows to count them."""
    from outshine.learn.transformers_calls import read_configs

    _, found = read_configs(folder, ref.name, ref.trust_remote_code)
    config = {**found.to_dict(), "num_hidden_layers": getattr(found, "num_hidden_layers", None)}
    if not isinstance(config["num_hidden_layers"], int):
        raise ModelError(f"model '{ref.name}': its config.json names no number of layers; is it a language model?")
    check_counts(config, ref.name)
    return config


def _limit(spec: ClassifierSpec, config: dict[str, Any]) -> int | None:
    """Tokens that the model takes at most; None: it names no limit. Raises ModelError for what cannot be trained."""
    from outshine.learn.structure import check_structure  # torch, which a look at settings does without

    limit, usable = first_count(config, _LIMITS), check_structure(spec)
    if usable is not None and usable < 1:
        raise ModelError(f"model '{spec.model.name}': all its positions lie before that of its padding")
    return limit if usable is None else min(limit or usable, usable)
