"""Preparation of a dataset: a recipe's rows as texts and, apart from them, ground truth; and the texts as tokens."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, NamedTuple

from pydantic import SerializeAsAny

from outshine.data.schema import Recipe
from outshine.data.splits import OtherTest, SplitSettings
from outshine.data.task import BINARY, Task
from outshine.engine.checked_reading import Columns, read_table, with_fields
from outshine.engine.errors import StoreError
from outshine.engine.settings import NotInKey, NotInKeyAtDefault, Settings
from outshine.engine.stage import Context, Cost, Stage

if TYPE_CHECKING:
    import pandas as pd

    from outshine.data.splits import PreparedSplits
    from outshine.engine.store.store import Store
    from outshine.learn.spec import ModelRef
    from outshine.w2s.cost import Estimator

TEXT_COLUMNS: Columns = {
    **dict.fromkeys(("id", "split", "text", "group"), "text"),
    **dict.fromkeys(("cut_start", "cut_end"), "number"),
}
PAIR_COLUMNS: Columns = {"text_b": "text", "cut_start_b": "number", "cut_end_b": "number"}
TaskInKey = Annotated[SerializeAsAny[Task], NotInKeyAtDefault()]
"""The task of a dataset, part of the keys of all that is made of it unless it is the usual one."""

TEXTS, TRUTH, REPORT = "texts.parquet", "truth.parquet", "report.json"

MOST_UNKNOWN = 0.5  # share of tokens that a tokenizer does not know, from which it is told
KEPT = 4  # results in memory: supervisor and strong model on two datasets
_SLOT = "tokenized"


def text_columns(task: Task) -> Columns:
    """The columns of `texts.parquet`."""
    return {**TEXT_COLUMNS, **PAIR_COLUMNS} if task.is_pair else TEXT_COLUMNS


class TextSource(Stage):
    """A stage that writes `texts.parquet` (id, split, text, group, cut_start, cut_end; sorted by id) and `report.json`.

    The report has the digest of that table (`texts_digest`) and the size of each split (`splits`: name -> {rows: n}).
    """

    REPORTED: ClassVar[dict[str, type]] = {"texts_digest": str, "splits": dict}  # what is read of the report

    name: str
    task: TaskInKey = BINARY

    def report(self, store: Store) -> dict[str, Any]:
        """Return sizes, notes and digests of what the finished stage wrote."""

        def checked(document: Any) -> dict[str, Any]:
            for sizes in with_fields(document, self.REPORTED)["splits"].values():
                with_fields(sizes, {"rows": int})
            return document

        return store.document(self.key, REPORT, checked)

    def read_texts(self, store: Store) -> pd.DataFrame:
        """Read the columns id, split, text, group, cut_start, cut_end, sorted by id; of pairs also PAIR_COLUMNS."""
        texts = read_table(store, self.key, TEXTS, text_columns(self.task))
        rows = texts["split"].value_counts()
        if any(rows.get(split, 0) != sizes["rows"] for split, sizes in self.report(store)["splits"].items()):
            raise StoreError(f"artefact {self.key[:16]}: {TEXTS} has not the rows that {REPORT} tells of")
        return texts


class Prepare(TextSource):
    """Rows of one source, formatted, balanced and split.

    Writes `texts.parquet` (id, split, text, group, cut_start, cut_end; sorted by id, so that the order of
    rows says nothing about labels), `truth.parquet` (id, label) and `report.json` (sizes, what was dropped
    and why, digests of both tables). Everything below is keyed by those digests: an edit of a recipe that
    changes no row computes nothing anew.
    """

    VERSION: ClassVar[int] = 3
    REPORTED: ClassVar[dict[str, type]] = {**TextSource.REPORTED, "truth_digest": str, "notes": list}
    stage: ClassVar[str] = "prepare"
    quick: ClassVar[bool] = True

    recipe: SerializeAsAny[Recipe]
    recipe_version: int
    source: str
    splits: SplitSettings
    tests: Annotated[tuple[OtherTest, ...], NotInKeyAtDefault()] = ()  # other test sets, which its models predict too

    @property
    def label(self) -> str:
        return f"prepare {self.name}"

    @property
    def plan_row(self) -> tuple[int, str]:
        return 1, "prepared datasets"

    def cost(self, estimator: Estimator) -> Cost:
        return Cost(estimator.rows(self))

    def with_tests(self, tests: Sequence[OtherTest]) -> Prepare:
        """The same with other test sets."""
        return type(self)(**{**{name: getattr(self, name) for name in type(self).model_fields}, "tests": tuple(tests)})

    @classmethod
    def of(cls, recipe: Recipe, splits: SplitSettings, source: str | None = None) -> Prepare:
        """The stage for a recipe; its source is the one given or identified now (asks the hub, or its cache)."""
        source = source or recipe.identify()
        recipe = recipe.resolved(source)
        version = recipe.VERSION
        return cls(
            name=recipe.name, task=recipe.task, recipe=recipe, recipe_version=version, source=source, splits=splits
        )

    def run(self, context: Context) -> None:
        from outshine.data.schema import digest
        from outshine.data.splits import prepare

        prepared = prepare(self.recipe, self.source, self.splits, self.tests)
        for note in prepared.notes:
            context.progress.note(f"{self.name}: {note}")
        prepared.texts.to_parquet(context.folder / TEXTS, index=False)
        prepared.truth.to_parquet(context.folder / TRUTH, index=False)
        digests = {"texts_digest": digest(prepared.texts), "truth_digest": digest(prepared.truth)}
        report = {**prepared.report, "notes": list(prepared.notes), **digests}
        (context.folder / REPORT).write_text(json.dumps(report, indent=1), encoding="utf-8")

    def read(self, store: Store) -> PreparedSplits:
        """The finished preparation: texts, ground truth and report. For people; stages read one side only."""

        from outshine.data.splits import PreparedSplits

        truth = read_table(store, self.key, TRUTH, {"id": "text", "label": "number"})
        report = self.report(store)
        return PreparedSplits(self.read_texts(store), truth, report, report["notes"])


class Texts(Settings):
    """A prepared dataset's texts, by the digest of their table, and its task; `origin` only says where they lie."""

    digest: str
    task: TaskInKey = BINARY
    origin: Annotated[SerializeAsAny[TextSource], NotInKey()]

    @classmethod
    def of(cls, origin: TextSource, store: Store) -> Texts:
        """The texts that a finished preparation wrote."""
        return cls(digest=origin.report(store)["texts_digest"], task=origin.task, origin=origin)

    def read(self, store: Store) -> pd.DataFrame:
        """Read the columns id, split, text, group, cut_start, cut_end, sorted by id."""
        return self.origin.read_texts(store)


class TokenizedTexts(NamedTuple):
    """A dataset's texts with their token ids. Shared between stages: not to be changed."""

    frame: (
        pd.DataFrame
    )  # the texts' table plus `tokens` (lists of ids), `shortened` (bool), `unknown` (share of tokens)
    pad_id: int  # fills the padding; masked out everywhere


def tokenized(texts: Texts, model: ModelRef, max_length: int, store: Store, memory: dict[str, Any]) -> TokenizedTexts:
    """Return all splits' texts as the model reads them, at most `max_length` tokens each.

    Taken from `memory` where an earlier stage left them there; the last few results are kept. Raises
    ModelError where the model has no tokenizer, or one that does not belong to its weights.
    """
    kept: dict[tuple[Any, ...], TokenizedTexts] = memory.setdefault(_SLOT, {})
    wanted = (model.identity, model.trust_remote_code, texts.digest, max_length)
    tokenized_texts = kept.pop(wanted, None) or _tokenize(texts.read(store), model, max_length)
    kept[wanted] = tokenized_texts  # now the youngest
    while len(kept) > KEPT:
        del kept[next(iter(kept))]
    return tokenized_texts


def _tokenize(texts: pd.DataFrame, model: ModelRef, max_length: int) -> TokenizedTexts:
    import pandas as pd

    from outshine.learn.load import load_tokenizer
    from outshine.learn.tokenize import EncodedTexts, PairTokens, Text, encode

    tokens = load_tokenizer(model)

    def encoded(*columns: str) -> EncodedTexts:
        return encode(tokens, [Text(*row) for row in texts[[*columns]].itertuples(index=False)], max_length)

    ids, shortened, unknown = encoded("text", "cut_start", "cut_end")
    if "text_b" in texts.columns:
        second = encoded(*PAIR_COLUMNS)
        ids = [PairTokens(*both) for both in zip(ids, second.tokens, strict=True)]
        shortened = [either or other for either, other in zip(shortened, second.shortened, strict=True)]
        unknown = [(one + two) / 2 for one, two in zip(unknown, second.unknown, strict=True)]
    frame = texts.assign(tokens=pd.Series(ids, index=texts.index), shortened=shortened, unknown=unknown)
    return TokenizedTexts(frame, tokens.pad_id)
