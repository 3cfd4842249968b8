"""The cost of stages: rows and tokens that go through a model, and floating-point operations.

A forward pass costs 2·N FLOPs a token, with N the parameters of the blocks (Kaplan et al., arXiv:2001.08361, section
2.1); attention's quadratic part is left out (it adds about n / (12·d) for n tokens and width d). The backward pass
costs 2·N through the activations and 2·N for the gradients of the weights, so that a token costs in training 6·N with
full fine-tuning, 4·N with LoRA (the base is frozen: no gradients of its weights; Hu et al., arXiv:2106.09685) and 2·N
where only the head is trained. Gradient checkpointing runs the forward pass twice where there is a backward pass: 2·N
more.
"""

from __future__ import annotations

import json
import re
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from statistics import median
from typing import NamedTuple

from outshine.engine.errors import OutshineError, SettingsError
from outshine.engine.files import user_path
from outshine.engine.messages import duration
from outshine.engine.runtime import Runtime
from outshine.engine.stage import Cost, Stage, in_order
from outshine.engine.store.store import Store
from outshine.learn.known_models import Shape
from outshine.learn.model_files import UNRESOLVED
from outshine.learn.resolve import ResolvedModel
from outshine.learn.settings import num_updates
from outshine.learn.spec import ComputeDtype, ModelRef
from outshine.w2s.placeholders import UnresolvedPrepare
from outshine.w2s.stages.activations import Activations
from outshine.w2s.stages.finetune import Finetune
from outshine.w2s.stages.predictor import predicted_splits
from outshine.w2s.stages.prepare import PAIR_COLUMNS, Texts, TextSource

SAMPLE = 500  # rows whose tokens are counted, per model and dataset
CHARACTERS_PER_TOKEN = 4.2  # where no tokenizer can be asked; BERT's has 3.9 to 5.1 on the recipes' texts, mean 4.6

FORWARD = 2  # FLOPs per parameter and token
TRAINING = {"full": 6, "lora": 4, "head": 2}  # forward and backward, by what is tuned
CHECKPOINTED = {"full": 8, "lora": 6, "head": 2}  # the same with gradient checkpointing


class Lengths(NamedTuple):
    """Rows of each split, and the mean length of a text in characters. Empty and 0: not known."""

    rows: Mapping[str, int]
    characters: float


class Estimator:
    """Costs of the stages of one plan. `shapes`: of models, by identity; `missing`: whether the store lacks a stage.

    `checkpointed`: with gradient checkpointing from the start; `sample`: rows whose tokens are counted, 0: none, for a
    guess by characters.
    """

    def __init__(
        self,
        store: Store,
        shapes: Mapping[str, Shape | None],
        missing: Callable[[Stage], bool],
        checkpointed: bool = False,
        sample: int = SAMPLE,
    ) -> None:
        self.notes: list[str] = []
        self.longest = 0.0  # share that attention's quadratic part adds to a forward pass, at most
        self._store = store
        self._shapes = shapes
        self._missing = missing
        self._sample = sample
        self._training = CHECKPOINTED if checkpointed else TRAINING
        self._lengths: dict[str, Lengths] = {}
        self._tokens: dict[tuple[str, str, int], float] = {}
        self._passes: dict[tuple, tuple[str, int]] = {}

    def costs(self, stages: Sequence[Stage]) -> list[Cost]:
        """The cost of each stage. Layers that one pass reads are charged to the first of them that is missing."""
        self._passes = _passes(stages, self._missing)
        return [stage.cost(self) for stage in stages]

    def fine_tuning(self, stage: Finetune, *, watched: bool = False) -> Cost:
        """Of training, validating and predicting; `watched`: of a trajectory."""
        rows = self._of(stage.texts.origin).rows
        if not rows:
            return Cost()
        trained, predicted = _finetune_rows(stage, rows, watched)
        mean = self.mean_tokens(stage.classifier.model, stage.texts, stage.classifier.max_length)
        shape = self._shapes.get(stage.classifier.model.identity)
        num_rows = trained + predicted
        if not mean or shape is None:
            return Cost(num_rows, num_rows * mean or None)
        weight_tokens = mean * shape.block * stage.classifier.num_layers
        forward = FORWARD * predicted * weight_tokens
        training = self._training[stage.classifier.tuning.kind] * trained * weight_tokens
        return Cost(num_rows, num_rows * mean, training + forward, forward)

    def reading(self, stage: Activations) -> Cost:
        """Of one layer: of the whole pass where it is the layer that the pass is charged to."""
        num_rows = self.predicted(stage.texts.origin)
        reader, deepest = self._passes[_pass(stage)]
        if num_rows is None or reader != stage.key:
            return Cost(num_rows)
        tokens = num_rows * self.mean_tokens(stage.model, stage.texts, stage.max_length)
        shape = self._shapes.get(stage.model.identity)
        flops = FORWARD * tokens * shape.block * deepest if shape else None
        return Cost(num_rows, tokens or None, flops, flops)

    def rows(self, prepare: TextSource, splits: Sequence[str] | None = None) -> int | None:
        """Count the rows that a dataset has in these splits, or in all; None: not known."""
        sizes = self._of(prepare).rows
        return sum(sizes[split] for split in splits or sizes) if sizes else None

    def predicted(self, prepare: TextSource) -> int | None:
        """Count the rows that every predictor of a dataset predicts; None: not known."""
        sizes = self._of(prepare).rows
        return self.rows(prepare, predicted_splits(sizes)) if sizes else None

    def _of(self, prepare: TextSource) -> Lengths:
        if prepare.key not in self._lengths:
            sizes = prepare.report(self._store)["splits"]
            rows = {str(split): int(facts["rows"]) for split, facts in sizes.items()}
            self._lengths[prepare.key] = Lengths(rows, self._characters(prepare))
        return self._lengths[prepare.key]

    def _characters(self, prepare: TextSource) -> float:
        if isinstance(prepare, UnresolvedPrepare):
            return float(prepare.recipe.size.characters) if prepare.recipe.size else 0.0
        texts = prepare.read_texts(self._store)
        characters = texts["text"].str.len()
        return float((characters + texts["text_b"].str.len() if "text_b" in texts.columns else characters).mean())

    def mean_tokens(self, model: ModelRef, texts: Texts, max_length: int) -> float:
        """Count a text's tokens, with the model's tokenizer where it and the rows are at hand; 0: not known."""
        identity = (model.identity, texts.digest, max_length)
        if identity not in self._tokens:
            characters = self._of(texts.origin).characters
            guess = min(characters / CHARACTERS_PER_TOKEN, max_length)
            made_up = not self._sample or any(name.startswith(UNRESOLVED) for name in (model.identity, texts.digest))
            self._tokens[identity] = guess if made_up else self._counted(model, texts, max_length, guess)
            shape = self._shapes.get(model.identity)
            if shape is not None:
                self.longest = max(self.longest, self._tokens[identity] / (12 * shape.hidden_size))
        return self._tokens[identity]

    def _counted(self, model: ModelRef, texts: Texts, max_length: int, guess: float) -> float:
        """The mean over the first rows (ids are hashes: a random sample)."""
        from outshine.learn.load import load_tokenizer
        from outshine.learn.tokenize import Text, encode

        sample = texts.read(self._store).head(self._sample)
        marked = [["text", "cut_start", "cut_end"], *([[*PAIR_COLUMNS]] if texts.task.is_pair else [])]
        try:
            tokens = load_tokenizer(model)
            lengths = [
                length
                for columns in marked
                for length in encode(
                    tokens, [Text(*row) for row in sample[columns].itertuples(index=False)], max_length
                ).lengths
            ]
        except OutshineError as error:
            self.notes.append(f"tokens of {model.name} are estimated from characters ({error})")
            return guess
        return sum(lengths) / len(sample)


def _finetune_rows(stage: Finetune, rows: Mapping[str, int], watched: bool) -> tuple[int, int]:
    """Rows that are trained on and rows that are predicted: epochs; validations and the predictions at the end.

    `watched`: a trajectory, which predicts test, and val once more, at every validation and nothing at the end.
    """
    training = stage.training
    kept = Counter({split: rows[split] for split in (stage.train_split, "val")})
    keep = stage.row_filter()
    if keep:
        for split in keep.splits:
            kept[split] -= round(keep.drop * rows[split])
    updates = num_updates(kept[stage.train_split], training.batch_size, training.epochs)
    validations = -(-updates // training.eval_every)
    own = sum(rows[split] for split in predicted_splits(rows))
    predicted = validations * (rows["test"] + rows["val"]) if watched else own
    return training.epochs * kept[stage.train_split], validations * kept["val"] + predicted


def _pass(stage: Activations) -> tuple:
    """What layers share that are read together."""
    return (
        stage.model.identity,
        stage.texts.digest,
        stage.pooling,
        stage.max_length,
        stage.compute_dtype,
        stage.together,
    )


def _passes(stages: Sequence[Stage], missing: Callable[[Stage], bool]) -> dict[tuple, tuple[str, int]]:
    """Return for each pass the key of the layer that it is charged to, and its deepest layer; missing ones go first."""
    groups: dict[tuple, list[Activations]] = {}
    for stage in stages:
        if isinstance(stage, Activations):
            groups.setdefault(_pass(stage), []).append(stage)
    passes = {}
    for group, layers in groups.items():
        read = [stage for stage in layers if missing(stage)] or layers
        passes[group] = (read[0].key, max(stage.layer for stage in read))
    return passes


PER_TOKEN = 1e6
"""FLOPs that a token's share of all else, memory and Python, is worth: a tiny model waits for these."""


def work_of(
    requested: Sequence[Stage], models: Iterable[ResolvedModel | None], store: Store, *, checkpointed: bool = False
) -> dict[str, float]:
    """Estimate the work (about FLOPs) in the stages and all they depend on, by key, where rows go through a model.

    Tokens are told from characters, for only the proportions count, and each costs at least PER_TOKEN. Empty where a
    model's size cannot be had, or nothing is to be computed.
    """
    stages = in_order(list(requested))
    lacking = set(store.lacking([stage.key for stage in stages]))
    if not any(stage.key in lacking for stage in stages if stage.base_model):
        return {}
    try:
        shapes = {model.spec.model.identity: _shape(model) for model in models if model}
        estimator = Estimator(store, shapes, lambda stage: True, checkpointed=checkpointed, sample=0)
        costs = estimator.costs(stages)
    except OutshineError:  # a run says itself what is wrong, and where
        return {}
    work = {
        stage.key: cost.flops + PER_TOKEN * cost.tokens
        for stage, cost in zip(stages, costs, strict=True)
        if cost.flops and cost.tokens
    }
    if any(stage.key not in work for stage in stages if stage.base_model and not stage.shares_pass):
        return {}
    return {key: float(flops) for key, flops in work.items()}


def seconds_of(
    key: str, kind: str, work: Mapping[str, float], took: Mapping[str, Sequence[tuple[str, float]]], rate: float | None
) -> float | None:
    """Estimate how long a stage will take; None where nothing is known to judge by.

    By the finished stages of its kind (`took`: key and seconds of each), in proportion to their work where that is
    known; else by its work and the `rate` at which work was done so far. What sends no rows through a model is little.
    """
    alike = took.get(kind, ())
    if alike:
        seconds = sum(time_taken for _, time_taken in alike)
        done = [work.get(other, 0.0) for other, _ in alike]
        return seconds * work[key] / sum(done) if key in work and all(done) else seconds / len(alike)
    if key in work:
        return None if rate is None else work[key] / rate
    known = next((cls for cls in _subclasses(Stage) if cls.stage == kind), None)
    if known is None:  # of a package that this process has no need of
        return 0.0 if work else None
    return 0.0 if known.quick or (known.shares_pass and work) else None


def _subclasses(cls: type[Stage]) -> Iterator[type[Stage]]:
    for inner in cls.__subclasses__():
        yield inner
        yield from _subclasses(inner)


def _shape(model: ResolvedModel) -> Shape | None:
    from outshine.learn.structure import shape_of

    try:
        return shape_of(model.spec)
    except OutshineError:
        return None


_SIZES = {"cpu": 1024, "mps": 2048, "cuda": 4096}
_ROUNDS = 7


class Speed(NamedTuple):
    """How quickly a machine computes: the FLOPs a second of a matrix product, and the shares that outshine reaches.

    A model's FLOPs are meant: what padding and waiting cost is in the shares.
    """

    machine: str
    flops: float  # a second, of a matrix product
    training: float  # share of it
    evaluation: float  # the same of passes without a gradient
    source: str  # where the figures are from

    def seconds(self, cost: Cost) -> float:
        """About how long so much work takes there, by one worker."""
        forward = cost.forward_flops or 0.0
        training = (cost.flops or 0.0) - forward + PER_TOKEN * (cost.tokens or 0.0)
        return (training / self.training + forward / self.evaluation) / self.flops

    def line(self, cost: Cost) -> str:
        """The same in words, with how it comes about."""
        shares = f"{self.training:.0%}"
        if self.evaluation != self.training:
            shares += f" (training) and {self.evaluation:.0%} (evaluation)"
        return (
            f"on {self.machine} about {duration(self.seconds(cost))} with one worker: at {shares} of the "
            f"{self.flops / 1e9:,.0f} GFLOP/s that a matrix product reached {self.source}"
        )


# Llama-3-8B's shape in bf16, LoRA, texts of 31 tokens, torch 2.11: 2,767 tokens a second in training, 24,755 in
# evaluation, while a matrix product did 769 TFLOP/s (docs/performance.md). `benchmarks.gpu` measures them anew.
H200 = Speed("an H200", 769e12, 0.10, 0.45, "measured there in November 2026 with an 8 B model")
SCALED = "measured on an H200 in November 2026 with an 8 B model and scaled by the data sheets"
CPU_SHARE = 0.5  # training reached 46 to 69 % of a matrix product's rate, evaluation 65 to 77 % (docs/performance.md)
DATA_SHEETS = {  # dense bf16 FLOP/s; the first name that occurs in a card's counts
    "B200": 2250e12,
    "H200 NVL": 835e12,
    "H200": 989e12,
    "H100 NVL": 835e12,
    "H100 PCIe": 756e12,
    "H100": 989e12,
    "A100": 312e12,
    "L40S": 362e12,
}


def speed_of_gpu(card: str) -> Speed:
    """Return the speed of a card of this name: an H200's as measured, in proportion to the data sheets.

    Raises SettingsError for a card whose data sheet is not known.
    """
    # whole words: an A1000 is no A100
    known = next((name for name in DATA_SHEETS if re.search(rf"\b{name}\b", card, re.IGNORECASE)), None)
    if known is None:
        raise SettingsError(
            f"the data sheet of the GPU '{card}' is not known; known: {', '.join(DATA_SHEETS)}. Give its TFLOP/s with "
            "--tflops, or with --gpu the file that `python -m benchmarks.gpu` of the repository writes on it"
        )
    if known == "H200":
        return H200
    flops = H200.flops * DATA_SHEETS[known] / DATA_SHEETS["H200"]
    return H200._replace(machine=f"one {known}", flops=flops, source=SCALED)


def speed_measured(path: Path) -> Speed:
    """Return the speed that `benchmarks.gpu` found with the 8 B model and wrote into this file.

    Raises SettingsError where the file does not hold it.
    """
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
        where, lines = found["environment"], {line["line"]: line for line in found["lines"]}
        training, evaluation = (
            float(lines[f"{work}, SciQ-like"]["share_of_matmul"]) for work in ("training", "evaluation")
        )
        source = f"measured there on {where['date']} with an 8 B model"
        if where["size"] == "full":
            return Speed(str(where["device"]), 1e12 * float(where["matmul_tflops"]), training, evaluation, source)
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise SettingsError(f"'{path}' does not hold what benchmarks.gpu measures ({error!r})") from None
    raise SettingsError(f"'{path}' was measured at tiny size, which says nothing about speed")


def speed_of(gpu: str | None) -> Speed:
    """Return the speed of the GPU of this name, or by a file of measurements; None: this machine's own, else an H200's.

    Raises SettingsError where nothing is known of it.
    """
    import torch

    if gpu is not None:
        path = user_path(gpu)
        return speed_measured(path) if path.suffix == ".json" or path.is_file() else speed_of_gpu(gpu)
    if not torch.cuda.is_available():
        return H200
    card = torch.cuda.get_device_name()
    try:
        return speed_of_gpu(card)
    except SettingsError:
        return H200._replace(source=f"{H200.source} (the data sheet of '{card}', which is here, is not known)")


def speed_here(runtime: Runtime, dtype: ComputeDtype) -> Speed:
    """Time a matrix product in this number format where the runtime would compute.

    Raises SettingsError for a device that is not there.
    """
    import torch

    from outshine.learn.device import pick_device
    from outshine.learn.load import DTYPES

    device = pick_device(runtime)
    if runtime.threads is not None:
        torch.set_num_threads(runtime.threads)
    size = _SIZES[device.type]
    a, b = (torch.ones(size, size, device=device, dtype=DTYPES[dtype]) for _ in range(2))
    took = []
    for _ in range(_ROUNDS):
        began = time.perf_counter()
        float((a @ b)[0, 0])  # on a GPU too it is waited for
        took.append(time.perf_counter() - began)
    training, evaluation = (H200.training, H200.evaluation) if device.type == "cuda" else (CPU_SHARE, CPU_SHARE)
    machine = f"this machine ({device.type}, {dtype})"
    return Speed(machine, 2 * size**3 / median(took), training, evaluation, "just now")
