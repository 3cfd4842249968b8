"""Hidden states read by layer, against what transformers itself gives."""

from __future__ import annotations

import pytest
import torch

from outshine.engine.errors import ModelError
from outshine.learn.activations import LayerReader
from outshine.learn.batches import collate
from outshine.learn.classifier import pool
from outshine.learn.load import load_backbone
from outshine.learn.model_cache import classifier, pretrained
from tiny_checkpoints import ARCHITECTURES, CPU, num_layers, spec_of, token_rows

LENGTHS = [3, 9, 5, 7]


def batch():
    return collate(token_rows(LENGTHS), range(4), 0, CPU)


@pytest.mark.slow
@pytest.mark.parametrize("kind", ARCHITECTURES)
def test_layers_are_transformers_hidden_states(kind, checkpoint):
    spec = spec_of(checkpoint(kind))
    backbone = load_backbone(spec, CPU)
    whole = num_layers(kind)
    ids, mask = batch()
    with torch.inference_mode():
        expected = backbone(input_ids=ids, attention_mask=mask, output_hidden_states=True).hidden_states
    found = LayerReader(backbone, whole, range(whole), spec.pooling)(ids, mask)
    assert sorted(found) == list(range(whole))  # the last is after the final norm in transformers
    for layer, states in found.items():
        pooled = pool(expected[layer], mask, "first" if spec.pooling == "own" else spec.pooling)
        torch.testing.assert_close(states, pooled, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("pooling", ["last", "first", "mean"])
def test_the_last_layer_is_what_the_final_norm_reads(pooling, checkpoint):
    backbone = load_backbone(spec_of(checkpoint("llama")), CPU)
    ids, mask = batch()
    seen = []
    handle = backbone.norm.register_forward_pre_hook(lambda _, args: seen.append(args[0]))
    with torch.inference_mode():
        backbone(input_ids=ids, attention_mask=mask)
    handle.remove()
    found = LayerReader(backbone, 3, [3], pooling)(ids, mask)[3]
    torch.testing.assert_close(found, pool(seen[0], mask, pooling))


@pytest.mark.parametrize(("layers", "blocks_run"), [([0], 0), ([1], 1), ([2, 1], 2), ([0, 3], 3)])
def test_the_pass_ends_after_the_deepest_layer(layers, blocks_run, checkpoint):
    backbone = load_backbone(spec_of(checkpoint("gpt2")), CPU)
    reader, ran = LayerReader(backbone, 3, layers, "last"), []
    for number, block in enumerate(backbone.h):
        block.attn.register_forward_hook(lambda *_, number=number: ran.append(number))
    found = reader(*batch())
    assert sorted(found) == sorted(layers)
    assert ran == list(range(blocks_run))


@pytest.mark.parametrize("kind", ["llama", "bert"])
def test_padding_and_company_change_nothing(kind, checkpoint):
    spec = spec_of(checkpoint(kind))
    reader = LayerReader(load_backbone(spec, CPU), 3, [2], spec.pooling)
    together = reader(*batch())[2]
    for row, tokens in enumerate(token_rows(LENGTHS)):
        alone = reader(*collate([tokens], [0], 0, CPU))[2]
        torch.testing.assert_close(together[row : row + 1], alone, rtol=1e-5, atol=1e-6)


def test_no_hook_stays(checkpoint):
    backbone = load_backbone(spec_of(checkpoint("llama")), CPU)
    backbone(input_ids=batch()[0], output_hidden_states=True)  # transformers' own hooks stay
    before = [(len(block._forward_hooks), len(block._forward_pre_hooks)) for block in backbone.layers]
    reader = LayerReader(backbone, 3, [0, 1], "last")
    reader(*batch())
    assert [(len(block._forward_hooks), len(block._forward_pre_hooks)) for block in backbone.layers] == before
    with torch.inference_mode():
        assert torch.isfinite(backbone(input_ids=batch()[0]).last_hidden_state).all()


def test_the_pretrained_model_is_shared_with_students_and_has_no_adapters(checkpoint):
    memory = {}
    spec = spec_of(checkpoint("llama"))
    ids, mask = batch()
    with pretrained(spec, CPU, memory) as backbone:
        before = LayerReader(backbone, 3, [2], "last")(ids, mask)[2]
    with classifier(spec, 0, CPU, memory) as model:
        assert model.backbone is backbone
        model(ids, mask).sum().backward()
        torch.optim.SGD(model.trainable().values(), lr=10.0).step()
    with pretrained(spec, CPU, memory) as again:
        assert again is backbone
        assert torch.equal(LayerReader(again, 3, [2], "last")(ids, mask)[2], before)
        assert not any(parameter.requires_grad for parameter in again.parameters())


def test_blocks_that_are_not_run_are_told(checkpoint):
    backbone = load_backbone(spec_of(checkpoint("llama")), CPU)
    reader = LayerReader(backbone, 3, [1], "last")
    backbone.forward = lambda **_: None
    with pytest.raises(ModelError, match="were not run"):
        reader(*batch())
