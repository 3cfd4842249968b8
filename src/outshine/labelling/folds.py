"""Cross-fitting on a user's rows: each fold is predicted by a student that trained on the others."""

from __future__ import annotations

import json
from collections import Counter
from typing import TYPE_CHECKING, Annotated, Any, ClassVar

from pydantic import Field, NonNegativeInt

from outshine.data.task import Task
from outshine.engine.checked_reading import Columns, read_table, with_fields
from outshine.engine.errors import DataError
from outshine.engine.messages import counted
from outshine.engine.rng import stream_seed
from outshine.engine.settings import NotInKey, NotInKeyAtDefault
from outshine.engine.stage import Context, Stage
from outshine.labelling.rows import Columns as UserColumns
from outshine.w2s.stages.labels import LabelTable, WeakLabelSource
from outshine.w2s.stages.prepare import REPORT, TEXTS, TextSource
from outshine.w2s.stages.probing import folds

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy as np
    import pandas as pd

    from outshine.engine.store.store import Store
    from outshine.labelling.rows import LabelledTable, TrustedTable

ROWS, LABELS = "rows.parquet", "labels.parquet"
EVERY = -1  # in the place of a fold: no student trained on anything like this row, so that each may predict it
MIN_TRAIN = 8  # rows; fewer teach nothing
VAL_FLOOR = 32  # rows of validation, up to a fifth of what there is
LARGE = 1.5  # times its fair share: a fold that one group makes so large is worth a note


class FoldPlan(Stage):
    """Which fold each row of a user's file lies in, found from the texts alone: labels have no say.

    Writes `rows.parquet`: id, row (place in the file; -1: a trusted row that is not in it), number (place among the
    trusted rows, -1: none), text, p (cheap label, NaN: none; of several classes p_0 …), group, fold. Texts that are the
    same or nearly so, and rows of one group of the user's, share a group, and a group lies in one fold. A trusted row
    that is not in the file gets the fold of the group it belongs to, or EVERY. Of the trusted file only texts are used
    here, never a label.
    """

    VERSION: ClassVar[int] = 3  # 3: trusted rows whose id the file lacks are found by their texts
    stage: ClassVar[str] = "fold_plan"
    quick: ClassVar[bool] = True

    name: Annotated[str, NotInKey()]
    path: Annotated[str, NotInKey()]
    digest: str  # sha256 of the file
    columns: UserColumns
    num_folds: int = Field(ge=2)
    limit: Annotated[int | None, NotInKeyAtDefault()] = None
    trusted_path: Annotated[str | None, NotInKey()] = None
    trusted_digest: str | None = None

    @property
    def label(self) -> str:
        return f"folds of {self.name}"

    @property
    def task(self) -> Task:
        """What the labels are."""
        return self.columns.task

    def table(self) -> LabelledTable:
        """Return the user's file. Raises DataError where it has changed."""
        from outshine.labelling.rows import read_labelled

        _check_unchanged(self.path, self.digest)
        return read_labelled(self.path, self.columns, self.limit)

    def trusted(self, table: LabelledTable) -> TrustedTable | None:
        """Return the trusted rows; None: there are none. Raises DataError where their file has changed."""
        from outshine.labelling.rows import read_trusted

        if self.trusted_path is None or self.trusted_digest is None:
            return None
        _check_unchanged(self.trusted_path, self.trusted_digest)
        return read_trusted(self.trusted_path, self.columns, table)

    def run(self, context: Context) -> None:
        from outshine.data.audit.near_duplicates import group_near_duplicates

        table = self.table()
        trusted = self.trusted(table)
        rows = _placed(table, trusted, self.task)
        duplicates = group_near_duplicates(rows["text"].tolist())
        rows["group"] = _groups(rows, duplicates.cluster)
        in_file = rows["row"] >= 0
        num_groups = rows.loc[in_file, "group"].nunique()
        if num_groups < self.num_folds:
            column = (self.columns.group or "group") if table.frame["group"].notna().any() else None
            raise DataError(
                f"'{self.path}' has {counted(num_groups, 'group')} of different texts, too few for {self.num_folds} "
                "folds; texts that are nearly the same stay together"
                + (f", and rows with one value of '{column}' too: is it what rows share? Say which is (--group)")
                * (column is not None)
            )
        fold_of = dict(
            zip(rows.loc[in_file, "group"], folds(rows.loc[in_file, "group"].tolist(), self.num_folds), strict=True)
        )
        rows["fold"] = [fold_of.get(group, EVERY) for group in rows["group"]]
        num_drawn = int(table.frame["drawn"].sum())
        read = [*table.notes, *(trusted.notes if trusted is not None else ())]
        notes = [*read, *self._notes(rows[in_file], num_drawn, duplicates.complete)]
        for note in notes:
            context.progress.note(f"{self.name}: {note}")
        rows.sort_values("id").to_parquet(context.folder / ROWS, index=False)
        (context.folder / REPORT).write_text(json.dumps({"notes": notes}, indent=1), encoding="utf-8")

    def read(self, store: Store) -> pd.DataFrame:
        """Return the rows, sorted by id."""

        return read_table(store, self.key, ROWS, {"id": "text"})

    def notes(self, store: Store) -> list[str]:
        """Return what a reader must know of the finished plan."""
        return store.document(self.key, REPORT, lambda report: with_fields(report, {"notes": list})["notes"])

    def _notes(self, rows: pd.DataFrame, num_rows: int, complete: bool) -> list[str]:
        notes = []
        num_empty = num_rows - len(rows)
        num_unlabelled = int(rows[self.task.label_columns[0]].isna().sum())
        sizes = rows["group"].value_counts()
        if num_empty:
            notes.append(f"{num_empty} rows have no text: they are left out, their new columns stay empty")
        if num_unlabelled:
            notes.append(f"{num_unlabelled} rows have no cheap label: they are predicted and never trained on")
        if len(sizes) < len(rows):
            notes.append(
                f"{int(sizes[sizes > 1].sum())} rows share a group or are nearly the same as another; {len(sizes)} "
                "groups are dealt to the folds whole"
            )
        if sizes.iloc[0] > LARGE * len(rows) / self.num_folds:
            notes.append(
                f"one group has {sizes.iloc[0]} of the {len(rows)} rows: its fold is that large, and its rows are "
                "predicted from the few others"
            )
        if not complete:
            notes.append("so many texts are alike that not all pairs were compared: some may lie in different folds")
        return notes


class Fold(TextSource):
    """The rows of one fold's student: strong_train and val from the other folds, test the fold itself.

    Writes `texts.parquet` as every TextSource, and `labels.parquet` (id, p): the cheap labels of strong_train and val.
    Those of the fold's own rows are in no file here, so that its student neither sees nor is keyed by them.
    """

    VERSION: ClassVar[int] = 1
    REPORTED: ClassVar[dict[str, type]] = {**TextSource.REPORTED, "labels_digest": str}
    stage: ClassVar[str] = "fold"
    quick: ClassVar[bool] = True

    name: Annotated[str, NotInKey()]
    plan: FoldPlan
    number: NonNegativeInt
    val_share: float = Field(gt=0, lt=0.5)

    @property
    def label(self) -> str:
        return f"rows of {self.name}"

    def run(self, context: Context) -> None:
        import pandas as pd

        from outshine.data.schema import digest

        rows = self.plan.read(context.store)
        columns = list(self.task.label_columns)
        others = rows[(rows["row"] >= 0) & (rows["fold"] != self.number) & rows[columns[0]].notna()]
        in_val = self._validation(others["group"].tolist())
        self._check(others, in_val)
        side = dict(zip(others["id"], ("val" if chosen else "strong_train" for chosen in in_val), strict=True))
        side |= dict.fromkeys(rows.loc[rows["fold"].isin([self.number, EVERY]), "id"], "test")
        rows = rows[rows["id"].isin(side)].sort_values("id").reset_index(drop=True)
        rows["split"] = [side[name] for name in rows["id"]]
        texts = rows[["id", "split", "text", "group"]].assign(cut_start=0, cut_end=0)
        labels = rows.loc[rows["split"] != "test", ["id", *columns]].reset_index(drop=True)
        texts.to_parquet(context.folder / TEXTS, index=False)
        labels.to_parquet(context.folder / LABELS, index=False)
        sizes = Counter(texts["split"].tolist())
        report: dict[str, Any] = {
            "splits": {split: {"rows": sizes[split]} for split in ("strong_train", "val", "test")},
            "texts_digest": digest(pd.DataFrame(texts)),
            "labels_digest": digest(labels),
        }
        (context.folder / REPORT).write_text(json.dumps(report, indent=1), encoding="utf-8")

    def _validation(self, groups: Sequence[str]) -> list[bool]:
        """Whether each row is for validation: whole groups in the order of a hash, until there are enough rows."""
        sizes = Counter(groups)
        wanted = max(round(self.val_share * len(groups)), min(VAL_FLOOR, len(groups) // 5))
        chosen: set[str] = set()
        have = 0
        for group in sorted(sizes, key=lambda name: (stream_seed("label-val", self.number, name), name)):
            if have >= wanted:
                break
            if have + sizes[group] <= 2 * wanted:  # one huge group is no validation set
                chosen.add(group)
                have += sizes[group]
        return [group in chosen for group in groups]

    def _check(self, others: pd.DataFrame, in_val: Sequence[bool]) -> None:
        num_train = len(others) - sum(in_val)
        num_labels = len(others.loc[[not chosen for chosen in in_val], list(self.task.label_columns)].drop_duplicates())
        if num_train < MIN_TRAIN or not any(in_val) or num_labels < 2:
            raise DataError(
                f"{self.name} would train on {num_train} rows with {num_labels} different labels and validate on "
                f"{sum(in_val)}; at least {MIN_TRAIN} rows, two labels and one row are needed: give more rows or fewer "
                "folds"
            )


class FoldTrainingLabels(WeakLabelSource):
    """The cheap labels that the student of one fold may see, by the digest of their table."""

    kind: ClassVar[str] = "cheap"

    digest: str
    origin: Annotated[Fold, NotInKey()]

    @classmethod
    def of(cls, origin: Fold, store: Store) -> FoldTrainingLabels:
        """Return the labels that a finished fold wrote."""
        return cls(digest=origin.report(store)["labels_digest"], origin=origin)

    def read_labels(self, store: Store) -> LabelTable:
        task = self.origin.task
        columns: Columns = {"id": "text", **dict.fromkeys(task.label_columns, "number")}
        return task.labels_in(read_table(store, self.origin.key, LABELS, columns).set_index("id")).astype("float64")


def _placed(table: LabelledTable, trusted: TrustedTable | None, task: Task) -> pd.DataFrame:
    """Return the rows with text of the file and the new ones among the trusted, each with an id."""
    import pandas as pd

    from outshine.data.schema import row_id

    frame = table.frame[(table.frame["text"] != "") & table.frame["drawn"]]
    again = frame.groupby("text", sort=False).cumcount()
    ids = [
        row_id("label", name) if isinstance(name, str) else row_id(f"label/{count}", text)
        for name, text, count in zip(frame["id"], frame["text"], again, strict=True)
    ]
    columns = ["id", "row", "number", "text", *task.label_columns, "given"]
    own = frame.assign(id=ids, row=frame.index, number=-1, given=frame["group"])[columns]
    if trusted is None or trusted.new.empty:
        return own.reset_index(drop=True)
    new = trusted.new
    names = [row_id("label/new", text) for text in new["text"]]
    return pd.concat([own, new.assign(id=names, given=new["group"])[columns]], ignore_index=True)


def _groups(rows: pd.DataFrame, cluster: np.ndarray) -> list[str]:
    """Name groups: rows that are alike or of one group of the user's, directly or by way of others, by their least id.

    Ids of the file's rows come first: a new row that joins a group does not rename it.
    """
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

    group_numbers: dict[str, int] = {}
    size = int(cluster.max()) + 1
    links = [(place, int(number)) for place, number in enumerate(cluster)]
    for place, name in enumerate(rows["given"]):
        if isinstance(name, str):
            links.append((place, size + group_numbers.setdefault(name, len(group_numbers))))
    num_nodes = len(rows) + size + len(group_numbers)
    left, right = zip(*links, strict=True)
    graph = coo_array(([1] * len(links), (left, [len(rows) + node for node in right])), shape=(num_nodes, num_nodes))
    component = connected_components(graph, directed=False)[1][: len(rows)]
    least: dict[int, tuple[bool, str]] = {}
    for name, row, number in zip(rows["id"], rows["row"], component.tolist(), strict=True):
        here = (bool(row < 0), str(name))
        least[number] = min(here, least.get(number, here))
    return [least[number][1] for number in component.tolist()]


def _check_unchanged(path: str, digest: str) -> None:
    from outshine.data.user_datasets import file_sha256

    if file_sha256(path) != digest:
        raise DataError(f"'{path}' has changed while it was in use; run again")
