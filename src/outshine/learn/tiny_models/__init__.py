"""The embedded models: three tiny Llamas pretrained from scratch on the synthetic world. No torch at import."""

from __future__ import annotations

from pathlib import Path

SIZES = ("weak", "middle", "strong")
"""From the model that read and holds least to the one that read and holds most."""

WEIGHTS = Path(__file__).parent / "weights"

TINY_MODELS: dict[str, Path] = {f"tiny/{size}": WEIGHTS / size for size in SIZES}
"""Folders as transformers saves them (config, safetensors weights, tokenizer), by the name users type."""

RECORD = WEIGHTS / "record.json"
"""How the shipped weights were made and what they had learned at the end: seed, settings, tokens, loss, cloze."""
