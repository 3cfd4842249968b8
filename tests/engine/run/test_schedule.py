"""The order in which units are given out: inputs first, each once, nothing that needs what failed."""

from __future__ import annotations

from typing import ClassVar

from hypothesis import given
from hypothesis import strategies as st
from numbered import Number

from outshine.engine.run.schedule import Schedule, base_of
from outshine.engine.stage import Stage, in_order


class OnBase(Number):
    stage: ClassVar[str] = "on base"
    base: str = "a"

    @property
    def base_model(self) -> str:
        return self.base


@st.composite
def graphs(draw: st.DrawFn) -> list[Stage]:
    """Stages that each need some of those before."""
    made: list[Number] = []
    for n in range(draw(st.integers(1, 9))):
        needs = [one for one in made if draw(st.booleans())]
        made.append(Number(n=n, needs=tuple(needs)))
    return in_order(list(made))


def needed_by(stage: Stage) -> set[str]:
    """Keys of all that a stage depends on, by recursion."""
    return {one.key for one in stage.inputs()} | {key for one in stage.inputs() for key in needed_by(one)}


@given(graphs(), st.data())
def test_inputs_come_first_and_what_failed_takes_all_that_need_it(stages, data):
    schedule = Schedule([(stage,) for stage in stages])
    fail = set(data.draw(st.lists(st.sampled_from([stage.key for stage in stages]), unique=True)))
    taken, under_way = [], []
    while schedule.num_left:
        unit = schedule.take()
        if unit is not None and data.draw(st.booleans()) and under_way:
            schedule.give_back(unit)
            unit = None
        if unit is not None:
            (stage,) = unit
            finished = {one.key for one in taken} - {one[0].key for one in under_way}
            assert {one.key for one in stage.inputs()} <= finished - fail
            taken.append(stage)
            under_way.append(unit)
        else:
            done = under_way.pop(data.draw(st.integers(0, len(under_way) - 1)))
            schedule.finish(done, [done[0].key] if done[0].key in fail else [])
    reached = [stage for stage in stages if not needed_by(stage) & fail]
    assert sorted(one.key for one in taken) == sorted(one.key for one in reached)
    assert schedule.num_left_out == len(stages) - len(reached)
    assert schedule.take() is None


def test_members_of_a_unit_that_need_what_failed_are_left_out_alone():
    good, bad = Number(n=1), Number(n=2)
    both = (Number(n=3, needs=(good,)), Number(n=4, needs=(bad,)))
    after = Number(n=5, needs=both)
    schedule = Schedule([(good,), (bad,), both, (after,)])
    schedule.finish(schedule.take())
    schedule.finish(schedule.take(), [bad.key])
    unit = schedule.take()
    assert unit == both[:1]
    schedule.finish(unit)
    assert (schedule.num_left, schedule.num_left_out, schedule.take()) == (0, 2, None)


def test_a_worker_gets_what_is_on_its_base_first_and_else_what_comes_first():
    stages = [OnBase(n=1, base="a"), OnBase(n=2, base="b"), Number(n=3), OnBase(n=4, base="b"), OnBase(n=5, base="a")]
    assert [base_of((stage,)) for stage in stages] == ["a", "b", None, "b", "a"]
    schedule = Schedule([(stage,) for stage in stages])
    assert [schedule.take(base)[0].n for base in ("b", "b", "b", None, "c")] == [2, 4, 1, 3, 5]
    assert not schedule.has_ready
