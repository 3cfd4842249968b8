"""A hub on loopback that repositories can be made and filled on, by the hub's real client and its HTTP protocol."""

from __future__ import annotations

import base64
import hashlib
import json
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import Any
from urllib.parse import unquote, urlsplit

TOKEN = "hf_writes0a1b2c3d4e5f"  # the one that may write
REPO = r"([\w.-]+/[\w.-]+)"


class Repository:
    """Files by path after each commit."""

    def __init__(self, private: bool) -> None:
        self.private = private
        self.files: dict[str, bytes] = {".gitattributes": b"*.safetensors filter=lfs\n"}
        self.messages: list[str] = []

    @property
    def commit(self) -> str:
        return f"{len(self.messages):040x}"


class HubForWriting(ThreadingHTTPServer):
    """Repositories by name. `failures`: statuses that the next requests are answered with."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.repositories: dict[str, Repository] = {}
        self.large: dict[str, bytes] = {}  # by sha256: what was put into large-file storage
        self.failures: list[int] = []
        self.requests: list[str] = []
        self.received = b""  # every body, one after the other

    @property
    def endpoint(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: HubForWriting

    def log_message(self, format: str, *args: object) -> None:
        pass

    def handle_one(self) -> None:
        path = unquote(urlsplit(self.path).path)
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        if self.headers.get("Transfer-Encoding") == "chunked":
            body = self._chunks()
        hub = self.server
        hub.requests.append(f"{self.command} {path}")
        hub.received += body
        if hub.failures:
            self.answer(hub.failures.pop(0), {"error": "not now"})
            return
        reads = self.command in ("GET", "HEAD") or path.startswith("/lfs/")
        if not reads and self.headers.get("Authorization") != f"Bearer {TOKEN}":
            self.answer(403, {"error": "this token may not write"})
            return
        for pattern, call in _ROUTES:
            found = re.fullmatch(pattern, f"{self.command} {path}")
            if found:
                call(self, body, *found.groups())
                return
        self.answer(404, {"error": "no such thing"}, {"X-Error-Code": "RepoNotFound"})

    do_GET = do_HEAD = do_POST = do_PUT = handle_one

    def _chunks(self) -> bytes:
        whole = b""
        while size := int(self.rfile.readline(), 16):
            whole += self.rfile.read(size)
            self.rfile.readline()
        self.rfile.readline()
        return whole

    def answer(self, status: int, document: Any, headers: dict[str, str] | None = None) -> None:
        body = document if isinstance(document, bytes) else json.dumps(document).encode()
        self.send_response(status)
        for name, value in {"Content-Length": str(len(body)), **(headers or {})}.items():
            self.send_header(name, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def create(self, body: bytes) -> None:
        asked = json.loads(body)
        name = f"{asked['organization']}/{asked['name']}"
        url = f"{self.server.endpoint}/{name}"
        if name in self.server.repositories:
            self.answer(409, {"error": "You already created this model repo", "url": url})
            return
        private = asked.get("private") is True or asked.get("visibility") == "private"
        self.server.repositories[name] = Repository(private)
        self.answer(200, {"url": url, "name": name, "id": "1"})

    def validate(self, body: bytes) -> None:
        import yaml

        asked = json.loads(body)
        _, front, _ = asked["content"].split("---\n", 2)
        license_id = yaml.safe_load(front).get("license")
        if license_id not in (None, "mit", "apache-2.0"):
            self.answer(400, {"errors": [{"message": f'"license" must be one of …, not {license_id}'}], "warnings": []})
            return
        self.answer(200, {"errors": [], "warnings": [{"message": "metadata could say more"}]})

    def info(self, body: bytes, name: str) -> None:
        found = self.server.repositories.get(name)
        if found is None:
            self.answer(404, {"error": "no such thing"}, {"X-Error-Code": "RepoNotFound"})
            return
        siblings = [{"rfilename": one} for one in sorted(found.files)]
        self.answer(200, {"id": name, "sha": found.commit, "private": found.private, "siblings": siblings})

    def preupload(self, body: bytes, name: str) -> None:
        files = [
            {
                "path": one["path"],
                "uploadMode": "lfs" if one["path"].endswith((".safetensors", ".parquet")) else "regular",
                "shouldIgnore": False,
                "oid": None,
            }
            for one in json.loads(body)["files"]
        ]
        self.answer(200, {"files": files})

    def batch(self, body: bytes, name: str) -> None:
        objects = [
            {**one, "actions": {"upload": {"href": f"{self.server.endpoint}/lfs/{one['oid']}", "header": {}}}}
            for one in json.loads(body)["objects"]
        ]
        self.answer(200, {"transfer": "basic", "objects": objects})

    def put(self, body: bytes, oid: str) -> None:
        assert hashlib.sha256(body).hexdigest() == oid
        self.server.large[oid] = body
        self.answer(200, b"")

    def commit(self, body: bytes, name: str) -> None:
        repository = self.server.repositories[name]
        for line in map(json.loads, body.splitlines()):
            value = line["value"]
            if line["key"] == "header":
                repository.messages.append(value["summary"])
            elif line["key"] == "file":
                repository.files[value["path"]] = base64.b64decode(value["content"])
            elif line["key"] == "lfsFile":
                repository.files[value["path"]] = self.server.large[value["oid"]]
            else:
                assert line["key"] == "deletedFile", line["key"]
                del repository.files[value["path"]]
        url = f"{self.server.endpoint}/{name}/commit/{repository.commit}"
        self.answer(200, {"success": True, "commitUrl": url, "commitOid": repository.commit})

    def file(self, body: bytes, name: str, path: str) -> None:
        found = self.server.repositories.get(name)
        if found is None or path not in found.files:
            code = "EntryNotFound" if found else "RepoNotFound"
            self.answer(404, {"error": "no such thing"}, {"X-Error-Code": code})
            return
        content = found.files[path]
        self.answer(200, content, {"ETag": f'"{hashlib.sha256(content).hexdigest()}"', "X-Repo-Commit": found.commit})


_ROUTES: list[tuple[str, Callable[..., None]]] = [
    (r"POST /api/repos/create", _Handler.create),
    (r"POST /api/validate-yaml", _Handler.validate),
    (rf"GET /api/models/{REPO}(?:/revision/main)?", _Handler.info),
    (rf"POST /api/models/{REPO}/preupload/main", _Handler.preupload),
    (rf"POST /{REPO}\.git/info/lfs/objects/batch", _Handler.batch),
    (r"PUT /lfs/([0-9a-f]{64})", _Handler.put),
    (rf"POST /api/models/{REPO}/commit/main", _Handler.commit),
    (rf"(?:GET|HEAD) /{REPO}/resolve/[\w]+/(.+)", _Handler.file),
]


@contextmanager
def serving(hub: HubForWriting) -> Iterator[HubForWriting]:
    thread = Thread(target=hub.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield hub
    finally:
        hub.shutdown()
        thread.join()
        hub.server_close()
