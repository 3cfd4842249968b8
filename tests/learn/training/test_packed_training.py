"""A run on packed texts is the run on padded ones, but for rounding and for the padding."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
import torch
from runs import rows, run, run_env, validation
from test_resume import CutOffError, same, stopper

from outshine.engine.runtime import Runtime
from outshine.learn import batches
from outshine.learn.batches import predict, predict_together
from outshine.learn.classifier import Classifier, Cohort
from outshine.learn.load import load_backbone
from outshine.learn.loop import TrainJob, accumulate_gradient, finetune, finetune_together
from outshine.learn.losses import losses
from outshine.learn.packing import start_packing
from outshine.w2s.stages.finetune import choose_batches
from tiny_checkpoints import CPU, classifier_of, gradients, spec_of

KINDS = ["llama", "gpt2", "bert", "opt"]
LOSSES = ["xent", "logconf", "window"]


def fresh(folder, packed: bool, dtype: str = "float32") -> Classifier:
    spec = spec_of(folder, dtype)
    made = Classifier(load_backbone(spec, CPU), spec, 0)
    assert not packed or start_packing(made)
    return made


def whole_run(classifier, folder, advance=lambda done, total: None):
    where = run_env(folder, advance, token_budget=60, eval_token_budget=100, checkpoint_seconds=0)
    result = finetune(classifier, rows(), validation(), run("logconf"), where)
    return result, predict(classifier, rows().tokens, 0, Runtime(eval_token_budget=100))


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
def test_a_whole_run_ends_where_the_padded_one_ends(kind, checkpoint, tmp_path):
    expected, log_odds = whole_run(fresh(checkpoint(kind), packed=False), tmp_path / "padded")
    found, ours = whole_run(fresh(checkpoint(kind), packed=True), tmp_path / "packed")
    assert found.chosen_step == expected.chosen_step
    np.testing.assert_allclose(np.array(found.curve)[:, 1:], np.array(expected.curve)[:, 1:], rtol=1e-3)
    assert np.abs(ours - log_odds).max() <= 1e-4
    assert log_odds.std() > 1e-2


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
def test_a_whole_cohort_too(kind, checkpoint, tmp_path):
    jobs = [TrainJob(rows(), validation(), run(loss, rate=5e-3 / (1 + i))) for i, loss in enumerate(LOSSES)]
    spec, ended = spec_of(checkpoint(kind)), []
    for packed in (False, True):
        members = Cohort(load_backbone(spec, CPU), spec, [0, 0, 0])
        assert not packed or start_packing(members)
        finetune_together(members, jobs, run_env(tmp_path / str(packed), token_budget=180))
        ended.append(predict_together(members, rows().tokens, 0, Runtime(eval_token_budget=200)))
    assert np.abs(ended[1] - ended[0]).max() <= 1e-4
    assert np.abs(ended[0] - ended[0][0]).max() > 1e-2


@pytest.mark.slow
@pytest.mark.parametrize("budget", [1, 40, 10_000])
def test_the_gradient_is_the_same_however_the_packs_are_cut(budget, checkpoint):
    found = []
    for packed, tokens in ((False, 10_000), (True, budget)):
        classifier = classifier_of(checkpoint("gpt2"), "float64")
        assert not packed or start_packing(classifier)
        loss = losses.get("logconf")().start(torch.as_tensor(rows().y), 40)
        runtime = Runtime(token_budget=tokens)
        (outcome,) = accumulate_gradient(classifier, rows().tokens, [rows().y], [loss], 30, 0, runtime)
        parts = [part.flatten() for part in gradients(classifier)[0].values() if part is not None]
        found.append((outcome.loss, outcome.log_odds, torch.cat(parts)))
    for padded, ours in zip(*found, strict=True):
        torch.testing.assert_close(ours, padded, rtol=1e-8, atol=1e-12)


@pytest.mark.slow
@pytest.mark.parametrize("budget", [30, 50, 10_000])
def test_every_token_goes_through_once_and_no_pack_exceeds_the_budget(budget, checkpoint):
    classifier, seen = fresh(checkpoint("llama"), packed=True), []
    classifier.backbone.layers[0].register_forward_pre_hook(lambda module, args: seen.append(args[0].shape[1]))
    predict(classifier, rows().tokens, 0, Runtime(eval_token_budget=budget))
    assert sum(seen) == sum(map(len, rows().tokens))
    assert max(seen) <= budget


@pytest.mark.slow
def test_an_interrupted_run_ends_with_the_same_bits(checkpoint, tmp_path):
    expected, log_odds = whole_run(fresh(checkpoint("bert"), packed=True), tmp_path / "whole")
    with pytest.raises(CutOffError):
        whole_run(fresh(checkpoint("bert"), packed=True), tmp_path / "cut", stopper(5))
    found, again = whole_run(fresh(checkpoint("bert"), packed=True), tmp_path / "cut")
    assert same(found, expected)
    assert (again == log_odds).all()


@pytest.mark.parametrize(
    ("kind", "asked", "packed"), [("llama", True, True), ("llama", False, False), ("deberta", True, False)]
)
def test_where_packs_cannot_be_texts_are_padded_with_a_note(kind, asked, packed, checkpoint):
    classifier, notes = fresh(checkpoint(kind), packed=False), []
    context = SimpleNamespace(runtime=Runtime(packing=asked), progress=SimpleNamespace(note=notes.append))
    choose_batches(classifier, pd.DataFrame({"tokens": rows().tokens}), context)
    assert (classifier.packing is not None) == packed
    assert notes == ([] if asked == packed else [notes[0]])
    assert all("they are padded" in note for note in notes)


@pytest.mark.parametrize(("kind", "least", "packed"), [("llama", 8, True), ("llama", 999, False), ("falcon", 8, False)])
def test_where_nothing_is_said_texts_are_packed_if_it_pays_and_nobody_is_told(
    kind, least, packed, checkpoint, monkeypatch
):
    monkeypatch.setattr(batches, "LEAST_WIDTH", least)
    classifier, notes = fresh(checkpoint(kind), packed=False), []
    context = SimpleNamespace(runtime=Runtime(), progress=SimpleNamespace(note=notes.append))
    choose_batches(classifier, pd.DataFrame({"tokens": rows().tokens}), context)
    assert (classifier.packing is not None) == packed
    assert not notes
