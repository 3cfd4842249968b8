"""The method that takes a probe in place of a student."""

from __future__ import annotations

from typing import Annotated, ClassVar

from pydantic import BeforeValidator, Field, SerializeAsAny, model_validator

from outshine.engine.errors import SettingsError
from outshine.learn.probes.base import Probe, probes
from outshine.learn.probes.logistic import Logistic
from outshine.w2s.methods.base import Lab, Method, methods
from outshine.w2s.methods.layer import LayerMethod
from outshine.w2s.stages.predictor import Predictor

ProbeChoice = Annotated[
    SerializeAsAny[Probe], BeforeValidator(probes.parse), Field(description="knn, logistic or {kind: ..., ...}")
]


def refuse_loss(method: Method) -> None:
    """Raise SettingsError where a method that trains no student was given a loss."""
    if method.loss is not None:
        raise SettingsError(f"method '{method.kind}' trains no student, so it takes no loss; probe_to_strong does")


@methods.register("probe")
class ProbeMethod(LayerMethod):
    """Fit a probe on the pretrained strong model's activations with p_weak and score it; nothing is fine-tuned.

    Source: the post, "Probe predictions".
    """

    title: ClassVar[str] = "a probe on the strong model's activations, fitted to the weak labels"

    probe: ProbeChoice = Logistic()

    @model_validator(mode="after")
    def _no_loss(self) -> ProbeMethod:
        refuse_loss(self)
        return self

    def predictors(self, lab: Lab) -> tuple[Predictor, ...]:
        return (lab.probing(self.probe, self.layer_of(lab)),)
