"""Passes through a model that are captured as CUDA graphs and replayed: one launch in place of thousands.

A pass through a small batch issues so many kernels that a GPU waits for the host most of the time. A graph holds them
all, but for tensors of one size at one place in memory: what changes from batch to batch is copied there. So batches
are rounded up to a few sizes, and a size is captured once it has occurred often enough to repay it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Hashable, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple, TypeAlias

import torch
from jaxtyping import Float
from torch import Tensor, nn

from outshine.learn.out_of_memory import is_out_of_memory
from outshine.learn.spec import Full

if TYPE_CHECKING:
    from outshine.learn.packing import Packable

EAGER_PASSES = 2  # of a size before it is captured, which takes about as long as one of them
MOST_CAPTURED = 64  # sizes: each graph keeps the list of its kernels
Run = Callable[..., Tensor]  # the model on some tensors: its log-odds


class Captured(NamedTuple):
    """What a function computed, to be computed again from what then is in the tensors that it read."""

    outputs: Sequence[Tensor | None]  # at the same place in memory after each replay
    replay: Callable[[], object]


Capture: TypeAlias = Callable[[Callable[[], Sequence[Tensor | None]]], Captured]


def cuda_capture() -> Capture:
    """Return a function that captures what another computes on the GPU. All graphs share memory for what is in between.

    So they are to be replayed one after the other, the backward pass of each directly after its forward pass.
    """
    pool = torch.cuda.graph_pool_handle()

    def capture(run: Callable[[], Sequence[Tensor | None]]) -> Captured:
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph, pool=pool):
            outputs = run()
        return Captured(outputs, graph.replay)

    return capture


class CudaGraphs:
    """The captured passes of one model, by the sizes of what goes into them.

    Where capturing fails, passes are issued kernel by kernel from then on, and `note` is told once.
    """

    def __init__(self, capture: Capture, note: Callable[[str], object] = lambda message: None) -> None:
        self.captured: dict[Hashable, _Pass] = {}
        self._capture = capture
        self._note = note
        self._seen: Counter[Hashable] = Counter()
        self._works = True

    def log_odds(
        self, size: Hashable, run: Run, inputs: Sequence[Tensor], leaves: Sequence[nn.Parameter]
    ) -> Float[Tensor, "m n *k"]:
        """Return what `run` gives for these tensors, which are as large in every pass of this size.

        Where gradients are enabled the result can be differentiated by the leaves, until the next pass.
        """
        key = (size, torch.is_grad_enabled())
        if key not in self.captured:
            self._seen[key] += 1
            if not self._works or self._seen[key] <= EAGER_PASSES or len(self.captured) >= MOST_CAPTURED:
                return run(*inputs)
            try:
                self.captured[key] = _Pass(run, inputs, leaves, self._capture)
            except Exception as error:  # what cannot be captured raises anything, a stranger's model also its own
                self.clear()
                reason = (str(error).strip().splitlines() or [type(error).__name__])[0]
                reason = "out of memory" if is_out_of_memory(error) else reason
                self._note(f"passes are not captured as CUDA graphs, which makes small batches slower ({reason})")
                return run(*inputs)
        captured = self.captured[key]
        return _Replay.apply(captured, inputs, *leaves) if torch.is_grad_enabled() else captured.forward(inputs)

    def clear(self) -> None:
        """Give the memory back and capture no more: what is left is needed for the passes themselves."""
        self.captured.clear()
        self._works = False


def use_cuda_graphs(model: Packable, note: Callable[[str], object] = lambda message: None) -> None:
    """Have passes on a GPU rounded up to fixed sizes, captured and replayed.

    Not where texts may not share a batch, which then have no fixed sizes, nor where all weights are trained: a graph
    keeps the gradients of all leaves once more.
    """
    if model.device.type == "cuda" and model.sharing == "any" and not isinstance(model.spec.tuning, Full):
        model.graphs = CudaGraphs(cuda_capture(), note)


class _Pass:
    """A captured pass of one size: forward, and backward where gradients were enabled."""

    def __init__(self, run: Run, inputs: Sequence[Tensor], leaves: Sequence[nn.Parameter], capture: Capture) -> None:
        with torch.inference_mode(mode=False):  # tensors that may be written to later, whatever the mode is then
            self._inputs = [given.clone() for given in inputs]
        state: dict[str, Tensor] = {}

        def forward() -> list[Tensor]:
            state["z"] = run(*self._inputs)
            return [state["z"].detach()]

        def backward() -> Sequence[Tensor | None]:
            return torch.autograd.grad(state["z"], leaves, self._of_z, allow_unused=True)

        self._forward = capture(forward)
        self._backward: Captured | None = None
        if torch.is_grad_enabled():
            self._of_z = torch.zeros_like(state["z"])
            self._backward = capture(backward)

    def forward(self, inputs: Sequence[Tensor]) -> Tensor:
        """Return the log-odds; what the backward pass needs lies where the next pass of any size overwrites it."""
        for place, given in zip(self._inputs, inputs, strict=True):
            place.copy_(given)
        self._forward.replay()
        (z,) = self._forward.outputs
        assert z is not None
        return z.clone()

    def backward(self, of_z: Tensor) -> list[Tensor | None]:
        """Return the gradients by the leaves of the pass that was replayed last."""
        assert self._backward is not None
        self._of_z.copy_(of_z)
        self._backward.replay()
        return [None if part is None else part.clone() for part in self._backward.outputs]


class _Replay(torch.autograd.Function):
    """A captured pass as a function of the leaves."""

    @staticmethod
    def forward(ctx: Any, captured: _Pass, inputs: Sequence[Tensor], *leaves: Tensor) -> Tensor:
        ctx.captured = captured
        return captured.forward(inputs)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        return None, None, *ctx.captured.backward(gradients[0])
