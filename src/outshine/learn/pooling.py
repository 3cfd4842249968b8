"""The choice of pooling where the user leaves it open: as a sentence encoder says, else by architecture."""

from __future__ import annotations

import json
from pathlib import Path, PurePosixPath
from typing import Any

from outshine.engine.errors import ModelError, SettingsError
from outshine.learn.config_checks import read_json
from outshine.learn.spec import ModelSettings, Pooling

MODULES = "modules.json"  # of sentence-transformers: what a text goes through
DEFAULT_POOLING = "1_Pooling/config.json"

_PREFIX = "pooling_mode"
_MODES: dict[str, Pooling] = {  # of sentence-transformers, which has others, and several at once
    "cls": "first",
    "cls_token": "first",
    "mean": "mean",
    "mean_tokens": "mean",
    "lasttoken": "last",
}
_NO_LOSS = ("Normalize", "Dropout")  # a head of its own makes up for what these do behind the pooling


def choose_pooling(settings: ModelSettings, config: dict[str, Any], folder: Path) -> tuple[Pooling, str | None]:
    """The pooling, and a note where it is not all that a sentence encoder does to a text.

    `auto`: as the sentence encoder says, else last for decoders, else the encoder's own. Raises ModelError where it
    says what outshine does not do, and SettingsError for a pooling that reads nothing of the text.
    """
    chosen: Pooling | None = None if settings.pooling == "auto" else settings.pooling
    note = None
    if chosen is None:
        chosen, note = _of_sentences(folder, settings.model)
    if chosen is None:
        return ("last" if is_causal(config) else "own"), note
    if chosen in ("first", "own") and is_causal(config):
        raise SettingsError(
            f"model '{settings.model}' is a decoder: its first token sees nothing of the text; "
            f"pooling '{chosen}' is for encoders, use last or mean"
        )
    return chosen, note


def pooling_file(folder: Path, name: str) -> str | None:
    """Where in its repository a sentence encoder describes its pooling; None where it has none of its own.

    Raises ModelError for a list of modules that is none, or leads elsewhere.
    """
    modules = _modules(folder, name)
    if modules is None:
        return DEFAULT_POOLING
    paths = [path for kind, path in modules if kind == "Pooling"]
    return (PurePosixPath(paths[0]) / "config.json").as_posix() if paths else None


def is_causal(config: dict[str, Any]) -> bool:
    """Whether a model is a decoder: its checkpoint says so, else transformers has only heads that write for its type.

    BERT and RoBERTa have both heads; for them the checkpoint's own `is_decoder` decides.
    """
    architectures = " ".join(config.get("architectures") or ())
    if "CausalLM" in architectures or "LMHead" in architectures:
        return True
    if "MaskedLM" in architectures:
        return bool(config.get("is_decoder"))
    from transformers.models.auto.modeling_auto import (
        MODEL_FOR_CAUSAL_LM_MAPPING_NAMES,
        MODEL_FOR_IMAGE_TEXT_TO_TEXT_MAPPING_NAMES,
        MODEL_FOR_MASKED_LM_MAPPING_NAMES,
    )

    kind = config.get("model_type") or ""
    if kind in MODEL_FOR_MASKED_LM_MAPPING_NAMES:
        return bool(config.get("is_decoder"))
    whole = kind.removesuffix("_text")  # a multimodal model, of which this is the part that writes
    return kind in MODEL_FOR_CAUSAL_LM_MAPPING_NAMES or whole in MODEL_FOR_IMAGE_TEXT_TO_TEXT_MAPPING_NAMES


def _of_sentences(folder: Path, name: str) -> tuple[Pooling | None, str | None]:
    """What a sentence encoder says, and a note on what it does behind the pooling; (None, None): it is none."""
    modules = _modules(folder, name)
    note = None
    if modules is not None:
        kinds = [kind for kind, _ in modules]
        pooled = kinds.index("Pooling") if "Pooling" in kinds else len(kinds)
        before, behind = kinds[:pooled], kinds[pooled + 1 :]
        if before[:1] != ["Transformer"] or any(kind not in _NO_LOSS for kind in before[1:]) or "Pooling" in behind:
            raise _other(name, f"reads its texts through {', '.join(kinds) or 'nothing'}", MODULES)
        if pooled == len(kinds):
            return None, None
        lost = [kind for kind in behind if kind not in _NO_LOSS]
        if lost:
            note = f"{name}: {', '.join(lost)} behind its pooling is left out; the head reads the pooled states"
    place = pooling_file(folder, name)
    if place is None or not (folder / place).is_file():
        if modules is not None:
            raise _other(name, "lacks the settings of its pooling", str(place))
        return None, None
    modes = _modes(read_json(folder / place, name))
    poolings: set[Pooling | None] = {_MODES.get(mode) for mode in modes}
    if len(poolings) != 1 or None in poolings:
        raise _other(name, f"pools by {' and '.join(sorted(modes)) or 'a mode that it does not name'}", place)
    return poolings.pop(), note


def _modes(settings: dict[str, Any]) -> set[str]:
    """The modes that are on, in either spelling: one setting that names them, or one for each."""
    named = settings.get(_PREFIX)
    if named is not None:
        return {str(mode) for mode in (named if isinstance(named, list) else [named])}
    return {
        setting.removeprefix(f"{_PREFIX}_")
        for setting, value in settings.items()
        if setting.startswith(f"{_PREFIX}_") and value
    }


def _modules(folder: Path, name: str) -> list[tuple[str, str]] | None:
    """Class and folder of each module of a sentence encoder; None where the model is no such."""
    path = folder / MODULES
    if not path.is_file():
        return None
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
        modules = [(str(one["type"]).rpartition(".")[2], str(one["path"])) for one in found]
    except (OSError, ValueError, RecursionError, TypeError, KeyError) as error:
        raise _other(name, f"has no list of modules ({type(error).__name__})", MODULES) from None
    for _, inside in modules:
        if PurePosixPath(inside).is_absolute() or ".." in PurePosixPath(inside).parts or "\0" in inside:
            raise _other(name, f"names the folder {inside!r}", MODULES)
    return modules


def _other(name: str, what: str, where: str) -> ModelError:
    return ModelError(
        f"model '{name}' {what} ({where}), which outshine does not do; choose with pooling: last, first, mean or own"
    )
