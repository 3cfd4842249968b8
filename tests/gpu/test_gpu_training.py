"""Training on the GPU: the updates of the CPU, whoever trains beside, from wherever it goes on, however much fits."""

from __future__ import annotations

import itertools
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from device_under_test import DEVICE, IS_REHEARSAL, classifier_on, cohort_on, on_device, runtime
from runs import BATCH, rows, run, validation
from test_memory import cramped
from test_resume import CutOffError, stopper

from outshine.learn.batches import LabelledRows, predict
from outshine.learn.loop import RunEnv, TrainJob, TrainResult, finetune_together, predict_fitting
from tiny_checkpoints import CPU, spec_of, token_rows, write_checkpoint

pytestmark = [*on_device, pytest.mark.slow]

LOSSES = ["xent", "logconf", "entropy", "window"]
MOST = {"float64": 1e-6, "float32": 1e-2}  # of log-odds, losses and norms: training makes rounding larger
KINDS = [("llama", "float64"), ("gpt2", "float64"), ("bert", "float64"), ("llama", "float32"), ("bert", "float32")]


def jobs(**settings: Any) -> list[TrainJob]:
    """The same texts; labels, losses, learning rates and clipping of their own."""
    made = []
    for number, (loss, rate) in enumerate(zip(LOSSES, [5e-3, 2e-3, 5e-3, 1e-2], strict=True)):
        train = rows()
        labels = train.y if number % 2 else 1 - train.y[::-1]
        own = run(loss, rate, max_grad_norm=[1.0, 0.05][number % 2], select="last", **settings)
        made.append(TrainJob(train._replace(y=labels.copy()), validation(), own))
    return made


def env(
    folder: Path, device: torch.device = DEVICE, advance: Any = lambda done, total: None, **settings: Any
) -> RunEnv:
    where = runtime(checkpoint_seconds=0, **settings).model_copy(update={"device": device.type})
    return RunEnv(where, 0, folder / "work" / "checkpoint.safetensors", advance)


def results(model: Any, learners: list[TrainJob], where: RunEnv) -> tuple[list[np.ndarray], np.ndarray]:
    """The curves of the members, one row an update, and the log-odds that they give in the end, [m, n]."""
    found = finetune_together(model, learners, where)
    assert all(isinstance(one, TrainResult) for one in found), found
    curves = [np.array(one.curve, dtype=float) for one in found]
    return curves, predict_fitting(model, rows().tokens, where, len(curves[0]))


def assert_alike(found: Any, expected: Any, most: float) -> None:
    curves, log_odds = found
    for ours, theirs in zip(curves, expected[0], strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=most, atol=most)
    np.testing.assert_allclose(log_odds, expected[1], rtol=most, atol=most)


@pytest.mark.parametrize(("kind", "dtype"), KINDS)
def test_a_cohort_on_the_device_ends_where_its_members_end_alone_on_the_cpu(kind, dtype, checkpoint, tmp_path) -> None:
    spec, learners = spec_of(checkpoint(kind), dtype), jobs()
    together = results(cohort_on(DEVICE, spec, len(learners)), learners, env(tmp_path / "together"))
    alone = [
        results(cohort_on(CPU, spec, 1), [job], env(tmp_path / str(number), CPU)) for number, job in enumerate(learners)
    ]
    expected = [one[0][0] for one in alone], np.concatenate([one[1] for one in alone])
    assert_alike(together, expected, MOST[dtype])
    assert np.abs(expected[1] - expected[1][0]).max() > 0.1  # they learned different things


@pytest.mark.parametrize("packed", [False, True])
@pytest.mark.parametrize("tuning", ["lora", "head", "full"])
def test_a_classifier_on_the_device_ends_where_it_ends_on_the_cpu(tuning, packed, checkpoint, tmp_path) -> None:
    folder, (job, *_) = checkpoint("llama"), jobs()
    expected = results(classifier_on(CPU, folder, "float64", tuning=tuning), [job], env(tmp_path / "cpu", CPU))
    for dtype, most in MOST.items():
        model = classifier_on(DEVICE, folder, dtype, packed, tuning=tuning)
        assert_alike(results(model, [job], env(tmp_path / dtype)), expected, most)


@pytest.mark.parametrize(("packed", "dtype"), [(False, "float32"), (False, "bfloat16"), (True, "bfloat16")])
@pytest.mark.parametrize("kind", ["bert", "gpt2", "llama", "qwen2"])
def test_captured_passes_give_what_eager_ones_give(kind, packed, dtype, checkpoint, tmp_path) -> None:
    job = jobs(epochs=6)[0]
    captured, eager = (classifier_on(DEVICE, checkpoint(kind), dtype, packed) for _ in range(2))
    eager.graphs = None
    found, expected = (
        results(model, [job], env(tmp_path / name)) for name, model in (("captured", captured), ("eager", eager))
    )
    assert len(captured.graphs.captured) > 0
    if not IS_REHEARSAL and packed:
        assert captured.packing.mask == "varlen"
    difference = np.abs(found[1] - expected[1]).max()
    assert difference <= {"float32": 1e-2, "bfloat16": 0.25}[dtype] * max(1.0, np.abs(expected[1]).max())


@pytest.mark.parametrize("kind", ["bert", "llama"])
def test_a_cohort_that_was_cut_off_ends_where_the_uninterrupted_one_ends(kind, checkpoint, tmp_path) -> None:
    """Not to the bit: a GPU may add up in another order. After two updates, and after seven, past a validation."""
    spec, learners = spec_of(checkpoint(kind), "float64"), jobs()
    expected = results(cohort_on(DEVICE, spec, len(learners)), learners, env(tmp_path / "whole"))
    for updates in (2, 5):  # seven in all
        with pytest.raises(CutOffError):
            results(cohort_on(DEVICE, spec, len(learners)), learners, env(tmp_path, advance=stopper(updates)))
    first = []
    where = env(tmp_path, advance=lambda done, total: first.append(done))
    assert_alike(results(cohort_on(DEVICE, spec, len(learners)), learners, where), expected, MOST["float64"])
    assert first[0] == rows_done(8)


def rows_done(updates: int) -> int:
    """Examples that so many updates have seen: epochs end with a smaller batch."""
    an_epoch = len(rows().ids)
    whole, rest = divmod(updates, -(-an_epoch // BATCH))
    return whole * an_epoch + rest * BATCH


def test_batches_are_halved_where_memory_runs_out(checkpoint, tmp_path) -> None:
    if IS_REHEARSAL:  # a classifier that says so from 100 tokens on
        found, expected = (
            results(cramped(checkpoint("bert"), room), jobs()[1:2], env(tmp_path / name))
            for name, room in (("tight", 100), ("roomy", 10_000))
        )
    else:
        found, expected = in_two_gibibytes(tmp_path)
    assert_alike(found, expected, MOST["float64"])
    budgets = [change[1] for change in json.loads((tmp_path / "tight/work/budgets.json").read_text())["changes"]]
    assert budgets[-1] < budgets[0]
    assert all(after in (before, before // 2) for before, after in itertools.pairwise(budgets))
    assert not (tmp_path / "roomy/work/budgets.json").exists()


def in_two_gibibytes(folder: Path) -> tuple[Any, Any]:
    """What comes of 131,072 tokens in a pass where so many do not fit, and of 4,096, which do."""
    sizes = {"hidden_size": 256, "intermediate_size": 1024, "max_position_embeddings": 512}
    model_folder = write_checkpoint(folder / "model", "llama", **sizes)
    texts = token_rows([512] * 256)
    train = LabelledRows([f"row-{number}" for number in range(256)], texts, np.linspace(0, 1, 256))
    job = TrainJob(train, validation(), run(epochs=2, batch_size=256, select="last"))
    roomy, tight = (classifier_on(DEVICE, model_folder, "float64") for _ in range(2))
    expected = results(roomy, [job], env(folder / "roomy", token_budget=4096))
    torch.cuda.empty_cache()
    whole = torch.cuda.get_device_properties(DEVICE).total_memory
    torch.cuda.set_per_process_memory_fraction((torch.cuda.memory_reserved() + 2**31) / whole)
    try:
        return results(tight, [job], env(folder / "tight", token_budget=2**17)), expected
    finally:
        torch.cuda.set_per_process_memory_fraction(1.0)


def test_a_base_in_four_bits_is_trained_as_on_the_cpu(checkpoint, tmp_path) -> None:
    pytest.importorskip("bitsandbytes", reason="a base in four bits needs the extra outshine[4bit]")
    (job, *_), tuning = jobs(), {"kind": "lora", "base": "nf4"}
    models = [classifier_on(device, checkpoint("llama"), "float32", tuning=tuning) for device in (CPU, DEVICE)]
    before = predict(models[1], rows().tokens, 0, runtime())
    expected, found = (
        results(model, [job], env(tmp_path / str(number), model.device)) for number, model in enumerate(models)
    )
    assert_alike(found, expected, MOST["float32"])
    assert np.abs(found[1][0] - before).max() > 0.1
