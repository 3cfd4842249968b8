"""The post's procedure as it is usually written: transformers' Trainer and PEFT, one text at a time.

Micro-batches of one text, accumulated to the effective batch; `val` and `test` scored every `eval_every`
updates; the checkpoint that scored best on `val` loaded at the end; then predictions for `strong_train`,
`val` and `test`, and activations, again text by text. Hyper-parameters, order of the rows and initial weights
are outshine's, so that the results can be compared. Where the usual way has a choice, the cheaper one is
taken: the best weights are kept in memory, not on disk, and only those that are trained.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, NamedTuple

import numpy as np
import torch
from safetensors.torch import load_file
from torch import Tensor, nn
from torch.nn import functional
from torch.utils.data import Dataset, Sampler
from transformers import AutoModel, AutoTokenizer, EvalPrediction, Trainer, TrainerCallback, TrainingArguments

from outshine.learn.batches import epoch_order
from outshine.learn.settings import TrainingSettings, learning_rate_factor, num_updates
from outshine.stats.auroc import auroc

_DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16}


class Start(NamedTuple):
    """Where training begins: the base model, and the folder of an untrained adapter and head.

    `adapter` is laid out as `outshine.learn.saved_models.save_classifier` does it.
    """

    base: Path
    adapter: Path
    max_length: int  # tokens
    dtype: str  # of the base; adapter and head are float32


class Rows(NamedTuple):
    """Texts with ids and labels, in the same order; y = P(y = 1) in training, a class in evaluation."""

    ids: list[str]
    texts: list[str]
    y: np.ndarray  # [n] float64

    def first(self, count: int) -> Rows:
        """The first rows."""
        return Rows(self.ids[:count], self.texts[:count], self.y[:count])


class Plan(NamedTuple):
    """How a model is trained."""

    settings: TrainingSettings
    learning_rate: float
    seed: int  # of the order of the rows
    eval_batch: int = 1
    stop_after: int | None = None  # updates; None: all. The learning rate's schedule stays that of the whole run


class Counts(NamedTuple):
    """What a run did and how long it took: what an extrapolation goes by."""

    updates: int
    train_seconds: float  # without evaluations
    rows_evaluated: int
    eval_seconds: float
    rows_predicted: int
    predict_seconds: float
    best_update: int  # updates made when the chosen weights were taken


class Tuned(NamedTuple):
    """A trained classifier's log-odds for the rows asked for, and what they cost."""

    log_odds: list[np.ndarray]  # one array for each set of rows
    counts: Counts


class Classifier(nn.Module):
    """Base model with PEFT's LoRA, the last token's hidden state, a float32 head with two outputs and no bias."""

    def __init__(self, start: Start) -> None:
        from peft import PeftModel

        super().__init__()
        base = AutoModel.from_pretrained(start.base, dtype=_DTYPES[start.dtype])
        base.config.use_cache = False
        self.backbone = PeftModel.from_pretrained(base, start.adapter / "adapter", is_trainable=True)
        self.head = nn.Linear(base.config.hidden_size, 2, bias=False)
        self.head.weight = nn.Parameter(load_file(start.adapter / "head.safetensors")["weight"].float())

    def forward(self, input_ids: Tensor, attention_mask: Tensor, labels: Tensor | None = None) -> dict[str, Tensor]:
        """Logits [b, 2], and with labels y [b] the mean of −(y log p + (1 − y) log(1 − p))."""
        hidden = self.backbone(input_ids=input_ids, attention_mask=attention_mask).last_hidden_state
        last = attention_mask.sum(1) - 1
        logits = self.head(hidden[torch.arange(len(last)), last].float())
        if labels is None:
            return {"logits": logits}
        both = torch.stack([1 - labels, labels], dim=1)
        return {"loss": functional.cross_entropy(logits, both), "logits": logits}

    def trained(self) -> dict[str, nn.Parameter]:
        """What training changes, by name."""
        return {name: parameter for name, parameter in self.named_parameters() if parameter.requires_grad}


def finetune(start: Start, train: Rows, val: Rows, test: Rows, plan: Plan, asked: Sequence[Rows]) -> Tuned:
    """Train on `train`, choose by the AUROC on `val`, score `test` on the way, then predict `asked`."""
    model = Classifier(start)
    tokenizer = AutoTokenizer.from_pretrained(start.base)
    with TemporaryDirectory() as folder:
        trainer = _trainer(model, tokenizer, start.max_length, train, val, test, plan, folder)
        keeper = _KeepBest(model, {"val": len(val.ids), "test": len(test.ids)})
        trainer.add_callback(keeper)
        began = time.perf_counter()
        trainer.train()
        seconds = time.perf_counter() - began
        keeper.load()
        began = time.perf_counter()
        sets = [_Texts(rows, tokenizer, start.max_length) for rows in asked]
        log_odds = [_log_odds(trainer.predict(one).predictions) for one in sets]
        predicting = time.perf_counter() - began
    updates = trainer.state.global_step
    num_asked = sum(len(rows.ids) for rows in asked)
    counts = Counts(
        *(updates, seconds - keeper.seconds, keeper.rows, keeper.seconds, num_asked, predicting),
        keeper.update or updates,
    )
    return Tuned(log_odds, counts)


@torch.no_grad()
def activations(start: Start, texts: Sequence[str], layer: int) -> Tensor:
    """Hidden states [n, d] of the last token after `layer` blocks of the pretrained model, text by text."""
    base = AutoModel.from_pretrained(start.base, dtype=_DTYPES[start.dtype]).eval()
    tokenizer = AutoTokenizer.from_pretrained(start.base)
    rows = []
    for text in texts:
        tokens = tokenizer(text, truncation=True, max_length=start.max_length, return_tensors="pt")
        outputs = base(tokens["input_ids"], tokens["attention_mask"], output_hidden_states=True, use_cache=False)
        rows.append(outputs.hidden_states[layer][0, -1])
    return torch.stack(rows)


def _trainer(
    model: Classifier,
    tokenizer: Any,
    max_length: int,
    train: Rows,
    val: Rows,
    test: Rows,
    plan: Plan,
    folder: str,
) -> Trainer:
    settings = plan.settings
    total = num_updates(len(train.ids), settings.batch_size, settings.epochs)
    optimizer = torch.optim.AdamW(
        model.trained().values(),
        lr=plan.learning_rate,
        betas=(settings.beta1, settings.beta2),
        weight_decay=settings.weight_decay,
    )
    scheduler = torch.optim.lr_scheduler.LambdaLR(
        optimizer, lambda step: learning_rate_factor(step, total, settings.warmup_updates)
    )
    arguments = TrainingArguments(
        output_dir=folder,
        num_train_epochs=settings.epochs,
        max_steps=-1 if plan.stop_after is None else plan.stop_after,
        per_device_train_batch_size=1,
        gradient_accumulation_steps=settings.batch_size,
        per_device_eval_batch_size=plan.eval_batch,
        max_grad_norm=settings.max_grad_norm,
        eval_strategy="steps",
        eval_steps=settings.eval_every,
        save_strategy="no",
        logging_strategy="no",
        report_to="none",
        disable_tqdm=True,
        remove_unused_columns=False,
        label_names=["labels"],
        dataloader_pin_memory=False,
        use_cpu=True,
    )
    return _OrderedTrainer(
        plan.seed,
        train.ids,
        model=model,
        args=arguments,
        data_collator=_collate,
        train_dataset=_Texts(train, tokenizer, max_length),
        eval_dataset={"val": _Texts(val, tokenizer, max_length), "test": _Texts(test, tokenizer, max_length)},
        compute_metrics=_score,
        optimizers=(optimizer, scheduler),
    )


class _Texts(Dataset):
    """Tokenised texts with their labels."""

    def __init__(self, rows: Rows, tokenizer: Any, max_length: int) -> None:
        self.tokens = tokenizer(rows.texts, truncation=True, max_length=max_length)["input_ids"]
        self.y = rows.y

    def __len__(self) -> int:
        return len(self.tokens)

    def __getitem__(self, index: int) -> dict[str, Any]:
        return {"input_ids": self.tokens[index], "labels": float(self.y[index])}


def _collate(rows: list[dict[str, Any]]) -> dict[str, Tensor]:
    """Padded on the right with zeros, which the mask hides."""
    ids = [torch.tensor(row["input_ids"]) for row in rows]
    masks = [torch.ones_like(one) for one in ids]
    return {
        "input_ids": nn.utils.rnn.pad_sequence(ids, batch_first=True),
        "attention_mask": nn.utils.rnn.pad_sequence(masks, batch_first=True),
        "labels": torch.tensor([row["labels"] for row in rows]),
    }


def _log_odds(logits: Any) -> np.ndarray:
    logits = np.asarray(logits, dtype=np.float64)
    return logits[:, 1] - logits[:, 0]


def _score(given: EvalPrediction) -> dict[str, float]:
    """AUROC of the log-odds; NaN where the labels are of one class."""
    classes = np.asarray(given.label_ids) > 0.5
    both = bool(classes.any() and not classes.all())
    return {"auroc": auroc(classes, _log_odds(given.predictions)) if both else float("nan")}


class _Order(Sampler[int]):
    """Each epoch's rows in outshine's order."""

    def __init__(self, ids: list[str], seed: int) -> None:
        self.ids, self.seed, self.epoch = ids, seed, 0

    def set_epoch(self, epoch: int) -> None:
        """Called by the Trainer before each epoch."""
        self.epoch = epoch

    def __len__(self) -> int:
        return len(self.ids)

    def __iter__(self) -> Iterator[int]:
        return iter(epoch_order(self.ids, self.seed, self.epoch))


class _OrderedTrainer(Trainer):
    """The Trainer with a given order of the rows. The division by the accumulated micro-batches stays its own."""

    def __init__(self, order_seed: int, ids: list[str], **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self._order = _Order(ids, order_seed)

    def _get_train_sampler(self, train_dataset: Any = None) -> Sampler[int]:
        return self._order


class _KeepBest(TrainerCallback):
    """The trained weights with the best AUROC on `val` so far (of equals the earliest), and what evaluating cost."""

    def __init__(self, model: Classifier, sizes: dict[str, int]) -> None:
        self.model, self.sizes = model, sizes
        self.best, self.update = -np.inf, 0
        self.weights: dict[str, Tensor] = {}
        self.rows, self.seconds = 0, 0.0

    def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """The last weights are evaluated too."""
        if state.global_step == state.max_steps:
            control.should_evaluate = True

    def on_evaluate(self, args: Any, state: Any, control: Any, metrics: Any = None, **kwargs: Any) -> None:
        """Called once for each set of rows."""
        for name, size in self.sizes.items():
            if f"eval_{name}_runtime" in metrics:
                self.seconds += metrics[f"eval_{name}_runtime"]
                self.rows += size
        if metrics.get("eval_val_auroc", -np.inf) > self.best:
            self.best, self.update = metrics["eval_val_auroc"], state.global_step
            self.weights = {name: weight.detach().clone() for name, weight in self.model.trained().items()}

    def load(self) -> None:
        """Put the best weights back; where no evaluation could choose, the last stay."""
        with torch.no_grad():
            for name, weight in self.model.trained().items():
                if name in self.weights:
                    weight.copy_(self.weights[name])
