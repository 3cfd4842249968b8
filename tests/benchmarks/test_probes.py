"""The part on probes and filters at toy size: what is measured, beside what, and that both come to the same."""

from __future__ import annotations

import pytest

FIELDS = {"name", "rows", "width", "spectrum", "seconds", "extra_mb", "beside", "left_out"}


def found_at(name: str, dense: bool = True, spectrum: str = "") -> dict:
    from benchmarks.probes_and_filters import measure

    found = measure(name, 300, 16, spectrum, dense, repeats=2)
    assert set(found) == FIELDS
    assert found["seconds"] > 0
    assert found["extra_mb"] >= 0
    return found


@pytest.mark.parametrize("name", ["knn", "topofilter", "probe_disagreement"])
def test_those_with_neighbours_give_what_full_distance_matrices_give(name):
    found = found_at(name)
    assert found["left_out"] is None
    assert [one["format"] for one in found["beside"]] == ["float64", "float32"]
    expected = "largest difference 0.0e+00" if name == "knn" else "identical kept set"
    assert found["beside"][0]["compared"] == expected
    for one in found["beside"]:
        assert one["ratio"] == pytest.approx(one["seconds"] / found["seconds"])


@pytest.mark.parametrize("spectrum", ["power law", "outliers", "flat"])
def test_logistic_is_no_worse_than_lbfgs(spectrum):
    found = found_at("logistic", spectrum=spectrum)
    gaps = [float(one["compared"].removeprefix("its objective − ours ")) for one in found["beside"]]
    assert len(gaps) == 2
    assert min(gaps) > -1e-9


def test_what_is_too_large_stands_alone_and_the_table_says_why():
    from benchmarks import table

    found = found_at("knn", dense=False)
    assert found["beside"] == []
    assert found["left_out"] == "distances would take 0.00072 GB in float64"
    machine = {"processor": "one", "threads": 1, "cores": 1, "torch": "2", "transformers": "5", "peft": "0"}
    lines = table.markdown({"machine": machine, "probes": [found, found_at("topofilter")]}).splitlines()
    assert len(lines) == 2 + 2 + 2 + 1 + 2  # machine, heading, head, one alone, two formats
    assert "left out: distances would take" in lines[-3]
    assert len({line.count("|") for line in lines[-5:]}) == 1


def test_every_probe_and_filter_is_measured_at_every_size_and_50_000_rows_without_a_distance_matrix():
    from benchmarks.probes_and_filters import NAMES, SIZES, jobs

    made = jobs(quick=False)
    assert {(job.name, job.rows, job.width) for job in made} == {(name, *size) for name in NAMES for size in SIZES}
    assert {job.name for job in made if not job.dense} == {"knn", "topofilter", "probe_disagreement"}
    assert {job.rows for job in made if not job.dense} == {50_000}
    assert len({job.spectrum for job in made if (job.name, job.width) == ("logistic", 4_096)}) == 3
    assert {job.dense for job in jobs(quick=True)} == {True, False}


def test_the_names_are_those_of_the_registries():
    from benchmarks.probes_and_filters import NAMES

    from outshine.learn.filters import filters
    from outshine.learn.probes import probes

    assert set(NAMES) == {*probes.names(), *filters.names()}


@pytest.mark.slow
def test_a_job_runs_in_a_process_of_its_own(monkeypatch):
    from benchmarks import probes_and_filters

    job = probes_and_filters.Job("knn", 200, 8, "", dense=True)
    monkeypatch.setattr(probes_and_filters, "jobs", lambda quick: [job])
    (found,) = probes_and_filters.measure_all(quick=True, threads=1, repeats=1)
    assert (found["name"], found["rows"], found["width"]) == ("knn", 200, 8)
    assert found["beside"][0]["compared"] == "largest difference 0.0e+00"
