"""A student never sees the ground truth of its own rows, however its labels are wired."""

from __future__ import annotations

from collections.abc import Iterator

import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import SerializeAsAny, ValidationError

from outshine.data.schema import recipes
from outshine.data.splits import SplitSettings
from outshine.engine.key import digest
from outshine.engine.stage import Stage
from outshine.learn.losses.xent import Xent
from outshine.learn.probes.logistic import Logistic
from outshine.learn.settings import TrainingSettings
from outshine.learn.spec import ClassifierSpec, LoRA, ModelRef
from outshine.w2s.lab import Lab, TrainableModel
from outshine.w2s.stages.labels import GroundTruth, WeakLabelSource
from outshine.w2s.stages.predictor import Predictor, Relabelled
from outshine.w2s.stages.prepare import Prepare, Texts
from outshine.w2s.stages.probing import Probing

MODEL = ModelRef(identity="hub:org/model@" + "0" * 40, name="org/model")
SPEC = ClassifierSpec(model=MODEL, num_layers=2, pooling="last", tuning=LoRA(), max_length=64, compute_dtype="float32")
PREPARE = Prepare(name="cola", recipe=recipes.parse("cola"), recipe_version=1, source="x", splits=SplitSettings())
LAB = Lab(
    texts=Texts(digest="t" * 64, origin=PREPARE),
    truth=GroundTruth(digest="g" * 64, origin=PREPARE),
    weak=TrainableModel(SPEC, 5e-4),
    strong=TrainableModel(SPEC, 8e-5),
    training=TrainingSettings(),
    loss=Xent(),
    seed=0,
)


class Mean(WeakLabelSource):
    """A stranger's label source."""

    kind = "mean_of_tests"
    of: tuple[SerializeAsAny[WeakLabelSource], ...]

    def read_labels(self, store) -> pd.Series:
        raise NotImplementedError


def probing(labels: WeakLabelSource) -> Probing:
    return Probing(texts=LAB.texts, activations=LAB.activations(1), labels=labels, probe=Logistic())


DETOURS = {
    "itself": lambda labels: labels,
    "mean": lambda labels: Mean(of=(LAB.weak_labels, labels)),
    "probe": probing,
    "relabelled": lambda labels: Relabelled(weak=LAB.weak_labels, by=probing(labels)),
    "validation": lambda labels: Relabelled(weak=labels, by=probing(LAB.weak_labels)),
}


@pytest.mark.parametrize("detour", DETOURS.values(), ids=DETOURS)
def test_the_ceilings_predictions_are_refused_by_any_way(detour):
    with pytest.raises(ValidationError, match="ground truth of strong_train itself"):
        LAB.student(detour(LAB.ceiling))


@pytest.mark.parametrize("detour", DETOURS.values(), ids=DETOURS)
def test_the_supervisors_predictions_are_welcome(detour):
    assert LAB.student(detour(LAB.weak_labels)).labels == detour(LAB.weak_labels)


def test_a_sources_name_is_in_the_key():
    class Other(Mean):
        kind = "other_of_tests"

    assert digest(Mean(of=(LAB.weak_labels,))) != digest(Other(of=(LAB.weak_labels,)))


def test_a_copy_with_other_labels_is_searched_anew():
    student = LAB.student(LAB.weak_labels)
    assert student.truths_behind == {"weak_train"}
    copied = student.model_copy(update={"labels": LAB.ceiling})
    with pytest.raises(ValidationError, match="ground truth of strong_train itself"):
        LAB.student(copied)


def everything_behind(stage: Stage) -> Iterator[Stage]:
    for one in stage.inputs():
        yield one
        yield from everything_behind(one)


@given(st.lists(st.tuples(st.sampled_from(sorted(DETOURS)), st.integers(0, 9)), min_size=1, max_size=7))
def test_what_is_behind_a_predictor_is_found_in_any_graph(steps):
    sources: list[WeakLabelSource] = [LAB.weak_labels, LAB.ceiling]
    for detour, which in steps:
        made = DETOURS[detour](sources[which % len(sources)])
        sources.append(made)
        last = probing(made)
        expected = {one.truth_split for one in everything_behind(last) if isinstance(one, Predictor)} - {None}
        assert last.truths_behind == expected
        if "strong_train" not in expected:
            sources.append(LAB.student(last))
