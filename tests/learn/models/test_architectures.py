"""Every architecture: which weights are trained, what a cut model computes, and that padding does not matter."""

import pytest
import torch
from torch import nn
from transformers import AutoModel
from transformers.pytorch_utils import Conv1D

from outshine.learn.batches import collate
from outshine.learn.load import load_backbone
from tiny_checkpoints import ARCHITECTURES, CPU, classifier_of, num_layers, spec_of, token_rows

KINDS = sorted(ARCHITECTURES)
RANK = 2


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
def test_resolves_to_the_whole_model_with_its_own_pooling_and_limit(kind, checkpoint):
    spec = spec_of(checkpoint(kind))
    architecture = ARCHITECTURES[kind]
    assert (spec.num_layers, spec.pooling, spec.max_length) == (num_layers(kind), architecture.pooling, 32)


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
def test_adapters_sit_on_every_linear_of_the_blocks_and_nowhere_else(kind, checkpoint):
    architecture = ARCHITECTURES[kind]
    untouched = load_backbone(spec_of(checkpoint(kind)), CPU)
    classifier = classifier_of(checkpoint(kind), tuning={"kind": "lora", "rank": RANK})
    paths = {f"{architecture.blocks}.{i}.{name}" for i in range(num_layers(kind)) for name in architecture.linears}
    expected = {f"backbone.{path}.lora_{part}": None for path in paths for part in "AB"} | {"head": None}
    assert set(classifier.trainable()) == set(expected)
    # counted from the untouched model: r (in + out) a layer, and two rows of the width for the head
    width = 8 if kind == "opt" else 16
    count = 2 * width + sum(RANK * sum(untouched.get_submodule(path).weight.shape) for path in paths)
    assert sum(p.numel() for p in classifier.trainable().values()) == count
    prefix = f"{architecture.blocks}."
    outside = [
        name
        for name, module in untouched.named_modules()
        if isinstance(module, nn.Linear | Conv1D) and not name.startswith(prefix)
    ]
    assert ("pooler.dense" in outside) == (kind in ("bert", "roberta", "xlm-roberta", "mpnet"))
    assert ("decoder.project_out" in outside) == (kind == "opt")


@pytest.mark.parametrize("kind", KINDS)
def test_one_step_changes_all_that_is_trained_and_nothing_else(kind, checkpoint):
    classifier = classifier_of(checkpoint(kind))
    before = {name: parameter.detach().clone() for name, parameter in classifier.named_parameters()}
    ids, mask = collate(token_rows([9, 5, 12]), [0, 1, 2], 0, CPU)
    z = classifier(ids, mask)
    assert z.shape == (3,)
    assert z.dtype == torch.float32
    z.square().sum().backward()
    torch.optim.SGD(classifier.leaves(), lr=0.1).step()
    changed = {name for name, parameter in classifier.named_parameters() if not torch.equal(parameter, before[name])}
    assert changed == set(classifier.trainable())


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("kept", [1, 2])
def test_a_cut_model_is_the_first_blocks_of_the_whole(kind, kept, checkpoint):
    cut = load_backbone(spec_of(checkpoint(kind), num_layers=kept), CPU).eval()
    whole = AutoModel.from_pretrained(checkpoint(kind)).eval()
    ids, mask = collate(token_rows([9, 9]), [0, 1], 0, CPU)
    blocks = cut.get_submodule(ARCHITECTURES[kind].blocks)
    assert len(blocks) == kept
    states = []
    blocks[-1].register_forward_hook(lambda module, args, output: states.append(output))
    with torch.no_grad():
        cut(input_ids=ids, attention_mask=mask)
        expected = whole(input_ids=ids, attention_mask=mask, output_hidden_states=True).hidden_states[kept]
    state = states[0] if isinstance(states[0], torch.Tensor) else states[0][0]
    torch.testing.assert_close(state, expected, rtol=1e-5, atol=1e-5)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("kind", "pooling"),
    [
        *((kind, "auto") for kind in KINDS),
        *((kind, "mean") for kind in ("bert", "deberta-v2", "gpt2", "llama", "mistral")),
    ],
)
def test_padding_beside_a_text_does_not_change_its_log_odds(kind, pooling, checkpoint):
    classifier = classifier_of(checkpoint(kind), pooling=pooling)
    texts = token_rows([3, 1, 11, 20])
    with torch.no_grad():
        alone = torch.cat([classifier(*collate(texts, [i], 0, CPU)) for i in range(4)])
        together = classifier(*collate(texts, [2, 0, 3, 1], 0, CPU))[[1, 3, 0, 2]]
        other_filling = classifier(*collate(texts, [2, 0, 3, 1], 9, CPU))[[1, 3, 0, 2]]
    scale = alone.abs().max().item()
    assert scale > 0.1
    assert alone.std() > 0.05  # the texts differ: a constant would pass
    torch.testing.assert_close(together, alone, rtol=0, atol=3e-6 * max(1.0, scale))
    torch.testing.assert_close(other_filling, alone, rtol=0, atol=3e-6 * max(1.0, scale))


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
def test_a_text_of_the_full_length_is_taken(kind, checkpoint):
    classifier = classifier_of(checkpoint(kind))
    longest = token_rows([classifier.spec.max_length, 2])
    assert torch.isfinite(classifier(*collate(longest, [0, 1], 0, CPU))).all()


@pytest.mark.parametrize("kind", ["bert", "distilbert", "gpt2", "llama", "roberta"])
def test_of_a_sequence_classification_checkpoint_the_base_is_taken(kind, tmp_path):
    from transformers import AutoModelForSequenceClassification

    from tiny_checkpoints import write_checkpoint

    folder = write_checkpoint(tmp_path / kind, kind, "AutoModelForSequenceClassification")
    spec = spec_of(folder)
    backbone = load_backbone(spec, CPU)
    base = dict(AutoModelForSequenceClassification.from_pretrained(folder).base_model.named_parameters())
    for name, parameter in backbone.named_parameters():
        assert torch.equal(parameter, base[name]), name
    assert spec.pooling == ARCHITECTURES[kind].pooling
    if kind == "roberta":  # its classifier has no pooler: an untrained one must not be used
        assert backbone.pooler is None


def test_of_a_multimodal_checkpoint_the_language_model_is_taken(tmp_path):
    from transformers import Gemma3Config, Gemma3ForConditionalGeneration

    from tiny_checkpoints import write_tokenizer

    vision = {"hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 16}
    config = Gemma3Config(
        text_config=ARCHITECTURES["gemma3_text"].config,
        vision_config={**vision, "image_size": 28, "patch_size": 14},
        mm_tokens_per_image=4,
        image_token_index=40,
        boi_token_index=41,
        eoi_token_index=42,
    )
    with torch.random.fork_rng(devices=[]):
        whole = Gemma3ForConditionalGeneration(config)
    whole.save_pretrained(tmp_path)
    write_tokenizer(tmp_path)
    backbone = load_backbone(spec_of(tmp_path, num_layers=2), CPU)
    expected = whole.model.language_model.state_dict()
    assert {name for name in expected if "layers.2." not in name} == set(backbone.state_dict())
    for name, tensor in backbone.state_dict().items():
        assert torch.equal(tensor, expected[name]), name
