"""Named randomness: streams differ by name and by what they vary with, and are the same everywhere."""

from __future__ import annotations

import hashlib

from outshine.engine.rng import numpy_rng, python_rng, stream_seed


def test_a_seed_is_the_sha256_of_name_and_parts():
    expected = int.from_bytes(hashlib.sha256(b"head\x1f3").digest()[:8], "big") >> 1
    assert stream_seed("head", 3) == expected
    assert 0 <= expected < 2**63


def test_streams_differ_by_name_and_parts_and_do_not_run_together():
    seeds = {
        stream_seed("a", 1),
        stream_seed("a", 2),
        stream_seed("b", 1),
        stream_seed("a", 1, 1),
        stream_seed("a", 11),
    }
    assert len(seeds) == 5


def test_generators_repeat():
    assert python_rng("x", 1).random() == python_rng("x", 1).random()
    assert numpy_rng("x", 1).random() == numpy_rng("x", 1).random()
    assert python_rng("x", 1).random() != python_rng("x", 2).random()
