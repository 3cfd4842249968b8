"""The frames and the page of a study against its Parquet files, by an independent few lines with scipy and sklearn."""

from __future__ import annotations

import math
import re

import pandas as pd
import pytest
from expected_cells import (
    ROLES,
    RUN,
    Cells,
    Recomputed,
    by_method,
    expected_cells,
    less_xent,
    named,
    value_of,
    wrong_cells,
)
from recomputed import NAME, every_test, holm, pooled
from scipy import stats

from outshine.report.study_section import comparison_of
from outshine.report.text import contender_name, interval_text, pgr_text
from outshine.results.compare import compare
from small_study import Ran

pytestmark = pytest.mark.slow

SEED = [*RUN, "seed"]
TABLES = [
    "Pooled PGR",
    "Gain over the supervisor",
    "Test ROC AUC [",
    "On strong_train",
    "p two-sided (",
    "Difference in AUROC",
]
TABLES += ["Controls", "update is kept", "Diagnostics"]


@pytest.fixture(scope="module")
def study(ran: Ran) -> Recomputed:
    return Recomputed.of(ran)


@pytest.fixture(scope="module")
def expected(study: Recomputed) -> dict[str, Cells]:
    return expected_cells(study)


# -- the frames ----------------------------------------------------------------------------------


def test_every_auroc_and_accuracy(study):
    scores = study.table("scores")
    assert len(scores) > 500
    for row in scores.itertuples():
        part = study.found.split(row.key, row.split)
        assert set(part["dataset"]) == {row.dataset}
        assert (row.n, row.num_groups) == (len(part), part["group"].nunique())
        assert row.auroc == pytest.approx(study.found.auroc(row.key, row.split), abs=1e-12)
        assert row.accuracy == pytest.approx(study.found.accuracy(row.key, row.split), abs=1e-12)


def test_every_pgr(study):
    pgr = study.table("pgr").set_index(SEED)
    own = study.own[study.own["purpose"] != "sweep"].set_index(SEED)
    assert len(pgr) == len(own) > 100
    for name, row in pgr.iterrows():
        gain, gap = (own.loc[name, role] - own.loc[name, "weak_auroc"] for role in ("auroc", "ceiling_auroc"))
        assert row["student_minus_weak"] == pytest.approx(gain, abs=1e-12)
        assert row["ceiling_minus_weak"] == pytest.approx(gap, abs=1e-12)
        assert math.isnan(row["pgr"]) if not row["defined"] else row["pgr"] == pytest.approx(gain / gap)
    assert pgr["defined"].sum() > 50


def test_every_pgr_of_means(study):
    summary = study.table("summary").set_index(RUN)
    assert len(summary) == len(study.by_dataset.drop("sweep", level="purpose"))
    for name, row in summary.iterrows():
        mean = study.by_dataset.loc[name]
        for role, column in ROLES:
            assert row[f"{role}_auroc"] == pytest.approx(mean[column], abs=1e-12)
        assert math.isnan(row["pgr"]) if not row["defined"] else row["pgr"] == pytest.approx(mean["pgr"])
    assert summary["defined"].sum() > 30


def test_pooled_pgrs_are_ratios_of_sums(study):
    expected = {name: pooled(rows) for name, rows in study.methods()}
    assert len(expected) == 10
    for one in study.ran.results.pooled:
        value = expected.pop(contender_name(one._asdict()))
        assert one.pooled.num_datasets == 3
        for found in (one.pooled.these_datasets, one.pooled.any_datasets):
            assert math.isnan(found.value) if not found.defined else found.value == pytest.approx(value)
    assert not expected


def test_the_comparison(study):
    results = study.ran.results
    frame = compare(results.scores, results.pgr, baseline="xent").frame().set_index("method")
    expected = {name: every_test(d) for name, d in study.differences().items()}
    assert list(frame.index) == list(expected)
    assert len(frame) == 9
    for name, numbers in expected.items():
        for column, value in numbers.items():
            assert frame.loc[name, column] == pytest.approx(value, abs=1e-11), (name, column)
    for test, column in (("wilcoxon", "holm"), ("t", "t_holm"), ("sign", "sign_holm")):
        assert list(frame[column]) == pytest.approx(holm([one[f"{test}_two_sided"] for one in expected.values()]))
    assert list(frame["least_p"]) == [1.0] * 9  # nine times 2/2³


def test_the_comparison_on_pgr(study):
    """The mean over seeds of the seeds' own PGRs, those that are undefined left out."""
    own = study.own[study.own["purpose"] == "method"].set_index(SEED)
    defined = study.table("pgr").set_index(SEED)["defined"].reindex(own.index)
    assert (defined.groupby(["dataset", "seed"]).nunique() == 1).all()  # it is the gap's: no pair lacks a seed
    gain, gap = (own[role] - own["weak_auroc"] for role in ("auroc", "ceiling_auroc"))
    by_dataset = (gain / gap).where(defined).groupby(RUN, sort=False).mean().to_frame("pgr")
    expected = less_xent({name: rows["pgr"] for name, rows in by_method(by_dataset)})
    results = study.ran.results
    frame = compare(results.scores, results.pgr, baseline="xent", metric="pgr").frame().set_index("method")
    assert list(frame.index) == list(expected)
    for name, d in expected.items():
        for column, value in every_test(d).items():
            assert frame.loc[name, column] == pytest.approx(value, abs=1e-11), (name, column)


def test_the_diagnostics(study):
    frame, expected = study.table("diagnostics").set_index(SEED), study.diagnostics.set_index(SEED)
    assert list(frame.index) == list(expected.index)
    assert len(expected.columns) == 12
    pd.testing.assert_frame_equal(frame[expected.columns], expected, rtol=1e-9, atol=1e-12, check_dtype=False)


def test_the_sweeps(study):
    frame, records, folders = study.table("sweeps"), study.found.records, study.found.folders
    assert len(frame) == 3 * 2 * 2 * (3 + 2)  # datasets, seeds, layers, settings
    swept = study.own[study.own["purpose"] == "sweep"].set_index(["seed", "key"])
    for row in frame.itertuples():
        expected = swept.loc[(row.seed, row.key)]
        assert row.auroc == pytest.approx(expected["auroc"], abs=1e-12)
        assert row.difference == pytest.approx(expected["auroc"] - expected["weak_auroc"], abs=1e-12)
        fields = records[folders[row.key]]["fields"]
        assert row.layer == records[folders[fields["activations"]["stage"]]]["fields"]["layer"]
        probe = fields["probe"]
        name = {"knn": "k", "logistic": "penalty"}[probe["kind"]]
        assert (row.probe, row.setting_name, row.setting) == (probe["kind"], f"probe.{name}", probe[name])


def test_what_filters_removed(study):
    frame = study.table("filters")
    topo = frame["variant"].str.contains("topofilter")
    assert len(frame) == 2 * topo.sum() == 12
    for row in frame.itertuples():
        kept = pd.read_parquet(study.found.folders[row.key] / "keep.parquet")["kept"]
        assert (row.rows, row.dropped) == (len(kept), (~kept).sum())
        assert row.dropped_fraction == pytest.approx(1 - kept.mean())
    components = [study.found.removed_by_components(key) for key in frame.loc[topo, "key"]]
    assert len(set(components)) > 2
    assert frame.loc[topo, "removed_by_components"].tolist() == pytest.approx(components)
    assert frame.loc[~topo, "removed_by_components"].isna().all()


def test_the_trajectories(study):
    frame = study.table("trajectories").set_index(SEED)
    vanilla = study.own[study.own["method"] == "vanilla"]
    assert len(frame) == 2 * len(vanilla)  # validated after both updates
    for _, student in vanilla.iterrows():
        rows = frame.loc[[tuple(student[SEED])]]
        curve = study.found.trajectory(student["key"])
        assert dict(zip(rows["step"], rows["test_auroc"], strict=True)) == pytest.approx(curve, abs=1e-12)
        assert rows.loc[rows["chosen"], "test_auroc"].tolist() == pytest.approx([student["auroc"]], abs=1e-12)


# -- the page ------------------------------------------------------------------------------------


def test_no_table_is_left_out(page, expected):
    assert list(expected) == TABLES
    captions = [table.caption for table in page.tables if table.caption]
    unexpected = [caption for caption in captions if sum(words in caption for words in TABLES) != 1]
    assert not unexpected
    assert len(captions) == len(TABLES)


@pytest.mark.parametrize("words", TABLES)
def test_every_number_of_a_table(page, expected, words):
    assert wrong_cells(page.table(words).rows, expected[words]) == []


@pytest.mark.parametrize("words", TABLES)
def test_any_wrong_number_of_a_table_would_be_found(page, expected, words):
    """The check itself: two units more or less in the last digit of any one number."""
    changed = 0
    for row, (which, cells) in zip(page.table(words).rows, expected[words].items(), strict=True):
        for column, cell in enumerate(row[len(which) :], len(which)):
            for last in re.finditer(r"\d(?![\d.])", cell):
                other = str(int(last[0]) + (2 if int(last[0]) < 5 else -2))
                bad = [*row[:column], cell[: last.start()] + other + cell[last.end() :], *row[column + 1 :]]
                assert wrong_cells([bad], {which: cells}), bad
                changed += 1
    assert changed > len(expected[words])


def test_the_sentences(page, study):
    text = " ".join(page.text.split())
    (recovered,) = re.findall(r"On these 3 datasets taken together the student recovers ([-−]?\d+) % of the gap", text)
    share = pooled(dict(study.methods())["vanilla logconf"])
    assert abs(value_of(recovered) - 100 * share) <= 0.5 + 1e-9
    for name, d in study.differences().items():
        assert f"{name} beats vanilla xent on {every_test(d)['wins']} of 3 datasets" in text
    assert "none is shown to help or to hurt" in text  # 1/8 is the least p of three datasets


def test_no_number_is_a_negative_zero(page, study):
    assert not re.findall(r"[-−]0?\.0+(?!\d)|[-−]0 %", page.text)
    row = study.ran.results.summary.iloc[0].to_dict() | {"defined": True, "pgr": -0.004, "pgr_low": -0.3}
    assert pgr_text(pd.Series({**row, "pgr_high": -0.0001, "saturated": False})) == "0.00 [-0.30, 0.00]"
    almost = study.ran.results.pooled[0].pooled.these_datasets._replace(
        value=-0.004, low=-0.3, high=-0.0001, defined=True
    )
    assert interval_text(almost) == "0.00 [-0.30, 0.00]"


def test_the_noise_floor(page, study):
    """Three datasets cannot show anything. Sizes by hand: differences vary between datasets and between seeds."""
    text = " ".join(page.text.split())
    own = study.own[study.own["purpose"] == "method"]
    gap = (own["ceiling_auroc"] - own["weak_auroc"]).mean()
    tables = {
        named(which): rows.pivot_table(index="dataset", columns="seed", values="auroc")
        for which, rows in own.groupby(NAME)
    }
    assert "With 3 datasets and 9 methods no difference, however large, can be shown" in text
    z = stats.norm.ppf(1 - 0.05 / 9 / 2)
    for name in study.differences():
        d = (tables[name] - tables["vanilla xent"]).to_numpy()
        within = d.var(axis=1, ddof=1).mean()
        between = max(0.0, d.mean(axis=1).var(ddof=1) - within / 2)
        (told,) = re.findall(
            rf"Noise floor of {re.escape(name)} − [^:]*: none, since no difference, however large, can be shown. "
            r"By the standard deviation of these 3 datasets a PGR difference of \.05 needs (\S+) datasets at these seeds, and no number of seeds",
            text,
        )
        # Guenther's size of a t-test, and Wilcoxon's efficiency of 3/π
        needed = math.pi / 3 * (between + within / 2) * ((z + stats.norm.ppf(0.8)) / (0.05 * gap)) ** 2 + z**2 / 2
        assert float(told.replace(",", "")) == pytest.approx(max(9, needed), rel=0.03, abs=1.5)


def test_the_page_compares_with_the_declared_baseline_one_sided(study):
    found = comparison_of(study.ran.results, "entropy")
    assert found is not None
    assert (
        "method less vanilla entropy, a dataset a unit; p one-sided, as the study declared" in found["tables"][0].title
    )
    undeclared = comparison_of(study.ran.results, None)
    assert undeclared is not None
    assert "method less vanilla xent, a dataset a unit; p two-sided" in undeclared["tables"][0].title
    unknown = comparison_of(study.ran.results, "no such method")
    assert unknown is not None
    assert "unknown baseline 'no such method'" in unknown["reason"]


def test_the_splits(page, study):
    tables = [table for table in page.tables if table.columns[0] == "split"]
    prepared = study.found.rows.groupby(["dataset", "split"])
    for table, dataset in zip(tables, ["tiny-home", "tiny-pet", "tiny-food"], strict=True):
        assert len(table.rows) == 4
        for split, rows, share, groups in table.rows:
            part = prepared.get_group((dataset, split))
            assert (int(rows), int(groups)) == (len(part), part["group"].nunique())
            assert float(share) == pytest.approx(part["label"].mean(), abs=5e-4)


def test_the_stages_are_those_of_the_store(page, study):
    (table,) = [table for table in page.tables if table.columns[0] == "key"]
    found = study.found
    seconds = {key[:12]: found.records[folder]["made"]["seconds"] for key, folder in found.folders.items()}
    assert len(table.rows) == len({row[0] for row in table.rows}) == len(seconds) - 2 * 3  # preparations and audits
    for key, _, shown, _ in table.rows:
        assert abs(float(shown) - seconds[key]) <= 0.05 + 1e-9
