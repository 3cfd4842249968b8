"""The control that fits a probe on ground truth: how salient is the task to the pretrained strong model?"""

from __future__ import annotations

from typing import ClassVar

from outshine.w2s.lab import Lab, Wiring
from outshine.w2s.methods.base import methods
from outshine.w2s.methods.probe import ProbeMethod


@methods.register("truth_probe")
class TruthProbe(ProbeMethod):
    """Fit a probe on the strong model's activations to ground truth of strong_train. A baseline, not a method."""

    title: ClassVar[str] = "a control: a probe on the strong model's activations, fitted to ground truth"

    def wire(self, lab: Lab) -> Wiring:
        return lab.wiring(lab.truth_probing(self.probe, self.layer_of(lab)))
