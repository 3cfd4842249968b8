"""Probes and filters compute where the activations lie, and give there what they give on the CPU."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

from other_device import ELSEWHERE, elsewhere, numbers_of, other_device
from outshine.engine.runtime import Runtime
from outshine.learn.device import pick_device, pick_float64_device
from outshine.learn.filters import filters
from outshine.learn.probes import FittedProbe, Labelled, Predicted, Probe, newton, probes
from outshine.learn.probes import nearest_neighbours as candidates
from outshine.learn.probes.knn import KNN
from outshine.learn.probes.logistic import Logistic
from outshine.learn.probes.nearest_neighbours import Neighbours
from outshine.testing.probes_and_filters import made_up_rows
from outshine.w2s.stages.probing import mirrored

PROBES = {
    **{name: cls() for name, cls in probes if cls.__module__.startswith("outshine.")},
    "cosine": KNN(k=5, metric="cosine"),
    "with itself": KNN(k=7, include_self=True),
    "standardised": Logistic(standardize=True, penalty=1e-5),
}
FILTERS = {name: cls() for name, cls in filters if cls.__module__.startswith("outshine.")}


def rows(num_classes: int = 2, *, lattice: bool = False) -> Labelled:
    ids, acts, p = made_up_rows(lattice=lattice)
    if num_classes > 2:
        p = torch.stack([p / 2, 1 - p, p / 2], 1)
    return Labelled.of(ids[::-1], acts, p)  # in another order: sorted there too


def moved(here: Labelled) -> Labelled:
    return Labelled.of(here.ids[::-1], *(elsewhere(part.flip(0)) for part in here[1:]))


def same(there: Predicted, here: Predicted) -> None:
    for found, expected in zip(there, here, strict=True):
        assert found.device == ELSEWHERE
        torch.testing.assert_close(numbers_of(found), expected, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("lattice", [False, True])
@pytest.mark.parametrize("num_classes", [2, 3])
@pytest.mark.parametrize("name", PROBES)
def test_a_probe_computes_where_the_activations_lie(name: str, num_classes: int, lattice: bool) -> None:
    probe, train, new = PROBES[name], rows(num_classes, lattice=lattice), made_up_rows(1, lattice=lattice)[1]
    fitted = probe.fit(train)
    with other_device():
        there = moved(train)
        fitted_there = probe.fit(there)
        same(fitted_there.predict(elsewhere(new)), fitted.predict(new))
        same(fitted_there.predict_own(there), fitted.predict_own(train))


@pytest.mark.parametrize("num_classes", [2, 3])
@pytest.mark.parametrize("name", FILTERS)
def test_a_filter_computes_where_the_activations_lie(name: str, num_classes: int) -> None:
    train = rows(num_classes)
    expected = FILTERS[name].keep(train, 0.2, train).kept
    with other_device():
        there = moved(train)
        kept = FILTERS[name].keep(there, 0.2, there).kept
        assert kept.device == ELSEWHERE
        assert kept.cpu().tolist() == expected.tolist()
        assert moved(train).take(kept).ids == train.take(expected).ids


def test_pairs_are_mirrored_where_they_lie() -> None:
    here = mirrored(rows())
    with other_device():
        there = mirrored(moved(rows()))
    assert there.ids == here.ids
    for found, expected in zip(there[1:], here[1:], strict=True):
        assert found.device == ELSEWHERE
        assert torch.equal(numbers_of(found), expected)


@pytest.mark.parametrize("d", [4, 30])
def test_all_ways_to_neighbours_compute_where_the_points_lie(d: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Radii for many points, searches where lists are too short, ties: each way is taken, and is told from the others."""
    monkeypatch.setattr(candidates, "SAMPLE", 60)
    monkeypatch.setattr(candidates, "EXACT_ELEMENTS", 50 * d)
    points = torch.randn(400, d, generator=torch.Generator().manual_seed(0))
    points[150:260] = points[0]  # more at one place than a list holds
    marked = torch.rand(400, generator=torch.Generator().manual_seed(1)) < 0.2
    here = Neighbours(points, 9)
    with other_device():
        there = Neighbours(elsewhere(points), 9)
        every, among = there.nearest(9), there.nearest_among(9, elsewhere(marked))
    assert every.device == among.device == ELSEWHERE
    assert torch.equal(numbers_of(every).sort(1).values, here.nearest(9).sort(1).values)
    assert torch.equal(numbers_of(among).sort(1).values, here.nearest_among(9, marked).sort(1).values)


def test_the_search_multiplies_in_whole_float32_whatever_is_allowed() -> None:
    seen = []

    class Watch(TorchDispatchMode):
        def __torch_dispatch__(self, operation, types, args=(), kwargs=None):
            if "mm" in str(operation):
                seen.append(torch.get_float32_matmul_precision())
            return operation(*args, **(kwargs or {}))

    before = torch.get_float32_matmul_precision()
    torch.set_float32_matmul_precision("medium")
    try:
        with Watch():
            Neighbours(made_up_rows()[1], 5)
        assert torch.get_float32_matmul_precision() == "medium"
    finally:
        torch.set_float32_matmul_precision(before)
    assert set(seen) == {"highest"}


class Forgetful(Probe):
    """Probes that forget the device, each in its own way."""

    way: str

    def fit(self, rows: Labelled) -> FittedProbe:
        mean = rows.acts.double().mean(0)
        match self.way:
            case "a tensor made on the CPU":
                mean = mean + torch.zeros(len(mean))
            case "an index made on the CPU":
                mean = rows.acts[torch.arange(5)].double().mean(0)
            case "a mask made on the CPU":
                mean = rows.acts[torch.ones(len(rows.ids), dtype=torch.bool)].double().mean(0)
            case "drawn on the CPU":
                mean = mean * torch.rand(len(mean), dtype=torch.float64)
            case "through NumPy":
                mean = torch.from_numpy(mean.numpy())
            case "left on the CPU":
                mean = mean.cpu()
        return Line(mean)


class Line(FittedProbe):
    def __init__(self, weight: Tensor) -> None:
        self.weight = weight

    def predict(self, acts: Tensor) -> Predicted:
        return Predicted.of_log_odds(acts.double() @ self.weight)


WAYS = [
    "a tensor made on the CPU",
    "an index made on the CPU",
    "a mask made on the CPU",
    "drawn on the CPU",
    "through NumPy",
]


@pytest.mark.parametrize("way", [*WAYS, "left on the CPU"])
def test_a_forgotten_device_is_found(way: str) -> None:
    train, new = rows(), made_up_rows(1)[1]
    Forgetful(way=way).fit(train).predict(new)  # on the CPU nothing is wrong
    with other_device(), pytest.raises((RuntimeError, TypeError)):
        Forgetful(way=way).fit(moved(train)).predict(elsewhere(new))


def test_nothing_forgotten_is_not_found() -> None:
    train, new = rows(), made_up_rows(1)[1]
    with other_device():
        same(
            Forgetful(way="none").fit(moved(train)).predict(elsewhere(new)),
            Forgetful(way="none").fit(train).predict(new),
        )


def test_work_in_float64_stays_on_the_cpu_where_the_gpu_has_none(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: True)
    assert pick_device(Runtime()).type == "mps"
    assert pick_float64_device(Runtime()).type == "cpu"
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    assert pick_float64_device(Runtime()).type == "cuda"
    assert pick_float64_device(Runtime(device="cpu")).type == "cpu"


def test_the_preconditioner_is_made_where_the_activations_lie(monkeypatch: pytest.MonkeyPatch) -> None:
    """It is made where conjugate gradients take long, as they always do here."""
    monkeypatch.setattr(newton, "PATIENCE", 0)
    made, of = [], newton.LowRank.of
    monkeypatch.setattr(newton.LowRank, "of", lambda features: made.append(features.a.device) or of(features))
    train, new = rows(), made_up_rows(1)[1]
    with other_device():
        there = Logistic().fit(moved(train)).predict(elsewhere(new))
    same(there, Logistic().fit(train).predict(new))
    assert made == [ELSEWHERE, torch.device("cpu")]
