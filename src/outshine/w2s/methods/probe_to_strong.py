"""The method that trains a student on a probe's labels."""

from __future__ import annotations

from typing import ClassVar

from pydantic import Field, NonNegativeInt

from outshine.learn.probes.logistic import Logistic
from outshine.w2s.lab import Lab, Wiring
from outshine.w2s.methods.base import LayerMethod, methods
from outshine.w2s.methods.probe import ProbeChoice
from outshine.w2s.stages.predictor import Relabelled


@methods.register("probe_to_strong")
class ProbeToStrong(LayerMethod):
    """Replace p_weak on strong_train by a probe's predictions, then train the student.

    Source: the post, "Probe-to-strong training".
    """

    title: ClassVar[str] = "student trained on the labels of a probe"

    probe: ProbeChoice = Logistic()
    cross_fit: NonNegativeInt = Field(default=0, description="folds, that no probe predict rows it saw; 0: in-sample")
    relabel_val: bool = Field(default=False, description="val takes the probe's labels too")

    def wire(self, lab: Lab) -> Wiring:
        probing = lab.probing(self.probe, self.layer_of(lab), self.cross_fit)
        labels = Relabelled(weak=lab.weak_labels, by=probing, relabel_val=self.relabel_val)
        return lab.wiring(lab.student(labels, self.loss))
