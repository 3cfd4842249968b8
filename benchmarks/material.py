"""What is measured on: rows of SciQ or generated ones of its lengths, and random models of known shapes."""

from __future__ import annotations

import json
import random
from collections.abc import Iterable, Sequence
from itertools import accumulate
from pathlib import Path
from typing import Any, NamedTuple

SCIQ_TOKENS = 31  # the mean length of SciQ's texts
VOCABULARY = 8_000
LEARNING_RATE = 1e-3
UNKNOWN = "<unk>"
SPECIAL = ("<pad>", "<s>", "</s>", UNKNOWN)


class Shape(NamedTuple):
    """The shape of a Llama-like model."""

    hidden: int
    layers: int
    heads: int
    intermediate: int

    @property
    def in_blocks(self) -> int:
        """Weights of all blocks' linear layers: a forward pass takes twice as many FLOPs a token."""
        return self.layers * (4 * self.hidden**2 + 3 * self.hidden * self.intermediate)


STUDENT = Shape(384, 12, 6, 1024)  # 24 M parameters with the embeddings
WEAK = Shape(128, 4, 4, 344)
LARGER = Shape(768, 12, 12, 2048)
TOY_WEAK, TOY_STUDENT = Shape(16, 2, 2, 32), Shape(32, 2, 2, 64)


def generated_rows(count: int, mean_words: int, seed: int = 0) -> list[dict[str, Any]]:
    """Texts over a Zipf-like vocabulary; their labels say which of two sets of words is the more frequent.

    Lengths are spread as SciQ's are (a standard deviation of about two fifths of the mean), at least four words.
    """
    rng = random.Random(seed)
    words = [f"w{i}" for i in range(VOCABULARY - 200)]
    summed = list(accumulate(1 / (i + 20) for i in range(len(words))))
    rows = []
    for number in range(count):
        label = number % 2
        length = max(4, round(rng.gauss(mean_words, 0.4 * mean_words)))
        told = max(1, length // 4)
        marks = [f"{'ab'[rng.random() < 0.2 + 0.6 * label]}{rng.randrange(100)}" for _ in range(told)]
        text = marks + rng.choices(words, cum_weights=summed, k=length - told)
        rng.shuffle(text)
        rows.append({"text": " ".join(text), "label": label})
    return rows


def write_rows(path: Path, rows: Iterable[dict[str, Any]]) -> Path:
    """One JSON object a line."""
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return path


def write_model(folder: Path, shape: Shape, texts: Sequence[str], seed: int = 0) -> Path:
    """A Llama of this shape with random weights, and a tokenizer of the texts' words."""
    import torch
    from transformers import LlamaConfig, LlamaModel

    vocabulary = write_tokenizer(folder, texts)
    config = LlamaConfig(
        vocab_size=vocabulary,
        hidden_size=shape.hidden,
        num_hidden_layers=shape.layers,
        num_attention_heads=shape.heads,
        intermediate_size=shape.intermediate,
        max_position_embeddings=1024,
        pad_token_id=0,
        bos_token_id=1,
        eos_token_id=2,
    )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        LlamaModel(config).save_pretrained(folder)
    return folder


def write_tokenizer(folder: Path, texts: Sequence[str]) -> int:
    """Train and save a tokenizer of words and signs, at most VOCABULARY of them; how many it has."""
    from tokenizers import Tokenizer
    from tokenizers.models import WordLevel
    from tokenizers.pre_tokenizers import Whitespace
    from tokenizers.trainers import WordLevelTrainer
    from transformers import PreTrainedTokenizerFast

    backend = Tokenizer(WordLevel(unk_token=UNKNOWN))
    backend.pre_tokenizer = Whitespace()
    trainer = WordLevelTrainer(vocab_size=VOCABULARY, special_tokens=[*SPECIAL], show_progress=False)
    backend.train_from_iterator(texts, trainer)
    names = dict(zip(("pad_token", "bos_token", "eos_token", "unk_token"), SPECIAL, strict=True))
    folder.mkdir(parents=True, exist_ok=True)
    PreTrainedTokenizerFast(tokenizer_object=backend, **names).save_pretrained(folder)
    return backend.get_vocab_size()


def settings_of(folder: Path) -> dict[str, Any]:
    """How a study names a model of `write_model`."""
    return {"model": str(folder), "pooling": "last", "learning_rate": LEARNING_RATE}
