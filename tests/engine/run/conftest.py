"""Fixtures of the tests of plans: no hub, an empty store."""

from __future__ import annotations

from pathlib import Path

import pytest

from outshine.engine.store.store import Store


@pytest.fixture(autouse=True)
def no_hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The client offline with an empty cache."""
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "store")
