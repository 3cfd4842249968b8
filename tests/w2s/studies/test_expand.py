"""Experiments of many seeds and methods hold what they share once."""

from __future__ import annotations

from dataclasses import replace

import pytest

from outshine.engine.progress import Silent
from outshine.engine.run.local import LocalExecutor
from outshine.engine.runtime import Runtime
from outshine.engine.store.store import Store
from outshine.w2s.expand import Experiment, expand, resolve_study
from outshine.w2s.lab import Lab, TrainableModel, Wiring
from outshine.w2s.methods.base import Method
from outshine.w2s.study_file import parse_study

STUDY = {
    "datasets": ["tiny-home", "tiny-pet"],
    "weak": "tiny/weak",
    "strong": "tiny/strong",
    "compute_dtype": "float32",
    "seeds": [0, 1, 2],
    "methods": ["vanilla", "strong_to_strong", {"kind": "probe", "probe": "knn"}, {"kind": "filtered"}],
    "splits": {"n_train": 64, "n_val": 40, "n_test": 40},
}


@pytest.fixture(scope="module")
def experiments(tmp_path_factory: pytest.TempPathFactory) -> list[Experiment]:
    store = Store(tmp_path_factory.mktemp("expand"))
    resolution = resolve_study(parse_study(STUDY))
    LocalExecutor(store, Runtime(threads=1), Silent()).run([*resolution.prepares])
    return expand(resolution, store)


def test_experiments_come_by_dataset_then_seed_then_method(experiments):
    told = [(one.prepare.name, one.seed, one.method.kind) for one in experiments]
    kinds = ("vanilla", "strong_to_strong", "probe", "filtered")
    assert told == [(name, seed, kind) for name in STUDY["datasets"] for seed in (0, 1, 2) for kind in kinds]
    assert all(one.labels.seed == one.ceiling.seed == one.seed for one in experiments)


def test_what_methods_share_is_one_object(experiments):
    """Each of 100,000 stages would else hold, and compute the keys of, copies of the same few."""
    for what, per_dataset in (("texts", 1), ("truth", 1), ("study_labels", 3), ("labels", 3), ("ceiling", 3)):
        assert len({id(getattr(one, what)) for one in experiments}) == 2 * per_dataset, what
    (probe, filtered) = (one.students[0] for one in experiments[2:4])
    assert filtered.keep.activations is probe.activations
    assert probe.labels is experiments[0].labels


class FurtherSeed(Method):
    """A stranger's method that makes a lab of its own from the one it is given."""

    kind = "further_seed"

    def wire(self, lab: Lab) -> Wiring:
        other = replace(lab, seed=lab.seed + 100)
        return other.wiring(other.student(other.weak_labels))


def test_a_lab_made_from_another_shares_nothing_that_differs(experiments):
    one = experiments[0]
    tuned = TrainableModel(one.ceiling.classifier, one.ceiling.learning_rate)
    lab = Lab(one.texts, one.truth, tuned, tuned, one.ceiling.training, one.students[0].loss, seed=0)
    assert lab.ceiling is lab.ceiling
    (student,) = FurtherSeed().wire(lab).rounds
    assert (student.seed, student.labels.seed, lab.supervisor.seed) == (100, 100, 0)
    assert replace(lab, file_labels=one.labels).supervisor is None
    assert Lab(**vars(lab)).ceiling == lab.ceiling
