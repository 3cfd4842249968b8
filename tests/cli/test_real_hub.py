"""Real rows and real weights through the real hub client, served on loopback where a copy lies beside the checkout."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pandas as pd
import pytest

SHARED = Path(__file__).resolve().parents[2].parent / "shared"
WEAK, STRONG = "tinyllamas/stories260K", "sentence-transformers/all-MiniLM-L6-v2"
RATES = ("--set", "weak.lora=none", "--set", "weak.learning_rate=3e-3", "--set", "strong.learning_rate=1e-3")
SMALL = ("--n-train", "128", "--n-val", "40", "--n-test", "64", "--set", "training.epochs=1")

Command = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture(scope="module")
def endpoint() -> Iterator[str]:
    """The address of a hub with real rows and models on loopback."""
    server = SHARED / "tools" / "mini_hub.py"
    if not (server.is_file() and (SHARED / "hub").is_dir()):
        pytest.skip("no copy of the hub's rows and models lies beside the checkout")
    process = subprocess.Popen([sys.executable, str(server), "--port", "0"], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    address = re.search(r"http://\S+", process.stdout.readline())
    assert address is not None
    yield address[0]
    process.terminate()
    process.wait()
    process.stdout.close()


def command_in(folder: Path, **environment: str) -> Command:
    """The `outshine` command as a process of its own (the hub client reads its settings when it is imported)."""
    base = {name: value for name, value in os.environ.items() if not name.startswith(("HF_", "OUTSHINE_"))}
    own = {"HF_HOME": str(folder / "hf"), "OUTSHINE_STORE": str(folder / "store"), "OMP_NUM_THREADS": "1"}

    def call(*arguments: str, **more: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "outshine.cli.main", *arguments]
        return subprocess.run(
            command, cwd=folder, env={**base, **own, **environment, **more}, capture_output=True, text=True, check=False
        )

    return call


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("real")


@pytest.fixture(scope="module")
def online(endpoint: str, folder: Path) -> Command:
    return command_in(folder, HF_ENDPOINT=endpoint)


@pytest.mark.hub
@pytest.mark.slow
def test_the_main_job_on_real_data_with_real_models(online, folder):
    arguments = ("run", "--dataset", "cola,sciq", "--weak", WEAK, "--strong", STRONG, *RATES, *SMALL)
    done = online(*arguments, "--out", "first")
    assert done.returncode == 0, done.stderr
    assert "Pooled PGR" in done.stdout
    scores = pd.read_csv(folder / "first" / "scores.csv")
    assert set(scores["dataset"]) == {"cola", "sciq"}
    assert scores["auroc"].between(0, 1).all()
    study = (folder / "first" / "study.yaml").read_text()
    assert "pooling: mean" in study  # as the sentence encoder's own settings say
    assert len(re.findall(r"revision: [0-9a-f]{40}", study)) == 2
    assert re.search(r"cola: hub:nyu-mll/glue@[0-9a-f]{40}", study)

    # a second run needs neither the network nor anything computed
    again = online(*arguments, "--out", "second", HF_HUB_OFFLINE="1")
    assert again.returncode == 0, again.stderr
    assert "[1/" not in again.stderr
    assert (folder / "second" / "scores.csv").read_bytes() == (folder / "first" / "scores.csv").read_bytes()


@pytest.mark.hub
@pytest.mark.slow
def test_supervisor_and_student_from_one_model(online):
    layers = ("--set", "weak.num_layers=1", "--set", "weak.pooling=mean")
    done = online("run", "--dataset", "sst2", "--weak", STRONG, "--strong", STRONG, *layers, *SMALL, "--out", "layers")
    assert done.returncode == 0, done.stderr
    assert "all-MiniLM-L6-v2 (1 of 6 blocks)" in " ".join(done.stdout.split())


@pytest.mark.slow
@pytest.mark.hub
def test_names_that_the_hub_does_not_have(online):
    done = online("run", "--dataset", "cola", "--weak", "tinyllamas/stories261K", "--strong", STRONG)
    assert done.returncode == 2
    assert len(done.stderr.strip().splitlines()) == 1
    assert "model 'tinyllamas/stories261K' is not at" in done.stderr
    done = online("run", "--dataset", "boolq", "--weak", WEAK, "--strong", STRONG)
    assert done.returncode == 2
    assert "dataset 'google/boolq' is not at" in done.stderr


@pytest.mark.slow
def test_a_hub_that_cannot_be_reached_says_how_to_work_offline(tmp_path):
    call = command_in(tmp_path, HF_ENDPOINT="http://127.0.0.1:9")
    done = call("run", "--dataset", "cola", "--weak", "tiny/weak", "--strong", "tiny/strong")
    assert done.returncode == 2
    assert len(done.stderr.strip().splitlines()) == 1
    assert "cannot be reached" in done.stderr
    assert "offline" in done.stderr
    assert not (tmp_path / "store" / "artefacts").exists()
