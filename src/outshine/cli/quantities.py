"""Sizes and ages as people write and read them."""

from __future__ import annotations

import re
from datetime import timedelta

from outshine.core.errors import SettingsError

_SIZES = {"": 1, "b": 1, "kb": 1000, "mb": 1000**2, "gb": 1000**3, "tb": 1000**4}
_SIZES |= {"kib": 2**10, "mib": 2**20, "gib": 2**30, "tib": 2**40}
_AGES = {"m": timedelta(minutes=1), "h": timedelta(hours=1), "d": timedelta(days=1), "w": timedelta(weeks=1)}
_QUANTITY = re.compile(r"(\d{1,12}(?:\.\d{1,6})?)\s*([A-Za-z]*)")


def size_text(num_bytes: float) -> str:
    """A number of bytes in a few characters."""
    for unit in ("B", "kB", "MB"):
        if num_bytes < 1000:
            return f"{num_bytes:.0f} {unit}"
        num_bytes /= 1000
    return f"{num_bytes:.1f} GB"


def parse_size(text: str, option: str) -> int:
    """The bytes that `10GB` or `512MiB` are. Raises SettingsError."""
    found = _QUANTITY.fullmatch(text.strip())
    if not found or found[2].lower() not in _SIZES:
        raise SettingsError(f"{option} {text}: a size is expected, such as 500MB or 10GB")
    return int(float(found[1]) * _SIZES[found[2].lower()])


def parse_age(text: str, option: str) -> timedelta:
    """The time that `30d`, `12h` or `2w` are. Raises SettingsError."""
    found = _QUANTITY.fullmatch(text.strip())
    try:
        if found and found[2].lower() in _AGES:
            return float(found[1]) * _AGES[found[2].lower()]
    except OverflowError:
        pass
    raise SettingsError(f"{option} {text}: an age is expected, such as 12h, 30d or 2w")
