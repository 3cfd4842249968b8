"""`outshine label` where the truth of every row is known: is what trusted rows say true? Rerun with

    python tests/benchmarks/label_study.py tiny
    python tests/benchmarks/label_study.py real

Cheap labels are the truth with 10, 20 and 30 % of it turned at random, and the predictions of a small model trained on
other rows. Trusted rows are drawn at random from the file. `real` fetches four datasets and two models from the hub.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from outshine.data.schema import recipes
from outshine.data.splits import SplitSettings
from outshine.engine.progress import Silent
from outshine.engine.rng import numpy_rng
from outshine.engine.run.local import LocalExecutor
from outshine.engine.runtime import Runtime
from outshine.engine.store.store import Store
from outshine.labelling.results import LabelResults
from outshine.labelling.run import parse_label_settings, run_label
from outshine.learn.losses.xent import Xent
from outshine.learn.resolve import resolve
from outshine.learn.settings import TrainingSettings
from outshine.learn.spec import ModelSettings
from outshine.stats.auroc import auroc
from outshine.w2s.lab import Lab, TrainableModel
from outshine.w2s.stages.labels import GroundTruth
from outshine.w2s.stages.prepare import Prepare, Texts

TURNED = (0.1, 0.2, 0.3)


class Setting(NamedTuple):
    datasets: tuple[str, ...]
    weak: str
    strong: str
    training: dict[str, Any]


SETTINGS = {
    "tiny": Setting(
        ("tiny-home", "tiny-job", "tiny-pet", "tiny-food", "tiny-sport", "tiny-instrument"),
        *("tiny/weak", "tiny/strong", {"eval_every": 5}),
    ),
    "real": Setting(
        ("sst2", "cola", "sciq", "openbookqa"),
        *("tinyllamas/stories260K", "sentence-transformers/all-MiniLM-L6-v2", {"eval_every": 5}),
    ),
}


def labelled_rows(name: str, setting: Setting, num_rows: int, store: Store) -> pd.DataFrame:
    """Columns text, truth, and p by the weak model, which was trained on the truth of other rows."""
    runtime = Runtime(threads=1)
    sizes = SplitSettings(n_train=2 * num_rows, n_val=100, n_test=100)
    prepare = Prepare.of(recipes.parse(name), sizes)
    executor = LocalExecutor(store, runtime, Silent())
    executor.run([prepare])
    texts, truth = Texts.of(prepare, store), GroundTruth.of(prepare, store)
    weak = resolve(ModelSettings(model=setting.weak), "float32")
    tuned = TrainableModel(weak.spec, weak.learning_rate)
    lab = Lab(texts, truth, tuned, tuned, TrainingSettings(**setting.training), Xent(), seed=0)
    supervisor = lab.supervisor
    assert supervisor is not None
    executor.run([supervisor])
    rows = texts.read(store).set_index("id")
    rows = rows[rows["split"] == "strong_train"]
    known, p = (series.loc[rows.index] for series in (truth.read_labels(store), supervisor.read_labels(store)))
    return pd.DataFrame({"text": rows["text"], "truth": known.astype(int), "weak model": p})


def cheap_columns(rows: pd.DataFrame, name: str) -> dict[str, pd.Series]:
    """The cheap labels by what they are called."""
    found = {}
    for share in TURNED:
        turned = numpy_rng("label-study", name, f"{share}").random(len(rows)) < share
        found[f"{share:.0%} turned"] = rows["truth"] ^ turned
    return {**found, "weak model": rows["weak model"]}


def one_line(name: str, cheap: str, truth: np.ndarray, label: np.ndarray, found: LabelResults) -> list[str]:
    """What is true of the whole file beside what the trusted rows say."""
    (one,) = found.evidence
    z = found.rows["log_odds"].to_numpy()
    if one.primary == "accuracy":
        levels = [float(np.mean((score > cut) == truth)) for score, cut in ((label, 0.5), (z, 0.0))]
    else:
        levels = [auroc(truth, label), auroc(truth, z)]
    true_gain, gain = levels[1] - levels[0], one.gain
    assert gain is not None
    said = f"{gain.value:+.3f} [{gain.low:+.3f}, {gain.high:+.3f}]"
    inside = "yes" if gain.low <= true_gain <= gain.high else "no"
    wrong = ((label > 0.5) != truth)[found.suspects["row"].to_numpy() - 1]
    precision = f"{wrong.sum()} of {len(wrong)}" if len(wrong) else "–"
    measure = "accuracy" if one.primary == "accuracy" else "AUC"
    cells = [
        name,
        cheap,
        measure,
        *(f"{level:.3f}" for level in levels),
        f"{true_gain:+.3f}",
        said,
        inside,
        one.verdict,
    ]
    return [*cells, precision]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("which", choices=sorted(SETTINGS))
    parser.add_argument("--rows", type=int, default=400)
    parser.add_argument("--trusted", type=int, default=100)
    parser.add_argument("--folds", type=int, default=5)
    parser.add_argument("--datasets", default="")
    parser.add_argument("--cheap", default="", help="only these cheap labels, such as '30% turned,weak model'")
    parser.add_argument("--folder", type=Path, default=Path("label-study"))
    given = parser.parse_args()
    setting, store = SETTINGS[given.which], Store(given.folder / "store")
    titles = ["dataset", "cheap labels", "measure", "labels", "student", "true gain", "estimate [95 %]", "holds it"]
    sys.stdout.write(f"| {' | '.join([*titles, 'verdict', 'doubted and wrong'])} |\n")
    for name in given.datasets.split(",") if given.datasets else setting.datasets:
        rows = labelled_rows(name, setting, given.rows, store)
        drawn = numpy_rng("label-study", name, "trusted").permutation(len(rows))[: given.trusted]
        for cheap, label in cheap_columns(rows, name).items():
            if given.cheap and cheap not in given.cheap.split(","):
                continue
            folder = given.folder / name / cheap.replace(" ", "-").replace("%", "")
            folder.mkdir(parents=True, exist_ok=True)
            file, trusted = folder / "rows.parquet", folder / "trusted.parquet"
            pd.DataFrame({"text": rows["text"], "cheap": label}).to_parquet(file, index=False)
            pd.DataFrame({"text": rows["text"], "label": rows["truth"]}).iloc[drawn].to_parquet(trusted, index=False)
            labeller = parse_label_settings(
                {
                    "path": str(file),
                    "columns": {"label": "cheap"},
                    "trusted": str(trusted),
                    "strong": setting.strong,
                    "student": "lora",
                    "folds": given.folds,
                    "training": setting.training,
                    "compute_dtype": "float32",
                    "runtime": {"threads": 1},
                }
            )
            found = run_label(labeller, store).labelling
            cells = one_line(name, cheap, rows["truth"].to_numpy().astype(bool), label.to_numpy(dtype=float), found)
            sys.stdout.write(f"| {' | '.join(cells)} |\n")
            sys.stdout.flush()


if __name__ == "__main__":
    main()
