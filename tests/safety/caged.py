"""What tests of the command in a cage share: rows and options."""

from __future__ import annotations

import json
from pathlib import Path

ROWS = [{"text": f"the number {i} is odd" if i % 2 else f"here {i} is even", "label": i % 2} for i in range(120)]
TINY = ("--weak=tiny/weak", "--strong=tiny/strong", "--set=compute_dtype=float32", "--set=runtime.threads=1")
SMALL = ("--n-train=64", "--n-val=24", "--n-test=24", "--set=training.epochs=1", "--allow-leaks")


def write_rows(path: Path, rows: list[dict] = ROWS) -> Path:
    """Rows as a .jsonl file."""
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return path
