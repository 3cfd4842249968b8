"""Fixtures of all tests."""

from __future__ import annotations

import gc
import os
from pathlib import Path

import hypothesis
import jaxtyping
import pytest
from jaxtyping import install_import_hook

from remote_stores import bucket, place, remote_place, s3, s3_server  # noqa: F401

os.environ.setdefault("OMP_NUM_THREADS", "1")  # toy models: more threads only wait for each other
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")  # as the command sets it, before torch is imported
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")  # tests fork; the tokenizers warn about it
os.fsync = lambda handle: None  # nothing here need outlive a power cut, and each stage waits for a dozen

# a machine that does other things too is slow now and then, which says nothing about the code
hypothesis.settings.register_profile("no-clock", deadline=None, suppress_health_check=[hypothesis.HealthCheck.too_slow])
hypothesis.settings.load_profile("no-clock")

# shapes are checked in tests: must come before the first import of these modules
install_import_hook(
    [
        "outshine.learn.filters",
        "outshine.learn.losses",
        "outshine.learn.activations",
        "outshine.learn.classifier",
        "outshine.learn.lora",
        "outshine.learn.nf4",
        "outshine.learn.norms",
        "outshine.learn.probes",
        "outshine.learn.rotary",
        "outshine.learn.batches",
        "outshine.learn.loop",
    ],
    "beartype.beartype",
)

SHAPES_CHECKED = {"benchmarks", "labelling", "learn", "testing", "w2s"}  # whole runs in other folders: a fifth slower
RUN_AGAIN = {
    "test_cuda_graphs.py",
    "test_lanes.py",
    "test_loop.py",
    "test_memory.py",
    "test_resume.py",
    "test_together.py",
}
"""Training tests in which shapes are not checked, for a third of their time: the files beside them run the same code."""


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup(item: pytest.Item) -> None:
    """Check shapes where what computes with them is tested. With each file, take what is imported out of collections.

    The collector goes through all of a process's objects time and again; here these are some hundred thousand of modules.
    """
    folder = item.path.relative_to(Path(__file__).parent).parts[0]
    jaxtyping.config.update("jaxtyping_disable", folder not in SHAPES_CHECKED or item.path.name in RUN_AGAIN)
    if item.path not in FROZEN_BEFORE:
        FROZEN_BEFORE.add(item.path)
        gc.collect()
        gc.freeze()


FROZEN_BEFORE: set[Path] = set()  # files


@pytest.fixture
def undrawn(monkeypatch: pytest.MonkeyPatch) -> None:
    """Figures are made and not drawn, for tests that look at none: drawing takes a fifth of a small run."""
    from outshine.report.figures import svg_png

    monkeypatch.setattr(svg_png, "_save", lambda figure, buffer, format, **how: buffer.write(BLANK[format]))


BLANK = {"svg": "<svg></svg>", "png": b""}


SLOW_FIXTURES = {
    "s3_server": "a process of its own",
    "everything": "the study of small_study.py",
    "evil": "a study under hostile names",
}


@pytest.hookimpl(tryfirst=True)  # before pytest chooses by marker
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Tests that need a fixture that takes long are slow; files with slow tests come first.

    Processes that share the tests take a file at a time in this order: short ones are left for the end.
    """
    for item in items:
        if isinstance(item, pytest.Function) and SLOW_FIXTURES.keys() & set(item.fixturenames):
            item.add_marker("slow")
    slow = {item.path for item in items if item.get_closest_marker("slow")}
    items.sort(key=lambda item: item.path not in slow)
