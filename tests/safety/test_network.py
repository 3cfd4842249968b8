"""No connection is tried but to the hub, and to that only for what a study names."""

from __future__ import annotations

from pathlib import Path

import pytest
from commands import Ended, command, python, several

from html_pages import Page

SPY = """
import os, sys

def _tell(event, arguments):
    if event in ("socket.connect", "socket.getaddrinfo", "socket.gethostbyname", "socket.sendto"):
        whom = arguments[1] if event == "socket.connect" else arguments[0]
        if event == "socket.connect" and isinstance(whom, (str, bytes)):
            return  # of this machine, by a file
        with open(os.environ["SPY_FILE"], "a") as file:
            file.write(f"{event} {whom}\\n")
        raise OSError("the test's spy lets nothing through")

sys.addaudithook(_tell)
"""
ENDPOINT = "http://hub.invalid:9"
SMALL = (
    *("--set=datasets=[tiny-home]", "--set=splits.n_train=32", "--set=splits.n_val=16", "--set=splits.n_test=16"),
    *("--set=training.epochs=1", "--set=runtime.threads=1", "--seed=0"),
)


def tried(folder: Path) -> list[str]:
    """What the process tried to reach."""
    found = folder / "tried.txt"
    return found.read_text().splitlines() if found.exists() else []


@pytest.fixture
def spied(tmp_path: Path) -> dict[str, str]:
    """The environment of a process whose connections are written down and refused; nothing tells it to stay offline."""
    (tmp_path / "spy").mkdir()
    (tmp_path / "spy" / "sitecustomize.py").write_text(SPY)
    return {
        "PYTHONPATH": str(tmp_path / "spy"),
        "SPY_FILE": str(tmp_path / "tried.txt"),
        "HF_ENDPOINT": ENDPOINT,
        "OUTSHINE_STORE": str(tmp_path / "store"),
    }


def fine(ended: Ended) -> None:
    assert ended.code == 0, ended.err.decode()


def test_the_spy_sees_a_connection(tmp_path, spied):
    ended = python("-c", "import socket; socket.create_connection(('127.0.0.1', 9), 1)", cwd=tmp_path, **spied)
    assert ended.code == 1
    assert tried(tmp_path) == ["socket.getaddrinfo 127.0.0.1"]


@pytest.mark.slow
def test_a_hub_dataset_asks_the_hub_and_nobody_else(tmp_path, spied):
    ended = command("datasets", "show", "sst2", cwd=tmp_path, **spied)
    assert ended.code == 2
    assert b"cannot be reached" in ended.err
    assert set(tried(tmp_path)) == {"socket.getaddrinfo hub.invalid"}


@pytest.mark.slow
def test_the_demo_its_report_and_what_looks_at_its_store_stay_offline(tmp_path, spied):
    looks = (("report", "out"), ("ls",), ("verify",), ("audit", "tiny-home"))
    codes, ended = several(("demo", *SMALL, "--out=out"), *looks, cwd=tmp_path, **spied)
    assert codes == [0] * 5, ended.err.decode()
    assert tried(tmp_path) == []
    page = (tmp_path / "out" / "report.html").read_text(encoding="utf-8")
    assert Page(page).dangers == []


@pytest.mark.slow
def test_what_needs_no_hub_asks_none(tmp_path, spied):
    offline = (
        ("--help",),
        ("--version",),
        ("run", "--help"),
        ("datasets",),
        ("models",),
        ("methods",),
        ("plan", "post", "--offline"),
        ("plan", "demo"),
    )
    codes, ended = several(*offline, cwd=tmp_path, **spied)
    assert codes == [0] * len(offline), ended.err.decode()
    assert tried(tmp_path) == []


@pytest.mark.slow
def test_importing_every_module_asks_nobody(tmp_path, spied):
    every = (
        "import importlib, pkgutil, outshine\n"
        "for module in pkgutil.walk_packages(outshine.__path__, 'outshine.'):\n"
        "    if not module.name.endswith('__main__'):\n"
        "        importlib.import_module(module.name)\n"
    )
    fine(python("-c", every, cwd=tmp_path, **spied))
    assert tried(tmp_path) == []


@pytest.mark.slow
def test_a_data_file_whose_name_looks_like_an_address_is_a_file(tmp_path, spied):
    names = ("http://hub.invalid/rows.csv", "s3://bucket/rows.parquet", "hf://datasets/a/rows.jsonl")
    codes, ended = several(*(("datasets", "show", name) for name in names), cwd=tmp_path, **spied)
    assert codes == [2, 2, 2]
    assert ended.err.count(b"cannot read") == 3
    assert tried(tmp_path) == []
