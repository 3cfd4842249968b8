"""Class balance and lengths."""

from __future__ import annotations

import pytest
from planted import small_corpus

from outshine.data.audit.audit import class_balance, long_texts


def test_balance_names_the_skewed_splits():
    rows = [(split, f"{split} {i}", i < 3) for split in ("test", "val") for i in range(6)]
    assert class_balance(small_corpus(rows)).severity == "passed"
    rows += [("test", f"more {i}", True) for i in range(6)]
    finding = class_balance(small_corpus(rows))
    assert finding.severity == "cue"
    assert finding.value == pytest.approx(9 / 12)
    assert "test 75.0%" in finding.message
    assert "val" not in finding.message


def test_long_texts_are_estimated_by_characters():
    rows = [("test", "x" * 4100, True), *[("val", "y" * (2000 + i), False) for i in range(3)]]
    finding = long_texts(small_corpus(rows))
    assert finding.value == 0.25
    assert finding.severity == "cue"
    assert "25.0% over 512, 25.0% over 1,024" in finding.message
