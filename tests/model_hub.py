"""A hub on loopback that holds one model repository, for the hub's real client, and writes down what it is asked."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any
from urllib.parse import unquote, urlsplit

COMMIT = "c0ffee" + "0" * 34


class ModelHub(ThreadingHTTPServer):
    """`org/model`, made of a folder's files. `answer`: what the API says to everything, with `status`; None: the truth."""

    daemon_threads = True

    def __init__(self, folder: Path | None = None) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        found = sorted(folder.rglob("*")) if folder else []
        self.files = {path.relative_to(folder).as_posix(): path for path in found if path.is_file()} if folder else {}
        self.answer: bytes | None = None
        self.status = 200
        self.requests: list[str] = []
        self.tokens: set[str | None] = set()

    @property
    def endpoint(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"

    def asked_for(self) -> set[str]:
        """The repositories that anything was asked of."""
        return {name for name in self.requests if "org/model" not in name}


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: ModelHub

    def log_message(self, format: str, *args: object) -> None:
        pass

    def do_GET(self) -> None:
        hub, path = self.server, unquote(urlsplit(self.path).path)
        hub.requests.append(path)
        hub.tokens.add(self.headers.get("Authorization"))
        if path.startswith("/api/"):
            right = _right(hub, path)
            if hub.answer is not None:
                self._send(hub.status, hub.answer)
            elif right is None:
                self._send(404, b"{}", {"X-Error-Code": "RepoNotFound"})
            else:
                self._send(200, json.dumps(right).encode())
            return
        name = path.removeprefix("/org/model/resolve/").partition("/")[2]
        if path.startswith("/org/model/resolve/") and name in hub.files:
            body = hub.files[name].read_bytes()
            self._send(200, body, {"ETag": f'"{hashlib.sha256(body).hexdigest()}"', "X-Repo-Commit": COMMIT})
            return
        self._send(404, b"{}", {"X-Error-Code": "EntryNotFound" if path.startswith("/org/model/") else "RepoNotFound"})

    do_HEAD = do_GET

    def _send(self, status: int, body: bytes, headers: dict[str, str] | None = None) -> None:
        self.send_response(status)
        known = {"Content-Length": str(len(body)), "Content-Type": "application/json", **(headers or {})}
        for key, value in known.items():
            self.send_header(key, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)


def _right(hub: ModelHub, path: str) -> Any:
    """The API's own answer; None where there is no such repository."""
    if path == f"/api/models/org/model/tree/{COMMIT}":
        sizes = {name: file.stat().st_size for name, file in hub.files.items()}
        return [{"type": "file", "path": name, "size": size, "oid": "0" * 40} for name, size in sizes.items()]
    if path.startswith("/api/models/org/model/revision/"):
        return {"id": "org/model", "sha": COMMIT, "siblings": [{"rfilename": name} for name in hub.files]}
    return None


@contextmanager
def serving(hub: ModelHub, cache: Path) -> Iterator[ModelHub]:
    """The hub at work, and the client of this process pointed at it, with an empty cache and without a token."""
    import pytest
    from huggingface_hub import constants
    from huggingface_hub.utils import close_session

    from outshine.engine import hub as client

    thread = Thread(target=hub.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(client, "RETRY_WAITS", (0.0,) * 5)
        patch.setattr(constants, "ENDPOINT", hub.endpoint)
        patch.setattr(
            constants, "HUGGINGFACE_CO_URL_TEMPLATE", hub.endpoint + "/{repo_id}/resolve/{revision}/{filename}"
        )
        patch.setattr(constants, "HF_HUB_CACHE", str(cache))
        patch.setattr(constants, "HF_HUB_OFFLINE", False)
        patch.setattr(constants, "HF_TOKEN_PATH", str(cache / "no-token"))
        patch.delenv("HF_TOKEN", raising=False)
        patch.delenv("HUGGING_FACE_HUB_TOKEN", raising=False)
        try:
            yield hub
        finally:
            close_session()
            hub.shutdown()
            thread.join()
            hub.server_close()
