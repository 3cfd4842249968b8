"""A stand-in that does on a CPU what a CUDA graph does.

A replay computes anew from what then lies in the tensors that were read when it was captured, writes to the tensors that
were written then, and knows nothing of its caller.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch

from outshine.learn.cuda_graphs import Captured


class PlainCapture:
    """Counts captures and replays; each replay overwrites what the others left, for graphs share memory."""

    def __init__(self) -> None:
        self.captured = self.replayed = 0
        self._outputs: list[list[torch.Tensor | None]] = []

    def __call__(self, compute: Callable[[], Sequence[torch.Tensor | None]]) -> Captured:
        self.captured += 1
        enabled, inference = torch.is_grad_enabled(), torch.is_inference_mode_enabled()
        computed = compute()
        with torch.inference_mode(mode=False):
            places = [None if found is None else found.clone() for found in computed]
        self._outputs.append(places)

        def replay() -> None:
            self.replayed += 1
            with torch.inference_mode(inference), torch.set_grad_enabled(enabled):
                found = compute()
            with torch.no_grad():
                for others in self._outputs:  # graphs share memory: what another left is gone
                    for place in others:
                        if place is not None:
                            place.fill_(torch.nan)
                for place, value in zip(places, found, strict=True):
                    if place is not None:
                        place.copy_(value)

        return Captured(places, replay)
