"""Probing: a probe fitted on activations and labels of strong_train, and what it predicts."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import TYPE_CHECKING, ClassVar

from pydantic import NonNegativeInt, SerializeAsAny, field_validator

from outshine.engine.errors import SettingsError
from outshine.engine.rng import stream_seed
from outshine.engine.stage import Context, Cost
from outshine.learn.probes.base import Probe
from outshine.w2s.stages.activations import Activations, labelled
from outshine.w2s.stages.labels import GroundTruth, LabelSource, WeakLabelSource
from outshine.w2s.stages.predictor import PREDICTIONS, SUMMARY, Predictor, predicted_splits

if TYPE_CHECKING:
    import pandas as pd

    from outshine.data.task import Task
    from outshine.engine.store.store import Store
    from outshine.learn.probes.base import FittedProbe, Labelled, Predicted
    from outshine.w2s.cost import Estimator


class Probed(Predictor):
    """A probe fitted on activations and labels of strong_train, and its predictions for strong_train, val and test."""

    quick: ClassVar[bool] = True

    activations: Activations
    probe: SerializeAsAny[Probe]

    def label_source(self) -> LabelSource:
        """Where the labels that the probe is fitted to come from."""
        raise TypeError(f"{type(self).__name__} names no labels")

    def predict_own(self, fitted: FittedProbe, train: Labelled, store: Store) -> Predicted:
        """Predictions for the rows that the probe was fitted on (kNN: without the row's own vote)."""
        return fitted.predict_own(train)

    @property
    def label(self) -> str:
        where = f"{self.activations.model.name} layer {self.activations.layer}"
        changed = self.probe.model_dump(exclude_defaults=True, exclude={"kind"})
        settings = "".join(f" {name}={value}" for name, value in changed.items() if name != "kind")
        return f"{self.probe.kind}{settings} probe on {self.texts.origin.name}, {where}"

    def cost(self, estimator: Estimator) -> Cost:
        return Cost(estimator.predicted(self.activations.texts.origin))

    def run(self, context: Context) -> None:
        """Fit, predict all three splits, write the table and a summary."""
        import pandas as pd

        from outshine.learn.device import pick_float64_device
        from outshine.learn.probes.base import Predicted

        device = pick_float64_device(context.runtime)
        train, notes = labelled(self.activations, self.label_source(), "strong_train", context.store, device)
        if self.texts.task.is_pair:
            train = mirrored(train)
        fitted = self.probe.fit(train)
        parts = []
        for split in predicted_splits(self.texts.read(context.store)["split"]):
            if split == "strong_train":
                ids, predicted = train.ids, self.predict_own(fitted, train, context.store)
                if self.texts.task.is_pair:
                    ids, predicted = ids[::2], Predicted(predicted.p[::2], predicted.log_odds[::2])
            else:
                ids, acts = self.activations.read(context.store, split, device)
                predicted = fitted.predict(acts)
            parts.append(_frame(self.texts.task, ids, split, predicted))
        for note in notes:
            context.progress.note(f"{self.label}: {note}")
        pd.concat(parts, ignore_index=True).to_parquet(context.folder / PREDICTIONS, index=False)
        num_rows = len(train.ids) // 2 if self.texts.task.is_pair else len(train.ids)
        summary = json.dumps({"train_rows": num_rows, "notes": notes}, indent=1)
        (context.folder / SUMMARY).write_text(summary, encoding="utf-8")


class TruthProbing(Probed):
    """A probe fitted to ground truth: how much of the task the pretrained strong model shows. A control."""

    stage: ClassVar[str] = "truth_probing"

    labels: GroundTruth

    @property
    def truth_split(self) -> str | None:
        return "strong_train"

    def label_source(self) -> LabelSource:
        return self.labels

    @property
    def label(self) -> str:
        return f"{super().label}, ground truth"

    @property
    def plan_row(self) -> tuple[int, str]:
        return 11, "probes on ground truth"


class Probing(Probed):
    """A probe fitted to weak labels.

    Its own training rows: as the probe predicts rows it was fitted on, or with `cross_fit` = n by n probes, each
    fitted on the other folds. Rows of one group share a fold.
    """

    stage: ClassVar[str] = "probing"

    labels: SerializeAsAny[WeakLabelSource]
    cross_fit: NonNegativeInt = 0  # folds; 0: none

    @property
    def plan_row(self) -> tuple[int, str]:
        return 6, "probes"

    @field_validator("cross_fit")
    @classmethod
    def _two_or_more(cls, value: int) -> int:
        if value == 1:
            raise SettingsError("cross_fit = 1 leaves nothing to fit on; use 0 (in-sample) or 2 and more folds")
        return value

    def label_source(self) -> LabelSource:
        return self.labels

    def predict_own(self, fitted: FittedProbe, train: Labelled, store: Store) -> Predicted:
        return self._cross_fitted(train, store) if self.cross_fit else super().predict_own(fitted, train, store)

    def _cross_fitted(self, train: Labelled, store: Store) -> Predicted:
        """Predict each fold by a probe fitted on the others."""
        import torch

        from outshine.learn.probes.base import Predicted

        ids = [row_id.removesuffix(MIRRORED) for row_id in train.ids]
        groups = self.texts.read(store).set_index("id")["group"].loc[ids].tolist()
        fold = torch.tensor(folds(groups, self.cross_fit), device=train.acts.device)
        p, log_odds = torch.empty_like(train.p_weak), torch.empty_like(train.p_weak)  # of the task's shape
        for number in range(self.cross_fit):
            held_out = fold == number
            predicted = self.probe.fit(train.take(~held_out)).predict(train.acts[held_out])
            p[held_out], log_odds[held_out] = predicted
        return Predicted(p, log_odds)


MIRRORED = "~"  # ends the id of a pair the other way round


def mirrored(rows: Labelled) -> Labelled:
    """Pairs, each followed by itself the other way round: whatever is fitted to them favours neither side."""
    import torch

    from outshine.learn.probes.base import Labelled

    ids = [row_id for own in rows.ids for row_id in (own, own + MIRRORED)]
    acts = torch.stack([rows.acts, -rows.acts], dim=1).flatten(0, 1)
    p_weak = torch.stack([rows.p_weak, 1 - rows.p_weak], dim=1).flatten()
    return Labelled(ids, acts, p_weak, torch.stack([rows.hard, ~rows.hard], dim=1).flatten())


def folds(groups: Sequence[str], num_folds: int) -> list[int]:
    """A fold for each row: groups in the order of a hash, each put into the smallest fold so far.

    Raises SettingsError where there are fewer groups than folds.
    """
    sizes: dict[str, int] = {}
    for group in groups:
        sizes[group] = sizes.get(group, 0) + 1
    if len(sizes) < num_folds:
        raise SettingsError(f"cross_fit = {num_folds} folds need as many groups of rows; there are {len(sizes)}")
    filled = [0] * num_folds
    chosen: dict[str, int] = {}
    for group in sorted(sizes, key=lambda name: (stream_seed("cross-fit", name), name)):
        chosen[group] = min(range(num_folds), key=lambda number: (filled[number], number))
        filled[chosen[group]] += sizes[group]
    return [chosen[group] for group in groups]


def _frame(task: Task, ids: list[str], split: str, predicted: Predicted) -> pd.DataFrame:
    """The predictions as a table: scores as the probe gives them, and the probabilities that it means."""
    import pandas as pd

    columns = task.predicted(predicted.log_odds.cpu().numpy())
    columns |= dict(zip(task.label_columns, predicted.p.cpu().numpy().reshape(len(ids), -1).T, strict=True))
    return pd.DataFrame({"id": ids, "split": split, **columns})
