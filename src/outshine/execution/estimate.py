"""What stages cost: rows and tokens that go through a model, and floating-point operations.

A forward pass costs 2·N FLOPs a token, with N the parameters of the blocks (Kaplan et al., arXiv:2001.08361, section
2.1); attention's quadratic part is left out (it adds about n / (12·d) for n tokens and width d). The backward pass
costs 2·N through the activations and 2·N for the gradients of the weights, so that a token costs in training 6·N with
full fine-tuning, 4·N with LoRA (the base is frozen: no gradients of its weights; Hu et al., arXiv:2106.09685) and 2·N
where only the head is trained. Gradient checkpointing runs the forward pass twice where there is a backward pass: 2·N
more.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

from outshine.core.errors import OutshineError
from outshine.core.stage import Stage
from outshine.core.store import Store
from outshine.execution.placeholders import UnresolvedPrepare
from outshine.models.catalog import Shape
from outshine.models.files import UNRESOLVED
from outshine.models.spec import ModelRef
from outshine.stages.activations import Activations
from outshine.stages.audit import Audit
from outshine.stages.finetune import Finetune, Student
from outshine.stages.keep import Keep
from outshine.stages.predictor import PREDICTED_SPLITS
from outshine.stages.prepare import Prepare, Texts, TextSource
from outshine.stages.probing import Probed
from outshine.stages.trajectory import Trajectory
from outshine.training.schedule import num_updates

SAMPLE = 500  # rows whose tokens are counted, per model and dataset
CHARACTERS_PER_TOKEN = 4.2  # where no tokenizer can be asked; BERT's has 3.9 to 5.1 on the recipes' texts, mean 4.6

FORWARD = 2  # FLOPs per parameter and token
TRAINING = {"full": 6, "lora": 4, "head": 2}  # forward and backward, by what is tuned
CHECKPOINTED = {"full": 8, "lora": 6, "head": 2}  # the same with gradient checkpointing


class Cost(NamedTuple):
    """What a stage puts through a model. Every pass counts; None: nothing, or not known."""

    rows: int | None = None
    tokens: float | None = None
    flops: float | None = None


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
        return [self._cost(stage) for stage in stages]

    def _cost(self, stage: Stage) -> Cost:
        if isinstance(stage, Finetune):
            return self._finetune(stage)
        if isinstance(stage, Trajectory):
            return self._finetune(stage.run_again, watched=True)
        if isinstance(stage, Activations):
            return self._activations(stage)
        if isinstance(stage, Probed | Keep):
            texts = stage.activations.texts
            filtered = ("strong_train", "val") if isinstance(stage, Keep) and stage.filter_val else ("strong_train",)
            return Cost(self._rows(texts.origin, filtered if isinstance(stage, Keep) else PREDICTED_SPLITS))
        if isinstance(stage, Prepare | Audit):
            return Cost(self._rows(stage.prepare if isinstance(stage, Audit) else stage))
        return Cost()

    def _finetune(self, stage: Finetune, *, watched: bool = False) -> Cost:
        rows = self._of(stage.texts.origin).rows
        if not rows:
            return Cost()
        trained, predicted = _finetune_rows(stage, rows, watched)
        mean = self._mean_tokens(stage.classifier.model, stage.texts, stage.classifier.max_length)
        shape = self._shapes.get(stage.classifier.model.identity)
        num_rows = trained + predicted
        if not mean or shape is None:
            return Cost(num_rows, num_rows * mean or None)
        per_parameter = mean * (self._training[stage.classifier.tuning.kind] * trained + FORWARD * predicted)
        return Cost(num_rows, num_rows * mean, per_parameter * shape.block * stage.classifier.num_layers)

    def _activations(self, stage: Activations) -> Cost:
        num_rows = self._rows(stage.texts.origin, PREDICTED_SPLITS)
        reader, deepest = self._passes[_pass(stage)]
        if num_rows is None or reader != stage.key:
            return Cost(num_rows)
        tokens = num_rows * self._mean_tokens(stage.model, stage.texts, stage.max_length)
        shape = self._shapes.get(stage.model.identity)
        flops = FORWARD * tokens * shape.block * deepest if shape else None
        return Cost(num_rows, tokens or None, flops)

    def _rows(self, prepare: TextSource, splits: Sequence[str] | None = None) -> int | None:
        found = self._of(prepare).rows
        return sum(found[split] for split in splits or found) if found else None

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
        return float(texts["text"].str.len().mean())

    def _mean_tokens(self, model: ModelRef, texts: Texts, max_length: int) -> float:
        """Tokens of a text: counted with the model's tokenizer where it and the rows are at hand; 0: not known."""
        which = (model.identity, texts.digest, max_length)
        if which not in self._tokens:
            characters = self._of(texts.origin).characters
            guess = min(characters / CHARACTERS_PER_TOKEN, max_length)
            made_up = not self._sample or any(name.startswith(UNRESOLVED) for name in (model.identity, texts.digest))
            self._tokens[which] = guess if made_up else self._counted(model, texts, max_length, guess)
            shape = self._shapes.get(model.identity)
            if shape is not None:
                self.longest = max(self.longest, self._tokens[which] / (12 * shape.hidden_size))
        return self._tokens[which]

    def _counted(self, model: ModelRef, texts: Texts, max_length: int, guess: float) -> float:
        """The mean over the first rows (ids are hashes: a random sample)."""
        from outshine.models.loading import load_tokenizer
        from outshine.models.tokenize import Text, encode

        sample = texts.read(self._store).head(self._sample)
        marked = sample[["text", "cut_start", "cut_end"]].itertuples(index=False)
        try:
            lengths = encode(load_tokenizer(model), [Text(*row) for row in marked], max_length).lengths
        except OutshineError as error:
            self.notes.append(f"tokens of {model.name} are estimated from characters ({error})")
            return guess
        return sum(lengths) / len(lengths)


def _finetune_rows(stage: Finetune, rows: Mapping[str, int], watched: bool) -> tuple[int, int]:
    """Rows that are trained on and rows that are predicted: epochs; validations and the predictions at the end.

    `watched`: a trajectory, which predicts test, and val once more, at every validation and nothing at the end.
    """
    training = stage.training
    kept = Counter({split: rows[split] for split in (stage.train_split, "val")})
    if isinstance(stage, Student) and stage.keep:
        for split in (stage.train_split, "val") if stage.keep.filter_val else (stage.train_split,):
            kept[split] -= round(stage.keep.drop * rows[split])
    updates = num_updates(kept[stage.train_split], training.batch_size, training.epochs)
    validations = -(-updates // training.eval_every)
    own = sum(rows[split] for split in PREDICTED_SPLITS)
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
    """For each pass the key of the layer that it is charged to, and its deepest layer; missing ones go first."""
    groups: dict[tuple, list[Activations]] = {}
    for stage in stages:
        if isinstance(stage, Activations):
            groups.setdefault(_pass(stage), []).append(stage)
    passes = {}
    for which, layers in groups.items():
        read = [stage for stage in layers if missing(stage)] or layers
        passes[which] = (read[0].key, max(stage.layer for stage in read))
    return passes
