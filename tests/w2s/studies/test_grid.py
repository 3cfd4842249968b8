"""Grids: one entry of a study file for many methods; and controls, all at once or some."""

from __future__ import annotations

import copy

import pytest
import yaml

from outshine.engine.errors import SettingsError, UnknownNameError
from outshine.w2s.study import all_controls, expand_grids
from outshine.w2s.study_file import parse_study, study_yaml

BASE = {"datasets": ["tiny-home"], "weak": "tiny/weak", "strong": "tiny/strong"}


def test_a_grid_is_multiplied_out_the_last_setting_fastest():
    raw = yaml.safe_load(
        "{kind: probe, probe: {kind: knn, metric: cosine}, grid: {layer: [1/4, last], probe.k: [1, 5, 9]}}"
    )
    before = copy.deepcopy(raw)
    made = expand_grids([raw])
    assert [(one["layer"], one["probe"]["k"]) for one in made] == [
        *[("1/4", k) for k in (1, 5, 9)],
        *[("last", k) for k in (1, 5, 9)],
    ]
    assert all(one["kind"] == "probe" and one["probe"]["metric"] == "cosine" for one in made)
    assert all("grid" not in one for one in made)
    assert raw == before


def test_what_has_no_grid_stays_in_its_place():
    made = expand_grids(["vanilla", {"kind": "probe", "grid": {"layer": [1, 2]}}, {"kind": "filtered"}])
    assert made == ["vanilla", {"kind": "probe", "layer": 1}, {"kind": "probe", "layer": 2}, {"kind": "filtered"}]
    assert expand_grids({"kind": "probe", "grid": {"layer": [1, 2]}}) == made[1:3]
    assert expand_grids({"kind": "filtered"}) == [{"kind": "filtered"}]


@pytest.mark.parametrize("other", ["vanilla", None, 3, True])
def test_what_is_no_list_of_methods_is_left_to_others(other):
    assert expand_grids(other) is other


def test_short_forms_grow_into_mappings():
    made = expand_grids({"kind": "probe", "probe": "knn", "grid": {"probe.k": [3]}})
    assert made == [{"kind": "probe", "probe": {"kind": "knn", "k": 3}}]
    made = expand_grids({"kind": "filtered", "filter": "probe_disagreement", "grid": {"filter.probe.k": [3]}})
    assert made == [{"kind": "filtered", "filter": {"kind": "probe_disagreement", "probe": {"k": 3}}}]


def test_values_that_are_mappings_are_no_method_s_but_its_own():
    made = expand_grids({"kind": "probe", "grid": {"probe": [{"kind": "knn"}], "probe.k": [1, 5]}})
    assert [one["probe"] for one in made] == [{"kind": "knn", "k": 1}, {"kind": "knn", "k": 5}]


@pytest.mark.parametrize("grid", [[1, 2], "layer", None, {"layer": []}, {"layer": 1}, {"layer": "last"}, {"layer": {}}])
def test_a_grid_without_lists_of_values_is_refused(grid):
    with pytest.raises(SettingsError, match="is no mapping of settings to lists of values, such as"):
        expand_grids([{"kind": "probe", "grid": grid}])


@pytest.mark.parametrize(
    ("method", "path", "words"),
    [
        ({"probe": None}, "probe.k", "'probe.k' leads into 'probe', which is None"),
        ({"probe": ["knn"]}, "probe.k", r"which is \['knn'\] and has no settings"),
        ({"layer": 2}, "layer.k", "'layer.k' leads into 'layer', which is 2"),
    ],
)
def test_a_setting_of_what_has_none_is_refused(method, path, words):
    with pytest.raises(SettingsError, match=words):
        expand_grids([{"kind": "probe", **method, "grid": {path: [1]}}])


@pytest.mark.parametrize("where", ["methods", "sweeps"])
def test_studies_hold_methods_and_no_grids(where):
    raw = {"kind": "probe", "probe": "knn", "grid": {"layer": ["1/2", "last"], "probe.k": [1, 5]}}
    study = parse_study({**BASE, where: raw})
    found = getattr(study, where)
    assert [(one.layer, one.probe.k) for one in found] == [("1/2", 1), ("1/2", 5), ("last", 1), ("last", 5)]
    assert parse_study(yaml.safe_load(study_yaml(study))) == study
    for bad, words in [
        ({"probe.k": [5, 5]}, f"{where} are named twice"),
        ({"probe.kk": [5]}, "unknown setting 'kk'"),
        ({"probe.k": [5, 0]}, "greater than 0"),
        ({"layer": ["half"]}, "half"),
    ]:
        with pytest.raises(SettingsError, match=words):
            parse_study({**BASE, where: {**raw, "grid": bad}})


# -- controls ------------------------------------------------------------------------------------


def test_all_controls_or_none():
    assert parse_study({**BASE, "controls": True}).controls == all_controls()
    for none in (False, None, []):
        assert parse_study({**BASE, "controls": none}).controls == ()
    assert parse_study(BASE).controls == ()
    kinds = [(one.kind, getattr(one, "labels", getattr(one, "layer", ""))) for one in all_controls()]
    assert kinds == [
        *[("control", labels) for labels in ("shuffled", "constant", "random", "noise_matched")],
        ("weak_to_weak", ""),
        *[("truth_probe", layer) for layer in ("1/4", "1/2", "3/4", "last")],
    ]


def test_some_controls():
    chosen = ["weak_to_weak", {"kind": "control", "labels": "shuffled", "loss": "xent"}]
    study = parse_study({**BASE, "controls": chosen})
    assert [one.kind for one in study.controls] == ["weak_to_weak", "control"]
    assert study.controls[1].loss.kind == "xent"
    assert parse_study(yaml.safe_load(study_yaml(study))) == study
    assert [one.kind for one in parse_study({**BASE, "controls": "truth_probe"}).controls] == ["truth_probe"]


@pytest.mark.parametrize(
    ("controls", "error", "words"),
    [
        (["weak_to_weak", "weak_to_weak"], SettingsError, "controls are named twice"),
        (["weak_to_week"], UnknownNameError, "did you mean 'weak_to_weak'"),
        ([{"kind": "control"}], SettingsError, "labels"),
        ([{"kind": "control", "labels": "shufled"}], SettingsError, "shuffled"),
        ([{"kind": "truth_probe", "loss": "xent"}], SettingsError, "takes no loss"),
        ("yes", UnknownNameError, "unknown method 'yes'"),
    ],
)
def test_controls_that_are_none(controls, error, words):
    with pytest.raises(error, match=words):
        parse_study({**BASE, "controls": controls})
