"""Every text model that transformers builds at toy size, and what becomes of it: what is adapted, batched, probed.

`PYTHONPATH=tests python tests/learn/models/architectures.py` writes docs/architectures.md anew, in two minutes; with names behind
it, it only says what became of those.
"""

from __future__ import annotations

import inspect
import logging
import sys
import tempfile
import textwrap
import warnings
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

import torch
import transformers
from torch import nn
from transformers.models.auto.modeling_auto import MODEL_MAPPING_NAMES

from outshine.engine.errors import OutshineError
from outshine.engine.runtime import Runtime
from outshine.learn.activations import LayerReader
from outshine.learn.batches import collate, predict
from outshine.learn.classifier import Classifier, pool
from outshine.learn.load import load_backbone
from outshine.learn.lora import adapters, remove_lora
from outshine.learn.packing import settle_sharing, start_packing
from outshine.learn.resolve import resolve
from outshine.learn.spec import ModelSettings
from tiny_checkpoints import CPU, VOCAB_SIZE, stir, token_rows, write_tokenizer

PAGE = Path(__file__).resolve().parents[3] / "docs/architectures.md"
NUM_LAYERS = 4
LENGTHS = [5, 17, 7, 6, 12, 7]  # tokens of the texts that are tried
MOST = 4_000_000  # parameters of a toy
ROUNDING = 2e-4  # what log-odds and states may differ by, as a share of the largest

_SIZES = {
    "vocab_size": VOCAB_SIZE,
    "pad_token_id": 0,
    "bos_token_id": 1,
    "eos_token_id": 2,
    **dict.fromkeys(("max_position_embeddings", "n_positions", "max_seq_len"), 64),
    **dict.fromkeys(("hidden_size", "n_embd", "d_model", "dim", "embedding_size", "lru_width"), 32),
    **dict.fromkeys(("attention_hidden_size", "kv_lora_rank", "q_lora_rank"), 32),
    **dict.fromkeys(("num_hidden_layers", "n_layer", "n_layers", "num_layers"), NUM_LAYERS),
    **dict.fromkeys(("num_attention_heads", "n_head", "n_heads", "num_heads", "attention_heads"), 4),
    **dict.fromkeys(
        ("head_dim", "state_size", "mamba_d_state", "qk_rope_head_dim", "qk_nope_head_dim", "v_head_dim"), 8
    ),
    **dict.fromkeys(("intermediate_size", "hidden_dim", "ffn_dim", "intermediate_size_mlp"), 48),
    **dict.fromkeys(("moe_intermediate_size", "shared_expert_intermediate_size", "mamba_d_head"), 16),
    **dict.fromkeys(("num_local_experts", "num_experts", "n_routed_experts", "rotary_dim", "time_step_rank"), 4),
    **dict.fromkeys(("num_key_value_heads", "num_experts_per_tok"), 2),
    "mamba_n_heads": 4,
    "sliding_window": 8,
}


class Row(NamedTuple):
    """What became of an architecture."""

    kind: str
    refused: str = ""  # why it is not taken at all
    adapted: int = 0  # linear layers with adapters
    frozen: str = ""  # the note on those without
    sharing: str = ""  # texts that share a batch
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
    if "qk_rope_head_dim" in sizes:  # latent attention: keys of every head are made of one
        sizes |= {"num_key_value_heads": 4}
    given = sizes | _OWN.get(kind, {}) | others
    return transformers.AutoConfig.for_model(
        kind, **{name: value for name, value in given.items() if value is not None}
    )


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
                nn.init.normal_(parameter, std=_STD.get(kind, 0.2))
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
    expected = torch.cat(
        [pool(one.last_hidden_state, mask, "mean") for one, (_, mask) in zip(told, single, strict=True)]
    )
    wrong += _differing("fresh adapters change the model", pooled, expected)
    wrong += [] if expected.std(0).max() > 1e-3 else ["all texts look alike"]

    # a text alone and beside others
    settle_sharing(classifier, longest=max(LENGTHS))
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
    row = Row(kind, adapted=len(list(adapters(backbone))), frozen=classifier.frozen_note(), sharing=classifier.sharing)
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


def rows(only: Iterable[str] = ()) -> Iterator[Row]:
    """What became of each type, or of those named, without those that transformers does not build at toy size."""
    for kind in only or kinds():
        with tempfile.TemporaryDirectory() as folder, quiet():
            try:
                write_toy(Path(folder), kind)
                _runs(Path(folder))
            except Exception as error:  # transformers': a size that does not go with another
                reason = (str(error).strip().splitlines() or [type(error).__name__])[0]
                sys.stderr.write(f"{kind} was not built: {reason[:150]}\n")
                continue
            try:
                yield examine(kind, Path(folder))
            except Exception as error:
                yield Row(kind, wrong=(f"{type(error).__name__}: {str(error)[:200]}",))


def page(found: list[Row], not_built: list[str]) -> str:
    """docs/architectures.md."""
    plain = [row for row in found if not is_special(row)]
    special = [row for row in found if is_special(row) and not row.refused]
    refused = [row for row in found if row.refused]
    lines = [
        *_HEAD.format(version=transformers.__version__, plain=len(plain), special=len(special)).splitlines(),
        *("", _names(row.kind for row in plain), "", "## Otherwise", "", *_OTHERWISE.splitlines(), ""),
        "| type | adapters | texts of a batch | layer l of a probe |",
        "| --- | --- | --- | --- |",
        *(special_line(row) for row in special),
        *("", "## Refused", "", *_REFUSED.splitlines(), "", "| type | what is said |", "| --- | --- |"),
        *(f"| `{row.kind}` | {row.refused} |" for row in refused),
        *("", "## Not tried", "", *_NOT_TRIED.splitlines(), "", _names(not_built)),
    ]
    return "\n".join(lines) + "\n"


def is_special(row: Row) -> bool:
    """Whether a type is refused, or not used in the way of most."""
    return bool(row.refused or row.frozen) or row.sharing != "any" or row.probed != "blocks"


def special_line(row: Row) -> str:
    """Its line in the table."""
    count, _, named = row.frozen.partition(" linear layers")
    left = f"not {count}: {named.partition(': ')[2]}" if row.frozen else "all"
    batch = {"any": "any", "equal": "of equal length", "none": "one"}[row.sharing]
    told = {"blocks": "after the block", "transformers": "transformers'"}.get(row.probed, f"refused: {row.probed}")
    return f"| `{row.kind}` | {left} | {batch} | {told} |"


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
    is_there = name in config.to_dict() or (
        name in config.attribute_map and config.attribute_map[name] in config.to_dict()
    )
    return name.endswith("token_id") or (is_there and (not isinstance(found, property) or bool(found.fset)))


@cache
def _is_text_model(kind: str) -> bool:
    try:
        config = transformers.AutoConfig.for_model(kind)
        built = transformers.MODEL_MAPPING[type(config)]
        built = built[0] if isinstance(built, tuple) else built
        is_text = built.main_input_name == "input_ids" and "input_ids" in inspect.signature(built.forward).parameters
    except Exception:  # a module or a package that is not there
        return False
    return (
        is_text and config.get_text_config(decoder=True) is config and not getattr(config, "is_encoder_decoder", False)
    )


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


_STD = {"mobilebert": 0.05}  # its blocks have no norm to keep states small
_ROPE = {"rope_parameters": {"rope_type": "default", "rope_theta": 10000.0, "mrope_section": [2, 1, 1]}}
_HALF_ROPE = {"rope_parameters": {**_ROPE["rope_parameters"], "mrope_section": [1, 1, 0]}}  # half of a head is turned
_GEMMA = {
    "layer_types": ["sliding_attention", "full_attention"] * 2,
    "vocab_size_per_layer_input": VOCAB_SIZE,
    "hidden_size_per_layer_input": 8,
    "per_layer_config": None,
}
_KDA = {
    "layer_types": ["linear_attention", "full_attention"] * 2,
    "mlp_layer_types": ["dense", "sparse", "sparse", "sparse"],
    "linear_head_dim": 8,
    "linear_num_heads": 4,
    "num_experts_per_token": 2,
    "num_expert_group": 1,
    "topk_group": 1,
}
_VISION = {"hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 1, "num_attention_heads": 2}
_OWN: dict[str, dict[str, Any]] = {  # where the general sizes do not go together
    "bailing_hybrid": _KDA | {"layer_group_size": 2, "first_k_dense_replace": 1},
    "kimi_linear": _KDA,
    "gemma3n_text": {**_GEMMA, "per_layer_config": None, "num_kv_shared_layers": 2, "laurel_rank": 8}
    | {"intermediate_size": [48] * NUM_LAYERS, "activation_sparsity_pattern": [0.5, 0.0, 0.0, 0.0]},
    "gemma4_text": _GEMMA,
    "gemma4_unified_text": _GEMMA,
    "embedding_gemma2_text": _GEMMA,
    "mistral4": {"head_dim": 16},
    "xlstm": {"hidden_size": 64, "embedding_dim": 64, "num_blocks": NUM_LAYERS, "ffn_round_up_to_multiple_of": 8}
    | {"qk_dim_factor": 1.0},
    "zamba": {"layers_block_type": ["linear_attention", "hybrid"] * 2, "attention_hidden_size": 64}
    | {"attention_head_dim": 16, "num_key_value_heads": 4, "mamba_dt_rank": 4},
    "zamba2": {"layers_block_type": ["linear_attention", "hybrid"] * 2, "n_mamba_heads": 4, "mamba_headdim": 16}
    | {"num_key_value_heads": 4, "attention_hidden_size": 64, "attention_head_dim": 16, "adapter_rank": 4}
    | {"hybrid_layer_ids": [1, 3]},
    "cohere_compass_text": {"layer_types": ["sliding_attention", "full_attention"] * 2}
    | {"rope_parameters": {"sliding_attention": {"rope_type": "default", "rope_theta": 1e4}, "full_attention": None}},
    "neomme": {"per_layer_config": None, "embedding_dim": 32, "head_dim": 16, "embedding_rank": 16}
    | {"layer_types": ["sliding_attention", "full_attention"] * 2},
    "muse_spark_text": {"moe_hidden_size": 32, "num_key_value_heads": 2}
    | {"layer_types": ["sliding_attention", "full_attention"] * 2, "layer_rope_theta": [10000.0, 0] * 2},
    "qwen4_exp_text": {"layer_types": ["linear_attention", "indexed_attention"] * 2, "hc_count": 2, "hc_lowrank": 8}
    | {"indexer_n_heads": 2, "indexer_kv_heads": 1, "indexer_head_dim": 8, "indexer_budget": 64}
    | {"indexer_compress_ratio": 4, "ngram_vocab_size_base": 100, "ple_embed_dim": 16, "linear_num_key_heads": 2}
    | {"linear_num_value_heads": 4, "linear_key_head_dim": 8, "linear_value_head_dim": 8},
    "glm5_next_text": {"qk_rope_head_dim": 0, "layer_types": ["linear_attention", "indexed_attention"] * 2}
    | {"mlp_layer_types": ["dense", "sparse", "sparse", "sparse"], "indexer_types": ["full"] * NUM_LAYERS}
    | {"linear_head_dim": 8, "linear_num_heads": 4, "index_topk": 16, "index_head_dim": 8, "index_n_heads": 4}
    | {"hc_mult": 2, "head_dim": 0},
    "dots3_note_text": {"layer_types": ["indexed_attention", "sliding_attention"] * 2, "per_layer_config": None}
    | {"mlp_layer_types": ["dense", "sparse", "sparse", "sparse"], "shared_experts_intermediate_size": 16}
    | {"index_topk": 64, "index_head_dim": 8, "index_n_heads": 4, "first_k_dense_replace": 1}
    | {f"swa_{name}": 4 for name in ("num_attention_heads", "num_key_value_heads")}
    | {f"swa_{name}": 8 for name in ("qk_nope_head_dim", "qk_rope_head_dim", "v_head_dim")}
    | {"swa_head_dim": 16, "swa_kv_lora_rank": 32, "swa_q_lora_rank": 32},
    "git": {"vision_config": _VISION},
    "layoutlmv3": {"coordinate_size": 5, "shape_size": 6},
    "cpmant": {"dim_head": 8, "dim_ff": 48, "prompt_length": 2, "position_bias_num_buckets": 16},
    **dict.fromkeys(("glm4v_text", "hunyuan_vl_text"), _ROPE),
    **dict.fromkeys(("glm4v_moe_text", "glm_image_text", "glm_ocr_text"), _HALF_ROPE),
    **dict.fromkeys(("qwen2_5_vl_text", "qwen2_vl_text", "cosmos3_edge_text"), _ROPE),
    "granitemoehybrid": {"layer_types": ["mamba", "attention"] * 2},
    "esmc": {"num_key_value_heads": 4},
    "deepseek_v3": {"n_group": 1, "topk_group": 1},
    "deepseek_v32": {"n_group": 1, "topk_group": 1},
    "axk1": {"n_group": 1, "topk_group": 1},
    "beam": {"n_group": 1, "topk_group": 1},
    "bamba": {"attn_layer_indices": [1, 3]},
    "dbrx": {
        "attn_config": {"kv_n_heads": 2, "clip_qkv": 8, "rope_theta": 10000.0},
        "ffn_config": {"ffn_hidden_size": 48, "moe_num_experts": 2},
    },
    "dots1": {"n_group": 1, "topk_group": 1, "n_shared_experts": 1},
    "falcon_h1": {"mamba_d_ssm": 64},
    "funnel": {"num_hidden_layers": None, "block_sizes": [1, 2, 1], "architectures": ["FunnelModel"]},
    "gpt_neo": {"attention_types": [[["global", "local"], 2]]},
    "jamba": {"attn_layer_period": 2, "attn_layer_offset": 1, "expert_layer_period": 2},
    "lfm2_moe": {"layer_types": ["conv", "full_attention"] * 2},
    "lilt": {"hidden_size": 48, "channel_shrink_ratio": 2},
    "longformer": {"attention_window": 8, "max_position_embeddings": 66},
    "luke": {"entity_vocab_size": 16, "entity_emb_size": 16},
    "mamba2": {"num_heads": 8, "head_dim": 8},
    "reformer": {"axial_pos_embds_dim": (16, 16), "axial_pos_shape": (8, 8)},
    "roc_bert": {"pronunciation_vocab_size": 10, "shape_vocab_size": 10}
    | {"pronunciation_embed_dim": 8, "shape_embed_dim": 8},
    "xlnet": {"max_position_embeddings": None},
    "xmod": {"default_language": "en_XX"},
    "zaya": {"num_experts_per_tok": 1},
}


_HEAD = """# Architectures

What becomes of each text model that transformers {version} can build from a config (`AutoModel`, token ids and a mask). Made by
`PYTHONPATH=tests python tests/learn/models/architectures.py`, which builds each with random weights and four blocks of width 32, and compares three things with transformers' own model:

1. fresh adapters (B = 0) change nothing;
2. a text has the same log-odds alone, beside longer ones and with any token budget; packed too, where texts are packed;
3. layer l that a probe reads is transformers' `hidden_states[l]`. (The last layer is read before the final norm where blocks can be asked for it.)

None of it is known by name: it is found out on each model that is loaded, before it is trained ([internals](internals.md#training)), so that
architectures that are not listed, and those of other versions, are treated by the same rules.

## As most

{plain} types: adapters on every linear layer of the blocks, texts of any length in a batch, layers read after each block and no further than the deepest."""

_OTHERWISE = """* **Adapters** go to layers that only multiply. Routers that are a layer with a forward pass of their own, and layers whose weights the model reads past them, stay
  frozen; a note of each training names them.
* **Texts of equal length** alone share a batch where padding reaches the real tokens. A note says so. Token budgets then change results by rounding only, as elsewhere.
* **transformers'** hidden states are taken where the modules that were found to be the blocks do not give them. The forward pass then goes to its end.
* **Refused** are here only probes and filters that look at activations."""

_REFUSED = """With the default tuning, LoRA, and before anything is trained. Where the message says so, `tuning: full` or `tuning: head` can be used. Encoder-decoders and models of other inputs
are refused too, and not listed."""

_NOT_TRIED = """The general toy sizes do not go together in these, or they want more than token ids. Nothing is known of them but what the rules above say."""


def _names(kinds: Iterable[str]) -> str:
    return textwrap.fill(", ".join(f"`{kind}`" for kind in kinds), 150, break_on_hyphens=False)


def main(only: list[str]) -> int:
    """Write the page, or say what became of some; 1 where something is wrong."""
    found = list(rows(only))
    if only:
        sys.stdout.write("".join(f"{row}\n" for row in found))
    wrong = [row for row in found if row.wrong]
    for row in wrong:
        sys.stderr.write(f"{row.kind}: {'; '.join(row.wrong)}\n")
    if not only and not wrong:
        seen = {row.kind for row in found}
        PAGE.write_text(page(found, [kind for kind in kinds() if kind not in seen]), encoding="utf-8")
    return int(bool(wrong))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
