"""The cost of stages: rows and tokens that go through a model, and floating-point operations.

A forward pass costs 2·N FLOPs a token, with N the parameters of the blocks (Kaplan et al., arXiv:2001.08361, section
2.1); attention's quadratic part is left out (it adds about n / (12·d) for n tokens and width d). The backward pass
costs 2·N through the activations and 2·N for the gradients of the weights, so that a token costs in training 6·N with
full fine-tuning, 4·N with LoRA (the base is frozen: no gradients of its weights; Hu et al., arXiv:2106.09685) and 2·N
where only the head is trained. Gradient checkpointing runs the forward pass twice where there is a backward pass: 2·N
more.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from statistics import median
from typing import NamedTuple

from outshine.engine.errors import OutshineError
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
        per_parameter = mean * (self._training[stage.classifier.tuning.kind] * trained + FORWARD * predicted)
        return Cost(num_rows, num_rows * mean, per_parameter * shape.block * stage.classifier.num_layers)

    def reading(self, stage: Activations) -> Cost:
        """Of one layer: of the whole pass where it is the layer that the pass is charged to."""
        num_rows = self.predicted(stage.texts.origin)
        reader, deepest = self._passes[_pass(stage)]
        if num_rows is None or reader != stage.key:
            return Cost(num_rows)
        tokens = num_rows * self.mean_tokens(stage.model, stage.texts, stage.max_length)
        shape = self._shapes.get(stage.model.identity)
        flops = FORWARD * tokens * shape.block * deepest if shape else None
        return Cost(num_rows, tokens or None, flops)

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


SUSTAINED = 0.5  # of a matrix product's rate; training reached 46 to 69 % of it (docs/performance.md)
_SIZES = {"cpu": 1024, "mps": 2048, "cuda": 4096}
_ROUNDS = 7


class Speed(NamedTuple):
    """The FLOPs a second that a matrix product reached just now."""

    device: str
    dtype: ComputeDtype
    flops: float  # a second

    def seconds(self, flops: float, tokens: float) -> float:
        """About how long so much work takes here, by one worker."""
        return (flops + PER_TOKEN * tokens) / (SUSTAINED * self.flops)

    def line(self, flops: float, tokens: float) -> str:
        """The same in words, with how it comes about."""
        return (
            f"on this machine ({self.device}, {self.dtype}) about {duration(self.seconds(flops, tokens))} with one "
            f"worker: at {SUSTAINED:.0%} of the {self.flops / 1e9:,.0f} GFLOP/s that a matrix product reached just now"
        )


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
    return Speed(device.type, dtype, 2 * size**3 / median(took))
