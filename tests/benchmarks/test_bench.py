"""The benchmark's own arithmetic, its material, and its pipeline at toy size. Nothing is timed."""

from __future__ import annotations

import json
from pathlib import Path

import pandas as pd
import pytest

# PEFT asks transformers for a property by its old name
pytestmark = pytest.mark.filterwarnings("ignore:`is_gradient_checkpointing` is deprecated:FutureWarning")

SIZE = {"n_train": 80, "n_val": 40, "n_test": 40, "epochs": 1, "eval_every": 2, "tiny": True}
ROWS = {"weak_train": 64, "strong_train": 60, "val": 10, "test": 30}


def _counts(updates: int, train: float, rows: int, evaluating: float, asked: int, predicting: float) -> dict:
    return {
        "updates": updates,
        "train_seconds": train,
        "rows_evaluated": rows,
        "eval_seconds": evaluating,
        "rows_predicted": asked,
        "predict_seconds": predicting,
        "best_update": 1,
    }


def _turn(counts: dict, seconds: float, texts: int):
    from benchmarks.children import Measured

    value = {
        "counts": dict.fromkeys(("weak", "ceiling", "student"), counts),
        "texts_read": texts,
        "reading_seconds": 2.0,
        "aucs": [],
    }
    return Measured(value, seconds, 100.0)


def test_a_part_is_extrapolated_by_its_counts():
    from benchmarks.pipeline import Size, whole_cost

    # each model: 2 updates an epoch, 3 epochs; validated after 2, 4 and 6; 40 rows each time; 100 rows predicted
    turn = _turn(_counts(2, 10.0, 20, 4.0, 25, 3.0), seconds=60.0, texts=50)
    cost = whole_cost(turn, ROWS, Size(n_train=128, n_val=10, n_test=30, epochs=3, eval_every=2))
    one = 10.0 * 6 / 2 + 4.0 * 120 / 20 + 3.0 * 100 / 25
    rest = 60.0 - 3 * 17.0 - 2.0
    assert cost["student_seconds"] == pytest.approx(one)
    assert cost["seconds"] == pytest.approx(rest + 3 * one + 2.0 * 100 / 50)
    assert cost["extrapolated"]


def test_a_whole_run_costs_what_was_measured():
    from benchmarks.pipeline import Size, whole_cost

    turn = _turn(_counts(6, 30.0, 120, 24.0, 100, 12.0), seconds=210.0, texts=100)
    cost = whole_cost(turn, ROWS, Size(n_train=128, n_val=10, n_test=30, epochs=3, eval_every=2))
    assert not cost["extrapolated"]
    assert cost["seconds"] == 210.0
    assert cost["student_seconds"] == pytest.approx(66.0)


def test_rows_shrink_in_proportion_and_never_to_nothing():
    from benchmarks.pipeline import Size

    assert Size().scaled(0.5)[:3] == (1000, 150, 750)
    assert Size().scaled(0.01)[:3] == (64, 64, 64)
    assert Size().scaled(0.5).eval_every == Size().eval_every


def test_generated_rows_are_balanced_of_the_asked_length_and_reproducible():
    from benchmarks.material import generated_rows

    rows = generated_rows(2000, 31)
    lengths = [len(row["text"].split()) for row in rows]
    assert sum(row["label"] for row in rows) == 1000
    assert sum(lengths) / len(lengths) == pytest.approx(31, abs=1)
    assert rows == generated_rows(2000, 31)


def test_a_model_has_the_weights_its_shape_says_and_a_token_a_word(tmp_path):
    from benchmarks.material import TOY_STUDENT, generated_rows, write_model
    from transformers import AutoModel, AutoTokenizer

    texts = [row["text"] for row in generated_rows(20, 9)]
    folder = write_model(tmp_path / "model", TOY_STUDENT, texts)
    model = AutoModel.from_pretrained(folder)
    linear = [p.numel() for name, p in model.named_parameters() if "proj" in name]
    assert sum(linear) == TOY_STUDENT.in_blocks
    ids = AutoTokenizer.from_pretrained(folder)(texts)["input_ids"]
    assert [len(one) for one in ids] == [len(text.split()) for text in texts]


@pytest.mark.slow
def test_a_child_returns_values_and_tells_failures():
    from benchmarks import children, material

    found = children.call("material", "generated_rows", {"count": 3, "mean_words": 6}, 1)
    assert found.value == material.generated_rows(3, 6)
    assert found.peak_mb > 10
    with pytest.raises(RuntimeError, match="mean_words"):
        children.call("material", "generated_rows", {"count": 3}, 1)


@pytest.mark.slow
def test_both_sides_predict_the_same_rows_alike(tmp_path, monkeypatch):
    from benchmarks.children import Measured

    from benchmarks import pipeline

    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    made = pipeline.make(str(tmp_path), SIZE, "float32")
    one, usual, part = (tmp_path / f"{name}.parquet" for name in ("one", "usual", "part"))
    ours = pipeline.run_outshine(str(tmp_path / "store"), made, SIZE, 2, str(one))
    theirs = pipeline.run_usual(str(tmp_path), made, SIZE, 4, None, str(usual))
    gaps = pipeline.differences(one, usual)
    assert set(gaps) == {"weak", "ceiling", "student"}
    assert max(gaps.values()) < 1e-4
    mine = {(auc["role"], auc["loss"]): auc for auc in ours["aucs"]}
    assert set(mine) == {("weak", "xent"), ("ceiling", "xent"), ("student", "xent"), ("student", "logconf")}
    for auc in theirs["aucs"]:
        assert auc == pytest.approx({**mine[auc["role"], auc["loss"]]}, abs=1e-3)
    assert len(pd.read_parquet(one)) == 3 * sum(made["rows"][split] for split in pipeline.SPLITS)

    cut = pipeline.run_usual(str(tmp_path), made, SIZE, 4, 1, str(part))
    cost = pipeline.whole_cost(Measured(cut, 1e6, 1.0), made["rows"], pipeline.Size(**SIZE))
    assert cost["extrapolated"]
    assert {counts["updates"] for counts in cut["counts"].values()} == {1}

    choices = pipeline.Choices(1, 1, 2, 4, 0, True, "float32")
    turns = {name: [Measured(value, took, 50.0)] for name, value, took in
             (("one", ours, 10.0), ("many", ours, 12.0), ("usual", theirs, 80.0))}  # fmt: skip
    found = pipeline.summary(tmp_path, made, pipeline.Size(**SIZE), choices, turns)
    assert found["ratio_pipeline"] == pytest.approx(8.0)
    assert found["outshine_extra_student_seconds"] == pytest.approx(2.0)
    assert found["largest_log_odds_difference"] == gaps
    assert "8.0 ×" in _table(found)


def _table(pipeline_found: dict) -> str:
    from benchmarks import table

    machine = {"processor": "one", "threads": 1, "cores": 1, "torch": "2", "transformers": "5", "peft": "0"}
    return table.markdown({"machine": machine, "pipeline": pipeline_found})


@pytest.mark.slow
def test_throughput_and_growth_run_at_toy_size(tmp_path: Path):
    from benchmarks import growth, material, throughput

    for members in (1, 2):
        found = throughput.measure(list(material.TOY_WEAK), 8, 1, "float32", members)
        expected = {"training": 4 * members, "evaluation": 2 * members, "activations, layer 1": 1}
        assert [work["work"] for work in found["work"]] == list(expected)[: 3 if members == 1 else 2]
        for work in found["work"]:
            per_weight = expected[work["work"]]
            flops = per_weight * material.TOY_WEAK.in_blocks * found["mean_tokens"] * 8
            assert work["gflops"] * 1e9 * work["seconds"] == pytest.approx(flops)
    assert growth.run_point(growth.points(quick=True)[0], tmp_path / "point", "float32") > 0


def test_each_series_varies_one_thing_at_three_points():
    from benchmarks.growth import points

    for quick in (True, False):
        series = points(quick)
        for what in ("rows", "words", "block weights", "methods"):
            assert len({point.value for point in series if point.what == what}) == 3
        base = series[0]
        assert all(point[2:] == base[2:] for point in series[::3])


def test_parts_of_the_same_setting_stay_and_those_of_another_do_not(tmp_path):
    from benchmarks import bench

    setting = {"quick": False, "machine": {"processor": "p", "threads": 2}}
    out = tmp_path / "results.json"
    assert bench.earlier(out, setting) == setting
    out.write_text(json.dumps({**setting, "scale": [1]}))
    assert bench.earlier(out, setting) == {**setting, "scale": [1]}
    for other in ({**setting, "quick": True}, {**setting, "machine": {"processor": "p", "threads": 1}}):
        assert bench.earlier(out, other) == other
