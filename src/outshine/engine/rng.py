"""Named, seeded random streams; there is no global random state."""

from __future__ import annotations

import hashlib
import random

import numpy as np


def stream_seed(stream: str, *parts: int | str) -> int:
    """A 63-bit seed from sha256 of the stream's name and what it varies with (a seed, an epoch, an id)."""
    text = "\x1f".join([stream, *map(str, parts)])
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big") >> 1


def python_rng(stream: str, *parts: int | str) -> random.Random:
    """A generator of Python's own for one stream."""
    return random.Random(stream_seed(stream, *parts))


def numpy_rng(stream: str, *parts: int | str) -> np.random.Generator:
    """A NumPy generator for one stream."""
    return np.random.default_rng(stream_seed(stream, *parts))
