"""A hub on loopback that answers 503, hangs up in the middle of a file, or stalls."""

from __future__ import annotations

import hashlib
import io
import json
import random
import re
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Lock, Thread
from typing import Any
from urllib.parse import unquote, urlsplit

from faults.outcome import Outcome, unlike
from faults.study import ROOT, STUDY, Driver, tables

DATASET = "allenai/sciq"
MODELS = {"loopback/weak": "weak", "loopback/strong": "strong"}
STUDY_ON_HUB: dict[str, Any] = {
    **STUDY,
    "datasets": ["sciq"],
    "weak": {"model": "loopback/weak", "learning_rate": 1e-3},
    "strong": {"model": "loopback/strong", "learning_rate": 1e-3},
    "seeds": [0],
    "methods": ["vanilla"],
}
TROUBLE = 0.4  # share of the requests that go wrong
STALL = 12.0  # seconds: longer than the client waits
PATIENT_RUNS = 5  # a hub that fails this often may end a run; as often it is started again


class LoopbackHub(ThreadingHTTPServer):
    """Repositories by `models/org/name` or `datasets/org/name`: their files. `share` of the answers go wrong."""

    daemon_threads = True

    def __init__(self, repos: Mapping[str, Mapping[str, bytes]], share: float, rng: random.Random) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.repos = repos
        self.share = share
        self.failures: list[str] = []
        self._rng = rng
        self._lock = Lock()

    @property
    def endpoint(self) -> str:
        """What HF_ENDPOINT is to say."""
        return f"http://127.0.0.1:{self.server_port}"

    def trouble(self) -> str | None:
        """What the next request is to suffer."""
        with self._lock:
            if self._rng.random() >= self.share:
                return None
            kind = self._rng.choices(("503", "hang-up", "stall"), (5, 4, 1))[0]
            self.failures.append(kind)
            return kind


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: LoopbackHub

    def log_message(self, format: str, *args: object) -> None:
        pass

    def do_GET(self) -> None:
        trouble = self.server.trouble()
        if trouble == "503":
            self._answer(503, b"{}")
            return
        if trouble == "stall":
            time.sleep(STALL)
        path = unquote(urlsplit(self.path).path)
        found = self._info(path) or self._file(path)
        if found is None:
            self._answer(404, b"{}", {"X-Error-Code": "EntryNotFound"})
        else:
            self._answer(200, *found, cut=trouble == "hang-up")

    do_HEAD = do_GET  # noqa: N815 -- the name that the server looks for

    def _info(self, path: str) -> tuple[bytes, dict[str, str]] | None:
        asked = re.fullmatch(r"/api/((?:models|datasets)/[^/]+/[^/]+)(?:/(revision|tree)/.+)?", path)
        if not asked or asked[1] not in self.server.repos:
            return None
        name, files = asked[1].partition("/")[2], self.server.repos[asked[1]]
        if asked[2] == "tree":
            sha = [hashlib.sha1(body, usedforsecurity=False).hexdigest() for body in files.values()]
            listed = [
                {"type": "file", "path": one, "size": len(body), "oid": oid}
                for (one, body), oid in zip(files.items(), sha, strict=True)
            ]
            return json.dumps(listed).encode(), {}
        siblings = [{"rfilename": one} for one in files]
        return json.dumps({"id": name, "sha": _commit(asked[1]), "siblings": siblings}).encode(), {}

    def _file(self, path: str) -> tuple[bytes, dict[str, str]] | None:
        asked = re.fullmatch(r"/(datasets/)?([^/]+/[^/]+)/resolve/(?:refs/convert/parquet|[^/]+)/(.+)", path)
        if not asked:
            return None
        repo = f"{asked[1] or 'models/'}{asked[2]}"
        body = self.server.repos.get(repo, {}).get(asked[3])
        if body is None:
            return None
        return body, {"ETag": f'"{hashlib.sha256(body).hexdigest()}"', "X-Repo-Commit": _commit(repo)}

    def _answer(self, status: int, body: bytes, headers: Mapping[str, str] | None = None, cut: bool = False) -> None:
        try:
            self.send_response(status)
            for key, value in {"Content-Length": str(len(body)), **(headers or {})}.items():
                self.send_header(key, value)
            self.end_headers()
            if self.command != "HEAD":
                self.wfile.write(body[: len(body) // 2] if cut else body)
        except OSError:  # the client waited no longer
            self.close_connection = True
        self.close_connection = self.close_connection or cut


@contextmanager
def serving(share: float, rng: random.Random) -> Iterator[LoopbackHub]:
    """A hub with the models and the dataset of the study."""
    hub = LoopbackHub(repositories(), share, rng)
    thread = Thread(target=partial(hub.serve_forever, poll_interval=0.05), daemon=True)
    thread.start()
    try:
        yield hub
    finally:
        hub.shutdown()
        hub.server_close()


def repositories() -> dict[str, dict[str, bytes]]:
    """Two embedded models under other names, and rows in SciQ's form."""
    weights = ROOT / "src" / "outshine" / "learn" / "tiny_models" / "weights"
    found = {f"models/{name}": _files(weights / folder) for name, folder in MODELS.items()}
    found[f"datasets/{DATASET}"] = {
        f"default/{split}/0000.parquet": _rows(split, num)
        for split, num in (("train", 500), ("validation", 60), ("test", 120))
    }
    return found


def flaky(folder: Path, rng: random.Random) -> Outcome:
    """A first run, nothing in the cache, on a hub that fails all the time: the tables of one on a sound hub."""
    with serving(0.0, rng) as hub:
        sound = _run(folder / "sound", hub)
    if sound.code != 0:
        return Outcome("hub: 503, hang-ups, stalls", 1, 0, 0, "", (f"on a sound hub: {sound.said[-300:]}",))
    reference, problems, runs, code = tables(folder / "sound"), [], 0, 1
    with serving(TROUBLE, rng) as hub:
        while code != 0 and runs < PATIENT_RUNS:
            runs += 1
            ended = _run(folder / "flaky", hub)
            code, last = ended.code, ended.said.strip().splitlines()[-1:]
            if code not in (0, 2) or (code == 2 and "the hub at" not in str(last)):
                problems.append(f"run {runs} ended with {code}: {last}")
        num = len(hub.failures)
        told = ", ".join(f"{hub.failures.count(kind)} × {kind}" for kind in sorted(set(hub.failures)))
    problems += [f"unfinished after {runs} runs"] if code != 0 else unlike(folder / "flaky", reference)
    remark = f"{told}; {'one run' if runs == 1 else f'{runs} runs'}"
    return Outcome("hub: 503, hang-ups, stalls", num, 0 if problems else num, 0, remark, tuple(problems))


def _run(folder: Path, hub: LoopbackHub) -> Any:
    where = {"HF_HUB_OFFLINE": "0", "HF_ENDPOINT": hub.endpoint, "HF_HOME": str(folder / "hub-cache"), "HF_TOKEN": ""}
    return Driver(folder, study=STUDY_ON_HUB, environment=where).end()


def _files(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in sorted(folder.iterdir())}


def _commit(repo: str) -> str:
    return hashlib.sha1(repo.encode(), usedforsecurity=False).hexdigest()


def _rows(split: str, num: int) -> bytes:
    """Questions about numbers, the same ones every time."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    rng = random.Random(split)
    rows = []
    for number in range(num):
        a, b = rng.randrange(50), rng.randrange(50)
        wrong = [str(a + b + off) for off in (1, 2, 3)]
        texts = {"question": f"{split} {number}: what is {a} and {b} together?", "correct_answer": str(a + b)}
        rows.append({**texts, **{f"distractor{i + 1}": one for i, one in enumerate(wrong)}, "support": ""})
    sink = io.BytesIO()
    pq.write_table(pa.Table.from_pylist(rows), sink)
    return sink.getvalue()
