"""What is decided on a model's structure before training: how long texts may be, and whether the first blocks stand alone."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import architectures
import pytest
import torch
import transformers

from outshine.engine.errors import ModelError, SettingsError
from outshine.learn.batches import collate
from outshine.learn.blocks import find_blocks
from outshine.learn.load import load_backbone, load_structure
from outshine.learn.resolve import resolve
from outshine.learn.spec import ModelSettings
from tiny_checkpoints import ARCHITECTURES, CPU, classifier_of, num_layers, spec_of, token_rows, write_checkpoint

_SIZES = {
    "vocab_size": 48,
    "hidden_size": 16,
    "num_hidden_layers": 3,
    "num_attention_heads": 2,
    "intermediate_size": 24,
    "max_position_embeddings": 34,
    "pad_token_id": 1,
    "bos_token_id": 0,
    "eos_token_id": 2,
}
BEHIND_PADDING: dict[str, dict[str, Any]] = {
    "camembert": {},
    "data2vec-text": {},
    "esm": {"position_embedding_type": "absolute", "mask_token_id": 3, "token_dropout": True},
    "ibert": {},
    "longformer": {"attention_window": 8},
    "luke": {"entity_vocab_size": 4, "entity_emb_size": 8},
    "mpnet": {},
    "roberta": {"pad_token_id": 5},
    "roberta-prelayernorm": {},
    "xlm-roberta": {},
    "xlm-roberta-xl": {},
    "xmod": {"languages": ["en_XX"], "default_language": "en_XX"},
}
FROM_THE_FIRST: dict[str, dict[str, Any]] = {
    "bert": {},
    "big_bird": {"attention_type": "original_full"},
    "biogpt": {},
    "electra": {"embedding_size": 16},
    "esm": {"position_embedding_type": "rotary", "mask_token_id": 3},
    "opt": {"ffn_dim": 24, "word_embed_proj_dim": 16},
    "xglm": {"d_model": 16, "num_layers": 3, "attention_heads": 2, "ffn_dim": 24},
}


def write(folder: Path, kind: str, **settings: Any) -> Path:
    """A model of any type of transformers with random weights, without a tokenizer."""
    config = transformers.AutoConfig.for_model(kind, **{**_SIZES, **settings})
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(1)
        transformers.AutoModel.from_config(config).save_pretrained(folder)
    return folder


def takes(model: Any, length: int) -> bool:
    """Whether a text of so many ordinary tokens goes through."""
    ids = torch.full((1, length), 7)
    try:
        with torch.no_grad():
            model(input_ids=ids, attention_mask=torch.ones_like(ids))
    except (IndexError, RuntimeError):
        return False
    return True


@pytest.mark.slow
@pytest.mark.parametrize("kind", BEHIND_PADDING)
def test_texts_fit_where_positions_begin_behind_the_padding(kind, tmp_path):
    folder = write(tmp_path / "model", kind, **BEHIND_PADDING[kind])
    spec = spec_of(folder, tuning="head")  # I-BERT has no layers for adapters
    model = transformers.AutoModel.from_pretrained(folder).eval()
    assert takes(model, spec.max_length)
    assert not takes(model, spec.max_length + 1) or kind == "longformer"  # which pads up to its window
    with pytest.raises(SettingsError, match=f"takes {spec.max_length} tokens"):
        spec_of(folder, max_length=spec.max_length + 1, tuning="head")


@pytest.mark.slow
@pytest.mark.parametrize("kind", FROM_THE_FIRST)
def test_all_positions_are_used_where_they_begin_at_the_first(kind, tmp_path):
    folder = write(tmp_path / "model", kind, **FROM_THE_FIRST[kind])
    spec = spec_of(folder)
    assert spec.max_length == 34
    assert takes(transformers.AutoModel.from_pretrained(folder).eval(), 34)


def test_a_model_all_of_whose_positions_lie_before_the_padding_is_refused(tmp_path):
    folder = write(tmp_path / "model", "roberta", pad_token_id=33)
    with pytest.raises(ModelError, match="all its positions lie before that of its padding"):
        spec_of(folder)


def block_states(folder: Path, kept: int | None) -> list[torch.Tensor]:
    """What each block gives for a text."""
    spec = resolve(ModelSettings(model=str(folder), num_layers=kept), "float64").spec
    backbone = load_backbone(spec, CPU).eval()
    states: list[torch.Tensor] = []
    for block in find_blocks(backbone, spec.num_layers)[1]:
        block.register_forward_hook(lambda _, __, out: states.append(out if isinstance(out, torch.Tensor) else out[0]))
    ids = torch.tensor([[5, 6, 7, 8, 9]])
    with torch.no_grad():
        backbone(input_ids=ids, attention_mask=torch.ones_like(ids))
    return states


@pytest.mark.slow
@pytest.mark.parametrize("kind", sorted(ARCHITECTURES))
def test_the_first_blocks_give_what_they_give_in_the_whole_model(kind, checkpoint):
    whole, part = block_states(checkpoint(kind), None), block_states(checkpoint(kind), 2)
    assert len(whole) == num_layers(kind)
    assert len(part) == 2
    for of_part, of_whole in zip(part, whole, strict=False):
        torch.testing.assert_close(of_part, of_whole)


_MAMBA = {"state_size": 4, "time_step_rank": 4, "expand": 2}
HYBRIDS: dict[str, dict[str, Any]] = {
    "mamba": _MAMBA,
    "mamba2": {**_MAMBA, "num_heads": 4, "head_dim": 8, "n_groups": 1},
    "falcon_mamba": _MAMBA,
    "falcon_h1": {
        "mamba_d_ssm": 32,
        "mamba_n_heads": 4,
        "mamba_d_head": 8,
        "mamba_n_groups": 1,
        "num_key_value_heads": 1,
    },
    "recurrent_gemma": {"lru_width": 16, "num_key_value_heads": 1, "head_dim": 8, "attention_window_size": 8},
}


@pytest.mark.slow
@pytest.mark.parametrize("kind", HYBRIDS)
@pytest.mark.parametrize("kept", [None, 2])
def test_models_that_derive_the_kinds_of_their_layers_are_loaded_and_cut(kind, kept, tmp_path):
    folder = write(tmp_path / "model", kind, **HYBRIDS[kind])
    spec = spec_of(folder, num_layers=kept)
    ours = load_backbone(spec, CPU)
    theirs = transformers.AutoModel.from_pretrained(folder)
    assert type(ours) is type(theirs)
    tensors = ours.state_dict()
    assert spec.num_layers == len(find_blocks(ours, spec.num_layers)[1]) == (kept or 3)
    assert all(torch.equal(tensor, theirs.state_dict()[name]) for name, tensor in tensors.items())


def nemotron(folder: Path) -> Path:
    """A model whose config.json has a list of its layers and no number of them."""
    layers = ["mamba", "attention", "mlp"]
    mamba = {"mamba_num_heads": 4, "mamba_head_dim": 8, "ssm_state_size": 4, "n_groups": 1, "head_dim": 8}
    config = transformers.AutoConfig.for_model(
        "nemotron_h",
        vocab_size=48,
        hidden_size=16,
        intermediate_size=24,
        num_attention_heads=2,
        num_key_value_heads=1,
        layers_block_type=layers,
        **mamba,
    )
    transformers.AutoModel.from_config(config).save_pretrained(folder)
    written = json.loads((folder / "config.json").read_text())
    assert "num_hidden_layers" not in written
    assert len(written["layers_block_type"]) == len(layers)
    return folder


def test_layers_that_are_listed_are_counted(tmp_path):
    spec = spec_of(nemotron(tmp_path / "model"))
    assert spec.num_layers == spec.model.num_layers == 3
    assert len(find_blocks(load_backbone(spec, CPU), 3)[1]) == 3


def test_layers_that_are_listed_are_cut(tmp_path):
    folder = nemotron(tmp_path / "model")
    part = load_backbone(spec_of(folder, num_layers=2), CPU)
    whole = transformers.AutoModel.from_pretrained(folder).state_dict()
    assert len(find_blocks(part, 2)[1]) == 2
    assert all(torch.equal(tensor, whole[name]) for name, tensor in part.state_dict().items())


def test_a_model_whose_weights_follow_the_number_of_blocks_cannot_be_cut(tmp_path):
    folder = write(tmp_path / "esm", "esm", mask_token_id=3)
    load_backbone(spec_of(folder), CPU)
    with pytest.raises(ModelError, match=r"cannot be cut to 2 of its 3 blocks \(the shape of its contact_head"):
        spec_of(folder, num_layers=2)


def test_a_model_whose_blocks_are_scaled_by_their_number_cannot_be_cut(tmp_path):
    sizes = {"q_lora_rank": 8, "kv_lora_rank": 8, "qk_nope_head_dim": 8, "qk_rope_head_dim": 8, "v_head_dim": 8}
    folder = write(tmp_path / "minicpm3", "minicpm3", num_key_value_heads=2, head_dim=8, **sizes)
    spec_of(folder)
    with pytest.raises(ModelError, match=r"cannot be cut to 2 of its 3 blocks \(what layers\.\S+ is depends"):
        spec_of(folder, num_layers=2)


def test_blocks_that_share_their_weights_are_refused_before_anything_is_trained(tmp_path):
    folder = write(tmp_path / "albert", "albert", embedding_size=16)
    with pytest.raises(ModelError, match="models whose blocks share their weights"):
        spec_of(folder)


@pytest.mark.parametrize(
    ("settings", "told"),
    [
        ({"model_type": "resnet"}, "names no number of layers; is it a language model"),
        ({"model_type": "clip_vision_model"}, "takes no tokens; is it a language model"),
        ({"model_type": "vit", "num_hidden_layers": 2}, "takes no tokens; is it a language model"),
    ],
)
def test_what_is_no_language_model_is_refused(settings, told, tmp_path):
    (tmp_path / "config.json").write_text(json.dumps(settings))
    with pytest.raises(ModelError, match=told):
        spec_of(tmp_path)


@pytest.mark.slow
def test_a_model_that_returns_states_of_another_width_than_its_config_says_is_refused(tmp_path):
    folder = architectures.write_toy(tmp_path / "model", "embedding_gemma2_text", embedding_dim=24)
    with pytest.raises(ModelError, match="returns states of width 24, and its config says 32"):
        spec_of(folder)


def test_another_width_that_only_the_weights_tell_is_refused_at_the_first_forward(tmp_path):
    classifier = classifier_of(write_checkpoint(tmp_path / "model", "llama"))
    classifier.backbone.register_forward_hook(_doubled)
    ids, mask = collate(token_rows([5]), [0], 0, CPU)
    with pytest.raises(ModelError, match="LlamaModel returns states of width 32, and its config says 16"):
        classifier(ids, mask)


def _doubled(module: object, inputs: object, output: Any) -> Any:
    output.last_hidden_state = output.last_hidden_state.repeat(1, 1, 2)
    return output


def test_looking_at_the_structure_draws_nothing_from_the_callers_random_state(tmp_path):
    folder = write_checkpoint(tmp_path / "model", "roberta")
    before = torch.get_rng_state()
    spec_of(folder, num_layers=1)
    assert torch.equal(torch.get_rng_state(), before)


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["gemma3", "llava", "qwen2_vl", "qwen3_vl", "glm4v"])
def test_the_language_model_of_a_multimodal_one_is_a_decoder_and_can_be_cut(kind, tmp_path):
    """As published, in size: only its structure is built."""
    transformers.AutoConfig.for_model(kind).save_pretrained(tmp_path)
    spec = spec_of(tmp_path, num_layers=2)
    assert spec.pooling == "last"
    structure = load_structure(spec)
    assert len(find_blocks(structure, 2)[1]) == 2
    assert not any("vision" in name for name, _ in structure.named_modules())
