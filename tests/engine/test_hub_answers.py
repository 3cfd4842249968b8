"""Whether there is a hub: one request and no more."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from outshine.engine.hub import answers, offline


class Counting(ThreadingHTTPServer):
    """A server that gives one status to everything and counts."""

    def __init__(self, status: int) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.status, self.count = status, 0


class Handler(BaseHTTPRequestHandler):
    server: Counting

    def do_HEAD(self) -> None:
        self.server.count += 1
        self.send_response(self.server.status)
        self.end_headers()

    def log_message(self, format: str, *args: object) -> None:
        pass


@pytest.fixture
def serve(monkeypatch: pytest.MonkeyPatch) -> Iterator:
    from huggingface_hub import constants
    from huggingface_hub.utils import close_session

    servers = []

    def start(status: int) -> Counting:
        server = Counting(status)
        threading.Thread(target=server.serve_forever, daemon=True).start()
        servers.append(server)
        monkeypatch.setattr(constants, "ENDPOINT", f"http://127.0.0.1:{server.server_port}")
        return server

    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    yield start
    close_session()
    for server in servers:
        server.shutdown()
        server.server_close()


@pytest.mark.parametrize(("status", "there"), [(200, True), (404, True), (503, False)])
def test_a_hub_that_answers_is_there_unless_it_says_try_later(status, there, serve):
    server = serve(status)
    assert answers() is there
    assert server.count == 1


def test_nobody_there(serve, monkeypatch):
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "ENDPOINT", "http://127.0.0.1:9")
    assert not answers()


def test_offline_asks_nothing_and_ends_with_its_block(serve):
    server = serve(200)
    with offline(), offline():
        assert not answers()
    assert server.count == 0
    assert answers()
