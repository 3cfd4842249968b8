"""A server that is no hub, a token that is none, an address that is none: each told in one line, as what it is."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from model_hub import ModelHub, serving
from outshine.data.hub_source import identify_hub, open_hub
from outshine.data.rows import Hub
from outshine.engine.errors import HubError, SettingsError
from outshine.engine.hub import Repo, answers, ask, snapshot

MODEL = Repo("model", "org/model")
DATASET = Hub("org/data")
RIGHT = {"id": "org/model", "sha": "a" * 40, "siblings": [{"rfilename": "config.json"}]}
ODD: dict[str, Any] = {
    "{}": {},
    "[]": [],
    "null": None,
    "a number": 5,
    "a text": "config.json",
    "a list of numbers": [5, 6],
    "no commit": {"id": "org/model"},
    "a commit that is null": {**RIGHT, "sha": None},
    "a commit that is a number": {**RIGHT, "sha": 5},
    "a commit that is a list": {**RIGHT, "sha": ["a" * 40]},
    "a commit that climbs": {**RIGHT, "sha": "../../escaped"},
    "a commit that is empty": {**RIGHT, "sha": ""},
    "files that are numbers": {**RIGHT, "siblings": [5]},
    "files without names": {**RIGHT, "siblings": [{}]},
    "a file's name that is a number": {**RIGHT, "siblings": [{"rfilename": 5}]},
    "files that are a text": {**RIGHT, "siblings": "config.json"},
    "a date that is none": {**RIGHT, "lastModified": "yesterday"},
    "an error of a proxy": {"error": "please log in"},
}
RAW = {
    "no JSON": b"<html>log in</html>",
    "nothing": b"",
    "no text": b"\xff\xfe\x00",
    "nested too deep": b"[" * 100_000,
    "a number too long": b"9" * 6000,
}
BODIES = {name: json.dumps(answer).encode() for name, answer in ODD.items()} | RAW
CALLS: dict[str, Callable[[], object]] = {
    "a model's files": lambda: snapshot(MODEL, ["*.json"]),
    "a model's files at a commit": lambda: snapshot(MODEL._replace(revision="b" * 40), ["*.json"]),
    "a dataset's commit": lambda: identify_hub(DATASET),
    "a dataset's files": lambda: open_hub(DATASET, f"hub:org/data@{'b' * 40}"),
}


@pytest.fixture
def hub(tmp_path: Path):
    with serving(ModelHub(), tmp_path / "cache") as server:
        yield server


def message(call: Callable[[], object]) -> str:
    """What a HubError says; empty where there is none."""
    try:
        call()
    except HubError as error:
        return str(error)
    return ""


@pytest.mark.parametrize("body", BODIES)
@pytest.mark.parametrize("call", CALLS)
def test_an_answer_of_another_shape_is_told_in_one_line(call, body, hub, tmp_path):
    hub.answer = BODIES[body]
    told = message(CALLS[call])
    assert "\n" not in told
    if told and "has no file default/train/" not in told:
        assert "does not answer like a hub" in told
        assert told.endswith("check HF_ENDPOINT and proxies")
    assert not (tmp_path / "escaped").exists()


@pytest.mark.parametrize(
    "fault",
    [
        KeyError("sha"),
        TypeError("x"),
        AssertionError(),
        AttributeError("x"),
        IndexError(),
        RecursionError(),
        ZeroDivisionError(),
    ],
    ids=lambda fault: type(fault).__name__,
)
def test_whatever_reading_an_answer_raises_is_told_once(fault, hub):
    calls = []

    def call() -> None:
        calls.append(1)
        raise fault

    with pytest.raises(HubError, match="does not answer like a hub"):
        ask(MODEL, call)
    assert calls == [1]


def test_a_plan_does_not_go_on_without_what_is_no_hub(hub):
    from contextlib import ExitStack

    from outshine.learn.spec import ModelSettings
    from outshine.w2s.placeholders import HubResolver

    hub.answer = b"{}"
    with ExitStack() as stack, pytest.raises(HubError, match="does not answer like a hub"):
        HubResolver(stack).model(ModelSettings(model="org/model"), "float32")


@pytest.mark.parametrize("fault", [HubError("own"), SettingsError("own"), MemoryError(), KeyboardInterrupt()])
def test_what_is_no_answer_of_the_hubs_passes_as_it_is(fault, hub):
    def call() -> None:
        raise fault

    with pytest.raises(type(fault)) as caught:
        ask(MODEL, call)
    assert caught.value is fault


TOKENS = ["hf_abc defé", "hf_é", "hf_ab cd", "hf_ab\tcd", "hf_\u200bab", "“hf_abcd”", "hf_ab\x7f", "鍵"]


@pytest.mark.parametrize("variable", ["HF_TOKEN", "HUGGING_FACE_HUB_TOKEN"])
@pytest.mark.parametrize("token", TOKENS)
def test_a_token_that_cannot_be_sent_is_told_as_such_and_not_shown(token, variable, hub, monkeypatch):
    monkeypatch.setenv(variable, token)
    with pytest.raises(SettingsError, match=f"^{variable} holds a character that no token has") as caught:
        snapshot(MODEL, ["*.json"])
    assert token not in str(caught.value)
    assert hub.requests == []


@pytest.mark.parametrize("token", ["hf_abcd", "hf_abcd\n", " hf_abcd ", ""])
def test_a_token_with_blanks_around_it_is_sent_without(token, hub, monkeypatch):
    monkeypatch.setenv("HF_TOKEN", token)
    snapshot(MODEL, ["*.json"])
    assert hub.tokens == {"Bearer hf_abcd" if token else None}


@pytest.mark.parametrize(
    ("write", "told"),
    [
        (lambda path: path.write_text("hf_abc defé", encoding="utf-8"), "holds a character that no token has"),
        (lambda path: path.write_bytes(b"\xff\xfe\x00"), r"cannot be read \(UnicodeDecodeError\)"),
        (lambda path: path.mkdir(), "cannot be read"),
    ],
    ids=["an odd character", "no text", "a folder"],
)
def test_a_token_file_that_is_none_is_told_as_such(write, told, hub, monkeypatch, tmp_path):
    path = tmp_path / "token"
    write(path)
    monkeypatch.setattr("huggingface_hub.constants.HF_TOKEN_PATH", str(path))
    with pytest.raises(SettingsError, match=f"the token file {path} {told}"):
        snapshot(MODEL, ["*.json"])
    assert hub.requests == []


ADDRESSES = [
    "",
    "nonsense",
    "hub.example",
    "ftp://hub.example",
    "http://",
    "http://:80",
    "http://h:port",
    "http://h:99999",
]
ADDRESSES += ["http://[::1", "http://hub example", "http://hüb.example\n", "file:///etc"]


@pytest.mark.parametrize("address", ADDRESSES)
@pytest.mark.parametrize("call", [lambda: snapshot(MODEL, ["*.json"]), answers], ids=["a request", "a knock"])
def test_an_address_that_is_none_is_told_as_such(address, call, monkeypatch):
    monkeypatch.setattr("huggingface_hub.constants.ENDPOINT", address)
    with pytest.raises(
        SettingsError, match=r"HF_ENDPOINT is .* an address such as https://huggingface\.co is expected"
    ):
        call()


@pytest.mark.parametrize("proxy", ["nonsense", "ftp://proxy.example:1", "http://proxy example"])
@pytest.mark.parametrize("call", [lambda: snapshot(MODEL, ["*.json"]), answers], ids=["a request", "a knock"])
def test_a_proxy_that_is_none_is_told_in_one_line(proxy, call, hub, monkeypatch):
    from huggingface_hub.utils import close_session

    monkeypatch.setenv("HTTP_PROXY", proxy)
    monkeypatch.setenv("http_proxy", proxy)
    monkeypatch.delenv("NO_PROXY", raising=False)
    monkeypatch.delenv("no_proxy", raising=False)
    close_session()
    assert "\n" not in message(call)
