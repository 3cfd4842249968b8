"""Pretraining of the tiny models: their tokenizer, their training on the tiny world, and what they know of it."""

from __future__ import annotations

import json
import math
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import torch
from pydantic import PositiveFloat, PositiveInt
from torch import Tensor
from torch.nn import functional

from outshine.data.tiny_world import (
    BOS,
    PAD,
    PAD_ID,
    UNK,
    Attribute,
    CorpusSettings,
    TinyCorpus,
    World,
    WorldSettings,
    make_world,
    question,
    vocabulary,
)
from outshine.engine.errors import SettingsError
from outshine.engine.progress import Progress, Silent
from outshine.engine.rng import stream_seed
from outshine.engine.settings import Settings
from outshine.learn.tiny_models import SIZES

REPORT_EVERY = 20  # updates between two signs of progress; the recorded loss is a mean over the last 100


class SizeSettings(Settings):
    """One model: its shape, what it reads and for how long.

    `coverage` and `seldom` say how much of the world the corpus tells often (see CorpusSettings);
    `learning_rate` is the peak of a cosine with warm-up.
    """

    hidden_size: PositiveInt
    intermediate_size: PositiveInt
    num_heads: PositiveInt
    coverage: float
    seldom: float = 0.01
    num_layers: PositiveInt = 2
    steps: PositiveInt = 2800  # optimizer updates
    batch: PositiveInt = 256  # sentences an update
    learning_rate: PositiveFloat = 8e-3
    warmup_steps: PositiveInt = 100
    weight_decay: float = 0.1
    init_std: PositiveFloat = 0.05  # a larger start than usual (.02) memorised facts sooner


DEFAULT_SIZES: dict[str, SizeSettings] = {
    "weak": SizeSettings(
        hidden_size=32, intermediate_size=96, num_heads=2, coverage=0.2, learning_rate=1.2e-2, steps=2000
    ),
    "middle": SizeSettings(
        hidden_size=48, intermediate_size=160, num_heads=3, coverage=0.5, learning_rate=1e-2, steps=2400
    ),
    "strong": SizeSettings(hidden_size=64, intermediate_size=256, num_heads=4, coverage=1.0, learning_rate=1e-2),
}
"""The shipped models: each has less room, fewer updates and less told to it often than the next."""

DEFAULT_SEED = 0
"""The shipped models' own."""


class SizeRecord(NamedTuple):
    """What one pretraining run came to. `cloze`: by attribute, see `cloze`."""

    parameters: int
    tokens: int  # read, padding not counted
    loss: float  # nats a word, mean over the last 100 updates
    seconds: float
    cloze: Mapping[str, Cloze]


def pretrain(
    out: Path,
    seed: int = DEFAULT_SEED,
    sizes: Mapping[str, SizeSettings] | Sequence[str] | None = None,
    progress: Progress | None = None,
    world_settings: WorldSettings | None = None,
) -> dict[str, Any]:
    """Pretrain models and write each to `out/<size>` as transformers loads it; returns what `out/record.json` holds.

    `sizes`: names of the shipped sizes or settings of one's own; None: all three. `seed` varies the
    initial weights and the order of sentences, never the world. Equal arguments, thread counts and
    versions give equal bytes. Raises SettingsError for an unknown size.
    """
    chosen = _choose(sizes)
    progress = progress or Silent()
    world = make_world(world_settings or WorldSettings())
    record: dict[str, Any] = {"seed": seed, "world": world.settings.digest, "torch": torch.__version__, "sizes": {}}
    record["threads"] = torch.get_num_threads()
    for number, (name, settings) in enumerate(chosen.items(), start=1):
        progress.stage(number, len(chosen), f"pretrain tiny/{name}")
        model, result = pretrain_one(world, name, settings, seed, progress)
        save(model, world, out / name)
        record["sizes"][name] = {
            "settings": settings.model_dump(),
            **result._asdict(),
            "cloze": {attribute: score._asdict() for attribute, score in result.cloze.items()},
        }
    out.mkdir(parents=True, exist_ok=True)  # no sizes, no folders
    (out / "record.json").write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")
    return record


def pretrain_one(
    world: World, name: str, settings: SizeSettings, seed: int, progress: Progress
) -> tuple[torch.nn.Module, SizeRecord]:
    """Return one causal language model, trained by next-word prediction. `name` only names its random streams."""
    started = time.perf_counter()
    model = initial_model(world, settings, stream_seed("tiny/init", name, seed))
    corpus = TinyCorpus(
        world,
        CorpusSettings(coverage=settings.coverage, seldom=settings.seldom),
        seed=stream_seed("tiny/corpus", name, seed),
    )
    optimizer = torch.optim.AdamW(
        model.parameters(), settings.learning_rate, (0.9, 0.98), weight_decay=settings.weight_decay, fused=True
    )
    tokens, losses = 0, []
    for step, rows in zip(range(settings.steps), corpus.batches(settings.batch), strict=False):
        for group in optimizer.param_groups:
            group["lr"] = settings.learning_rate * _rate(step, settings)
        ids = torch.from_numpy(rows)
        loss = next_word_loss(model, ids, corpus.num_words)
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        tokens += int((ids != PAD_ID).sum())
        losses.append(loss.item())
        if (step + 1) % REPORT_EVERY == 0 or step + 1 == settings.steps:
            progress.advance(step + 1, settings.steps, "updates")
    recent = losses[-100:]
    parameters = sum(p.numel() for p in model.parameters())
    seconds = round(time.perf_counter() - started, 1)
    return model, SizeRecord(parameters, tokens, round(sum(recent) / len(recent), 4), seconds, cloze(model, world))


def initial_model(world: World, settings: SizeSettings, seed: int) -> Any:
    """Return the model before it has read anything: the control that shows what pretraining contributes."""
    from transformers import LlamaConfig, LlamaForCausalLM

    config = LlamaConfig(
        vocab_size=len(vocabulary(world)),
        hidden_size=settings.hidden_size,
        intermediate_size=settings.intermediate_size,
        num_hidden_layers=settings.num_layers,
        num_attention_heads=settings.num_heads,
        max_position_embeddings=64,
        initializer_range=settings.init_std,
        tie_word_embeddings=True,
        pad_token_id=PAD_ID,
        bos_token_id=PAD_ID + 1,
        eos_token_id=None,
    )
    with torch.random.fork_rng(devices=[]):  # transformers initialises from torch's global state
        torch.manual_seed(seed)
        model = LlamaForCausalLM(config)
    model.set_attn_implementation("eager")  # faster than the fused kernel at a dozen tokens
    return model.train()


def next_word_loss(model: Any, ids: Tensor, num_words: int) -> Tensor:
    """Return mean cross-entropy of the next token over `ids` (n, length), names and padding left out.

    Who a sentence is about cannot be foreseen, so names (ids from `num_words` on) are neither targets
    nor candidates: the softmax runs over the words alone, which also makes it six times cheaper.
    """
    hidden = model.model(ids[:, :-1], use_cache=False).last_hidden_state
    targets = ids[:, 1:]
    is_word = (targets != PAD_ID) & (targets < num_words)
    return functional.cross_entropy(hidden[is_word] @ model.lm_head.weight[:num_words].T, targets[is_word])


def save(model: Any, world: World, folder: Path) -> None:
    """Weights, config and tokenizer as `AutoModel` and `AutoTokenizer` load them."""
    from transformers.utils import logging as hf_logging

    folder.mkdir(parents=True, exist_ok=True)
    bars = hf_logging.is_progress_bar_enabled()
    hf_logging.disable_progress_bar()
    try:
        model.save_pretrained(folder)
    finally:
        if bars:
            hf_logging.enable_progress_bar()
    (folder / "model.safetensors").chmod(0o644)  # written for its owner alone, but a package is for all
    (folder / "generation_config.json").unlink(missing_ok=True)  # these models are not for generating
    save_tokenizer(world, folder)


def _choose(sizes: Mapping[str, SizeSettings] | Sequence[str] | None) -> dict[str, SizeSettings]:
    if isinstance(sizes, Mapping):
        return dict(sizes)
    names = SIZES if sizes is None else tuple(sizes)
    unknown = [name for name in names if name not in DEFAULT_SIZES]
    if unknown:
        raise SettingsError(f"unknown size '{unknown[0]}'; known: {', '.join(SIZES)}")
    return {name: DEFAULT_SIZES[name] for name in names}


def _rate(step: int, settings: SizeSettings) -> float:
    """Return a linear warm-up times a cosine from 1 to .05."""
    warm = min(1.0, (step + 1) / settings.warmup_steps)
    return warm * (0.05 + 0.95 * 0.5 * (1 + math.cos(math.pi * step / settings.steps)))


class Cloze(NamedTuple):
    """Over all people: the share whose value is named right, and whose category gets the most probability."""

    value: float
    category: float


@torch.no_grad()
def cloze(model: Any, world: World) -> dict[str, Cloze]:
    """Return cloze accuracy by attribute: the question is asked up to the answer, the likeliest word is the answer.

    Chance is about 1 / (number of values) for the value and one half for the category.
    """
    ids = {token: i for i, token in enumerate(vocabulary(world))}
    model.eval()
    return {attribute.name: _ask(model, world, attribute, ids) for attribute in world.attributes}


def _ask(model: Any, world: World, attribute: Attribute, ids: dict[str, int]) -> Cloze:
    questions = [f"{BOS} {question(attribute.name, name)}".split() for name in world.people]
    hidden = model.model(torch.tensor([[ids[word] for word in question] for question in questions])).last_hidden_state
    num_words = len(ids) - len(world.people)
    logits = hidden[:, -1] @ model.lm_head.weight[:num_words].T  # (people, words)
    facts = world.facts[attribute.name]
    right = logits.argmax(dim=1) == torch.tensor([ids[value] for value in facts])
    among = logits[:, [ids[value] for value in attribute.values]].softmax(dim=1)
    says_positive = among[:, : len(attribute.positive)].sum(dim=1) > 0.5
    is_positive = torch.tensor([attribute.is_positive(value) for value in facts])
    return Cloze(
        round(right.double().mean().item(), 4), round((says_positive == is_positive).double().mean().item(), 4)
    )


MAX_LENGTH = 64  # tokens


def save_tokenizer(world: World, folder: Path) -> None:
    """Write `tokenizer.json` and `tokenizer_config.json` into the folder."""
    from tokenizers import Tokenizer, models, pre_tokenizers, processors

    ids = {token: i for i, token in enumerate(vocabulary(world))}
    tokenizer = Tokenizer(models.WordLevel(ids, unk_token=UNK))
    tokenizer.add_special_tokens([PAD, BOS, UNK])
    tokenizer.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    tokenizer.post_processor = processors.TemplateProcessing(single=f"{BOS} $A", special_tokens=[(BOS, ids[BOS])])
    tokenizer.save(str(folder / "tokenizer.json"))
    config = {
        "tokenizer_class": "PreTrainedTokenizerFast",
        "model_max_length": MAX_LENGTH,
        "pad_token": PAD,
        "bos_token": BOS,
        "unk_token": UNK,
        "padding_side": "right",
        "clean_up_tokenization_spaces": False,
    }
    (folder / "tokenizer_config.json").write_text(json.dumps(config, indent=1) + "\n", encoding="utf-8")
