"""`benchmarks/gpu.py` at tiny size on the CPU: every row is there, and all ways compute the same."""

from __future__ import annotations

import json
import statistics
import sys
from pathlib import Path
from typing import Any
from unittest.mock import patch

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

pytest.importorskip("peft")
sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "benchmarks"))

import gpu
import gpu_checks
import gpu_model
import gpu_work

pytestmark = [  # of torch's compiler, which looks at every tensor's gradient, and of older names in PEFT
    pytest.mark.filterwarnings("ignore:The .grad attribute of a Tensor that is not a leaf:UserWarning"),
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
    pytest.mark.filterwarnings("ignore::FutureWarning"),
]

CPU = torch.device("cpu")
MODES = ("training", "evaluation")
NEEDS_CUDA = {"lean LoRA, packed, varlen attention", "lean LoRA, packed, flex_attention"}


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """What the script writes. A check compiles a layer; what is measured is not compiled: that takes seconds a setup."""
    out = tmp_path_factory.mktemp("gpu") / "gpu.json"
    asked, measure_all = [], gpu.measure_all

    def measure_uncompiled(*given: Any) -> list[dict[str, Any]]:
        with patch.object(nn.Module, "compile", lambda layer, **how: asked.append(how)):
            return measure_all(*given)

    with patch.object(gpu, "measure_all", measure_uncompiled):
        gpu.main(["--tiny", "--device", "cpu", "--minutes", "60", "--out", str(out)])
    assert len(asked) == 2 * 2 * 2 * gpu_model.TINY.num_hidden_layers  # setups × workloads × modes
    assert all(how == {"dynamic": True, "backend": "eager"} for how in asked)
    return json.loads(out.read_text())


@pytest.mark.slow
def test_every_row_is_measured_or_says_why_not(written: dict[str, Any]):
    wanted = {
        (setup.name, texts, mode)
        for setup in gpu.SETUPS
        for texts in ("SciQ-like", "BoolQ-like")
        for mode in MODES
        if not (setup.checkpointing and mode == "evaluation")
    }
    rows = {(row["setup"], row["workload"], row["mode"]): row for row in written["rows"]}
    assert len(written["rows"]) == len(rows)
    assert set(rows) == wanted
    for (setup, _, _), row in rows.items():
        if setup in NEEDS_CUDA:
            assert row["status"] == "not supported"
            assert "needs CUDA" in row["reason"]
        elif setup == "lean LoRA, 4-bit base":
            assert row["status"] in ("absent", "not supported")
        else:
            assert row["status"] == "measured", row
            assert row["tokens_per_second"] > 0
            assert 0 <= row["padding"] < 1


@pytest.mark.slow
def test_all_ways_compute_the_same(written: dict[str, Any]):
    found = {one["check"]: one for one in written["checks"]}
    on_cuda = {name for name in found if name.endswith("bf16")}
    assert {found[name]["status"] for name in on_cuda} == {"not supported"}
    assert len(found) - len(on_cuda) == 7
    for name in found.keys() - on_cuda:
        assert found[name]["largest_difference"] < 1e-4, name


def test_checks_would_notice(monkeypatch: pytest.MonkeyPatch):
    """Packs whose texts see each other, and a cohort that is clipped as one, give other numbers."""
    packed = gpu_work._packed
    monkeypatch.setattr(
        gpu_work, "_packed", lambda *a: packed(*a)._replace(positions=torch.arange(len(packed(*a).ids[0]))[None])
    )
    monkeypatch.setattr(gpu_work, "clip", lambda p, members: torch.nn.utils.clip_grad_norm_(p, 0.1 / members))
    setup = gpu_model.Setup("packed", budget=256, packed=True)
    assert gpu_checks.alone(CPU, setup, torch.float32) > 1e-3
    assert gpu_checks.cohort(CPU, updates=1) > 1e-3


def test_varlen_attention_reads_each_text_alone(monkeypatch: pytest.MonkeyPatch):
    """The registered attention, with torch's CUDA kernel replaced by a loop over the texts."""

    def by_text(q: Tensor, k: Tensor, v: Tensor, starts: Tensor, *others: Any, scale: float, window_size: tuple):
        assert window_size == (-1, 0)
        bounds = list(zip(starts[:-1].tolist(), starts[1:].tolist(), strict=True))
        parts = [[x[a:b].transpose(0, 1) for x in (q, k, v)] for a, b in bounds]
        seen = [functional.scaled_dot_product_attention(*part, is_causal=True, scale=scale) for part in parts]
        return torch.cat([part.transpose(0, 1) for part in seen])

    varlen = pytest.importorskip("torch.nn.attention.varlen")
    monkeypatch.setattr(varlen, "varlen_attn", by_text)
    monkeypatch.setattr(gpu_model, "_attention_for", lambda setup, device: setup.attention)
    gpu_model.register_varlen()
    setup = gpu_model.Setup("packed", budget=256, packed=True, attention="varlen")
    assert gpu_checks.alone(CPU, setup, torch.float32) < 1e-4


def test_no_time_left_is_a_line_of_the_table(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Any):
    monkeypatch.setattr(gpu, "checks", lambda device, guarded: [])
    result = gpu.main(["--tiny", "--minutes", "0", "--out", str(tmp_path / "gpu.json")])
    assert {row["status"] for row in result["rows"]} == {"not run"}
    assert "not run: the time was over" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("error", "status"),
    [
        (torch.OutOfMemoryError("CUDA out of memory.\nmore"), "out of memory"),
        (ImportError("no peft"), "absent"),
        (NotImplementedError("no kernel"), "not supported"),
    ],
)
def test_failures_are_recorded_in_one_line(error: Exception, status: str):
    def fails() -> dict[str, Any]:
        raise error

    found = gpu.guarded(fails)
    assert found["status"] == status
    assert "\n" not in found["reason"]


def test_a_bug_is_no_line_of_the_table():
    with pytest.raises(KeyError):
        gpu.guarded(lambda: {}["typo"])


def test_lengths_have_the_means_and_the_tail():
    sciq, boolq = gpu_work.lengths(gpu_work.SCIQ, 4000), gpu_work.lengths(gpu_work.BOOLQ, 4000)
    assert sum(sciq) / 4000 == pytest.approx(31, rel=0.01)
    assert sum(boolq) / 4000 == pytest.approx(150, rel=0.01)
    assert max(boolq) > 5 * statistics.median(boolq)


def test_no_micro_batch_exceeds_its_budget():
    sizes = gpu_work.lengths(gpu_work.BOOLQ, 200)
    for setup in (gpu_model.Setup("b", budget=4096, members=4), gpu_model.Setup("p", budget=1024, packed=True)):
        batches = gpu_work.micro_batches(range(200), sizes, setup)
        assert sorted(row for batch in batches for row in batch) == list(range(200))
        for batch in batches:
            used = sum(sizes[i] for i in batch) if setup.packed else len(batch) * max(sizes[i] for i in batch)
            assert used * setup.members <= setup.budget or len(batch) == 1


def test_shape_is_llama_3_8b():
    """6,979,584,000 weights in the blocks of meta-llama/Meta-Llama-3-8B."""
    assert gpu_model.parameters_of_blocks(gpu_model.LLAMA_3_8B) == 6_979_584_000
    tiny = gpu_model.build(gpu_model.TINY, CPU, torch.float32)
    assert gpu_model.parameters_of_blocks(gpu_model.TINY) == sum(p.numel() for p in tiny.layers.parameters())
