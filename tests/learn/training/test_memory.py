"""Where memory runs out the batches get smaller, the update stays the same, and a resumed run cuts them alike."""

import json

import numpy as np
import pytest
import torch
from runs import rows, run, run_env, validation
from test_resume import CutOffError, same, stopper

from outshine.engine.errors import SettingsError, TrainingError
from outshine.engine.process_group import ProcessGroup
from outshine.engine.runtime import Runtime
from outshine.learn.activations import LayerReader, states_of
from outshine.learn.batches import predict
from outshine.learn.classifier import Classifier
from outshine.learn.load import load_backbone
from outshine.learn.loop import finetune, predict_fitting
from outshine.learn.model_cache import classifier
from outshine.learn.out_of_memory import Budgets, TooLittleMemoryError, halving, is_out_of_memory
from outshine.learn.tokenize import PairTokens
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
    where = run_env(folder, advance, checkpoint_seconds=0, **runtime)
    result = finetune(classifier, rows(), validation(), run("logconf"), where)
    return result, predict_fitting(classifier, rows().tokens, where, 12)[0]


@pytest.mark.slow
def test_too_little_memory_changes_a_run_by_rounding_only(checkpoint, tmp_path):
    roomy, tight = (cramped(checkpoint("bert"), room) for room in (10_000, 100))
    expected, log_odds = whole_run(roomy, tmp_path / "roomy")
    found, others = whole_run(tight, tmp_path / "tight")
    assert roomy.largest > 200
    assert tight.largest <= 100
    np.testing.assert_allclose(np.array(found.curve)[:, 1:], np.array(expected.curve)[:, 1:], rtol=1e-8)
    np.testing.assert_allclose(others, log_odds, rtol=1e-8)
    assert not (tmp_path / "roomy" / "work" / "budgets.json").exists()


@pytest.mark.slow
def test_the_smaller_budgets_are_written_down_from_the_update_on_that_needed_them(checkpoint, tmp_path):
    whole_run(cramped(checkpoint("bert"), 100), tmp_path)
    kept = json.loads((tmp_path / "work" / "budgets.json").read_text())["changes"]
    assert kept[0] == [0, *Runtime().budget("cpu")[:2], False]
    assert [kept[0][i] // kept[-1][i] for i in (1, 2)] == [2 ** (len({one[i] for one in kept}) - 1) for i in (1, 2)]
    steps = [one[0] for one in kept]
    assert steps == sorted(steps)
    assert max(steps) >= 2  # the first validation comes after the third update


class Miserly(Cramped):
    """It needs eight times the room for gradients, and only as much as without where its blocks are run again."""

    def log_odds(self, input_ids, mask):
        again = all("forward" in vars(block) for block in self.blocks())
        if input_ids.numel() * (8 if torch.is_grad_enabled() and not again else 1) > self.room:
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB.")
        if torch.is_grad_enabled():
            self.largest = max(self.largest, input_ids.numel())
        return Classifier.log_odds(self, input_ids, mask)


def miserly(folder, room: int) -> Miserly:
    spec = spec_of(folder, "float64")
    made = Miserly(load_backbone(spec, CPU), spec, 0)
    made.room = room
    return made


@pytest.mark.slow
def test_where_one_text_does_not_fit_blocks_are_run_again_and_budgets_begin_anew(checkpoint, tmp_path):
    expected, log_odds = whole_run(cramped(checkpoint("bert"), 10_000), tmp_path / "roomy")
    tight = miserly(checkpoint("bert"), 100)  # texts have up to 19 tokens
    found, others = whole_run(tight, tmp_path / "tight", token_budget=64)
    np.testing.assert_allclose(np.array(found.curve)[:, 1:], np.array(expected.curve)[:, 1:], rtol=1e-8)
    np.testing.assert_allclose(others, log_odds, rtol=1e-8)
    assert tight.largest > 100 / 8
    kept = json.loads((tmp_path / "tight" / "work" / "budgets.json").read_text())["changes"]
    assert [one[1] for one in kept if not one[3]] == [64, 32, 16]
    assert next(one[1] for one in kept if one[3]) == 64
    assert all("forward" not in vars(block) for block in tight.blocks())


@pytest.mark.slow
@pytest.mark.parametrize(
    ("made", "room", "cut_after"),
    [
        (cramped, 100, (1, 8)),
        (miserly, 60, (5,)),
        pytest.param(cramped, 100, (4,), marks=pytest.mark.exhaustive),
        pytest.param(miserly, 60, (1,), marks=pytest.mark.exhaustive),
    ],
)
def test_a_resumed_run_cuts_its_batches_and_runs_its_blocks_again_as_before(
    made, room, cut_after, checkpoint, tmp_path
):
    expected, log_odds = whole_run(made(checkpoint("bert"), room), tmp_path / "whole")
    for updates in cut_after:
        cut = tmp_path / str(updates)
        with pytest.raises(CutOffError):
            whole_run(made(checkpoint("bert"), room), cut, stopper(updates))
        found, again = whole_run(made(checkpoint("bert"), room), cut)
        assert same(found, expected), updates
        assert (again == log_odds).all(), updates


def test_prediction_is_never_checkpointed(tmp_path):
    budgets = Budgets(Runtime(eval_token_budget=64), tmp_path / "budgets.json", "cpu")

    def full(runtime: Runtime) -> int:
        assert not runtime.gradient_checkpointing
        raise torch.OutOfMemoryError("CUDA out of memory")

    with pytest.raises(TrainingError, match="one text at a time"):
        budgets.fitting(0, "eval_token_budget", full, 16)


def test_budgets_of_a_run_that_began_with_others_are_not_used(tmp_path):
    path = tmp_path / "budgets.json"
    Budgets(Runtime(token_budget=64), path, "cpu").fitting(3, "token_budget", failing_above(16), 1)
    assert Budgets(Runtime(token_budget=64), path, "cpu").at(3).token_budget == 16
    assert Budgets(Runtime(token_budget=64), path, "cpu").at(2).token_budget == 64
    assert Budgets(Runtime(token_budget=32), path, "cpu").at(3).token_budget == 32
    assert Budgets(Runtime(token_budget=64, gradient_checkpointing=True), path, "cpu").at(3).token_budget == 64


@pytest.mark.parametrize(
    "text",
    [
        b"",
        b"\xff",
        b"[]",
        b"null",
        b'{"changes": 1, "sha256": ""}',
        b"[" * 100_000,
        lambda text: text.replace(b"32", b"99"),
        lambda text: text.replace(b"[[0", b"[[1"),
    ],
    ids=["empty", "no UTF-8", "a list", "null", "no digest", "too deep", "another number", "another change"],
)
def test_budgets_that_are_not_as_they_were_written_are_not_used(tmp_path, text):
    path = tmp_path / "budgets.json"
    Budgets(Runtime(token_budget=64), path, "cpu").fitting(3, "token_budget", failing_above(32), 1)
    assert Budgets(Runtime(token_budget=64), path, "cpu").at(3).token_budget == 32
    path.write_bytes(text(path.read_bytes()) if callable(text) else text)
    assert Budgets(Runtime(token_budget=64), path, "cpu").at(3).token_budget == 64


class OneOfTwo(ProcessGroup):
    """A process with a partner that waits for it."""

    rank, size = 1, 2


def test_processes_that_share_a_model_start_again_with_half_the_budget(tmp_path):
    path = tmp_path / "budgets.json"
    for expected in ("64", "32"):
        with pytest.raises(
            SettingsError, match=rf"out of memory with runtime.token_budget: {expected}; the next start"
        ):
            Budgets(Runtime(token_budget=64), path, "cpu", OneOfTwo()).fitting(3, "token_budget", failing_above(16), 1)
    assert (
        Budgets(Runtime(token_budget=64), path, "cpu", OneOfTwo()).fitting(3, "token_budget", failing_above(16), 1)
        == 16
    )


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
        Budgets(Runtime(), tmp_path / "budgets.json", "cpu").fitting(0, "token_budget", broken, 1)
    assert not (tmp_path / "budgets.json").exists()
    assert is_out_of_memory(torch.OutOfMemoryError("CUDA out of memory"))
    assert is_out_of_memory(RuntimeError("MPS backend out of memory (MPS allocated: 1.0 GB)"))


def test_predictions_are_the_same_in_the_batches_that_fit(checkpoint):
    roomy, tight = (cramped(checkpoint("bert"), room) for room in (10_000, 40))
    expected, found = (predict(model, rows().tokens, 0, Runtime(device="cpu")) for model in (roomy, tight))
    assert roomy.largest > 80
    assert tight.largest <= 40
    np.testing.assert_allclose(found, expected, rtol=1e-8)
    with pytest.raises(torch.OutOfMemoryError):
        predict(cramped(checkpoint("bert"), 2), rows().tokens, 0, Runtime(device="cpu"))


@pytest.mark.parametrize("sharing", ["any", "none"])
@pytest.mark.parametrize("pairs", [False, True])
def test_activations_are_the_same_in_the_batches_that_fit(checkpoint, pairs, sharing):
    backbone = load_backbone(spec_of(checkpoint("llama"), "float64"), CPU)
    reader, largest = LayerReader(backbone, 3, [1, 3], "mean"), []

    def cramped_reader(input_ids, mask):
        if len(input_ids) > 4:
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB.")
        largest.append(len(input_ids))
        return reader(input_ids, mask)

    cramped_reader.backbone = backbone
    texts = rows().tokens[:14]
    given = [PairTokens(*both) for both in zip(texts[::2], texts[1::2], strict=True)] if pairs else texts
    expected = states_of(reader, given, 0, CPU, sharing)
    found = states_of(cramped_reader, given, 0, CPU, sharing)
    assert max(largest) <= 4
    for layer in (1, 3):
        torch.testing.assert_close(found[layer], expected[layer])


def test_half_as_much_is_tried_each_time_and_other_errors_are_not_hidden():
    tried = []

    def compute(budget: int) -> int:
        tried.append(budget)
        if budget > 10:
            raise MemoryError
        return budget

    assert halving(compute, 50) == 6
    assert tried == [50, 25, 12, 6]
    with pytest.raises(MemoryError):
        halving(compute, 50, least=20)
    with pytest.raises(RuntimeError, match="shapes"):
        halving(lambda budget: (_ for _ in ()).throw(RuntimeError("shapes differ")), 50)


def test_a_model_that_does_not_fit_is_a_sentence_and_the_next_finds_an_empty_place(checkpoint, monkeypatch):
    spec, memory = spec_of(checkpoint("llama")), {}

    def full(*given):
        raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB.")

    def use() -> None:
        with classifier(spec, 0, CPU, memory):
            pass

    with monkeypatch.context() as patched:
        patched.setattr("outshine.learn.model_cache.load_backbone", full)
        with pytest.raises(TooLittleMemoryError, match=r"'cpu' with the model .*nf4"):
            use()
    with pytest.raises(RuntimeError, match="shapes"), classifier(spec, 0, CPU, memory):
        raise RuntimeError("shapes differ")
    with classifier(spec, 0, CPU, memory) as fresh:
        assert fresh.device == CPU
