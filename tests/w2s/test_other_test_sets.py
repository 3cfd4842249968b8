"""A study with a second test set: the same models on other rows, measured as the first is."""

from __future__ import annotations

from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import pytest
from scipy.special import ndtr
from sklearn.metrics import roc_auc_score

import outshine
from outshine.data.recipes.tiny import TinyHome
from outshine.engine.errors import DataError, SettingsError
from outshine.engine.store.store import Store
from outshine.results.other_tests import TEST_COLUMNS, disagreements_of_tests, gain_change
from outshine.results.other_tests import test_facts as facts_of
from outshine.results.results import Results
from outshine.results.scored_rows import Outcome, ScoredRows, compare_rows
from outshine.stats.metrics import metrics
from outshine.stats.pgr import ROLES
from outshine.w2s.expand import Experiment, expand, resolve_study
from outshine.w2s.study_file import parse_study, read_study, study_yaml
from small_study import TINY

STUDY: dict[str, Any] = {
    **TINY,
    "name": "shifted",
    "datasets": ["tiny-home"],
    "methods": [
        {"kind": "vanilla", "loss": "xent"},
        {"kind": "probe", "probe": {"kind": "knn", "k": 20}},
        {"kind": "filtered", "filter": {"kind": "topofilter", "k": 20}},
    ],
    "controls": [{"kind": "control", "labels": "noise_matched"}],
    "trajectories": True,
}


class Ran(NamedTuple):
    folder: Path
    store: Store
    results: Results
    experiments: list[Experiment]


def sentences_file(folder: Path, num_rows: int = 400) -> Path:
    """Questions of the same task in another wording, whose labels are right in two of three rows; ids as in any file."""
    home = TinyHome()
    pools = home.open(home.identify())
    assert pools.test is not None
    rows = pools.test.take(range(num_rows))
    labels = [row["positive"] != (i % 3 == 0) for i, row in enumerate(rows)]
    frame = pd.DataFrame({"id": range(num_rows), "text": [row["text"].replace("live", "sleep") for row in rows]})
    path = folder / "shifted.csv"
    frame.assign(label=[int(label) for label in labels]).to_csv(path, index=False)
    return path


@pytest.fixture(scope="module")
def ran(tmp_path_factory: pytest.TempPathFactory) -> Ran:
    folder = tmp_path_factory.mktemp("tests")
    path = str(sentences_file(folder))
    study = outshine.Study(**STUDY, tests={"reworded": path, "pets": "tiny-pet"})
    store = Store(folder / "store")
    results = outshine.run(study, store=store.root, out=folder / "out")
    return Ran(folder, store, results, expand(resolve_study(study), store))


@pytest.mark.slow
def test_each_test_set_is_measured_from_its_own_rows(ran: Ran) -> None:
    table = ran.results.tests
    assert tuple(table.columns) == TEST_COLUMNS
    assert table.groupby("method_id")["test"].apply(list).map(tuple).unique().tolist() == [("test", "reworded", "pets")]
    run = ran.experiments[0]
    texts = pd.read_parquet(ran.store.file(run.prepare.key, "texts.parquet")).set_index("id")
    truth = pd.read_parquet(ran.store.file(run.prepare.key, "truth.parquet")).set_index("id")["label"]
    checked = 0
    for run in ran.experiments:
        if run.purpose == "control" and run.method.kind != "control":
            continue
        roles = {"weak": run.labels, "student": run.students[-1], "ceiling": run.ceiling}
        own = table[
            table["method_id"].isin(ran.results.summary.loc[ran.results.summary["purpose"] == run.purpose, "method_id"])
        ]
        own = own[own["method"] == run.method.kind].set_index("test")
        for name, split in (("test", "test"), ("reworded", "test:reworded"), ("pets", "test:pets")):
            ids = texts.index[texts["split"] == split]
            for role, stage in roles.items():
                predicted = pd.read_parquet(ran.store.file(stage.key, "predictions.parquet")).set_index("id")  # pyright: ignore
                expected = roc_auc_score(truth[ids], predicted.loc[ids, "log_odds"])
                assert own.loc[name, f"{role}_auroc"] == pytest.approx(expected, abs=1e-12)
                checked += 1
            assert own.loc[name, "gain"] == pytest.approx(own.loc[name, "student_auroc"] - own.loc[name, "weak_auroc"])
            assert own.loc[name, "gain_low"] < own.loc[name, "gain"] < own.loc[name, "gain_high"]
    assert checked == 4 * 3 * 3


@pytest.mark.slow
def test_the_dataset_s_own_results_are_those_without_other_test_sets(ran: Ran) -> None:
    alone = outshine.run(outshine.Study(**STUDY), store=ran.folder / "alone")
    same = [name for name in alone.summary.columns if name != "key"]
    pd.testing.assert_frame_equal(alone.summary[same], ran.results.summary[same])
    assert alone.tests.empty
    own = ran.results.tests[ran.results.tests["test"] == "test"].reset_index(drop=True)
    for column in ("student_auroc", "pgr", "pgr_low", "n"):
        np.testing.assert_array_equal(own[column], ran.results.summary[column])


@pytest.mark.slow
def test_no_row_of_another_test_set_is_trained_on(ran: Ran) -> None:
    run = ran.experiments[0]
    texts = pd.read_parquet(ran.store.file(run.prepare.key, "texts.parquet"))
    other = texts["split"].str.startswith("test:")
    assert not set(texts.loc[other, "text"]) & set(texts.loc[~other, "text"])
    assert texts["id"].is_unique
    for stage in (run.labels, run.ceiling, run.students[0]):
        assert stage.summary(ran.store)["train_rows"] == (texts["split"] == "strong_train").sum()  # pyright: ignore


@pytest.mark.slow
def test_the_page_and_the_files_have_the_table(ran: Ran) -> None:
    page = (ran.folder / "out" / "report.html").read_text(encoding="utf-8")
    assert "AUROC on each test set" in page
    assert "reworded" in page
    written = pd.read_parquet(ran.folder / "out" / "tests.parquet")
    assert len(written) == len(ran.results.tests)
    study = parse_study(read_study(str(ran.folder / "out" / "study.yaml")))
    assert set(study.tests) == {"reworded", "pets"}
    assert study.sources["test:pets"].startswith("world:")
    assert resolve_study(study).prepares[0].key == ran.experiments[0].prepare.key


def row(test: str, gain: float, low: float, high: float, **changed: Any) -> dict[str, Any]:
    names = dict.fromkeys(TEST_COLUMNS, "")
    facts = {"purpose": "method", "dataset": "sst2", "method": "vanilla", "loss": "xent", "round": 0, "method_id": "m"}
    gains = {"gain": gain, "gain_low": low, "gain_high": high}
    unknown = dict.fromkeys(("gain_change", "gain_change_low", "gain_change_high"), np.nan)
    return {**names, **facts, "test": test, **gains, **unknown, **changed}


def change(value: float, low: float, high: float) -> dict[str, float]:
    return {"gain_change": value, "gain_change_low": low, "gain_change_high": high}


def test_a_sentence_where_test_sets_disagree_and_none_where_they_agree() -> None:
    own = row("test", 0.05, 0.02, 0.08)
    first = (
        "vanilla xent on sst2: ahead of its supervisor on test (+.050 [+.020, +.080]); not told apart from its "
        "supervisor on shifted (+.010 [−.020, +.040])."
    )
    level = ("shifted", 0.01, -0.02, 0.04)
    assert disagreements_of_tests(pd.DataFrame([own, row(*level, **change(-0.04, -0.08, 0.01))])) == [
        f"{first} The gain on shifted is not shown to differ from that on test (−.040 [−.080, +.010])."
    ]
    assert disagreements_of_tests(pd.DataFrame([own, row(*level, **change(-0.04, -0.07, -0.01))])) == [
        f"{first} The gain on shifted is smaller than that on test (−.040 [−.070, −.010])."
    ]
    (told,) = disagreements_of_tests(pd.DataFrame([own, row("a", 0.2, 0.1, 0.3, **change(0.15, 0.05, 0.25))]))
    assert told.endswith("The gain on a is larger than that on test (+.150 [+.050, +.250]).")
    same = row("a", 0.04, 0.01, 0.07, **change(-0.01, -0.05, 0.03))
    assert not disagreements_of_tests(pd.DataFrame([own, same]))
    unknown = row("a", np.nan, np.nan, np.nan)
    assert not disagreements_of_tests(pd.DataFrame([own, unknown]))
    control = {"purpose": "control"}
    rows = [row("test", 0.05, 0.02, 0.08, **control), row("a", -0.04, -0.05, -0.03, **control)]
    assert not disagreements_of_tests(pd.DataFrame(rows))


def made_outcome(shift: float, seeds: np.ndarray, rng: np.random.Generator, weak: bool = True) -> Outcome:
    """Supervisor and student on 150 new rows: each row is right with a chance of its own, the student's by seed."""
    y = np.arange(150) % 2
    hard = rng.normal(size=150)
    right = {"weak": np.broadcast_to(hard < 0, (len(seeds), 150)), "student": hard < (0.3 + shift + seeds)[:, None]}
    right["ceiling"] = np.ones((len(seeds), 150), dtype=bool)
    roles = ROLES if weak else ROLES[1:]
    scores = np.stack([np.where(right[role], 1, -1) * (2 * y - 1) for role in roles], axis=1).astype(float)
    return compare_rows(ScoredRows(y, None, scores, roles), metrics.parse("accuracy"), "")


@pytest.mark.slow
@pytest.mark.parametrize("num_seeds", [1, 3])
def test_the_change_of_a_gain_is_covered_as_often_as_its_interval_says(num_seeds: int) -> None:
    """Seeds move a student on both test sets alike; the truth is the change of the chance of being right."""
    rng = np.random.default_rng(7)
    held, shift = [], 0.2
    for _ in range(200):
        seeds = rng.normal(scale=0.1, size=num_seeds) if num_seeds > 1 else np.zeros(1)
        own, other = made_outcome(0.0, seeds, rng), made_outcome(shift, seeds, rng)
        low, high = gain_change(other, own)[1:3]
        spread = np.sqrt(1 + (0.1**2 if num_seeds > 1 else 0))
        truth = ndtr((0.3 + shift) / spread) - ndtr(0.3 / spread)
        held.append(low <= truth <= high)
    assert 0.91 <= np.mean(held) <= 0.995


def test_the_change_of_a_gain_is_the_difference_of_the_gains_and_unknown_without_a_supervisor() -> None:
    rng = np.random.default_rng(3)
    own, other = (made_outcome(shift, np.array([0.0, 0.1]), rng) for shift in (0.0, 0.3))
    facts, others = facts_of("test", own, None), facts_of("test:far", other, own)
    assert others["gain_change"] == pytest.approx(others["gain"] - facts["gain"], abs=1e-12)
    assert np.isnan(facts["gain_change"])
    bare = made_outcome(0.0, np.zeros(2), rng, weak=False)
    assert np.isnan(facts_of("test:far", bare, own)["gain_change"])


def test_studies_without_other_test_sets_are_written_as_before() -> None:
    assert "tests" not in study_yaml(outshine.Study(**STUDY))


@pytest.mark.parametrize(
    ("tests", "message"),
    [
        ({"other": "tiny-instrument-family"}, "'other' has multiclass labels, and those of 'tiny-home' are binary"),
        ({"a b": "tiny-pet"}, "tests"),
        ({"other": "tiny-pets"}, "tiny-pets"),
    ],
)
def test_what_cannot_be_a_test_set_is_refused(tests: dict[str, str], message: str) -> None:
    with pytest.raises((SettingsError, outshine.OutshineError), match=message):
        outshine.Study(**STUDY, tests=tests)


def test_a_test_set_of_one_class_is_refused(tmp_path: Path) -> None:
    from outshine.data.splits import OtherTest, SplitSettings, prepare

    path = tmp_path / "one.csv"
    path.write_text("text,label\n" + "".join(f"text {i},{int(i == 0)}\n" for i in range(30)))
    from outshine.data.recipes.file import FileDataset

    other = FileDataset(path=str(path))
    home = TinyHome()
    tests = [OtherTest(name="one", recipe=other, recipe_version=1, source=other.identify())]
    with pytest.raises(DataError, match=r"the test set 'one' \(one\) would have 1 positive and 1 negative rows"):
        prepare(home, home.identify(), SplitSettings(n_train=64, n_val=16, n_test=40), tests)
