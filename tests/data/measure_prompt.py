"""What the constant words of a prompt cost an encoder that averages over tokens.

    python tests/data/measure_prompt.py

prints the AUC of a logistic regression on mean-pooled states of all-MiniLM-L6-v2, by layer, on SST-2 with and without
the prompt: the figures of docs/datasets.md. HF_ENDPOINT names the hub.
"""

from __future__ import annotations

import sys

import numpy as np
import torch
from numpy.typing import NDArray
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from transformers import AutoModel, AutoTokenizer

from outshine.data.schema import recipes
from outshine.data.splits import SplitSettings, prepare

MODEL = "sentence-transformers/all-MiniLM-L6-v2"
SIZES = SplitSettings(n_train=4000, n_val=200, n_test=5000)
BATCH = 64


def states(texts: list[str]) -> NDArray[np.float32]:
    """The mean over tokens after each layer, embeddings first: [layer, text, hidden]."""
    tokenizer, model = AutoTokenizer.from_pretrained(MODEL), AutoModel.from_pretrained(MODEL).eval()
    found = []
    for start in range(0, len(texts), BATCH):
        batch = tokenizer(texts[start : start + BATCH], padding=True, truncation=True, return_tensors="pt")
        with torch.no_grad():
            layers = torch.stack(model(**batch, output_hidden_states=True).hidden_states)
        mask = batch["attention_mask"][None, ..., None]
        found.append(((layers * mask).sum(2) / mask.sum(2)).numpy())
    return np.concatenate(found, axis=1)


def main() -> None:
    """Print one line for each way of writing the rows."""
    for prompt in ("none", "default"):
        recipe = recipes.parse({"kind": "sst2", "prompt": prompt})
        prepared = prepare(recipe, recipe.identify(), SIZES)
        rows = prepared.texts.merge(prepared.truth, on="id")
        test, train = rows["split"] == "test", rows["split"].isin(["weak_train", "strong_train"])
        layers, labels = states(rows["text"].tolist()), rows["label"]
        aucs = []
        for layer in layers[1:]:
            probe = make_pipeline(StandardScaler(), LogisticRegression(C=0.01, max_iter=500))
            scores = probe.fit(layer[train], labels[train]).decision_function(layer[test])
            aucs.append(f"{roc_auc_score(labels[test], scores):.3f}")
        sys.stdout.write(f"prompt {prompt}, {train.sum():,} rows, tested on {test.sum()}: {' '.join(aucs)}\n")


if __name__ == "__main__":
    main()
