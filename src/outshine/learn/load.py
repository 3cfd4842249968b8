"""Weights and tokenizers from disk into memory, through transformers; safetensors only."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import torch
from torch import nn

from outshine.engine.errors import ModelError
from outshine.learn.blocks import find_blocks, place
from outshine.learn.cpu_attention import use_plain_attention
from outshine.learn.lora import adaptable
from outshine.learn.model_files import config_folder, read_config, weights_folder
from outshine.learn.nf4 import NF4Linear, check_nf4
from outshine.learn.spec import ClassifierSpec, Full, ModelRef, in_four_bits
from outshine.learn.transformers_calls import alone, first_line, quiet, read_configs, refusals

_NO_LAYERS = ("token_id", "architectures")  # lists of a config that are none of values for each block
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
    from transformers import AutoModel

    folder = weights_folder(spec.model)
    dtype = DTYPES[spec.compute_dtype]
    if in_four_bits(spec):
        check_nf4(device, dtype)
    if isinstance(spec.tuning, Full):
        dtype = torch.promote_types(dtype, torch.float32)
    # what is not in the checkpoint is drawn before it is refused or dropped: not from the caller's stream
    with alone(), refusals(spec.model.name), torch.random.fork_rng(devices=[]):
        config, text_config = read_configs(folder, spec.model.name, spec.model.trust_remote_code)
        text_config.use_cache = False
        _keep_layers(text_config, spec)
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
        with quiet():
            use_plain_attention(backbone)
    if in_four_bits(spec):
        for path, module in adaptable(backbone, spec.num_layers):
            place(backbone, path, NF4Linear(module, device))
    return move(backbone) if move else backbone.to(device)


def load_structure(spec: ClassifierSpec) -> nn.Module:
    """The base model without its weights (on torch's meta device), from its config alone: for counting.

    Raises ModelError where transformers cannot build it.
    """
    from transformers import AutoModel

    trusted = spec.model.trust_remote_code
    config, text_config = read_configs(config_folder(spec.model), spec.model.name, trusted)
    _keep_layers(text_config, spec)
    with alone(), refusals(spec.model.name), torch.random.fork_rng(devices=[]), torch.device("meta"):
        model = AutoModel.from_config(config, trust_remote_code=trusted)
        return model if text_config is config else model.get_decoder()


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
    with alone():
        try:
            tokenizer = AutoTokenizer.from_pretrained(folder, trust_remote_code=ref.trust_remote_code)
        except Exception as error:  # a stranger's files make a stranger's library raise anything
            raise ModelError(
                f"model '{ref.name}' has no tokenizer that can be loaded ({first_line(error)}); "
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


def _keep_layers(config: Any, spec: ClassifierSpec) -> None:
    """Tell the architecture to build only the first blocks; nothing is told where all are kept.

    Settings of a value for each block are cut along. Raises ModelError where the config lets the number not be set.
    """
    all_layers = spec.model.num_layers or config.num_hidden_layers
    if spec.num_layers == all_layers:
        return
    for name, value in list(vars(config).items()):
        if isinstance(value, list) and len(value) == all_layers and not name.endswith(_NO_LAYERS):
            setattr(config, name, value[: spec.num_layers])
    try:
        if config.num_hidden_layers != spec.num_layers:
            config.num_hidden_layers = spec.num_layers
    except AttributeError:  # a property of the config's class
        raise cannot_be_cut(spec, "its config counts them itself") from None


def cannot_be_cut(spec: ClassifierSpec, why: str) -> ModelError:
    """The refusal of `num_layers` for a model whose first blocks alone are no part of it."""
    return ModelError(
        f"model '{spec.model.name}' cannot be cut to {spec.num_layers} of its {spec.model.num_layers} blocks ({why}); "
        "leave num_layers out"
    )


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
