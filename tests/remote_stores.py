"""Places where stores are tried: a folder, file:// and a real S3 server on this machine. Fixtures.

The server is moto's, in a process of its own, and serves one request after the other: as S3 does, and moto's threads
do not, it creates an object once where several are told to create it at the same time.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
import uuid
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from pathlib import Path
from threading import Lock
from typing import Any, NamedTuple
from urllib.request import urlopen

import pytest

from outshine.engine.store.store import Store, open_store

ENVIRONMENT = {
    "AWS_ACCESS_KEY_ID": "testing",
    "AWS_SECRET_ACCESS_KEY": "testing",
    "AWS_DEFAULT_REGION": "us-east-1",
    "AWS_EC2_METADATA_DISABLED": "true",
    "AWS_CONFIG_FILE": os.devnull,
    "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
    "NO_PROXY": "127.0.0.1",
}


class Server(NamedTuple):
    """An S3 server and what it was asked."""

    address: str

    def environment(self) -> dict[str, str]:
        """What s3fs must find in the environment to use it."""
        return {**ENVIRONMENT, "AWS_ENDPOINT_URL": self.address}

    def client(self) -> Any:
        """boto3's client: another way to the same objects."""
        import boto3

        keys = {"aws_access_key_id": "testing", "aws_secret_access_key": "testing", "region_name": "us-east-1"}
        return boto3.client("s3", endpoint_url=self.address, **keys)

    def requests(self) -> list[str]:
        """The requests (`GET /bucket/key?query`) since this was last called."""
        with urlopen(f"{self.address}/_requests") as answer:
            return json.loads(answer.read())


@pytest.fixture(scope="session")
def s3_server() -> Iterator[Server]:
    yield from serve()


def serve() -> Iterator[Server]:
    """A server for as long as the generator lives."""
    environment = {**os.environ, **ENVIRONMENT}
    process = subprocess.Popen([sys.executable, __file__], stdout=subprocess.PIPE, text=True, env=environment)
    assert process.stdout is not None
    with process.stdout as out:
        try:
            yield Server(f"http://127.0.0.1:{int(out.readline())}")
        finally:
            process.kill()
            process.wait()


@pytest.fixture
def s3(s3_server: Server, monkeypatch: pytest.MonkeyPatch) -> Server:
    """The server, and an environment in which s3fs finds it."""
    for name in [name for name in os.environ if name.startswith("AWS_")]:
        monkeypatch.delenv(name)
    for name, value in s3_server.environment().items():
        monkeypatch.setenv(name, value)
    s3_server.requests()
    return s3_server


class Place(ABC):
    """Somewhere a store can be, and a way to its files that knows nothing of stores."""

    def __init__(self, where: str, base: Path) -> None:
        self.where = where
        self._base = base

    def open(self, time_to_live: float = 60.0) -> Store:
        """The store as another host sees it: with no local copies."""
        return open_store(self.where, cache=self.new_cache(), time_to_live=time_to_live)

    def new_cache(self) -> Path:
        return self._base / f"cache-{uuid.uuid4().hex[:8]}"

    @abstractmethod
    def names(self) -> list[str]:
        """All files of the store."""

    @abstractmethod
    def read(self, name: str) -> bytes: ...

    @abstractmethod
    def write(self, name: str, data: bytes) -> None: ...

    @abstractmethod
    def remove(self, name: str) -> None: ...

    def the(self, *parts: str) -> str:
        """The one file whose name has all these parts."""
        (found,) = [name for name in self.names() if all(part in name for part in parts)]
        return found


class FolderPlace(Place):
    """A folder, opened by its path or as file://."""

    def __init__(self, folder: Path, base: Path, *, url: bool) -> None:
        super().__init__(folder.as_uri() if url else str(folder), base)
        self._folder = folder

    def names(self) -> list[str]:
        return sorted(path.relative_to(self._folder).as_posix() for path in self._folder.rglob("*") if path.is_file())

    def read(self, name: str) -> bytes:
        return (self._folder / name).read_bytes()

    def write(self, name: str, data: bytes) -> None:
        (self._folder / name).parent.mkdir(parents=True, exist_ok=True)
        (self._folder / name).write_bytes(data)

    def remove(self, name: str) -> None:
        (self._folder / name).unlink()


class BucketPlace(Place):
    """A bucket of its own on the server, reached by boto3."""

    def __init__(self, server: Server, base: Path) -> None:
        self.bucket, self.server, self._client = f"b{uuid.uuid4().hex[:12]}", server, server.client()
        self._client.create_bucket(Bucket=self.bucket)
        super().__init__(f"s3://{self.bucket}/some/prefix", base)

    def names(self) -> list[str]:
        pages = self._client.get_paginator("list_objects_v2").paginate(Bucket=self.bucket)
        return sorted(one["Key"].removeprefix("some/prefix/") for page in pages for one in page.get("Contents", ()))

    def read(self, name: str) -> bytes:
        return self._client.get_object(Bucket=self.bucket, Key=f"some/prefix/{name}")["Body"].read()

    def write(self, name: str, data: bytes) -> None:
        self._client.put_object(Bucket=self.bucket, Key=f"some/prefix/{name}", Body=data)

    def remove(self, name: str) -> None:
        self._client.delete_object(Bucket=self.bucket, Key=f"some/prefix/{name}")


def _place(kind: str, request: pytest.FixtureRequest, tmp_path: Path) -> Place:
    if kind == "s3":
        return BucketPlace(request.getfixturevalue("s3"), tmp_path)
    return FolderPlace(tmp_path / "store", tmp_path, url=kind == "file")


S3 = pytest.param("s3", marks=pytest.mark.slow)


@pytest.fixture(params=["folder", "file", S3])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Place:
    """Every kind of place, for what all stores promise."""
    return _place(request.param, request, tmp_path)


@pytest.fixture(params=["file", S3])
def remote_place(request: pytest.FixtureRequest, tmp_path: Path) -> Place:
    """The places that are opened by a URL."""
    return _place(request.param, request, tmp_path)


@pytest.fixture
def bucket(s3: Server, tmp_path: Path) -> BucketPlace:
    """A bucket."""
    return BucketPlace(s3, tmp_path)


def commit(store: Store, key: str, **texts: str) -> None:
    """Files of these names and texts as the artefact of a key, as an executor does it."""
    with store.lock(key), store.writing(key) as folder:
        for name, text in (texts or {"a.txt": "hello"}).items():
            (folder / name).write_text(text)
        store.commit(key, folder, {"stage": "test"})


def wait_for(true: Callable[[], bool], seconds: float = 60.0) -> None:
    """Wait until something is so. The limit only ends a test that would hang."""
    end = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < end
        time.sleep(0.01)


def _serve_forever() -> None:
    """What the server's process runs: tells the port."""
    from moto.moto_server.werkzeug_app import DomainDispatcherApplication, MotoRequestHandler, create_backend_app
    from werkzeug.serving import make_server

    moto, lock, seen = DomainDispatcherApplication(create_backend_app), Lock(), []

    def one_at_a_time(environ: dict[str, Any], start_response: Any) -> list[bytes]:
        with lock:
            if environ["PATH_INFO"] == "/_requests":
                start_response("200 OK", [("Content-Type", "application/json")])
                told = json.dumps(seen).encode()
                seen.clear()
                return [told]
            query = environ.get("QUERY_STRING")
            seen.append(f"{environ['REQUEST_METHOD']} {environ['PATH_INFO']}{f'?{query}' if query else ''}")
            return list(moto(environ, start_response))

    server = make_server("127.0.0.1", 0, one_at_a_time, threaded=True, request_handler=MotoRequestHandler)
    sys.stdout.write(f"{server.server_address[1]}\n")
    sys.stdout.flush()
    server.serve_forever()


if __name__ == "__main__":
    import logging

    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    _serve_forever()
