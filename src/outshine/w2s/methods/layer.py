"""Base class of methods that look at activations of one layer of the strong model."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, NonNegativeInt

from outshine.w2s.methods.base import Lab, Method

Layer = Annotated[
    NonNegativeInt | Literal["1/4", "1/2", "3/4", "last"],
    Field(description="blocks passed (0: embeddings), or 1/4, 1/2, 3/4, last"),
]


class LayerMethod(Method):
    """A method that looks at activations of one layer of the pretrained strong model.

    Attributes:
        layer: Number of blocks passed (0: the embeddings), or 1/4, 1/2, 3/4, last.
    """

    layer: Layer = "1/2"

    def layers(self, lab: Lab) -> tuple[int, ...]:
        """Return the one layer that the method looks at.

        Args:
            lab: One dataset and one seed.

        Returns:
            A tuple of one number of blocks.

        Raises:
            SettingsError: The strong model has no such layer.
        """
        return (self.layer_of(lab),)

    def layer_of(self, lab: Lab) -> int:
        """Return the setting `layer` as a number of blocks.

        Args:
            lab: One dataset and one seed.

        Returns:
            Blocks passed. Fractions are of all blocks, rounded down, and one block at least.

        Raises:
            SettingsError: The strong model has no such layer.
        """
        if isinstance(self.layer, int):
            return lab.check_layer(self.layer)
        whole = lab.strong.classifier.num_layers
        quarters = {"1/4": 1, "1/2": 2, "3/4": 3, "last": 4}[self.layer]
        return max(1, quarters * whole // 4)  # embeddings are looked at only where they are asked for
