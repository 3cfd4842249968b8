"""The adapters: equation 3 of arXiv:2106.09685, their start, their removal, and the same numbers in PEFT."""

import copy
import math

import pytest
import torch
from torch import nn
from transformers import AutoModel
from transformers.pytorch_utils import Conv1D

from outshine.engine.errors import ModelError
from outshine.learn.batches import collate, recomputed
from outshine.learn.blocks import find_blocks
from outshine.learn.classifier import Classifier, Cohort
from outshine.learn.load import load_backbone
from outshine.learn.lora import LoRALinear, adapters, remove_lora, save_peft
from outshine.learn.spec import LoRA
from tiny_checkpoints import CPU, classifier_of, gradients, spec_of, stir, token_rows, unflatten

BATCH = collate(token_rows([9, 5, 12, 1]), [0, 1, 2, 3], 0, CPU)


@pytest.mark.parametrize("layer", [nn.Linear(5, 3), nn.Linear(5, 3, bias=False), Conv1D(3, 5)])
def test_adds_the_scaled_low_rank_update(layer):
    wrapped = LoRALinear(layer, LoRA(rank=2, alpha=6), seed=0)
    x = torch.randn(4, 7, 5)
    assert torch.equal(wrapped(x), layer(x))  # B is zero: nothing has changed yet
    with torch.no_grad():
        wrapped.lora_B.normal_()
    weight = layer.weight.T if isinstance(layer, Conv1D) else layer.weight  # Conv1D stores [in, out]
    merged = weight + (6 / 2) * wrapped.lora_B @ wrapped.lora_A
    bias = 0 if layer.bias is None else layer.bias
    torch.testing.assert_close(wrapped(x), x @ merged.T + bias)


def test_adapters_start_as_peft_does_from_a_stream_of_their_own():
    layer = nn.Linear(64, 8)
    start = LoRALinear(layer, LoRA(rank=16), seed=3).lora_A
    assert start.abs().max() <= 1 / math.sqrt(64)  # kaiming_uniform with a = sqrt(5)
    assert start.std().item() == pytest.approx(1 / math.sqrt(3 * 64), rel=0.1)
    assert torch.equal(start, LoRALinear(layer, LoRA(rank=16), seed=3).lora_A)
    assert not torch.equal(start, LoRALinear(layer, LoRA(rank=16), seed=4).lora_A)


def test_no_two_layers_or_seeds_share_a_start(checkpoint):
    spec = spec_of(checkpoint("llama"))
    first, again, other = (Classifier(load_backbone(spec, CPU), spec, seed) for seed in (0, 0, 1))
    starts = [layer.lora_A for model in (first, other) for _, layer in adapters(model.backbone)]
    starts = [start for start in starts if start.shape == starts[0].shape]
    assert len({tuple(start.flatten().tolist()) for start in starts}) == len(starts) > 20
    assert all(torch.equal(p, again.trainable()[name]) for name, p in first.trainable().items())
    assert not torch.equal(first.head, other.head)


def test_a_cut_model_starts_with_the_same_adapters_as_the_whole(checkpoint):
    whole, cut = (spec_of(checkpoint("bert"), num_layers=n) for n in (3, 1))
    starts = [Classifier(load_backbone(spec, CPU), spec, 0).trainable() for spec in (whole, cut)]
    assert set(starts[1]) < set(starts[0])
    assert all(torch.equal(start, starts[0][name]) for name, start in starts[1].items())


def test_first_predictions_are_close_to_one_half(checkpoint):
    spec = spec_of(checkpoint("gpt2"))
    classifier = Classifier(load_backbone(spec, CPU), spec, 0)
    assert classifier.head.shape == (2, 16)
    assert classifier.head.dtype == torch.float32
    assert classifier.head.abs().max() <= 0.01 / math.sqrt(16)


@pytest.mark.parametrize("kind", ["bert", "gpt2", "llama"])
def test_taking_the_adapters_out_leaves_the_backbone_as_it_was(kind, checkpoint):
    classifier = classifier_of(checkpoint(kind))
    remove_lora(classifier.backbone)
    untouched = load_backbone(spec_of(checkpoint(kind)), CPU)
    found, expected = classifier.backbone.state_dict(), untouched.state_dict()
    assert list(found) == list(expected)
    assert all(torch.equal(found[name], expected[name]) for name in expected)
    assert str(classifier.backbone) == str(untouched)


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["bert", "gpt2", "llama", "opt"])
@pytest.mark.parametrize("cut", [None, 2])
@pytest.mark.filterwarnings("ignore:`is_gradient_checkpointing`:FutureWarning")  # PEFT's use of transformers
def test_peft_loads_the_adapter_and_computes_the_same(kind, cut, checkpoint, tmp_path):
    from peft import PeftModel

    settings = LoRA(rank=3, alpha=5)
    classifier = classifier_of(checkpoint(kind), num_layers=cut, tuning=settings.model_dump())
    save_peft(classifier.backbone, settings, str(checkpoint(kind)), tmp_path)
    base = AutoModel.from_pretrained(checkpoint(kind))
    if cut is not None:
        base = load_backbone(spec_of(checkpoint(kind), num_layers=cut), CPU)
    loaded = PeftModel.from_pretrained(base, str(tmp_path)).eval()
    ids, mask = collate(token_rows([9, 4]), [0, 1], 0, CPU)
    with torch.no_grad():
        ours = classifier.backbone(input_ids=ids, attention_mask=mask).last_hidden_state
        theirs = loaded(input_ids=ids, attention_mask=mask).last_hidden_state
        plain = load_backbone(spec_of(checkpoint(kind), num_layers=cut), CPU).eval()
        without = plain(input_ids=ids, attention_mask=mask).last_hidden_state
    real = mask.bool()
    torch.testing.assert_close(theirs[real], ours[real], rtol=1e-5, atol=1e-5)
    assert (without - ours)[real].abs().max() > 0.1
    weights = {name for name, _ in loaded.named_parameters() if "lora_" in name}
    assert len(weights) == 2 * len(list(adapters(classifier.backbone)))


def test_adapters_of_a_bf16_base_are_float32(checkpoint):
    classifier = classifier_of(checkpoint("llama"), "bfloat16")
    assert {p.dtype for p in classifier.trainable().values()} == {torch.float32}
    frozen = [p for p in classifier.parameters() if not p.requires_grad]
    assert {p.dtype for p in frozen} == {torch.bfloat16}
    z = classifier(*collate(token_rows([5]), [0], 0, CPU))
    assert z.dtype == torch.float32
    exact = classifier_of(checkpoint("llama"), "float64")(*collate(token_rows([5]), [0], 0, CPU))
    assert z.item() == pytest.approx(exact.item(), rel=0.1)


def test_blocks_that_share_their_weights_are_refused(tmp_path):
    from transformers import AlbertConfig, AlbertModel

    config = AlbertConfig(
        vocab_size=48,
        hidden_size=16,
        embedding_size=8,
        num_hidden_layers=3,
        num_attention_heads=2,
        intermediate_size=24,
        pad_token_id=0,
        bos_token_id=1,
        eos_token_id=2,
    )
    with torch.random.fork_rng(devices=[]):
        AlbertModel(config).save_pretrained(tmp_path)
    with pytest.raises(ModelError, match="no list of 3 blocks found in AlbertModel"):
        load_backbone(spec_of(tmp_path), CPU)


def test_with_as_many_experts_as_blocks_the_blocks_are_found():
    class Block(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.experts = nn.ModuleList(nn.Linear(2, 2) for _ in range(2))

    model = nn.ModuleDict({"layers": nn.ModuleList(Block() for _ in range(2))})
    assert find_blocks(model, 2)[0] == "layers"


@pytest.mark.parametrize("again", [False, True])
@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
@pytest.mark.parametrize("kind", ["bert", "gpt2", "llama"])
def test_adapters_in_two_tensors_compute_what_those_in_tensors_of_their_own_do(kind, dtype, again, checkpoint):
    flat, apart = (stir(classifier_of(checkpoint(kind), dtype)) for _ in range(2))
    unflatten(apart)
    assert len(flat.leaves()) == 3 < len(apart.leaves()) == len(flat.trainable())
    found = []
    for model in (flat, apart):
        with recomputed(model.blocks() if again else ()):
            z = model(*BATCH)
            z.square().sum().backward()
        found.append(gradients(model)[0] | {"z": z.detach()})
    assert all(torch.equal(found[0][name], found[1][name]) for name in found[1])


def test_a_step_on_the_rows_of_flat_adapters_is_a_step_on_every_layer(checkpoint):
    spec = spec_of(checkpoint("llama"))
    cohort = Cohort(load_backbone(spec, CPU), spec, [0, 1])
    before = [{name: weight.detach().clone() for name, weight in member.items()} for member in cohort.members()]
    cohort.log_odds(*BATCH).square().sum().backward()
    assert cohort.flat is not None
    cohort.flat.share_gradients()
    torch.optim.SGD(cohort.optimized()[1].values(), lr=0.1).step()
    steps = gradients(cohort)[1]
    for name, weight in cohort.members()[1].items():
        torch.testing.assert_close(weight.detach(), before[1][name] - 0.1 * steps[name])
    assert all(torch.equal(weight, before[0][name]) for name, weight in cohort.members()[0].items())
    assert any(steps[name].any() for name in steps)


def test_a_copied_model_reads_its_own_adapters(checkpoint):
    model = classifier_of(checkpoint("llama"))
    copied = copy.deepcopy(model)
    stir(copied, 5)
    assert copied.flat is None
    assert not torch.equal(copied(*BATCH), model(*BATCH))
