"""The embedded default shows the phenomenon, and shows it because the models were pretrained."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import outshine
from outshine.data.tiny_world import make_world
from outshine.learn.tiny_models.pretrain import DEFAULT_SIZES, initial_model, save

TASKS = ("tiny-home", "tiny-sport")


def scores(weak: str, strong: str, store: Path) -> pd.DataFrame:
    """Test AUC by dataset (rows) and role (columns), one seed."""
    study = outshine.Study.model_validate(
        {
            "datasets": TASKS,
            "weak": {"model": weak, "learning_rate": 5e-3},
            "strong": {"model": strong, "learning_rate": 3e-3},
            "compute_dtype": "float32",
            "splits": {"n_train": 1000, "n_val": 200, "n_test": 1200},
        }
    )
    frame = outshine.run(study, store=store).scores
    return frame[frame.split == "test"].pivot_table(index="dataset", columns="role", values="auroc")


@pytest.mark.slow
def test_the_student_outshines_its_supervisor(tmp_path: Path) -> None:
    auc = scores("tiny/weak", "tiny/strong", tmp_path)
    assert auc.index.tolist() == list(TASKS)
    assert (auc.ceiling >= 0.9).all()
    assert auc.weak.between(0.6, 0.8).all()
    assert (auc.student > auc.weak + 0.1).all()
    assert (auc.student < auc.ceiling).all()


@pytest.mark.slow
def test_without_pretraining_nothing_is_learned(tmp_path: Path) -> None:
    """Same shapes, same texts, same training; the weights never saw the world: every AUC is one half."""
    for size in ("weak", "strong"):
        save(initial_model(make_world(), DEFAULT_SIZES[size], seed=7), make_world(), tmp_path / size)
    auc = scores(str(tmp_path / "weak"), str(tmp_path / "strong"), tmp_path / "store").to_numpy()
    assert auc.shape == (len(TASKS), 3)
    assert np.abs(auc - 0.5).max() < 4 / np.sqrt(3 * 1200)  # four standard errors at 600 rows a class
