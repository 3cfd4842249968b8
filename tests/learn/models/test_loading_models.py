"""What is loaded, and what is refused in one line: damaged, incomplete, unsafe and foreign checkpoints."""

import shutil
import sys
from pathlib import Path

import pytest
import torch

from outshine.engine.errors import ModelError, OutshineError, SettingsError
from outshine.learn.batches import collate
from outshine.learn.load import load_backbone, load_tokenizer
from outshine.learn.tokenize import Text, encode
from tiny_checkpoints import CPU, change_config, classifier_of, spec_of, token_rows, write_checkpoint, write_tokenizer


@pytest.fixture
def folder(checkpoint, tmp_path):
    """A copy of a checkpoint that a test may spoil."""
    return shutil.copytree(checkpoint("llama"), tmp_path / "model")


def refusal(action) -> str:
    with pytest.raises(OutshineError) as caught:
        action()
    message = str(caught.value)
    assert "\n" not in message
    return message


@pytest.mark.parametrize(
    "damage",
    [
        lambda whole: whole[: len(whole) // 2],
        lambda whole: b"",
        lambda whole: b"\0" * 64,
        lambda whole: b"<!DOCTYPE html>" * 9,
    ],
    ids=["truncated", "empty", "zeros", "a web page"],
)
def test_a_damaged_weights_file_is_refused(folder, damage):
    path = folder / "model.safetensors"
    path.write_bytes(damage(path.read_bytes()))
    message = refusal(lambda: load_backbone(spec_of(folder), CPU))
    assert str(folder) in message
    assert "a safetensors file is damaged" in message


@pytest.mark.parametrize("text", ["{", "[1]", "", '"llama"', "{}"])
def test_a_config_that_is_none_is_refused(folder, text):
    (folder / "config.json").write_text(text)
    assert "config.json" in refusal(lambda: spec_of(folder))


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"model_type": "nosuch"}, "nosuch"),
        ({"model_type": None}, "model_type"),
        ({"hidden_size": 20}, "shapes of its weights"),
        ({"vocab_size": 50}, "shapes of its weights"),
        ({"hidden_size": "wide"}, "hidden_size"),
        ({"num_hidden_layers": 5}, r"lacks 18 weights of LlamaModel (such as layers.3."),
    ],
)
def test_a_config_that_does_not_fit_is_refused(folder, changes, reason):
    change_config(folder, **changes)
    assert reason in refusal(lambda: load_backbone(spec_of(folder), CPU))


def test_weights_that_are_missing_are_not_made_up(folder):
    from safetensors.torch import load_file, save_file

    tensors = load_file(folder / "model.safetensors")
    del tensors["layers.1.mlp.up_proj.weight"]
    save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})
    assert "lacks 1 weights of LlamaModel (such as layers.1.mlp.up_proj.weight)" in refusal(
        lambda: load_backbone(spec_of(folder), CPU)
    )
    load_backbone(spec_of(folder, num_layers=1), CPU)  # the first block is complete


def test_weights_in_a_format_that_can_run_code_are_refused(folder):
    (folder / "model.safetensors").rename(folder / "pytorch_model.bin")
    message = refusal(lambda: load_backbone(spec_of(folder), CPU))
    assert "no safetensors weights (it has pytorch_model.bin, which can run code when opened)" in message


def test_weights_in_several_files_are_loaded(tmp_path, checkpoint):
    from transformers import AutoModel

    AutoModel.from_pretrained(checkpoint("llama")).save_pretrained(tmp_path, max_shard_size="5KB")
    assert len(list(tmp_path.glob("*.safetensors"))) > 1
    ours = load_backbone(spec_of(tmp_path), CPU).state_dict()
    whole = load_backbone(spec_of(checkpoint("llama")), CPU).state_dict()
    assert all(torch.equal(ours[name], whole[name]) for name in whole)
    next(tmp_path.glob("*-00002-*.safetensors")).unlink()
    refusal(lambda: load_backbone(spec_of(tmp_path), CPU))


def test_an_encoder_decoder_is_refused(tmp_path):
    from transformers import T5Config, T5Model

    with torch.random.fork_rng(devices=[]):
        T5Model(T5Config(vocab_size=48, d_model=16, num_layers=2, d_ff=16, num_heads=2, d_kv=8)).save_pretrained(
            tmp_path
        )
    assert "is an encoder-decoder" in refusal(lambda: spec_of(tmp_path))


def test_code_of_a_repository_runs_only_for_those_who_name_it(folder, monkeypatch):
    change_config(folder, model_type="mine", auto_map={"AutoConfig": "mine.C", "AutoModel": "mine.M"})
    (folder / "mine.py").write_text(f"open({str(folder / 'ran')!r}, 'w').close()\nraise ValueError('it ran')\n")
    monkeypatch.setattr("transformers.dynamic_module_utils.HF_MODULES_CACHE", str(folder / "modules"))
    message = refusal(lambda: load_backbone(spec_of(folder), CPU))
    assert f"needs code from its own repository; if you trust that, set trust_remote_code: {folder}" in message
    with pytest.raises(SettingsError, match="must repeat the model's name"):
        spec_of(folder, trust_remote_code="true")
    assert not (folder / "ran").exists()
    assert "it ran" in refusal(lambda: load_backbone(spec_of(folder, trust_remote_code=str(folder)), CPU))
    assert (folder / "ran").exists()


@pytest.mark.parametrize("kind", ["bert", "deberta-v2", "gemma2", "gpt2", "gpt_neox", "llama", "modernbert", "roberta"])
def test_a_model_without_tokenizer_is_refused(kind, checkpoint, tmp_path):
    bare = shutil.copytree(checkpoint(kind), tmp_path / kind, ignore=shutil.ignore_patterns("tokenizer*", "special*"))
    assert "has no tokenizer" in refusal(lambda: load_tokenizer(spec_of(bare).model))


def test_a_damaged_tokenizer_is_refused(folder):
    (folder / "tokenizer.json").write_text("{")
    assert "has no tokenizer that can be loaded" in refusal(lambda: load_tokenizer(spec_of(folder).model))


@pytest.mark.parametrize(
    ("special", "pad_id"),
    [
        ({}, 0),
        ({"pad_token": None}, 2),
        ({"pad_token": None, "eos_token": None}, 0),
        ({"pad_token": "<added>"}, 2),  # id 48: the model has 48 embeddings, 0 to 47
    ],
)
def test_padding_needs_no_token_of_its_own(folder, special, pad_id):
    write_tokenizer(folder, **special)
    tokens = load_tokenizer(spec_of(folder).model)
    assert (tokens.pad_id, tokens.vocab_size) == (pad_id, 48)
    encoded = encode(tokens, [Text("w1 w2 w3"), Text("w4")], 32).tokens
    classifier = classifier_of(folder)
    alone = classifier(*collate(encoded, [1], tokens.pad_id, CPU))
    beside = classifier(*collate(encoded, [0, 1], tokens.pad_id, CPU))[1:]
    torch.testing.assert_close(beside, alone, rtol=1e-5, atol=1e-6)


def test_a_tokenizer_of_another_model_is_noticed(folder, tmp_path):
    smaller = write_checkpoint(tmp_path / "smaller", "llama", vocab_size=20)
    tokens = load_tokenizer(spec_of(smaller).model)
    assert encode(tokens, [Text("w1 w2")], 32).tokens == [[1, 5, 6, 2]]
    with pytest.raises(ModelError, match="token id 47, but the model has embeddings for 20 tokens"):
        encode(tokens, [Text("w1 w2"), Text("w43")], 32)


@pytest.mark.parametrize("kind", ["bert", "llama"])
@pytest.mark.parametrize(
    ("dtype", "tuning", "weights"),
    [
        ("float32", "lora", torch.float32),
        ("bfloat16", "lora", torch.bfloat16),
        ("bfloat16", "head", torch.bfloat16),
        ("bfloat16", "full", torch.float32),  # master weights
        ("float64", "lora", torch.float64),
    ],
)
def test_weights_are_kept_in_the_dtype_that_tuning_needs(kind, dtype, tuning, weights, checkpoint):
    spec = spec_of(checkpoint(kind), dtype, tuning=tuning)
    assert {parameter.dtype for parameter in load_backbone(spec, CPU).parameters()} == {weights}


def test_full_fine_tuning_in_bf16_computes_in_bf16_and_learns_in_float32(checkpoint):
    tokens = token_rows([9, 6])
    classifier = classifier_of(checkpoint("llama"), "bfloat16", tuning="full")
    exact = classifier_of(checkpoint("llama"), "float32", tuning="full")(*collate(tokens, [0, 1], 0, CPU))
    z = classifier(*collate(tokens, [0, 1], 0, CPU))
    assert not torch.equal(z, exact)
    torch.testing.assert_close(z, exact, rtol=0.1, atol=0.1)
    z.sum().backward()
    assert {p.grad.dtype for p in classifier.trainable().values() if p.grad is not None} == {torch.float32}


def test_loading_draws_nothing_from_the_callers_random_state(tmp_path):
    folder = write_checkpoint(tmp_path / "model", "roberta", "AutoModelForSequenceClassification")  # lacks a pooler
    before = torch.get_rng_state()
    classifier_of(folder)
    assert torch.equal(torch.get_rng_state(), before)


def test_four_bits_without_bitsandbytes_say_what_to_install(checkpoint, monkeypatch):
    monkeypatch.setitem(sys.modules, "bitsandbytes", None)  # as if it were not installed
    spec = spec_of(checkpoint("llama"), tuning={"base": "nf4"})
    message = refusal(lambda: load_backbone(spec, CPU))
    assert "needs bitsandbytes, which is not installed; pip install 'bitsandbytes" in message
    load_backbone(spec_of(checkpoint("llama")), CPU)  # which no dense base needs


@pytest.mark.skipif(not Path("/proc/self/maps").exists(), reason="needs Linux: which file memory is mapped from")
@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_weights_in_their_own_number_format_are_the_mapped_file(folder, dtype):
    """Host memory holds no copy of them; those that are converted it must."""
    backbone = load_backbone(spec_of(folder, dtype), CPU)
    lines = [line.split() for line in Path("/proc/self/maps").read_text().splitlines()]
    mapped = [line[0].split("-") for line in lines if line[-1] == str(folder / "model.safetensors")]
    ranges = [(int(start, 16), int(end, 16)) for start, end in mapped]
    inside = [any(start <= p.data_ptr() < end for start, end in ranges) for p in backbone.parameters()]
    assert inside == [dtype == "float32"] * len(inside)
