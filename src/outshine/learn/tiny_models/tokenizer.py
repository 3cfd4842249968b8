"""The tokenizer of the embedded models: one token a word, BOS in front, as `AutoTokenizer` loads it offline."""

from __future__ import annotations

import json
from pathlib import Path

from outshine.data.tiny_world import BOS, PAD, UNK, World, vocabulary

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
