"""The first student: a probe on frozen embeddings of the file's texts, cross-fitted on the cheap labels in seconds."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated, Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from outshine.engine.checked_reading import read_table, with_fields
from outshine.engine.errors import DataError
from outshine.engine.settings import NotInKey
from outshine.engine.stage import Context, Cost, Stage
from outshine.labelling.folds import EVERY, MIN_TRAIN, FoldPlan
from outshine.w2s.stages.activations import Activations
from outshine.w2s.stages.predictor import PREDICTIONS, SUMMARY
from outshine.w2s.stages.prepare import REPORT, TEXTS, TextSource

if TYPE_CHECKING:
    import pandas as pd
    import torch

    from outshine.engine.store.store import Store
    from outshine.w2s.cost import Estimator

Floats = NDArray[np.float64]

PENALTIES = (1e-4, 3e-4, 1e-3, 3e-3, 1e-2)
"""Of |w|², for embeddings whose columns are standardised and divided by the root of their number."""
MOST_COLUMNS = 512  # principal components of the embeddings that what is fitted on trusted rows may look at
_PCA_ROWS = 4000  # a random draw of so many rows shows the components well enough


class FileTexts(TextSource):
    """All texts of a file and of its new trusted rows, to be read by a model once.

    Their digest says nothing of labels or folds, so that one pass through the model serves every labelling of them.
    """

    VERSION: ClassVar[int] = 1
    stage: ClassVar[str] = "file_texts"
    quick: ClassVar[bool] = True

    name: Annotated[str, NotInKey()]
    plan: FoldPlan

    @property
    def label(self) -> str:
        return f"texts of {self.plan.name}"

    def run(self, context: Context) -> None:
        from outshine.data.schema import digest

        rows = self.plan.read(context.store)
        texts = rows[["id", "text"]].assign(split="test", group=rows["id"], cut_start=0, cut_end=0)
        texts = texts[["id", "split", "text", "group", "cut_start", "cut_end"]]
        texts.to_parquet(context.folder / TEXTS, index=False)
        splits = {"strong_train": {"rows": 0}, "val": {"rows": 0}, "test": {"rows": len(texts)}}
        report: dict[str, Any] = {"splits": splits, "texts_digest": digest(texts)}
        (context.folder / REPORT).write_text(json.dumps(report, indent=1), encoding="utf-8")


class ProbeStudent(Stage):
    """Each fold predicted by a logistic regression on embeddings, fitted on the cheap labels of the other folds.

    The penalty of a fold's probe is chosen on the next fold, by probes fitted on the remaining ones: the largest whose
    cross-entropy on these cheap labels is within one standard error of the least (Breiman et al. 1984). So neither the
    probe nor its penalty has seen a label of the rows that it predicts. A new row that is like none of the file has
    the mean log-odds of all probes.

    Writes `predictions.parquet` (id, log_odds; sorted by id) and `summary.json` (penalties, notes).
    """

    VERSION: ClassVar[int] = 1
    stage: ClassVar[str] = "label_probe"
    quick: ClassVar[bool] = True

    activations: Activations
    plan: FoldPlan

    @property
    def label(self) -> str:
        return f"probe on {self.plan.name}, {self.activations.model.name} layer {self.activations.layer}"

    @property
    def plan_row(self) -> tuple[int, str]:
        return 6, "probes"

    def cost(self, estimator: Estimator) -> Cost:
        return Cost(estimator.rows(self.activations.texts.origin))

    def run(self, context: Context) -> None:
        import pandas as pd

        rows = self.plan.read(context.store)
        ids, acts = read_embeddings(self.activations, context.store)
        rows = rows.set_index("id").loc[ids]
        p, fold = rows["p"].to_numpy(dtype=float), rows["fold"].to_numpy(dtype=int)
        usable = ~np.isnan(p) & (rows["row"].to_numpy() >= 0)
        num_folds = self.plan.num_folds
        by_fold, penalties = np.empty((num_folds, len(ids))), []
        for number in range(num_folds):
            others = usable & (fold != number)
            validation = others & (fold == (number + 1) % num_folds)
            penalty = self._penalty(ids, acts, p, others & ~validation, validation)
            by_fold[number] = self._fit(ids, acts, p, others, penalty).predict(acts).log_odds.numpy()
            penalties.append(penalty)
            context.progress.advance(number + 1, num_folds, "folds")
        own = by_fold[np.where(fold == EVERY, 0, fold), np.arange(len(ids))]
        log_odds = np.where(fold == EVERY, by_fold.mean(axis=0), own)
        predictions = pd.DataFrame({"id": ids, "log_odds": log_odds})
        predictions.to_parquet(context.folder / PREDICTIONS, index=False)
        summary = json.dumps({"penalties": penalties, "notes": []}, indent=1)
        (context.folder / SUMMARY).write_text(summary, encoding="utf-8")

    def log_odds(self, store: Store) -> pd.Series:
        """Return the log-odds of P(class 1) of every row, indexed by id."""
        table = read_table(store, self.key, PREDICTIONS, {"id": "text", "log_odds": "number"})
        return table.set_index("id")["log_odds"]

    def notes(self, store: Store) -> list[str]:
        """Return what a reader should know of how it was fitted."""
        return store.document(self.key, SUMMARY, lambda document: with_fields(document, {"notes": list})["notes"])

    def _penalty(
        self, ids: Sequence[str], acts: torch.Tensor, p: Floats, train: NDArray[np.bool_], validation: NDArray[np.bool_]
    ) -> float:
        """Return the largest penalty that is as good as the best on the validation rows; the middle one without any."""
        import torch

        if not validation.any() or len(set(p[train])) < 2 or train.sum() < MIN_TRAIN:
            return PENALTIES[len(PENALTIES) // 2]
        labels = p[validation]
        losses = []
        for penalty in PENALTIES:
            z = self._fit(ids, acts, p, train, penalty).predict(acts[torch.from_numpy(validation)]).log_odds.numpy()
            losses.append(np.logaddexp(0, z) - labels * z)
        means = np.mean(losses, axis=1)
        best = int(np.argmin(means))
        margin = float(np.std(losses[best])) / len(labels) ** 0.5
        return max(penalty for penalty, mean in zip(PENALTIES, means, strict=True) if mean <= means[best] + margin)

    def _fit(self, ids: Sequence[str], acts: torch.Tensor, p: Floats, rows: NDArray[np.bool_], penalty: float) -> Any:
        import torch

        from outshine.learn.probes.base import Labelled
        from outshine.learn.probes.logistic import Logistic

        labels = p[rows]
        if rows.sum() < MIN_TRAIN or len(set(labels)) < 2:
            raise DataError(
                f"a probe on {self.plan.name} would learn from {int(rows.sum())} rows with {len(set(labels))} "
                f"different labels; at least {MIN_TRAIN} rows and two labels are needed: give more rows or fewer folds"
            )
        chosen = torch.from_numpy(rows)
        names = [name for name, taken in zip(ids, rows.tolist(), strict=True) if taken]
        fitted = Labelled.of(names, acts[chosen], torch.from_numpy(labels))
        return Logistic(penalty=penalty * acts.shape[1], standardize=True).fit(fitted)


def read_embeddings(activations: Activations, store: Store) -> tuple[list[str], torch.Tensor]:
    """Return ids and embeddings [n, d] (float32) of all rows of a file, in the order of their ids.

    A column that hardly varies is set to 0: standardised it would be nothing but rounding errors.
    """
    ids, acts = activations.read(store, "test")
    acts = acts.float()
    deviation = acts.std(dim=0)
    acts[:, deviation <= 1e-4 * deviation.median()] = 0
    return ids, acts


def principal_columns(acts: torch.Tensor, most: int = MOST_COLUMNS) -> Floats:
    """Return the embeddings [n, d] as [n, k]: standardised, divided by √d, and turned to their principal axes.

    k is at most `most`, `d` and n. So scaled a row has a mean square of 1 in all, whatever the model's units are. What
    is fitted with a ridge penalty is the same in these axes as in the model's, apart from the axes that are left out.
    """
    import torch

    from outshine.engine.rng import numpy_rng

    deviation = acts.std(dim=0)
    scale = torch.where(deviation > 0, deviation, 1.0) * acts.shape[1] ** 0.5
    mean = acts.mean(dim=0)
    chosen = np.sort(numpy_rng("label-axes").permutation(len(acts))[:_PCA_ROWS])
    sample = (acts[torch.from_numpy(chosen)] - mean) / scale
    rank = min(most, *sample.shape)
    if sample.shape[1] <= 2 * most:
        axes = torch.linalg.eigh((sample.T @ sample).double())[1].flip(1)[:, :rank].float()
    else:
        start = torch.from_numpy(numpy_rng("label-axes-start").standard_normal((sample.shape[1], rank))).float()
        axes = torch.linalg.qr(start)[0]
        for _ in range(4):  # subspace iteration
            axes = torch.linalg.qr(sample.T @ (sample @ axes))[0]
    return torch.cat([((part - mean) / scale) @ axes for part in acts.split(8192)]).double().numpy()
