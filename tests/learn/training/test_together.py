"""A cohort's members end where they would have ended alone, and one that fails leaves the others as they were."""

import math
from pathlib import Path

import numpy as np
import pytest
from runs import rows, run, run_env, validation
from test_resume import CutOffError, same, stopper

from outshine.engine.errors import TrainingError
from outshine.engine.runtime import Runtime
from outshine.learn.batches import predict, predict_together
from outshine.learn.classifier import Classifier, Cohort
from outshine.learn.load import load_backbone
from outshine.learn.loop import TrainJob, TrainResult, Validation, finetune, finetune_together
from tiny_checkpoints import CPU, spec_of

LOSSES = ["xent", "logconf", "entropy", "window"]
RATES = [5e-3, 2e-3, 5e-3, 1e-2]


def jobs() -> list[TrainJob]:
    """Same texts; labels, losses, learning rates, clipping and selection of their own."""
    made = []
    for i, (loss, rate) in enumerate(zip(LOSSES, RATES, strict=True)):
        train = rows()
        labels = train.y if i % 2 else 1 - train.y[::-1]
        own = run(loss, rate, max_grad_norm=[1.0, 0.05][i % 2], select=["best", "last"][i == 3])
        made.append(TrainJob(train._replace(y=labels.copy()), validation(), own))
    return made


def together(folder: Path, path: Path, learners: list[TrainJob], dtype: str = "float32", **how):
    spec = spec_of(path, dtype)
    members = Cohort(load_backbone(spec, CPU), spec, [job.run.seed for job in learners])
    results = finetune_together(members, learners, run_env(folder, **how))
    return results, predict_together(members, rows().tokens, 0, Runtime(eval_token_budget=4096))


def alone(folder: Path, path: Path, job: TrainJob, dtype: str = "float32"):
    spec = spec_of(path, dtype)
    classifier = Classifier(load_backbone(spec, CPU), spec, job.run.seed)
    return finetune(classifier, *job, run_env(folder)), predict(
        classifier, rows().tokens, 0, Runtime(eval_token_budget=4096)
    )


@pytest.mark.slow
@pytest.mark.parametrize(
    ("kind", "dtype", "most"),
    [
        ("bert", "float64", 1e-8),
        ("llama", "float32", 1e-4),
        ("gpt2", "float64", 1e-8),
        pytest.param("bert", "float32", 1e-4, marks=pytest.mark.exhaustive),
        pytest.param("llama", "float64", 1e-8, marks=pytest.mark.exhaustive),
        pytest.param("gpt2", "float32", 1e-4, marks=pytest.mark.exhaustive),
    ],
)
def test_each_member_ends_where_it_would_have_ended_alone(kind, dtype, most, checkpoint, tmp_path):
    results, log_odds = together(tmp_path, checkpoint(kind), jobs(), dtype, token_budget=100)
    for i, job in enumerate(jobs()):
        expected, own = alone(tmp_path / str(i), checkpoint(kind), job, dtype)
        assert results[i].chosen_step == expected.chosen_step
        np.testing.assert_allclose(np.array(results[i].curve)[:, 1:], np.array(expected.curve)[:, 1:], rtol=1e-3)
        assert np.abs(log_odds[i] - own).max() <= most
        assert own.std() > 10 * most
    assert not np.allclose(log_odds[0], log_odds[1], atol=1e-2)


@pytest.mark.slow
def test_an_interrupted_cohort_ends_with_the_same_bits(checkpoint, tmp_path):
    expected, log_odds = together(tmp_path / "whole", checkpoint("bert"), jobs(), checkpoint_seconds=0)
    with pytest.raises(CutOffError):
        together(tmp_path / "cut", checkpoint("bert"), jobs(), checkpoint_seconds=0, advance=stopper(5))
    seen = []
    results, again = together(
        tmp_path / "cut",
        checkpoint("bert"),
        jobs(),
        checkpoint_seconds=0,
        advance=lambda done, total: seen.append(done),
    )
    assert len(seen) == 7
    assert all(same(one, other) for one, other in zip(results, expected, strict=True))
    assert (again == log_odds).all()


@pytest.mark.slow
def test_a_checkpoint_of_another_cohort_is_none(checkpoint, tmp_path):
    with pytest.raises(CutOffError):
        together(tmp_path, checkpoint("bert"), jobs(), checkpoint_seconds=0, advance=stopper(5))
    seen = []
    together(tmp_path, checkpoint("bert"), jobs()[:3], advance=lambda done, total: seen.append(done))
    assert len(seen) == 12


@pytest.mark.slow
@pytest.mark.parametrize("failing", [0, 2])
def test_a_member_that_diverges_stops_none_of_the_others(failing, checkpoint, tmp_path):
    learners = jobs()
    learners[failing].train.y[3] = math.nan
    results, log_odds = together(tmp_path / "broken", checkpoint("bert"), learners, token_budget=100)
    expected, right = together(tmp_path / "right", checkpoint("bert"), jobs(), token_budget=100)
    assert isinstance(results[failing], TrainingError)
    assert "training diverged at update" in str(results[failing])
    for i in set(range(4)) - {failing}:
        assert isinstance(results[i], TrainResult)
        assert same(results[i], expected[i])
        assert (log_odds[i] == right[i]).all()


@pytest.mark.slow
def test_members_without_a_validation_stand_beside_those_with_one(checkpoint, tmp_path):
    learners = jobs()
    learners[1] = learners[1]._replace(val=Validation(learners[1].val.tokens, None))
    results, _ = together(tmp_path, checkpoint("bert"), learners)
    assert results[1].chosen_step == 12
    assert all(math.isnan(update.val_auroc) for update in results[1].curve)
    assert any(not math.isnan(update.val_auroc) for update in results[0].curve)
