"""Figures of the report: pure functions from frames to matplotlib figures, and their rendering.

`select` says which rows of a study's summary go into which figure; `svg` and `png` render.
"""

from outshine.report.figures.auroc import auroc_by_dataset
from outshine.report.figures.filtering import removed_by_components
from outshine.report.figures.pgr import (
    pgr_by_loss,
    pgr_by_method,
    pgr_by_round,
    pgr_of_changed_data,
    pgr_of_probes,
)
from outshine.report.figures.regret import regret_by_labels
from outshine.report.figures.svg_png import png, svg
from outshine.report.figures.sweeps import knn_sweep, logistic_sweep
from outshine.report.figures.training import curves_of_dataset, training_curves

__all__ = [
    "auroc_by_dataset",
    "curves_of_dataset",
    "knn_sweep",
    "logistic_sweep",
    "pgr_by_loss",
    "pgr_by_method",
    "pgr_by_round",
    "pgr_of_changed_data",
    "pgr_of_probes",
    "png",
    "regret_by_labels",
    "removed_by_components",
    "svg",
    "training_curves",
]
