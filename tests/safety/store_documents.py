"""Documents of a store as damage or a stranger may have made them, and the commands that read them."""

from __future__ import annotations

import copy
import hashlib
import json
import os
import random
import sqlite3
import sys
import tempfile
import uuid
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

from hypothesis import strategies as st

from outshine.engine.store.store import Store

sys.path.append(str(Path(__file__).parents[1]))
sys.path.append(str(Path(__file__).parents[1] / "engine" / "run"))

COMMANDS = (
    ["ls"],
    ["ls", "--json"],
    ["studies"],
    ["studies", "stored"],
    ["watch", "stored"],
    ["verify"],
    ["verify", "--mend"],
    ["gc", "--dry-run"],
    ["gc", "--yes"],
    ["gc", "--older-than", "1d", "--dry-run"],
    ["show", "KEY"],
    ["export", "stored", "--out", "OUT"],
)
VALUES: tuple[Any, ...] = (
    None, True, 0, -1, 10**30, 10**400, 1.5, float("nan"), float("inf"), "", "x", "\ud800", "\x1b[31m", "../../x", "a/b",
    "0001-01-01T00:00:00+14:00", "9999-12-31T23:59:59-23:59", "2026-99-99", [], [[]], {}, {"a": 1}, ["x"], [5], "ab" * 32,
)  # fmt: skip


class Damage(NamedTuple):
    """Which document, what is done to it, and what is asked afterwards."""

    document: int
    kind: str
    value: Any
    place: int
    command: list[str]


KINDS = ("bytes", "cut", "flip", "deep", "pipe", "folder", "gone", "value", "value", "value", "value", "sealed", "key")
DAMAGES = st.builds(
    Damage,
    st.integers(0, 50),
    st.sampled_from(KINDS),
    st.sampled_from(VALUES) | st.binary(max_size=40) | st.text(max_size=10) | st.integers() | st.floats(),
    st.integers(0, 10_000),
    st.sampled_from(COMMANDS),
)


@cache
def _good() -> dict[str, bytes]:
    """The files of a small store: finished artefacts, a study, what runs and failed, a commit under way, the index."""
    from recorded_studies import record

    from fake_artefacts import fake_artefact
    from outshine.engine.store.index import Query

    with tempfile.TemporaryDirectory() as folder:
        store = Store(Path(folder) / "store")
        keys = [fake_artefact(store.root, number) for number in range(3)]
        record(store, "stored", [*keys, "cd" * 32, "ef" * 32])
        (store.root / "STORE.json").write_text('{"format": 1}')
        facts = {"host": "here", "pid": 5, "since": "now", "at": "now"}
        store.documents("running").write(
            "cd" * 32, {"keys": ["cd" * 32], "label": "one", "done": 1, "total": 2, **facts}
        )
        store.documents("failures").write(
            "ef" * 32, {"key": "ef" * 32, "label": "a", "message": "m", "unit": ["ef" * 32]}
        )
        (store.root / "commits").mkdir()
        journal = store.root / "commits" / f"{uuid.UUID(int=1).hex}.json"
        journal.write_text(json.dumps([["cd" * 32, f"{'cd' * 32}-00000000"]]))
        store.listing(Query())
        return {
            path.relative_to(store.root).as_posix(): path.read_bytes()
            for path in sorted(store.root.rglob("*"))
            if path.is_file() and path.suffix != ".lock"
        }


def look(folder: Path, damage: Damage, command: Callable[[Path, list[str]], object]) -> None:
    """Whatever a store's document says, every command ends well. `command`: runs one in that folder."""
    root = folder / "store"
    good = _good()
    for name, content in good.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(content)
    name = sorted(good)[damage.document % len(good)]
    _spoil(root / name, damage)
    key = next(name.split("/")[2] for name in good if name.startswith("artefacts/"))
    asked = [one.replace("KEY", key).replace("OUT", str(folder / "out.zip")) for one in damage.command]
    command(folder, asked)


def _spoil(path: Path, damage: Damage) -> None:
    content = path.read_bytes()
    value = damage.value if isinstance(damage.value, bytes) else str(damage.value).encode("utf-8", "surrogatepass")
    if damage.kind in ("pipe", "folder", "gone"):
        path.unlink()
        {"pipe": os.mkfifo, "folder": Path.mkdir, "gone": lambda _: None}[damage.kind](path)
    elif damage.kind == "bytes":
        path.write_bytes(value)
    elif damage.kind == "cut":
        path.write_bytes(content[: damage.place % (len(content) + 1)])
    elif damage.kind == "deep":
        path.write_bytes(b"[" * (damage.place * 20))
    elif path.suffix == ".sqlite" and damage.kind != "flip":
        _spoil_index(path, damage)
    elif path.suffix != ".json" or damage.kind == "flip":
        changed = bytearray(content or b"x")
        changed[damage.place % len(changed)] ^= 1 << (damage.place % 8)
        path.write_bytes(bytes(changed))
    else:
        path.write_text(_changed(json.loads(content), damage), encoding="utf-8", errors="surrogatepass")


def _spoil_index(path: Path, damage: Damage) -> None:
    columns = ("inode", "changed", "stage", "label", "made_at", "seconds", "bytes", "inputs", "fault")
    value = damage.value if isinstance(damage.value, str | bytes | None) else str(damage.value)
    if isinstance(value, str):
        value = value.encode("utf-8", "replace").decode()
    with sqlite3.connect(path) as db:
        column = columns[damage.place % len(columns)]
        db.execute(f"UPDATE OR IGNORE artefacts SET {column} = ?", (value if value is not None else "",))


def _changed(document: Any, damage: Damage) -> str:
    """One value somewhere in the document is another, or lacks; with `sealed` the record's own digest fits again."""
    document = copy.deepcopy(document)
    places = list(_places(document))
    holder, at = random.Random(damage.place).choice(places)
    if damage.kind == "key":
        del holder[at]
    else:
        holder[at] = damage.value if not isinstance(damage.value, bytes) else damage.value.hex()
    if damage.kind == "sealed" and isinstance(document, dict) and "sha256" in document:
        said = {name: value for name, value in document.items() if name != "sha256"}
        document["sha256"] = hashlib.sha256(json.dumps(said, sort_keys=True).encode()).hexdigest()
    return json.dumps(document)


def _places(value: Any) -> Any:
    for at, inner in value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ():
        yield value, at
        yield from _places(inner)
