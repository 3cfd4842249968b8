"""Fixtures of the data tests: pools of made-up rows, a hub on loopback, and the real rows where they lie."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from hub_places import REAL_HUB, point_client_at
from loopback_hub import LoopbackHub, serving


@pytest.fixture(scope="session")
def real_datasets() -> Path:
    """The folder of real rows in the hub's layout that may lie beside the checkout."""
    folder = REAL_HUB / "datasets"
    if not folder.is_dir():
        pytest.skip(f"no real rows: {folder} is not there")
    return folder


@pytest.fixture
def client(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[pytest.MonkeyPatch]:
    """The hub's client with an empty cache of its own, online, without a token; closed afterwards."""
    from huggingface_hub import constants
    from huggingface_hub.utils import close_session

    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    monkeypatch.setattr(constants, "HF_TOKEN_PATH", str(tmp_path / "no-token"))
    monkeypatch.delenv("HF_TOKEN", raising=False)
    yield monkeypatch
    close_session()


@pytest.fixture
def loopback_hub(client: pytest.MonkeyPatch, parquet_files: dict[str, bytes]) -> Iterator[LoopbackHub]:
    """`org/toy` served on loopback, and the client pointed at it."""
    from outshine.engine import hub

    client.setattr(hub, "RETRY_WAITS", (0.0,) * 5)
    with serving(LoopbackHub("org/toy", parquet_files, commit="a" * 40)) as server:
        point_client_at(server.endpoint, client)
        yield server


@pytest.fixture(scope="session")
def parquet_files() -> dict[str, bytes]:
    """Two training shards of three and two rows, and one test shard of two."""
    import io

    import pyarrow as pa
    import pyarrow.parquet as pq

    def shard(*numbers: int) -> bytes:
        buffer = io.BytesIO()
        pq.write_table(pa.table({"number": list(numbers), "text": [f"row {n}" for n in numbers]}), buffer)
        return buffer.getvalue()

    return {
        "default/train/0000.parquet": shard(0, 1, 2),
        "default/train/0001.parquet": shard(3, 4),
        "default/test/0000.parquet": shard(10, 11),
        "other/train/0000.parquet": shard(99),
    }
