"""Log-odds on the GPU, of texts in batches and in packs, are those of each text alone on the CPU in float64."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from device_under_test import DEVICE, LONGEST, classifier_on, on_device, runtime

from outshine.engine.runtime import Runtime
from outshine.learn.batches import predict
from outshine.learn.tiny_models import TINY_MODELS
from tiny_checkpoints import ARCHITECTURES, CPU, token_rows

pytestmark = on_device

TEXTS = token_rows([9, 1, LONGEST, 5, 12, 1, 2, 30, 17, 17, 4])
MOST = {"float32": 1e-4, "bfloat16": 0.25}  # difference; the log-odds spread over some units
APART = {"deberta", "deberta-v2", "gpt_neo"}  # texts that share no row
KINDS = [(kind, "padded") for kind in sorted(ARCHITECTURES)]
KINDS += [(kind, "packed") for kind in sorted(ARCHITECTURES.keys() - APART)]


def each_alone_in_float64(folder, texts, **settings) -> np.ndarray:
    model = classifier_on(CPU, folder, "float64", **settings)
    return np.concatenate([predict(model, [text], 0, Runtime(packing=False)) for text in texts])


@pytest.mark.parametrize(("kind", "way"), KINDS)
def test_small_models_of_each_architecture(kind: str, way: str, checkpoint) -> None:
    expected = each_alone_in_float64(checkpoint(kind), TEXTS)
    model = classifier_on(DEVICE, checkpoint(kind), "float32", packed=way == "packed")
    assert expected.std() > 0.1
    for budget in (1, 40, 10_000):
        found = predict(model, TEXTS, 0, runtime(eval_token_budget=budget))
        np.testing.assert_allclose(found, expected, rtol=0, atol=MOST["float32"], err_msg=f"{budget} tokens")


@pytest.mark.parametrize("way", ["padded", "packed"])
@pytest.mark.parametrize("name", TINY_MODELS)
def test_the_embedded_models(name: str, way: str) -> None:
    texts = token_rows([LONGEST, 3, 11, 20, 7])
    expected = each_alone_in_float64(TINY_MODELS[name], texts)
    found = predict(classifier_on(DEVICE, TINY_MODELS[name], "float32", packed=way == "packed"), texts, 0, runtime())
    np.testing.assert_allclose(found, expected, rtol=0, atol=MOST["float32"])


@pytest.mark.parametrize("way", ["padded", "packed"])
@pytest.mark.parametrize("kind", ["bert", "gpt2", "llama", "qwen2"])
def test_in_bfloat16_they_are_near(kind: str, way: str, checkpoint) -> None:
    """Other kernels than in float32: those that a GPU has for sixteen bits alone."""
    expected = each_alone_in_float64(checkpoint(kind), TEXTS)
    found = predict(classifier_on(DEVICE, checkpoint(kind), "bfloat16", packed=way == "packed"), TEXTS, 0, runtime())
    assert np.corrcoef(found, expected)[0, 1] > 0.98
    np.testing.assert_allclose(found, expected, rtol=0, atol=MOST["bfloat16"] * max(1.0, float(expected.std())))


@pytest.mark.parametrize("kind", ["bert", "gpt2", "llama"])
def test_a_base_in_four_bits_is_near_the_dense_weights_that_it_stands_for(kind: str, checkpoint) -> None:
    pytest.importorskip("bitsandbytes", reason="a base in four bits needs the extra outshine[4bit]")
    from outshine.learn.nf4 import NF4Linear

    tuning = {"kind": "lora", "base": "nf4"}
    small = classifier_on(DEVICE, checkpoint(kind), "float32", tuning=tuning)
    dense = classifier_on(DEVICE, checkpoint(kind), "float32")
    far = predict(dense, TEXTS, 0, runtime())
    layers = {name: layer for name, layer in small.backbone.named_modules() if isinstance(layer, NF4Linear)}
    assert layers
    for name, layer in layers.items():
        weight = dense.backbone.get_submodule(name).weight
        with torch.no_grad():
            weight.copy_(layer.dense_weight().T if layer.transposed else layer.dense_weight())
    found, expected = (predict(model, TEXTS, 0, runtime()) for model in (small, dense))
    np.testing.assert_allclose(found, expected, rtol=0, atol=MOST["float32"])
    assert np.abs(found - far).max() > 100 * MOST["float32"]  # four bits are seen
