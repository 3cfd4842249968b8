"""Variants: readable labels that tell settings apart."""

from __future__ import annotations

import pytest

from outshine.analysis.variant import variant
from outshine.filters.probe_disagreement import ProbeDisagreement
from outshine.losses.logconf import LogConf
from outshine.losses.xent import Xent
from outshine.methods.filtered import FilteredMethod
from outshine.methods.probe import ProbeMethod
from outshine.methods.vanilla import Vanilla
from outshine.probes.knn import KNN


@pytest.mark.parametrize(
    ("loss", "label"),
    [
        (Xent(), ""),
        (LogConf(), ""),
        (LogConf(alpha=0.3), "alpha=.3"),
        (LogConf(alpha=0.25, window=16), "alpha=.25, window=16"),
        (LogConf(alpha=1.0), "alpha=1"),
    ],
)
def test_only_what_differs_from_the_defaults_is_told(loss, label):
    assert variant(Vanilla(), loss) == label
    assert variant(Vanilla(loss=loss), loss) == label


@pytest.mark.parametrize(
    ("method", "label"),
    [
        (ProbeMethod(), "probe=logistic"),
        (ProbeMethod(probe=KNN(k=5), layer="3/4"), "layer=3/4, probe=knn(k=5)"),
        (FilteredMethod(), "filter=topofilter"),
        (FilteredMethod(filter=ProbeDisagreement(), drop=0.2), "filter=probe_disagreement(probe=knn), drop=.2"),
    ],
)
def test_probes_and_filters_are_always_named(method, label):
    assert variant(method, None) == label
