"""Tables of results as text, the same in the terminal and on the page."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from outshine.report.figures import series
from outshine.report.text import (
    GapCounts,
    amount_text,
    auroc_text,
    compared,
    contender_name,
    decimal_text,
    interval_text,
    pgr_text,
    rests_on_few,
    rows_of,
    signed_text,
)
from outshine.results.diagnostics import mean_over_seeds
from outshine.results.names import Contender
from outshine.results.trajectories import overfitting, selection_sensitivity, strong_train_gain

if TYPE_CHECKING:
    import pandas as pd

    from outshine.results.results import MethodPGR
    from outshine.stats.pgr import PGR

ROLES = ("weak", "student", "ceiling")
_TONES = (0.01, 0.05, 0.1, 0.2)  # differences in AUROC from which a cell is a shade darker


class TextTable(NamedTuple):
    """A table: its title, the names of its columns, and rows of text. `right`: columns that hold numbers."""

    title: str
    columns: list[str]
    rows: list[list[str]]
    right: Sequence[str] = ()


def results_table(summary: pd.DataFrame) -> TextTable:
    """Dataset × method: weak, student and ceiling AUROC with intervals, PGR."""
    several = len({Contender.of(row) for row in summary.to_dict("records")}) > 1
    columns = ["dataset", *(["method"] if several else []), *ROLES, "PGR [95 %]"]
    rows = []
    for _, row in summary.iterrows():
        named = [contender_name(row)] if several else []
        aurocs = [auroc_text(row[f"{role}_auroc"], row[f"{role}_low"], row[f"{role}_high"]) for role in ROLES]
        rows.append([str(row["dataset"]), *named, *aurocs, pgr_text(row)])
    return TextTable(_results_title(summary), columns, rows)


def metrics_table(by_metric: pd.DataFrame) -> TextTable:
    """Dataset × method × metric: weak, student and ceiling with intervals, PGR; of methods, not of controls."""
    rows = []
    for row in by_metric[by_metric["purpose"] == "method"].to_dict("records"):
        values = [amount_text(*(row[f"{role}_{end}"] for end in ("value", "low", "high"))) for role in ROLES]
        named = [str(row["dataset"]), contender_name(row), str(row["metric"])]
        rows.append([*named, *values, pgr_text({**row, "saturated": False})])
    return TextTable(
        "By other metrics, on test [95 % interval]", ["dataset", "method", "metric", *ROLES, "PGR [95 %]"], rows
    )


def tests_table(tests: pd.DataFrame) -> TextTable:
    """Dataset × method × test set: weak, student and ceiling, student − weak, PGR; controls below the methods."""
    rows = []
    ordered = [
        *tests[tests["purpose"] == "method"].to_dict("records"),
        *tests[tests["purpose"] == "control"].to_dict("records"),
    ]
    for row in ordered:
        values = [auroc_text(*(row[f"{role}_{end}"] for end in ("auroc", "low", "high"))) for role in ROLES]
        gain = amount_text(row["gain"], row["gain_low"], row["gain_high"])
        rows.append([str(row["dataset"]), contender_name(row), str(row["test"]), *values, gain, pgr_text(row)])
    columns = ["dataset", "method", "test set", *ROLES, "student − weak", "PGR [95 %]"]
    return TextTable("AUROC on each test set [95 % interval], the same trained models", columns, rows)


class Gains(NamedTuple):
    """Student less supervisor, a row a dataset and a column a method; `tones`: how each cell looks, by its number."""

    table: TextTable
    tones: list[list[str]]


def gains(summary: pd.DataFrame, loss: str) -> Gains:
    """All methods beside each other: by how much each is above its supervisor in test AUROC. `loss`: the study's."""
    named = series.methods(summary, loss)
    named = named.assign(label=[contender_name(row) for row in named.to_dict("records")])
    labels = named["label"].unique().tolist()
    rows, tones = [], []
    for dataset, own in named.groupby("dataset", sort=False):
        first, by_label = own.iloc[0], own.set_index("label").to_dict("index")
        cells = [by_label.get(label) for label in labels]
        ends = [decimal_text(first["weak_auroc"]), decimal_text(first["ceiling_auroc"])]
        rows.append(
            [str(dataset), *ends, *(signed_text(cell["student_minus_weak"]) if cell else "–" for cell in cells)]
        )
        tones.append(["", "", "", *(_tone(cell) if cell else "" for cell in cells)])
    columns = ["dataset", "weak", "ceiling", *labels]
    title = "Gain over the supervisor in test AUROC, student − weak, by dataset and method"
    return Gains(TextTable(title, columns, rows, right=columns[1:]), tones)


def _tone(row: Mapping[Any, Any]) -> str:
    """Classes of a cell: `up` or `down` with the size of the difference, `sure` where PGR's interval leaves out 0."""
    gain = row["student_minus_weak"]
    size = sum(abs(gain) >= step for step in _TONES)
    sure = row["defined"] and (row["pgr_low"] > 0 or row["pgr_high"] < 0)
    tone = f"{'up' if gain > 0 else 'down'}{size}" if size else ""
    return " ".join(part for part in (tone, "sure" if sure else "") if part)


def _results_title(summary: pd.DataFrame) -> str:
    """What was compared, and what the intervals mean."""
    first = summary.iloc[0]
    seeds = int(first["num_seeds"])
    meaning = f"{seeds} seeds: test rows and seeds" if seeds > 1 else "one seed: test rows only, these trained models"
    return f"Test ROC AUC [95 % interval], {first['weak']} supervises {first['strong']} ({meaning})"


def pooled_table(pooled: Sequence[MethodPGR], summary: pd.DataFrame) -> TextTable:
    """Every method's PGR over all unsaturated datasets: a ratio of sums, with both intervals.

    `summary`: of the same results; it tells on how many of the datasets there is a gap at all.
    """
    exploratory = any(method.pooled.exploratory for method in pooled)
    population = "such datasets, exploratory" if exploratory else "such datasets"
    rows = []
    for method in pooled:
        gaps = GapCounts.of(rows_of(summary, method))
        lacking = gaps.num - gaps.num_clear
        some = f", {lacking} without a gap" if lacking and method.pooled.these_datasets.defined else ""
        name, datasets = contender_name(method._asdict()), f"{method.pooled.num_datasets}{some}"
        rows.append([name, datasets, _these_datasets(method, gaps), _pgr_or_undefined(method.pooled.any_datasets)])
    columns = ["method", "datasets", "these datasets [95 %]", f"{population} [95 %]"]
    return TextTable("Pooled PGR, Σ (student − weak) / Σ (ceiling − weak)", columns, rows, right=columns[1:])


def _these_datasets(pooled: MethodPGR, gaps: GapCounts) -> str:
    if pooled.pooled.these_datasets.defined and rests_on_few(pooled, gaps):
        return "none: too few with a gap"
    return _pgr_or_undefined(pooled.pooled.these_datasets)


def _pgr_or_undefined(pgr: PGR) -> str:
    return interval_text(pgr) if pgr.defined else "undefined"


def studies_table(references: Sequence[tuple[Any, pd.DataFrame, MethodPGR]]) -> TextTable:
    """Studies side by side, a row each: its reference student, that student's rows of the summary, its pooled PGR."""
    rows = []
    for number, (_, own, pooled) in enumerate(references, 1):
        first, known = own.iloc[0], compared(own)
        rows.append(
            [
                f"{number}. {first['study']}",
                f"{first['weak']} → {first['strong']}",
                contender_name(first),
                f"{len(own)} × {int(own['num_seeds'].max())}",
                *(decimal_text(known[f"{role}_auroc"].mean()) for role in ROLES),
                _these_datasets(pooled, GapCounts.of(own)),
                _pgr_or_undefined(pooled.pooled.any_datasets),
            ]
        )
    columns = ["study", "supervisor → student", "method", "datasets × seeds", *ROLES]
    columns += ["pooled PGR, these datasets [95 %]", "such datasets [95 %]"]
    return TextTable("Studies side by side, mean test AUROC and pooled PGR", columns, rows, right=columns[3:])


def beside_reference(overall: pd.DataFrame, loss: str) -> pd.DataFrame:
    """Controls over datasets, those without a loss beside the vanilla student of the study's loss only."""
    several = overall["vanilla"].str.split(" ").str[0]
    known = loss in set(several)
    return overall[(overall["loss"] != "") | (several == loss) | (not known)]


def controls_table(overall: pd.DataFrame) -> TextTable:
    """Controls over datasets: AUROC, and differences to the vanilla student and the supervisor."""
    rows = [
        [
            " ".join(row[part] for part in ("control", "loss", "setting") if row[part]),
            str(row["num_datasets"]),
            *(_amount(row, name) for name in ("auroc", "minus_vanilla", "minus_weak")),
        ]
        for _, row in overall.iterrows()
    ]
    columns = ["control", "datasets", "test AUROC [95 %]", "− vanilla student [95 %]", "− weak supervisor [95 %]"]
    title = "Controls and baselines, " + (
        "means over datasets" if (overall["num_datasets"] > 1).any() else "one dataset"
    )
    return TextTable(title, columns, rows, right=columns[1:])


def failed_table(failed: pd.DataFrame) -> TextTable:
    """What is in no other table because a stage failed: dataset, method, seeds, that stage and the reason."""
    named = failed.assign(name=[contender_name(row) for row in failed.to_dict("records")])
    rows = [
        [*map(str, identity[:2]), ", ".join(map(str, runs["seed"])), *map(str, identity[2:])]
        for identity, runs in named.groupby(["dataset", "name", "stage", "reason"], sort=False)
    ]
    return TextTable(
        "Not finished, and in no other table", ["dataset", "method", "seed", "stage that failed", "reason"], rows
    )


def rounds_table(scores: pd.DataFrame) -> TextTable | None:
    """Rounds of strong-to-strong training: did the labels of strong_train improve? None where there is one round."""
    gain = strong_train_gain(scores[scores["purpose"].isin(["method", ""])])
    whose = [Contender.of(row) for row in gain.to_dict("records")]
    later = [contender for contender in whose if contender.round]
    trained = [contender.setting("loss") for contender in later]
    shown = [
        contender.round > 0 or (contender.method == "vanilla" and contender.setting("loss") in trained)
        for contender in whose
    ]
    rows = []
    for _, runs in gain[shown].groupby(["method_id", "round"], sort=False):
        better, mean = int((runs["sign"] > 0).sum()), decimal_text(runs["student_minus_weak"].mean())
        rows.append([contender_name(runs.iloc[0]), f"{better} of {len(runs)}", mean])
    columns = ["round", "runs above the weak labels", "mean difference in AUROC"]
    return TextTable("On strong_train itself, against ground truth", columns, rows, right=columns[1:]) if rows else None


def selection_table(trajectories: pd.DataFrame) -> TextTable:
    """Test AUROC at the update that is kept, at the last and at the best one, and its fall: means over seeds."""
    selection = selection_sensitivity(trajectories).merge(overfitting(trajectories))
    named = selection.assign(name=[contender_name(row) for _, row in selection.iterrows()])
    names = ["chosen_auroc", "last_auroc", "oracle_auroc", "fall", "peak_share"]
    means = named.groupby(["dataset", "method_id", "round", "name"], sort=False)[names].mean().reset_index()
    rows = [[row["dataset"], row["name"], *(decimal_text(row[name]) for name in names)] for _, row in means.iterrows()]
    columns = ["dataset", "student", "kept", "last update", "best on test (oracle)"]
    columns += ["fall from best to last", "best at (share of updates)"]
    return TextTable("Test AUROC by which update is kept", columns, rows, right=columns[2:])


def diagnostics_table(diagnostics: pd.DataFrame) -> TextTable:
    """Calibration, imitation of the supervisor's errors and agreement with it: means over seeds and datasets."""
    means = mean_over_seeds(diagnostics)
    named = means.assign(name=[contender_name(row) for _, row in means.iterrows()])
    measures = {
        "student_brier": "Brier",
        "student_ece": "ECE",
        "imitation_wrong": "repeats weak errors",
        "imitation_right": "repeats weak hits",
        "capa_weak_student": "CAPA with weak",
        "misfit": "misfit",
        "misfit_gain": "gain (Brier)",
    }
    over_datasets = named.groupby(["method_id", "round", "name"], sort=False)[[*measures]].mean()
    own = means.drop_duplicates(["dataset", "data_seed"])[["weak_brier", "weak_ece"]].mean()
    first = ["weak supervisor", decimal_text(own["weak_brier"]), decimal_text(own["weak_ece"])]
    rows = [[*first, *[""] * (len(measures) - 2)]]
    rows += [
        [name, *map(decimal_text, row)]
        for (*_, name), row in zip(over_datasets.index, over_datasets.to_numpy(), strict=True)
    ]
    columns = ["predictor", *measures.values()]
    return TextTable("Diagnostics on test, means over seeds, then datasets", columns, rows, right=columns[1:])


def splits_table(report: Mapping[str, Any]) -> TextTable:
    """Sizes of a dataset's splits, from the report of its preparation."""
    several = any("class_counts" in facts for facts in report["splits"].values())
    rows = [
        [split, f"{facts['rows']:,}", _share_text(facts), f"{facts['num_groups']:,}"]
        for split, facts in report["splits"].items()
    ]
    columns = ["split", "rows", "smallest and largest class" if several else "share positive", "groups"]
    return TextTable("", columns, rows, right=columns[1:])


def _share_text(facts: Mapping[str, Any]) -> str:
    """The share of positives of a split, or the rows of its rarest and its commonest class."""
    counts = facts.get("class_counts")
    return f"{min(counts):,} and {max(counts):,}" if counts else f"{facts['positive_share']:.3f}"


def _amount(row: pd.Series, name: str) -> str:
    """A mean with its interval; without one where there is a single dataset."""
    value, low, high = (row[f"{name}{end}"] for end in ("", "_low", "_high"))
    return amount_text(value, low, high)
