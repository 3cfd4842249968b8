"""A trained model or probe read back from a store: what it predicted, and, of a fine-tuning, the model itself."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from outshine.engine.checked_reading import read_table
from outshine.engine.errors import DataError, ModelError, StoreError
from outshine.engine.files import user_path
from outshine.engine.key import canonical_fields
from outshine.engine.runtime import Runtime
from outshine.engine.settings import explain
from outshine.engine.store.index import Query
from outshine.engine.store.store import Store
from outshine.w2s.stages.predictor import PREDICTIONS, predicted_columns, recorded_task
from outshine.w2s.stages.prepare import REPORT, TEXTS, text_columns

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd

    from outshine.data.task import Task
    from outshine.learn.classifier import Classifier
    from outshine.learn.load import TokenizerInfo
    from outshine.learn.spec import ClassifierSpec
    from outshine.learn.tokenize import Text

FINETUNED = ("supervised", "student", "control")
PROBED = ("probing", "truth_probing")
_SHOWN = 12  # hex digits of a key


class Loaded:
    """A supervisor, ceiling, student, control or probe from a store.

    Whatever is asked for is read then, and the model is kept once it is loaded. The store keeps no weights of probes.

    Args:
        store: The store.
        key: The whole key of the artefact.
        model: The folder of the base model, where that was a folder that has moved; other weights are refused.
        trust_remote_code: The base's name once more, where its repository's own code is to be run.
        runtime: Where to compute. None: chosen for this machine.

    Attributes:
        key: The key.
        record: What `DONE.json` says: stage, label, fields, inputs, files, and when, where and with which versions it
            was made.

    Raises:
        StoreError: The artefact is none of these, or its record cannot be read.

    Example:
        >>> student = outshine.load(key, store="store")
        >>> student.predict_proba(["where does fofe live ? in", "where does mobo live ? in"]).shape
        (2,)
    """

    def __init__(
        self,
        store: Store,
        key: str,
        *,
        model: str | None = None,
        trust_remote_code: str | None = None,
        runtime: Runtime | None = None,
    ) -> None:
        self.key = key
        self.record: dict[str, Any] = store.done(key)
        self._store, self._runtime = store, runtime or Runtime()
        self._place, self._trusted = model, trust_remote_code
        if self.record["stage"] not in (*FINETUNED, *PROBED):
            raise StoreError(
                f"artefact {key[:_SHOWN]} is '{self.record['label']}'; a supervisor, ceiling, student, control or "
                "probe is expected: `outshine ls --kind student` lists students"
            )

    def __repr__(self) -> str:
        return f"<{self.record['stage']} {self.key[:_SHOWN]}: {self.record['label']}>"

    @cached_property
    def predictions(self) -> pd.DataFrame:
        """What it predicted when it was made: id, split (strong_train, val, test), log_odds, p = P(y = 1).

        Of several classes log_p_0, log_p_1 … and p_0, p_1 …, the probability of each.
        """
        return read_table(self._store, self.key, PREDICTIONS, predicted_columns(self.task))

    @cached_property
    def task(self) -> Task:
        """What its labels are; of several classes the record has the number, not the names."""
        return recorded_task(self.record["fields"], self._store)

    @cached_property
    def texts(self) -> pd.DataFrame:
        """The texts of its dataset: id, split, text, group, cut_start and cut_end (what may be cut; 0, 0: nothing).

        Raises:
            StoreError: The store does not hold them.
        """

        wanted = self.record["fields"]["texts"]["digest"]
        for entry in self._store.listing(Query(stage="prepare")).entries:
            if not entry.fault and self._report(entry.key).get("texts_digest") == wanted:
                return read_table(self._store, entry.key, TEXTS, text_columns(self.task))
        raise StoreError(f"the texts of {self.key[:_SHOWN]} are not in {self._store.where}; prepare or import them")

    @cached_property
    def spec(self) -> ClassifierSpec:
        """Which base model, how many blocks, pooling, tuning and longest text in tokens.

        Raises:
            ModelError: It is a probe.
            StoreError: The file that says so is damaged.
        """
        from pydantic import ValidationError

        from outshine.learn.spec import ClassifierSpec

        if self.record["stage"] in PROBED:
            raise ModelError(
                f"{self.key[:_SHOWN]} is a probe: the store keeps its predictions (`.predictions`), not its weights; "
                "a student, supervisor or ceiling predicts new texts"
            )
        text = self._store.read(self.key, "classifier.json")
        try:
            spec = ClassifierSpec.model_validate_json(text)
        except ValidationError as error:
            raise StoreError(str(explain(error, f"classifier.json of {self.key[:_SHOWN]}"))) from None
        if canonical_fields(spec) != self.record["fields"]["classifier"]:
            raise StoreError(f"classifier.json of {self.key[:_SHOWN]} is not that of its record; run `outshine verify`")
        return spec

    @cached_property
    def base(self) -> Path:
        """A folder with the base model's config, tokenizer and weights, as transformers loads it.

        Raises:
            ModelError: It is a probe, or the base model is not where it is looked for.
            HubError: The base model could not be fetched.
        """
        from outshine.learn.model_files import weights_folder

        return weights_folder(self._found.model)

    def predict_proba(self, texts: Sequence[str] | pd.Series | pd.DataFrame) -> np.ndarray:
        """Predict P(y = 1) of texts, or the probability of each class.

        Given the stored texts, it equals the stored predictions up to rounding (1e-5 in float32).

        Args:
            texts: Prompts worded as the model was trained on. A frame needs a column `text`; with `cut_start` and
                `cut_end`, as `texts` has them, texts too long for the model are shortened as in training, others at
                their left end. Of a model of pairs: tuples of two texts, or a frame with `text` and `text_b`.

        Returns:
            P(y = 1), float64, [n]; of K classes their probabilities, [n, K].

        Raises:
            DataError: Something else than texts is given.
            ModelError: It is a probe, or the base model cannot be had.
            HubError: The base model could not be fetched.

        Example:
            >>> student.predict_proba(["where does fofe live ? in", "where does mobo live ? in"]).shape
            (2,)
        """
        import numpy as np

        columns = self.task.predicted(self.predict_log_odds(texts))
        p = np.stack([columns[name] for name in self.task.label_columns], axis=-1)
        return p.reshape(-1, *self.task.score_shape)

    def predict_log_odds(self, texts: Sequence[str] | pd.Series | pd.DataFrame) -> np.ndarray:
        """Predict log P(y = 1) − log P(y = 0) of texts, which tells scores near 0 and 1 apart.

        Of several classes these are the logits that the softmax makes probabilities of.

        Args:
            texts: As for `predict_proba`.

        Returns:
            Log-odds, float64, [n]; of K classes logits, [n, K].

        Raises:
            DataError: Something else than texts is given.
            ModelError: It is a probe, or the base model cannot be had.
            HubError: The base model could not be fetched.
        """
        import numpy as np

        from outshine.learn.batches import predict
        from outshine.learn.packing import settle_sharing
        from outshine.learn.tokenize import PairTokens, encode, longest_text

        sides = _sides(texts) if self.task.is_pair else (_rows(texts),)
        if not sides[0]:
            return np.zeros((0, *self.task.score_shape))
        classifier, tokens = self._classifier, self._tokens
        encoded = [encode(tokens, rows, self.spec.max_length).tokens for rows in sides]
        rows = [PairTokens(*both) for both in zip(*encoded, strict=True)] if self.task.is_pair else encoded[0]
        settle_sharing(classifier, longest=longest_text(rows))
        return predict(classifier, rows, tokens.pad_id, self._runtime)

    def save_pretrained(self, folder: str | Path) -> Path:
        """Write what was trained into a folder that other tools load.

        With LoRA it is the adapter in PEFT's format (`adapter_config.json`, `adapter_model.safetensors`), which
        `peft.PeftModel.from_pretrained(base, folder)` loads; after full fine-tuning the model as transformers saves it.
        Beside it lie `head.safetensors` (weight [2, d]: log-odds = row 1 − row 0 of weight · pooled state; of K classes
        [K, d]: logits) and
        `classifier.json` (base, pooling, longest text).

        Args:
            folder: Where to write; it is made if it is not there.

        Returns:
            The folder.

        Raises:
            ModelError: It is a probe.
            StoreError: The folder cannot be written.

        Example:
            >>> folder = student.save_pretrained("student")
            >>> sorted(path.name for path in folder.iterdir())
            ['adapter_config.json', 'adapter_model.safetensors', 'classifier.json', 'head.safetensors']
        """
        spec, target = self.spec, user_path(folder)
        try:
            target.mkdir(parents=True, exist_ok=True)
            for name in _PRETRAINED:
                if name in self.record["files"]:
                    shutil.copyfile(self._store.file(self.key, name), target / Path(name).name)
        except OSError as error:
            raise StoreError(f"cannot write {spec.name} to the folder {target} ({error.strerror})") from None
        return target

    @cached_property
    def _found(self) -> ClassifierSpec:
        """The spec with a base that is there."""
        from outshine.learn.saved_models import find_base

        return self.spec.model_copy(update={"model": find_base(self.spec.model, self._place, self._trusted)})

    @cached_property
    def _classifier(self) -> Classifier:
        from outshine.learn.device import pick_device
        from outshine.learn.saved_models import load_classifier

        files, device = (lambda name: self._store.file(self.key, name)), pick_device(self._runtime)
        return load_classifier(self._found, files, device, self.task)

    @cached_property
    def _tokens(self) -> TokenizerInfo:
        from outshine.learn.load import load_tokenizer

        return load_tokenizer(self._found.model)

    def _report(self, key: str) -> dict[str, Any]:
        return self._store.document(key, REPORT)


_PRETRAINED = (
    *("adapter/adapter_config.json", "adapter/adapter_model.safetensors"),
    *("model/config.json", "model/model.safetensors", "head.safetensors", "classifier.json"),
)


def _sides(pairs: Any) -> tuple[list[Text], list[Text]]:
    """Return the first and the second texts of pairs. Raises DataError."""
    import pandas as pd

    if isinstance(pairs, pd.DataFrame):
        if "text_b" not in pairs.columns:
            raise DataError("it was trained on pairs: the frame needs the columns 'text' and 'text_b'")
        second = {"text_b": "text", "cut_start_b": "cut_start", "cut_end_b": "cut_end"}
        there = [name for name in second if name in pairs.columns]
        return _rows(pairs), _rows(pairs[there].rename(columns=second))
    several = list(pairs)
    if not all(isinstance(pair, tuple | list) and len(pair) == 2 for pair in several):
        raise DataError("it was trained on pairs: predict_proba([(text_a, text_b), …])")
    return _rows([pair[0] for pair in several]), _rows([pair[1] for pair in several])


def _rows(texts: Sequence[str] | pd.Series | pd.DataFrame) -> list[Text]:
    """Return texts with the spans that may be shortened. Raises DataError."""
    import pandas as pd

    from outshine.learn.tokenize import Text

    spans = []
    if isinstance(texts, pd.DataFrame):
        if "text" not in texts.columns:
            raise DataError(f"the frame has no column 'text'; there are {', '.join(map(str, texts.columns))}")
        if {"cut_start", "cut_end"} <= set(texts.columns):
            spans = [(int(a), int(b)) for a, b in zip(texts["cut_start"], texts["cut_end"], strict=True)]
        texts = texts["text"]
    if isinstance(texts, str):
        raise DataError("one text was given; a list of texts is expected: predict_proba([text])")
    several = list(texts)
    wrong = [text for text in several if not isinstance(text, str)]
    if wrong:
        raise DataError(f"texts are expected, given {wrong[0]!r} ({type(wrong[0]).__name__})")
    return [Text(text, *span) for text, span in zip(several, spans or [(0, 0)] * len(several), strict=True)]
