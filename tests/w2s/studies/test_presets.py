"""The studies that come with outshine, and what studies with sweeps, controls and trajectories are made of."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

import pytest
import yaml

from outshine.cli.find_study import build_study
from outshine.cli.options import StudyOptions
from outshine.data.schema import recipes
from outshine.engine.progress import Silent
from outshine.engine.run.local import LocalExecutor
from outshine.engine.runtime import Runtime
from outshine.engine.store.store import Store
from outshine.learn.known_models import KNOWN
from outshine.w2s.expand import Experiment, Resolution, expand, resolve_study
from outshine.w2s.stages.finetune import Finetune
from outshine.w2s.study import Study, all_controls
from outshine.w2s.study_file import parse_study, presets, read_study

ON_HUB = sorted(name for name in recipes.names() if recipes.get(name).hub is not None)
OF_THE_POST = ("post", "sweep-knn", "sweep-logistic")
TINY: dict[str, Any] = {
    "datasets": ["tiny-home"],
    "weak": "tiny/weak",
    "strong": "tiny/strong",
    "compute_dtype": "float32",
    "splits": {"n_train": 96, "n_val": 40, "n_test": 40},
}


def preset(name: str) -> Study:
    return parse_study(read_study(name))


def resolved(store: Store, **raw: Any) -> tuple[Resolution, list[Experiment]]:
    """A study on tiny models, its datasets prepared."""
    resolution = resolve_study(parse_study({**TINY, **raw}))
    LocalExecutor(store, Runtime(threads=1), Silent()).run([*resolution.prepares])
    return resolution, expand(resolution, store)


# -- presets -------------------------------------------------------------------------------------


def test_the_presets_are_these():
    assert presets() == sorted(["demo", "minilm-mpnet", "post-small", *OF_THE_POST])


@pytest.mark.parametrize("name", OF_THE_POST)
def test_studies_of_the_post_have_its_datasets_models_and_settings(name):
    study = preset(name)
    kinds = [dataset.kind for dataset in study.datasets]
    assert len(set(kinds)) == len(kinds) == 25  # as many as the post has; outshine may know more
    assert set(kinds) <= set(ON_HUB)
    bare = Study(datasets=["sciq"])
    for field in (
        "weak",
        "strong",
        "labels",
        "loss",
        "splits",
        "training",
        "compute_dtype",
        "controls",
        "trajectories",
    ):
        assert getattr(study, field) == getattr(bare, field), field  # test_parse says that defaults are the post's
    assert (study.weak.model, KNOWN[study.weak.model].lora) == ("Qwen/Qwen1.5-0.5B", 5e-4)
    assert (study.strong.model, KNOWN[study.strong.model].lora) == ("meta-llama/Meta-Llama-3-8B", 8e-5)
    assert study.loss.kind == "logconf"
    assert study.seeds == (0,)


def test_the_post_and_its_small_copy_try_the_same_methods():
    post, small = preset("post"), preset("post-small")
    assert small.methods == post.methods
    assert small.notes == post.notes
    assert small.loss == post.loss
    assert small.datasets == preset("demo").datasets
    assert (small.splits, small.seeds) == (preset("demo").splits, (0, 1, 2))
    assert {one.probe.kind for one in small.sweeps} == {one.probe.kind for one in post.sweeps}
    shown = [(one.kind, one.loss.kind if one.loss else "") for one in post.methods]
    assert shown == [
        *[("vanilla", loss) for loss in ("xent", "logconf", "entropy", "window")],
        ("strong_to_strong", ""),
        *[(kind, "") for kind in ("probe", "probe", "probe_to_strong", "probe_to_strong", *["filtered"] * 3)],
    ]


def test_the_methods_settings_are_the_posts():
    post = preset("post")
    by_kind = {kind: [one for one in post.methods if one.kind == kind] for kind in {one.kind for one in post.methods}}
    for one in (*by_kind["probe"], *by_kind["probe_to_strong"], *by_kind["filtered"]):
        assert one.layer == "1/2"
    for kind in ("probe", "probe_to_strong"):
        knn, logistic = (one.probe for one in by_kind[kind])
        assert (knn.kind, knn.k, knn.metric) == ("knn", 50, "euclidean")
        assert (logistic.kind, logistic.penalty) == ("logistic", 1e-2)
    filters = [one.filter for one in by_kind["filtered"]]
    assert [one.kind for one in filters] == ["probe_disagreement", "probe_disagreement", "topofilter"]
    assert [one.probe.kind for one in filters[:2]] == ["knn", "logistic"]
    assert filters[2].k == filters[0].probe.k == 50
    assert {one.drop for one in by_kind["filtered"]} == {0.1}
    assert by_kind["strong_to_strong"][0].rounds == 2
    assert {getattr(one.loss, "alpha", 0.5) for one in by_kind["vanilla"]} == {0.5}


def grid(study: Study, probe: str) -> list[tuple[str, float]]:
    found = [one for one in study.sweeps if one.probe.kind == probe]
    return [(one.layer, one.probe.k if probe == "knn" else one.probe.penalty) for one in found]


def test_the_sweeps():
    ks, penalties = [1, 2, 5, 10, 20, 50, 100, 200, 500], [1e-4, 1e-3, 1e-2, 1e-1, 1.0, 10.0]
    post, small, quarters = preset("post"), preset("post-small"), ["1/4", "1/2", "3/4", "last"]
    assert grid(post, "knn") == [(layer, k) for layer in quarters for k in ks]
    assert grid(post, "logistic") == [(layer, penalty) for layer in quarters for penalty in penalties]
    halves = ["1/2", "last"]  # two blocks have no other layers
    assert grid(small, "knn") == [(layer, k) for layer in halves for k in ks if k < small.splits.n_train / 2]
    assert grid(small, "logistic") == [(layer, penalty) for layer in halves for penalty in penalties]
    for probe in ("knn", "logistic"):
        alone = preset(f"sweep-{probe}")
        assert grid(alone, probe) == grid(post, probe)
        assert len(alone.sweeps) == len(grid(post, probe))
        assert alone.methods == tuple(one for one in post.methods if one.loss == post.loss)  # shared with the post


# -- what they are made of -----------------------------------------------------------------------


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "store")


def test_a_layer_that_has_two_names_is_looked_at_once(store):
    """Of two blocks a quarter, a half and three quarters are the first, the last is the second."""
    quarters = ["1/4", "1/2", "3/4", "last"]
    sweep = {"kind": "probe", "probe": "knn", "grid": {"layer": quarters, "probe.k": [1, 5]}}
    _, experiments = resolved(store, sweeps=[sweep, {"kind": "probe", "probe": "knn", "layer": 2}], controls=True)
    found = [one for one in experiments if one.purpose == "sweep"]
    where = [(one.students[0].activations.layer, one.students[0].probe.k) for one in found]
    assert where == [(1, 1), (1, 5), (2, 1), (2, 5), (2, 50)]
    assert [one.method.layer for one in found] == ["1/4", "1/4", "last", "last", 2]
    truths = [one for one in experiments if one.method.kind == "truth_probe"]
    assert [(one.students[0].activations.layer, one.method.layer) for one in truths] == [(1, "1/4"), (2, "last")]


def test_methods_are_all_kept_and_sweeps_may_repeat_them(store):
    """Someone who names two methods wants two rows, even where they are one."""
    probes = [{"kind": "probe", "layer": layer} for layer in ("1/4", "1/2")]
    _, experiments = resolved(store, methods=probes, sweeps=probes, controls=[])
    assert Counter(one.purpose for one in experiments) == {"method": 2, "sweep": 1}
    assert len({one.students[0].key for one in experiments}) == 1


def test_small_post_runs_every_point_of_its_sweeps(store):
    small = preset("post-small")
    raw = {name: read_study("post-small")[name] for name in ("methods", "sweeps")}
    resolution, experiments = resolved(store, **raw, seeds=[0, 1])
    counted = Counter(one.purpose for one in experiments)
    assert counted == {"method": 2 * len(small.methods), "sweep": 2 * len(small.sweeps)}
    assert resolution.study.methods == small.methods


def test_weak_labels_of_a_file_have_no_weak_model_to_retrain(store, tmp_path):
    told = "weak_to_weak is left out: weak labels from a file have no weak model"
    supervised, experiments = resolved(store, controls=True)
    assert told not in supervised.notes
    kinds = [one.method.kind for one in experiments if one.purpose == "control"]
    assert kinds == ["control"] * 4 + ["weak_to_weak"] + ["truth_probe"] * 2
    texts = experiments[0].texts.read(store)
    (tmp_path / "weak.csv").write_text(
        "id,p_weak\n" + "".join(f"{name},0.{n % 10}\n" for n, name in enumerate(texts["id"]))
    )
    by_file, experiments = resolved(store, controls=True, labels=str(tmp_path / "weak.csv"))
    assert by_file.notes.count(told) == 1
    assert [one.method.kind for one in experiments if one.purpose == "control"] == [
        one for one in kinds if one != "weak_to_weak"
    ]
    assert len(by_file.study.controls) == len(all_controls())  # the study still says what was asked for
    assert told not in resolved(store, labels=str(tmp_path / "weak.csv"))[0].notes


@pytest.mark.parametrize(
    ("asked", "followed"),
    [
        ({}, []),
        ({"controls": ["weak_to_weak"]}, ["vanilla"]),
        ({"trajectories": True}, ["vanilla", "strong_to_strong", "strong_to_strong"]),
        ({"trajectories": True, "controls": ["weak_to_weak"]}, ["vanilla", "strong_to_strong", "strong_to_strong"]),
    ],
)
def test_which_students_are_run_twice(store, asked, followed):
    methods = ["vanilla", {"kind": "strong_to_strong", "rounds": 1, "loss": "xent"}, "probe"]
    _, experiments = resolved(store, methods=methods, sweeps=[{"kind": "vanilla", "loss": "window"}], **asked)
    found = [(one.method.kind, one.purpose, again.run_again) for one in experiments for again in one.trajectories]
    assert [kind for kind, _, _ in found] == followed
    assert all(purpose == "method" for _, purpose, _ in found)
    assert all(isinstance(again, Finetune) for _, _, again in found)
    asked_for = {stage.key for one in experiments for stage in one.stages()}
    assert {trajectory.key for one in experiments for trajectory in one.trajectories} <= asked_for


# -- through the command line --------------------------------------------------------------------


def test_options_add_controls_and_trajectories(tmp_path):
    plain = build_study(StudyOptions(dataset="tiny-home"))
    assert (plain.controls, plain.trajectories) == ((), False)
    both = build_study(StudyOptions(dataset="tiny-home", controls=True, trajectories=True))
    assert (both.controls, both.trajectories) == (all_controls(), True)
    assert build_study(StudyOptions("post", controls=True)).controls == all_controls()
    path = tmp_path / "mine.yaml"
    path.write_text(yaml.safe_dump({**TINY, "controls": ["weak_to_weak"], "trajectories": True}))
    own = build_study(StudyOptions(str(path)))
    assert ([one.kind for one in own.controls], own.trajectories) == (["weak_to_weak"], True)
    assert build_study(StudyOptions(str(path), controls=True)).controls == all_controls()
    off, emptied = (["trajectories=false", f"controls={none}"] for none in ("false", "[]"))
    assert build_study(StudyOptions(str(path), settings=off)) == build_study(StudyOptions(str(path), settings=emptied))
    chosen = build_study(StudyOptions(str(path), settings=["sweeps=[{kind: probe, grid: {layer: [1, 2]}}]"]))
    assert [one.layer for one in chosen.sweeps] == [1, 2]
