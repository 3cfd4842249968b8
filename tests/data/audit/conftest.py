"""Fixtures of the audit's tests: planted recipes over made-up rows, and over the real rows where they lie."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # rows and places that the data tests know

from hub_places import REAL_HUB


@pytest.fixture(scope="session")
def real_datasets() -> Path:
    """The folder of real rows in the hub's layout that may lie beside the checkout."""
    folder = REAL_HUB / "datasets"
    if not folder.is_dir():
        pytest.skip(f"no real rows: {folder} is not there")
    return folder
