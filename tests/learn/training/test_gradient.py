"""A micro-batch is a memory matter only: the gradient of an effective batch is the same however it is cut."""

from typing import Any

import numpy as np
import pytest
import torch

from outshine.engine.runtime import Runtime
from outshine.learn.batches import LabelledRows, collate, micro_batches, training_limits
from outshine.learn.loop import accumulate_gradient
from outshine.learn.losses import RunningLoss, cross_entropy, losses
from tiny_checkpoints import CPU, classifier_of, clear_gradients, gradients, token_rows

LENGTHS = [3, 17, 9, 9, 1, 30, 12, 5, 8, 8, 21, 2, 14, 6, 11, 7, 4, 19, 10, 13, 9, 25, 3, 16, 5, 28, 2, 7, 18, 6, 11, 9]
SIZE = len(LENGTHS)
LOSSES = losses.names()

# 32 rows of at most 30 tokens: 960 padded tokens at once; a budget of 1 takes each row alone.
# Batches are dear, so that no more are cut than the budget asks for
BUDGETS = {
    1: Runtime(token_budget=960, batch_cost=960),
    4: Runtime(token_budget=160, batch_cost=160),
    32: Runtime(token_budget=1),
}

# Not in the float64 claim, by their own code in transformers: GPT-Neo computes attention in float32 whatever the
# dtype (sums over a padded row differ by 1e-7, cancellation enlarges that in small entries), and Gemma 2's
# softmax in float32 turns the float64 mask into infinities. RMSNorm (Llama, Qwen, Mistral) also rounds to
# float32, but token by token, hence to the same bits in every batch.
FLOAT64 = ["bert", "deberta-v2", "gpt2", "llama", "modernbert", "opt"]
FLOAT32 = [*FLOAT64, "gemma2", "gpt_neo"]


def pairs(kinds: list[str], others: Any = ()) -> list[Any]:
    """Every architecture with one loss, two of them with every loss, under the marks given: a loss sees log-odds alone."""
    return [
        pytest.param(kind, loss, marks=() if loss == "logconf" else others)
        for kind in kinds
        for loss in LOSSES
        if loss == "logconf" or kind in ("bert", "gpt2")
    ]


def batch() -> LabelledRows:
    y = np.random.default_rng(0).random(SIZE)
    return LabelledRows([f"row {i}" for i in range(SIZE)], token_rows(LENGTHS), y)


def running(name: str) -> RunningLoss:
    """A loss in the middle of its run: fully faded in, its memory filled."""
    loss = losses.get(name)().start(torch.as_tensor(batch().y), 40)
    loss.observe(torch.linspace(0.2, 0.9, 40, dtype=torch.float64))
    return loss


def gradient(classifier, loss: RunningLoss, runtime: Runtime) -> dict[str, torch.Tensor]:
    clear_gradients(classifier)
    accumulate_gradient(classifier, batch().tokens, [batch().y], [loss], 30, 0, runtime)
    return {name: part for name, part in gradients(classifier)[0].items() if part is not None}


def flat(gradients: dict[str, torch.Tensor]) -> torch.Tensor:
    return torch.cat([tensor.flatten().double() for tensor in gradients.values()])


def test_the_budgets_cut_the_batch_into_1_4_and_32_pieces():
    for pieces, runtime in BUDGETS.items():
        assert len(micro_batches(LENGTHS, range(SIZE), training_limits(runtime, "cpu"))) == pieces


@pytest.mark.slow
@pytest.mark.parametrize(("kind", "loss"), pairs(FLOAT32, pytest.mark.exhaustive))  # float64 tells more
def test_in_float32_the_whole_gradient_agrees_to_1e_5(kind, loss, checkpoint):
    classifier = classifier_of(checkpoint(kind), num_layers=2)
    whole = flat(gradient(classifier, running(loss), BUDGETS[1]))
    assert whole.norm() > 1e-3
    for pieces in (4, 32):
        cut = flat(gradient(classifier, running(loss), BUDGETS[pieces]))
        assert (cut - whole).norm() / whole.norm() <= 1e-5


@pytest.mark.slow
@pytest.mark.parametrize(("kind", "loss"), pairs(FLOAT64))
def test_in_float64_every_entry_agrees_to_1e_5(kind, loss, checkpoint):
    classifier = classifier_of(checkpoint(kind), "float64", num_layers=2)
    whole = flat(gradient(classifier, running(loss), BUDGETS[1]))
    for pieces in (4, 32):
        cut = flat(gradient(classifier, running(loss), BUDGETS[pieces]))
        assert ((cut - whole).abs() <= 1e-5 * whole.abs()).all()
        assert whole.count_nonzero() > 0.9 * whole.numel()  # a dead ReLU has none


@pytest.mark.slow
@pytest.mark.parametrize("tuning", ["lora", "full", "head"])
@pytest.mark.parametrize("loss", ["xent", "logconf"])
def test_invariance_holds_for_every_way_of_tuning(tuning, loss, checkpoint):
    classifier = classifier_of(checkpoint("bert"), "float64", tuning=tuning)
    pieces = [gradient(classifier, running(loss), runtime) for runtime in BUDGETS.values()]
    assert set(pieces[0]) == set(pieces[1]) == set(pieces[2])
    for cut in pieces[1:]:
        torch.testing.assert_close(flat(cut), flat(pieces[0]), rtol=1e-5, atol=1e-16)


def test_it_is_the_gradient_of_the_mean_over_the_batchs_own_size(checkpoint):
    classifier = classifier_of(checkpoint("bert"), "float64")
    rows = batch().take(range(11))  # the last batch of an epoch may be smaller
    (outcome,) = accumulate_gradient(
        classifier, rows.tokens, [rows.y], [running("xent")], 0, 0, Runtime(token_budget=64)
    )
    ours = gradients(classifier)[0]
    clear_gradients(classifier)
    one_by_one = [classifier(*collate(rows.tokens, [i], 0, CPU)) for i in range(11)]
    z = torch.cat(one_by_one)
    mean = torch.nn.functional.binary_cross_entropy_with_logits(z, torch.as_tensor(rows.y))
    mean.backward()
    torch.testing.assert_close(outcome.log_odds, z.detach())  # in batch order, not in that of the lengths
    assert outcome.loss == pytest.approx(mean.item(), rel=1e-12)
    for name, expected in gradients(classifier)[0].items():
        torch.testing.assert_close(ours[name], expected, rtol=1e-9, atol=1e-15)


def test_row_limits_cut_as_budgets_do(checkpoint):
    classifier = classifier_of(checkpoint("gpt2"), "float64")
    whole = flat(gradient(classifier, running("logconf"), BUDGETS[1]))
    cut = flat(gradient(classifier, running("logconf"), Runtime(token_budget=960, max_rows=5)))
    torch.testing.assert_close(cut, whole, rtol=1e-9, atol=1e-16)


def test_gradients_add_to_what_is_there(checkpoint):
    classifier = classifier_of(checkpoint("gpt2"), "float64")
    once = flat(gradient(classifier, running("xent"), BUDGETS[4]))
    accumulate_gradient(classifier, batch().tokens, [batch().y], [running("xent")], 30, 0, BUDGETS[4])
    torch.testing.assert_close(flat(gradients(classifier)[0]), 2 * once)


def test_a_loss_that_looks_at_its_neighbours_would_be_caught(checkpoint):
    class Neighbours(RunningLoss):
        def __call__(self, z, y, step):
            return cross_entropy(z, y) * (z.detach() > z.detach().mean())

    classifier = classifier_of(checkpoint("bert"))
    whole, cut = (flat(gradient(classifier, Neighbours(), BUDGETS[pieces])) for pieces in (1, 4))
    assert (cut - whole).norm() / whole.norm() > 1e-2
