"""The loop against a plain reference, which weights it keeps, and when it stops."""

import hashlib
import itertools
import math

import numpy as np
import pytest
import torch
from runs import BATCH, NUM_ROWS, rows, run, run_env, trained, validation

from outshine.engine.errors import TrainingError
from outshine.engine.runtime import Runtime
from outshine.learn.batches import collate, effective_batch, predict
from outshine.learn.loop import Validation, finetune
from tiny_checkpoints import CPU, classifier_of, unflatten

NO_VALIDATION = Validation([], None)


def weights(classifier) -> dict[str, torch.Tensor]:
    return {name: parameter.detach().clone() for name, parameter in classifier.trainable().items()}


def by_the_book(classifier, train, settings, peak: float, seed: int) -> None:
    """Fine-tuning written out: each batch at once, clipping, AdamW (arXiv:1711.05101, algorithm 2) and cosine."""
    names = list(classifier.trainable())
    m = {name: torch.zeros_like(p) for name, p in classifier.trainable().items()}
    v = {name: torch.zeros_like(p) for name, p in classifier.trainable().items()}
    per_epoch = math.ceil(len(train.ids) / settings.batch_size)
    total = settings.epochs * per_epoch
    warmup = min(settings.warmup_updates, math.ceil(total / 10))
    y = torch.as_tensor(train.y)
    for t in range(total):
        epoch, k = divmod(t, per_epoch)
        hashes = [hashlib.sha256(f"batch order\x1f{seed}\x1f{epoch}\x1f{one}".encode()).digest() for one in train.ids]
        batch = np.argsort(np.array(hashes, dtype=object))[k * settings.batch_size : (k + 1) * settings.batch_size]
        z = classifier(*collate(train.tokens, batch.tolist(), 0, CPU))
        loss = torch.nn.functional.binary_cross_entropy_with_logits(z, y[batch])
        gradients = torch.autograd.grad(loss, [classifier.trainable()[name] for name in names])
        norm = math.sqrt(sum(float(g.square().sum()) for g in gradients))
        scale = min(1.0, settings.max_grad_norm / (norm + 1e-6))  # torch's guard against 0
        rate = peak * (
            (t + 1) / warmup if t < warmup else (1 + math.cos(math.pi * (t - warmup) / (total - warmup))) / 2
        )
        with torch.no_grad():
            for name, g in zip(names, gradients, strict=True):
                p = classifier.trainable()[name]
                m[name] = settings.beta1 * m[name] + (1 - settings.beta1) * scale * g
                v[name] = settings.beta2 * v[name] + (1 - settings.beta2) * (scale * g) ** 2
                m_hat = m[name] / (1 - settings.beta1 ** (t + 1))
                v_hat = v[name] / (1 - settings.beta2 ** (t + 1))
                p -= rate * (m_hat / (v_hat.sqrt() + 1e-8) + settings.weight_decay * p)


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["bert", "gpt2"])
@pytest.mark.parametrize("max_grad_norm", [1.0, 0.05])
def test_a_run_ends_at_the_weights_of_a_plain_reference(kind, max_grad_norm, checkpoint, tmp_path):
    ours, reference = (classifier_of(checkpoint(kind), "float64") for _ in range(2))
    unflatten(reference)
    before = weights(ours)
    plan = run(max_grad_norm=max_grad_norm)
    result = finetune(ours, rows(), NO_VALIDATION, plan, run_env(tmp_path, token_budget=50))
    by_the_book(reference, rows(), plan.settings, plan.learning_rate, plan.seed)
    for name, weight in weights(reference).items():
        torch.testing.assert_close(weights(ours)[name], weight, rtol=1e-6, atol=1e-9)
        assert (weight - before[name]).abs().max() > 1e-3
    clipped = [update.grad_norm > max_grad_norm for update in result.curve]
    assert any(clipped)


def test_the_curve_tells_each_update(checkpoint, tmp_path):
    seen = []
    plan = run(eval_every=5)
    result = finetune(
        classifier_of(checkpoint("bert")),
        rows(),
        validation(),
        plan,
        run_env(tmp_path, lambda done, total: seen.append((done, total))),
    )
    assert [update.step for update in result.curve] == list(range(1, 13))
    assert [update.step for update in result.curve if not math.isnan(update.val_auroc)] == [5, 10, 12]
    assert max(update.learning_rate for update in result.curve) == plan.learning_rate
    assert all(update.loss > 0 and update.grad_norm > 0 for update in result.curve)
    assert seen == [(done, 90) for done in (8, 16, 24, 30, 38, 46, 54, 60, 68, 76, 84, 90)]
    assert result.curve[-1].loss < result.curve[0].loss


@pytest.mark.slow
def test_freed_memory_goes_back_at_validations_and_not_more_often_than_asked(checkpoint, tmp_path, monkeypatch):
    given = []
    monkeypatch.setattr("outshine.engine.threads.malloc_trim", lambda: given.append("back"))
    for seconds, times in ((0.0, 3), (3600.0, 0)):
        given.clear()
        monkeypatch.setattr("outshine.learn.loop._TIDY_SECONDS", seconds)
        place = run_env(tmp_path / str(seconds))
        finetune(classifier_of(checkpoint("bert")), rows(), validation(), run(eval_every=5), place)
        assert len(given) == times


def scripted(scores: list[float], seen: list[np.ndarray]) -> Validation:
    """A validation whose scores are given; it keeps the log-odds it was shown."""
    script = iter(scores)

    def score(log_odds: np.ndarray) -> float:
        seen.append(log_odds)
        return next(script)

    return Validation(validation().tokens, score)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("scores", "select", "step"),
    [
        ([0.5, 0.8, 0.7, 0.6], "best", 6),
        ([0.6, 0.8, 0.8, 0.8], "best", 6),  # of equals, the earliest
        ([0.5, 0.5, 0.5, 0.5], "best", 3),
        ([0.1, 0.2, 0.3, 0.4], "best", 12),
        ([0.9, 0.8, 0.7, 0.6], "last", 12),
    ],
)
def test_the_weights_kept_are_the_earliest_best_on_val(scores, select, step, checkpoint, tmp_path):
    classifier, seen = classifier_of(checkpoint("bert")), []
    result = finetune(classifier, rows(), scripted(scores, seen), run(select=select), run_env(tmp_path))
    assert len(seen) == 4
    assert result.chosen_step == step
    now = predict(classifier, validation().tokens, 0, Runtime(eval_token_budget=16384))
    assert (now == seen[step // 3 - 1]).all()
    assert not (now == seen[(step // 3) % 4]).all()
    assert [u.val_auroc for u in result.curve if not math.isnan(u.val_auroc)] == scores


def test_without_a_score_the_last_weights_are_kept(checkpoint, tmp_path):
    classifier = classifier_of(checkpoint("bert"))
    result = finetune(classifier, rows(), NO_VALIDATION, run(), run_env(tmp_path))
    assert result.chosen_step == 12
    by_score = classifier_of(checkpoint("bert"))
    finetune(by_score, rows(), validation(), run(select="last"), run_env(tmp_path / "other"))
    assert all(torch.equal(p, weights(by_score)[name]) for name, p in weights(classifier).items())


@pytest.mark.parametrize(("count", "updates"), [(1, 3), (5, 3), (9, 6)])
def test_a_run_shorter_than_the_first_validation_works(count, updates, checkpoint, tmp_path):
    result = finetune(
        classifier_of(checkpoint("bert")), rows(count), validation(), run(eval_every=25), run_env(tmp_path)
    )
    assert len(result.curve) == result.chosen_step == updates
    assert 0 <= result.curve[-1].val_auroc <= 1


@pytest.mark.slow
@pytest.mark.parametrize(
    ("tuning", "loss"), [("lora", "xent"), ("lora", "logconf"), ("full", "xent"), ("head", "xent")]
)
def test_every_way_of_tuning_learns(tuning, loss, checkpoint, tmp_path):
    rate = {"lora": 1e-2, "full": 3e-3, "head": 5e-2}[tuning]
    classifier = classifier_of(checkpoint("llama"), tuning=tuning, pooling="mean")
    result = trained(classifier, tmp_path, train=rows(120), loss=loss, rate=rate, epochs=6)
    scores = [u.val_auroc for u in result.curve if not math.isnan(u.val_auroc)]
    assert max(scores) > 0.8
    frozen = {name for name, p in classifier.named_parameters() if not p.requires_grad}
    assert (tuning == "full") == (not frozen)


@pytest.mark.slow
def test_the_loss_sees_each_batchs_training_predictions_after_its_update(checkpoint, tmp_path, monkeypatch):
    from outshine.learn.losses import logconf

    events = []
    whole_call, whole_observe = logconf._RunningLogConf.__call__, logconf._RunningLogConf.observe

    def call(self, z, y, step):
        events.append(("asked", step))
        return whole_call(self, z, y, step)

    def observe(self, f):
        events.append(("observed", f.clone()))
        whole_observe(self, f)

    monkeypatch.setattr(logconf._RunningLogConf, "__call__", call)
    monkeypatch.setattr(logconf._RunningLogConf, "observe", observe)
    first = effective_batch(rows().ids, 0, BATCH, 0, {})
    at_start = predict(classifier_of(checkpoint("bert")), rows().take(first).tokens, 0, Runtime(eval_token_budget=4096))
    finetune(
        classifier_of(checkpoint("bert")),
        rows(),
        validation(),
        run("logconf"),
        run_env(tmp_path, max_rows=BATCH, batch_cost=10_000),
    )
    assert [event for event in events if event[0] == "asked"] == [("asked", step) for step in range(12)]
    assert [name for name, _ in events] == ["asked", "observed"] * 12
    observed = [f for name, f in events if name == "observed"]
    assert [len(f) for f in observed] == [8, 8, 8, 6] * 3
    np.testing.assert_allclose(observed[0].numpy(), 1 / (1 + np.exp(-at_start)), rtol=1e-5)  # in batch order


@pytest.mark.slow
def test_evaluation_reads_val_only_and_never_the_threshold(checkpoint, tmp_path):
    """With logconf, training is the same to the bit whether and on what it is validated."""
    runs = []
    for val in (NO_VALIDATION, validation(seed=1), validation(seed=2, count=90)):
        classifier = classifier_of(checkpoint("bert"))
        plan = run("logconf", select="last", eval_every=1)
        finetune(classifier, rows(), val, plan, run_env(tmp_path))
        runs.append(weights(classifier))
    for other in runs[1:]:
        assert all(torch.equal(p, other[name]) for name, p in runs[0].items())


@pytest.mark.slow
@pytest.mark.parametrize("loss", ["xent", "logconf"])
def test_micro_batches_change_a_whole_run_by_rounding_only(loss, checkpoint, tmp_path):
    results = []
    for i, budget in enumerate([1, 40, 4096]):
        classifier = classifier_of(checkpoint("bert"), "float64")
        where = run_env(tmp_path / str(i), token_budget=budget)
        finetune(classifier, rows(), validation(), run(loss), where)
        results.append(predict(classifier, rows().tokens, 0, Runtime(eval_token_budget=budget)))
    for other in results[1:]:
        np.testing.assert_allclose(other, results[0], rtol=1e-8)


@pytest.mark.slow
def test_equal_seeds_share_the_order_of_their_batches_and_others_do_not(checkpoint, tmp_path):
    def losses_of(seed: int) -> list[float]:
        classifier = classifier_of(checkpoint("bert"))
        result = finetune(classifier, rows(), NO_VALIDATION, run(seed=seed), run_env(tmp_path / str(seed)))
        return [update.loss for update in result.curve]

    assert losses_of(0) == losses_of(0) != losses_of(1)


def test_a_run_that_diverges_stops_with_one_clear_line(checkpoint, tmp_path):
    with pytest.raises(
        TrainingError, match=r"the log-odds of \d+ of 60 texts are not finite|training diverged"
    ) as caught:
        trained(classifier_of(checkpoint("gpt2"), tuning="full"), tmp_path, rate=1e30, warmup_updates=0)
    assert "lower the learning rate" in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("where", ["head", "lora_B"])
def test_a_nan_stops_training_before_it_spreads(where, checkpoint, tmp_path):
    classifier = classifier_of(checkpoint("bert"))
    before = weights(classifier)
    broken = next(name for name in before if name.endswith(where))
    with torch.no_grad():
        classifier.trainable()[broken].view(-1)[0] = math.nan
    with pytest.raises(TrainingError, match=r"training diverged at update 1 of 12 \(loss nan, gradient norm nan\)"):
        trained(classifier, tmp_path)
    for name, weight in weights(classifier).items():
        assert torch.equal(weight, before[name]) or name == broken
    assert not (tmp_path / "work").exists()


@pytest.mark.slow
def test_predictions_are_in_the_order_of_the_texts_whatever_the_budget(checkpoint):
    classifier = classifier_of(checkpoint("bert"), "float64")
    tokens = rows().tokens
    alone = [classifier(*collate(tokens, [i], 0, CPU)).item() for i in range(NUM_ROWS)]
    for budget, max_rows in itertools.product((1, 60, 16384), (None, BATCH)):
        seen = []
        found = predict(
            classifier,
            tokens,
            0,
            Runtime(eval_token_budget=budget, max_eval_rows=max_rows),
            lambda done, total, seen=seen: seen.append((done, total)),
        )
        assert found.dtype == np.float64
        np.testing.assert_allclose(found, alone, rtol=1e-10)
        assert seen[-1] == (NUM_ROWS, NUM_ROWS)


def test_predictions_that_are_not_finite_are_refused(checkpoint):
    classifier = classifier_of(checkpoint("bert"))
    with torch.no_grad():
        classifier.head.fill_(math.inf)
    with pytest.raises(TrainingError, match="log-odds of 30 of 30 texts are not finite"):
        predict(classifier, rows().tokens, 0, Runtime(eval_token_budget=4096))


@pytest.mark.slow
def test_nothing_is_drawn_from_or_depends_on_the_global_random_state(checkpoint, tmp_path):
    import random

    folder, results = checkpoint("roberta"), []
    for seed in (1, 2):
        random.seed(seed)
        np.random.seed(seed)  # noqa: NPY002  # the global state is the point
        torch.manual_seed(seed)
        # Python's own state is left out: the type checker of these tests samples with it
        states = torch.get_rng_state(), np.random.get_state()[1].copy()  # noqa: NPY002
        classifier = classifier_of(folder)
        trained(classifier, tmp_path / str(seed), loss="logconf")
        results.append(predict(classifier, rows().tokens, 0, Runtime(eval_token_budget=4096)))
        assert torch.equal(torch.get_rng_state(), states[0])
        assert (np.random.get_state()[1] == states[1]).all()  # noqa: NPY002
    assert (results[0] == results[1]).all()


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["bert", "gpt2", "opt", "deberta-v2"])
def test_dropout_is_off_in_training(kind, tmp_path):
    from tiny_checkpoints import change_config, write_checkpoint

    folder = write_checkpoint(tmp_path / "model", kind)
    names = ("attention_dropout", "attention_probs_dropout_prob", "attn_pdrop", "dropout", "embd_pdrop")
    results = []
    for rate in (0.0, 0.5):
        change_config(folder, **dict.fromkeys([*names, "hidden_dropout_prob", "resid_pdrop", "layerdrop"], rate))
        classifier = classifier_of(folder)
        trained(classifier, tmp_path / str(rate))
        results.append(weights(classifier))
    assert all(torch.equal(p, results[1][name]) for name, p in results[0].items())
