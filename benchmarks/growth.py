"""How the cost of a study grows: with rows, text length, model size and number of methods; three points each."""

from __future__ import annotations

import statistics
import time
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, NamedTuple

from benchmarks import material
from benchmarks.material import Shape

LOSSES = ("xent", "logconf", "entropy")
BASE = Shape(128, 4, 4, 344)
TOY = Shape(32, 2, 2, 64)


class Point(NamedTuple):
    """One study of a series."""

    what: str  # which series
    value: int  # what is varied
    n_train: int
    words: int  # mean length of the texts
    shape: Shape
    methods: int


def points(quick: bool) -> list[Point]:
    """The series. All go out from one study; each varies one thing by factors of two (methods: by one)."""
    rows, words, shape = (128, 12, TOY) if quick else (512, material.SCIQ_TOKENS, BASE)
    sizes = [shape, *(Shape(shape.hidden * k, shape.layers, shape.heads * k, shape.intermediate * k) for k in (2, 4))]
    return [
        *(Point("rows", rows * k, rows * k, words, shape, 1) for k in (1, 2, 4)),
        *(Point("words", words * k, rows, words * k, shape, 1) for k in (1, 2, 4)),
        *(Point("block weights", one.in_blocks, rows, words, one, 1) for one in sizes),
        *(Point("methods", count, rows, words, shape, count) for count in (1, 2, 3)),
    ]


def measure(quick: bool, repeats: int, compute_dtype: str) -> list[dict[str, Any]]:
    """Seconds of every point, medians over rounds in turns; of methods also what each one more costs."""
    series = points(quick)
    seconds: list[list[float]] = [[] for _ in series]
    with TemporaryDirectory() as folder:
        root = Path(folder)
        run_point(series[0], root / "warm-up", compute_dtype)
        for turn in range(repeats):
            for number, point in enumerate(series):
                seconds[number].append(run_point(point, root / f"{turn}-{number}", compute_dtype))
    medians = [statistics.median(each) for each in seconds]
    first = {point.what: medians[number] for number, point in reversed([*enumerate(series)])}
    return [
        {"what": point.what, "value": point.value, "seconds": took, "times_the_first": took / first[point.what]}
        for point, took in zip(series, medians, strict=True)
    ]


def run_point(point: Point, root: Path, compute_dtype: str) -> float:
    """Seconds of the study of one point on an empty store, rows and model already there."""
    import outshine
    from outshine.w2s.study_file import parse_study

    root.mkdir()
    splits = {"n_train": point.n_train, "n_val": point.n_train // 4, "n_test": point.n_train // 2}
    rows = material.generated_rows(2 * sum(splits.values()), point.words)
    texts = [row["text"] for row in rows]
    data = material.write_rows(root / "rows.jsonl", rows)
    material.write_model(root / "strong", point.shape, texts)
    material.write_model(root / "weak", TOY, texts)
    study = {
        "datasets": [str(data)],
        "weak": material.settings_of(root / "weak"),
        "strong": material.settings_of(root / "strong"),
        "methods": [{"kind": "vanilla", "loss": loss} for loss in LOSSES[: point.methods]],
        "splits": splits,
        "training": {"epochs": 1, "eval_every": 8},
        "compute_dtype": compute_dtype,
        "runtime": {"device": "cpu"},
    }
    parsed = parse_study(study)
    began = time.perf_counter()
    outshine.run(parsed, store=root / "store", allow_leaks=True)  # generated rows give their labels away by design
    return time.perf_counter() - began
