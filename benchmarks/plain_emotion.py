"""The study of four emotions in docs/results.md once more, without outshine: torch, transformers and scikit-learn.

Supervisor, student and ceiling are trained by a loop of their own on the rows that a study prepared, with the settings
that the page names. Initial weights and the order of the rows come from torch's generator, so that figures agree within
what seeds do and not to the last digit.

    python benchmarks/plain_emotion.py FOLDER all-MiniLM-L6-v2 --seeds 0 1 2

FOLDER holds `texts.parquet` (id, split, text) and `truth.parquet` (id, label), as the artefact of a preparation does.
"""

from __future__ import annotations

import argparse
import copy
import math
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from sklearn.metrics import roc_auc_score
from torch import Tensor, nn
from torch.nn import functional
from transformers import AutoModel, AutoTokenizer

BATCH, EPOCHS, RATE, EVERY, RANK = 32, 3, 1e-3, 25, 8


class LowRank(nn.Module):
    """A frozen linear layer and an update B A x of rank 8 that is trained; B begins at zero."""

    def __init__(self, base: nn.Linear) -> None:
        super().__init__()
        self.base = base
        self.down = nn.Linear(base.in_features, RANK, bias=False)
        self.up = nn.Linear(RANK, base.out_features, bias=False)
        nn.init.zeros_(self.up.weight)

    def forward(self, x: Tensor) -> Tensor:
        return self.base(x) + self.up(self.down(x))


class Reader(nn.Module):
    """An encoder with low-rank updates in its first blocks, the mean over tokens, a head of one logit a class."""

    def __init__(self, folder: str, num_blocks: int | None, num_classes: int) -> None:
        super().__init__()
        self.tokenizer = AutoTokenizer.from_pretrained(folder)
        self.encoder = AutoModel.from_pretrained(folder, dtype=torch.float32).eval().requires_grad_(False)
        if num_blocks is not None:
            self.encoder.encoder.layer = self.encoder.encoder.layer[:num_blocks]
        for block in self.encoder.encoder.layer:
            for parent in list(block.modules()):
                for name, child in list(parent.named_children()):
                    if isinstance(child, nn.Linear):
                        setattr(parent, name, LowRank(child))
        self.head = nn.Linear(self.encoder.config.hidden_size, num_classes, bias=False)

    def forward(self, texts: list[str]) -> Tensor:
        tokens = self.tokenizer(texts, padding=True, truncation=True, max_length=256, return_tensors="pt")
        hidden = self.encoder(**tokens).last_hidden_state
        mask = tokens["attention_mask"].unsqueeze(-1)
        return self.head((hidden * mask).sum(1) / mask.sum(1))

    @torch.no_grad()
    def probabilities(self, texts: list[str]) -> np.ndarray:
        parts = [self(texts[start : start + 64]).double().softmax(1) for start in range(0, len(texts), 64)]
        return torch.cat(parts).numpy()


def macro_auroc(classes: np.ndarray, p: np.ndarray) -> float:
    """The mean over classes of the AUROC of each against the rest, of classes that are there."""
    there = np.unique(classes)
    return float(np.mean([roc_auc_score(classes == k, p[:, k]) for k in there]))


def train(
    model: Reader, texts: list[str], labels: np.ndarray, val_texts: list[str], val_classes: np.ndarray, seed: int
) -> None:
    """Minimise the cross-entropy of soft labels; keep the weights that rank the rows of val best."""
    trained = [parameter for parameter in model.parameters() if parameter.requires_grad]
    optimizer = torch.optim.AdamW(trained, lr=RATE, betas=(0.9, 0.95), weight_decay=0.1)
    total = EPOCHS * math.ceil(len(texts) / BATCH)
    warmup = min(40, math.ceil(total / 10))
    order = np.random.default_rng(seed)
    best, kept, step = -1.0, copy.deepcopy([parameter.data for parameter in trained]), 0
    for _ in range(EPOCHS):
        for rows in np.split(shuffled := order.permutation(len(texts)), range(BATCH, len(shuffled), BATCH)):
            left = (step - warmup) / max(1, total - warmup)
            rate = (step + 1) / warmup if step < warmup else (1 + math.cos(math.pi * left)) / 2
            optimizer.param_groups[0]["lr"] = RATE * rate
            targets = torch.tensor(labels[rows], dtype=torch.float32)
            functional.cross_entropy(model([texts[i] for i in rows]), targets).backward()
            nn.utils.clip_grad_norm_(trained, 1.0)
            optimizer.step()
            optimizer.zero_grad()
            step += 1
            if step % EVERY == 0 or step == total:
                score = macro_auroc(val_classes, model.probabilities(val_texts))
                if score > best:
                    best, kept = score, copy.deepcopy([parameter.data for parameter in trained])
    for parameter, weights in zip(trained, kept, strict=True):
        parameter.data.copy_(weights)


def main() -> None:
    """Print the macro AUROCs of the three roles on test, a line a seed, and their means."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("rows", type=Path)
    parser.add_argument("model")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    arguments = parser.parse_args()
    table = pd.read_parquet(arguments.rows / "texts.parquet").merge(
        pd.read_parquet(arguments.rows / "truth.parquet"), on="id"
    )
    num_classes = int(table["label"].max()) + 1
    texts = {name: list(own["text"]) for name, own in table.groupby("split")}
    truth = {name: own["label"].to_numpy() for name, own in table.groupby("split")}
    onehot = np.eye(num_classes)
    found = []
    for seed in arguments.seeds:

        def fitted(blocks: int | None, split: str, labels: np.ndarray, val: np.ndarray, seed: int = seed) -> Reader:
            torch.manual_seed(seed)
            model = Reader(arguments.model, blocks, num_classes)
            train(model, texts[split], labels, texts["val"], val, seed)
            return model

        weak = fitted(1, "weak_train", onehot[truth["weak_train"]], truth["val"])
        weak_val = weak.probabilities(texts["val"]).argmax(1)
        student = fitted(None, "strong_train", weak.probabilities(texts["strong_train"]), weak_val)
        ceiling = fitted(None, "strong_train", onehot[truth["strong_train"]], truth["val"])
        row = [macro_auroc(truth["test"], one.probabilities(texts["test"])) for one in (weak, student, ceiling)]
        found.append(row)
        sys.stdout.write(f"seed {seed}: weak {row[0]:.3f}, student {row[1]:.3f}, ceiling {row[2]:.3f}\n")
        sys.stdout.flush()
    mean, sd = np.mean(found, axis=0), np.std(found, axis=0, ddof=1) if len(found) > 1 else np.zeros(3)
    for name, value, spread in zip(("weak", "student", "ceiling"), mean, sd, strict=True):
        sys.stdout.write(f"{name}: {value:.3f} (standard deviation over seeds {spread:.3f})\n")
    sys.stdout.write(f"PGR: {(mean[1] - mean[0]) / (mean[2] - mean[0]):.2f}\n")


if __name__ == "__main__":
    main()
