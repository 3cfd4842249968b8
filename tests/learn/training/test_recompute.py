"""Gradient checkpointing: the same gradient to the bit, fewer bytes between the passes, and prediction as it was."""

import numpy as np
import pytest
import torch
from gradients import TOKENS, cohort_of, gradient

from outshine.engine.runtime import Runtime
from outshine.learn.batches import collate, predict_together
from outshine.learn.loop import accumulate_gradient
from outshine.learn.losses import losses
from tiny_checkpoints import ARCHITECTURES, CPU, classifier_of, each, num_layers, token_rows

KINDS = sorted(ARCHITECTURES)
ONCE, AGAIN = Runtime(token_budget=40), Runtime(token_budget=40, gradient_checkpointing=True)


def assert_same(model) -> None:
    once, again = gradient(model, ONCE), gradient(model, AGAIN)
    assert once.keys() == again.keys()
    assert all(torch.equal(once[name], again[name]) for name in once)
    assert sum(bool(tensor.any()) for tensor in once.values()) > 0.9 * len(once)
    assert all("forward" not in vars(block) for block in model.blocks())


@pytest.mark.slow
@pytest.mark.parametrize("kind", each(KINDS))
def test_the_gradient_is_the_same_to_the_bit(kind, checkpoint):
    assert_same(classifier_of(checkpoint(kind)))


@pytest.mark.slow
@pytest.mark.parametrize("kind", each(kind for kind in KINDS if "deberta" not in kind))  # which forms no cohorts
def test_and_so_is_a_cohorts(kind, checkpoint):
    assert_same(cohort_of(checkpoint(kind)))


@pytest.mark.slow
@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
@pytest.mark.parametrize("tuning", ["lora", "full", "head"])
@pytest.mark.parametrize("kind", ["bert", "gpt2", "llama"])
def test_in_every_way_of_tuning(kind, tuning, dtype, checkpoint):
    assert_same(classifier_of(checkpoint(kind), dtype, tuning=tuning))
    if tuning == "head":
        assert_same(cohort_of(checkpoint(kind), tuning=tuning))


def kept(classifier, runtime: Runtime) -> int:
    """Bytes that autograd keeps for the backward pass of one micro-batch, the weights themselves left out."""
    weights = {p.untyped_storage().data_ptr() for p in classifier.parameters()}
    sizes: dict[int, int] = {}
    held = []  # no address may be used twice

    def pack(tensor: torch.Tensor) -> torch.Tensor:
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in weights:
            sizes[storage.data_ptr()] = storage.nbytes()
            held.append(tensor)
        return tensor

    tokens = token_rows([16] * 8)
    y = np.full(len(tokens), 0.5)
    running = [losses.get("xent")().start(torch.as_tensor(y), 40)]
    with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
        accumulate_gradient(classifier, tokens, [y], running, 0, 0, runtime)
    return sum(sizes.values())


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["bert", "gpt2", "llama", "qwen2", "modernbert"])
def test_a_block_keeps_its_input_and_no_more(kind, checkpoint):
    many = {"token_budget": 2048}
    whole, cut = (
        [kept(classifier_of(checkpoint(kind), num_layers=blocks), Runtime(**many, gradient_checkpointing=again))
         for blocks in (num_layers(kind) - 1, num_layers(kind))]
        for again in (False, True)
    )  # fmt: skip
    hidden = 8 * 16 * 16 * 4  # rows, tokens, width, float32
    assert cut[1] - cut[0] == hidden
    assert whole[1] - whole[0] > 5 * hidden


@pytest.mark.parametrize("tuning", ["lora", "full"])
def test_blocks_run_twice_in_training_and_once_in_prediction(tuning, checkpoint):
    classifier = classifier_of(checkpoint("llama"), tuning=tuning)
    runs = []
    for block in classifier.blocks():
        block.mlp.register_forward_pre_hook(lambda *_: runs.append(1))
    ids, mask = collate(TOKENS, range(len(TOKENS)), 0, CPU)
    before = classifier(ids, mask).detach()
    counts = []
    for runtime in (ONCE, AGAIN):
        runs.clear()
        gradient(classifier, runtime)
        counts.append(len(runs))
    assert counts[1] == 2 * counts[0]
    runs.clear()
    predict_together(classifier, TOKENS, 0, Runtime(batch_cost=2048))
    assert len(runs) == num_layers("llama")
    assert torch.equal(classifier(ids, mask), before)


def test_blocks_are_as_they_were_after_a_failure(checkpoint):
    classifier = classifier_of(checkpoint("bert"))
    handle = classifier.blocks()[1].register_forward_pre_hook(lambda *_: (_ for _ in ()).throw(RuntimeError("no")))
    with pytest.raises(RuntimeError, match="no"):
        gradient(classifier, AGAIN)
    handle.remove()
    assert_same(classifier)
