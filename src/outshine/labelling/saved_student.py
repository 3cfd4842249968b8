"""A labelling's model as a folder: it labels new texts as the recommended way labels rows without a cheap label."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from contextlib import suppress
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from scipy.special import expit, softmax

from outshine.engine.errors import DataError, StoreError
from outshine.engine.files import write_whole
from outshine.engine.runtime import Runtime
from outshine.engine.settings import explain
from outshine.labelling.options import OfText
from outshine.labelling.probe import PrincipalAxes, ProbeStudent
from outshine.labelling.trusted_sample import Floats, likeliest
from outshine.learn.spec import ClassifierSpec

if TYPE_CHECKING:
    import pandas as pd

    from outshine.engine.store.store import Store
    from outshine.learn.activations import LayerReader
    from outshine.learn.load import TokenizerInfo

SPEC, HEAD, LABELS = "classifier.json", "head.safetensors", "labels.json"


class LinearStudent(NamedTuple):
    """A linear head on the frozen model's last layer, before any final norm, pooled.

    Attributes:
        spec: The model, its pooling, and how long a text may be.
        weight: Of log-odds [d], or of logits [d, K].
        bias: A number, or [K].
        classes: As the file writes them, by number.
        way: The option that it is, as in `outshine.labelling.options.OPTIONS`.
    """

    spec: ClassifierSpec
    weight: Floats
    bias: Floats
    classes: tuple[str, ...]
    way: str

    @classmethod
    def of(
        cls,
        probe: ProbeStudent,
        axes: PrincipalAxes,
        of_text: OfText | None,
        classes: Sequence[str],
        way: str,
        store: Store,
    ) -> LinearStudent:
        """Join the mean of the probes with what trusted rows made of it; `of_text` of None: there were too few."""
        weight, bias = probe.mean_probe(store)
        if weight.ndim > 1:
            weight, bias = weight - weight.mean(axis=1, keepdims=True), bias - bias.mean()
        if of_text is not None:
            weight, bias = of_text.student * weight, of_text.student * bias + of_text.offset
            if len(of_text.columns):
                turned = axes.axes @ of_text.columns
                by_unit = (turned.T / axes.scale).T
                weight, bias = weight + by_unit, bias - axes.mean @ by_unit
        return cls(probe.activations.spec(), weight, np.asarray(bias), tuple(classes), way)

    def save(self, folder: Path) -> None:
        """Write `classifier.json`, `head.safetensors` (weight and bias in float64) and `labels.json`, each whole."""
        from safetensors.numpy import save

        tensors = {"weight": self.weight, "bias": self.bias}
        head = save({name: np.ascontiguousarray(tensor) for name, tensor in tensors.items()})
        spec = self.spec.model_dump_json(indent=1, exclude={"model": {"folder"}})
        labels = json.dumps({"classes": self.classes, "way": self.way}, indent=1, ensure_ascii=False)
        write_whole(folder / HEAD, lambda path: path.write_bytes(head))
        write_whole(folder / SPEC, lambda path: path.write_text(spec, encoding="utf-8"))
        write_whole(folder / LABELS, lambda path: path.write_text(labels, encoding="utf-8"))


class SavedStudent:
    """The model of a labelling, read from the folder `student` that `outshine label` wrote.

    Args:
        folder: That folder.
        model: The folder of the base model, where that was a folder that has moved; other weights are refused.
        trust_remote_code: The base's name once more, where its repository's own code is to be run.
        runtime: Where to compute. None: chosen for this machine.

    Attributes:
        folder: The folder.
        spec: The base model, its pooling, and how long a text may be.
        classes: The classes as the labelled file writes them, by number.
        way: Which of the ways to label the file it is, such as `together`; on texts without a cheap label.

    Raises:
        StoreError: The folder holds no such model, or a damaged one.

    Example:
        >>> student = outshine.load("outshine-label/student")
        >>> student.predict(["where does fofe live ? in"])
        ['no']
    """

    def __init__(
        self,
        folder: Path,
        *,
        model: str | None = None,
        trust_remote_code: str | None = None,
        runtime: Runtime | None = None,
    ) -> None:
        from pydantic import ValidationError

        self.folder, self._runtime = folder, runtime or Runtime()
        self._place, self._trusted = model, trust_remote_code
        try:
            self.spec = ClassifierSpec.model_validate_json((folder / SPEC).read_text(encoding="utf-8"))
            facts: Mapping[str, Any] = json.loads((folder / LABELS).read_text(encoding="utf-8"))
            self.classes, self.way = tuple(map(str, facts["classes"])), str(facts["way"])
        except ValidationError as error:
            raise StoreError(str(explain(error, f"{SPEC} of {folder}"))) from None
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise StoreError(f"the folder {folder} holds no model of a labelling ({error})") from None

    def __repr__(self) -> str:
        return f"<student of a labelling, {self.spec.name}: {', '.join(self.classes)}>"

    def predict_proba(self, texts: Sequence[str] | pd.Series) -> np.ndarray:
        """Predict P(class 1) of texts, or the probability of each class.

        Args:
            texts: Texts as those of the labelled file.

        Returns:
            P(class 1), float64, [n]; of K classes their probabilities, [n, K].

        Raises:
            DataError: Something else than texts is given.
            ModelError: The base model cannot be had.
            HubError: The base model could not be fetched.
        """
        several = [texts] if isinstance(texts, str) else list(texts)
        if isinstance(texts, str) or not all(isinstance(text, str) for text in several):
            raise DataError("a list of texts is expected: predict_proba([text])")
        weight, bias = self._head
        scores = self._states(several, len(weight)) @ weight + bias
        return expit(scores) if scores.ndim == 1 else softmax(scores, axis=1)

    def predict(self, texts: Sequence[str] | pd.Series) -> list[str]:
        """Return the likeliest class of each text, as the labelled file writes it. Arguments as for `predict_proba`."""
        return [self.classes[number] for number in likeliest(self.predict_proba(texts))]

    def _states(self, texts: Sequence[str], size: int) -> Floats:
        """Return the last layer's pooled state of each text, [n, d]."""
        from outshine.learn.activations import states_of
        from outshine.learn.batches import evaluation_limits, micro_batches
        from outshine.learn.tokenize import Text, encode, longest_text

        states = np.zeros((len(texts), size))
        if not len(texts):
            return states
        reader, tokens = self._model
        rows = encode(tokens, [Text(text) for text in texts], self.spec.max_length).tokens
        device = next(reader.backbone.parameters()).device
        limits = evaluation_limits(self._runtime, device.type)
        sharing = reader.sharing(longest_text(rows), self.spec.compute_dtype)
        for batch in micro_batches([len(ids) for ids in rows], range(len(rows)), limits, sharing):
            by_layer = states_of(reader, [rows[row] for row in batch], tokens.pad_id, device, sharing)
            states[batch] = by_layer[self.spec.num_layers].double().cpu().numpy()
        return states

    @cached_property
    def _head(self) -> tuple[Floats, Floats]:
        from safetensors import SafetensorError
        from safetensors.numpy import load_file

        try:
            head = load_file(self.folder / HEAD)
            return head["weight"], head["bias"]
        except (SafetensorError, OSError, KeyError) as error:
            raise StoreError(f"{self.folder / HEAD} is damaged ({error})") from None

    @cached_property
    def _model(self) -> tuple[LayerReader, TokenizerInfo]:
        from outshine.learn.activations import LayerReader
        from outshine.learn.device import pick_device
        from outshine.learn.load import load_backbone, load_tokenizer
        from outshine.learn.saved_models import find_base

        found = self.spec.model_copy(update={"model": find_base(self.spec.model, self._place, self._trusted)})
        backbone = load_backbone(found, pick_device(self._runtime)).requires_grad_(False).eval()
        reader = LayerReader(backbone, found.num_layers, [found.num_layers], found.pooling)
        return reader, load_tokenizer(found.model)


def is_saved_student(place: str) -> bool:
    """Whether a folder holds the model of a labelling."""
    return (Path(place) / LABELS).is_file() and (Path(place) / SPEC).is_file()


def remove_saved_student(folder: Path) -> None:
    """Remove the model of a labelling where one is there, and the folder if nothing else is in it."""
    if is_saved_student(str(folder)):
        for name in (LABELS, SPEC, HEAD):
            (folder / name).unlink(missing_ok=True)
        with suppress(OSError):
            folder.rmdir()
