"""The filter that drops rows whose weak label a probe contradicts."""

from __future__ import annotations

from typing import Annotated, ClassVar

import torch
from pydantic import BeforeValidator, Field, SerializeAsAny

from outshine.data.task import EVERY_OUTCOME
from outshine.learn.filters.base import Filter, Filtered, disagreement, drop_highest, filters, num_dropped
from outshine.learn.probes.base import Labelled, Probe, probes
from outshine.learn.probes.knn import KNN

ProbeChoice = Annotated[SerializeAsAny[Probe], BeforeValidator(probes.parse)]


@filters.register("probe_disagreement")
class ProbeDisagreement(Filter):
    """Drop the rows where |probe − p_weak| is largest; ties by id. Source: the post, "Data filtration".

    K classes: where ½ Σₖ |probeₖ − p_weakₖ| is.
    """

    title: ClassVar[str] = "drop the rows on which a probe disagrees most with the weak label"
    outcomes: ClassVar[tuple[str, ...]] = EVERY_OUTCOME

    probe: ProbeChoice = Field(default=KNN(), description="the probe, fitted on the training rows")

    def keep(self, rows: Labelled, drop: float, train: Labelled) -> Filtered:
        count = num_dropped(len(rows.ids), drop)
        fitted = self.probe.fit(train)
        predicted = fitted.predict_own(rows) if rows is train else fitted.predict(rows.acts)
        everyone = torch.ones_like(rows.hard, dtype=torch.bool)
        return Filtered(drop_highest(disagreement(predicted.p, rows.p_weak), everyone, count))
