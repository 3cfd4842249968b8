"""An index of the artefacts in SQLite, so that listings need not open every DONE.json.

It is a cache and nothing more. Which artefacts there are is read from the folders each time; the index only remembers
what their DONE.json say, for artefacts never change. One that is missing, damaged, of another version or of another
store is made anew; one that is locked or cannot be written is left alone, and the listing is made without it.
"""

from __future__ import annotations

import hashlib
import json
import os
import sqlite3
import time
from collections.abc import Collection, Iterator, Mapping
from contextlib import closing, suppress
from functools import cache
from pathlib import Path
from typing import Any, Literal, NamedTuple

from platformdirs import user_cache_path

from outshine.engine.checked_reading import ODD, as_seconds, parse_json, read_bytes, understood
from outshine.engine.key import KEY
from outshine.engine.store.records import DONE, parse_record

INDEX = "index.sqlite"
VERSION = 1  # of the tables; an index of another one is thrown away
_PATIENCE = 2.0  # seconds to wait for another process that writes the index
_TRIES = 5  # while other processes commit and list at the same time
_SETTLED_NS = 2 * 10**9  # a shelf changed this short ago may change again without its time telling

_UNAVAILABLE = {
    sqlite3.SQLITE_BUSY,
    sqlite3.SQLITE_CANTOPEN,
    sqlite3.SQLITE_FULL,
    sqlite3.SQLITE_IOERR,
    sqlite3.SQLITE_LOCKED,
    sqlite3.SQLITE_PERM,
    sqlite3.SQLITE_PROTOCOL,
    sqlite3.SQLITE_READONLY,
}
_TABLES = """
CREATE TABLE IF NOT EXISTS store (inode INTEGER NOT NULL);
CREATE TABLE IF NOT EXISTS shelves (name TEXT PRIMARY KEY, changed INTEGER NOT NULL) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS artefacts (
    key TEXT PRIMARY KEY, inode INTEGER NOT NULL, changed INTEGER NOT NULL,
    stage TEXT NOT NULL, label TEXT NOT NULL, made_at TEXT NOT NULL, seconds REAL NOT NULL, bytes INTEGER NOT NULL,
    inputs TEXT NOT NULL, fault TEXT NOT NULL
) WITHOUT ROWID;
"""
_COLUMNS = "key, stage, label, made_at, seconds, bytes, inputs, fault"
_ORDER = {"age": "made_at", "size": "bytes", "took": "seconds"}

Sort = Literal["age", "size", "took"]


class Entry(NamedTuple):
    """What a listing says of one artefact; `fault` says why DONE.json could not be read, where it could not."""

    key: str
    stage: str
    label: str
    made_at: str
    seconds: float
    bytes: int
    inputs: tuple[str, ...]
    fault: str


class Query(NamedTuple):
    """Which artefacts a listing is to have. Sorted ascending; `limit` keeps the last ones: newest, largest, longest."""

    stage: str | None = None
    text: str | None = None  # part of the label, in upper or lower case
    keys: Collection[str] | None = None
    sort: Sort = "age"
    limit: int | None = None


class Listing(NamedTuple):
    """The entries asked for, and of how many artefacts and bytes they are the last."""

    entries: list[Entry]
    num_artefacts: int
    num_bytes: int


def listing(root: Path, query: Query) -> Listing:
    """List artefacts of the store in `root`, with the help of its index where that can be had."""
    if not (root / "artefacts").is_dir():
        return Listing([], 0, 0)
    for place in (root / INDEX, _place_in_cache(root)):
        for _ in ("as it is", "made anew"):
            try:
                return _listing(place, root, query)
            except sqlite3.Error as error:
                if getattr(error, "sqlite_errorcode", 0) & 0xFF in _UNAVAILABLE:
                    break
                _throw_away(place)
            except (OSError, *ODD):  # no folder for it; what it holds is no entry
                _throw_away(place)
    return _listing(None, root, query)


def listing_of(records: Mapping[str, bytes], query: Query) -> Listing:
    """List artefacts by what the texts of their DONE.json say."""
    with closing(sqlite3.connect(":memory:", isolation_level=None)) as db:
        db.executescript(_TABLES)
        _write(db, [_row_of(key, text) for key, text in records.items()], (), [])
        return _ask(db, query)


def _place_in_cache(root: Path) -> Path:
    """For a store that cannot be written: a file of its own in the user's cache."""
    name = hashlib.sha256(os.fsencode(root)).hexdigest()[:32]
    return user_cache_path("outshine", appauthor=False) / "indexes" / f"{name}.sqlite"


def _throw_away(place: Path) -> None:
    for path in (place, place.with_name(f"{place.name}-journal")):
        with suppress(OSError):
            path.unlink(missing_ok=True)


def _listing(place: Path | None, root: Path, query: Query) -> Listing:
    """`place`: the file of the index; None: in memory, for this once."""
    if place is not None:
        if place.parent != root:
            place.parent.mkdir(parents=True, exist_ok=True)
        if place.exists() and not place.is_file():
            raise ValueError("the index is no plain file")
    with closing(sqlite3.connect(place or ":memory:", timeout=_PATIENCE, isolation_level=None)) as db:
        _open(db, root)
        _bring_up_to_date(db, root)
        return _ask(db, query)


def _open(db: sqlite3.Connection, root: Path) -> None:
    """Make the tables of a new index. Raises sqlite3.DatabaseError for one of another version or store."""
    inode = _inode((root / "artefacts").stat().st_ino)
    (version,) = db.execute("PRAGMA user_version").fetchone()
    (num_tables,) = db.execute("SELECT count(*) FROM sqlite_master").fetchone()
    if not num_tables and not version:
        db.executescript(f"BEGIN IMMEDIATE; {_TABLES} PRAGMA user_version = {VERSION}; COMMIT;")
        db.execute("INSERT INTO store SELECT ? WHERE NOT EXISTS (SELECT * FROM store)", (inode,))
    elif version != VERSION or _schema(db) != _own_schema():
        raise sqlite3.DatabaseError(f"version {version}, or other tables")
    if db.execute("SELECT inode FROM store").fetchall() != [(inode,)]:
        raise sqlite3.DatabaseError("the index of another store")


def _schema(db: sqlite3.Connection) -> list[tuple[str, ...]]:
    """All tables, views, triggers. A view or trigger of a stranger's would be run by what is asked of the tables."""
    return sorted(db.execute("SELECT type, name, tbl_name, sql FROM sqlite_master").fetchall())


@cache
def _own_schema() -> list[tuple[str, ...]]:
    with closing(sqlite3.connect(":memory:")) as db:
        db.executescript(_TABLES)
        return _schema(db)


def _bring_up_to_date(db: sqlite3.Connection, root: Path) -> None:
    """Raises sqlite3.DatabaseError where the index and the store differ after that, and no other process is why."""
    for _ in range(_TRIES):
        (before,) = db.execute("PRAGMA data_version").fetchone()
        there = _refresh(db, root)
        (count,) = db.execute("SELECT count(*) FROM artefacts").fetchone()
        if count == there:
            return
        if db.execute("PRAGMA data_version").fetchone() == (before,):
            raise sqlite3.DatabaseError(f"{count} artefacts in the index, {there} in the store")


def _refresh(db: sqlite3.Connection, root: Path) -> int:
    """How many artefacts there are. Every folder's name is read, DONE.json only where a folder is new or another."""
    known = {key: seen for key, *seen in db.execute("SELECT key, inode, changed FROM artefacts WHERE fault = ''")}
    all_known = {key for (key,) in db.execute("SELECT key FROM artefacts")}
    times = dict(db.execute("SELECT name, changed FROM shelves"))
    there: set[str] = set()
    rows: list[tuple[Any, ...]] = []
    new_times: list[tuple[str, int]] = []
    for shelf in key_dirs(root):
        changed = shelf.stat().st_mtime_ns
        settled = times.get(shelf.name) == changed
        if not settled and changed < time.time_ns() - _SETTLED_NS:
            new_times.append((shelf.name, changed))
        for entry in artefact_dirs(shelf):
            seen = known.get(entry.name)
            if seen and seen[0] == _inode(entry.inode()) and (settled or seen[1] == _changed(entry)):
                there.add(entry.name)
            elif row := _row(entry):
                there.add(entry.name)
                rows.append(row)
    gone = all_known - there
    if rows or gone or new_times:
        _write(db, rows, gone, new_times)
    return len(there)


def _write(
    db: sqlite3.Connection, rows: list[tuple[Any, ...]], gone: Collection[str], times: list[tuple[str, int]]
) -> None:
    """One short transaction; all files were read before it."""
    db.execute("BEGIN IMMEDIATE")
    try:
        db.executemany("DELETE FROM artefacts WHERE key = ?", [(key,) for key in gone])
        db.executemany("INSERT OR REPLACE INTO artefacts VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)", rows)
        db.executemany("INSERT OR REPLACE INTO shelves VALUES (?, ?)", times)
        db.execute("COMMIT")
    except BaseException:
        with suppress(sqlite3.Error):
            db.execute("ROLLBACK")
        raise


def _inode(number: int) -> int:
    """As a column takes it: some file systems count beyond."""
    return number % 2**63


def _changed(entry: os.DirEntry[str]) -> int | None:
    """When a folder was changed; None where it went meanwhile."""
    with suppress(FileNotFoundError):
        return entry.stat().st_mtime_ns
    return None


def _row(entry: os.DirEntry[str]) -> tuple[Any, ...] | None:
    """What DONE.json says; None for a folder without one, which is no artefact."""
    try:
        changed = entry.stat().st_mtime_ns
        text = read_bytes(Path(entry.path, DONE))
    except (FileNotFoundError, NotADirectoryError):
        return None
    except (OSError, ValueError) as error:
        return _faulty(entry.name, f"{DONE} cannot be read ({error})")
    return _row_of(entry.name, text, _inode(entry.inode()), changed)


def _row_of(key: str, text: bytes, inode: int = 0, changed: int = 0) -> tuple[Any, ...]:
    """Turn the text of a DONE.json into a row of the index."""
    try:
        record = parse_record(text)
        with understood(DONE):
            size = sum(facts["bytes"] for facts in record["files"].values())
            made, inputs = record["made"], json.dumps(record["inputs"])
            facts = (_storable(record["label"]), str(made["at"]), float(made["seconds"]), size, inputs, "")
            return key, inode, changed, _storable(record["stage"]), *facts
    except ValueError as error:
        message = str(error)
        return _faulty(key, message if message.startswith(DONE) else f"{DONE} cannot be read ({message})")


def _storable(text: str) -> str:
    """The text without half surrogates, which SQLite does not take."""
    return text.encode("utf-8", "backslashreplace").decode()


def _faulty(key: str, why: str) -> tuple[Any, ...]:
    return key, 0, 0, "", "", "", 0.0, 0, "[]", _storable(why)


def _ask(db: sqlite3.Connection, query: Query) -> Listing:
    db.create_function("has_text", 2, lambda label, text: text.casefold() in label.casefold(), deterministic=True)
    conditions, values = ["1"], []
    if query.stage is not None:
        conditions.append("stage = ?")
        values.append(query.stage)
    if query.text is not None:
        conditions.append("has_text(label, ?)")
        values.append(query.text)
    if query.keys is not None:
        db.execute("CREATE TEMP TABLE wanted (key TEXT PRIMARY KEY)")
        db.executemany("INSERT OR IGNORE INTO wanted VALUES (?)", [(key,) for key in query.keys])
        conditions.append("key IN (SELECT key FROM wanted)")
    where = " AND ".join(conditions)
    num, size = db.execute(f"SELECT count(*), total(bytes) FROM artefacts WHERE {where}", values).fetchone()  # noqa: S608
    limit = -1 if query.limit is None else query.limit
    order = f"{_ORDER[query.sort]} DESC, key DESC"
    statement = f"SELECT {_COLUMNS} FROM artefacts WHERE {where} ORDER BY {order} LIMIT ?"  # noqa: S608
    return Listing(list(_entries(db.execute(statement, [*values, limit])))[::-1], num, int(size))


def _entries(rows: Iterator[Any]) -> Iterator[Entry]:
    for key, stage, label, made_at, seconds, size, inputs, fault in rows:
        entry = Entry(key, stage, label, made_at, as_seconds(seconds), size, tuple(parse_json(inputs)), fault)
        texts = (key, stage, label, made_at, fault, *entry.inputs)
        if not all(isinstance(text, str) for text in texts) or not isinstance(size, int):
            raise ValueError("the index holds what is no entry")
        yield entry


def key_dirs(root: Path, beginning: str = "") -> list[os.DirEntry[str]]:
    """List the folders `artefacts/<k2>` that can hold keys with this beginning, sorted; none where no store is."""
    with suppress(FileNotFoundError, NotADirectoryError), os.scandir(root / "artefacts") as entries:
        fitting = [
            entry
            for entry in entries
            if entry.name.startswith(beginning[:2]) and len(entry.name) == 2 and entry.is_dir()
        ]
        return sorted(fitting, key=_name)
    return []


def artefact_dirs(shelf: os.DirEntry[str], beginning: str = "") -> Iterator[os.DirEntry[str]]:
    """The folders of artefacts on one shelf. Whether DONE.json is in them is not looked at."""
    with suppress(FileNotFoundError, NotADirectoryError), os.scandir(shelf.path) as entries:
        for entry in entries:
            if entry.name.startswith(beginning) and entry.name[:2] == shelf.name and KEY.fullmatch(entry.name):
                yield entry


def sorted_artefact_dirs(root: Path, beginning: str = "") -> list[os.DirEntry[str]]:
    """List the folders of all artefacts whose keys begin so, in the order of the keys."""
    return [
        entry for shelf in key_dirs(root, beginning) for entry in sorted(artefact_dirs(shelf, beginning), key=_name)
    ]


def _name(entry: os.DirEntry[str]) -> str:
    return entry.name
