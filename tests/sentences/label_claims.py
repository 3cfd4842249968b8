"""What `label` can say."""

from __future__ import annotations

from claim import Claim

MODULES: tuple[str, ...] = ()
CLAIMS: tuple[Claim, ...] = ()
