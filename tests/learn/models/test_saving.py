"""What is written after training can be put together again by other tools to the same log-odds."""

import json

import pytest
import torch
from safetensors.torch import load_file
from transformers import AutoModel

from outshine.learn.batches import collate
from outshine.learn.classifier import pool
from outshine.learn.saved_models import save_classifier
from outshine.learn.spec import ClassifierSpec
from tiny_checkpoints import CPU, classifier_of, token_rows

BATCH = collate(token_rows([9, 4, 6]), [0, 1, 2], 0, CPU)


def put_together(backbone: torch.nn.Module, folder, pooling: str) -> torch.Tensor:
    """Log-odds from a backbone that other tools loaded, and the head's file."""
    head = load_file(folder / "head.safetensors")["weight"]
    ids, mask = BATCH
    logits = pool(backbone.eval()(input_ids=ids, attention_mask=mask).last_hidden_state, mask, pooling) @ head.T
    return logits[:, 1] - logits[:, 0]


def test_a_fully_fine_tuned_model_loads_in_transformers(checkpoint, tmp_path):
    classifier = classifier_of(checkpoint("llama"), tuning="full", num_layers=2)
    with torch.no_grad():
        for parameter in classifier.backbone.parameters():
            parameter.add_(0.01)
    save_classifier(classifier, tmp_path)
    loaded = AutoModel.from_pretrained(tmp_path / "model")
    assert len(loaded.layers) == 2
    torch.testing.assert_close(put_together(loaded, tmp_path, "last"), classifier(*BATCH))
    assert not (tmp_path / "adapter").exists()


@pytest.mark.filterwarnings("ignore:`is_gradient_checkpointing`:FutureWarning")  # PEFT's use of transformers
def test_an_adapter_loads_in_peft(checkpoint, tmp_path):
    from peft import PeftModel

    classifier = classifier_of(checkpoint("bert"), pooling="mean")
    save_classifier(classifier, tmp_path)
    loaded = PeftModel.from_pretrained(AutoModel.from_pretrained(checkpoint("bert")), str(tmp_path / "adapter"))
    torch.testing.assert_close(put_together(loaded, tmp_path, "mean"), classifier(*BATCH), rtol=1e-5, atol=1e-5)


def test_the_spec_is_written_beside_the_weights(checkpoint, tmp_path):
    classifier = classifier_of(checkpoint("bert"), tuning="head")
    save_classifier(classifier, tmp_path)
    written = (tmp_path / "classifier.json").read_text()
    read = ClassifierSpec.model_validate_json(written)
    assert read.model_copy(update={"model": classifier.spec.model}) == classifier.spec
    assert read.model.identity == classifier.spec.model.identity
    assert "folder" not in json.loads(written)["model"]  # a path would tie the bytes to a machine
    assert sorted(path.name for path in tmp_path.iterdir()) == ["classifier.json", "head.safetensors"]
