"""A finished study on tiny models, one of its datasets a private file, and a hub on loopback to push it to."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest
from hub_for_writing import TOKEN, HubForWriting, serving

import outshine
from calling import caller
from outshine.engine.store.store import Store
from outshine.results.results import Results
from outshine.w2s.study_file import parse_study

MARK = "Quetzalcoatlus"  # in every text of the private file
STUDY = {
    "name": "small",
    "weak": "tiny/weak",
    "strong": "tiny/strong",
    "compute_dtype": "float32",
    "runtime": {"threads": 1},
    "training": {"epochs": 1, "eval_every": 1},
    "splits": {"n_train": 64, "n_val": 24, "n_test": 24},
    "methods": [{"kind": "vanilla", "loss": "xent"}, {"kind": "probe", "probe": "logistic"}],
    "sweeps": [{"kind": "probe", "probe": {"kind": "knn", "k": 5}}],
    "controls": [{"kind": "control", "labels": "shuffled", "loss": "xent"}],
    "loss": "xent",
}


class Ran(NamedTuple):
    """A study that ran, where, and what it found."""

    folder: Path
    store: Store
    results: Results

    def key(self, dataset: str, role: str, method: str = "", purpose: str = "method") -> str:
        """The key of a model."""
        scores = self.results.scores
        purpose = purpose if role == "student" else ""
        wanted = (scores["dataset"] == dataset) & (scores["role"] == role) & (scores["purpose"] == purpose)
        return str(scores[wanted & (scores["method"] == method)]["key"].iloc[0])


@pytest.fixture(scope="session")
def ran(tmp_path_factory: pytest.TempPathFactory) -> Ran:
    folder = tmp_path_factory.mktemp("pushed")
    rows = [{"text": f"{MARK} {'sleeps' if n % 2 else 'eats'} on day {n}", "label": n % 2} for n in range(160)]
    (folder / "mine.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    raw = {
        **STUDY,
        "datasets": ["tiny-home", str(folder / "mine.jsonl")],
        "notes": [f"from {folder}/notes <b>*bold*</b>"],
    }
    results = outshine.run(parse_study(raw), store=folder / "store", out=folder / "out", allow_leaks=True)
    return Ran(folder, Store(folder / "store"), results)


@pytest.fixture(scope="session")
def other_tasks(tmp_path_factory: pytest.TempPathFactory) -> Ran:
    """Models of four classes and of pairs."""
    folder = tmp_path_factory.mktemp("other-tasks")
    study = parse_study({**STUDY, "datasets": ["tiny-instrument-family", "tiny-food-answers"], "controls": []})
    return Ran(folder, Store(folder / "store"), outshine.run(study, store=folder / "store"))


@pytest.fixture
def client(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[pytest.MonkeyPatch]:
    """The hub's client with an empty cache of its own and a token that may write; closed afterwards."""
    from huggingface_hub import constants
    from huggingface_hub.utils import close_session

    from outshine.engine import hub

    monkeypatch.setattr(hub, "RETRY_WAITS", (0.0,) * 5)
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    monkeypatch.setattr(constants, "HF_HUB_DISABLE_XET", True)  # large files over HTTP, as the server takes them
    monkeypatch.setattr(constants, "HF_TOKEN_PATH", str(tmp_path / "no-token"))
    monkeypatch.setenv("HF_TOKEN", TOKEN)
    yield monkeypatch
    close_session()


@pytest.fixture
def hub(client: pytest.MonkeyPatch) -> Iterator[HubForWriting]:
    from huggingface_hub import constants, hf_api

    with serving(HubForWriting()) as server:
        client.setattr(constants, "ENDPOINT", server.endpoint)
        client.setattr(hf_api.api, "endpoint", server.endpoint)  # what functions of the package ask, made at import
        template = server.endpoint + "/{repo_id}/resolve/{revision}/{filename}"
        client.setattr(constants, "HUGGINGFACE_CO_URL_TEMPLATE", template)
        yield server


@pytest.fixture
def push(ran: Ran, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    """`push("key", "me/repo", …)` as a shell would see it, in an empty folder."""
    monkeypatch.chdir(tmp_path)

    run = caller(monkeypatch, capsys)
    return lambda *arguments: run("push", *arguments, "--store", str(ran.store.root))
