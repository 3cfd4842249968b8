"""What the GPU benchmark measures: random models and texts, outshine's own training and evaluation, and plain PEFT's.

outshine and PEFT are imported where they are used, so that either may be missing.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional
from transformers import AutoModel, BertConfig, LlamaConfig, PretrainedConfig

RANK = 8
UPDATE = 32  # texts of one optimizer update
EPOCHS = 1000  # of a run that is stopped once it was timed


class Workload(NamedTuple):
    """Texts like a dataset's: log-normal lengths with this mean; `sigma` of ln(length) makes the tail."""

    name: str
    mean: float
    sigma: float
    longest: int


SCIQ = Workload("SciQ-like", 31, 0.35, 128)
BOOLQ = Workload("BoolQ-like", 150, 0.5, 1024)


def texts(workload: Workload, num_rows: int) -> list[list[int]]:
    """Random token ids, of lengths at log-normal quantiles in a fixed random order: every run has the same texts."""
    levels = (torch.arange(num_rows, dtype=torch.float64) + 0.5) / num_rows
    z = torch.special.ndtri(levels)
    lengths = torch.exp(math.log(workload.mean) - workload.sigma**2 / 2 + workload.sigma * z).round()
    order = torch.randperm(num_rows, generator=torch.Generator().manual_seed(0))
    drawn = np.random.default_rng(0)
    # ids that the tiny models have too
    return [drawn.integers(1, 250, n).tolist() for n in lengths.clamp(4, workload.longest).long()[order].tolist()]


def shape(name: str, tiny: bool = False) -> PretrainedConfig:
    """Llama-3-8B's (8B), BERT-large's (.34B) or MiniLM-L6's (MiniLM), all with BERT's small vocabulary."""
    sizes = {"8B": (4096, 14_336, 32, 32), ".34B": (1024, 4096, 24, 16), "MiniLM": (384, 1536, 6, 12)}
    width, mlp, layers, heads = (32, 64, 2, 4) if tiny else sizes[name]
    common: dict[str, Any] = {
        "vocab_size": 256 if tiny else 30_528,
        "hidden_size": width,
        "intermediate_size": mlp,
        "num_hidden_layers": layers,
        "num_attention_heads": heads,
        "initializer_range": 0.2 if tiny else 0.02,  # so that narrow blocks count in what comes out
    }
    if name != "8B":
        return BertConfig(**common, max_position_embeddings=512)
    rope = {"rope_type": "default", "rope_theta": 500_000.0}
    return LlamaConfig(
        **common,
        num_key_value_heads=heads // 4,
        max_position_embeddings=8192,
        rope_parameters=rope,
        use_cache=False,
    )


def build(config: PretrainedConfig, device: torch.device, dtype: torch.dtype) -> nn.Module:
    """A frozen model of random weights, made where it will be used."""
    torch.manual_seed(0)
    with device:
        model = AutoModel.from_config(config, dtype=dtype, attn_implementation="sdpa")
    return model.requires_grad_(False).eval()


def block_weights(config: PretrainedConfig) -> int:
    """N of the cost model: weights of all blocks, without embeddings, final norm and pooler."""
    model = build(config, torch.device("meta"), torch.float32)
    blocks = next(module for module in model.modules() if isinstance(module, nn.ModuleList))
    return sum(parameter.numel() for parameter in blocks.parameters())


class Laps:
    """Seconds of a line's passes, waiting for the device after each; the first holds all preparation.

    Enough are `least` passes after the first that take `seconds` together, or one after the time `until`. The first
    may be several: sizes of batches are captured when they occur for the third time, and not all do in one pass.
    """

    def __init__(
        self, device: torch.device, seconds: float, until: float = math.inf, least: int = 3, first: int = 1
    ) -> None:
        self.taken: list[float] = []
        self._first = first
        self._device, self._seconds, self._until, self._least = device, seconds, until, least
        synchronise(device)
        self._last = time.perf_counter()

    def lap(self, passes: float = 1) -> bool:
        """End a pass, or several that cannot be told apart, and say whether there are enough."""
        synchronise(self._device)
        now = time.perf_counter()
        if self._first > 1 and now < self._until:
            self._first -= 1
            return False
        self.taken.append((now - self._last) / passes)
        self._last = now
        later = self.taken[1:]
        return bool(later) and (now >= self._until or (len(later) >= self._least and sum(later) >= self._seconds))

    def passes(self) -> Iterator[None]:
        """Give one pass after the other until there are enough."""
        while True:
            yield
            if self.lap():
                return


def synchronise(device: torch.device) -> None:
    """Wait for what the device was given."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def matmul_rate(device: torch.device, dtype: torch.dtype, tiny: bool) -> float:
    """The best FLOP/s of x [n, in] times W [in, out]: the 8 B model's own products, and a large square one."""
    sizes = ((8192, 4096, 14_336), (8192, 14_336, 4096), (8192, 8192, 8192))
    best = 0.0
    for rows, inputs, outputs in [(64, 32, 64)] if tiny else sizes:
        x, w = (torch.randn(shape, device=device, dtype=dtype) for shape in ((rows, inputs), (inputs, outputs)))
        laps = Laps(device, 0.2)
        for _ in laps.passes():
            for _ in range(10):
                torch.matmul(x, w)
        best = max(best, 10 * 2 * rows * inputs * outputs / float(np.median(laps.taken[1:])))
    return best


# -- outshine -------------------------------------------------------------------------------------------


@contextmanager
def outshine_model(
    base: nn.Module,
    corpus: Sequence[list[int]],
    settings: Mapping[str, Any],
    members: int = 1,
    base_kind: str = "dense",
) -> Iterator[tuple[Any, Any, list[str]]]:
    """Give a classifier, or a cohort, as a stage prepares it for these texts, its runtime, and what users are told.

    settings: of the runtime, beside the device. The base is bare again afterwards, and has its own norms and rotations.
    """
    import pandas as pd

    from outshine.engine.progress import Silent
    from outshine.engine.runtime import Runtime
    from outshine.engine.stage import Context
    from outshine.engine.store.store import Store
    from outshine.learn.classifier import Classifier, Cohort
    from outshine.learn.norms import fuse_norms
    from outshine.learn.rotary import fuse_rotary
    from outshine.w2s.stages.finetune import check_backbone, choose_batches

    spec = spec_of(base, base_kind)
    runtime = Runtime.model_validate({"device": next(base.parameters()).device.type, **settings})
    fuse_norms(base)  # as where a base is loaded
    fuse_rotary(base)
    model = Classifier(base, spec, 0) if members == 1 else Cohort(base, spec, range(members))
    progress = Silent()
    try:
        with TemporaryDirectory() as folder:
            place = Path(folder)
            context = Context(Store(place / "store"), place, place, runtime, progress, {})
            frame = pd.DataFrame({"tokens": corpus})
            check_backbone(model, frame, context)
            choose_batches(model, frame, context)
        yield model, runtime, progress.notes
    finally:
        for module in model.release().modules():
            vars(module).pop("forward", None)


def spec_of(base: Any, base_kind: str = "dense") -> Any:
    """The classifier's settings: LoRA on all linear layers of the blocks; the last token of a Llama, a BERT's mean."""
    from outshine.learn.spec import ClassifierSpec, ModelRef

    num_layers, dtype = base.config.num_hidden_layers, str(base.dtype).removeprefix("torch.")
    return ClassifierSpec.model_validate(
        {
            "model": ModelRef(identity="sha256:random", name="random", num_layers=num_layers),
            "num_layers": num_layers,
            "pooling": "last" if base.config.model_type == "llama" else "mean",
            "tuning": {"kind": "lora", "rank": RANK, "alpha": RANK, "base": base_kind},
            "max_length": min(1024, base.config.max_position_embeddings),
            "compute_dtype": dtype,
        }
    )


def outshine_train(model: Any, runtime: Any, corpus: list[list[int]], laps: Laps, batch_size: int = UPDATE) -> None:
    """Whole updates by `finetune_together`, a pass an epoch, in a new order each, until there are enough."""
    passed = 0

    def advance(done: int, total: int) -> None:
        nonlocal passed
        if done - passed >= len(corpus):
            epochs, passed = (done - passed) / len(corpus), done
            if laps.lap(epochs):
                raise _EnoughError

    drawn = np.random.default_rng(1)
    labels = [drawn.integers(0, 2, len(corpus)).astype(float) for _ in model.members()]
    with suppress(_EnoughError):
        finetuned(model, runtime, corpus, labels, {"epochs": EPOCHS, "batch_size": batch_size}, 1e-5, advance)


class _EnoughError(Exception):
    """Ends a training run that was timed long enough."""


def finetuned(
    model: Any,
    runtime: Any,
    corpus: list[list[int]],
    labels: Sequence[np.ndarray],
    settings: Mapping[str, Any],
    learning_rate: float,
    advance: Callable[[int, int], None] = lambda done, total: None,
) -> list[Any]:
    """What `finetune_together` returns for members with these labels, cross-entropy and no validation rows.

    Raises TrainingError where a member diverged.
    """
    from outshine.engine.errors import TrainingError
    from outshine.learn.batches import LabelledRows
    from outshine.learn.loop import RunEnv, TrainConfig, TrainJob, Validation, finetune_together
    from outshine.learn.losses import losses
    from outshine.learn.settings import TrainingSettings

    ids = [f"row {i}" for i in range(len(corpus))]
    run = TrainConfig(losses.parse("xent"), TrainingSettings(**settings), learning_rate, 0)
    jobs = [TrainJob(LabelledRows(ids, corpus, y), Validation([], None), run) for y in labels]
    with TemporaryDirectory() as folder:
        results = finetune_together(model, jobs, RunEnv(runtime, 0, Path(folder) / "checkpoint.safetensors", advance))
    for result in results:
        if isinstance(result, TrainingError):
            raise result
    return results


def outshine_evaluate(model: Any, runtime: Any, corpus: list[list[int]], laps: Laps) -> None:
    """`predict_together` on all texts, until there are enough passes."""
    from outshine.learn.batches import predict_together

    for _ in laps.passes():
        predict_together(model, corpus, 0, runtime)


def in_four_bits(base: nn.Module) -> None:
    """Quantise the blocks' linear layers in place, as outshine does. Raises SettingsError where that cannot be had."""
    from outshine.learn.blocks import place
    from outshine.learn.model_checks import adaptable
    from outshine.learn.nf4 import NF4Linear, check_nf4

    parameter = next(base.parameters())
    check_nf4(parameter.device, parameter.dtype)
    for path, module in adaptable(base, spec_of(base).num_layers):
        place(base, path, NF4Linear(module, parameter.device))


# -- plain PEFT -----------------------------------------------------------------------------------------


class Batch(NamedTuple):
    """Texts padded on the right: ids and mask [b, t], where they end [b], their labels [b]; all on the device."""

    ids: Tensor
    mask: Tensor
    ends: Tensor
    labels: Tensor


class PlainPeft:
    """A Llama with PEFT's adapters and a head [2, d] on the last token; under autocast where the base is in bf16."""

    def __init__(self, wrapped: Any, head: Tensor) -> None:
        self.wrapped = wrapped
        self.head = nn.Parameter(head)
        self._mixed = next(wrapped.parameters()).dtype == torch.bfloat16

    def log_odds(self, batch: Batch) -> Tensor:
        """Of P(y = 1), [b]."""
        with torch.autocast(self.head.device.type, torch.bfloat16, enabled=self._mixed):
            hidden = self.wrapped(input_ids=batch.ids, attention_mask=batch.mask).last_hidden_state
        pooled = hidden[torch.arange(len(batch.ends), device=batch.ends.device), batch.ends].to(self.head.dtype)
        logits = functional.linear(pooled, self.head)
        return logits[:, 1] - logits[:, 0]

    def trainable(self) -> list[nn.Parameter]:
        """Adapters and head."""
        return [*(parameter for parameter in self.wrapped.parameters() if parameter.requires_grad), self.head]


@contextmanager
def peft_model(base: Any) -> Iterator[PlainPeft]:
    """The base with fresh adapters on all its linear layers; bare again afterwards. Raises ImportError without PEFT."""
    from peft import LoraConfig, get_peft_model

    targets = sorted({path.rpartition(".")[2] for path, m in base.named_modules() if isinstance(m, nn.Linear)})
    wrapped = get_peft_model(base, LoraConfig(r=RANK, lora_alpha=RANK, lora_dropout=0.0, target_modules=targets))
    try:
        yield PlainPeft(wrapped, 0.01 * torch.randn(2, base.config.hidden_size, device=base.device))
    finally:
        wrapped.unload()
        base.requires_grad_(False)


def buckets(sizes: Sequence[int], budget: int) -> list[list[int]]:
    """Rows of similar length, the longest first, of at most `budget` padded tokens; 0: each text alone."""
    batches: list[list[int]] = []
    for row in sorted(range(len(sizes)), key=lambda i: -sizes[i]):
        if batches and (len(batches[-1]) + 1) * sizes[batches[-1][0]] <= budget:
            batches[-1].append(row)
        else:
            batches.append([row])
    return batches


def collate(corpus: Sequence[list[int]], rows: Sequence[int], labels: np.ndarray, device: torch.device) -> Batch:
    """These rows as a padded batch."""
    sizes = torch.tensor([len(corpus[row]) for row in rows])
    ids = nn.utils.rnn.pad_sequence([torch.tensor(corpus[row]) for row in rows], batch_first=True)
    mask = (torch.arange(ids.shape[1]) < sizes[:, None]).long()
    y = torch.tensor(labels[list(rows)], dtype=torch.float32)
    return Batch(*(tensor.to(device) for tensor in (ids, mask, sizes - 1, y)))


def peft_update(model: PlainPeft, batches: Sequence[Batch], optimizer: torch.optim.Optimizer) -> tuple[Tensor, Tensor]:
    """One update with clipped gradient and nothing that waits for the device; mean loss, and norm before clipping."""
    num_texts = sum(len(batch.ends) for batch in batches)
    mean = torch.zeros((), device=model.head.device)
    for batch in batches:
        losses = functional.binary_cross_entropy_with_logits(model.log_odds(batch), batch.labels, reduction="sum")
        (losses / num_texts).backward()
        mean += losses.detach() / num_texts
    norm = nn.utils.clip_grad_norm_(model.trainable(), 1.0)
    optimizer.step()
    optimizer.zero_grad()
    return mean, norm


def peft_run(base: Any, corpus: list[list[int]], budget: int, training: bool, laps: Laps) -> None:
    """Train or evaluate until there are enough passes; all batches lie on the device before the first."""
    step = min(UPDATE, len(corpus)) if training else len(corpus)
    labels = np.random.default_rng(1).integers(0, 2, len(corpus)).astype(float)
    with peft_model(base) as model:
        optimizer = torch.optim.AdamW(model.trainable(), lr=1e-5, betas=(0.9, 0.95), weight_decay=0.1)
        updates = []
        for start in range(0, len(corpus), step):
            sizes = [len(text) for text in corpus[start : start + step]]
            cut = [[start + row for row in rows] for rows in buckets(sizes, budget)]
            updates.append([collate(corpus, rows, labels, base.device) for rows in cut])
        for _ in laps.passes():
            for batches in updates:
                if training:
                    peft_update(model, batches, optimizer)
                else:
                    with torch.no_grad():
                        torch.cat([model.log_odds(batch) for batch in batches]).cpu()
