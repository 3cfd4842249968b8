"""Strong-to-strong training."""

from __future__ import annotations

from typing import ClassVar

from pydantic import Field, PositiveInt

from outshine.w2s.lab import Lab, Wiring
from outshine.w2s.methods.base import Method, methods


@methods.register("strong_to_strong")
class StrongToStrong(Method):
    """Train a fresh student on the previous student's predictions, `rounds` times; round 0 is vanilla.

    Both strong_train and val carry the previous student's labels. Source: the post, "Strong-to-Strong Training".
    """

    title: ClassVar[str] = "fresh students, each trained on the labels of the one before"

    rounds: PositiveInt = Field(default=2, description="students after the first")

    def wire(self, lab: Lab) -> Wiring:
        students = [lab.student(lab.weak_labels, self.loss)]
        for _ in range(self.rounds):
            students.append(lab.student(students[-1], self.loss))
        return lab.wiring(*students)
