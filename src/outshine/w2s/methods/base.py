"""Base classes of methods, which wire stages, and the registry of methods."""

from __future__ import annotations

from abc import abstractmethod
from typing import Annotated, ClassVar, Literal

from pydantic import BeforeValidator, Field, NonNegativeInt, SerializeAsAny

from outshine.data.task import EVERY_OUTCOME
from outshine.engine.registry import Registry
from outshine.engine.settings import Plugin
from outshine.learn.losses.base import Loss, losses
from outshine.w2s.lab import Lab, Wiring

LossChoice = Annotated[SerializeAsAny[Loss], BeforeValidator(losses.parse)]
Layer = Annotated[
    NonNegativeInt | Literal["1/4", "1/2", "3/4", "last"],
    Field(description="blocks passed (0: embeddings), or 1/4, 1/2, 3/4, last"),
]


def _optional_loss(value: object) -> Loss | None:
    return None if value is None else losses.parse(value)


class Method(Plugin):
    """How weak labels become a student, or another predictor: fields are settings.

    A field may be a model (`other: ModelSettings`). It is found and pinned when the study is resolved, and
    `lab.tuned(self.other)` is then ready to be trained.

    Attributes:
        title: What it is, in a few words, for listings.
        outcomes: The kinds of labels that it can work with, as `outshine.data.task.Task.outcome` names them.
        loss: The students' loss. None: the study's.
    """

    title: ClassVar[str] = ""
    outcomes: ClassVar[tuple[str, ...]] = EVERY_OUTCOME

    loss: Annotated[SerializeAsAny[Loss] | None, BeforeValidator(_optional_loss)] = Field(
        default=None, description="the students' loss; None: the study's"
    )

    @abstractmethod
    def wire(self, lab: Lab) -> Wiring:
        """Wire the students or probes of this method.

        Args:
            lab: One dataset and one seed.

        Returns:
            The students or probes, and the weak labels that the last of them is measured from: `lab.wiring(student)`
            where these are the study's.
        """


class LayerMethod(Method):
    """A method that looks at activations of one layer of the pretrained strong model.

    Attributes:
        layer: Number of blocks passed (0: the embeddings), or 1/4, 1/2, 3/4, last.
    """

    layer: Layer = "1/2"

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


methods: Registry[Method] = Registry("method", "methods", Method, "outshine.w2s.methods")
