"""The part on scale at toy size: what is measured is what it says, for every executor. Nothing is timed."""

from __future__ import annotations

import pytest

from outshine.engine.store.store import Store


@pytest.mark.slow
def test_a_plan_has_at_least_the_stages_asked_for_and_not_a_seed_more():
    from benchmarks import scale

    one, more = (scale.plan(stages)["stages"] for stages in (1, 200))
    assert one == 102  # 24 that seeds share, 78 of a seed: counted by hand in tests/engine/run/plan_studies.py
    assert more == 102 + 2 * 78
    assert scale.plan(102)["stages"] == 102


@pytest.mark.parametrize("executor", ["local"])
def test_every_executor_computes_all_stages_and_finds_them_again(executor):
    from benchmarks import scale

    assert executor in scale.EXECUTORS
    found = scale.drive(executor, 7)
    assert set(found) == {"seconds", "again_seconds"}
    assert min(found.values()) > 0


def test_an_executor_that_leaves_stages_out_is_not_measured(monkeypatch):
    from benchmarks import scale

    class Lazy:
        def __init__(self, store: Store) -> None:
            self._real = scale._local(store)

        def run(self, requested) -> None:
            self._real.run(requested[:3])

    monkeypatch.setitem(scale.EXECUTORS, "lazy", Lazy)
    with pytest.raises(RuntimeError, match="lazy left 3 of 5 stages"):
        scale.drive("lazy", 5)


@pytest.mark.slow
def test_the_part_is_measured_turn_by_turn_and_told_in_a_table(monkeypatch):
    """Each turn has a process of its own (test_bench.py tries one); here they run in this one."""
    from benchmarks import bench, children, scale, table

    def here(module: str, function: str, given: dict, threads: int) -> children.Measured:
        assert (module, threads) == ("scale", 1)
        return children.Measured(getattr(scale, function)(**given), 1.0, 50.0)

    assert "scale" in bench.PARTS
    monkeypatch.setattr(children, "call", here)
    monkeypatch.setattr(scale, "QUICK_PLANNED", (1,))
    monkeypatch.setattr(scale, "QUICK_DRIVEN", 5)
    found = scale.measure(quick=True, threads=1, repeats=1)
    assert [(one["stages"], one["peak_mb"]) for one in found["plans"]] == [(102, 50.0)]
    assert [(one["executor"], one["stages"]) for one in found["drivers"]] == [("local", 5)]
    machine = {"processor": "one", "threads": 1, "cores": 1, "torch": "2", "transformers": "5", "peft": "0"}
    lines = table.markdown({"machine": machine, "scale": found}).splitlines()
    assert [line.split("|")[1].strip() for line in lines[-3:]] == [
        "plan of 102 stages",
        "5 stages that do nothing, executor local",
        "5 stages that do nothing, executor local, again",
    ]
    assert len({line.count("|") for line in lines[-5:]}) == 1


def test_milliseconds_a_stage_are_those_of_the_seconds():
    from benchmarks.table import _pace

    assert _pace(12.5, 100_000) == ("12.50", "0.125")
    assert _pace(31.4, 10_000) == ("31.40", "3.14")
