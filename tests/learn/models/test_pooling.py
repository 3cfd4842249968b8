"""One vector a text: each pooling against a computation by hand, wherever padding and special tokens lie."""

import json
import shutil

import pytest
import torch
from transformers import AutoModel

from outshine.engine.errors import ModelError, SettingsError
from outshine.learn.batches import collate
from outshine.learn.classifier import pool
from outshine.learn.load import load_tokenizer
from outshine.learn.resolve import is_causal, resolve
from outshine.learn.spec import ModelSettings
from outshine.learn.tokenize import Text, encode
from tiny_checkpoints import CPU, classifier_of, spec_of, write_checkpoint, write_tokenizer


@pytest.mark.parametrize("side", ["left", "right"])
def test_only_real_tokens_count_on_either_side_of_the_padding(side):
    hidden = torch.arange(2 * 5 * 3, dtype=torch.float32).reshape(2, 5, 3)
    mask = torch.tensor([[1, 1, 1, 0, 0], [1, 1, 1, 1, 1]])
    rows = hidden.clone()
    if side == "left":
        mask, rows = mask.flip(1), hidden.flip(1)
    rows[mask == 0] = 1e9  # padding must not leak in
    first, last = (0, 2) if side == "right" else (2, 0)  # flipped, the short text runs backwards
    torch.testing.assert_close(pool(rows, mask, "mean")[0], hidden[0, :3].mean(0))
    torch.testing.assert_close(pool(rows, mask, "mean")[1], hidden[1].mean(0))
    assert torch.equal(pool(rows, mask, "first")[0], hidden[0, first])
    assert torch.equal(pool(rows, mask, "last")[0], hidden[0, last])
    assert torch.equal(pool(rows, mask, "last")[1], rows[1, -1])


def test_the_mean_of_bf16_states_is_taken_in_float32():
    hidden = torch.randn(1, 512, 8, generator=torch.Generator().manual_seed(0)).bfloat16()
    mask = torch.ones(1, 512, dtype=torch.long)
    pooled = pool(hidden, mask, "mean")
    torch.testing.assert_close(pooled.double(), hidden.double().mean(1), rtol=1e-5, atol=1e-7)


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["bert", "roberta", "distilbert"])
@pytest.mark.parametrize("pooling", ["first", "last", "mean", "own"])
def test_log_odds_are_the_difference_of_two_logits_of_the_pooled_state(kind, pooling, checkpoint):
    classifier = classifier_of(checkpoint(kind), pooling=pooling, tuning="head")
    reference = AutoModel.from_pretrained(checkpoint(kind)).eval()
    tokens = [[5, 6, 7, 8], [9, 10]]
    z = classifier(*collate(tokens, [0, 1], 0, CPU))
    for i, ids in enumerate(tokens):
        outputs = reference(input_ids=torch.tensor([ids]))
        state = outputs.last_hidden_state[0]
        # DistilBERT has no pooler of its own: the first token stands for the text
        own = state[0] if kind == "distilbert" else outputs.pooler_output[0]
        pooled = {"first": state[0], "last": state[-1], "mean": state.mean(0), "own": own}[pooling]
        logits = classifier.head @ pooled
        torch.testing.assert_close(z[i], logits[1] - logits[0], rtol=1e-5, atol=1e-5)


def test_a_tokenizer_that_pads_with_its_end_token_pools_the_real_end(tmp_path):
    folder = write_checkpoint(tmp_path / "model", "llama", pad_token_id=2)
    write_tokenizer(folder, pad_token="</s>")  # every text ends in the token that padding repeats
    tokens = load_tokenizer(spec_of(folder).model)
    encoded = encode(tokens, [Text("w1 w2"), Text("w3 w4 w5 w6 w7")], 32)
    assert tokens.pad_id == encoded.tokens[0][-1] == 2
    classifier = classifier_of(folder, tuning="head")
    z = classifier(*collate(encoded.tokens, [0, 1], tokens.pad_id, CPU))
    reference = AutoModel.from_pretrained(folder).eval()
    for i, ids in enumerate(encoded.tokens):
        state = reference(input_ids=torch.tensor([ids])).last_hidden_state[0, -1]  # the end token's own state
        torch.testing.assert_close(z[i], (classifier.head[1] - classifier.head[0]) @ state, rtol=1e-5, atol=1e-5)


def sentence_encoder(folder, modes, modules=("Transformer", "Pooling"), pooling="1_Pooling"):
    """Make a model's folder one of sentence-transformers. `modules` None: without a list of them, as in old ones."""
    (folder / pooling).mkdir()
    (folder / pooling / "config.json").write_text(json.dumps(modes))
    if modules is not None:
        paths = {"Transformer": "", "Pooling": pooling}
        told = [
            {
                "idx": i,
                "name": str(i),
                "path": paths.get(kind, f"{i}_{kind}"),
                "type": f"sentence_transformers.models.{kind}",
            }
            for i, kind in enumerate(modules)
        ]
        (folder / "modules.json").write_text(json.dumps(told))
    return folder


@pytest.fixture
def encoder(checkpoint, tmp_path):
    """A copy of an encoder that a test may change."""
    return shutil.copytree(checkpoint("bert"), tmp_path / "encoder")


OLD = dict.fromkeys((f"pooling_mode_{mode}" for mode in ("cls_token", "max_tokens", "mean_tokens", "lasttoken")), False)


@pytest.mark.slow
@pytest.mark.parametrize("modules", [None, ("Transformer", "Pooling"), ("Transformer", "Pooling", "Normalize")])
@pytest.mark.parametrize(
    ("modes", "pooling"),
    [
        ({**OLD, "pooling_mode_mean_tokens": True}, "mean"),
        ({**OLD, "pooling_mode_cls_token": True}, "first"),
        ({"pooling_mode_lasttoken": True}, "last"),
        ({"embedding_dimension": 16, "pooling_mode": "cls", "include_prompt": True}, "first"),
        ({"pooling_mode": "mean"}, "mean"),
        ({"pooling_mode": ["lasttoken"]}, "last"),
    ],
)
def test_a_sentence_encoder_says_how_it_pools(modes, pooling, modules, encoder):
    sentence_encoder(encoder, modes, modules)
    resolved = resolve(ModelSettings(model=str(encoder), learning_rate=1e-3), "float32")
    assert resolved.spec.pooling == pooling
    assert resolved.notes == ()
    assert spec_of(encoder, pooling="own").pooling == "own"


@pytest.mark.parametrize(
    ("modes", "told"),
    [
        ({**OLD, "pooling_mode_max_tokens": True}, "max_tokens"),
        ({**OLD, "pooling_mode_mean_sqrt_len_tokens": True}, "mean_sqrt_len_tokens"),
        ({**OLD, "pooling_mode_cls_token": True, "pooling_mode_mean_tokens": True}, "cls_token and mean_tokens"),
        ({"pooling_mode": "max"}, "max"),
        ({"pooling_mode": "weightedmean"}, "weightedmean"),
        ({"pooling_mode": ["cls", "mean"]}, "cls and mean"),
        ({"pooling_mode": {"cls": True}}, "cls"),
        (OLD, "does not name"),
        ({}, "does not name"),
    ],
)
def test_a_pooling_that_is_not_had_is_refused_until_one_is_chosen(modes, told, encoder):
    sentence_encoder(encoder, modes)
    with pytest.raises(ModelError, match=f"pools by .*{told}.*choose with pooling: last, first, mean or own"):
        spec_of(encoder)
    assert spec_of(encoder, pooling="mean").pooling == "mean"


def test_the_pooling_lies_where_the_modules_say(encoder):
    sentence_encoder(encoder, {"pooling_mode": "cls"}, pooling="own")
    (encoder / "1_Pooling").mkdir()
    (encoder / "1_Pooling" / "config.json").write_text(json.dumps({"pooling_mode": "mean"}))
    assert spec_of(encoder).pooling == "first"


@pytest.mark.parametrize(
    "modules",
    [
        ("WordEmbeddings", "Pooling"),
        ("Transformer", "LSTM", "Pooling"),
        ("Transformer", "WeightedLayerPooling", "Pooling"),
        ("Transformer", "SpladePooling"),
        ("Transformer", "Pooling", "Pooling"),
        ("Router",),
        (),
    ],
)
def test_states_that_are_not_the_transformers_own_are_not_pooled_in_silence(modules, encoder):
    sentence_encoder(encoder, {"pooling_mode": "mean"}, modules)
    with pytest.raises(ModelError, match=r"reads its texts through .*modules\.json.*choose with pooling"):
        spec_of(encoder)
    assert spec_of(encoder, pooling="mean").pooling == "mean"


def test_what_follows_the_pooling_is_left_out_with_a_note(encoder):
    sentence_encoder(encoder, {"pooling_mode": "mean"}, ("Transformer", "Pooling", "Dense", "Normalize"))
    resolved = resolve(ModelSettings(model=str(encoder), learning_rate=1e-3), "float32")
    assert resolved.spec.pooling == "mean"
    assert resolved.notes == (f"{encoder}: Dense behind its pooling is left out; the head reads the pooled states",)


def test_modules_without_a_pooling_leave_it_to_the_architecture(encoder):
    sentence_encoder(encoder, {"pooling_mode": "cls"}, ("Transformer",))
    assert spec_of(encoder).pooling == "own"


@pytest.mark.parametrize("text", ["{", "{}", "[5]", "[{}]", '[{"type": "a.Transformer"}]', "[" * 50_000])
def test_modules_that_are_none_are_refused(text, encoder):
    sentence_encoder(encoder, {"pooling_mode": "cls"})
    (encoder / "modules.json").write_text(text)
    with pytest.raises(ModelError, match=r"modules\.json"):
        spec_of(encoder)


def test_a_pooling_without_a_folder_of_its_own_is_refused(encoder):
    sentence_encoder(encoder, {"pooling_mode": "cls"})
    modules = json.loads((encoder / "modules.json").read_text())
    for path, told in (("", "does not name"), ("nowhere", "lacks the settings of its pooling")):
        modules[1]["path"] = path
        (encoder / "modules.json").write_text(json.dumps(modules))
        with pytest.raises(ModelError, match=told):
            spec_of(encoder)


@pytest.mark.parametrize("path", ["../elsewhere", "/elsewhere", "a/../../elsewhere"])
def test_modules_do_not_lead_out_of_the_folder(path, encoder):
    sentence_encoder(encoder, {"pooling_mode": "cls"})
    modules = json.loads((encoder / "modules.json").read_text())
    modules[1]["path"] = path
    (encoder / "modules.json").write_text(json.dumps(modules))
    with pytest.raises(ModelError, match="names the folder"):
        spec_of(encoder)


def test_a_decoder_whose_encoder_reads_the_first_token_is_refused(checkpoint, tmp_path):
    folder = sentence_encoder(shutil.copytree(checkpoint("llama"), tmp_path / "model"), {"pooling_mode": "cls"})
    with pytest.raises(SettingsError, match="its first token sees nothing of the text"):
        spec_of(folder)


def test_a_bert_that_was_made_a_decoder_pools_its_last_token(tmp_path):
    assert spec_of(write_checkpoint(tmp_path / "decoder", "bert", is_decoder=True)).pooling == "last"


@pytest.mark.parametrize("pooling", ["first", "own"])
def test_the_first_token_of_a_decoder_is_refused(pooling, checkpoint):
    with pytest.raises(SettingsError, match="is a decoder: its first token sees nothing of the text"):
        spec_of(checkpoint("llama"), pooling=pooling)


@pytest.mark.parametrize("kind", [None, "", "unheard_of"])
def test_a_config_that_names_no_type_is_no_decoder(kind):
    assert is_causal({"model_type": kind}) is False
