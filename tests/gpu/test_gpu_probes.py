"""Probes and filters on the GPU give what they give on the CPU; neighbours are those of a search in float64."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
import torch
from device_under_test import DEVICE, on_device
from scipy.spatial.distance import cdist

from outshine.data.schema import recipes
from outshine.data.splits import SplitSettings
from outshine.engine.progress import Silent
from outshine.engine.run.local import LocalExecutor
from outshine.engine.runtime import Runtime
from outshine.engine.store.store import Store
from outshine.learn.filters.probe_disagreement import ProbeDisagreement
from outshine.learn.filters.topofilter import TopoFilter
from outshine.learn.probes import Labelled
from outshine.learn.probes.knn import KNN
from outshine.learn.probes.logistic import Logistic
from outshine.learn.probes.nearest_neighbours import Neighbours
from outshine.learn.resolve import resolve
from outshine.learn.spec import ModelSettings
from outshine.w2s.stages.activations import Activations
from outshine.w2s.stages.labels import GroundTruth
from outshine.w2s.stages.prepare import Prepare, Texts
from outshine.w2s.stages.probing import TruthProbing

pytestmark = on_device


def points(shape: str, num: int, width: int) -> torch.Tensor:
    generator = torch.Generator().manual_seed(num)
    x = torch.randn(num, width, generator=generator)
    match shape:
        case "lattice":  # many ties
            return x.round()
        case "crowded":  # far from the origin, close together
            return 300 + 0.01 * x
        case "copies":
            return x[torch.randint(0, 7, (num,), generator=generator)]
        case "bfloat16":  # as activations often are
            return x.bfloat16().float()
    return x


@pytest.mark.parametrize("allowed", ["highest", "high"])  # TF32 is for others
@pytest.mark.parametrize(("num", "width", "k"), [(300, 17, 50), (4500, 64, 20)])
@pytest.mark.parametrize("shape", ["gaussian", "lattice", "crowded", "copies", "bfloat16"])
def test_neighbours_are_those_of_a_dense_search(shape: str, num: int, width: int, k: int, allowed: str) -> None:
    x = points(shape, num, width)
    before = torch.get_float32_matmul_precision()
    torch.set_float32_matmul_precision(allowed)
    try:
        found = Neighbours(x.to(DEVICE), k).nearest(k).cpu().sort(1).values.numpy()
    finally:
        torch.set_float32_matmul_precision(before)
    checked = np.arange(0, num, max(1, num // 300))  # of each of them all distances
    distances = cdist(x[checked].double().numpy(), x.double().numpy(), "sqeuclidean")
    distances[np.arange(len(checked)), checked] = np.inf
    if shape in ("lattice", "copies"):  # exact: ties go to the smaller number
        expected = np.sort(np.argsort(distances, axis=1, kind="stable")[:, :k], axis=1)
        np.testing.assert_array_equal(found[checked], expected)
        return
    theirs = np.sort(distances, axis=1)[:, :k]
    ours = np.sort(np.take_along_axis(distances, found[checked], axis=1), axis=1)
    np.testing.assert_allclose(ours, theirs, rtol=1e-12)
    assert all(len(set(row)) == k for row in found.tolist())


def labelled(device: torch.device, num_classes: int, shape: str) -> tuple[Labelled, torch.Tensor]:
    acts, new = points(shape, 900, 48), points(shape, 901, 48)
    p = torch.sigmoid(acts[:, 0] - acts[:, 1]).double()
    p = p if num_classes == 2 else torch.stack([p / 2, 1 - p, p / 2], 1)
    ids = [f"{number:04d}" for number in range(900)]
    return Labelled.of(ids, acts.to(device), p.to(device)), new.to(device)


@pytest.mark.parametrize("shape", ["gaussian", "lattice", "bfloat16"])
@pytest.mark.parametrize("num_classes", [2, 3])
@pytest.mark.parametrize(
    "probe",
    [KNN(k=9), KNN(k=9, metric="cosine"), Logistic(), Logistic(penalty=1e-6), Logistic(standardize=True, penalty=1e-4)],
    ids=lambda probe: probe.kind,
)
def test_a_probe_gives_what_it_gives_on_the_cpu(probe, num_classes: int, shape: str) -> None:
    (here, new), (there, new_there) = (labelled(device, num_classes, shape) for device in (torch.device("cpu"), DEVICE))
    fitted, fitted_there = probe.fit(here), probe.fit(there)
    for found, expected in (
        (fitted_there.predict(new_there), fitted.predict(new)),
        (fitted_there.predict_own(there), fitted.predict_own(here)),
    ):
        assert found.p.device.type == DEVICE.type
        assert expected.p.std() > 0.01
        torch.testing.assert_close(found.p.cpu(), expected.p, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("filter", [TopoFilter(k=9), ProbeDisagreement(probe=KNN(k=9))], ids=lambda one: one.kind)
@pytest.mark.parametrize("num_classes", [2, 3])
def test_a_filter_keeps_what_it_keeps_on_the_cpu(filter, num_classes: int) -> None:
    here, there = (labelled(device, num_classes, "gaussian")[0] for device in (torch.device("cpu"), DEVICE))
    kept = filter.keep(there, 0.2, there).kept
    assert kept.device.type == DEVICE.type
    assert kept.cpu().equal(filter.keep(here, 0.2, here).kept)


def test_stages_give_on_the_device_what_they_give_on_the_cpu(tmp_path) -> None:
    store = Store(tmp_path / "store")
    prepare = Prepare.of(recipes.parse("tiny-pet"), SplitSettings(n_train=160, n_val=50, n_test=40))
    LocalExecutor(store, Runtime(device="cpu"), Silent()).run([prepare])
    texts = Texts.of(prepare, store)
    spec = resolve(ModelSettings(model="tiny/strong"), "float32").spec
    sizes = {"num_layers": spec.num_layers, "pooling": spec.pooling, "max_length": spec.max_length}
    activations = Activations(model=spec.model, compute_dtype="float32", texts=texts, layer=2, **sizes)
    probing = TruthProbing(
        texts=texts, activations=activations, probe=Logistic(), labels=GroundTruth.of(prepare, store)
    )
    read, predicted = [], []
    for name in ("cpu", DEVICE.type):
        own = Store(tmp_path / name)
        runtime = Runtime(device=name)
        LocalExecutor(own, runtime, Silent()).run([prepare, activations, probing])
        read.append({split: activations.read(own, split)[1] for split in ("strong_train", "val", "test")})
        predicted.append(pd.read_parquet(own.file(probing.key, "predictions.parquet")))
    for split, expected in read[0].items():
        torch.testing.assert_close(read[1][split], expected, rtol=1e-4, atol=1e-4)
    assert predicted[0]["log_odds"].std() > 0.5
    pd.testing.assert_frame_equal(predicted[1], predicted[0], rtol=1e-2, atol=1e-2)
