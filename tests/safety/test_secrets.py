"""Tokens, keys and passwords of the environment are in nothing that outshine writes or prints, errors included."""

from __future__ import annotations

import base64
import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from commands import Ended, command, several

from outshine.cli import main
from outshine.engine.errors import HubError
from outshine.engine.messages import one_line, without_secrets

USER, PASSWORD = "someuser", "Passw0rd-c4f1"
SECRETS = {
    "HF_TOKEN": "hf_MARKER0a1b2c3d4e5f",
    "HUGGING_FACE_HUB_TOKEN": "hf_OTHER9f8e7d6c5b4a",
    "WANDB_API_KEY": "wandb-marker-5d41402abc4b",
    "AWS_SECRET_ACCESS_KEY": "aws/Marker+7d793037a076/8+q",
    "AWS_SESSION_TOKEN": "session-marker-9b74c9897bac",
    "OPENAI_API_KEY": "sk-marker-770d0216404e",
    "GIT_PASSWORD": "git-marker-1679091c5a88",
}
MARKS = [
    *SECRETS.values(),
    PASSWORD,
    base64.b64encode(f"{USER}:{PASSWORD}".encode()).decode(),
    *(base64.b64encode(secret.encode()).decode() for secret in SECRETS.values()),
]
TINY = ("--weak=tiny/weak", "--strong=tiny/strong", "--set=compute_dtype=float32", "--set=runtime.threads=1")
SMALL = ("--n-train=32", "--n-val=16", "--n-test=16", "--set=training.epochs=1")


def leaks(ended: Ended, folder: Path) -> list[str]:
    """Where a secret stands: streams and files, names of files included."""
    places = {"stdout": ended.out, "stderr": ended.err}
    places |= {str(path): str(path).encode() + path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    return [f"{mark} in {place}" for place, content in places.items() for mark in MARKS if mark.encode() in content]


class Refusing(BaseHTTPRequestHandler):
    """A hub that refuses everything, and repeats what it was asked and who asked."""

    status = 403
    asked: list[str] = []  # noqa: RUF012

    def do_GET(self) -> None:
        self.asked.append(self.headers.get("Authorization", ""))
        body = json.dumps({"error": f"no: {self.path} {self.headers}"}).encode()
        self.send_response(self.status)
        self.send_header("X-Error-Message", f"refused {self.headers.get('Authorization')}")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    do_HEAD = do_GET

    def log_message(self, *_: object) -> None:
        """Silent."""


@pytest.fixture
def refusing() -> Iterator[int]:
    """The port of a hub that refuses everything."""
    Refusing.asked.clear()
    server = ThreadingHTTPServer(("127.0.0.1", 0), Refusing)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield server.server_address[1]
    server.shutdown()
    server.server_close()


def endpoint(port: int) -> str:
    return f"http://{USER}:{PASSWORD}@127.0.0.1:{port}"


@pytest.mark.slow
def test_a_run_and_its_report_hold_no_secret(tmp_path):
    environment = {**SECRETS, "HF_ENDPOINT": endpoint(9), "OUTSHINE_STORE": str(tmp_path / "store")}
    run = ("--debug", "run", "--dataset=tiny-home", *TINY, *SMALL, "--out=out")
    codes, ended = several(run, ("report", "out"), cwd=tmp_path, **environment)
    assert codes == [0, 0], ended.err
    assert len(list((tmp_path / "store").rglob("DONE.json"))) == 5
    assert leaks(ended, tmp_path) == []


REFUSED = {  # what is asked: a word of what is told
    ("datasets", "show", "sst2"): b"cannot be reached",
    ("run", "--dataset=tiny-home", "--weak=some/model", "--strong=tiny/strong"): b"cannot be reached",
    ("run", "--dataset=tiny-home", "--weak=./empty", "--strong=tiny/strong"): b"no folder",
    ("run", f"--dataset=tiny-home,{SECRETS['HF_TOKEN']}.csv", *TINY): b"cannot read",
    ("run", "--dataset=tiny-home", "--set", f"strong.learning_rat={SECRETS['WANDB_API_KEY']}"): b"unknown setting",
}


@pytest.mark.slow
def test_errors_hold_no_secret_even_with_their_traceback(tmp_path):
    environment = {**SECRETS, "HF_ENDPOINT": endpoint(9), "OUTSHINE_STORE": str(tmp_path / "store")}
    codes, ended = several(*(("--debug", *asked) for asked in REFUSED), cwd=tmp_path, **environment)
    assert codes == [2] * len(REFUSED), ended.err
    assert [word for word in REFUSED.values() if word not in ended.err] == []
    assert ended.err.count(b"Traceback") >= len(REFUSED)
    assert leaks(ended, tmp_path) == []


@pytest.mark.slow
def test_a_hub_that_repeats_what_it_was_told_gives_nothing_away(tmp_path, refusing):
    environment = {**SECRETS, "HF_ENDPOINT": endpoint(refusing), "OUTSHINE_STORE": str(tmp_path / "store")}
    ended = command("--debug", "datasets", "show", "sst2", cwd=tmp_path, **environment)
    assert ended.code == 2, ended.err
    assert b"Traceback" in ended.err
    assert any(Refusing.asked), "the hub was told nothing: it could give nothing away"
    assert leaks(ended, tmp_path) == []


def test_a_defect_shows_its_traceback_without_secrets(monkeypatch, capsys):
    monkeypatch.setenv("HF_TOKEN", SECRETS["HF_TOKEN"])

    def defect() -> None:
        raise RuntimeError(f"GET {endpoint(9)}/api with {SECRETS['HF_TOKEN']}\x1b[31m")

    monkeypatch.setattr(main, "app", defect)
    monkeypatch.setattr("sys.argv", ["outshine"])
    with pytest.raises(SystemExit, match="1"):
        main.main()
    printed = capsys.readouterr().err
    assert "Traceback" in printed
    assert "RuntimeError: GET http://***@127.0.0.1:9/api with ***\\u001b[31m" in printed


@pytest.mark.parametrize("name", SECRETS)
def test_messages_hide_what_the_environment_keeps_secret(monkeypatch, name):
    monkeypatch.setenv(name, SECRETS[name])
    assert str(HubError(f"refused: {SECRETS[name]}!")) == "refused: ***!"


def test_messages_keep_ordinary_words(monkeypatch):
    monkeypatch.setenv("TOKENIZERS_PARALLELISM", "nothing hidden")
    monkeypatch.setenv("SHORT_TOKEN", "false")
    monkeypatch.setenv("MONKEY", "nothing hidden")
    told = "false: nothing hidden, mail@example.org, https://example.org/a@b, a@b"
    assert without_secrets(told) == told


def test_passwords_in_addresses_are_hidden():
    assert (
        one_line("at https://u:p%40q@host:1/x\nand s3://key:secret@bucket")
        == "at https://***@host:1/x and s3://***@bucket"
    )
    assert one_line("http://a@b@host/x") == "http://***@host/x"
