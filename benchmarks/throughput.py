"""Tokens and examples a second of training, evaluation and activations, beside what the machine multiplies.

Work by convention: 2N FLOPs a token forward and 4N in training with a frozen base (no gradients of its weights),
N the weights of the blocks' linear layers; adapters, attention, norms, head, embeddings and padding count as nothing.
A cohort's texts count once for each of its members.
The matmul rate is measured in the same process at the model's own layer shapes, in its dtype, with as many rows
as a micro-batch has tokens.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from itertools import count
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Literal

from benchmarks import material
from benchmarks.material import Shape

Dtype = Literal["auto", "float32", "bfloat16"]
_ORDERS = count()


def measure(shape: list[int], rows: int, repeats: int, compute_dtype: Dtype, members: int = 1) -> dict[str, Any]:
    """All figures of a model or a cohort; `rows` texts of SciQ's lengths, medians of `repeats` rounds in turns."""
    import torch

    from outshine.engine.runtime import Runtime
    from outshine.learn.batches import is_compute_bound
    from outshine.learn.classifier import Classifier, Cohort
    from outshine.learn.device import resolve_dtype
    from outshine.learn.load import load_backbone, load_tokenizer
    from outshine.learn.packing import start_packing
    from outshine.learn.resolve import resolve
    from outshine.learn.spec import ModelSettings
    from outshine.learn.tokenize import Text, encode

    sizes = Shape(*shape)
    cpu = torch.device("cpu")
    made = material.generated_rows(rows, material.SCIQ_TOKENS)
    with TemporaryDirectory() as folder:
        root = Path(folder)
        texts = [row["text"] for row in made]
        material.write_model(root / "model", sizes, texts)
        dtype = resolve_dtype(compute_dtype, cpu)
        resolved = resolve(ModelSettings(**material.settings_of(root / "model")), dtype)
        tokens = load_tokenizer(resolved.spec.model)
        ids = encode(tokens, [Text(text) for text in texts], resolved.spec.max_length).tokens
        base = load_backbone(resolved.spec, cpu)
        model = Classifier(base, resolved.spec, 0) if members == 1 else Cohort(base, resolved.spec, range(members))
    if is_compute_bound(model.head):  # as the runtime's default does
        start_packing(model, longest=max(map(len, ids)), dense=False)
    runtime = Runtime(device="cpu")
    own = runtime.budget("cpu")
    y = [float(row["label"]) for row in made]
    half = max(1, sizes.layers // 2)
    works: dict[str, tuple[float, int, Callable[[], object]]] = {
        "training": (4 * members, own.training, lambda: _train(model, ids, y, tokens.pad_id, runtime)),
        "evaluation": (2 * members, own.evaluation, lambda: _evaluate(model, ids, tokens.pad_id, runtime)),
    }
    if members == 1:  # activations are those of the base, which is read once for all
        read = lambda: _read(model.backbone, sizes, half, ids, tokens.pad_id, runtime)  # noqa: E731
        works[f"activations, layer {half}"] = (2 * half / sizes.layers, own.evaluation, read)
    total = sum(map(len, ids))
    seconds: dict[str, list[float]] = {name: [] for name in works}
    rates: dict[str, list[float]] = {name: [] for name in works}
    for turn in range(repeats + 1):
        for name, (_, budget, work) in works.items():
            rate, took = matmul_rate(sizes, budget, resolved.spec.compute_dtype), _timed(work)
            if turn:  # the first round warms up
                rates[name].append(rate)
                seconds[name].append(took)
    found = []
    for name, (per_weight, budget, _) in works.items():
        took, rate = statistics.median(seconds[name]), statistics.median(rates[name])
        done = per_weight * sizes.in_blocks * total / took
        found.append(
            {"work": name, "tokens_per_second": members * total / took, "examples_per_second": members * rows / took}
            | {"gflops": done / 1e9}
            | {"matmul_gflops": rate / 1e9, "share": done / rate, "token_budget": budget, "seconds": took}
        )
    return {
        "shape": sizes._asdict(),
        "members": members,
        "block_weights": sizes.in_blocks,
        "rows": rows,
        "mean_tokens": total / rows,
        "compute_dtype": resolved.spec.compute_dtype,
        "work": found,
    }


def matmul_rate(shape: Shape, tokens: int, dtype: str) -> float:
    """FLOP/s of bare matrix products x W over the linear layers of one block, x of `tokens` rows."""
    import torch

    number = getattr(torch, dtype)
    h, i = shape.hidden, shape.intermediate
    sizes = [(h, h)] * 4 + [(h, i)] * 2 + [(i, h)]
    inputs = {one: torch.randn(tokens, one).to(number) for one in (h, i)}
    weights = [torch.randn(out, into).to(number) for into, out in sizes]
    flops = sum(2 * tokens * into * out for into, out in sizes)

    def block() -> None:
        for weight in weights:
            torch.nn.functional.linear(inputs[weight.shape[1]], weight)

    with torch.inference_mode():
        block()
        once = _timed(block)
        times = max(1, round(0.1 / max(once, 1e-6)))
        began = time.perf_counter()
        for _ in range(times):
            block()
        return flops * times / (time.perf_counter() - began)


def _train(model: Any, ids: list[list[int]], y: list[float], pad_id: int, runtime: Any) -> None:
    """One epoch of each member without validation; every run has an order of its own, so that shapes are new."""
    import numpy as np

    from outshine.learn.batches import LabelledRows
    from outshine.learn.loop import RunEnv, TrainConfig, TrainJob, Validation, finetune_together
    from outshine.learn.losses import losses
    from outshine.learn.settings import TrainingSettings

    with TemporaryDirectory() as folder:
        rows = LabelledRows([f"row {i}" for i in range(len(ids))], ids, np.array(y))
        run = TrainConfig(losses.parse("xent"), TrainingSettings(epochs=1), 1e-4, next(_ORDERS))
        jobs = [TrainJob(rows, Validation([], None), run) for _ in model.members()]
        finetune_together(model, jobs, RunEnv(runtime, pad_id, Path(folder) / "checkpoint"))


def _evaluate(model: Any, ids: list[list[int]], pad_id: int, runtime: Any) -> None:
    from outshine.learn.batches import predict_together

    predict_together(model, ids, pad_id, runtime)


def _read(backbone: Any, shape: Shape, layer: int, ids: list[list[int]], pad_id: int, runtime: Any) -> None:
    import torch

    from outshine.learn.activations import LayerReader
    from outshine.learn.batches import collate, evaluation_limits, micro_batches

    reader = LayerReader(backbone, shape.layers, [layer], "last")
    lengths = [len(one) for one in ids]
    for rows in micro_batches(lengths, range(len(ids)), evaluation_limits(runtime, "cpu")):
        reader(*collate(ids, rows, pad_id, torch.device("cpu")))


def _timed(work: Callable[[], object]) -> float:
    began = time.perf_counter()
    work()
    return time.perf_counter() - began
