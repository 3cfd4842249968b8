"""The base model is kept between stages that need the same one, and is never changed by what trained on it."""

import pytest
import torch

from outshine.learn.batches import collate
from outshine.learn.classifier import Classifier
from outshine.learn.load import load_backbone
from outshine.learn.model_cache import classifier
from outshine.learn.spec import ClassifierSpec
from tiny_checkpoints import CPU, spec_of, token_rows


def train_a_little(model: Classifier) -> None:
    model(*collate(token_rows([6, 9]), [0, 1], 0, CPU)).sum().backward()
    torch.optim.SGD(model.trainable().values(), lr=1.0).step()


def used(spec: ClassifierSpec, memory: dict, seed: int = 0) -> torch.nn.Module:
    with classifier(spec, seed, CPU, memory) as model:
        train_a_little(model)
        return model.backbone


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["bert", "gpt2", "llama"])
@pytest.mark.parametrize("tuning", ["lora", "head"])
def test_the_frozen_base_is_used_again_and_unchanged(kind, tuning, checkpoint):
    memory = {}
    spec = spec_of(checkpoint(kind), tuning=tuning)
    first = used(spec, memory)
    fresh = load_backbone(spec, CPU)
    kept = first.state_dict()
    assert list(kept) == list(fresh.state_dict())
    assert all(torch.equal(kept[name], tensor) for name, tensor in fresh.state_dict().items())
    other_tuning = spec_of(checkpoint(kind), tuning={"kind": "lora", "rank": 2}, pooling="mean", max_length=9)
    assert used(spec, memory, seed=1) is first
    assert used(other_tuning, memory) is first


def test_a_classifier_on_a_used_base_is_the_same_as_on_a_fresh_one(checkpoint):
    memory = {}
    spec = spec_of(checkpoint("bert"))
    used(spec, memory)
    ids, mask = collate(token_rows([5, 8]), [0, 1], 0, CPU)
    with classifier(spec, 3, CPU, memory) as warm, classifier(spec, 3, CPU, {}) as cold:
        assert torch.equal(warm(ids, mask), cold(ids, mask))
        assert list(warm.trainable()) == list(cold.trainable())


def test_a_base_that_was_fine_tuned_is_not_used_again(checkpoint):
    memory = {}
    spec = spec_of(checkpoint("llama"), tuning="full")
    first = used(spec, memory)
    assert memory == {}
    assert used(spec, memory) is not first


@pytest.mark.parametrize(
    "other", [{"num_layers": 2}, {"tuning": "full"}, {"dtype": "bfloat16"}, {"kind": "gpt2"}], ids=str
)
def test_another_base_is_loaded_for_another_model(other, checkpoint):
    memory = {}
    first = used(spec_of(checkpoint("llama")), memory)
    changed = dict(other)
    assert used(spec_of(checkpoint(changed.pop("kind", "llama")), **changed), memory) is not first


def test_the_base_is_kept_in_order_when_training_fails(checkpoint):
    memory = {}
    spec = spec_of(checkpoint("llama"))
    failing = classifier(spec, 0, CPU, memory)
    train_a_little(failing.__enter__())
    assert failing.__exit__(KeyboardInterrupt, KeyboardInterrupt(), None) is False
    kept, fresh = memory["backbone"][1].state_dict(), load_backbone(spec, CPU).state_dict()
    assert list(kept) == list(fresh)
    assert all(torch.equal(kept[name], fresh[name]) for name in fresh)
