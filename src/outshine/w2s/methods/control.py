"""Students of control labels, which lack one property of weak labels."""

from __future__ import annotations

from typing import Any, ClassVar, Literal

from pydantic import Field

from outshine.w2s.lab import Lab, Wiring
from outshine.w2s.methods.base import Method, methods
from outshine.w2s.stages.control import Constant, ControlLabels, FairCoins, NoiseMatched, Shuffled


@methods.register("control")
class Control(Method):
    """Train the student on labels that keep one property of p_weak and lose the rest.

    shuffled: p_weak permuted over all rows; constant: its mean; random: fair coins; noise_matched: p_weak permuted
    within each true class, hence labels as good as the weak ones with errors that do not depend on the text.
    """

    title: ClassVar[str] = "a control: student trained on shuffled, constant, random or noise-matched labels"

    labels: Literal["shuffled", "constant", "random", "noise_matched"] = Field(
        description="which property of the weak labels is kept"
    )

    def wire(self, lab: Lab) -> Wiring:
        return lab.wiring(lab.control(self._labels(lab), self.loss))

    def _labels(self, lab: Lab) -> ControlLabels:
        fields: dict[str, Any] = {"texts": lab.texts, "weak": lab.weak_labels, "seed": lab.seed}
        if self.labels == "noise_matched":
            return NoiseMatched(**fields, truth=lab.truth)
        return {"shuffled": Shuffled, "constant": Constant, "random": FairCoins}[self.labels](**fields)
