"""Two processes that share one base make the updates that one process makes, and each holds about half of the base."""

from pathlib import Path

import numpy as np
import pytest
from shared_cases import CASES, Case, compute

from outshine.engine.process_group import ProcessGroup
from outshine.learn.batches import Limits, micro_batches
from outshine.learn.distributed import shard_batches
from tiny_checkpoints import write_checkpoint
from torchrun import torchrun

MOST = {"float32": 1e-5, "float64": 1e-9}


class One(ProcessGroup):
    """A place in a team, for what needs no partners."""

    def __init__(self, rank: int, size: int) -> None:
        self.rank, self.size = rank, size


@pytest.fixture(scope="module")
def computed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder in which two processes left what they found."""
    root = tmp_path_factory.mktemp("shared")
    for kind in {case.kind for case in CASES}:
        write_checkpoint(root / kind, kind)
    ran = torchrun(root, str(Path(__file__).with_name("shared_cases.py")), str(root))
    assert ran.returncode == 0, ran.stderr
    return root


@pytest.mark.slow
@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_two_processes_end_where_one_does(case: Case, computed: Path, tmp_path: Path):
    first, second = (dict(np.load(computed / f"{case.name}-{rank}.npz")) for rank in range(2))
    expected = compute(case, computed / case.kind, tmp_path)
    (held, every), (others, again) = first.pop("elements"), second.pop("elements")
    assert expected.pop("elements").tolist() == [every, every] == [again, again]
    assert held + others == every
    assert abs(held - others) <= 0.1 * every  # sharded by rows: odd ones leave a row more to the first
    assert set(first) == set(second) == set(expected)
    for name, value in expected.items():
        np.testing.assert_array_equal(first[name], second[name], err_msg=name)
        np.testing.assert_allclose(first[name], value, rtol=MOST[case.dtype], atol=MOST[case.dtype], err_msg=name)
    assert np.ptp(expected["log-odds"]) > 1e-2


@pytest.mark.parametrize("size", [1, 2, 3, 7])
def test_every_process_makes_as_many_passes_and_every_batch_counts_once(size):
    lengths = [3, 9, 9, 1, 12, 5, 8, 8, 2, 4, 6]
    batches = micro_batches(lengths, range(len(lengths)), Limits(20))
    turns = [list(shard_batches(batches, One(rank, size))) for rank in range(size)]
    assert {len(own) for own in turns} == {-(-len(batches) // size)}
    counted = [turn.rows for own in turns for turn in own if turn.counts]
    assert sorted(counted) == sorted(batches)
    assert all(turn.rows for own in turns for turn in own)
    assert [rows for turn in turns[0] for rows in turn.of_all] == batches
