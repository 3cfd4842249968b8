"""Methods that look at activations: which layer of the strong model."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, NonNegativeInt

from outshine.w2s.methods.base import Lab, Method

Layer = Annotated[
    NonNegativeInt | Literal["1/4", "1/2", "3/4", "last"],
    Field(description="blocks passed (0: embeddings), or 1/4, 1/2, 3/4, last"),
]


class LayerMethod(Method):
    """A method with a `layer` of the pretrained strong model."""

    layer: Layer = "1/2"

    def layers(self, lab: Lab) -> tuple[int, ...]:
        return (self.layer_of(lab),)

    def layer_of(self, lab: Lab) -> int:
        """The layer as a number of blocks. Raises SettingsError where the model has no such layer."""
        if isinstance(self.layer, int):
            return lab.check_layer(self.layer)
        whole = lab.strong.classifier.num_layers
        quarters = {"1/4": 1, "1/2": 2, "3/4": 3, "last": 4}[self.layer]
        return max(1, quarters * whole // 4)  # embeddings are looked at only where they are asked for
