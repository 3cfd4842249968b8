"""The controls that a study runs when it is only told to have controls."""

from __future__ import annotations

from outshine.methods.base import Method
from outshine.methods.control import Control
from outshine.methods.truth_probe import TruthProbe
from outshine.methods.weak_to_weak import WeakToWeak


def all_controls() -> tuple[Method, ...]:
    """Every control and baseline: what labels, smoothing and salience explain by themselves."""
    return (
        Control(labels="shuffled"),
        Control(labels="constant"),
        Control(labels="random"),
        Control(labels="noise_matched"),
        WeakToWeak(),
        TruthProbe(layer="1/4"),
        TruthProbe(layer="1/2"),
        TruthProbe(layer="3/4"),
        TruthProbe(layer="last"),
    )
