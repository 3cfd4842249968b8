"""The method that trains a student on the rows that a filter keeps."""

from __future__ import annotations

from typing import Annotated, Any, ClassVar

from pydantic import BeforeValidator, Field, SerializeAsAny

from outshine.learn.filters.base import Filter, filters
from outshine.learn.filters.probe_disagreement import ProbeDisagreement
from outshine.learn.filters.topofilter import TopoFilter
from outshine.learn.probes.base import Probe, probes
from outshine.w2s.lab import Lab, Wiring
from outshine.w2s.methods.base import LayerMethod, methods
from outshine.w2s.stages.keep import Keep, Share


def _filter(value: Any) -> Any:
    """A filter, or a probe: that stands for disagreement with it."""
    name = value.get("kind") if isinstance(value, dict) else value
    if isinstance(value, Probe) or (isinstance(name, str) and name not in filters.names() and name in probes.names()):
        return ProbeDisagreement(probe=probes.parse(value))
    return filters.parse(value)


@methods.register("filtered")
class FilteredMethod(LayerMethod):
    """Drop the rows of strong_train whose weak labels a filter trusts least, then train the student on the rest.

    Source: the post, "Data filtration".
    """

    title: ClassVar[str] = "student trained on the rows that a filter keeps"

    filter: Annotated[SerializeAsAny[Filter], BeforeValidator(_filter)] = Field(
        default=TopoFilter(), description="topofilter, probe_disagreement, or a probe's name"
    )
    drop: Share = Field(default=0.1, description="share of rows that are dropped")
    filter_val: bool = Field(default=False, description="val is filtered too")

    def wire(self, lab: Lab) -> Wiring:
        keep = Keep(
            activations=lab.activations(self.layer_of(lab)),
            labels=lab.weak_labels,
            filter=self.filter,
            drop=self.drop,
            filter_val=self.filter_val,
        )
        return lab.wiring(lab.student(lab.weak_labels, self.loss, keep))
