"""Texts are tokenised once for all stages that read them with the same model and limit."""

from __future__ import annotations

import pandas as pd
import pytest

from outshine.learn import load, tokenize
from outshine.learn.resolve import resolve
from outshine.learn.spec import ModelSettings
from outshine.learn.tokenize import Text, encode
from outshine.w2s.stages.prepare import KEPT, Texts, tokenized


@pytest.fixture
def loads(monkeypatch):
    """The names of the tokenizers loaded so far."""
    seen = []
    original = load.load_tokenizer
    monkeypatch.setattr(load, "load_tokenizer", lambda ref: seen.append(ref.name) or original(ref))
    return seen


def ref(name="tiny/strong"):
    return resolve(ModelSettings(model=name), "float32").spec.model


@pytest.mark.parametrize("limit", [6, 64])
def test_rows_have_the_tokens_of_their_own_text(limit, executor, texts):
    frame, pad_id = tokenized(texts, ref(), limit, executor.store, {})
    raw = texts.read(executor.store)
    tokens = load.load_tokenizer(ref())
    pd.testing.assert_frame_equal(frame[list(raw.columns)], raw)
    assert pad_id == tokens.pad_id
    assert frame["shortened"].all() == frame["shortened"].any() == (limit == 6)
    for row in frame.head(40).to_dict("records"):
        alone = encode(tokens, [Text(row["text"], row["cut_start"], row["cut_end"])], limit)
        assert (row["tokens"], row["shortened"]) == (alone.tokens[0], alone.shortened[0])


def test_a_second_stage_gets_the_same_without_tokenising(executor, texts, loads, monkeypatch):
    memory = {}
    first = tokenized(texts, ref(), 64, executor.store, memory)
    monkeypatch.setattr(tokenize, "encode", lambda *given: pytest.fail("tokenised again"))
    second = tokenized(texts, ref(), 64, executor.store, memory)
    assert second.frame is first.frame
    assert loads == ["tiny/strong"]


def test_another_limit_model_or_dataset_is_tokenised(executor, texts, loads):
    memory = {}
    long = tokenized(texts, ref(), 64, executor.store, memory).frame
    short = tokenized(texts, ref(), 6, executor.store, memory).frame
    assert long["tokens"].map(len).max() > 6 == short["tokens"].map(len).max()
    tokenized(texts, ref("tiny/weak"), 64, executor.store, memory)
    other = Texts(digest="another", origin=texts.origin)
    assert tokenized(other, ref(), 64, executor.store, memory).frame is not long
    assert loads == ["tiny/strong", "tiny/strong", "tiny/weak", "tiny/strong"]


def test_what_was_not_used_for_longest_is_forgotten_first(executor, texts, loads):
    memory = {}
    limits = range(20, 20 + KEPT)
    for limit in [*limits, 20, 50, 20]:  # 50 is one too many: 21 goes, for 20 was used since
        tokenized(texts, ref(), limit, executor.store, memory)
    assert len(loads) == KEPT + 1
    tokenized(texts, ref(), 21, executor.store, memory)
    assert len(loads) == KEPT + 2


def test_stages_share_and_do_not_change_the_rows(executor, texts, loads):
    from outshine.w2s.stages.activations import Activations

    spec = resolve(ModelSettings(model="tiny/strong"), "float32").spec
    settings = spec.model_dump(include={"num_layers", "pooling", "max_length", "compute_dtype"})
    before = tokenized(texts, spec.model, spec.max_length, executor.store, executor.memory).frame
    copy = before.copy(deep=True)
    executor.run([Activations(model=spec.model, texts=texts, layer=layer, **settings) for layer in (0, 1)])
    assert loads == ["tiny/strong"]
    after = tokenized(texts, spec.model, spec.max_length, executor.store, executor.memory).frame
    assert after is before
    pd.testing.assert_frame_equal(after, copy)
