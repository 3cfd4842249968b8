"""Fixtures of the tests on a GPU."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

import pytest

import tiny_checkpoints

sys.path.append(str(Path(__file__).parents[1] / "learn" / "training"))  # the small run that the training tests share


@pytest.fixture(scope="session")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """From an architecture's name to the folder of its tiny checkpoint. Not to be changed by a test."""
    return tiny_checkpoints.maker(tmp_path_factory.mktemp("checkpoints"))
