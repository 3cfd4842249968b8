"""Plans: what is shared is counted by hand; models and datasets that cannot be had change no count."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from plan_studies import DISTINCT, GRID, UNSHARED, real, tiny

from outshine.engine.errors import HubError, ModelError, OutshineError, SettingsError
from outshine.engine.progress import Silent
from outshine.engine.run.local import LocalExecutor
from outshine.engine.runtime import Runtime
from outshine.engine.store.store import Store
from outshine.learn.model_files import UNRESOLVED, weights_folder
from outshine.w2s import placeholders
from outshine.w2s.expand import expand, resolve_study
from outshine.w2s.placeholders import HubResolver, UnresolvedPrepare
from outshine.w2s.plan import UNKNOWN_KEY, Plan, plan_study


@pytest.fixture
def stack() -> Iterator:
    from contextlib import ExitStack

    with ExitStack() as opened:
        yield opened


def distinct(plan: Plan) -> dict[str, int]:
    return {kind.kind: kind.distinct for kind in plan.kinds}


@pytest.mark.slow
@pytest.mark.parametrize("make", [tiny, real])
def test_stages_before_and_after_sharing_are_those_counted_by_hand(make, store):
    plan = plan_study(make(), store, Silent())
    assert distinct(plan) == {kind: 2 * each + 4 * seeded for kind, (each, seeded) in DISTINCT.items()}
    assert {kind.kind: kind.unshared for kind in plan.kinds} == {kind: 4 * count for kind, count in UNSHARED.items()}
    assert len(plan.stages) == sum(distinct(plan).values())
    assert plan.num_experiments == 2 * 2 * len(GRID)
    assert len(plan.methods["method"]) == len(GRID)
    assert plan.methods["method"][1] == "vanilla logconf"
    assert plan.methods["method"][-1] == "filtered xent filter=probe_disagreement(probe=knn), drop=.25, filter_val=True"


def test_what_cannot_be_had_is_never_looked_up_and_says_so(tmp_path):
    asked = []

    class Watched(Store):
        def has(self, key: str) -> bool:
            asked.append(key)
            return super().has(key)

    plan = plan_study(real(), Watched(tmp_path / "store"), Silent())
    assert asked == []
    assert {stage.key for stage in plan.stages} == {UNKNOWN_KEY}
    assert not any(stage.cached for stage in plan.stages)
    told = [note for note in plan.notes if "unresolved" in note]
    assert len(told) == 1
    for name in ("Qwen/Qwen1.5-0.5B", "meta-llama/Meta-Llama-3-8B", "sst2", "sciq"):
        assert name in told[0]


def test_known_data_under_an_unknown_model_keep_their_keys(store):
    plan = plan_study(real(datasets=["tiny-home"], weak="tiny/weak"), store, Silent())
    known = {stage.kind for stage in plan.stages if stage.key != UNKNOWN_KEY}
    assert known == {"prepared datasets", "audits", "supervisors"}
    resolved = plan_study(tiny(datasets=["tiny-home"], splits={}), store, Silent())
    supervisors = {stage.key for stage in resolved.stages if stage.kind == "supervisors"}
    assert supervisors == {stage.key for stage in plan.stages if stage.kind == "supervisors"}


def test_a_gated_model_is_told_and_planned(store, monkeypatch):
    def gated(settings, dtype):
        raise HubError(f"model '{settings.model}' is gated: accept its terms")

    monkeypatch.setattr(placeholders, "resolve", gated)
    plan = plan_study(real(datasets=["tiny-home"]), store, Silent())
    assert sum("is gated: accept its terms" in note for note in plan.notes) == 2
    assert distinct(plan) == {kind: each + 2 * seeded for kind, (each, seeded) in DISTINCT.items()}


def test_a_model_of_no_catalog_is_counted_but_not_its_work(store):
    methods = ["vanilla", {"kind": "probe", "layer": 70}, {"kind": "probe", "layer": "last"}]
    plan = plan_study(real(strong="org/unheard-of", methods=methods, seeds=[0]), store, Silent())
    assert distinct(plan)["activations"] == 4
    assert any("org/unheard-of: its size is unknown" in note for note in plan.notes)
    work = {stage.kind: stage.flops for stage in plan.stages}
    assert work["ceilings"] is None
    assert work["supervisors"] > 0
    assert all(stage.tokens for stage in plan.stages if stage.trains)


@pytest.mark.parametrize(
    ("settings", "error", "words"),
    [
        ({"strong": "tiny/huge"}, ModelError, "unknown embedded model"),
        ({"strong": "./nowhere"}, ModelError, "there is no folder"),
        ({"strong": "a/b/c"}, HubError, "neither a folder nor the name of a hub model"),
        ({"strong": {"model": "Qwen/Qwen1.5-0.5B", "num_layers": 25}}, SettingsError, "24 blocks"),
        ({"methods": [{"kind": "probe", "layer": 33}]}, SettingsError, "layer 33 does not exist"),
        ({"datasets": ["nowhere.jsonl"]}, OutshineError, "nowhere.jsonl"),
    ],
)
def test_mistakes_of_the_user_are_no_matter_of_the_hub(settings, error, words, store):
    with pytest.raises(error, match=words):
        plan_study(real(**settings), store, Silent())


def test_own_labels_for_rows_that_cannot_be_had(store, tmp_path):
    labels = tmp_path / "weak.csv"
    labels.write_text("text,p_weak\na,0.5\n")
    plan = plan_study(real(datasets=["sst2"], labels=str(labels)), store, Silent())
    expected = {kind: each + 2 * seeded for kind, (each, seeded) in DISTINCT.items() if kind != "supervisors"}
    # labels of a file are the same for every seed, and so are the probes and filters that look at nothing else
    assert distinct(plan) == expected | {"probes": 2, "filters": 2}


def test_stand_ins_cannot_be_run(store, stack):
    finder = HubResolver(stack)
    resolution = resolve_study(real(), finder.model, finder.data)
    assert all(isinstance(prepare, UnresolvedPrepare) for prepare in resolution.prepares)
    executor = LocalExecutor(store, Runtime(), Silent())
    with pytest.raises(HubError, match="planned without its rows"):
        executor.run(list(resolution.prepares))
    ref = resolution.strong.spec.model
    assert ref.identity == f"{UNRESOLVED}meta-llama/Meta-Llama-3-8B@main"
    with pytest.raises(ModelError, match="planned without the hub"):
        weights_folder(ref)
    for experiment in expand(resolution, store)[:8]:
        with pytest.raises(OutshineError):
            executor.run([experiment.students[-1]])
    assert store.keys() == []


def test_a_study_whose_comparison_cannot_show_anything_says_so(store):
    """GRID on two datasets: 9 different students, since round 1 of strong-to-strong training is the vanilla one."""
    (told,) = [note for note in plan_study(tiny(seeds=[0]), store, Silent()).notes if note.startswith("compare: ")]
    assert told.startswith("compare: with 2 datasets and 8 methods no difference, however large, can be shown")
    alone = tiny(seeds=[0], methods=["vanilla"])
    assert not [note for note in plan_study(alone, store, Silent()).notes if note.startswith("compare: ")]
