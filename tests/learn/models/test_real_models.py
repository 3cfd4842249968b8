"""Two small real models, where a copy of them lies beside the checkout: what is made of them, and one short fit."""

from pathlib import Path

import numpy as np
import pytest
import torch

from outshine.engine.runtime import Runtime
from outshine.learn.batches import LabelledRows, collate, predict
from outshine.learn.classifier import Classifier, pool
from outshine.learn.load import load_backbone, load_tokenizer
from outshine.learn.loop import RunEnv, TrainConfig, Validation, finetune
from outshine.learn.losses import losses
from outshine.learn.settings import TrainingSettings
from outshine.learn.tokenize import Text, encode
from outshine.stats.auroc import auroc
from tiny_checkpoints import CPU, spec_of

REAL_MODELS = Path(__file__).resolve().parents[3].parent / "shared" / "hub" / "models"
MINILM = "sentence-transformers/all-MiniLM-L6-v2"
STORIES = "tinyllamas/stories260K"

GOOD = ["happy", "good", "nice", "fun", "kind", "pretty", "lovely", "great"]
BAD = ["sad", "bad", "mean", "scary", "angry", "ugly", "hurt", "sick"]
SHAPES = ["The dog was very {}.", "Lily felt {} today.", "It was a {} day.", "Mom said it is {}.", "Tim had a {} toy."]

pytestmark = pytest.mark.hub


@pytest.fixture
def real_model(request):
    folder = REAL_MODELS / request.param
    if not folder.is_dir():
        pytest.skip(f"no real model: {folder} is not there")
    return folder


def texts(words: range) -> tuple[list[Text], np.ndarray]:
    """Short sentences about good and bad things; the words of training and validation differ."""
    pairs = [(shape.format(side[i]), side is GOOD) for i in words for shape in SHAPES for side in (GOOD, BAD)]
    return [Text(text) for text, _ in pairs], np.array([label for _, label in pairs])


@pytest.mark.parametrize("real_model", [MINILM], indirect=True)
def test_the_sentence_encoder_pools_as_it_was_trained_to(real_model):
    spec = spec_of(real_model)
    assert (spec.num_layers, spec.pooling, spec.max_length) == (6, "mean", 512)
    assert spec_of(real_model, num_layers=1).num_layers == 1


@pytest.mark.parametrize("real_model", [STORIES], indirect=True)
def test_the_story_model_pools_its_last_token(real_model):
    spec = spec_of(real_model)
    assert (spec.num_layers, spec.pooling, spec.max_length) == (5, "last", 512)


@pytest.mark.parametrize("real_model", [MINILM], indirect=True)
def test_sentences_of_like_meaning_lie_together(real_model):
    """Weights, tokenizer and pooling fit each other: a paraphrase is nearer than another sentence."""
    spec = spec_of(real_model, tuning="head")
    classifier = Classifier(load_backbone(spec, CPU), spec, 0).eval()
    sentences = ["A man is playing a guitar.", "Someone plays the guitar.", "The stock market fell today."]
    encoded = encode(load_tokenizer(spec.model), [Text(one) for one in sentences], spec.max_length)
    ids, mask = collate(encoded.tokens, range(3), 0, CPU)
    with torch.no_grad():
        states = pool(classifier.backbone(input_ids=ids, attention_mask=mask).last_hidden_state, mask, "mean")
    alike, unlike = torch.cosine_similarity(states[:1], states[1:]).tolist()
    assert alike > 0.7
    assert unlike < 0.2


@pytest.mark.slow
@pytest.mark.parametrize(
    ("real_model", "tuning", "rate", "least"),
    [(MINILM, "lora", 2e-3, 0.9), (STORIES, "full", 3e-3, 0.5)],
    indirect=["real_model"],
)
def test_a_short_fit(real_model, tuning, rate, least, tmp_path):
    spec = spec_of(real_model, tuning=tuning)
    tokens = load_tokenizer(spec.model)
    train, y = texts(range(4))
    val, y_val = texts(range(4, 8))
    encoded, encoded_val = (encode(tokens, part, spec.max_length).tokens for part in (train, val))
    classifier = Classifier(load_backbone(spec, CPU), spec, 0)
    settings = TrainingSettings(epochs=6, batch_size=8, eval_every=5)
    result = finetune(
        classifier,
        LabelledRows([one.text for one in train], encoded, y.astype(np.float64)),
        Validation(encoded_val, lambda log_odds: auroc(y_val, log_odds)),
        TrainConfig(losses.parse("logconf"), settings, rate, 0),
        RunEnv(Runtime(), tokens.pad_id, tmp_path / "checkpoint.safetensors"),
    )
    assert len(result.curve) == 30
    assert result.curve[-1].loss < result.curve[0].loss
    assert auroc(y, predict(classifier, encoded, tokens.pad_id, Runtime())) > 0.9
    assert auroc(y_val, predict(classifier, encoded_val, tokens.pad_id, Runtime())) > least
