"""`outshine plan`: the grid, what is shared, costs; on a machine without a hub too."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from outshine.engine.runtime import Runtime
from outshine.engine.stage import Cost
from outshine.w2s.cost import H200, Speed, speed_here, speed_of

BIG = {
    "name": "big",
    "datasets": ["sst2", "sciq", "boolq", "anthropic_hh", "multirc", "paws"],
    "methods": [
        "vanilla",
        "strong_to_strong",
        {"kind": "probe", "probe": "knn"},
        {"kind": "probe_to_strong", "probe": "knn", "layer": "3/4"},
        {"kind": "filtered", "filter": "topofilter"},
    ],
    "seeds": [0, 1],
}
SUMMARY = re.compile(r"(\S+) stages, (\S+) in the store, (\S+) to do: about (\S+) tokens .*? (\S+) GPU-hours")


@pytest.fixture(autouse=True)
def no_hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)


@pytest.fixture
def big(tmp_path: Path) -> str:
    path = tmp_path / "big.yaml"
    path.write_text(yaml.safe_dump(BIG))
    return str(path)


def line_of(out: str, kind: str) -> list[str]:
    (line,) = [line for line in out.splitlines() if line.startswith(f"│ {kind} ")]
    return [cell.strip() for cell in line.strip("│").split("│")]


def test_a_big_study_is_planned_without_a_hub(outshine, big):
    outcome = outshine("plan", big)
    assert outcome.code == 0, outcome.err
    assert "big: 6 datasets × 2 seeds × (5 methods), 60 experiments" in outcome.out
    assert "vanilla logconf; strong_to_strong logconf; probe=knn; " in outcome.out
    # of 12 pairs of dataset and seed: 1 supervisor, 1 ceiling, students 1 + 2 + 1 + 1; alone 5 + 5 + 1 + 3 + 1 + 1
    assert "without sharing: 192 models trained" in outcome.out
    assert "shared: 84 models, 144 stages" in outcome.out  # and 24 probes, 12 filters, 12 activations, 12 of the data
    assert line_of(outcome.out, "students")[1:5] == ["72", "60", "0", "60"]
    assert line_of(outcome.out, "activations")[1:5] == ["36", "12", "0", "12"]
    assert "unresolved: meta-llama/Meta-Llama-3-8B, Qwen/Qwen1.5-0.5B, sst2" in outcome.out
    assert "on sst2 weak_train" not in outcome.out  # more than 60 stages


def test_every_stage_on_request(outshine, big):
    outcome = outshine("plan", big, "--stages")
    assert outcome.out.count("│ unresolved ") == 144
    assert "on sst2 weak_train" in outcome.out


def test_gpu_hours_go_with_the_rate(outshine, big):
    hours = []
    for rate in ("100", "50"):
        found = SUMMARY.search(" ".join(outshine("plan", big, "--tflops", rate).out.split()))
        assert found is not None
        hours.append(float(found[5]))
    assert hours[0] > 10
    assert hours[1] == pytest.approx(2 * hours[0], abs=1)
    assert outshine("plan", big, "--tflops", "0").code == 2


def test_a_rate_and_what_was_assumed_are_told(outshine):
    arguments = ("plan", "--dataset", "tiny-home", "--weak", "tiny/weak", "--strong", "tiny/strong", "--tflops", "7")
    out = " ".join(outshine(*arguments).out.split())
    assert "GPU-hours of a GPU of 7 TFLOP/s, as --tflops says" in out
    assert "4·N in training with LoRA (6·N full, 2·N head only)" in out
    assert "attention's quadratic part (at most" in out
    again = outshine(*arguments, "--set", "runtime.gradient_checkpointing=true").out
    assert "6·N in training with LoRA, checkpointed (8·N full, 2·N head only)" in " ".join(again.split())


def test_offline_asks_no_hub(outshine, big, monkeypatch):
    from huggingface_hub import constants, utils

    def never(*_: object) -> None:
        raise AssertionError("the hub was asked")

    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    monkeypatch.setattr("outshine.w2s.plan.answers", never)
    assert outshine("plan", big, "--offline").code == 0
    assert not constants.HF_HUB_OFFLINE
    utils.close_session()


@pytest.mark.slow
def test_a_hub_out_of_reach_is_tried_once(tmp_path, big):
    """In a process of its own: the client reads HF_ENDPOINT when it is imported."""
    base = {name: value for name, value in os.environ.items() if not name.startswith(("HF_", "OUTSHINE_"))}
    own = {"HF_HOME": str(tmp_path / "hf"), "OUTSHINE_STORE": str(tmp_path / "store"), "OMP_NUM_THREADS": "1"}
    script = (
        "import sys\n"
        "from outshine.engine import hub\n"
        "knocks, first = [], hub.answers\n"
        "from outshine.w2s import plan\n"
        "plan.answers = lambda: knocks.append(1) or first()\n"
        "hub.time.sleep = lambda seconds: sys.exit('a second try')\n"
        f"sys.argv = ['outshine', 'plan', {big!r}]\n"
        "from outshine.cli.main import main\n"
        "try: main()\nexcept SystemExit as stop: assert not stop.code, stop.code\n"
        "assert knocks == [1], knocks\n"
    )
    command = [sys.executable, "-c", script]
    environment = {**base, **own, "HF_ENDPOINT": "http://127.0.0.1:9"}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False, timeout=120)
    assert done.returncode == 0, done.stderr
    assert "144 stages, 0 in the store, 144 to do" in done.stdout


def test_a_name_that_no_recipe_has_is_still_a_mistake(outshine):
    outcome = outshine("plan", "--dataset", "scik")
    assert outcome.code == 2
    assert "did you mean 'sciq'" in outcome.err


def test_the_time_on_this_machine_is_told_and_how_it_comes_about(outshine, monkeypatch):
    """At a matrix product's 10 GFLOP/s, half of which is reckoned with, and a million FLOPs a token besides."""
    speed = Speed("this machine (cpu, float32)", 10e9, 0.5, 0.5, "just now")
    monkeypatch.setattr("outshine.w2s.plan.speed_here", lambda *_: speed)
    arguments = ("plan", "--dataset", "tiny-home", "--weak", "tiny/weak", "--strong", "tiny/strong")
    document = json.loads(outshine(*arguments, "--json").out)
    assert document["seconds_here"] == pytest.approx((document["flops"] + 1e6 * document["tokens"]) / 5e9)
    told = " ".join(outshine(*arguments).out.split())
    assert re.search(
        r"on this machine \(cpu, float32\) about \d+ (s|min) with one worker: at 50% of the 10 GFLOP/s", told
    )


def test_a_matrix_product_is_timed():
    found = speed_here(Runtime(threads=1), "float32")
    assert re.fullmatch(r"this machine \((cpu|cuda|mps), float32\)", found.machine)
    assert 1e8 < found.flops < 1e16
    if "cpu" in found.machine:
        assert found.seconds(Cost(1, 0, 2 * found.flops)) == pytest.approx(4)


def test_passes_without_a_gradient_have_a_rate_of_their_own():
    """300 FLOPs of training at 10 a second, 700 forward at 70 a second, and a million of training for each token."""
    speed = Speed("one", 100, 0.1, 0.7, "so it is")
    assert speed.seconds(Cost(1, 0, 1000, 700)) == pytest.approx(30 + 10)
    assert speed.seconds(Cost(1, 3, 1000, 700)) == pytest.approx(30 + 10 + 3e5)
    assert speed.seconds(Cost(1, None, 1000)) == pytest.approx(100)  # a step that does not tell them apart
    assert "at 10% (training) and 70% (evaluation) of the 0 GFLOP/s" in speed.line(Cost(1, 0, 1000))


def test_hours_are_those_of_a_card(outshine):
    """An H200's as measured: 4·N·2,767 and 2·N·24,755 FLOPs a second, N of Llama-3-8B; others by the data sheets."""
    arguments = ("plan", "--dataset", "tiny-home", "--weak", "tiny/weak", "--strong", "tiny/strong")
    documents = {card: json.loads(outshine(*arguments, "--json", "--gpu", card).out) for card in ("H200", "a100")}
    measured = documents["H200"]["gpu"]
    assert measured["training_tflops"] == pytest.approx(4 * 6.98e9 * 2767 / 1e12, rel=0.01)
    assert measured["evaluation_tflops"] == pytest.approx(2 * 6.98e9 * 24_755 / 1e12, rel=0.01)
    for name in ("training_tflops", "evaluation_tflops"):
        assert documents["a100"]["gpu"][name] == pytest.approx(measured[name] * 312 / 989)
    assert documents["a100"]["gpu_hours"] == pytest.approx(documents["H200"]["gpu_hours"] * 989 / 312)
    told = " ".join(outshine(*arguments, "--gpu", "NVIDIA A100-SXM4-80GB").out.split())
    assert "GPU-hours of one A100: 24.3 TFLOP/s in training and 109 in evaluation, measured on an H200" in told
    assert "scaled by the data sheets" in told


def test_a_card_that_is_not_known_says_so(outshine, monkeypatch):
    for card in ("NVIDIA RTX A1000", "NVIDIA GH200 480GB"):
        assert outshine("plan", "--dataset", "tiny-home", "--gpu", card).code == 2
    refused = outshine("plan", "--dataset", "tiny-home", "--gpu", "Voodoo2")
    assert refused.code == 2
    assert "the data sheet of the GPU 'Voodoo2' is not known; known: B200, " in refused.err
    monkeypatch.setattr("torch.cuda.is_available", lambda: True)
    monkeypatch.setattr("torch.cuda.get_device_name", lambda: "NVIDIA Voodoo2")
    assert speed_of(None)[:4] == H200[:4]
    assert "the data sheet of 'NVIDIA Voodoo2', which is here, is not known" in speed_of(None).source
    monkeypatch.setattr("torch.cuda.get_device_name", lambda: "NVIDIA H100 PCIe")
    assert speed_of(None).flops == pytest.approx(H200.flops * 756 / 989)


def test_hours_by_a_file_of_measurements(outshine, tmp_path):
    path = tmp_path / "mine.json"
    arguments = ("plan", "--dataset", "tiny-home", "--weak", "tiny/weak", "--strong", "tiny/strong", "--gpu", str(path))
    where = {"device": "NVIDIA Voodoo2", "date": "2026-12-01", "size": "full", "matmul_tflops": 100.0}
    lines = [
        {"line": "training, SciQ-like", "status": "measured", "share_of_matmul": 0.5},
        {"line": "evaluation, SciQ-like", "status": "measured", "share_of_matmul": 0.75},
    ]
    path.write_text(json.dumps({"environment": where, "lines": lines}))
    told = " ".join(outshine(*arguments).out.split())
    assert (
        "GPU-hours of NVIDIA Voodoo2: 50 TFLOP/s in training and 75 in evaluation, measured there on 2026-12-01" in told
    )
    for broken in (
        {"environment": where, "lines": lines[:1]},
        {"environment": {**where, "size": "tiny"}, "lines": lines},
        {"environment": where, "lines": [lines[0], {"line": "evaluation, SciQ-like", "status": "stopped"}]},
        [],
    ):
        path.write_text(json.dumps(broken))
        outcome = outshine(*arguments)
        assert outcome.code == 2
        assert "mine.json" in outcome.err
