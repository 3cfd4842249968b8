"""Disks that are full or read-only, and artefacts that they damaged."""

from __future__ import annotations

import random
import shutil
import subprocess
from collections.abc import Mapping
from pathlib import Path

from faults.outcome import Outcome, finish, unlike
from faults.study import Driver, outshine

_NAMESPACE = ("unshare", "--user", "--map-root-user", "--mount")
_FULL = """mkdir -p "$1" && mount -t tmpfs -o size=$2 tmpfs "$1" || exit 99
store="$1"; kept="$3"; shift 3
"$@"; code=$?
cp -a "$store" "$kept"; exit $code"""
_READ_ONLY = """mount --bind "$1" "$1" && mount -o remount,bind,ro "$1" || exit 99
shift; exec "$@" """


def can_mount() -> bool:
    """Whether this user may mount file systems of its own."""
    try:
        return subprocess.run([*_NAMESPACE, "true"], check=False, capture_output=True).returncode == 0  # noqa: S603
    except OSError:
        return False


def full(folder: Path, reference: Mapping[str, str], sizes: tuple[str, ...] = ("200k", "1m", "3m")) -> Outcome:
    """A store on a disk that is full at once, soon, or late."""
    problems: list[str] = []
    survived = 0
    for size in sizes:
        place = folder / size
        place.mkdir(parents=True)
        kept = place / "kept"
        mounting = ("sh", "-c", _FULL, "full", str(place / "store"), size, str(kept))
        ended = Driver(place, "--workers", "2", before=(*_NAMESPACE, *mounting)).end()
        last = ended.said.strip().splitlines()[-1:]
        found = [] if ended.code == 2 and "the disk is full" in str(last) else [f"{size}: {ended.code}, {last}"]
        shutil.rmtree(place / "store", ignore_errors=True)
        kept.rename(place / "store")
        found += finish(place, reference, "--workers", "2")
        survived += not found
        problems += found
    return Outcome("disk full", len(sizes), survived, len(sizes), f"at {', '.join(sizes)}", tuple(problems))


def read_only(folder: Path, finished: Path, reference: Mapping[str, str]) -> Outcome:
    """A finished study on a read-only store is read; an unfinished one is refused in a line."""
    problems: list[str] = []
    shutil.copytree(finished / "store", folder / "store")
    mounting = (*_NAMESPACE, "sh", "-c", _READ_ONLY, "read-only", str(folder / "store"))
    ended = Driver(folder, before=mounting).end()
    if ended.code != 0:
        problems.append(f"a finished store: {ended.code}, {ended.said.strip().splitlines()[-1:]}")
    problems += unlike(folder, reference)
    victim = next((folder / "store" / "artefacts").glob("??/*"))
    shutil.rmtree(victim)
    ended = Driver(folder, before=mounting).end()
    last = ended.said.strip().splitlines()[-1:]
    if ended.code != 2 or "read-only file system" not in str(last):
        problems.append(f"an unfinished store: {ended.code}, {last}")
    problems += finish(folder, reference)
    return Outcome("read-only store", 2, 2 if not problems else 0, 1, "", tuple(problems))


def damage(
    folder: Path, finished: Path, reference: Mapping[str, str], num_files: int, rng: random.Random
) -> tuple[Outcome, Outcome]:
    """Truncated files, which the next run finds; flipped bits, which `outshine verify --mend` finds."""
    return (
        _damaged("truncated files", folder / "cut", finished, reference, num_files, rng, flip=False),
        _damaged("flipped bits", folder / "flipped", finished, reference, num_files, rng, flip=True),
    )


def _damaged(
    name: str, folder: Path, finished: Path, reference: Mapping[str, str], count: int, rng: random.Random, *, flip: bool
) -> Outcome:
    folder.mkdir(parents=True)
    shutil.copytree(finished / "store", folder / "store")
    files = sorted(path for path in (folder / "store" / "artefacts").rglob("*") if path.is_file())
    candidates = [path for path in files if path.stat().st_size]
    chosen: dict[Path, Path] = {}  # by artefact: one file each, so that each counts
    for path in rng.sample(candidates, len(candidates)):
        chosen.setdefault(next(p for p in path.parents if len(p.name) == 64), path)
    victims = list(chosen.values())[:count]
    for path in victims:
        (flip_bit if flip else cut)(path, rng)
    problems: list[str] = []
    found = len(victims)
    if flip:
        told = outshine("verify", "--store", str(folder / "store"))
        found = sum("has changed" in line or "is unreadable" in line for line in told.stdout.splitlines())
        if told.returncode != 1:
            problems.append(f"verify ended with {told.returncode}")
        outshine("verify", "--mend", "--store", str(folder / "store"))
    ended = Driver(folder).end()
    if ended.code != 0:
        problems.append(f"the next run ended with {ended.code}: {ended.said.strip().splitlines()[-1:]}")
    problems += unlike(folder, reference)
    again = outshine("verify", "--store", str(folder / "store"))
    if again.returncode != 0:
        problems.append(f"verify afterwards: {again.stdout.strip().splitlines()[:3]}")
    aside = len(list((folder / "store" / "damaged").iterdir()))
    return Outcome(name, len(victims), min(found, aside), aside, "", tuple(problems))


def cut(path: Path, rng: random.Random) -> None:
    """Keep the beginning of a file."""
    whole = path.read_bytes()
    path.write_bytes(whole[: rng.randrange(len(whole))])


def flip_bit(path: Path, rng: random.Random) -> None:
    """Turn one bit of a file round."""
    whole = bytearray(path.read_bytes())
    whole[rng.randrange(len(whole))] ^= 1 << rng.randrange(8)
    path.write_bytes(bytes(whole))
