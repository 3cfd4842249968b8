"""Activations: hidden states of the pretrained strong model, which probes and filters look at."""

from __future__ import annotations

import json
from contextlib import ExitStack, suppress
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Annotated, Any, ClassVar

from pydantic import NonNegativeInt, PositiveInt

from outshine.engine.checked_reading import read_table
from outshine.engine.errors import DataError, ModelError, OutshineError
from outshine.engine.process_group import processes_in
from outshine.engine.settings import NotInKey
from outshine.engine.stage import Context, Cost, Stage
from outshine.learn.spec import ClassifierSpec, ComputeDtype, Head, ModelRef, Pooling
from outshine.w2s.stages.labels import LabelSource, labels_of
from outshine.w2s.stages.predictor import predicted_splits
from outshine.w2s.stages.prepare import Texts, tokenized

if TYPE_CHECKING:
    from pathlib import Path

    import pandas as pd
    import torch

    from outshine.engine.store.store import Store
    from outshine.learn.model_checks import Sharing
    from outshine.learn.probes.base import Labelled
    from outshine.w2s.cost import Estimator


IDS, ACTIVATIONS, SUMMARY = "ids.parquet", "activations.safetensors", "summary.json"


class Activations(Stage):
    """One layer's pooled hidden states of the texts of strong_train, val and test; of pairs the first's less the
    second's.

    Writes `activations.safetensors` (one tensor a split, its rows in the order of their ids, in the dtype
    they were computed in), `ids.parquet` (id, split, row in the split's tensor) and `summary.json`.

    Each layer is a stage of its own, so that results do not depend on which other layers a study looks at.
    Yet the first of `together` to run reads all of them in one pass, which ends after the deepest, and
    leaves the others' finished files in their work folders, where those stages find them.
    """

    VERSION: ClassVar[int] = 1
    stage: ClassVar[str] = "activations"
    shares_pass: ClassVar[bool] = True

    model: ModelRef
    num_layers: Annotated[PositiveInt, NotInKey()]  # blocks that are loaded: those above `layer` do not matter
    pooling: Pooling
    max_length: PositiveInt  # tokens
    compute_dtype: ComputeDtype
    texts: Texts
    layer: NonNegativeInt  # blocks passed; 0: embeddings
    together: Annotated[tuple[NonNegativeInt, ...], NotInKey()] = ()

    @property
    def label(self) -> str:
        return f"activations of {self.model.name} on {self.texts.origin.name}, layer {self.layer}"

    @property
    def plan_row(self) -> tuple[int, str]:
        return 5, "activations"

    def cost(self, estimator: Estimator) -> Cost:
        return estimator.reading(self)

    @property
    def base_model(self) -> str:
        return self.model.identity

    def run(self, context: Context) -> None:
        processes = processes_in(context.memory)
        if not processes.broadcast(processes.is_main and self._found(context)):
            self._read_layers(context)
        texts = _asked(self.texts.read(context.store))
        rows = texts.groupby("split").cumcount()
        texts[["id", "split"]].assign(row=rows).to_parquet(context.folder / IDS, index=False)

    def read(self, store: Store, split: str, device: torch.device | str = "cpu") -> tuple[list[str], torch.Tensor]:
        """Ids and activations [n, d] of a split, in the order of ids, read straight to the device."""
        from safetensors import safe_open

        ids = read_table(store, self.key, IDS, {"id": "text", "split": "text"})
        with safe_open(store.file(self.key, ACTIVATIONS), framework="pt", device=str(device)) as file:
            return ids.loc[ids["split"] == split, "id"].tolist(), file.get_tensor(split)

    def _found(self, context: Context) -> bool:
        """Whether a pass for another layer left this one's file."""
        names = (ACTIVATIONS, SUMMARY)
        if not all((context.work / name).is_file() for name in names):
            return False
        for name in names:
            (context.work / name).replace(context.folder / name)
        return True

    def _read_layers(self, context: Context) -> None:
        """Make one pass for this layer and those of `together` that the store lacks."""
        from outshine.learn.device import pick_device
        from outshine.learn.model_cache import pretrained

        others = {layer: self._at(layer).key for layer in self.together if layer != self.layer}
        processes = processes_in(context.memory)
        lacking = processes.broadcast([layer for layer, key in others.items() if not context.store.has(key)])
        others = {layer: others[layer] for layer in lacking}
        folders = {self.layer: context.folder} | {layer: context.work / str(layer) for layer in others}
        tokenized_texts = tokenized(self.texts, self.model, self.max_length, context.store, context.memory)
        frame = _asked(tokenized_texts.frame)
        with pretrained(self.spec(), pick_device(context.runtime), context.memory) as backbone:
            self._stream(backbone, frame, tokenized_texts.pad_id, folders, context)
        if not processes.is_main:
            return
        summary = json.dumps({"rows": len(frame), "shortened": int(frame["shortened"].sum())}, indent=1)
        for folder in folders.values():
            (folder / SUMMARY).write_text(summary, encoding="utf-8")
        for layer, key in others.items():
            _hand_over(folders[layer], context.store.work(key))

    def _stream(
        self, backbone: torch.nn.Module, frame: pd.DataFrame, pad_id: int, folders: dict[int, Path], context: Context
    ) -> None:
        """Send batches of similar length through the model; each row goes to its place in each layer's file at once."""
        from outshine.learn.activations import LayerReader, states_of
        from outshine.learn.batches import evaluation_limits, micro_batches
        from outshine.learn.distributed import gather_states, shard_batches
        from outshine.learn.model_checks import APART
        from outshine.learn.tokenize import longest_text

        tokens, splits = frame["tokens"].tolist(), frame["split"].tolist()
        places = frame.groupby("split").cumcount().tolist()
        sizes = {split: splits.count(split) for split in predicted_splits(splits)}
        reader = LayerReader(backbone, self.num_layers, list(folders), self.pooling)
        device = next(backbone.parameters()).device
        limits = evaluation_limits(context.runtime, device.type)
        done, processes, lengths = 0, processes_in(context.memory), [len(ids) for ids in tokens]
        sharing: Sharing = processes.broadcast(reader.sharing(longest_text(tokens), self.compute_dtype))
        if sharing != "any":
            context.progress.note(f"{self.label}: {APART[sharing]}")
        batches = micro_batches(lengths, range(len(tokens)), limits, sharing)
        with ExitStack() as stack:
            files: dict[int, RowFile] = {}
            for batch in shard_batches(batches, processes):
                batch_states = states_of(reader, [tokens[row] for row in batch.rows], pad_id, device, sharing)
                for rows, by_layer in gather_states(batch, batch_states, processes):
                    self._check(by_layer)
                    for layer, states in by_layer.items() if processes.is_main else ():
                        if layer not in files:
                            files[layer] = stack.enter_context(
                                RowFile(_made(folders[layer]) / ACTIVATIONS, sizes, states.shape[1], states.dtype)
                            )
                        for row, state in zip(rows, states.cpu(), strict=True):
                            files[layer].put(splits[row], places[row], state)
                    done += len(rows)
                context.progress.advance(done, len(tokens), "texts")

    def _check(self, by_layer: dict[int, torch.Tensor]) -> None:
        for layer, states in by_layer.items():
            if not states.isfinite().all():
                raise ModelError(
                    f"activations of {self.model.name} at layer {layer} are not finite; "
                    "use compute_dtype: float32 or another layer"
                )

    def _at(self, layer: int) -> Activations:
        """The same for another layer."""
        return Activations(**{**{name: getattr(self, name) for name in type(self).model_fields}, "layer": layer})

    def spec(self) -> ClassifierSpec:
        """Return how the base is loaded."""
        return ClassifierSpec(
            model=self.model,
            num_layers=self.num_layers,
            pooling=self.pooling,
            tuning=Head(),
            max_length=self.max_length,
            compute_dtype=self.compute_dtype,
        )


def _asked(texts: pd.DataFrame) -> pd.DataFrame:
    return texts[texts["split"].isin(predicted_splits(texts["split"]))].reset_index(drop=True)


def _made(folder: Path) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def _hand_over(folder: Path, target: Path) -> None:
    """Leave a folder's files for another stage, whole or not at all; what another process left there stays."""
    target.parent.mkdir(parents=True, exist_ok=True)
    if not target.exists():
        with suppress(FileExistsError):
            folder.rename(target)


_NAMES = {"float64": "F64", "float32": "F32", "bfloat16": "BF16", "float16": "F16"}


class RowFile:
    """Tensors [rows, width] of one dtype under their names; rows are put where they belong as they come.

    Format: 8 bytes little-endian length of the header, the header in JSON, then the tensors' bytes.
    """

    def __init__(self, path: Path, sizes: dict[str, int], width: int, dtype: torch.dtype) -> None:
        name, self._row_bytes = str(dtype).removeprefix("torch."), width * dtype.itemsize
        header: dict[str, object] = {"__metadata__": {"format": "pt"}}
        self._starts, offset = {}, 0
        for tensor, num_rows in sizes.items():
            end = offset + num_rows * self._row_bytes
            header[tensor] = {"dtype": _NAMES[name], "shape": [num_rows, width], "data_offsets": [offset, end]}
            self._starts[tensor], offset = offset, end
        text = json.dumps(header, separators=(",", ":")).encode()
        text += b" " * (-len(text) % 8)
        self._data = 8 + len(text)
        self._file = path.open("wb")
        self._file.write(len(text).to_bytes(8, "little") + text)
        self._file.truncate(self._data + offset)

    def put(self, tensor: str, row: int, values: torch.Tensor) -> None:
        """Write one row."""
        import torch

        self._file.seek(self._data + self._starts[tensor] + row * self._row_bytes)
        self._file.write(values.cpu().contiguous().view(torch.uint8).numpy().tobytes())

    def __enter__(self) -> RowFile:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._file.close()


_MOST_SHOWN = 8  # probabilities of classes in a message


def _shown(label: Any) -> str:
    """A label as a number, or of several classes as numbers, of many the first few."""
    if not label.ndim:
        return f"{label:g}"
    first = " ".join(f"{p:.3g}" for p in label[:_MOST_SHOWN])
    return first if len(label) <= _MOST_SHOWN else f"{first} … ({len(label)} in all)"


def labelled(
    activations: Activations, labels: LabelSource, split: str, store: Store, device: torch.device | str = "cpu"
) -> tuple[Labelled, list[str]]:
    """The rows of a split for probes and filters, on the device, and notes on how classes were made of their labels.

    Raises DataError where all labels are equal: there is nothing to learn from them.
    """
    import torch

    from outshine.learn.probes.base import Labelled

    ids, acts = activations.read(store, split, device)
    p_weak = labels_of(labels.read_labels(store), ids, split).to_numpy(copy=True)
    where = f"{activations.texts.origin.name} {split}"
    hardened = activations.texts.task.harden(p_weak)
    if hardened.y is None:
        raise DataError(f"{where}: all labels are {_shown(p_weak[0])}; probes and filters need labels that differ")
    try:
        rows = Labelled.of(ids, acts, torch.from_numpy(p_weak).to(device), torch.from_numpy(hardened.y).to(device))
    except OutshineError as error:
        raise DataError(f"{where}, layer {activations.layer}: {error}") from error
    return rows, [f"{where}: {hardened.note}"] if hardened.note else []
