"""The control that fits a probe on ground truth: how salient is the task to the pretrained strong model?"""

from __future__ import annotations

from typing import ClassVar

from pydantic import model_validator

from outshine.learn.probes.logistic import Logistic
from outshine.w2s.methods.base import Lab, methods
from outshine.w2s.methods.layer import LayerMethod
from outshine.w2s.methods.probe import ProbeChoice, refuse_loss
from outshine.w2s.stages.predictor import Predictor


@methods.register("truth_probe")
class TruthProbe(LayerMethod):
    """Fit a probe on the strong model's activations to ground truth of strong_train. A baseline, not a method."""

    title: ClassVar[str] = "a control: a probe on the strong model's activations, fitted to ground truth"

    probe: ProbeChoice = Logistic()

    @model_validator(mode="after")
    def _no_loss(self) -> TruthProbe:
        refuse_loss(self)
        return self

    def predictors(self, lab: Lab) -> tuple[Predictor, ...]:
        return (lab.truth_probing(self.probe, self.layer_of(lab)),)
