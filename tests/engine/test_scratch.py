"""Unfinished work of several processes in one folder: whose it is, and who is dead."""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path

import pytest

from outshine.engine.files import left_behind

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
