"""Unfinished work of several processes in one folder: whose it is, and who is dead."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from outshine.engine.files import left_behind, remove_of_dead, scratch_path
from outshine.engine.store.store import open_store

OWNER = """
import sys, time
from pathlib import Path
from outshine.engine.files import scratch_path
with scratch_path(Path(sys.argv[1]), "key") as place:
    place.mkdir()
    print("made", flush=True)
    time.sleep(60)
"""


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="whether a dead process was waited for: by /proc")
def test_what_a_killed_process_had_is_left_behind_before_its_parent_has_waited_for_it(tmp_path: Path):
    with subprocess.Popen([sys.executable, "-c", OWNER, str(tmp_path)], stdout=subprocess.PIPE, text=True) as owner:
        assert owner.stdout is not None
        assert owner.stdout.readline() == "made\n"
        assert left_behind(tmp_path, "key") == []
        owner.kill()
        deadline = time.monotonic() + 30
        while not left_behind(tmp_path, "key") and time.monotonic() < deadline:
            time.sleep(0.01)
        assert left_behind(tmp_path, "key") == list(tmp_path.iterdir()) != []
        assert owner.returncode is None  # nobody has asked how it ended
        no_owner, other_key = tmp_path / "an-older-version", tmp_path / "other.json"
        no_owner.touch()
        other_key.touch()
        with scratch_path(tmp_path, "mine") as mine:
            mine.mkdir()
            remove_of_dead(tmp_path)
            assert sorted(tmp_path.iterdir()) == sorted([mine, no_owner, other_key])


def test_a_store_below_a_url_is_rid_of_what_the_dead_left_among_its_local_copies(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr("outshine.engine.files._is_alive", lambda process: process != 4_000_000)
    backend = open_store((tmp_path / "store").as_uri(), cache=tmp_path / "cache").backend
    with scratch_path(backend.root / "tmp", "a" * 64) as mine:
        mine.mkdir(parents=True)
        dead, living = (mine.with_name(mine.name.replace(str(os.getpid()), number)) for number in ("4000000", "1"))
        dead.mkdir()
        living.mkdir()
        backend.prepare()
        assert set(mine.parent.iterdir()) == {mine, living}
