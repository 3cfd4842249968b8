"""Captured passes are the passes that they stand for: the same numbers, from tensors that stay where they are."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
import torch
from runs import rows, run, run_env, validation

from outshine.data.task import Pairwise
from outshine.engine.runtime import Runtime
from outshine.learn import batches, cuda_graphs
from outshine.learn.batches import collate, predict_together
from outshine.learn.classifier import Classifier, Cohort
from outshine.learn.cuda_graphs import EAGER_PASSES, Captured, CudaGraphs, use_cuda_graphs
from outshine.learn.load import load_backbone
from outshine.learn.loop import TrainJob, accumulate_gradient, finetune_together
from outshine.learn.losses import losses
from outshine.learn.packing import Pack, start_packing
from outshine.learn.spec import Full, LoRA
from outshine.learn.tokenize import PairTokens
from outshine.w2s.stages.finetune import choose_batches
from plain_capture import PlainCapture
from plain_varlen import use_plain_varlen
from tiny_checkpoints import CPU, clear_gradients, gradients, spec_of, stir, token_rows


@pytest.fixture(autouse=True)
def varlen(monkeypatch):
    use_plain_varlen(monkeypatch)
    monkeypatch.setattr(batches, "_parts", lambda device_type: 1)  # as many packs as on a GPU


TEXTS = token_rows([9, 5, 12, 1, 7, 30, 2])
Y = np.random.default_rng(0).random(len(TEXTS))


def model_of(folder, members: int = 1, packed: bool = True, **settings) -> Classifier | Cohort:
    spec = spec_of(folder, "float64", **settings)
    if members == 1:
        made = stir(Classifier(load_backbone(spec, CPU), spec, 0))
    else:
        made = Cohort(load_backbone(spec, CPU), spec, range(members))
        for seed in range(members):
            with made.alone(seed) as member:
                stir(member, seed)
    assert not packed or start_packing(made)
    assert not packed or made.packing.mask == "varlen"
    return made


def update(model, texts=TEXTS) -> dict[str, torch.Tensor]:
    """The gradient of one update and what was predicted."""
    clear_gradients(model)
    members = model.members()
    running = [losses.get("logconf")().start(torch.as_tensor(Y), 40) for _ in members]
    y = [Y[: len(texts)]] * len(members)
    outcomes = accumulate_gradient(model, texts, y, running, 3, 0, Runtime(token_budget=10_000))
    found = {f"{i} {name}": part for i, member in enumerate(gradients(model)) for name, part in member.items()}
    return found | {f"{i} log-odds": outcome.log_odds for i, outcome in enumerate(outcomes)}


@pytest.mark.slow
@pytest.mark.parametrize("packed", [True, False])
@pytest.mark.parametrize(("kind", "members"), [("llama", 1), ("llama", 3), ("bert", 1), ("gpt2", 2)])
def test_updates_have_the_same_gradient_before_and_after_capturing(kind, members, packed, checkpoint):
    eager, captured = (model_of(checkpoint(kind), members, packed) for _ in range(2))
    capture = PlainCapture()
    captured.graphs = CudaGraphs(capture)
    for turn in range(EAGER_PASSES + 3):
        texts = token_rows([9, 5, 12, 1, 7, 30, 2 + turn % 2], seed=turn)  # of one size, and never the same
        expected, found = update(eager, texts), update(captured, texts)
        for name, value in expected.items():
            torch.testing.assert_close(
                found[name], value, rtol=1e-9, atol=1e-11, msg=lambda text, n=name: f"{n}: {text}"
            )
    num_sizes = 1 if packed else capture.captured // 2  # padded, an update of texts so different is cut
    assert capture.captured == 2 * num_sizes > 0  # forward and backward
    assert capture.replayed == 3 * capture.captured


@pytest.mark.slow
@pytest.mark.parametrize("pooling", ["mean", "first", "last"])
def test_filler_reaches_no_text(pooling, checkpoint):
    eager, captured = (model_of(checkpoint("bert"), pooling=pooling) for _ in range(2))
    captured.graphs = CudaGraphs(PlainCapture())
    assert Pack.of(TEXTS, CPU, fixed=True).size != Pack.of(TEXTS, CPU).size
    for name, value in update(eager).items():
        torch.testing.assert_close(update(captured)[name], value, rtol=1e-9, atol=1e-11)


@pytest.mark.slow
@pytest.mark.parametrize("members", [1, 3])
def test_a_whole_run_ends_at_the_same_weights(members, checkpoint, tmp_path, monkeypatch):
    monkeypatch.setattr(cuda_graphs, "EAGER_PASSES", 0)
    ended, capture = [], PlainCapture()
    jobs = [TrainJob(rows(), validation(), run(loss)) for loss in ("xent", "logconf", "window")[:members]]
    for captured in (None, CudaGraphs(capture)):
        model = model_of(checkpoint("llama"), members)
        model.graphs = captured
        results = finetune_together(model, jobs, run_env(tmp_path / str(bool(captured)), token_budget=120))
        weights = {f"{i} {name}": w for i, member in enumerate(model.members()) for name, w in member.items()}
        predicted = predict_together(model, rows().tokens, 0, Runtime(eval_token_budget=100))
        ended.append(({name: weight.detach() for name, weight in weights.items()}, predicted, results))
    assert capture.replayed > 10
    for name, weight in ended[0][0].items():
        torch.testing.assert_close(ended[1][0][name], weight, rtol=1e-7, atol=1e-9)
    np.testing.assert_allclose(ended[1][1], ended[0][1], rtol=1e-6, atol=1e-8)
    assert [result.chosen_step for result in ended[1][2]] == [result.chosen_step for result in ended[0][2]]


def test_predictions_are_captured_apart_from_training(checkpoint):
    model, capture = model_of(checkpoint("llama")), PlainCapture()
    expected = predict_together(model, TEXTS, 0, Runtime())
    model.graphs = CudaGraphs(capture)
    for _ in range(EAGER_PASSES + 2):
        np.testing.assert_allclose(predict_together(model, TEXTS, 0, Runtime()), expected, rtol=1e-10)
    assert (capture.captured, capture.replayed) == (1, 2)
    for _ in range(EAGER_PASSES + 1):
        update(model)
    assert capture.captured == 3
    np.testing.assert_allclose(predict_together(model, TEXTS, 0, Runtime()), expected, rtol=1e-10)


def test_preference_pairs_are_still_antisymmetric_to_the_bit(checkpoint):
    spec = spec_of(checkpoint("llama"), "float64")
    model = stir(Classifier(load_backbone(spec, CPU), spec, 0, Pairwise()))
    assert start_packing(model)
    pairs = [PairTokens(TEXTS[i], TEXTS[i + 1]) for i in range(3)]
    turned = [PairTokens(TEXTS[i + 1], TEXTS[i]) for i in range(3)]
    expected = predict_together(model, pairs, 0, Runtime())
    model.graphs = CudaGraphs(PlainCapture())
    for _ in range(EAGER_PASSES + 2):
        found, other = (predict_together(model, given, 0, Runtime()) for given in (pairs, turned))
        np.testing.assert_allclose(found, expected, rtol=1e-10)
        assert (found == -other).all()


@pytest.mark.slow
@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (RuntimeError("operation not permitted when stream is capturing\nmore"), "operation not permitted when stream"),
        (torch.OutOfMemoryError("CUDA out of memory. Tried to allocate"), "out of memory"),
        (KeyError("odd"), "odd"),
    ],
)
def test_what_cannot_be_captured_is_computed_all_the_same_and_told_once(error, reason, checkpoint):
    model, notes, tried = model_of(checkpoint("llama")), [], []
    expected = update(model)

    def fail(compute: Callable[[], Sequence[torch.Tensor | None]]) -> Captured:
        tried.append(compute)
        raise error

    model.graphs = CudaGraphs(fail, notes.append)
    for _ in range(EAGER_PASSES + 4):
        for name, value in update(model).items():
            torch.testing.assert_close(value, expected[name], rtol=1e-9, atol=1e-11)
    assert len(tried) == len(notes) == 1
    assert reason in notes[0]
    assert "\n" not in notes[0]


def test_where_memory_runs_out_graphs_are_given_back_and_training_goes_on(checkpoint, tmp_path, monkeypatch):
    monkeypatch.setattr(cuda_graphs, "EAGER_PASSES", 0)
    model, capture, failed = model_of(checkpoint("llama")), PlainCapture(), []
    model.graphs = CudaGraphs(capture)

    def fail_once(module, given):
        if capture.replayed > 4 and not failed:
            failed.append(model.graphs)
            raise torch.OutOfMemoryError("out of memory")

    model.backbone.layers[0].register_forward_pre_hook(fail_once)
    finetune_together(model, [TrainJob(rows(), validation(), run())], run_env(tmp_path, token_budget=300))
    assert failed
    captured = capture.captured
    for _ in range(EAGER_PASSES + 2):
        update(model)
    assert capture.captured == captured


def test_sizes_that_occur_seldom_are_not_captured(checkpoint):
    model, capture = model_of(checkpoint("llama")), PlainCapture()
    model.graphs = CudaGraphs(capture)
    for length in (10, 40, 90, 200):
        for _ in range(EAGER_PASSES):
            update(model, token_rows([length] * 7))
    assert capture.captured == 0


def test_padded_batches_of_fixed_sizes_hold_the_texts_and_rows_of_one_token():
    for heights, widths in (([1], [1]), ([3], [9]), ([21], [33]), ([7], [100])):
        texts = token_rows([*widths] * heights[0])
        ids, mask = collate(texts, range(len(texts)), 0, CPU, fixed=True)
        assert ids.shape == mask.shape
        for i, text in enumerate(texts):
            assert ids[i, : len(text)].tolist() == text
            assert mask[i].sum() == len(text)
        assert (mask[len(texts) :].sum(1) == 1).all()
        assert len(ids) <= 1.25 * len(texts)
        assert ids.shape[1] <= max(widths[0] * 17 / 16 + 1, widths[0] + 7)


@pytest.mark.parametrize(
    ("settings", "num_processes", "used"),
    [({}, 1, True), ({"cuda_graphs": False}, 1, False), ({"gradient_checkpointing": True}, 1, False), ({}, 2, False)],
)
def test_a_fine_tuning_uses_graphs_unless_something_speaks_against_it(
    settings, num_processes, used, checkpoint, monkeypatch
):
    asked = []
    monkeypatch.setattr("outshine.learn.cuda_graphs.use_cuda_graphs", lambda model, note: asked.append(model))
    monkeypatch.setattr("outshine.learn.distributed.processes_of", lambda model: SimpleNamespace(size=num_processes))
    model = model_of(checkpoint("llama"))
    context = SimpleNamespace(runtime=Runtime(**settings), progress=SimpleNamespace(note=lambda message: None))
    choose_batches(model, pd.DataFrame({"tokens": TEXTS}), context)
    assert asked == [model] * used


@pytest.mark.parametrize(
    ("device", "sharing", "tuning", "used"),
    [
        ("cuda", "any", LoRA(), True),
        ("cpu", "any", LoRA(), False),
        ("cuda", "equal", LoRA(), False),
        ("cuda", "any", Full(), False),
    ],
)
def test_graphs_are_for_a_gpu_a_frozen_base_and_texts_that_may_share_a_batch(
    device, sharing, tuning, used, monkeypatch
):
    monkeypatch.setattr(cuda_graphs, "cuda_capture", PlainCapture)
    spec = SimpleNamespace(tuning=tuning)
    model = SimpleNamespace(device=torch.device(device), sharing=sharing, spec=spec, graphs=None)
    use_cuda_graphs(model)
    assert isinstance(model.graphs, CudaGraphs) == used
