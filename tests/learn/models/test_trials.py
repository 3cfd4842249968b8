"""What is tried out on a backbone: how it uses its layers, which texts may share a batch, whose hidden states are read."""

from __future__ import annotations

import re
from types import SimpleNamespace

import architectures
import pandas as pd
import pytest
import torch
import transformers
from architectures import PAGE, examine, kinds, special_line, write_toy
from torch import Tensor, nn

from outshine.engine.errors import ModelError
from outshine.engine.progress import Silent
from outshine.learn.activations import LayerReader
from outshine.learn.batches import collate
from outshine.learn.blocks import block_lists
from outshine.learn.classifier import Classifier, Cohort
from outshine.learn.load import load_backbone
from outshine.learn.lora import adapters, add_lora, left_frozen
from outshine.learn.model_checks import adaptable, padded_batch, sharing
from outshine.learn.packing import settle_sharing, start_packing
from outshine.learn.spec import LoRA
from outshine.w2s.stages.finetune import check_backbone
from tiny_checkpoints import CPU, spec_of, token_rows

# the ordinary, and at least one for each way of being treated otherwise
LIKE_MOST = [
    "bert",
    "llama",
    "mixtral",
    *(pytest.param(one, marks=pytest.mark.exhaustive) for one in ("deberta", "falcon", "gpt2")),
]
OTHERWISE = [
    *("canine", "convbert", "fnet", "hunyuan_v1_moe", "longformer", "mamba"),
    *("nystromformer", "phimoe", "rwkv", "xlm", "xlnet"),
]
REFUSED = ["albert", "squeezebert"]


@pytest.fixture(scope="module")
def toy(tmp_path_factory):
    """From a type's name to the folder of its toy, written once."""

    def folder(kind: str):
        place = tmp_path_factory.getbasetemp() / f"toy-{kind}"
        with architectures.quiet():
            return place if place.exists() else write_toy(place, kind)

    return folder


def page() -> str:
    text = PAGE.read_text(encoding="utf-8")
    if f"transformers {transformers.__version__} " not in text:
        pytest.skip("docs/architectures.md is of another transformers")
    return text


@pytest.mark.slow
@pytest.mark.parametrize("kind", LIKE_MOST)
def test_most_architectures_are_adapted_batched_and_read_as_they_are(kind, toy):
    row = examine(kind, toy(kind))
    assert row.wrong == ()
    assert row.adapted > 0
    assert (row.frozen, row.sharing, row.probed) == ("", "any", "blocks")
    assert f"`{kind}`" in page().partition("## Otherwise")[0]


@pytest.mark.slow
@pytest.mark.parametrize("kind", OTHERWISE)
def test_the_others_are_used_in_a_way_that_holds_and_the_page_says_how(kind, toy):
    row = examine(kind, toy(kind))
    assert row.wrong == ()
    assert row.adapted > 0
    assert row.frozen or row.sharing != "any" or row.probed != "blocks"
    assert special_line(row) in page()


@pytest.mark.parametrize("kind", REFUSED)
def test_what_cannot_be_used_is_refused_when_it_is_resolved(kind, toy):
    row = examine(kind, toy(kind))
    assert row.refused
    assert f"| `{kind}` | {row.refused} |" in page()


@pytest.mark.parametrize("tuning", ["full", "head"])
def test_without_adapters_no_layer_for_them_is_asked_for(tuning, toy):
    spec = spec_of(toy("squeezebert"), tuning=tuning)
    z = Classifier(load_backbone(spec, CPU), spec, 0)(*collate(token_rows([5, 5]), [0, 1], 0, CPU))
    assert torch.isfinite(z).all()


@pytest.mark.slow
def test_the_page_has_every_text_model_of_transformers_once():
    text = page().partition("## As most")[2]
    named = re.findall(r"^\| `([\w-]+)` \|", text, re.MULTILINE)
    named += re.findall(r"`([\w-]+)`", "\n".join(line for line in text.splitlines() if line.startswith("`")))
    assert sorted(named) == kinds()


# -- layers -------------------------------------------------------------------------------------------


class Rounding(nn.Linear):
    """Multiplies by what it makes of its weight."""

    def forward(self, x: Tensor) -> Tensor:
        return nn.functional.linear(x, self.weight.sign(), self.bias)


class Router(nn.Linear):
    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        scores = super().forward(x)
        return scores, scores.argmax(-1)


class Written(nn.Linear):
    """The product, written out."""

    def forward(self, x: Tensor) -> Tensor:
        return x @ self.weight.T + self.bias


class Block(nn.Module):
    def __init__(self, shared: nn.Linear) -> None:
        super().__init__()
        self.plain, self.written, self.rounding = (kind(4, 4) for kind in (nn.Linear, Written, Rounding))
        self.router, self.read, self.unused, self.unused_rounding = (
            Router(4, 2),
            *(nn.Linear(4, 4) for _ in range(2)),
            Rounding(4, 4),
        )
        self.shared = shared
        self.read_elsewhere = nn.Linear(4, 4)

    def forward(self, x: Tensor) -> Tensor:
        x = self.written(self.plain(x)) + self.rounding(x) + self.shared(x) + self.read_elsewhere(x)
        return x + x @ self.read.weight + self.router(x)[0].sum(-1, keepdim=True)

    def fused(self, x: Tensor) -> Tensor:
        """As a kernel would compute it."""
        return x @ self.read.weight @ self.read_elsewhere.weight


class Toy(nn.Module):
    def __init__(self, num_blocks: int = 2) -> None:
        super().__init__()
        self.config = SimpleNamespace(vocab_size=9, pad_token_id=0, hidden_size=4)
        self.table = nn.Embedding(9, 4)
        shared = nn.Linear(4, 4)
        self.layers = nn.ModuleList(Block(shared) for _ in range(num_blocks))

    def forward(self, input_ids: Tensor, attention_mask: Tensor) -> Tensor:
        x = self.table(input_ids)
        for block in self.layers:
            x = block(x)
        return x


def test_only_layers_that_are_products_and_used_as_such_are_adapted():
    torch.manual_seed(0)
    model = Toy()
    before = model(torch.tensor([[1, 2, 3]]), None)
    add_lora(model, adaptable(model, 2), LoRA(), 0)
    names = {path.rpartition(".")[2] for path, _ in adapters(model)}
    assert names == {"plain", "written", "unused"}
    assert len(list(adapters(model))) == 6
    torch.testing.assert_close(model(torch.tensor([[1, 2, 3]]), None), before)
    note = left_frozen(model, 2)
    assert note.startswith("11 of 17 linear layers of the blocks have no adapters")
    assert note.endswith("layers.read, layers.read_elsewhere, layers.rounding, layers.router and 2 more")


def test_layers_are_put_back_where_the_trial_fails():
    model = Toy()
    model.table = None
    with pytest.raises(ModelError, match="Toy cannot be run on token ids and a mask: 'NoneType'"):
        adaptable(model, 2)
    assert type(model.layers[0].plain) is nn.Linear


def test_a_layer_that_rounds_its_weights_in_a_real_model_is_left_frozen(toy):
    spec = spec_of(toy("llama"))
    backbone = load_backbone(spec, CPU)
    for block in backbone.layers:
        quantised = Rounding(32, 48, bias=False)
        quantised.weight = block.mlp.up_proj.weight
        block.mlp.up_proj = quantised
    ids, mask = collate(token_rows([7]), [0], 0, CPU)
    with torch.no_grad():
        before = backbone(input_ids=ids, attention_mask=mask).last_hidden_state
        add_lora(backbone, adaptable(backbone, spec.num_layers), LoRA(), 0)
        after = backbone(input_ids=ids, attention_mask=mask).last_hidden_state
    assert "mlp.up_proj" not in "".join(path for path, _ in adapters(backbone))
    assert len(list(adapters(backbone))) == 6 * spec.num_layers
    torch.testing.assert_close(after, before)


@pytest.mark.parametrize("kind", ["xlm", "flaubert"])
def test_of_blocks_in_parallel_lists_every_linear_layer_is_adapted(kind, toy):
    spec = spec_of(toy(kind))
    backbone = load_backbone(spec, CPU)
    assert [path for path, _ in block_lists(backbone, 4)] == ["ffns", "attentions"]
    whole = [name for name, module in backbone.named_modules() if isinstance(module, nn.Linear)]
    add_lora(backbone, adaptable(backbone, 4), LoRA(), 0)
    assert sorted(path for path, _ in adapters(backbone)) == sorted(whole)
    assert len(whole) == 24


def test_projections_beside_the_blocks_are_none_of_them():
    model = Toy()
    model.projections = nn.ModuleList(nn.Linear(4, 4) for _ in range(2))
    model.norms = nn.ModuleList(nn.LayerNorm(4) for _ in range(2))
    assert [path for path, _ in block_lists(model, 2)] == ["layers"]


# -- texts of a batch ---------------------------------------------------------------------------------


def read_by(mix) -> str:
    """What is found of a model that gives each token its own state and something that `mix` makes of the batch."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        model = Toy()

    def read(ids: Tensor, mask: Tensor) -> Tensor:
        return model.table(ids)[torch.arange(len(ids)), mask.sum(1) - 1] + mix(model.table(ids), mask)

    return sharing(read, model, 8, "float32")


def test_texts_share_a_batch_as_far_as_they_change_nothing_for_each_other():
    assert read_by(lambda x, mask: (x * mask[..., None]).sum(1)) == "any"
    assert read_by(lambda x, mask: x.mean(1)) == "equal"  # padding counts
    assert read_by(lambda x, mask: x.mean((0, 1))) == "none"
    with pytest.raises(ModelError, match="Toy gives the same text other results each time"):
        read_by(lambda x, mask: torch.randn(len(x), 4))


def test_trying_out_moves_no_stream_of_random_numbers():
    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)
    with pytest.raises(ModelError):
        read_by(lambda x, mask: torch.randn(len(x), 4))
    assert torch.equal(torch.rand(3), expected)


@pytest.mark.parametrize("made", [Classifier, Cohort])
def test_texts_that_may_not_share_a_batch_are_not_packed(made, toy):
    spec = spec_of(toy("convbert"))
    model = made(load_backbone(spec, CPU), spec, [0, 1] if made is Cohort else 0)
    assert settle_sharing(model, longest=20) == "equal"
    assert not start_packing(model)
    assert model.packing is None


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["convbert", "nystromformer", "bert"])
def test_a_classifier_gives_a_text_the_same_log_odds_beside_a_longer_one(kind, toy):
    spec = spec_of(toy(kind))
    model = Classifier(load_backbone(spec, CPU), spec, 0)
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for weight in model.trainable().values():
            weight.copy_(torch.randn(weight.shape, generator=generator) * 0.2)
        texts = token_rows([4, 11, 4, 7])
        alone = torch.cat([model(*padded_batch([text], CPU)) for text in texts])
        together, padded = model(*padded_batch(texts, CPU)), model.padded(*padded_batch(texts, CPU))
    torch.testing.assert_close(together, alone, rtol=1e-4, atol=1e-5)
    assert torch.allclose(padded, alone, rtol=1e-4, atol=1e-5) == (kind == "bert")  # what would happen otherwise


@pytest.mark.slow
@pytest.mark.parametrize("made", [Classifier, Cohort])
@pytest.mark.parametrize(("kind", "expected"), [("convbert", "equal"), ("nystromformer", "equal"), ("bert", "any")])
def test_what_bfloat16_would_hide_is_seen_in_float32(kind, expected, made, toy):
    spec = spec_of(toy(kind), "bfloat16")
    backbone = load_backbone(spec, CPU)
    before = {name: weight.clone() for name, weight in backbone.state_dict().items()}
    model = made(backbone, spec, [0, 1] if made is Cohort else 0)
    assert settle_sharing(model, longest=20) == expected
    after = model.release().state_dict()
    assert {name: weight.dtype for name, weight in after.items()} == {n: w.dtype for n, w in before.items()}
    assert all(torch.equal(after[name], weight) for name, weight in before.items())


def test_a_stage_notes_what_is_treated_otherwise(toy):
    context, frame = SimpleNamespace(memory={}, progress=Silent()), pd.DataFrame({"tokens": token_rows([5, 11])})
    notes = {}
    for kind in ("bert", "convbert", "phimoe"):
        spec = spec_of(toy(kind))
        notes[kind] = check_backbone(Classifier(load_backbone(spec, CPU), spec, 0), frame, context)
    assert notes == {
        "bert": [],
        "convbert": [
            "padding beside a text changes what the model computes of it: only texts of equal length share a batch"
        ],
        "phimoe": [
            "4 of 20 linear layers of the blocks have no adapters, because the model does more with them than multiply: "
            "layers.mlp.router"
        ],
    }


# -- layers of a probe --------------------------------------------------------------------------------


@pytest.mark.parametrize("pooling", ["first", "last", "mean"])
def test_states_that_a_block_pads_to_its_window_are_those_of_the_text(pooling, toy):
    spec = spec_of(toy("longformer"))
    ids, mask = collate(token_rows([5, 11]), [0, 1], 0, CPU)
    backbone = load_backbone(spec, CPU)
    with torch.no_grad():
        told = backbone(input_ids=ids, attention_mask=mask, output_hidden_states=True).hidden_states
    found = LayerReader(backbone, 4, [0, 2], pooling)(ids, mask)
    lengths = torch.tensor([5, 11])
    for layer in (0, 2):
        expected = {
            "first": told[layer][:, 0],
            "last": told[layer][[0, 1], lengths - 1],
            "mean": torch.stack([told[layer][row, :length].mean(0) for row, length in enumerate(lengths)]),
        }[pooling]
        torch.testing.assert_close(found[layer], expected)


def test_where_there_is_no_state_for_each_token_no_layer_is_read(toy):
    spec = spec_of(toy("canine"))
    with pytest.raises(
        ModelError, match="CanineModel has not one hidden state for each token after each of its 4 blocks"
    ):
        LayerReader(load_backbone(spec, CPU), 4, [2], "mean")
