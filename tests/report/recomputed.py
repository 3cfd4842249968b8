"""The numbers of a study once more, from the Parquet files of its store, by scikit-learn and scipy."""

from __future__ import annotations

import json
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from scipy import stats
from scipy.sparse import csr_array
from scipy.sparse.csgraph import connected_components
from sklearn.metrics import accuracy_score, brier_score_loss, roc_auc_score
from sklearn.neighbors import kneighbors_graph

NAME = ["method", "variant", "round", "loss"]


class Artefacts:
    """A store, read without outshine. `rows`: id -> dataset, split, group, label of all that was prepared."""

    def __init__(self, store: Path) -> None:
        self.records = {path.parent: json.loads(path.read_text()) for path in store.glob("artefacts/??/*/DONE.json")}
        self.folders = {folder.name: folder for folder in self.records}
        prepared = [folder for folder, record in self.records.items() if record["stage"] == "prepare"]
        self.rows = pd.concat(
            pd.read_parquet(folder / "texts.parquet")
            .merge(pd.read_parquet(folder / "truth.parquet"), on="id", validate="one_to_one")
            .assign(dataset=self.records[folder]["fields"]["name"])
            for folder in prepared
        ).set_index("id")
        assert self.rows.index.is_unique
        self.predictions = cache(self._predictions)
        self.split = cache(self._split)
        self.auroc = cache(self._auroc)

    def _predictions(self, key: str) -> pd.DataFrame:
        """log_odds and p, with label, split, group and dataset of the row, in the order of ids."""
        found = pd.read_parquet(self.folders[key] / "predictions.parquet").set_index("id")
        return found[["log_odds", "p"]].join(self.rows, how="left", validate="one_to_one").sort_index()

    def _split(self, key: str, split: str = "test") -> pd.DataFrame:
        """The predictions of one split."""
        found = self.predictions(key)
        return found[found["split"] == split]

    def _auroc(self, key: str, split: str = "test") -> float:
        found = self.split(key, split)
        return float(roc_auc_score(found["label"].to_numpy(), found["log_odds"].to_numpy()))

    def accuracy(self, key: str, split: str = "test") -> float:
        found = self.split(key, split)
        return float(accuracy_score(found["label"].to_numpy(), found["log_odds"].to_numpy() > 0))

    def trajectory(self, student: str) -> dict[int, float]:
        """Test AUROC by update, along the second run of a student."""
        (folder,) = [
            folder
            for folder, record in self.records.items()
            if record["stage"] == "trajectory" and record["inputs"] == [student]
        ]
        tracked = pd.read_parquet(folder / "trajectory.parquet").set_index("id")[["log_odds", "step"]]
        tracked = tracked.join(self.rows["label"])
        return {
            int(step): float(roc_auc_score(part["label"], part["log_odds"])) for step, part in tracked.groupby("step")
        }

    def removed_by_components(self, key: str) -> float:
        """Share of rows outside the largest strongly connected component of their class in the kNN graph."""
        from safetensors.numpy import load_file

        fields = self.records[self.folders[key]]["fields"]
        acts, weak = (self.folders[fields[name]["stage"]] for name in ("activations", "labels"))
        ids = pd.read_parquet(acts / "ids.parquet").query("split == 'strong_train'")["id"]
        p = self.predictions(weak.name).loc[ids, "p"].to_numpy()
        hard = p > 0.5
        if min(hard.sum(), (~hard).sum()) < 20:  # too lopsided to be split at one half
            hard = stats.rankdata(p, method="ordinal") > len(p) // 2
        points = load_file(acts / "activations.safetensors")["strong_train"].astype(np.float64)
        graph = kneighbors_graph(points, fields["filter"]["k"]).toarray() > 0
        within = csr_array(graph & (hard[:, None] == hard[None, :]))
        component = connected_components(within, directed=True, connection="strong")[1]
        return 1 - sum(np.bincount(component[hard == one]).max() for one in (False, True)) / len(p)


def students(found: Artefacts, scores: pd.DataFrame) -> pd.DataFrame:
    """A row per student and seed, with its test AUROC and those of its supervisor and ceiling, all recomputed.

    Of `scores` only what names a run is read, and the keys.
    """
    test = scores[scores["split"] == "test"]
    measured = test.drop(columns=["auroc", "auroc_low", "auroc_high", "accuracy", "n", "num_groups", "split"])
    measured = measured.assign(auroc=[found.auroc(key) for key in measured["key"]])
    run = ["dataset", "seed"]
    own = measured[measured["role"] == "student"]
    for role in ("weak", "ceiling"):
        other = measured[measured["role"] == role].set_index(run)[["auroc", "key"]]
        own = own.join(other.rename(columns={"auroc": f"{role}_auroc", "key": f"{role}_key"}), on=run)
    return own.reset_index(drop=True)


def means(own: pd.DataFrame) -> pd.DataFrame:
    """Means over seeds by purpose, method and dataset, with the PGR of the means."""
    columns = ["weak_auroc", "auroc", "ceiling_auroc"]
    by = own.groupby(["purpose", *NAME, "dataset"], sort=False)[columns].mean()
    return by.assign(pgr=(by["auroc"] - by["weak_auroc"]) / (by["ceiling_auroc"] - by["weak_auroc"]))


def pooled(by_dataset: pd.DataFrame) -> float:
    """The ratio of sums over the datasets that are not saturated."""
    left = by_dataset[(by_dataset["weak_auroc"] <= 0.999) | (by_dataset["ceiling_auroc"] <= 0.999)]
    gains, gaps = left["auroc"] - left["weak_auroc"], left["ceiling_auroc"] - left["weak_auroc"]
    return float(gains.sum() / gaps.sum())


def every_test(differences: Sequence[float]) -> dict[str, Any]:
    """Every test of differences over datasets: one-sided for better and worse, and two-sided."""
    d = np.round(differences, 12)
    sides = {"better": "greater", "worse": "less", "two_sided": "two-sided"}
    wins, decided = int((d > 0).sum()), int((d != 0).sum())
    exact = stats.PermutationMethod()  # of few differences: every pattern of signs, ties and zeros included
    found = {"wins": wins, "losses": int((d < 0).sum()), "num_datasets": len(d)}
    for side, word in sides.items():
        found[f"wilcoxon_{side}"] = stats.wilcoxon(d, zero_method="pratt", alternative=word, method=exact).pvalue
        found[f"t_{side}"] = stats.ttest_1samp(d, 0, alternative=word).pvalue
        found[f"sign_{side}"] = stats.binomtest(wins, decided, alternative=word).pvalue
    walsh = [(d[i] + d[j]) / 2 for i in range(len(d)) for j in range(i, len(d))]
    limits = stats.ttest_1samp(d, 0).confidence_interval()
    found |= {"mean": d.mean(), "mean_low": limits.low, "mean_high": limits.high}
    return found | {"hodges_lehmann": np.median(walsh), "median": np.median(d)}


def holm(p: Sequence[float]) -> list[float]:
    """Holm's step-down, by its definition."""
    ordered = sorted(p)
    stepped = [min(1.0, (len(p) - place) * value) for place, value in enumerate(ordered)]
    return [max(stepped[: ordered.index(value) + 1]) for value in p]


def diagnostics(found: Artefacts, student: pd.Series) -> dict[str, float]:
    """What a student's probabilities on test say beside its supervisor's and the ceiling's."""
    roles = {"weak": student["weak_key"], "student": student["key"], "ceiling": student["ceiling_key"]}
    p = {role: found.split(key)["p"].to_numpy() for role, key in roles.items()}
    y = found.split(student["key"])["label"].to_numpy()
    weak, own = p["weak"] > 0.5, p["student"] > 0.5
    wrong = weak != y
    numbers = {f"{role}_brier": brier_score_loss(y, given) for role, given in p.items()}
    numbers |= {f"{role}_ece": _ece(y, given) for role, given in p.items()}
    return numbers | {
        "imitation_wrong": (own == weak)[wrong].mean(),
        "imitation_right": (own == weak)[~wrong].mean(),
        "num_weak_wrong": wrong.sum(),
        "capa_weak_student": _capa(y, p["weak"], p["student"]),
        "misfit": np.mean((p["student"] - p["weak"]) ** 2),
        "misfit_gain": numbers["weak_brier"] - numbers["student_brier"],
    }


def all_diagnostics(found: Artefacts, own: pd.DataFrame) -> pd.DataFrame:
    """The same for every student and seed but those of sweeps: names, then numbers."""
    told = own[own["purpose"] != "sweep"].reset_index(drop=True)
    numbers = pd.DataFrame([diagnostics(found, student) for _, student in told.iterrows()])
    return pd.concat([told[["purpose", *NAME, "dataset", "seed"]], numbers], axis=1)


def _ece(y: np.ndarray, p: np.ndarray) -> float:
    """Ten bins of equal mass, by mean rank."""
    bins = np.floor(10 * (stats.rankdata(p) - 0.5) / len(p))
    parts = pd.DataFrame({"y": y, "p": p}).groupby(bins)
    return float(((parts["y"].mean() - parts["p"].mean()).abs() * parts.size()).sum() / len(p))


def _capa(y: np.ndarray, first: np.ndarray, second: np.ndarray) -> float:
    """(observed − expected) / (1 − expected) agreement."""
    observed = np.mean(first * second + (1 - first) * (1 - second))
    one, two = (np.where(y > 0, p, 1 - p).mean() for p in (first, second))
    expected = one * two + (1 - one) * (1 - two)
    return float((observed - expected) / (1 - expected))
