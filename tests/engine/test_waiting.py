"""Threads that wait asleep: set before torch is imported, by the command, in Python and in workers; else said."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from outshine.engine import threads as waiting

TWO_TURNS = """
import sys
import outshine; outshine.run
from outshine.data.schema import recipes
from outshine.data.splits import SplitSettings
from outshine.engine.progress import Silent
from outshine.engine.run.local import LocalExecutor
from outshine.engine.runtime import Runtime
from outshine.engine.store.store import Store
from outshine.w2s.stages.prepare import Prepare
progress = Silent()
prepare = Prepare.of(recipes.parse("tiny-home"), SplitSettings(n_train=64, n_val=20, n_test=20))
for turn in "ab":
    LocalExecutor(Store(sys.argv[1] + turn), Runtime(threads=2), progress).run([prepare])
print(*progress.notes)
"""


def python(code: str, *arguments: str, **variables: str) -> subprocess.CompletedProcess[str]:
    """A fresh interpreter, in whose environment no policy is set but the given."""
    inherited = {name: value for name, value in os.environ.items() if name != waiting.POLICY}
    return subprocess.run(
        [sys.executable, "-c", code, *arguments],
        env={**inherited, **variables},
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.mark.slow
@pytest.mark.parametrize("first", ["import outshine.cli.main", "import outshine; outshine.run"])
def test_the_policy_is_set_before_torch_is_imported(first):
    watch = (
        "import os, sys\n"
        "class Watch:\n"
        "    def find_spec(self, name, path=None, target=None):\n"
        f"        if name == 'torch': print(os.environ.get('{waiting.POLICY}'))\n"
        "sys.meta_path.insert(0, Watch())\n"
    )
    assert python(f"{watch}{first}; import torch").stdout.split() == ["PASSIVE"]


@pytest.mark.slow
def test_a_policy_of_the_users_own_stays():
    code = f"import outshine; outshine.run; import os; print(os.environ['{waiting.POLICY}'])"
    assert python(code, OMP_WAIT_POLICY="ACTIVE").stdout.split() == ["ACTIVE"]


def test_importing_outshine_alone_sets_nothing():
    assert python(f"import outshine, os; print('{waiting.POLICY}' in os.environ)").stdout.split() == ["False"]


@pytest.mark.slow
@pytest.mark.parametrize("early", [True, False])
def test_where_torch_was_there_first_a_note_says_so_once(early, tmp_path):
    done = python(f"{'import torch' if early else ''}{TWO_TURNS}", str(tmp_path))
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("set OMP_WAIT_POLICY=PASSIVE") == (1 if early else 0)


def test_workers_of_this_machine_get_it(monkeypatch):
    from outshine.engine.run.processes import environment_of
    from outshine.engine.runtime import Runtime

    monkeypatch.delenv(waiting.POLICY, raising=False)
    assert environment_of(0, Runtime(device="cpu", threads=1))[waiting.POLICY] == "PASSIVE"
    monkeypatch.setenv(waiting.POLICY, "ACTIVE")
    assert environment_of(0, Runtime(device="cpu", threads=1))[waiting.POLICY] == "ACTIVE"
