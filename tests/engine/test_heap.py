"""Freed memory that goes back to the operating system."""

from __future__ import annotations

import subprocess
import sys

import pytest

from outshine.engine import threads

FRAGMENTED = """
from outshine.engine.threads import malloc_trim

def resident():
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * 4096

blocks = [bytes([1]) * 16_000 for _ in range(10_000)]
last = blocks[-1]  # at the end of the heap: what lies before it cannot be cut off
whole = resident()
del blocks
kept = resident()
malloc_trim()
print(whole - kept, kept - resident(), len(last))
"""


@pytest.mark.skipif(threads._trim() is None, reason="this C library has no malloc_trim")
def test_what_was_freed_below_something_that_lives_goes_back() -> None:
    ran = subprocess.run([sys.executable, "-c", FRAGMENTED], capture_output=True, text=True, check=True)
    by_itself, given_back, lives = map(int, ran.stdout.split())
    assert by_itself < 40e6
    assert given_back > 120e6
    assert lives == 16_000


def test_another_c_library_is_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ctypes.CDLL", lambda name: object())
    threads._trim.cache_clear()
    try:
        assert threads._trim() is None
        threads.malloc_trim()
    finally:
        threads._trim.cache_clear()
