"""Given features in place of a language model: an array with a row of numbers for each row of a dataset.

A dataset of kind `arrays` gives row i the text `row i of n`; the model looks the row up in its array. So whatever has
features (images, sound, positions of a game, embeddings of another program) goes through the same stages as texts do.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from zipfile import BadZipFile

import numpy as np
import torch
from torch import Tensor, nn

from outshine.engine.errors import ModelError, SettingsError
from outshine.engine.files import user_path
from outshine.engine.rng import stream_seed
from outshine.learn.spec import ClassifierSpec, Full, Head, LoRA, ModelRef, ModelSettings, Tuning

HIDDEN = 256  # units of the hidden layer that full tuning trains
LEARNING_RATES = {"head": 1e-2, "full": 1e-3}
_ROW = re.compile(r"row (\d+) of (\d+)")
_COLUMN = re.compile(r"(.+\.parquet):(.+)", re.DOTALL)


def row_text(number: int, num_rows: int) -> str:
    """What stands for row `number` (from 0) of a table of `num_rows` rows in place of a text."""
    return f"row {number} of {num_rows}"


def read_array(model: str) -> np.ndarray:
    """Read the features by their name: float32, [rows, features].

    Raises ModelError for a file that is none, or holds objects, rows of different lengths, or numbers that are not
    finite.
    """
    column = _COLUMN.fullmatch(model)
    path = user_path(column[1] if column else model)
    try:
        array = _column(path, column[2]) if column else _saved(path)
    except OSError as error:
        raise ModelError(f"array '{model}' cannot be read: {error.strerror or error}") from None
    except (
        ValueError,
        EOFError,
        BadZipFile,
    ) as error:  # the last: an archive of several arrays, or what begins like one
        raise ModelError(f"array '{model}' is none that can be read ({error}); save numbers with numpy.save") from None
    if array.ndim < 2 or not len(array) or array.dtype.kind not in "fiub":
        raise ModelError(
            f"array '{model}' has the shape {array.shape} of {array.dtype}; numbers [rows, features] are expected"
        )
    features = np.asarray(array, dtype=np.float32).reshape(len(array), -1)
    bad = np.flatnonzero(~np.isfinite(features).all(axis=1))
    if bad.size:
        raise ModelError(f"array '{model}': row {bad[0]} has a number that is not finite ({bad.size} such rows)")
    return features


def _saved(path: Path) -> np.ndarray:
    with path.open("rb") as file:
        array = np.load(file, allow_pickle=False)
        if not isinstance(array, np.ndarray):
            raise ValueError("an archive of several arrays")
        return array


def _column(path: Path, name: str) -> np.ndarray:
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        values = pq.read_table(path, columns=[name])[name].to_pylist()
    except (pa.ArrowInvalid, KeyError) as error:
        raise ValueError(f"no column '{name}': {str(error).splitlines()[0]}") from None
    lengths = {len(value) if isinstance(value, list) else None for value in values}
    if len(lengths) > 1 or None in lengths:
        raise ValueError(f"the rows of '{name}' are not lists of one length")
    return np.array(values)


def array_ref(settings: ModelSettings) -> ModelRef:
    """The exact array that a name means, by the sha256 of its numbers and shape."""
    features = read_array(settings.model)
    digest = hashlib.sha256(repr(features.shape).encode() + np.ascontiguousarray(features).tobytes()).hexdigest()
    identity = f"sha256:{digest}"
    if settings.revision.startswith("sha256:") and settings.revision != identity:
        raise ModelError(f"array '{settings.model}' has changed: it is not that of revision {settings.revision[:19]}…")
    path, colon, column = settings.model.partition(".parquet:")
    place = str(user_path(f"{path}.parquet").absolute()) + f":{column}" if colon else str(user_path(path).absolute())
    return ModelRef(identity=identity, name=settings.model, folder=place, num_layers=1)


def array_tuning(settings: ModelSettings) -> Tuning:
    """Head where nothing is said: there are no blocks to adapt. Raises SettingsError for adapters."""
    if isinstance(settings.tuning, LoRA):
        if settings.tuning != LoRA():
            raise SettingsError(
                f"'{settings.model}' is an array: tuning is head (a linear layer) or full (with {HIDDEN} hidden units)"
            )
        return Head()
    return settings.tuning


class FeatureTable(nn.Module):
    """A backbone that looks rows of features up, each column with mean 0 and deviation 1, and a last one of ones.

    The last column is what an offset is learned from, since heads have none. Mean and deviation are over all rows of
    the array, those of test among them: no label is. With full tuning a hidden layer of HIDDEN units stands behind.
    """

    def __init__(self, features: Tensor, hidden: bool) -> None:
        super().__init__()
        deviation, mean = torch.std_mean(features.double(), dim=0, correction=0)
        scaled = (features.double() - mean) / deviation.where(deviation > 0, 1.0)
        table = torch.cat([scaled, torch.ones_like(scaled[:, :1])], dim=1).float()
        self.table = nn.Parameter(table, requires_grad=False)
        width = table.shape[1]
        layer: nn.Module = nn.Identity()
        if hidden:
            linear = nn.Linear(width, HIDDEN)
            generator = torch.Generator().manual_seed(stream_seed("hidden layer", width))
            with torch.no_grad():
                linear.weight.normal_(0, width**-0.5, generator=generator)
                linear.bias.zero_()
            layer, width = nn.Sequential(linear, nn.GELU()), HIDDEN
        self.blocks = nn.ModuleList([layer])
        self.config = SimpleNamespace(hidden_size=width, vocab_size=len(table), num_hidden_layers=1, pad_token_id=None)

    def requires_grad_(self, requires_grad: bool = True) -> FeatureTable:
        """The features themselves are never trained."""
        self.blocks.requires_grad_(requires_grad)
        return self

    def state_dict(self, *_: Any, **__: Any) -> dict[str, Tensor]:
        """What was trained; the features lie in their own file."""
        return dict(self.blocks.named_parameters())

    def forward(self, input_ids: Tensor, attention_mask: Tensor | None = None, **_: Any) -> SimpleNamespace:
        """Return the features of rows in place of hidden states: numbers [b, t] -> [b, t, d]."""
        states = self.blocks[0](self.table[input_ids])
        return SimpleNamespace(last_hidden_state=states, hidden_states=None)


def feature_table(spec: ClassifierSpec, device: torch.device) -> nn.Module:
    """The backbone of a classifier on an array."""
    place = spec.model.folder or spec.model.name
    return FeatureTable(torch.from_numpy(read_array(place).copy()), isinstance(spec.tuning, Full)).to(device)


class RowNumbers:
    """A tokenizer of the texts that stand for rows of an array: one token each, its number."""

    all_special_ids: tuple[int, ...] = ()
    all_special_tokens: tuple[str, ...] = ()
    unk_token_id = bos_token_id = eos_token_id = pad_token_id = None

    def __init__(self, ref: ModelRef, num_rows: int) -> None:
        self.ref, self.num_rows = ref, num_rows

    def __call__(self, texts: Sequence[str], **_: Any) -> dict[str, list[list[int]]]:
        """Return the number of each row. Raises ModelError for texts, and for rows of another table."""
        return {"input_ids": [[self._number(text)] for text in texts]}

    def _number(self, text: str) -> int:
        row = _ROW.fullmatch(text)
        if row is None:
            raise ModelError(
                f"'{self.ref.name}' is an array and reads no texts: the dataset must be of kind arrays, whose rows are "
                "those of the array"
            )
        number, num_rows = int(row[1]), int(row[2])
        if num_rows != self.num_rows:
            raise ModelError(
                f"the array '{self.ref.name}' has {self.num_rows:,} rows and the dataset's file {num_rows:,}; each row "
                "of one must be that of the other"
            )
        return number
