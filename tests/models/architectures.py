"""Every text model that transformers builds at toy size, and what becomes of it here: who is adapted, batched, probed.

`python tests/models/architectures.py` writes docs/architectures.md anew; names after it: only says what became of those.
"""

from __future__ import annotations

import inspect
import logging
import sys
import tempfile
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

import torch
import transformers
from torch import nn
from transformers.models.auto.modeling_auto import MODEL_MAPPING_NAMES

sys.path[:0] = [str(Path(__file__).resolve().parents[1])]

from outshine.core.errors import OutshineError
from outshine.core.runtime import Runtime
from outshine.models.activations import LayerReader
from outshine.models.classifier import Classifier, pool
from outshine.models.loading import load_backbone
from outshine.models.lora import adapters, remove_lora
from outshine.models.packing import settle_company, start_packing
from outshine.models.resolve import resolve
from outshine.models.spec import ModelSettings
from outshine.training.batching import collate
from outshine.training.predict import predict
from tiny_checkpoints import CPU, VOCAB_SIZE, stir, token_rows, write_tokenizer

NUM_LAYERS = 4
LENGTHS = [5, 17, 7, 6, 12, 7]  # tokens of the texts that are tried
MOST = 4_000_000  # parameters of a toy
ROUNDING = 2e-4  # what log-odds and states may differ by, as a share of the largest

_SIZES = {
    **{"vocab_size": VOCAB_SIZE, "pad_token_id": 0, "bos_token_id": 1, "eos_token_id": 2},
    **dict.fromkeys(("max_position_embeddings", "n_positions", "max_seq_len"), 64),
    **dict.fromkeys(("hidden_size", "n_embd", "d_model", "dim", "embedding_size", "lru_width"), 32),
    **dict.fromkeys(("attention_hidden_size", "kv_lora_rank", "q_lora_rank"), 32),
    **dict.fromkeys(("num_hidden_layers", "n_layer", "n_layers", "num_layers"), NUM_LAYERS),
    **dict.fromkeys(("num_attention_heads", "n_head", "n_heads", "num_heads", "attention_heads"), 4),
    **dict.fromkeys(("head_dim", "state_size", "mamba_d_state", "qk_rope_head_dim", "qk_nope_head_dim", "v_head_dim"), 8),
    **dict.fromkeys(("intermediate_size", "hidden_dim", "ffn_dim", "intermediate_size_mlp"), 48),
    **dict.fromkeys(("moe_intermediate_size", "shared_expert_intermediate_size", "mamba_d_head"), 16),
    **dict.fromkeys(("num_local_experts", "num_experts", "n_routed_experts", "rotary_dim", "time_step_rank"), 4),
    **{"num_key_value_heads": 2, "num_experts_per_tok": 2, "mamba_n_heads": 4, "sliding_window": 8},
}


class Row(NamedTuple):
    """What became of an architecture."""

    kind: str
    refused: str = ""  # why it is not taken at all
    adapted: int = 0  # linear layers with adapters
    frozen: str = ""  # the note on those without
    company: str = ""  # texts that share a batch
    packed: bool = False  # texts may share a row
    probed: str = ""  # "blocks", "transformers", or why no activations are read
    wrong: tuple[str, ...] = ()  # what is not as it should be: must be empty


def kinds() -> list[str]:
    """All model types of AutoModel whose base model is a text model that takes token ids."""
    return [kind for kind in sorted(MODEL_MAPPING_NAMES) if _is_text_model(kind)]


def toy_config(kind: str, **others: Any) -> Any:
    """The type's config at toy size. Raises whatever transformers raises where that does not go together."""
    default = transformers.AutoConfig.for_model(kind)
    sizes = {name: size for name, size in _SIZES.items() if _can_be_given(default, name)}
    return transformers.AutoConfig.for_model(kind, **(sizes | _OWN.get(kind, {}) | others))


def write_toy(folder: Path, kind: str, **others: Any) -> Path:
    """Save a model of the type with random weights away from a fresh model's tiny ones; returns the folder."""
    config = toy_config(kind, **others)
    with torch.device("meta"):
        size = sum(parameter.numel() for parameter in transformers.AutoModel.from_config(config).parameters())
    if size > MOST:
        raise ValueError(f"{size:,} parameters are no toy")
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        model = transformers.AutoModel.from_config(config)
        for name, parameter in model.named_parameters():
            if parameter.dim() == 2 and name.endswith("weight"):
                nn.init.normal_(parameter, std=0.2)
    model.save_pretrained(folder)
    write_tokenizer(folder)
    return folder


def examine(kind: str, folder: Path) -> Row:
    """Try the architecture as a classifier and for probes, beside transformers' own model in the folder."""
    try:
        spec = resolve(ModelSettings(model=str(folder), pooling="mean"), "float32").spec
    except OutshineError as error:
        return Row(kind, refused=str(error).replace(str(folder), kind))
    truth, wrong = transformers.AutoModel.from_pretrained(folder).eval(), []
    texts = token_rows(LENGTHS)
    single = [collate(texts, [row], 0, CPU) for row in range(len(texts))]
    with torch.no_grad():
        told = [truth(input_ids=ids, attention_mask=mask, output_hidden_states=True) for ids, mask in single]

    # fresh adapters change nothing
    backbone = load_backbone(spec, CPU)
    classifier = Classifier(backbone, spec, 0)
    with torch.no_grad():
        pooled = torch.cat([classifier.pooled(*one) for one in single])
    expected = torch.cat([pool(one.last_hidden_state, mask, "mean") for one, (_, mask) in zip(told, single, strict=True)])
    wrong += _differing("fresh adapters change the model", pooled, expected)
    wrong += [] if expected.std(0).max() > 1e-3 else ["all texts look alike"]

    # a text alone and beside others
    settle_company(classifier, longest=max(LENGTHS))
    stir(classifier)
    alone = torch.cat([classifier(*one) for one in single])
    for budget in (1, 40, 10_000):
        found = torch.from_numpy(predict(classifier, texts, 0, Runtime(eval_token_budget=budget, packing=False)))
        wrong += _differing(f"log-odds with {budget} tokens a batch", found, alone.detach().double())
    gradients = torch.autograd.grad(alone.sum(), list(classifier.trainable().values()), allow_unused=True)
    if not any(gradient is not None and gradient.abs().max() > 0 for gradient in gradients):
        wrong.append("nothing is trained")
    if any(gradient is not None and not gradient.isfinite().all() for gradient in gradients):
        wrong.append("gradients are not finite")
    row = Row(kind, adapted=len(list(adapters(backbone))), frozen=classifier.frozen_note(), company=classifier.company)
    packed = start_packing(classifier, longest=max(LENGTHS))
    if packed:
        found = torch.from_numpy(predict(classifier, texts, 0, Runtime()))
        wrong += _differing("log-odds of packed texts", found, alone.detach().double())
    classifier.release()
    remove_lora(backbone)

    # layer l
    layers = range(spec.num_layers)
    try:
        reader = LayerReader(backbone, spec.num_layers, layers, "mean")
        probed = "blocks" if reader.by_blocks else "transformers"
        for one, batch in zip(told, single, strict=True):
            for layer, states in reader(*batch).items():
                wrong += _differing(f"layer {layer}", states, pool(one.hidden_states[layer], batch[1], "mean"))
    except OutshineError as error:
        probed = str(error)
    return row._replace(packed=packed, probed=probed, wrong=tuple(dict.fromkeys(wrong)))


def rows(only: list[str] | None = None) -> Iterator[Row]:
    """What became of each type, or of those named; a type that transformers does not build at toy size is left out."""
    for kind in only or kinds():
        with tempfile.TemporaryDirectory() as folder, quiet():
            try:
                write_toy(Path(folder), kind)
                _runs(Path(folder))
            except Exception as error:  # not ours: a size that does not go with another
                print(f"{kind}: not built ({str(error).splitlines()[:1]})", file=sys.stderr)
                continue
            try:
                yield examine(kind, Path(folder))
            except Exception as error:
                yield Row(kind, wrong=(f"{type(error).__name__}: {str(error)[:200]}",))


@contextmanager
def quiet() -> Iterator[None]:
    """No notices of transformers."""
    level = transformers.utils.logging.get_verbosity()
    transformers.utils.logging.set_verbosity(logging.CRITICAL)
    transformers.utils.logging.disable_progress_bar()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield
    transformers.utils.logging.set_verbosity(level)


def _can_be_given(config: Any, name: str) -> bool:
    """Whether the config has this setting, and not as something that follows from others."""
    found = inspect.getattr_static(type(config), name, None)
    return name.endswith("token_id") or (hasattr(config, name) and (not isinstance(found, property) or bool(found.fset)))


@cache
def _is_text_model(kind: str) -> bool:
    try:
        config = transformers.AutoConfig.for_model(kind)
        built = transformers.MODEL_MAPPING[type(config)]
        built = built[0] if isinstance(built, tuple) else built
        is_text = built.main_input_name == "input_ids" and "input_ids" in inspect.signature(built.forward).parameters
    except Exception:  # a module or a package that is not there
        return False
    return is_text and config.get_text_config(decoder=True) is config and not getattr(config, "is_encoder_decoder", False)


def _runs(folder: Path) -> None:
    """Raises what transformers raises where its own model takes no token ids alone."""
    model = transformers.AutoModel.from_pretrained(folder).eval()
    ids = torch.tensor(token_rows([7]))
    taken = inspect.signature(model.forward).parameters
    mask = {"attention_mask": torch.ones_like(ids)} if "attention_mask" in taken else {}
    if not model(input_ids=ids, **mask).last_hidden_state.isfinite().all():
        raise ValueError("states are not finite")


def _differing(what: str, found: torch.Tensor, expected: torch.Tensor) -> list[str]:
    if found.shape != expected.shape:
        return [f"{what}: shapes {tuple(found.shape)} and {tuple(expected.shape)}"]
    share = float((found - expected).abs().max() / expected.abs().max().clamp(min=1e-9))
    return [] if share <= ROUNDING else [f"{what}: {share:.1g} of the largest"]


_ROPE = {"rope_parameters": {"rope_type": "default", "rope_theta": 10000.0, "mrope_section": [2, 1, 1]}}
_OWN: dict[str, dict[str, Any]] = {  # where the general sizes do not go together
    **dict.fromkeys(("glm4v_moe_text", "glm4v_text", "glm_image_text", "glm_ocr_text"), _ROPE),
    **dict.fromkeys(("qwen2_5_vl_text", "qwen2_vl_text", "cosmos3_edge_text"), _ROPE),
    "longformer": {"attention_window": 8, "max_position_embeddings": 66},
    "roberta": {"pad_token_id": 1},
}


if __name__ == "__main__":
    for row in rows(sys.argv[1:] or None):
        print(row, flush=True)
