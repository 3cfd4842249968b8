"""Vanilla weak-to-strong training."""

from __future__ import annotations

from typing import ClassVar

from outshine.w2s.lab import Lab, Wiring
from outshine.w2s.methods.base import Method, methods


@methods.register("vanilla")
class Vanilla(Method):
    """Train the student on the supervisor's soft labels. Source: Burns et al., arXiv:2312.09390, section 3."""

    title: ClassVar[str] = "student trained on the weak labels as they are"

    def wire(self, lab: Lab) -> Wiring:
        return lab.wiring(lab.student(lab.weak_labels, self.loss))
