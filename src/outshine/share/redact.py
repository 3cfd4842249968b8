"""Redaction of what is published: no paths of this machine, no user, no local settings."""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from outshine.engine.messages import visible, without_secrets
from outshine.learn.tiny_models import TINY_MODELS

if TYPE_CHECKING:
    import pandas as pd

    from outshine.w2s.expand import Resolution

_HOME = str(Path.home()).rstrip("/")
_OF_THE_MACHINE = ("runtime", "executor")  # settings of a study that say where it was computed


class Places:
    """The paths that a study names. What is published has the last part of each, and `…` for the folder above it."""

    def __init__(self, paths: Iterable[str]) -> None:
        named = [Path(path) for path in paths]
        self._shown = {str(path.parent): "…" for path in named if len(path.parent.parts) > 1}
        self._shown |= {_HOME: "~"} if _HOME else {}
        self._shown |= {str(path): path.name for path in named if path.name}
        longest_first = sorted(self._shown, key=len, reverse=True)
        self._pattern = re.compile(rf"(?<![\w.])(?:{'|'.join(map(re.escape, longest_first))})(?![\w-])")

    @classmethod
    def of(cls, resolution: Resolution) -> Places:
        """Of data files, weak labels and models in folders, and the user's home."""
        study = resolution.study
        raw = study.model_dump(mode="json")
        paths = [dataset.get(name) for dataset in raw["datasets"] for name in ("path", "test_path")]
        paths.append(raw["labels"].get("path"))
        models = [resolved.spec.model for resolved in resolution.models]
        local = [model for model in models if model.folder and model.name not in TINY_MODELS]
        paths += [path for model in local for path in (model.name, model.folder)]
        return cls(path for path in paths if path)

    def hidden(self, value: Any) -> Any:
        """The value, or the text anywhere in it, without these paths, without secrets and control characters."""
        if isinstance(value, str):
            return self._hidden_text(value)
        if isinstance(value, dict):
            return {self._hidden_text(str(name)): self.hidden(item) for name, item in value.items()}
        if isinstance(value, list | tuple):
            return [self.hidden(item) for item in value]
        return value

    def hidden_frame(self, frame: pd.DataFrame) -> pd.DataFrame:
        """A table whose texts are without them."""
        texts = [name for name in frame.columns if frame[name].map(lambda cell: isinstance(cell, str)).any()]
        return frame.assign(**{name: frame[name].map(self.hidden) for name in texts})

    def _hidden_text(self, text: str) -> str:
        named = self._pattern.sub(lambda match: self._shown[match[0]], text) if self._shown else text
        return visible(without_secrets(named))


def public_study(resolution: Resolution, places: Places) -> dict[str, Any]:
    """The resolved study as others may run it: without this machine's settings and paths."""
    raw = resolution.study.model_dump(mode="json")
    return places.hidden({name: value for name, value in raw.items() if name not in _OF_THE_MACHINE})


def public_record(record: dict[str, Any], places: Places) -> dict[str, Any]:
    """What an artefact says of itself: key, settings, versions; not the host and its runtime."""
    made = {name: record["made"][name] for name in ("at", "seconds", "python", "packages") if name in record["made"]}
    kept = {name: record[name] for name in ("key", "stage", "version", "label", "fields", "inputs") if name in record}
    return places.hidden({**kept, "made": made})
