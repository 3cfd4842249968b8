"""A run that was cut off goes on from its checkpoint to the same bits."""

import json
import math
import os
import shutil
import signal
import subprocess
import sys
from functools import cache
from pathlib import Path

import numpy as np
import pytest
import torch
from runs import rows, run, run_env, validation

from outshine.engine.runtime import Runtime
from outshine.learn import checkpoint as checkpoints
from outshine.learn.batches import predict
from outshine.learn.loop import TrainResult, finetune
from tiny_checkpoints import classifier_of


class CutOffError(Exception):
    """What ends a run from outside."""


def stopper(updates: int):
    """Progress that raises when so many updates are done."""
    left = iter(range(updates - 1, -1, -1))

    def advance(done: int, total: int) -> None:
        if next(left) == 0:
            raise CutOffError

    return advance


def whole_run(
    classifier, folder: Path, loss: str = "xent", advance=lambda done, total: None
) -> tuple[TrainResult, np.ndarray]:
    where = run_env(folder, advance, checkpoint_seconds=0)
    result = finetune(classifier, rows(), validation(), run(loss), where)
    return result, predict(classifier, rows().tokens, 0, Runtime(eval_token_budget=4096))


def same(first: TrainResult, second: TrainResult) -> bool:
    return first.chosen_step == second.chosen_step and np.array_equal(first.curve, second.curve, equal_nan=True)


@pytest.fixture(scope="module")
def undisturbed(checkpoint, tmp_path_factory):
    """`undisturbed(tuning, loss)`: what the whole run of a BERT gives, computed once."""

    @cache
    def runs(tuning: str, loss: str) -> tuple[TrainResult, np.ndarray]:
        return whole_run(classifier_of(checkpoint("bert"), tuning=tuning), tmp_path_factory.mktemp("whole"), loss)

    return runs


@pytest.mark.slow
@pytest.mark.parametrize(
    ("tuning", "loss", "updates"),
    [
        ("lora", "logconf", 2),
        ("lora", "logconf", 5),
        ("lora", "logconf", 11),
        ("lora", "xent", 7),
        ("full", "xent", 5),
        ("head", "logconf", 5),
    ],
)
def test_an_interrupted_run_ends_with_the_same_bits(tuning, loss, updates, checkpoint, undisturbed, tmp_path):
    folder = checkpoint("bert")
    expected, predictions = undisturbed(tuning, loss)
    with pytest.raises(CutOffError):
        whole_run(classifier_of(folder, tuning=tuning), tmp_path / "cut", loss, stopper(updates))
    seen = []
    result, resumed = whole_run(
        classifier_of(folder, tuning=tuning), tmp_path / "cut", loss, lambda done, total: seen.append(done)
    )
    assert len(seen) == 12 - updates  # it did not begin anew
    assert same(result, expected)
    assert (resumed == predictions).all()


@pytest.mark.slow
def test_a_run_may_be_interrupted_many_times(checkpoint, tmp_path):
    expected, predictions = whole_run(classifier_of(checkpoint("gpt2")), tmp_path / "whole", "logconf")
    for _ in range(3):
        with pytest.raises(CutOffError):
            whole_run(classifier_of(checkpoint("gpt2")), tmp_path / "cut", "logconf", stopper(3))
    result, resumed = whole_run(classifier_of(checkpoint("gpt2")), tmp_path / "cut", "logconf")
    assert same(result, expected)
    assert (resumed == predictions).all()


KILLED = """
import os, signal, sys
from pathlib import Path
sys.path[:0] = {paths!r}
from runs import run_env, rows, run, validation
from tiny_checkpoints import classifier_of
from outshine.learn.loop import finetune

left = iter(range(6, -1, -1))
def advance(done, total):
    if next(left) == 0:
        os.kill(os.getpid(), signal.SIGKILL)

where = run_env(Path({folder!r}), advance, checkpoint_seconds=0)
finetune(classifier_of(Path({model!r})), rows(), validation(), run("logconf"), where)
"""


@pytest.mark.slow
def test_a_run_that_was_killed_ends_with_the_same_bits(checkpoint, undisturbed, tmp_path):
    model, here = checkpoint("bert"), Path(__file__).parent
    expected, predictions = undisturbed("lora", "logconf")
    script = KILLED.format(paths=[str(here), str(here.parents[1])], folder=str(tmp_path / "cut"), model=str(model))
    threads = {"OMP_NUM_THREADS": str(torch.get_num_threads())}
    dead = subprocess.run(
        [sys.executable, "-c", script], env={**os.environ, **threads}, capture_output=True, check=False
    )
    assert dead.returncode == -signal.SIGKILL, dead.stderr.decode()
    seen = []
    result, resumed = whole_run(
        classifier_of(model), tmp_path / "cut", "logconf", lambda done, total: seen.append(done)
    )
    assert len(seen) == 5
    assert same(result, expected)
    assert (resumed == predictions).all()


@pytest.fixture(scope="module")
def cut_off(checkpoint, tmp_path_factory) -> Path:
    """The folder of a run that was cut off after five updates. Not to be changed by a test."""
    folder = tmp_path_factory.mktemp("cut-off")
    with pytest.raises(CutOffError):
        whole_run(classifier_of(checkpoint("bert")), folder, advance=stopper(5))
    return folder


@pytest.mark.slow
@pytest.mark.parametrize(
    "damage",
    [
        *("truncated", "empty", "garbage", "half-written beside", "other weights", "other format"),
        *("facts", "no digest", "best/", "weights/", "optimizer/"),
    ],
)
def test_a_checkpoint_that_cannot_be_used_is_ignored(damage, checkpoint, undisturbed, cut_off, tmp_path):
    folder = checkpoint("bert")
    expected, predictions = undisturbed("lora", "xent")
    if damage == "other weights":
        with pytest.raises(CutOffError):
            whole_run(classifier_of(folder, num_layers=2), tmp_path / "cut", advance=stopper(5))
    else:
        shutil.copytree(cut_off, tmp_path / "cut")
    path = run_env(tmp_path / "cut").checkpoint
    data = path.read_bytes()
    if damage == "half-written beside":
        path.unlink()
        path.with_suffix(".new").write_bytes(data[:1000])
    elif damage == "other format":
        tensors, facts = checkpoints.read(path)
        checkpoints.write(path, checkpoints.Checkpoint(tensors, {**facts, "format": 0}))
    elif damage.endswith("/"):  # the sign of the first number of a tensor
        path.write_bytes(with_flipped_sign(data, damage))
    elif damage == "facts":
        path.write_bytes(data.replace(b'\\"best_step\\": ', b'\\"best_step\\":1'))
    elif damage == "no digest":
        path.write_bytes(data.replace(b'"sha256"', b'"sha255"'))
    elif damage != "other weights":
        path.write_bytes({"truncated": data[: len(data) // 2], "empty": b"", "garbage": b"garbage!" * 99}[damage])
    seen = []
    result, again = whole_run(classifier_of(folder), tmp_path / "cut", advance=lambda done, total: seen.append(done))
    assert len(seen) == 12
    assert same(result, expected)
    assert (again == predictions).all()


def with_flipped_sign(data: bytes, part: str) -> bytes:
    size = int.from_bytes(data[:8], "little")
    header = json.loads(data[8 : 8 + size])
    name = next(name for name in sorted(header) if part in name)
    changed = bytearray(data)
    changed[8 + size + header[name]["data_offsets"][0] + 3] ^= 0x80
    return bytes(changed)


def test_that_a_checkpoint_is_damaged_is_told(checkpoint, cut_off, tmp_path):
    folder = checkpoint("bert")
    shutil.copytree(cut_off, tmp_path / "cut")
    for damage, told in (("", []), ("weights/", ["the checkpoint is damaged or of another version and is not used"])):
        notes = []
        where = run_env(tmp_path / "cut", stopper(1), checkpoint_seconds=3600)._replace(note=notes.append)
        if damage:
            where.checkpoint.write_bytes(with_flipped_sign(where.checkpoint.read_bytes(), damage))
        with pytest.raises(CutOffError):
            finetune(classifier_of(folder), rows(), validation(), run("xent"), where)
        assert [note.partition(":")[0] for note in notes] == told


def test_a_checkpoint_reaches_the_disk_before_it_takes_the_place_of_the_last(tmp_path, monkeypatch):
    done = []
    real_sync, real_replace = os.fsync, Path.replace
    monkeypatch.setattr(os, "fsync", lambda handle: done.append("fsync") or real_sync(handle))
    monkeypatch.setattr(Path, "replace", lambda path, to: done.append("replace") or real_replace(path, to))
    checkpoints.write(tmp_path / "c.safetensors", checkpoints.Checkpoint({"a": torch.zeros(3)}, {}))
    assert done == ["fsync", "replace"]


@pytest.mark.slow
def test_checkpoints_are_written_as_seldom_as_was_asked(checkpoint, tmp_path):
    finetune(classifier_of(checkpoint("bert")), rows(), validation(), run(), run_env(tmp_path, checkpoint_seconds=3600))
    assert not (tmp_path / "work").exists()


def test_a_checkpoint_comes_back_as_it_was_written(tmp_path):
    tensors = {
        "a": torch.randn(3, 4).T,
        "b/c": torch.tensor(7.0),
        "d": torch.zeros(0, dtype=torch.float64),
    }
    facts = {"curve": [[1, 0.1, math.nan]], "best": -math.inf, "pi": math.pi}
    path = tmp_path / "deep" / "checkpoint.safetensors"
    checkpoints.write(path, checkpoints.Checkpoint(tensors, facts))
    checkpoints.write(path, checkpoints.Checkpoint(tensors, facts))
    found = checkpoints.read(path)
    assert found is not None
    assert all(torch.equal(found.tensors[name], tensor) for name, tensor in tensors.items())
    assert all(found.tensors[name].dtype == tensor.dtype for name, tensor in tensors.items())
    assert (found.facts["best"], found.facts["pi"]) == (-math.inf, math.pi)
    assert math.isnan(found.facts["curve"][0][2])
    assert [file.name for file in path.parent.iterdir()] == ["checkpoint.safetensors"]
    assert checkpoints.read(tmp_path / "none") is None
