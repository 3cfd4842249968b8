"""What `compare`, and the page's part on comparisons, can say."""

from __future__ import annotations

from claim import Claim

MODULES: tuple[str, ...] = ()  # analysis/compare_words.py
CLAIMS: tuple[Claim, ...] = ()
