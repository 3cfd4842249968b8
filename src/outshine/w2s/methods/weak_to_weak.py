"""The control that trains a student of the supervisor's own model."""

from __future__ import annotations

from typing import ClassVar

from outshine.engine.errors import SettingsError
from outshine.w2s.lab import Lab, Wiring
from outshine.w2s.methods.base import Method, methods


@methods.register("weak_to_weak")
class WeakToWeak(Method):
    """Train the weak model itself on the weak labels: what smoothing by another run recovers without a strong model."""

    title: ClassVar[str] = "a control: the supervisor's own model trained on the weak labels"

    def wire(self, lab: Lab) -> Wiring:
        if lab.weak is None:
            raise SettingsError("weak_to_weak needs a weak model; weak labels from a file have none")
        return lab.wiring(lab.student(lab.weak_labels, self.loss, model=lab.weak))
