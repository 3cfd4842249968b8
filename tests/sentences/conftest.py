"""Makes the builders of other tests' rows known to the lists of sentences."""

from __future__ import annotations

import sys
from pathlib import Path

sys.path[:0] = [str(Path(__file__).resolve().parents[1] / room) for room in ("data/audit", "data")]
