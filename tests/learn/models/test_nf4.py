"""A base in four bits: NormalFloat as the paper defines it, and adapters that train on it as on its dense values."""

import pytest
import torch
from torch import nn
from torch.nn import functional
from transformers import AutoModel
from transformers.pytorch_utils import Conv1D

pytest.importorskip("bitsandbytes", reason="a base in four bits needs the extra outshine[4bit]")

from outshine.engine.errors import SettingsError
from outshine.learn.batches import collate, recomputed
from outshine.learn.blocks import block_linears
from outshine.learn.classifier import Classifier, Cohort
from outshine.learn.load import load_backbone
from outshine.learn.lora import LoRALinear
from outshine.learn.model_cache import classifier, cohort, pretrained
from outshine.learn.nf4 import BLOCK, NF4Linear, check_nf4
from outshine.learn.resolve import resolve
from outshine.learn.saved_models import save_classifier
from outshine.learn.spec import LoRA, ModelSettings
from tiny_checkpoints import ARCHITECTURES, CPU, classifier_of, each, gradients, spec_of, stir, token_rows

KINDS = sorted(ARCHITECTURES)
NF4 = {"kind": "lora", "base": "nf4"}
BATCH = collate(token_rows([9, 5, 12, 1]), [0, 1, 2, 3], 0, CPU)

# the sixteen values, arXiv:2305.14314, appendix E
# fmt: off
LEVELS = torch.tensor([
    -1.0, -0.6961928009986877, -0.5250730514526367, -0.39491748809814453, -0.28444138169288635, -0.18477343022823334,
    -0.09105003625154495, 0.0, 0.07958029955625534, 0.16093020141124725, 0.24611230194568634, 0.33791524171829224,
    0.44070982933044434, 0.5626170039176941, 0.7229568362236023, 1.0,
])
# fmt: on


def layer_of(rows: int, columns: int, dtype=torch.float32, bias=True) -> tuple[nn.Linear, NF4Linear]:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(rows)
        dense = nn.Linear(columns, rows, bias=bias, dtype=dtype)
        nn.init.normal_(dense.weight)
    return dense, NF4Linear(dense, CPU)


# rows that are whole numbers of blocks, rows that are not, blocks that are not full
@pytest.mark.parametrize(("rows", "columns"), [(4, 64), (24, 16), (16, 24), (128, 96), (3, 10), (300, 128)])
def test_weights_are_the_nearest_of_sixteen_values_times_the_largest_of_their_block(rows, columns):
    dense, small = layer_of(rows, columns)
    flat = dense.weight.detach().flatten()
    blocks = functional.pad(flat, (0, -len(flat) % BLOCK)).view(-1, BLOCK)
    largest = blocks.abs().amax(1, keepdim=True)
    nearest = LEVELS[(blocks / largest).unsqueeze(-1).sub(LEVELS).abs().argmin(-1)]
    expected = (nearest * largest).flatten()[: len(flat)].view(rows, columns)
    # the constants are rounded to 8 bits: by less than 1 in 60 of their spread
    rounding = (largest - largest.mean()).abs().max().item() / 60
    torch.testing.assert_close(small.dense_weight(), expected, rtol=0, atol=rounding + 1e-6)
    assert (small.dense_weight() - dense.weight).abs().max() > 0.05
    assert small.packed.nbytes == -(-len(flat) // 2)


def test_a_weight_takes_a_little_more_than_four_bits():
    dense, small = layer_of(512, 512)
    constants, again = small._constants, small._constants.state2
    kept = small.packed.nbytes + constants.absmax.nbytes + again.absmax.nbytes
    assert 8 * kept / dense.weight.numel() == pytest.approx(4 + 8 / 64 + 32 / (64 * 256), abs=1e-9)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("bias", [True, False])
def test_it_is_the_dense_product_and_gradient_and_keeps_nothing(bias, dtype):
    dense, small = layer_of(24, 40, dtype, bias)
    with torch.no_grad():
        dense.weight.copy_(small.dense_weight())
    x = torch.randn(2, 5, 40, dtype=dtype, requires_grad=True)
    saved = []
    with torch.no_grad():
        small(x)  # after which bitsandbytes' own layer would give no gradient here
    with torch.autograd.graph.saved_tensors_hooks(saved.append, lambda tensor: tensor):
        y = small(x)
    assert saved == []
    assert torch.equal(y, dense(x))
    (ours,) = torch.autograd.grad(y.square().sum(), x)
    (expected,) = torch.autograd.grad(dense(x).square().sum(), x)
    assert torch.equal(ours, expected)


def test_gpt2s_transposed_weights_are_turned():
    conv = Conv1D(24, 16)  # from 16 to 24
    nn.init.normal_(conv.bias)
    small = NF4Linear(conv, CPU)
    turned = nn.Linear(16, 24)
    turned.load_state_dict({"weight": conv.weight.T, "bias": conv.bias})
    x = torch.randn(3, 16)
    assert torch.equal(small(x), NF4Linear(turned, CPU)(x))
    assert LoRALinear(small, LoRA(), 0).lora_A.shape == (8, 16)


def dense_twin(folder, dtype="float32") -> Classifier:
    """The classifier on a dense base that has the values of the one in four bits; `classifier_of` with NF4 otherwise."""
    spec = spec_of(folder, dtype)
    backbone, small = load_backbone(spec, CPU), load_backbone(spec_of(folder, dtype, tuning=NF4), CPU)
    for path, module in block_linears(small, spec.num_layers):
        weight = backbone.get_submodule(path).weight
        with torch.no_grad():
            weight.copy_(module.dense_weight().T if module.transposed else module.dense_weight())
    return stir(Classifier(backbone, spec, 0))


@pytest.mark.parametrize("model", ["tiny/weak", "tiny/strong"])
def test_log_odds_of_a_trained_model_are_close_to_the_dense_ones_and_not_equal(model):
    rows = token_rows([int(n) for n in torch.randint(3, 20, (40,), generator=torch.Generator().manual_seed(0))])
    found, expected = [], []
    for into, tuning in ((found, NF4), (expected, "lora")):
        spec = resolve(ModelSettings(model=model, tuning=tuning), "float32").spec
        built = Classifier(load_backbone(spec, CPU), spec, 0)  # B is zero: the pretrained model and a head
        with torch.no_grad():
            into.append(built(*collate(rows, range(40), 0, CPU)))
    difference = (found[0] - expected[0]).square().mean().sqrt() / expected[0].std()
    assert 0.01 < difference < 0.3


@pytest.mark.slow
@pytest.mark.parametrize("kind", each(KINDS))
def test_every_linear_layer_of_the_blocks_is_kept_in_four_bits(kind, checkpoint):
    small, dense = (classifier_of(checkpoint(kind), tuning=tuning) for tuning in (NF4, "lora"))
    assert all(isinstance(layer.base, NF4Linear) for layer in small.modules() if isinstance(layer, LoRALinear))
    assert not any(isinstance(module, NF4Linear) for module in dense.modules())
    assert not torch.equal(small(*BATCH), dense(*BATCH))


@pytest.mark.slow
@pytest.mark.parametrize("kind", each(KINDS))
def test_adapters_get_the_gradient_of_a_dense_model_with_the_same_values(kind, checkpoint):
    small, twin = classifier_of(checkpoint(kind), tuning=NF4), dense_twin(checkpoint(kind))
    found = []
    for model in (small, twin):
        z = model(*BATCH)
        z.square().sum().backward()
        found.append(gradients(model)[0] | {"log-odds": z.detach()})
    assert found[0].keys() == found[1].keys()
    for name, gradient in found[0].items():
        assert torch.equal(gradient, found[1][name]), name


@pytest.mark.slow
@pytest.mark.parametrize("kind", each(KINDS))
def test_adapters_and_head_are_trained_and_nothing_else(kind, checkpoint):
    small, dense = (classifier_of(checkpoint(kind), tuning=tuning) for tuning in (NF4, "lora"))
    assert [(n, p.shape) for n, p in small.trainable().items()] == [(n, p.shape) for n, p in dense.trainable().items()]
    before = {name: parameter.detach().clone() for name, parameter in small.named_parameters()}
    small(*BATCH).square().sum().backward()
    torch.optim.SGD(small.leaves(), lr=0.1).step()
    changed = {name for name, parameter in small.named_parameters() if not torch.equal(parameter, before[name])}
    assert changed == set(small.trainable())
    assert {p.dtype for p in small.trainable().values()} == {torch.float32}


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["bert", "gpt2", "llama"])
def test_it_computes_in_bfloat16(kind, checkpoint):
    small, twin = classifier_of(checkpoint(kind), "bfloat16", tuning=NF4), dense_twin(checkpoint(kind), "bfloat16")
    assert torch.equal(small(*BATCH), twin(*BATCH))


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["bert", "gpt2", "llama"])
def test_members_of_a_cohort_are_what_they_are_alone(kind, checkpoint):
    spec = spec_of(checkpoint(kind), tuning=NF4)
    members = Cohort(load_backbone(spec, CPU), spec, [0, 1])
    assert members.separates()
    for seed in (0, 1):
        with members.alone(seed) as member:
            stir(member, seed)
    members.log_odds(*BATCH).square().sum().backward()
    found = gradients(members)
    for seed in (0, 1):
        alone = stir(Classifier(load_backbone(spec, CPU), spec, seed), seed)
        z = alone(*BATCH)
        z.square().sum().backward()
        torch.testing.assert_close(members.log_odds(*BATCH)[seed], z, rtol=1e-5, atol=1e-5)
        for name, expected in gradients(alone)[0].items():
            torch.testing.assert_close(found[seed][name], expected, rtol=1e-3, atol=1e-4 * expected.abs().max().item())


@pytest.mark.parametrize("kind", ["gpt2", "llama"])
def test_blocks_that_are_run_again_give_the_same_gradient(kind, checkpoint):
    found = []
    for again in (False, True):
        small = classifier_of(checkpoint(kind), tuning=NF4)
        with recomputed(small.blocks() if again else ()):
            small(*BATCH).square().sum().backward()
        found.append(gradients(small)[0])
    assert all(torch.equal(found[0][name], found[1][name]) for name in found[0])


def test_a_base_in_four_bits_is_kept_between_stages_and_is_no_dense_one(checkpoint):
    memory = {}
    small, dense = (spec_of(checkpoint("llama"), tuning=tuning) for tuning in (NF4, "lora"))
    with classifier(small, 0, CPU, memory) as model:
        first = model.backbone
        model(*BATCH).sum().backward()
    with classifier(small, 1, CPU, memory) as model:
        assert model.backbone is first
    with cohort(small, [0, 1], CPU, memory) as members:
        assert members.backbone is first
    assert all(isinstance(module, NF4Linear) for _, module in block_linears(first, small.num_layers))
    with classifier(dense, 0, CPU, memory) as model:
        assert model.backbone is not first
    with pretrained(spec_of(checkpoint("llama"), tuning="head"), CPU, memory) as base:  # as activations are read
        assert not any(isinstance(module, NF4Linear) for module in base.modules())


@pytest.mark.filterwarnings("ignore:`is_gradient_checkpointing`:FutureWarning")  # PEFT's use of transformers
@pytest.mark.parametrize("kind", ["bert", "gpt2", "llama"])
def test_the_adapter_loads_in_peft(kind, checkpoint, tmp_path):
    from peft import PeftModel

    small = classifier_of(checkpoint(kind), pooling="mean", tuning=NF4)
    save_classifier(small, tmp_path)
    base = AutoModel.from_pretrained(checkpoint(kind))
    twin = dense_twin(checkpoint(kind))
    twin.release()
    base.load_state_dict(twin.backbone.state_dict())
    loaded = PeftModel.from_pretrained(base, str(tmp_path / "adapter")).eval()
    ids, mask = BATCH
    ours = small.backbone(input_ids=ids, attention_mask=mask).last_hidden_state
    theirs = loaded(input_ids=ids, attention_mask=mask).last_hidden_state
    torch.testing.assert_close(theirs[mask.bool()], ours[mask.bool()], rtol=1e-4, atol=1e-4)


def test_layers_outside_the_blocks_stay_dense(checkpoint):
    opt = load_backbone(spec_of(checkpoint("opt"), tuning=NF4), CPU)
    assert type(opt.get_submodule("decoder.project_out")) is nn.Linear
    assert len(block_linears(opt, 3)) == 3 * 6


def test_a_format_that_bitsandbytes_does_not_know_is_refused(checkpoint):
    with pytest.raises(SettingsError, match=r"tuning.base: nf4 .* in float64 says: .*; use base: dense"):
        load_backbone(spec_of(checkpoint("bert"), "float64", tuning=NF4), CPU)
    check_nf4(CPU, torch.float32)
    check_nf4(CPU, torch.bfloat16)


def test_adapters_come_off_and_leave_the_layer_in_four_bits_where_it_was(checkpoint):
    spec = spec_of(checkpoint("bert"), tuning=NF4)
    model = Classifier(load_backbone(spec, CPU), spec, 0)
    path, layer = block_linears(model.backbone, spec.num_layers)[0]
    assert path.endswith(".base")
    assert dict(block_linears(model.release(), spec.num_layers))[path.removesuffix(".base")] is layer
