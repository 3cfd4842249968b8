"""The probe of logistic regression on soft labels."""

from __future__ import annotations

from typing import ClassVar

import torch
from jaxtyping import Float
from pydantic import Field, PositiveFloat
from torch import Tensor

from outshine.data.task import EVERY_OUTCOME
from outshine.learn.probes.base import FittedProbe, Labelled, Predicted, Probe, probes
from outshine.learn.probes.newton import Features, minimise, minimise_softmax

ROWS = 1024  # converted to float64 at once


class FittedLogistic(FittedProbe):
    """A direction in activation space and an offset, or one of each class, for raw activations, in float64."""

    def __init__(self, weight: Float[Tensor, "d *k"], bias: Float[Tensor, "*k"]) -> None:
        self.weight = weight
        self.bias = bias

    def predict(self, acts: Float[Tensor, "m d"]) -> Predicted:
        log_odds = [part.double() @ self.weight + self.bias for part in acts.split(ROWS)]
        return Predicted.of_log_odds(torch.cat(log_odds))


@probes.register("logistic")
class Logistic(Probe):
    """argmin over (w, b) of mean CE(σ(x·w + b), p_weak) + penalty·|w|²; the bias is not penalised.

    Equals scikit-learn's LogisticRegression with C = 1 / (2 N penalty), soft labels given there as
    duplicated rows of weights p and 1 − p. Source: the post, "Probe predictions".

    K classes: argmin of mean CE(softmax(xW + b), p_weak) + 2·penalty·Σₖ|wₖ|² (Σₖ wₖ = 0 at the minimum), which for two
    classes is the above with w = w₁ − w₀. Equals scikit-learn's with C = 1 / (4 N penalty).
    """

    title: ClassVar[str] = "penalised logistic regression on the soft weak labels"
    outcomes: ClassVar[tuple[str, ...]] = EVERY_OUTCOME

    penalty: PositiveFloat = Field(default=1e-2, description="λ of λ|w|², beside the mean cross-entropy")
    standardize: bool = Field(default=False, description="divide each dimension by its deviation first")

    def fit(self, rows: Labelled) -> FittedLogistic:
        """Raise TrainingError where no minimum is reached."""
        features = Features(rows.acts, self.standardize)
        if rows.p_weak.dim() > 1:
            t = minimise_softmax(features, rows.p_weak, 2 * self.penalty)
            weight = t[:-1] / features.scale[:, None]
            return FittedLogistic(weight, t[-1] - features.mean @ weight)
        t = minimise(features, rows.p_weak, self.penalty)
        weight = t[:-1] / features.scale
        return FittedLogistic(weight, t[-1] - features.mean.dot(weight))
