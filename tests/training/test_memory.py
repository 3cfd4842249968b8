"""Where memory runs out the batches get smaller, the update stays the same, and a resumed run cuts them alike."""

import json

import numpy as np
import pytest
import torch
from runs import machine, rows, run, validation
from test_resume import CutOffError, same, stopper

from outshine.core.errors import SettingsError, TrainingError
from outshine.core.runtime import Runtime
from outshine.core.team import Team
from outshine.models.classifier import Classifier
from outshine.models.loading import load_backbone
from outshine.training.loop import finetune, predict_fitting
from outshine.training.memory import Budgets, is_out_of_memory
from tiny_checkpoints import CPU, spec_of


class Cramped(Classifier):
    """A classifier on a device that holds so many padded tokens; with gradients it needs twice the room."""

    room = 10_000
    largest = 0

    def log_odds(self, input_ids, mask):
        tokens = input_ids.numel() * (2 if torch.is_grad_enabled() else 1)
        if tokens > self.room:
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB.")
        self.largest = max(self.largest, tokens)
        return super().log_odds(input_ids, mask)


def cramped(folder, room: int) -> Cramped:
    spec = spec_of(folder, "float64")
    made = Cramped(load_backbone(spec, CPU), spec, 0)
    made.room = room
    return made


def whole_run(classifier, folder, advance=lambda done, total: None, **runtime):
    where = machine(folder, advance, checkpoint_seconds=0, **runtime)
    result = finetune(classifier, rows(), validation(), run("logconf"), where)
    return result, predict_fitting(classifier, rows().tokens, where, 12)[0]


def test_too_little_memory_changes_a_run_by_rounding_only(checkpoint, tmp_path):
    roomy, tight = (cramped(checkpoint("bert"), room) for room in (10_000, 100))
    expected, log_odds = whole_run(roomy, tmp_path / "roomy")
    found, others = whole_run(tight, tmp_path / "tight")
    assert roomy.largest > 200
    assert tight.largest <= 100
    np.testing.assert_allclose(np.array(found.curve)[:, 1:], np.array(expected.curve)[:, 1:], rtol=1e-8)
    np.testing.assert_allclose(others, log_odds, rtol=1e-8)
    assert not (tmp_path / "roomy" / "work" / "budgets.json").exists()


def test_the_smaller_budgets_are_written_down_from_the_update_on_that_needed_them(checkpoint, tmp_path):
    whole_run(cramped(checkpoint("bert"), 100), tmp_path)
    kept = json.loads((tmp_path / "work" / "budgets.json").read_text())
    assert kept[0] == [0, 2048, 8192]
    assert [2048 // kept[-1][1], 8192 // kept[-1][2]] == [2 ** (len({one[i] for one in kept}) - 1) for i in (1, 2)]
    steps = [one[0] for one in kept]
    assert steps == sorted(steps)
    assert max(steps) >= 2  # the first validation comes after the third update


@pytest.mark.parametrize("updates", [1, 4, 8])
def test_a_resumed_run_cuts_its_batches_alike(updates, checkpoint, tmp_path):
    expected, log_odds = whole_run(cramped(checkpoint("bert"), 100), tmp_path / "whole")
    with pytest.raises(CutOffError):
        whole_run(cramped(checkpoint("bert"), 100), tmp_path / "cut", stopper(updates))
    found, again = whole_run(cramped(checkpoint("bert"), 100), tmp_path / "cut")
    assert same(found, expected)
    assert (again == log_odds).all()


def test_budgets_of_a_run_that_began_with_others_are_not_used(tmp_path):
    path = tmp_path / "budgets.json"
    Budgets(Runtime(token_budget=64), path).fitting(3, "token_budget", failing_above(16), 1)
    assert Budgets(Runtime(token_budget=64), path).at(3).token_budget == 16
    assert Budgets(Runtime(token_budget=64), path).at(2).token_budget == 64
    assert Budgets(Runtime(token_budget=32), path).at(3).token_budget == 32


class OneOfTwo(Team):
    """A process with a partner that waits for it."""

    rank, size = 1, 2


def test_processes_that_share_a_model_start_again_with_half_the_budget(tmp_path):
    path = tmp_path / "budgets.json"
    for expected in ("64", "32"):
        with pytest.raises(
            SettingsError, match=rf"out of memory with runtime.token_budget: {expected}; the next start"
        ):
            Budgets(Runtime(token_budget=64), path, OneOfTwo()).fitting(3, "token_budget", failing_above(16), 1)
    assert Budgets(Runtime(token_budget=64), path, OneOfTwo()).fitting(3, "token_budget", failing_above(16), 1) == 16


def failing_above(most: int):
    def compute(runtime: Runtime) -> int:
        if runtime.token_budget > most:
            raise RuntimeError("[enforce fail at alloc_cpu.cpp:118] DefaultCPUAllocator: can't allocate memory")
        return runtime.token_budget

    return compute


def test_where_not_one_text_fits_the_message_says_what_to_do(checkpoint, tmp_path):
    with pytest.raises(TrainingError, match=r"out of memory with one text at a time \(\d+ tokens\); use a smaller"):
        whole_run(cramped(checkpoint("bert"), 10), tmp_path)


def test_other_errors_are_no_matter_of_memory(tmp_path):
    def broken(runtime: Runtime) -> int:
        raise RuntimeError("mat1 and mat2 shapes cannot be multiplied")

    with pytest.raises(RuntimeError, match="cannot be multiplied"):
        Budgets(Runtime(), tmp_path / "budgets.json").fitting(0, "token_budget", broken, 1)
    assert not (tmp_path / "budgets.json").exists()
    assert is_out_of_memory(torch.OutOfMemoryError("CUDA out of memory"))
    assert is_out_of_memory(RuntimeError("MPS backend out of memory (MPS allocated: 1.0 GB)"))
