"""The whole pipeline in outshine beside the usual way: supervisor, ceiling, students, predictions, activations.

Both sides run in processes of their own, in turns, on the same rows, from the same initial weights.
"""

from __future__ import annotations

import os
import statistics
from pathlib import Path
from typing import Any, Literal, NamedTuple

from benchmarks import children, material
from benchmarks.children import Measured

Dtype = Literal["auto", "float32", "bfloat16"]
LOSSES = ("xent", "logconf", "entropy", "window")  # of the students, in the order in which they are added
SPLITS = ("strong_train", "val", "test")
LAYER = "1/2"  # whose activations are read


class Size(NamedTuple):
    """How large the measured study is."""

    n_train: int = 2000
    n_val: int = 300
    n_test: int = 1500
    epochs: int = 3
    eval_every: int = 8
    tiny: bool = False  # toy models, generated rows

    def scaled(self, factor: float) -> Size:
        """Rows in proportion; `eval_every` stays, so that evaluations stay in proportion to updates."""
        names = ("n_train", "n_val", "n_test")
        return self._replace(**{name: max(64, round(getattr(self, name) * factor)) for name in names})


class Choices(NamedTuple):
    """How the comparison is run."""

    threads: int
    repeats: int
    students: int  # of the larger cohort
    eval_batch: int  # of the usual way
    usual_updates: int  # of a turn on a part; 0: all
    whole_first: bool  # the usual way's first turn is whole though the others are on a part
    compute_dtype: Dtype


# ---- in processes of their own -----------------------------------------------------------------


def make(folder: str, size: dict[str, Any], compute_dtype: Dtype) -> dict[str, Any]:
    """Rows, models and untrained adapters in `folder`; not timed."""
    import torch

    from outshine.engine.errors import HubError
    from outshine.learn.classifier import Classifier
    from outshine.learn.device import resolve_dtype
    from outshine.learn.load import load_backbone
    from outshine.learn.resolve import resolve
    from outshine.learn.saved_models import save_classifier
    from outshine.learn.spec import ModelSettings

    root, wanted = Path(folder), Size(**size)
    dataset, note = "sciq", ""
    try:
        prepared = None if wanted.tiny else _prepared("sciq", wanted)
    except HubError as error:
        prepared, note = None, f"SciQ is out of reach ({error}): generated rows of its lengths"
    if prepared is None:
        total = 2 * (wanted.n_train + wanted.n_val + wanted.n_test)
        rows = material.generated_rows(total, material.SCIQ_TOKENS)
        dataset = str(material.write_rows(root / "generated.jsonl", rows))
        prepared = _prepared(dataset, wanted)
    table = prepared.texts.merge(prepared.truth, on="id", validate="one_to_one")
    table.to_parquet(root / "rows.parquet", index=False)
    shapes = (material.TOY_WEAK, material.TOY_STUDENT) if wanted.tiny else (material.WEAK, material.STUDENT)
    dtype = resolve_dtype(compute_dtype, torch.device("cpu"))
    models = {}
    for name, shape in zip(("weak", "strong"), shapes, strict=True):
        material.write_model(root / name, shape, table["text"].tolist())
        settings = material.settings_of(root / name)
        spec = resolve(ModelSettings(**settings), dtype).spec
        start = root / f"{name}-start"
        start.mkdir()
        save_classifier(Classifier(load_backbone(spec, torch.device("cpu")), spec, 0), start)
        models[name] = {"settings": settings, "max_length": spec.max_length, "layers": spec.num_layers}
    rows_of = {str(split): int(count) for split, count in table["split"].value_counts().items()}
    return {"dataset": dataset, "note": note, "dtype": dtype, "rows": rows_of, "models": models}


def run_outshine(folder: str, made: dict[str, Any], size: dict[str, Any], students: int, out: str) -> dict[str, Any]:
    """The study through `outshine.run` on an empty store; each role's log-odds go to `out` as Parquet."""
    import outshine
    from outshine.w2s.study_file import parse_study

    wanted = Size(**size)
    study = parse_study(_study(made, wanted, students))
    store = Path(folder)
    results = outshine.run(study, store=store, allow_leaks=True)  # generated rows give their labels away by design
    test = results.scores[results.scores["split"] == "test"]
    return {
        "aucs": [
            {"role": row["role"], "loss": row["loss"], "auroc": row["auroc"]}
            | {"low": row["auroc_low"], "high": row["auroc_high"]}
            for row in test.to_dict("records")
            if row["role"] != "student" or row["method"] == "vanilla"
        ],
        "stages": _kept(store, test, Path(out)),
    }


def run_usual(
    folder: str, made: dict[str, Any], size: dict[str, Any], eval_batch: int, stop_after: int | None, out: str
) -> dict[str, Any]:
    """The usual way with one student; with `stop_after` on a part, of which the counts tell how much it was."""
    import numpy as np
    import pandas as pd
    from scipy.special import expit

    from benchmarks.usual_way import Plan, Rows, Start, activations, finetune
    from outshine.data.task import BINARY
    from outshine.learn.settings import TrainingSettings, num_updates

    root, wanted = Path(folder), Size(**size)
    table = pd.read_parquet(root / "rows.parquet")
    settings = TrainingSettings(epochs=wanted.epochs, eval_every=wanted.eval_every)
    parts = {str(split): part for split, part in table.groupby("split")}
    share = 1.0
    if stop_after is not None:
        share = stop_after / num_updates(len(parts["strong_train"]), settings.batch_size, settings.epochs)

    def rows(split: str, y: Any = None) -> Rows:
        part = parts[split]
        found = Rows(part["id"].tolist(), part["text"].tolist(), np.asarray(part["label"] if y is None else y, float))
        keep = len(found.ids) if split.endswith("_train") else max(2, round(share * len(found.ids)))
        return found.first(keep)

    def trained(name: str, train: Rows, val: Rows) -> Any:
        model = made["models"][name]
        start = Start(root / name, root / f"{name}-start", model["max_length"], made["dtype"])
        every = min(settings.eval_every, stop_after or settings.eval_every)
        plan = Plan(
            settings.model_copy(update={"eval_every": every}),
            *(model["settings"]["learning_rate"], 0, eval_batch, stop_after),
        )
        asked = [rows(split) for split in SPLITS]
        asked[0] = asked[0].first(max(2, round(share * len(asked[0].ids))))
        return finetune(start, train, val, rows("test"), plan, asked), asked

    supervisor, asked = trained("weak", rows("weak_train"), rows("val"))
    ceiling, _ = trained("strong", rows("strong_train"), rows("val"))
    # a part's supervisor labels only a part of the rows: the cost of training does not depend on the labels
    weak = {one: expit(z) for one, z in zip(SPLITS, supervisor.log_odds, strict=True)}
    labels = np.resize(weak["strong_train"], len(parts["strong_train"]))
    classes = BINARY.harden(weak["val"]).y
    hard = np.zeros(1) if classes is None else classes  # of one class: validation chooses nothing
    student, _ = trained("strong", rows("strong_train", labels), rows("val", np.resize(hard, len(parts["val"]))))
    return _usual_result(
        {"weak": supervisor, "ceiling": ceiling, "student": student}, asked, parts, root, made, activations, Path(out)
    )


# ---- helpers of the processes ------------------------------------------------------------------


def _prepared(dataset: str, size: Size) -> Any:
    from outshine.data.splits import SplitSettings, prepare
    from outshine.w2s.study_file import parse_study

    recipe = parse_study({"datasets": [dataset]}).datasets[0]
    return prepare(recipe, recipe.identify(), SplitSettings.model_validate(_splits(size)))


def _splits(size: Size) -> dict[str, int]:
    return {"n_train": size.n_train, "n_val": size.n_val, "n_test": size.n_test}


def _study(made: dict[str, Any], size: Size, students: int) -> dict[str, Any]:
    vanilla = [{"kind": "vanilla", "loss": loss} for loss in LOSSES[:students]]
    return {
        "name": "benchmark",
        "datasets": [made["dataset"]],
        "weak": made["models"]["weak"]["settings"],
        "strong": made["models"]["strong"]["settings"],
        "methods": [*vanilla, {"kind": "probe", "probe": "logistic", "layer": LAYER}],
        "splits": _splits(size),
        "training": {"epochs": size.epochs, "eval_every": size.eval_every},
        "compute_dtype": made["dtype"],
        "runtime": {"device": "cpu", "threads": int(os.environ["OMP_NUM_THREADS"])},
    }


def _kept(root: Path, scores: Any, out: Path) -> list[dict[str, Any]]:
    """Log-odds of supervisor, ceiling and first student as one table, and what each stage took."""
    import pandas as pd

    from outshine.engine.store.store import Store

    store = Store(root)
    tables = []
    for row in scores.to_dict("records"):
        if row["role"] != "student" or (row["method"] == "vanilla" and row["loss"] == LOSSES[0]):
            table = pd.read_parquet(store.file(row["key"], "predictions.parquet"))
            tables.append(table[["id", "split", "log_odds"]].assign(role=row["role"]))
    pd.concat(tables).to_parquet(out, index=False)
    records = [store.done(key) for key in store.keys()]  # noqa: SIM118
    models = f"{root.parent}/"  # a folder of this run alone
    return [
        {"stage": one["stage"], "label": one["label"].replace(models, ""), "seconds": one["made"]["seconds"]}
        for one in records
    ]


def _usual_result(
    tuned: dict[str, Any], asked: Any, parts: Any, root: Path, made: dict[str, Any], activations: Any, out: Path
) -> dict[str, Any]:
    import time

    import pandas as pd

    from benchmarks.usual_way import Start
    from outshine.stats.auc_covariance import combine_seeds
    from outshine.stats.intervals import auroc_interval

    model = made["models"]["strong"]
    texts = [text for rows in asked for text in rows.texts]
    start = Start(root / "strong", root / "strong-start", model["max_length"], made["dtype"])
    began = time.perf_counter()
    activations(start, texts, max(1, model["layers"] // 2))
    reading = time.perf_counter() - began
    tables, aucs = [], []
    for role, one in tuned.items():
        for split, rows, z in zip(SPLITS, asked, one.log_odds, strict=True):
            tables.append(pd.DataFrame({"id": rows.ids, "split": split, "log_odds": z, "role": role}))
        groups = parts["test"]["group"].tolist()[: len(asked[2].ids)]
        truth = asked[2].y > 0.5
        if truth.any() and not truth.all():
            found = auroc_interval(combine_seeds(truth, one.log_odds[2][None, None], groups), 0)
            aucs.append({"role": role, "loss": "xent", "auroc": found.value, "low": found.low, "high": found.high})
    pd.concat(tables).to_parquet(out, index=False)
    counts = {role: one.counts._asdict() for role, one in tuned.items()}
    return {"aucs": aucs, "counts": counts, "texts_read": len(texts), "reading_seconds": reading}


# ---- in the process that compares --------------------------------------------------------------


def compare(folder: Path, size: Size, choices: Choices) -> dict[str, Any]:
    """Run both sides in turns; medians, ratios, AUCs, largest difference of log-odds, peak memory."""
    shared: dict[str, Any] = {"folder": str(folder), "size": size._asdict()}
    given = {**shared, "compute_dtype": choices.compute_dtype}
    made = children.call("pipeline", "make", given, choices.threads).value
    turns: dict[str, list[Measured]] = {"one": [], "many": [], "usual": []}
    for turn in range(choices.repeats):
        whole = not choices.usual_updates or (choices.whole_first and turn == 0)
        stop = None if whole else choices.usual_updates
        for name, students in (("one", 1), ("many", choices.students)):
            store = str(folder / f"store-{name}-{turn}")
            job = {"made": made, "students": students, "out": str(folder / f"{name}.parquet")}
            measured = children.call("pipeline", "run_outshine", {**shared, "folder": store, **job}, choices.threads)
            turns[name].append(measured)
        out = str(folder / ("usual.parquet" if whole else "usual-part.parquet"))
        job = {"made": made, "eval_batch": choices.eval_batch, "stop_after": stop, "out": out}
        turns["usual"].append(children.call("pipeline", "run_usual", {**shared, **job}, choices.threads))
    return summary(folder, made, size, choices, turns)


def summary(
    folder: Path, made: dict[str, Any], size: Size, choices: Choices, turns: dict[str, list[Measured]]
) -> dict[str, Any]:
    """The figures of all turns."""
    usual = [whole_cost(one, made["rows"], size) for one in turns["usual"]]
    pipeline = statistics.median(one["seconds"] for one in usual)
    student = statistics.median(one["student_seconds"] for one in usual)
    one, many = (statistics.median(turn.seconds for turn in turns[name]) for name in ("one", "many"))
    extra = (many - one) / max(1, choices.students - 1)
    compared = folder / "usual.parquet"
    return {
        "size": size._asdict(),
        "dataset": Path(made["dataset"]).stem,
        "note": made["note"],
        "rows": made["rows"],
        "compute_dtype": made["dtype"],
        "repeats": choices.repeats,
        "students": choices.students,
        "usual_eval_batch": choices.eval_batch,
        "extrapolated": any(cost["extrapolated"] for cost in usual),
        "usual": usual,
        "usual_seconds": pipeline,
        "usual_student_seconds": student,
        "outshine_seconds": one,
        "outshine_seconds_each": [turn.seconds for turn in turns["one"]],
        "outshine_first_turn_seconds": turns["one"][0].seconds,  # with whatever is compiled only once
        "outshine_many_seconds": many,
        "outshine_many_seconds_each": [turn.seconds for turn in turns["many"]],
        "outshine_extra_student_seconds": extra,
        "ratio_pipeline": pipeline / one,
        "ratio_extra_student": student / extra if extra > 0 else None,
        "outshine_aucs": turns["many"][0].value["aucs"],
        "usual_aucs": next((t.value["aucs"] for t, c in zip(turns["usual"], usual, strict=True) if c["whole"]), []),
        "largest_log_odds_difference": differences(folder / "one.parquet", compared) if compared.is_file() else {},
        "outshine_peak_mb": max(turn.peak_mb for turn in turns["one"]),
        "outshine_many_peak_mb": max(turn.peak_mb for turn in turns["many"]),
        "usual_peak_mb": max(turn.peak_mb for turn in turns["usual"]),
        "outshine_stages": turns["one"][-1].value["stages"],
    }


def whole_cost(turn: Measured, rows: dict[str, int], size: Size) -> dict[str, Any]:
    """What a turn of the usual way costs as a whole: as measured, or each cost in proportion to its count.

    Training in proportion to updates, evaluation and prediction to rows, activations to texts; the rest (imports,
    loading) as it is.
    """
    from outshine.learn.settings import TrainingSettings

    batch = TrainingSettings().batch_size
    asked = sum(rows[split] for split in SPLITS)
    evaluated = rows["val"] + rows["test"]
    each: dict[str, float] = {}
    measured = extrapolated = 0.0
    whole = True
    for role, counts in turn.value["counts"].items():
        train_rows = rows["weak_train" if role == "weak" else "strong_train"]
        updates = size.epochs * -(-train_rows // batch)
        evaluations = -(-updates // size.eval_every)  # the last update is evaluated too
        parts = (
            (counts["train_seconds"], updates / counts["updates"]),
            (counts["eval_seconds"], evaluations * evaluated / counts["rows_evaluated"]),
            (counts["predict_seconds"], asked / counts["rows_predicted"]),
        )
        each[role] = sum(seconds * times for seconds, times in parts)
        measured += sum(seconds for seconds, _ in parts)
        extrapolated += each[role]
        whole = whole and counts["updates"] == updates
    read = turn.value["reading_seconds"]
    measured += read
    extrapolated += read * asked / turn.value["texts_read"]
    rest = turn.seconds - measured
    return {
        "whole": whole,
        "extrapolated": not whole,
        "seconds": turn.seconds if whole else rest + extrapolated,
        "measured_seconds": turn.seconds,
        "student_seconds": each["student"],
        "counts": turn.value["counts"],
    }


def differences(ours: Path, theirs: Path) -> dict[str, float]:
    """The largest |difference| of the log-odds of any row, by role."""
    import pandas as pd

    both = pd.read_parquet(ours).merge(pd.read_parquet(theirs), on=["id", "split", "role"], validate="one_to_one")
    both["gap"] = (both["log_odds_x"] - both["log_odds_y"]).abs()
    return {str(role): float(gap) for role, gap in both.groupby("role")["gap"].max().items()}
