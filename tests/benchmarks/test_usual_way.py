"""The usual way trains as outshine does: what is compared is how, not what."""

from __future__ import annotations

from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest
import torch
from sklearn.metrics import roc_auc_score

from outshine.data.task import BINARY
from outshine.engine.runtime import Runtime
from outshine.learn.activations import LayerReader
from outshine.learn.batches import LabelledRows, collate, predict
from outshine.learn.classifier import Classifier
from outshine.learn.load import load_backbone, load_tokenizer
from outshine.learn.loop import RunEnv, TrainConfig, Validation, finetune
from outshine.learn.losses import losses
from outshine.learn.resolve import resolve
from outshine.learn.saved_models import save_classifier
from outshine.learn.settings import TrainingSettings
from outshine.learn.spec import ModelSettings
from outshine.learn.tokenize import Text, encode

# PEFT asks transformers for a property by its old name
pytestmark = pytest.mark.filterwarnings("ignore:`is_gradient_checkpointing` is deprecated:FutureWarning")

CPU = torch.device("cpu")
SETTINGS = TrainingSettings(epochs=2, batch_size=8, eval_every=2, warmup_updates=3)  # 30 rows: last batches of six
RATE = 2e-2
SEED = 3


class Sides(NamedTuple):
    """What both made of the same rows and start."""

    untrained: np.ndarray
    ours: np.ndarray
    our_step: int
    theirs: Any  # usual_way.Tuned


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    from benchmarks import material

    texts = [row["text"] for row in material.generated_rows(90, 9)]
    return material.write_model(tmp_path_factory.mktemp("base"), material.TOY_STUDENT, texts)


@pytest.fixture(scope="module")
def sides(base: Path, tmp_path_factory: pytest.TempPathFactory) -> Sides:
    from benchmarks import material, usual_way

    rng = np.random.default_rng(0)
    texts = [row["text"] for row in material.generated_rows(90, 9)]
    ids, y = [f"row-{i}" for i in range(90)], rng.random(90)
    train, val, test = (usual_way.Rows(ids[a:b], texts[a:b], y[a:b]) for a, b in ((0, 30), (30, 60), (60, 90)))

    spec = resolve(ModelSettings(**material.settings_of(base)), "float32").spec
    classifier = Classifier(load_backbone(spec, CPU), spec, SEED)
    start = tmp_path_factory.mktemp("start")
    save_classifier(classifier, start)
    tokens = load_tokenizer(spec.model)
    encoded = encode(tokens, [Text(text) for text in texts], spec.max_length).tokens
    untrained = predict(classifier, encoded[60:], tokens.pad_id, Runtime(eval_token_budget=1000))
    done = finetune(
        classifier,
        LabelledRows(train.ids, encoded[:30], train.y),
        Validation(encoded[30:60], BINARY.selection(val.y, True, "hard").score),
        TrainConfig(losses.parse("xent"), SETTINGS, RATE, SEED),
        RunEnv(Runtime(token_budget=60), tokens.pad_id, start / "checkpoint"),
    )
    ours = predict(classifier, encoded[60:], tokens.pad_id, Runtime(eval_token_budget=1000))
    theirs = usual_way.finetune(
        usual_way.Start(base, start, spec.max_length, "float32"),
        *(train, val, test, usual_way.Plan(SETTINGS, RATE, SEED), [test, val]),
    )
    return Sides(untrained, ours, done.chosen_step, theirs)


def test_same_rows_and_start_give_the_same_log_odds(sides):
    assert np.abs(sides.ours - sides.untrained).max() > 0.05  # training did something
    np.testing.assert_allclose(sides.theirs.log_odds[0], sides.ours, atol=1e-4)


def test_same_update_is_chosen_and_everything_is_counted(sides):
    counts = sides.theirs.counts
    assert counts.best_update == sides.our_step
    assert counts.updates == 8
    assert counts.rows_evaluated == 4 * 60  # after updates 2, 4, 6 and 8: val and test
    assert counts.rows_predicted == 60


def test_log_odds_come_in_the_order_of_the_rows_asked_for(sides):
    assert [len(one) for one in sides.theirs.log_odds] == [30, 30]
    assert not np.allclose(*sides.theirs.log_odds)


def test_activations_are_those_of_the_layer_reader(base):
    from benchmarks import material, usual_way

    texts = [row["text"] for row in material.generated_rows(5, 9, seed=4)]
    spec = resolve(ModelSettings(**material.settings_of(base)), "float32").spec
    tokens = load_tokenizer(spec.model)
    encoded = encode(tokens, [Text(text) for text in texts], spec.max_length).tokens
    reader = LayerReader(load_backbone(spec, CPU), spec.num_layers, [1], "last")
    expected = reader(*collate(encoded, range(5), tokens.pad_id, CPU))[1]
    found = usual_way.activations(usual_way.Start(base, base, spec.max_length, "float32"), texts, 1)
    torch.testing.assert_close(found, expected, atol=1e-5, rtol=1e-5)


def test_scores_are_scikit_learns_and_none_where_one_class_is_missing():
    from benchmarks.usual_way import _score
    from transformers import EvalPrediction

    rng = np.random.default_rng(0)
    logits, y = rng.normal(size=(40, 2)), rng.random(40) > 0.5
    given = EvalPrediction(predictions=logits, label_ids=y.astype(float))
    assert _score(given)["auroc"] == pytest.approx(roc_auc_score(y, logits[:, 1] - logits[:, 0]))
    assert np.isnan(_score(EvalPrediction(predictions=logits, label_ids=np.ones(40)))["auroc"])
