"""Tiny checkpoints with random weights, of many architectures, in the layout that transformers saves."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import torch
from torch import nn

from outshine.learn.classifier import Classifier, Cohort
from outshine.learn.load import load_backbone
from outshine.learn.lora import adapters
from outshine.learn.resolve import resolve
from outshine.learn.spec import ClassifierSpec, ComputeDtype, ModelSettings

CPU = torch.device("cpu")
SPECIAL = ["<pad>", "<s>", "</s>", "<unk>"]  # ids 0 to 3
WORDS = [f"w{i}" for i in range(44)]  # ids 4 to 47
VOCAB_SIZE = len(SPECIAL) + len(WORDS)


class Architecture(NamedTuple):
    """A model type of transformers at toy size, and where its blocks keep their linear layers."""

    config: dict[str, Any]
    blocks: str  # path of the list of blocks in the base model
    linears: tuple[str, ...]  # all linear layers of one block
    pooling: str = "last"  # what `auto` must make of it
    max_length: int = 32


_COMMON = {
    "vocab_size": VOCAB_SIZE,
    "hidden_size": 16,
    "num_hidden_layers": 3,
    "num_attention_heads": 2,
    "intermediate_size": 24,
    "max_position_embeddings": 32,
    "pad_token_id": 0,
    "bos_token_id": 1,
    "eos_token_id": 2,
}
_DECODER = {**_COMMON, "num_key_value_heads": 1, "head_dim": 8}
_GPT = {"vocab_size": VOCAB_SIZE, "n_embd": 16, "n_layer": 3, "n_head": 2, "n_positions": 32}
_GPT |= {"bos_token_id": 1, "eos_token_id": 2}
_SLIDING = {**_DECODER, "sliding_window": 4}
_BEHIND_PADDING = {**_COMMON, "pad_token_id": 1, "max_position_embeddings": 34}
_RELATIVE = {**_COMMON, "relative_attention": True, "pos_att_type": ["c2p", "p2c"]}

_LLAMA = tuple(f"self_attn.{x}_proj" for x in "qkvo") + tuple(f"mlp.{x}_proj" for x in ("gate", "up", "down"))
_FUSED = ("query_key_value", "dense")
_BERT = (
    *(f"attention.self.{name}" for name in ("query", "key", "value")),
    *("attention.output.dense", "intermediate.dense", "output.dense"),
)

ARCHITECTURES: dict[str, Architecture] = {
    "llama": Architecture(_DECODER, "layers", _LLAMA),
    "qwen2": Architecture({**_COMMON, "num_key_value_heads": 1}, "layers", _LLAMA),
    "qwen3": Architecture(_DECODER, "layers", _LLAMA),
    "mistral": Architecture(_SLIDING, "layers", _LLAMA),
    "gemma": Architecture(_DECODER, "layers", _LLAMA),
    "gemma2": Architecture(_SLIDING, "layers", _LLAMA),
    "gemma3_text": Architecture(_SLIDING, "layers", _LLAMA),
    "phi": Architecture(
        _COMMON, "layers", (*(f"self_attn.{x}" for x in ("q_proj", "k_proj", "v_proj", "dense")), "mlp.fc1", "mlp.fc2")
    ),
    "phi3": Architecture(
        _COMMON, "layers", ("self_attn.qkv_proj", "self_attn.o_proj", "mlp.gate_up_proj", "mlp.down_proj")
    ),
    "falcon": Architecture(
        _COMMON, "h", (*(f"self_attention.{x}" for x in _FUSED), "mlp.dense_h_to_4h", "mlp.dense_4h_to_h")
    ),
    "gpt2": Architecture(_GPT, "h", ("attn.c_attn", "attn.c_proj", "mlp.c_fc", "mlp.c_proj")),
    "gpt_neo": Architecture(
        {
            "vocab_size": VOCAB_SIZE,
            "hidden_size": 16,
            "num_layers": 4,
            "num_heads": 2,
            "window_size": 4,
            "attention_types": [[["global", "local"], 2]],
            "max_position_embeddings": 32,
            "bos_token_id": 1,
            "eos_token_id": 2,
        },
        "h",
        (*(f"attn.attention.{x}_proj" for x in ("q", "k", "v", "out")), "mlp.c_fc", "mlp.c_proj"),
    ),
    "gpt_neox": Architecture(
        _COMMON, "layers", (*(f"attention.{x}" for x in _FUSED), "mlp.dense_h_to_4h", "mlp.dense_4h_to_h")
    ),
    "opt": Architecture(  # with project_in and project_out, as OPT-350m
        {**_COMMON, "ffn_dim": 24, "word_embed_proj_dim": 8, "do_layer_norm_before": False},
        "decoder.layers",
        (*(f"self_attn.{x}_proj" for x in ("q", "k", "v", "out")), "fc1", "fc2"),
    ),
    "bert": Architecture(_COMMON, "encoder.layer", _BERT, "own"),
    "roberta": Architecture(_BEHIND_PADDING, "encoder.layer", _BERT, "own"),
    "xlm-roberta": Architecture(_BEHIND_PADDING, "encoder.layer", _BERT, "own"),
    "mpnet": Architecture(
        _BEHIND_PADDING,
        "encoder.layer",
        (*(f"attention.attn.{x}" for x in "qkvo"), "intermediate.dense", "output.dense"),
        "own",
    ),
    "deberta": Architecture(
        _RELATIVE,
        "encoder.layer",
        (*(f"attention.self.{x}" for x in ("in_proj", "pos_proj", "pos_q_proj")), *_BERT[3:]),
        "own",
    ),
    "deberta-v2": Architecture(
        _RELATIVE,
        "encoder.layer",
        (
            *(f"attention.self.{x}_proj" for x in ("query", "key", "value", "pos_key", "pos_query")),
            *_BERT[3:],
        ),
        "own",
    ),
    "distilbert": Architecture(
        {"vocab_size": VOCAB_SIZE, "dim": 16, "n_layers": 3, "n_heads": 2, "hidden_dim": 24}
        | {"max_position_embeddings": 32},
        "transformer.layer",
        (*(f"attention.{x}_lin" for x in ("q", "k", "v", "out")), "ffn.lin1", "ffn.lin2"),
        "own",
    ),
    "electra": Architecture({**_COMMON, "embedding_size": 8}, "encoder.layer", _BERT, "own"),
    "modernbert": Architecture(
        {**_COMMON, "cls_token_id": 1, "sep_token_id": 2, "global_attn_every_n_layers": 2, "local_attention": 8},
        "layers",
        ("attn.Wqkv", "attn.Wo", "mlp.Wi", "mlp.Wo"),
        "own",
    ),
}

UNLIKE = {"bert", "deberta-v2", "falcon", "gemma2", "gpt2", "llama", "modernbert", "opt"}
"""Architectures no two of which have their blocks, masks and positions from the same code."""


def each(cases: Iterable[Any]) -> list[Any]:
    """Parameters of a test: kinds of models, or tuples that begin with one. `make test` runs it for those of `UNLIKE`."""
    return [
        case if (case if isinstance(case, str) else case[0]) in UNLIKE
        else pytest.param(*([case] if isinstance(case, str) else case), marks=pytest.mark.exhaustive)
        for case in cases
    ]  # fmt: skip


def num_layers(kind: str) -> int:
    """Blocks of the toy model of this kind."""
    config = ARCHITECTURES[kind].config
    return next(config[name] for name in ("num_hidden_layers", "n_layer", "n_layers", "num_layers") if name in config)


def write_checkpoint(folder: Path, kind: str, auto: str = "AutoModel", **config: Any) -> Path:
    """Save a model with its config and a tokenizer. `auto` names the class that builds it. Returns the folder."""
    import transformers

    whole = transformers.AutoConfig.for_model(kind, **{**ARCHITECTURES[kind].config, **config})
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(7)
        model = getattr(transformers, auto).from_config(whole)
        for name, parameter in model.named_parameters():  # well away from the tiny values of a fresh model
            is_scale = parameter.dim() == 1 and not name.endswith("bias")
            nn.init.normal_(parameter, mean=float(is_scale), std=0.25)
    model.save_pretrained(folder)
    write_tokenizer(folder)
    return folder


def write_tokenizer(folder: Path, frame: bool = True, **special: str | None) -> None:
    """A word-level tokenizer; `frame` puts <s> before and </s> behind each text. `special` overrides tokens."""
    from tokenizers import Tokenizer
    from tokenizers.models import WordLevel
    from tokenizers.pre_tokenizers import WhitespaceSplit
    from tokenizers.processors import TemplateProcessing
    from transformers import PreTrainedTokenizerFast

    words = {word: i for i, word in enumerate([*SPECIAL, *WORDS])}
    backend = Tokenizer(WordLevel(words, unk_token="<unk>"))
    backend.pre_tokenizer = WhitespaceSplit()
    if frame:
        backend.post_processor = TemplateProcessing(single="<s> $A </s>", special_tokens=[("<s>", 1), ("</s>", 2)])
    names = {"pad_token": "<pad>", "bos_token": "<s>", "eos_token": "</s>", "unk_token": "<unk>", **special}
    PreTrainedTokenizerFast(
        tokenizer_object=backend, **{name: token for name, token in names.items() if token is not None}
    ).save_pretrained(folder)


def change_config(folder: Path, **changes: Any) -> None:
    """Edit the settings in a checkpoint's config.json; None removes one."""
    path = folder / "config.json"
    config = json.loads(path.read_text()) | changes
    path.write_text(json.dumps({name: value for name, value in config.items() if value is not None}))


def maker(root: Path) -> Callable[[str], Path]:
    """A function from an architecture's name to the folder of its checkpoint, written once."""

    def checkpoint(kind: str) -> Path:
        folder = root / kind
        return folder if folder.exists() else write_checkpoint(folder, kind)

    return checkpoint


def spec_of(folder: Path, dtype: ComputeDtype = "float32", **settings: Any) -> ClassifierSpec:
    """The resolved classifier of a checkpoint; resolved once as long as the checkpoint's files stay as they are."""
    files = tuple((path.name, path.stat().st_mtime_ns, path.stat().st_size) for path in sorted(folder.iterdir()))
    key = (str(folder), files, dtype, json.dumps(settings, sort_keys=True, default=str))
    if key not in _SPECS:
        _SPECS[key] = resolve(ModelSettings(model=str(folder), **settings), dtype).spec
    return _SPECS[key]


_SPECS: dict[Any, ClassifierSpec] = {}


def classifier_of(folder: Path, dtype: ComputeDtype = "float32", seed: int = 0, **settings: Any) -> Classifier:
    """A fresh classifier of a checkpoint, with the head and the adapters away from their tiny start."""
    spec = spec_of(folder, dtype, **settings)
    return stir(Classifier(load_backbone(spec, CPU), spec, seed))


def stir(classifier: Classifier, seed: int = 0) -> Classifier:
    """Make the head large and B non-zero, so that every trained weight matters to the output."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name, parameter in classifier.trainable().items():
            if name == "head" or name.endswith("lora_B"):
                parameter.copy_(torch.empty(parameter.shape).normal_(std=0.5, generator=generator))
    return classifier


def token_rows(lengths: list[int], seed: int = 0) -> list[list[int]]:
    """Random ordinary token ids of these lengths."""
    generator = torch.Generator().manual_seed(seed)
    return [torch.randint(len(SPECIAL), VOCAB_SIZE, (n,), generator=generator).tolist() for n in lengths]


def gradients(model: Classifier | Cohort) -> list[dict[str, torch.Tensor | None]]:
    """Of each member by the names of its weights: parts of the gradients of the leaves that their memory belongs to."""
    leaves = {leaf.untyped_storage().data_ptr(): leaf for leaf in model.leaves()}

    def of(weight: torch.nn.Parameter) -> torch.Tensor | None:
        if any(weight is leaf for leaf in model.leaves()):
            return None if weight.grad is None else weight.grad.clone()
        whole = leaves[weight.untyped_storage().data_ptr()].grad
        if whole is None:
            return None
        return whole.flatten()[weight.storage_offset() :][: weight.numel()].view_as(weight).clone()

    return [{name: of(weight) for name, weight in member.items()} for member in model.members()]


def unflatten(classifier: Classifier) -> None:
    """Let each adapter be a tensor of its own, as it is without `FlatAdapters`."""
    classifier.flat = None
    for _, layer in adapters(classifier.backbone):
        layer.flat = None


def clear_gradients(model: Classifier | Cohort) -> None:
    """Throw away what earlier passes left."""
    for leaf in model.leaves():
        leaf.grad = None
