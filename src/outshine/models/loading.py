"""Weights and tokenizers from disk into memory, through transformers; safetensors only."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

import torch
from safetensors import SafetensorError
from torch import nn

from outshine.core.errors import ModelError, OutshineError
from outshine.models.attention import use_plain_attention
from outshine.models.blocks import find_blocks, place
from outshine.models.lora import adaptable
from outshine.models.nf4 import NF4Linear, check_nf4
from outshine.models.resolve import config_folder, read_config, weights_folder
from outshine.models.spec import ClassifierSpec, Full, ModelRef, in_four_bits

DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float64": torch.float64}


def load_backbone(
    spec: ClassifierSpec, device: torch.device, move: Callable[[nn.Module], nn.Module] | None = None
) -> nn.Module:
    """The pretrained base model (no language-model or classification head), cut to `num_layers` blocks.

    Full fine-tuning loads float32 master weights whatever the compute dtype. A base kept in four bits goes to the
    device layer by layer and is never dense there as a whole. `move` brings any other model from CPU memory to the
    device; None: whole. Raises ModelError where the checkpoint lacks weights that the model needs (they would be
    random), SettingsError where four bits cannot be had.
    """
    from transformers import AutoConfig, AutoModel

    folder = weights_folder(spec.model)
    dtype = DTYPES[spec.compute_dtype]
    if in_four_bits(spec):
        check_nf4(device, dtype)
    if isinstance(spec.tuning, Full):
        dtype = torch.promote_types(dtype, torch.float32)
    # what is not in the checkpoint is drawn before it is refused or dropped: not from the caller's stream
    with _quiet(), _refusals(spec.model), torch.random.fork_rng(devices=[]):
        config = AutoConfig.from_pretrained(folder, trust_remote_code=spec.model.trust_remote_code)
        text_config = config.get_text_config(decoder=True)
        text_config.use_cache = False
        _keep_layers(text_config, spec.num_layers)
        backbone, report = AutoModel.from_pretrained(
            folder,
            config=config,
            dtype=dtype,
            use_safetensors=True,
            output_loading_info=True,
            trust_remote_code=spec.model.trust_remote_code,
        )
    _check_loaded(backbone, report, spec)
    if text_config is not config:  # a multimodal model: its language model alone
        backbone = backbone.get_decoder()
    find_blocks(backbone, spec.num_layers)
    if device.type == "cpu" and spec.compute_dtype == "bfloat16":
        with _quiet():
            use_plain_attention(backbone)
    if in_four_bits(spec):
        for path, module in adaptable(backbone, spec.num_layers):
            place(backbone, path, NF4Linear(module, device))
    return move(backbone) if move else backbone.to(device)


def load_structure(spec: ClassifierSpec) -> nn.Module:
    """The base model without its weights (on torch's meta device), from its config alone: for counting.

    Raises ModelError where transformers cannot build it.
    """
    from transformers import AutoConfig, AutoModel

    trusted = spec.model.trust_remote_code
    with _quiet(), _refusals(spec.model), torch.device("meta"):
        config = AutoConfig.from_pretrained(config_folder(spec.model), trust_remote_code=trusted)
        text_config = config.get_text_config(decoder=True)
        _keep_layers(text_config, spec.num_layers)
        return AutoModel.from_config(text_config, trust_remote_code=trusted)


class Tokens(NamedTuple):
    """A tokenizer, the id that fills the padding (its value is masked out everywhere), the model's vocabulary."""

    tokenizer: Any  # a transformers tokenizer: its classes differ by model and carry no common type
    pad_id: int
    vocab_size: int | None = None  # ids that the model has embeddings for; None: unknown


def load_tokenizer(ref: ModelRef) -> Tokens:
    """The model's own tokenizer. A model without padding token gets any id: padding is masked out.

    Raises ModelError where there is none, or only one that transformers made up of special tokens.
    """
    from transformers import AutoTokenizer

    folder = config_folder(ref)
    with _quiet():
        try:
            tokenizer = AutoTokenizer.from_pretrained(folder, trust_remote_code=ref.trust_remote_code)
        except Exception as error:  # a stranger's files make a stranger's library raise anything
            raise ModelError(
                f"model '{ref.name}' has no tokenizer that can be loaded ({_first_line(error)}); "
                "save one beside the weights with tokenizer.save_pretrained"
            ) from error
    if set(tokenizer.get_vocab()) <= set(tokenizer.all_special_tokens):
        raise ModelError(
            f"model '{ref.name}' has no tokenizer: no vocabulary was found; "
            "save one beside the weights with tokenizer.save_pretrained"
        )
    vocab_size = read_config(folder, ref.name).get("vocab_size")
    candidates = (tokenizer.pad_token_id, tokenizer.eos_token_id, 0)
    # a padding token that was added to the tokenizer alone has no embedding
    usable = (found for found in candidates if found is not None and (vocab_size is None or found < vocab_size))
    return Tokens(tokenizer, next(usable), vocab_size)


def _keep_layers(config: Any, num_layers: int) -> None:
    """Tell the architecture to build only the first blocks (settings per layer are cut along)."""
    all_layers = config.num_hidden_layers
    config.num_hidden_layers = num_layers
    for name in ("layer_types", "attention_types", "mlp_layer_types"):
        per_layer = getattr(config, name, None)
        if isinstance(per_layer, list) and len(per_layer) == all_layers:
            setattr(config, name, per_layer[:num_layers])


def _check_loaded(backbone: nn.Module, report: dict[str, Any], spec: ClassifierSpec) -> None:
    missing = sorted(report.get("missing_keys", ()))
    lost = [name for name in missing if not name.startswith("pooler.")]
    if lost:
        raise ModelError(
            f"model '{spec.model.name}': its checkpoint lacks {len(lost)} weights of {type(backbone).__name__} "
            f"(such as {lost[0]}); they would be random"
        )
    if missing and hasattr(backbone, "pooler"):  # a pooler that was never trained is no pooler
        backbone.register_module("pooler", None)


@contextmanager
def _refusals(ref: ModelRef) -> Iterator[None]:
    """What transformers refuses, in one line."""
    try:
        yield
    except (torch.OutOfMemoryError, MemoryError, OutshineError):
        raise
    except Exception as error:  # a stranger's files make a stranger's library raise anything
        raise ModelError(f"model '{ref.name}' cannot be loaded: {_reason(error, ref)}") from error


def _reason(error: BaseException, ref: ModelRef) -> str:
    if "trust_remote_code" in str(error):
        return f"it needs code from its own repository; if you trust that, set trust_remote_code: {ref.name}"
    if "ignore_mismatched_sizes" in str(error):
        return "the shapes of its weights are not those that its config.json describes"
    if isinstance(error, SafetensorError):
        return f"a safetensors file is damaged ({_first_line(error)}); fetch or save it again"
    return _first_line(error)


def _first_line(error: BaseException) -> str:
    """The message in one line: its first, and the next where the first only announces it."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()] or [type(error).__name__]
    return " ".join(lines[:2] if lines[0].endswith(":") else lines[:1])[:200]


@contextmanager
def _quiet() -> Iterator[None]:
    """No bars, notices or warnings of transformers while it loads."""
    from transformers.utils import logging as hf_logging

    level, bars = hf_logging.get_verbosity(), hf_logging.is_progress_bar_enabled()
    hf_logging.set_verbosity(logging.CRITICAL)
    hf_logging.disable_progress_bar()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            yield
        finally:
            hf_logging.set_verbosity(level)
            if bars:
                hf_logging.enable_progress_bar()
