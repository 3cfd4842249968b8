"""The method that takes a probe in place of a student."""

from __future__ import annotations

from typing import Annotated, ClassVar, Self

from pydantic import BeforeValidator, Field, SerializeAsAny, model_validator

from outshine.engine.errors import SettingsError
from outshine.learn.probes.base import Probe, probes
from outshine.learn.probes.logistic import Logistic
from outshine.w2s.lab import Lab, Wiring
from outshine.w2s.methods.base import LayerMethod, methods

ProbeChoice = Annotated[
    SerializeAsAny[Probe], BeforeValidator(probes.parse), Field(description="knn, logistic or {kind: ..., ...}")
]


@methods.register("probe")
class ProbeMethod(LayerMethod):
    """Fit a probe on the pretrained strong model's activations with p_weak and score it; nothing is fine-tuned.

    Source: the post, "Probe predictions".
    """

    title: ClassVar[str] = "a probe on the strong model's activations, fitted to the weak labels"

    probe: ProbeChoice = Logistic()

    @model_validator(mode="after")
    def _no_loss(self) -> Self:
        if self.loss is not None:
            raise SettingsError(f"method '{self.kind}' trains no student, so it takes no loss; probe_to_strong does")
        return self

    def wire(self, lab: Lab) -> Wiring:
        return lab.wiring(lab.probing(self.probe, self.layer_of(lab)))
