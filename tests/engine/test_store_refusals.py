"""What storage refuses reaches people as one line that says what to do, and never with a credential in it."""

from __future__ import annotations

import errno
import json
import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from urllib.request import Request, urlopen

import fsspec
import pytest

from outshine.engine.errors import StoreError
from outshine.engine.store import objects as objects_module
from outshine.engine.store.buckets import without_credentials
from outshine.engine.store.store import open_store
from outshine.engine.store.url import UrlBackend
from remote_stores import BucketPlace, FolderPlace, Server, commit, serve

KEY = "ab" * 32
SECRET = "wJalr/XUtnFEMI+K7"


@pytest.fixture(autouse=True)
def no_clients_from_before() -> None:
    """fsspec keeps clients, and with them the environment they were made in."""
    fsspec.get_filesystem_class("s3").clear_instance_cache()


def refusal(where: str, cache: Path) -> str:
    with pytest.raises(StoreError) as caught:
        open_store(where, cache=cache)
    told = str(caught.value)
    assert "\n" not in told
    assert where.split("@")[-1] in told
    return told


def test_a_bucket_that_is_not_there(s3: Server, tmp_path: Path) -> None:
    assert "there is no such bucket" in refusal("s3://nobody-made-this/prefix", tmp_path)


def test_a_bucket_name_that_cannot_be(s3: Server, tmp_path: Path) -> None:
    assert "refuses: ParamValidationError" in refusal("s3://No_Bucket!/prefix", tmp_path)


def test_no_credentials(s3: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("AWS_ACCESS_KEY_ID")
    monkeypatch.delenv("AWS_SECRET_ACCESS_KEY")
    assert "no credentials are found" in refusal("s3://bucket/prefix", tmp_path)


def test_a_server_that_is_not_there(s3: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://127.0.0.1:{unused.getsockname()[1]}")
        told = refusal("s3://bucket/prefix", tmp_path)
    assert "the server cannot be reached" in told


def test_an_address_with_credentials(s3: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://user:{SECRET}@127.0.0.1:1")
    told = refusal("s3://bucket/prefix", tmp_path)
    assert "EndpointResolutionError" in told
    assert "XUtnFEMI" not in told


@pytest.fixture(scope="module")
def strict_server() -> Iterator[Server]:
    """A server that looks at credentials. It knows nobody."""
    for server in serve():
        server.client().create_bucket(Bucket="closed")
        plain = {"Content-Type": "text/plain"}
        with urlopen(Request(f"{server.address}/moto-api/reset-auth", data=b"0", headers=plain, method="POST")):
            yield server


def test_credentials_that_the_server_does_not_accept(
    s3: Server, strict_server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL", strict_server.address)
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", SECRET)
    told = refusal("s3://closed/prefix", tmp_path)
    assert "permission is denied" in told
    assert SECRET not in told


def test_credentials_in_a_url_are_used_and_never_shown(
    bucket: BucketPlace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("AWS_ACCESS_KEY_ID")
    monkeypatch.delenv("AWS_SECRET_ACCESS_KEY")
    quoted = SECRET.replace("/", "%2F").replace("+", "%2B")
    store = open_store(bucket.where.replace("s3://", f"s3://AKIAX:{quoted}@"), cache=tmp_path / "cache")
    commit(store, KEY)
    with pytest.raises(StoreError) as caught:
        store.find("99")
    shown = [store.where, store.place(KEY), str(store.root), str(caught.value)]
    stored = [bucket.read(name).decode() for name in bucket.names()]
    cached = [path.read_text() for path in (tmp_path / "cache").rglob("*") if path.is_file()]
    names = [*bucket.names(), *(str(path) for path in (tmp_path / "cache").rglob("*"))]
    assert stored
    assert cached
    assert not [text for text in [*shown, *stored, *cached, *names] if "AKIAX" in text or "XUtnFEMI" in text]
    assert store.where == bucket.where


def test_credentials_with_a_slash_are_neither_understood_nor_shown(tmp_path: Path) -> None:
    told = refusal(f"s3://AKIAX:{SECRET}@bucket/prefix", tmp_path)
    assert "written %2F" in told
    assert "AKIAX" not in told
    assert "XUtnFEMI" not in told


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("s3://bucket/prefix", "s3://bucket/prefix"),
        ("s3://key:secret@bucket/prefix", "s3://bucket/prefix"),
        ("s3://key:se/cr/et@bucket/a", "s3://bucket/a"),
        ("s3://token@bucket", "s3://bucket"),
        (
            "Could not connect to http://me:pass@host:9000/b?x and more",
            "Could not connect to http://host:9000/b?x and more",
        ),
        ("s3://bucket/runs@2024", "s3://bucket/runs@2024"),
    ],
)
def test_urls_are_shown_without_credentials(text: str, shown: str) -> None:
    assert without_credentials(text) == shown


@pytest.mark.parametrize(("scheme", "package"), [("s3", "s3fs"), ("gs", "gcsfs")])
def test_a_missing_package_is_named_on_the_command_line(scheme: str, package: str) -> None:
    code = (
        f"import sys; sys.modules['{package}'] = None; sys.argv = ['outshine', 'ls', '--store', '{scheme}://b/p']; "
        "from outshine.cli.main import main; main()"
    )
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env={**os.environ}, check=False)
    assert ran.returncode == 2
    assert ran.stdout == ""
    wanted = "pip install 'outshine[s3]'" if scheme == "s3" else "pip install gcsfs"
    assert ran.stderr == f"outshine: the store {scheme}://b/p needs a package that is missing: {wanted}\n"


def test_a_server_that_overwrites_what_it_should_create_is_refused(
    bucket: BucketPlace, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = bucket.open()
    assert isinstance(store.backend, UrlBackend)
    client = store.backend.objects._fs
    pipe_file = client.pipe_file
    monkeypatch.setattr(client, "pipe_file", lambda path, data, mode="overwrite": pipe_file(path, data))
    with pytest.raises(StoreError, match="conditional writes"), store.lock(KEY):
        pass
    assert bucket.names() == ["STORE.json"]
    assert json.loads(bucket.read("STORE.json"))["format"] == 1


@pytest.mark.parametrize(
    ("code", "words"),
    [
        (errno.ENOSPC, "full"),
        (errno.EROFS, "read-only"),
        (errno.EACCES, "permission"),
        (errno.EDQUOT, "quota"),
        (errno.EIO, "can be reached"),
    ],
)
def test_what_a_shared_folder_refuses(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, code: int, words: str) -> None:
    place = FolderPlace(tmp_path / "store", tmp_path, url=True)
    store = place.open()
    commit(store, "cd" * 32)

    def refuse(path: Path) -> None:
        raise OSError(code, os.strerror(code), str(path))

    monkeypatch.setattr(objects_module, "sync", refuse)
    with pytest.raises(StoreError, match=words) as caught:
        commit(store, KEY)
    assert place.where in str(caught.value)
    monkeypatch.undo()
    assert not place.open().has(KEY)
    assert not [name for name in place.names() if name.startswith("tmp/")]


def test_a_full_disk_under_the_local_copies_is_not_blamed_on_the_store(tmp_path: Path) -> None:
    store = FolderPlace(tmp_path / "store", tmp_path, url=True).open()

    def fill() -> None:
        with store.lock(KEY), store.writing(KEY) as folder:
            raise OSError(errno.ENOSPC, "No space left on device", str(folder / "a.txt"))

    with pytest.raises(StoreError, match=r"the local copies of file://.*disk is full.*\$OUTSHINE_CACHE"):
        fill()


@pytest.mark.parametrize("given", ["soon", "0.5", "-3", "nan", "inf"])
def test_a_time_to_live_that_is_none_is_refused(given: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OUTSHINE_LEASE_SECONDS", given)
    with pytest.raises(StoreError, match=f"OUTSHINE_LEASE_SECONDS={given}: a number of seconds from 1 on is expected"):
        open_store((tmp_path / "store").as_uri(), cache=tmp_path / "cache")
