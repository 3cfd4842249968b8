"""Tokenized texts of a dataset, shared by the stages that read them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    import pandas as pd

    from outshine.engine.store.store import Store
    from outshine.learn.spec import ModelRef
    from outshine.w2s.stages.prepare import Texts

MOST_UNKNOWN = 0.5  # share of tokens that a tokenizer does not know, from which it is told
KEPT = 4  # results in memory: supervisor and strong model on two datasets
_SLOT = "tokenized"


class TokenizedTexts(NamedTuple):
    """A dataset's texts with their token ids. Shared between stages: not to be changed."""

    frame: (
        pd.DataFrame
    )  # the texts' table plus `tokens` (lists of ids), `shortened` (bool), `unknown` (share of tokens)
    pad_id: int  # fills the padding; masked out everywhere


def tokenized(texts: Texts, model: ModelRef, max_length: int, store: Store, memory: dict[str, Any]) -> TokenizedTexts:
    """All splits' texts as the model reads them, at most `max_length` tokens each.

    Taken from `memory` where an earlier stage left them there; the last few results are kept. Raises
    ModelError where the model has no tokenizer, or one that does not belong to its weights.
    """
    kept: dict[tuple[Any, ...], TokenizedTexts] = memory.setdefault(_SLOT, {})
    wanted = (model.identity, model.trust_remote_code, texts.digest, max_length)
    found = kept.pop(wanted, None) or _tokenize(texts.read(store), model, max_length)
    kept[wanted] = found  # now the youngest
    while len(kept) > KEPT:
        del kept[next(iter(kept))]
    return found


def _tokenize(texts: pd.DataFrame, model: ModelRef, max_length: int) -> TokenizedTexts:
    import pandas as pd

    from outshine.learn.load import load_tokenizer
    from outshine.learn.tokenize import Text, encode

    tokens = load_tokenizer(model)
    marked = texts[["text", "cut_start", "cut_end"]].itertuples(index=False)
    encoded = encode(tokens, [Text(*row) for row in marked], max_length)
    ids = pd.Series(encoded.tokens, index=texts.index)
    frame = texts.assign(tokens=ids, shortened=encoded.shortened, unknown=encoded.unknown)
    return TokenizedTexts(frame, tokens.pad_id)
