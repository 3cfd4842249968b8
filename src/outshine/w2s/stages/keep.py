"""Filtering: the rows that a filter leaves for the student."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Annotated, Any, ClassVar

from pydantic import Field, SerializeAsAny

from outshine.engine.checked_reading import read_table, with_fields
from outshine.engine.errors import DataError
from outshine.engine.stage import Context, Cost, Stage
from outshine.learn.filters.base import Filter
from outshine.w2s.stages.activations import Activations, labelled
from outshine.w2s.stages.labels import WeakLabelSource

if TYPE_CHECKING:
    from outshine.engine.store.store import Store
    from outshine.learn.filters.base import Filtered
    from outshine.learn.probes.base import Labelled
    from outshine.w2s.cost import Estimator

KEEP, SUMMARY = "keep.parquet", "summary.json"

Share = Annotated[float, Field(ge=0, lt=1)]


class Keep(Stage):
    """The rows of strong_train (and of val, if asked for) that a filter keeps.

    Writes `keep.parquet` (id, split, kept) and `summary.json` (by split: rows, dropped, the filter's own
    figures such as the fraction that TopoFilter's components removed).
    """

    VERSION: ClassVar[int] = 2
    stage: ClassVar[str] = "keep"
    quick: ClassVar[bool] = True

    activations: Activations
    labels: SerializeAsAny[WeakLabelSource]
    filter: SerializeAsAny[Filter]
    drop: Share
    filter_val: bool = False

    @property
    def label(self) -> str:
        return f"{self.filter.kind} on {self.activations.texts.origin.name}, layer {self.activations.layer}"

    @property
    def plan_row(self) -> tuple[int, str]:
        return 7, "filters"

    @property
    def splits(self) -> tuple[str, ...]:
        """The splits whose rows are filtered."""
        return ("strong_train", "val") if self.filter_val else ("strong_train",)

    def cost(self, estimator: Estimator) -> Cost:
        return Cost(estimator.rows(self.activations.texts.origin, self.splits))

    def dropped(self, store: Store) -> frozenset[str]:
        """Ids of the rows that are not kept."""

        frame = read_table(store, self.key, KEEP, {"id": "text", "kept": "truth"})
        return frozenset(frame.loc[~frame["kept"], "id"])

    def summary(self, store: Store) -> dict[str, Any]:
        """Return, by split, rows, dropped and the filter's figures; and notes."""

        def checked(document: Any) -> dict[str, Any]:
            for sizes in with_fields(document, {"notes": list}).values():
                if isinstance(sizes, dict):
                    with_fields(sizes, {"rows": int, "dropped": int})
            return document

        return store.document(self.key, SUMMARY, checked)

    def run(self, context: Context) -> None:
        """Filter each split on its own, refuse what leaves nothing to learn from, write the table and the summary."""
        import pandas as pd

        from outshine.learn.device import pick_float64_device

        device = pick_float64_device(context.runtime)
        train, notes = labelled(self.activations, self.labels, "strong_train", context.store, device)
        parts, facts = [], {}
        for split in self.splits:
            rows = train
            if split != "strong_train":
                rows, more = labelled(self.activations, self.labels, split, context.store, device)
                notes += more
            filtered = self.filter.keep(rows, self.drop, train)
            self._check(filtered, rows, split)
            parts.append(pd.DataFrame({"id": rows.ids, "split": split, "kept": filtered.kept.cpu().numpy()}))
            facts[split] = {"rows": len(rows.ids), "dropped": int((~filtered.kept).sum()), **filtered.facts}
            notes += filtered.notes
        for note in notes:
            context.progress.note(f"{self.label}: {note}")
        pd.concat(parts, ignore_index=True).to_parquet(context.folder / KEEP, index=False)
        (context.folder / SUMMARY).write_text(json.dumps({**facts, "notes": notes}, indent=1), encoding="utf-8")

    def _check(self, filtered: Filtered, rows: Labelled, split: str) -> None:
        """Raise DataError where no rows are left, or rows of one class only."""
        what = f"{self.filter.kind} on {self.activations.texts.origin.name} {split}"
        left = rows.hard[filtered.kept]
        if not len(left):
            raise DataError(f"{what} removed all {len(rows.ids)} rows; lower drop or choose another filter or layer")
        if len(left.unique()) < 2:
            raise DataError(
                f"{what} left {len(left)} of {len(rows.ids)} rows, all of one class; "
                "lower drop or choose another filter or layer"
            )
