"""What `make test-quick` runs: tests of every room, and none that needs Ray or an S3 server."""

from __future__ import annotations

import re
import subprocess
import sys
from collections import defaultdict

import pytest
from doc_pages import ROOT

ROOMS = sorted(path.parent.name for path in (ROOT / "src/outshine").glob("*/__init__.py"))


@pytest.fixture(scope="module")
def quick(request: pytest.FixtureRequest) -> list[str]:
    """The tests of the rooms that the make target chooses.

    Where this run has collected the tests of all rooms, of these; else collected in a process of their own, not run.
    """
    recipe = (ROOT / "Makefile").read_text(encoding="utf-8").partition("\ntest-quick:")[2].partition("\n\n")[0]
    (chosen,) = re.findall(r'-m "(.+?)"', recipe)
    assert chosen == "not slow"
    items = [
        item for item in request.session.items if item.nodeid.startswith(tuple(f"tests/{room}/" for room in ROOMS))
    ]
    if {item.nodeid.split("/")[1] for item in items} == set(ROOMS):
        return [item.nodeid for item in items if not item.get_closest_marker("slow")]
    command = [sys.executable, "-m", "pytest", "--collect-only", "-q", "-p", "no:cacheprovider", "-m", chosen]
    done = subprocess.run([*command, *(f"tests/{room}" for room in ROOMS)], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr
    return [line for line in done.stdout.splitlines() if "::" in line]


@pytest.mark.slow  # imports the tests of all rooms
def test_every_room_has_quick_tests(quick: list[str]) -> None:
    files = defaultdict(list)
    for test in quick:
        files[test.split("/")[1]].append(ROOT / test.partition("::")[0])
    assert {"engine", "learn", "cli"} <= set(ROOMS)
    for room in ROOMS:
        assert len(files[room]) >= 10, f"{room}: {len(files[room])} quick tests"
        imports = re.compile(rf"^from outshine\.{room}\b", re.MULTILINE)
        assert any(imports.search(file.read_text(encoding="utf-8")) for file in set(files[room])), room


@pytest.mark.slow
def test_no_quick_test_needs_ray_or_an_s3_server(quick: list[str]) -> None:
    """The suites whose tests run on each kind of store or of workers; worker processes are slow of any kind."""
    stores = [test for test in quick if "test_store_contract.py" in test]
    assert {"folder", "file"} == {kind for test in stores for kind in re.findall(r"\b(folder|file|s3)[\]-]", test)}
    assert [test for test in quick if "test_workers.py" in test] == []
