"""Dropping rows that a probe contradicts."""

from __future__ import annotations

import numpy as np
import torch

from outshine.learn.filters.probe_disagreement import ProbeDisagreement
from outshine.learn.probes import Labelled
from outshine.learn.probes.knn import KNN
from outshine.learn.probes.logistic import Logistic


def make(n=101, seed=0):
    generator = torch.Generator().manual_seed(seed)
    acts = torch.randn(n, 4, generator=generator)
    p = torch.sigmoid(2 * acts[:, 0] + torch.randn(n, generator=generator))
    return Labelled.of([f"{i:03d}" for i in range(n)], acts, p)


def test_the_rows_with_the_largest_disagreement_go():
    rows = make()
    for probe in (KNN(k=5), Logistic(penalty=1e-3)):
        disagreement = (probe.fit(rows).predict_own(rows).p - rows.p_weak).abs().numpy()
        found = ProbeDisagreement(probe=probe).keep(rows, 0.1, rows)
        assert set(np.flatnonzero(~found.kept)) == set(np.argsort(-disagreement)[:10])


def test_a_row_has_no_say_about_itself():
    """With k = 1 a row that votes for itself never disagrees."""
    rows = make()
    without = ProbeDisagreement(probe=KNN(k=1)).keep(rows, 0.1, rows).kept
    with_self = ProbeDisagreement(probe=KNN(k=1, include_self=True)).keep(rows, 0.1, rows).kept
    assert not torch.equal(without, with_self)
    assert (~with_self).nonzero()[:, 0].tolist() == list(range(10))  # all tied at 0: by id


def test_other_rows_are_judged_by_a_probe_of_the_training_rows():
    train, val = make(), make(60, seed=1)
    disagreement = (Logistic().fit(train).predict(val.acts).p - val.p_weak).abs().numpy()
    found = ProbeDisagreement(probe=Logistic()).keep(val, 0.25, train)
    assert set(np.flatnonzero(~found.kept)) == set(np.argsort(-disagreement)[:15])


def test_a_probe_may_be_given_by_name():
    assert ProbeDisagreement(probe="logistic").probe == Logistic()
    assert ProbeDisagreement(probe={"kind": "knn", "k": 3}).probe == KNN(k=3)
