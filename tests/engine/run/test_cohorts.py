"""Which fine-tunings are computed in one pass, that it changes nothing, and that they are committed together."""

from __future__ import annotations

from typing import ClassVar

import pandas as pd
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from plan_studies import GRID

from outshine.engine.progress import Silent
from outshine.engine.run.failures import StagesFailedError
from outshine.engine.run.local import LocalExecutor
from outshine.engine.run.schedule import units
from outshine.engine.runtime import Runtime
from outshine.engine.stage import Stage, in_order
from outshine.engine.store.folder import FolderBackend
from outshine.engine.store.store import Store
from outshine.learn import loop
from outshine.w2s.compute_study import by_model
from outshine.w2s.expand import expand, resolve_study
from outshine.w2s.stages.finetune import Finetune, Supervised
from outshine.w2s.study_file import parse_study

SMALL = {
    "datasets": ["tiny-home", "tiny-pet"],
    "weak": "tiny/weak",
    "strong": "tiny/strong",
    "compute_dtype": "float32",
    "loss": "xent",
    "seeds": [0, 1],
    "training": {"epochs": 1, "eval_every": 2},
    "splits": {"n_train": 64, "n_val": 40, "n_test": 40},
}


def stages_of(store: Store, **settings):
    """A study's stages, its data prepared."""
    resolution = resolve_study(parse_study({**SMALL, **settings}))
    LocalExecutor(store, Runtime(threads=1), Silent()).run(resolution.prepares)
    return in_order(by_model(expand(resolution, store)))


class Step(Stage):
    stage: ClassVar[str] = "step"
    n: int
    before: tuple[Step, ...] = ()

    def run(self, context) -> None: ...


@given(st.lists(st.lists(st.integers(0, 99), max_size=3), min_size=1, max_size=14), st.randoms(use_true_random=False))
def test_of_what_is_ready_the_first_in_the_given_order_comes_next(readings, random):
    steps: list[Step] = []
    for n, chosen in enumerate(readings):
        steps.append(Step(n=n, before=tuple(steps[i % n] for i in chosen) if n else ()))
    given_order = in_order(random.sample(steps, random.randint(1, len(steps))))
    left, expected = list(given_order), []
    while left:
        ready = next(one for one in left if not set(one.before) & set(left))
        expected.append(ready)
        left.remove(ready)
    assert [unit for (unit,) in units(given_order, 8)] == expected


def finetunings(found):
    return [tuple(stage for stage in unit if isinstance(stage, Finetune)) for unit in found]


@pytest.mark.slow
@pytest.mark.parametrize("most", [1, 2, 3, 8])
def test_every_stage_comes_once_after_its_inputs_and_no_cohort_is_too_large(store, most):
    stages = stages_of(store, methods=GRID, controls=True)
    found = units(stages, most)
    assert sorted(stage.key for unit in found for stage in unit) == sorted(stage.key for stage in stages)
    done: set[str] = set()
    for unit in found:
        assert len(unit) <= most
        assert {one.key for stage in unit for one in in_order([stage])} <= done | {stage.key for stage in unit}
        assert not {one.key for stage in unit for one in stage.inputs()} & {stage.key for stage in unit}
        done |= {stage.key for stage in unit}


def test_those_of_one_base_and_texts_stand_together_and_the_ceiling_joins_the_students(store):
    stages = stages_of(store, methods=GRID, datasets=["tiny-home"], seeds=[0])
    cohorts = [unit for unit in finetunings(units(stages, 8)) if len(unit) > 1]
    (students,) = cohorts
    assert all(stage.batch_group_key == students[0].batch_group_key for stage in students)
    # the ceiling, two vanilla students, one of a probe's labels; filtered ones and the second round stand apart
    assert len(students) == 4
    assert sum(isinstance(stage, Supervised) for stage in students) == 1
    assert all(len(unit) <= 1 for unit in finetunings(units(stages, 1)))


@pytest.mark.parametrize(
    ("change", "shared"),
    [
        ({"learning_rate": 1e-4}, True),
        ({"training": {"max_grad_norm": 0.5, "weight_decay": 0.0}}, True),
        ({"seed": 5}, False),
        ({"train_split": "weak_train"}, False),
        ({"training": {"batch_size": 16}}, False),
        ({"training": {"epochs": 2}}, False),
        ({"training": {"eval_every": 7}}, False),
        ({"classifier": {"max_length": 9}}, False),
        ({"classifier": {"compute_dtype": "bfloat16"}}, False),
    ],
    ids=str,
)
def test_what_a_pass_depends_on_parts_and_what_is_each_ones_own_does_not(store, change, shared):
    stages = stages_of(store, datasets=["tiny-home"], seeds=[0])
    one = next(stage for stage in stages if isinstance(stage, Supervised) and stage.train_split == "strong_train")
    fields = {name: getattr(one, name) for name in type(one).model_fields}
    for name, value in change.items():
        fields[name] = fields[name].model_copy(update=value) if isinstance(value, dict) else value
    assert (type(one)(**fields).batch_group_key == one.batch_group_key) == shared


def test_full_tuning_goes_alone(store):
    stages = stages_of(store, strong={"model": "tiny/strong", "tuning": "full"}, methods=GRID[:2])
    assert all(len(unit) <= 1 for unit in finetunings(units(stages, 8)))


def run_in(folder, cohort: int, progress=None, packing=False, **settings) -> tuple[LocalExecutor, list]:
    runtime = Runtime(threads=1, cohort=cohort, packing=packing)
    executor = LocalExecutor(Store(folder), runtime, progress or Silent())
    stages = stages_of(executor.store, **settings)
    executor.run(stages)
    return executor, stages


@pytest.mark.slow
def test_a_study_gives_the_same_predictions_whether_or_not_it_trains_together(tmp_path):
    settings = {"datasets": ["tiny-pet"], "seeds": [0], "methods": GRID[:3]}
    (one, stages), (all_at_once, _) = (run_in(tmp_path / str(n), n, **settings) for n in (1, 8))
    found = 0
    for stage in stages:
        if isinstance(stage, Finetune):
            alone, together = (executor.store.done(stage.key)["made"] for executor in (one, all_at_once))
            assert "cohort" not in alone
            found += stage.key in together.get("cohort", [])
            pd.testing.assert_frame_equal(
                stage.predictions(one.store), stage.predictions(all_at_once.store), rtol=0, atol=1e-4
            )
    assert found == 3  # ceiling and two students


@pytest.mark.slow
@pytest.mark.parametrize("most", [1, 2])
def test_where_not_all_fit_into_memory_they_are_trained_in_halves(tmp_path, monkeypatch, most):
    settings, sizes, progress = {"datasets": ["tiny-pet"], "seeds": [0], "methods": GRID[:2]}, [], Silent()
    expected, stages = run_in(tmp_path / "expected", 1, **settings)
    real = loop.finetune_together

    def together(model, jobs, run_env):
        sizes.append(len(jobs))
        if len(jobs) > most:
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB.")
        return real(model, jobs, run_env)

    monkeypatch.setattr(loop, "finetune_together", together)
    found, _ = run_in(tmp_path / "found", 8, progress, **settings)
    assert sizes == ([1, 3, 1, 2, 1, 1] if most == 1 else [1, 3, 1, 2])
    notes = [note for note in progress.notes if "do not fit into memory" in note]
    assert len(notes) == (2 if most == 1 else 1)
    assert "3 models at once" in notes[0]
    for stage in stages:
        if isinstance(stage, Finetune):
            both = [stage.predictions(executor.store) for executor in (expected, found)]
            pd.testing.assert_frame_equal(*both, rtol=0, atol=1e-4)


@pytest.mark.slow
def test_packed_texts_give_a_study_the_same_keys_and_predictions(tmp_path):
    settings = {"datasets": ["tiny-pet"], "seeds": [0], "methods": GRID[:2]}
    (padded, stages), (packed, others) = (
        run_in(tmp_path / str(packing), 8, packing=packing, **settings) for packing in (False, True)
    )
    assert [stage.key for stage in stages] == [stage.key for stage in others]
    differences = []
    for stage in stages:
        if isinstance(stage, Finetune):
            assert packed.store.done(stage.key)["made"]["runtime"]["packing"]
            both = [stage.predictions(executor.store)["log_odds"] for executor in (padded, packed)]
            differences.append((both[0] - both[1]).abs().max())
    assert 0 < max(differences) <= 1e-4  # of 0 they would not have been packed


def test_a_member_that_fails_is_named_and_the_others_are_kept(tmp_path, monkeypatch):
    from outshine.learn.losses import logconf

    monkeypatch.setattr(logconf._RunningLogConf, "__call__", lambda self, z, y, step: z * float("nan"))
    settings = {"datasets": ["tiny-pet"], "seeds": [0], "methods": GRID[:2]}
    store = Store(tmp_path)
    with pytest.raises(StagesFailedError, match=r"logconf, seed 0: training diverged at update 1"):
        run_in(tmp_path, 8, **settings)
    kept = [stage for stage in stages_of(store, **settings) if isinstance(stage, Finetune) and store.has(stage.key)]
    assert len(kept) == 3  # supervisor, ceiling, the student of the other loss
    assert list((store.root / "tmp").iterdir()) == []


class Died(BaseException):
    """As if the process had been killed."""


@pytest.mark.slow
@pytest.mark.parametrize("renames", [0, 1, 2])
def test_a_commit_that_was_cut_off_is_finished_by_whoever_comes_next(tmp_path, monkeypatch, renames):
    """Between the journal and the last rename, the next process finds all members with the bytes of their one pass."""
    settings = {"datasets": ["tiny-pet"], "seeds": [0], "methods": GRID[:2]}
    whole, stages = run_in(tmp_path / "whole", 8, **settings)
    members = whole.store.done(stages[-1].key)["made"]["cohort"]
    assert len(members) == 3
    placed = []
    real = FolderBackend.publish

    def publish(self, pending, folder=None):
        if pending.key in members:
            if len(placed) >= renames:
                raise Died
            placed.append(pending.key)
        return real(self, pending, folder)

    with monkeypatch.context() as patched:
        patched.setattr(FolderBackend, "publish", publish)
        patched.setattr("shutil.rmtree", lambda *_, **more: None)  # who is killed cleans nothing up
        with pytest.raises(Died):
            run_in(tmp_path / "cut", 8, **settings)
    trained = []
    monkeypatch.setattr("outshine.w2s.stages.finetune.Finetune.run_together", lambda *given: trained.append(given))
    again, _ = run_in(tmp_path / "cut", 8, **settings)
    assert trained == []
    assert list((again.store.root / "commits").iterdir()) == []
    for key in members:
        files = again.store.done(key)["files"]
        assert files == whole.store.done(key)["files"]
        assert again.store.verify(key) == []
