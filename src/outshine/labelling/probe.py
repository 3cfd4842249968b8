"""The first student: a probe on frozen embeddings of the file's texts, cross-fitted on the cheap labels in seconds."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.special import log_softmax

from outshine.engine.checked_reading import Columns, read_table, with_fields
from outshine.engine.errors import DataError
from outshine.engine.settings import NotInKey
from outshine.engine.stage import Context, Cost, Stage
from outshine.labelling.folds import EVERY, MIN_TRAIN, FoldPlan
from outshine.labelling.trusted_sample import unknown
from outshine.w2s.stages.activations import Activations
from outshine.w2s.stages.predictor import PREDICTIONS, SUMMARY
from outshine.w2s.stages.prepare import REPORT, TEXTS, TextSource

if TYPE_CHECKING:
    import pandas as pd
    import torch

    from outshine.engine.store.store import Store
    from outshine.w2s.cost import Estimator

Floats = NDArray[np.float64]

PROBES = "probes.safetensors"
PENALTIES = (1e-4, 3e-4, 1e-3, 3e-3, 1e-2)
"""Of |w|², for embeddings whose columns are standardised and divided by the root of their number."""
LEAST_LOGIT = -20.0  # of a class that no row is labelled
MOST_COLUMNS = 512  # principal components of the embeddings that what is fitted on trusted rows may look at
_ROWS = 8192  # embeddings in double precision at once
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

    Of several classes it is multinomial, and a class that no row of the others is labelled has hardly any probability.

    Writes `predictions.parquet` (id, log_odds, or log_p_0 … of several classes; sorted by id), `probes.safetensors`
    (weight [folds, d] and bias [folds], of K classes [folds, d, K] and [folds, K]) and `summary.json` (penalties,
    notes).
    """

    VERSION: ClassVar[int] = 2  # 2: the probes themselves are kept
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
        from safetensors.numpy import save_file

        rows = self.plan.read(context.store)
        ids, acts = read_embeddings(self.activations, context.store)
        rows = rows.set_index("id").loc[ids]
        task = self.plan.task
        p, fold = task.labels_in(rows).to_numpy(dtype=float), rows["fold"].to_numpy(dtype=int)
        usable = ~unknown(p) & (rows["row"].to_numpy() >= 0)
        num_folds = self.plan.num_folds
        by_fold, penalties, probes = np.empty((num_folds, *p.shape)), [], []
        for number in range(num_folds):
            others = usable & (fold != number)
            validation = others & (fold == (number + 1) % num_folds)
            penalty = self._penalty(ids, acts, p, others & ~validation, validation)
            probe = self._fit(ids, acts, p, others, penalty)
            by_fold[number] = _logits(probe, acts)
            penalties.append(penalty)
            probes.append(probe)
            context.progress.advance(number + 1, num_folds, "folds")
        own = by_fold[np.where(fold == EVERY, 0, fold), np.arange(len(ids))]
        log_odds = np.where((fold == EVERY).reshape(-1, *[1] * (p.ndim - 1)), by_fold.mean(axis=0), own)
        predicted = task.predicted(log_odds)
        predictions = pd.DataFrame({"id": ids, **{name: predicted[name] for name in task.score_columns}})
        predictions.to_parquet(context.folder / PREDICTIONS, index=False)
        weight, bias = (np.stack(part) for part in zip(*probes, strict=True))
        save_file({"weight": weight, "bias": bias}, context.folder / PROBES)
        summary = json.dumps({"penalties": penalties, "notes": []}, indent=1)
        (context.folder / SUMMARY).write_text(summary, encoding="utf-8")

    def scores(self, store: Store) -> pd.Series | pd.DataFrame:
        """Return the log-odds of P(class 1) of every row, or the log-probabilities of each class, indexed by id."""
        task = self.plan.task
        columns: Columns = {"id": "text", **dict.fromkeys(task.score_columns, "number")}
        return task.scores_in(read_table(store, self.key, PREDICTIONS, columns).set_index("id"))

    def mean_probe(self, store: Store) -> tuple[Floats, Floats]:
        """Return the mean of all probes, [d] and a number, of K classes [d, K] and [K]: what new texts are read by."""
        from safetensors.numpy import load_file

        probes = load_file(store.file(self.key, PROBES))
        return probes["weight"].mean(axis=0), probes["bias"].mean(axis=0)

    def notes(self, store: Store) -> list[str]:
        """Return what a reader should know of how it was fitted."""
        return store.document(self.key, SUMMARY, lambda document: with_fields(document, {"notes": list})["notes"])

    def _penalty(
        self, ids: Sequence[str], acts: torch.Tensor, p: Floats, train: NDArray[np.bool_], validation: NDArray[np.bool_]
    ) -> float:
        """Return the largest penalty that is as good as the best on the validation rows; the middle one without any."""
        import torch

        if not validation.any() or len(np.unique(p[train], axis=0)) < 2 or train.sum() < MIN_TRAIN:
            return PENALTIES[len(PENALTIES) // 2]
        labels = p[validation]
        losses = []
        for penalty in PENALTIES:
            z = _logits(self._fit(ids, acts, p, train, penalty), acts[torch.from_numpy(validation)])
            losses.append(np.logaddexp(0, z) - labels * z if z.ndim == 1 else -(labels * log_softmax(z, 1)).sum(axis=1))
        means = np.mean(losses, axis=1)
        best = int(np.argmin(means))
        margin = float(np.std(losses[best])) / len(labels) ** 0.5
        return max(penalty for penalty, mean in zip(PENALTIES, means, strict=True) if mean <= means[best] + margin)

    def _fit(
        self, ids: Sequence[str], acts: torch.Tensor, p: Floats, rows: NDArray[np.bool_], penalty: float
    ) -> tuple[Floats, Floats]:
        """Fit on the labels of `rows`: weight [d] and bias of the log-odds, of K classes [d, K] and [K] of logits."""
        import torch

        from outshine.learn.probes.base import Labelled
        from outshine.learn.probes.logistic import Logistic

        labels = p[rows]
        num_labels = len(np.unique(labels, axis=0))
        if rows.sum() < MIN_TRAIN or num_labels < 2:
            raise DataError(
                f"a probe on {self.plan.name} would learn from {int(rows.sum())} rows with {num_labels} "
                f"different labels; at least {MIN_TRAIN} rows and two labels are needed: give more rows or fewer folds"
            )
        chosen = torch.from_numpy(rows)
        names = [name for name, taken in zip(ids, rows.tolist(), strict=True) if taken]
        probe = Logistic(penalty=penalty * acts.shape[1], standardize=True)
        if p.ndim == 1:
            fitted = probe.fit(Labelled.of(names, acts[chosen], torch.from_numpy(labels)))
            return fitted.weight.numpy(), fitted.bias.numpy()
        named = labels.sum(axis=0) > 0  # without a label of its own a class has no minimum
        fitted = probe.fit(Labelled.of(names, acts[chosen], torch.from_numpy(labels[:, named])))
        weight, bias = np.zeros((acts.shape[1], p.shape[1])), np.full(p.shape[1], LEAST_LOGIT)
        weight[:, named], bias[named] = fitted.weight.numpy(), fitted.bias.numpy()
        return weight, bias


def _logits(probe: tuple[Floats, Floats], acts: torch.Tensor) -> Floats:
    """Return the log-odds, or logits, of embeddings [m, d]."""
    weight, bias = probe
    return np.concatenate([part.double().numpy() @ weight + bias for part in acts.split(_ROWS)])


def read_embeddings(activations: Activations, store: Store) -> tuple[list[str], torch.Tensor]:
    """Return ids and embeddings [n, d] (float32) of all rows of a file, in the order of their ids.

    A column that hardly varies is set to 0: standardised it would be nothing but rounding errors.
    """
    ids, acts = activations.read(store, "test")
    acts = acts.float()
    deviation = acts.std(dim=0)
    acts[:, deviation <= 1e-4 * deviation.median()] = 0
    return ids, acts


class PrincipalAxes(NamedTuple):
    """How embeddings become columns: (x − mean) / scale, turned to the principal axes.

    Attributes:
        mean: Of each dimension, [d].
        scale: Standard deviation times √d, [d]: so a row has a mean square of 1 in all, whatever the model's units are.
        axes: Orthonormal, [d, k].
    """

    mean: Floats
    scale: Floats
    axes: Floats


def principal_axes(acts: torch.Tensor, most: int = MOST_COLUMNS) -> PrincipalAxes:
    """Return the principal axes of standardised embeddings [n, d]: at most `most`, `d` and `n`.

    What is fitted with a ridge penalty is the same in these axes as in the model's, apart from the axes left out.
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
    return PrincipalAxes(*(part.double().numpy() for part in (mean, scale, axes)))


def principal_columns(acts: torch.Tensor, axes: PrincipalAxes) -> Floats:
    """Return embeddings [n, d] as columns [n, k]."""
    parts = (((part.double().numpy() - axes.mean) / axes.scale) @ axes.axes for part in acts.split(_ROWS))
    return np.concatenate(list(parts))
