"""`benchmarks/gpu.py` at tiny size on the CPU: every line is there, and outshine computes what plain PEFT computes."""

from __future__ import annotations

import contextlib
import json
import statistics
import sys
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch

pytest.importorskip("peft")
sys.path.insert(0, str(Path(__file__).resolve().parents[2]))


from benchmarks import gpu, gpu_work

pytestmark = [  # of older names in PEFT
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
    pytest.mark.filterwarnings("ignore::FutureWarning"),
]

CPU = torch.device("cpu")
BENCH = gpu.Bench(CPU, gpu.TINY, 1e12, {})


@pytest.fixture
def out(tmp_path: Path) -> Path:
    return tmp_path / "gpu.json"


@pytest.fixture
def no_checks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gpu, "checks", lambda device, dtype: {})


@pytest.mark.slow
def test_every_line_is_measured(out: Path, capsys: pytest.CaptureFixture[str]):
    gpu.main(["--tiny", "--minutes", "60", "--out", str(out)])
    written = json.loads(out.read_text())
    printed = capsys.readouterr().out.splitlines()
    assert [row["line"] for row in written["lines"]] == [line.name for line in gpu.LINES]
    for row in written["lines"]:
        if row["line"].startswith("4-bit") and row["status"] == "failed":
            assert "needs bitsandbytes" in row["reason"]
            continue
        assert row["status"] == "measured", row
        assert row["passes"] >= 2
        assert row["tokens_per_second"] > row["examples_per_second"] > 0
        assert sum(line.startswith(f"| {row['line']} |") for line in printed) == 1
    assert written["lines"][10]["seconds_of_all"] > 0
    judged = [goal["reached"] for row in written["lines"] for goal in row["goals"]]
    assert judged
    assert set(judged) == {None}  # nothing is wanted of tiny models


def test_outshine_and_peft_agree(monkeypatch: pytest.MonkeyPatch):
    for name, difference in gpu.checks(CPU, torch.float32).items():
        assert difference < 1e-5, name


def test_the_comparison_would_notice_another_adapter(monkeypatch: pytest.MonkeyPatch):
    """PEFT is told half the scale."""
    from outshine.learn import saved_models

    save = saved_models.save_peft

    def halved(backbone: Any, settings: Any, name: str, folder: Path) -> None:
        save(backbone, settings.model_copy(update={"alpha": settings.alpha / 2}), name, folder)

    monkeypatch.setattr(saved_models, "save_peft", halved)
    found = gpu.checks(CPU, torch.float32)
    assert found["log-odds, packed and padded"] < 1e-5
    assert found["log-odds, outshine and PEFT"] > 1e-2
    assert found["gradient norms, outshine and autograd"] > 1e-3


def test_the_comparison_would_notice_padding_that_is_read(monkeypatch: pytest.MonkeyPatch):
    collate = gpu_work.collate
    monkeypatch.setattr(
        gpu_work,
        "collate",
        lambda *given: collate(*given)._replace(ends=torch.full((24,), max(map(len, given[0])) - 1)),
    )
    found = gpu.checks(CPU, torch.float32)
    assert found["log-odds, outshine and PEFT"] > 1e-2
    assert found["losses, outshine and autograd"] > 1e-3


def test_shares_are_counted_by_the_formula():
    """4·N FLOPs a token in training, 2·N in evaluation: 10 tokens a second of 3 G weights on 1 TFLOP/s."""
    assert gpu.share_of_matmul(10, 3_000_000_000, True, 1e12) == pytest.approx(0.12)
    assert gpu.share_of_matmul(10, 3_000_000_000, False, 1e12) == pytest.approx(0.06)


def test_shapes_are_those_of_the_models():
    """Meta-Llama-3-8B has 6,979,584,000 weights in its blocks; BERT's have biases and two norms."""
    assert gpu_work.block_weights(gpu_work.shape("8B")) == 6_979_584_000
    for name, layers, d, f in ((".34B", 24, 1024, 4096), ("MiniLM", 6, 384, 1536)):
        block = 4 * (d * d + d) + (d * f + f) + (f * d + d) + 4 * d
        assert gpu_work.block_weights(gpu_work.shape(name)) == layers * block


@pytest.mark.parametrize("members", [1, 4])
def test_real_tokens_of_all_members_count(members: int, monkeypatch: pytest.MonkeyPatch):
    """Two seconds a pass over eight texts; padded to the longest they would be more tokens."""

    def train(model: Any, runtime: Any, corpus: list[list[int]], laps: gpu_work.Laps) -> None:
        laps.taken += [9.0, 2.0, 3.0, 1.0]

    monkeypatch.setattr(gpu_work, "outshine_train", train)
    sizes = [len(text) for text in gpu_work.texts(gpu_work.SCIQ, 8)]
    assert sum(sizes) < 8 * max(sizes)
    found = gpu.measure(BENCH, gpu.Line("training", members=members), until=1e9)
    assert found["tokens_per_second"] == members * sum(sizes) / 2
    assert found["examples_per_second"] == members * 4
    assert found["preparation_seconds"] == 9
    assert found["passes"] == 3
    weights = gpu_work.block_weights(gpu_work.shape("8B", tiny=True))
    assert found["share_of_matmul"] == pytest.approx(4 * weights * found["tokens_per_second"] / 1e12)


def test_fine_tunings_are_extrapolated(monkeypatch: pytest.MonkeyPatch):
    """Cohorts of 8 on 2,000 rows, three epochs, passes of 2,000: (10 + 2·2) s once, then 36.5 times (3 + 2·1) s."""
    passes = iter([(10.0, 2.0, 2.0), (3.0, 1.0, 1.0), (3.0, 1.0, 1.0)])

    def train(model: Any, runtime: Any, corpus: list[list[int]], laps: gpu_work.Laps) -> None:
        laps.taken += next(passes)

    monkeypatch.setattr(gpu_work, "outshine_train", train)
    base, laps = gpu_work.build(gpu_work.shape("MiniLM", tiny=True), CPU, torch.float32), gpu_work.Laps(CPU, 0)
    found = gpu.fine_tunings(base, gpu_work.texts(gpu_work.SCIQ, 2000), laps, CPU, until=1e9)
    assert found["seconds_of_all"] == pytest.approx(14 + 36.5 * 5)
    assert "3 cohorts of 8" in found["how"]
    assert laps.taken == [10.0, 2.0, 2.0, 1.0, 1.0, 1.0, 1.0]


def test_a_training_run_is_timed_by_whole_epochs_and_ends():
    base = gpu_work.build(gpu_work.shape("8B", tiny=True), CPU, torch.float32)
    corpus = gpu_work.texts(gpu_work.SCIQ, 10)
    laps = gpu_work.Laps(CPU, 0, least=4)
    began = time.perf_counter()
    with gpu_work.outshine_model(base, corpus, {}) as (model, runtime, _):
        gpu_work.outshine_train(model, runtime, corpus, laps, batch_size=4)
    assert len(laps.taken) == 5
    assert sum(laps.taken) <= time.perf_counter() - began + 1e-3
    assert not [name for name, _ in base.named_parameters() if "lora" in name]


def test_what_raises_is_a_line_and_the_rest_goes_on(out: Path, no_checks: None, monkeypatch: pytest.MonkeyPatch):
    """After every line the file holds all that came before."""
    held = []

    def measure(bench: gpu.Bench, line: gpu.Line, until: float) -> dict[str, Any]:
        held.append([row["line"] for row in json.loads(out.read_text())["lines"]])
        if line.name == gpu.BUCKETS:
            raise torch.OutOfMemoryError("CUDA out of memory.\nmore")
        if line.name == gpu.EVALUATE:
            raise KeyError("a bug")
        figures = {name: 1.0 for name, _ in gpu.COLUMNS.values()}
        return {**figures, "passes": 3}

    monkeypatch.setattr(gpu, "measure", measure)
    gpu.main(["--tiny", "--out", str(out)])
    names = [line.name for line in gpu.LINES]
    assert held == [names[:n] for n in range(len(names))]
    rows = {row["line"]: row for row in json.loads(out.read_text())["lines"]}
    assert rows[gpu.BUCKETS]["status"] == "out of memory"
    assert "\n" not in rows[gpu.BUCKETS]["reason"]
    assert rows[gpu.EVALUATE]["status"] == "failed"
    assert rows[gpu.EVALUATE]["reason"] == "KeyError: 'a bug'"
    assert [row["status"] for row in rows.values()].count("measured") == len(names) - 2


def test_peft_that_is_missing_is_a_line(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setitem(sys.modules, "peft", None)
    found = gpu.measured(BENCH, gpu.Line("training", peft_budget=4096), 60, 60)
    assert found["status"] == "absent"


def test_nothing_begins_after_the_time_is_over(out: Path, no_checks: None, capsys: pytest.CaptureFixture[str]):
    gpu.main(["--tiny", "--minutes", "0", "--out", str(out)])
    rows = json.loads(out.read_text())["lines"]
    assert {row["status"] for row in rows} == {"not run"}
    assert capsys.readouterr().out.count("not run: the time was over") == len(gpu.LINES)


def test_what_does_not_end_is_stopped(monkeypatch: pytest.MonkeyPatch):
    """Though it catches every error."""

    def measure(*_: Any) -> dict[str, Any]:
        while True:
            with contextlib.suppress(Exception):
                time.sleep(10)

    monkeypatch.setattr(gpu, "measure", measure)
    began = time.perf_counter()
    assert gpu.measured(BENCH, gpu.LINES[0], share=0.05, left=100)["status"] == "stopped"
    assert gpu.measured(BENCH, gpu.LINES[0], share=100, left=0.2)["status"] == "stopped"
    assert time.perf_counter() - began < 5


@pytest.mark.parametrize(("until", "passes"), [(1e9, 5), (0.0, 1), (35.0, 3)])
def test_passes_end_when_there_are_enough(until: float, passes: int, monkeypatch: pytest.MonkeyPatch):
    """Passes of ten seconds: five for fifty seconds, or no more after the time; never none beside the first."""
    clock = iter(range(0, 1000, 10))
    monkeypatch.setattr(gpu_work, "time", SimpleNamespace(perf_counter=lambda: float(next(clock))))
    laps = gpu_work.Laps(CPU, seconds=50, until=until)
    while not laps.lap():
        pass
    assert laps.taken == [10.0] * (1 + passes)


def test_passes_that_prepare_count_as_the_first(monkeypatch: pytest.MonkeyPatch):
    clock = iter(range(0, 1000, 10))
    monkeypatch.setattr(gpu_work, "time", SimpleNamespace(perf_counter=lambda: float(next(clock))))
    laps = gpu_work.Laps(CPU, seconds=50, first=3)
    while not laps.lap():
        pass
    assert laps.taken == [30.0, *[10.0] * 5]


def test_goals_are_set_beside_what_was_measured():
    rows: list[dict[str, Any]] = [
        {"line": gpu.TRAIN, "status": "measured", gpu.RATE: 2700.0, gpu.SHARE: 0.5, gpu.PEAK: 30.0},
        {"line": gpu.BUCKETS, "status": "measured", gpu.RATE: 1000.0, gpu.SHARE: 0.1, gpu.PEAK: 30.0},
        {"line": gpu.ONE_TEXT, "status": "stopped", "reason": "not through"},
    ]
    gpu.judge(rows)
    assert rows[0]["goals"] == [
        {"wanted": "≥ 50% of matmul", "is": "50% of matmul", "reached": True},
        {"wanted": "≥ 3 × PEFT in buckets", "is": "2.7 × PEFT in buckets", "reached": False},
        {"wanted": "≥ 90 × micro-batch 1", "is": None, "reached": None},
        {"wanted": "≤ 26.6 GiB", "is": "30.0 GiB", "reached": False},
    ]
    assert not rows[1]["goals"]


def test_lengths_have_the_means_and_the_tail():
    sciq, boolq = ([len(text) for text in gpu_work.texts(kind, 4000)] for kind in (gpu_work.SCIQ, gpu_work.BOOLQ))
    assert statistics.mean(sciq) == pytest.approx(31, rel=0.01)
    assert statistics.mean(boolq) == pytest.approx(150, rel=0.01)
    assert max(boolq) > 5 * statistics.median(boolq)


def test_no_bucket_exceeds_its_budget():
    sizes = [len(text) for text in gpu_work.texts(gpu_work.BOOLQ, 200)]
    for budget in (4096, 1024, 0):
        batches = gpu_work.buckets(sizes, budget)
        assert sorted(row for batch in batches for row in batch) == list(range(200))
        assert all(len(batch) == 1 or len(batch) * max(sizes[i] for i in batch) <= budget for batch in batches)


def test_plan_reckons_with_the_file(out: Path):
    """It looks for lines of these names; a tiny run tells nothing."""
    from outshine.engine.errors import SettingsError
    from outshine.engine.stage import Cost
    from outshine.w2s.cost import speed_of

    names = {line.name for line in gpu.LINES if line.peft_budget is None}
    assert {gpu.TRAIN, gpu.EVALUATE} <= names
    where = {**gpu.environment(CPU, gpu.FULL), "matmul_tflops": 100.0}
    lines = [{"line": gpu.TRAIN, gpu.SHARE: 0.5}, {"line": gpu.EVALUATE, gpu.SHARE: 0.8}]
    out.write_text(json.dumps({"environment": where, "lines": lines}))
    assert speed_of(str(out)).seconds(Cost(1, 0, 9e13, 4e13)) == pytest.approx(1.0 + 0.5)
    out.write_text(json.dumps({"environment": gpu.environment(CPU, gpu.TINY), "lines": lines}))
    with pytest.raises(SettingsError):
        speed_of(str(out))


def test_the_table_of_a_file_is_printed(out: Path, no_checks: None, capsys: pytest.CaptureFixture[str]):
    gpu.main(["--tiny", "--minutes", "0", "--out", str(out)])
    printed = capsys.readouterr().out
    gpu.main(["--table", str(out)])
    assert capsys.readouterr().out == printed
