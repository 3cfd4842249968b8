"""Artefacts made directly on the disk, quickly, as a run would have left them."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any


def key_of(stage: str, fields: dict[str, Any], version: int = 1) -> str:
    """The key by its definition: sha256 of the canonical JSON of name, version and fields."""
    text = json.dumps({"stage": stage, "version": version, "fields": fields}, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()


def fake_artefact(
    root: Path,
    number: int,
    *,
    stage: str = "student",
    label: str | None = None,
    made_at: str = "2026-01-02T03:04:05+00:00",
    seconds: float = 1.0,
    content: bytes = b"x",
) -> str:
    """Put an artefact with one file into the store in `root`; returns its key."""
    fields = {"n": number, "share": 0.1}
    key = key_of(stage, fields)
    folder = root / "artefacts" / key[:2] / key
    folder.mkdir(parents=True)
    (folder / "a.bin").write_bytes(content)
    record = {
        "format": 1,
        "key": key,
        "files": {"a.bin": {"bytes": len(content), "sha256": hashlib.sha256(content).hexdigest()}},
        "stage": stage,
        "version": 1,
        "label": f"{stage} number {number}" if label is None else label,
        "fields": fields,
        "inputs": [],
        "made": {"at": made_at, "seconds": seconds},
    }
    record["sha256"] = hashlib.sha256(json.dumps(record, sort_keys=True).encode()).hexdigest()
    (folder / "DONE.json").write_text(json.dumps(record, indent=1, sort_keys=True))
    return key
