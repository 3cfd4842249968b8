"""Fixtures of all tests."""

from __future__ import annotations

import os

import pytest
from jaxtyping import install_import_hook

from remote_stores import bucket, place, remote_place, s3, s3_server  # noqa: F401

os.environ.setdefault("OMP_NUM_THREADS", "1")  # toy models: more threads only wait for each other
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")  # as the command sets it, before torch is imported
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")  # tests fork; the tokenizers warn about it

# shapes are checked in tests: must come before the first import of these modules
install_import_hook(
    [
        "outshine.learn.filters",
        "outshine.learn.losses",
        "outshine.learn.activations",
        "outshine.learn.classifier",
        "outshine.learn.lora",
        "outshine.learn.nf4",
        "outshine.learn.probes",
        "outshine.learn.batches",
        "outshine.learn.loop",
    ],
    "beartype.beartype",
)


SLOW_FIXTURES = {
    "s3_server": "a process of its own",
    "everything": "the study of small_study.py",
    "evil": "a study under hostile names",
}


@pytest.hookimpl(tryfirst=True)  # before pytest chooses by marker
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Tests that need a fixture that takes long are slow."""
    for item in items:
        if isinstance(item, pytest.Function) and SLOW_FIXTURES.keys() & set(item.fixturenames):
            item.add_marker("slow")
