"""Controls against the vanilla student and the weak supervisor: by dataset, and over datasets with intervals.

What each control tells apart, in words: `outshine.results.controls_text`.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from outshine.engine.errors import DataError
from outshine.results.names import Contender, require_columns
from outshine.results.pairing import PairingKey, Rows, check_one_pair_of_models, check_one_result_a_run
from outshine.stats.intervals import Interval
from outshine.stats.paired_differences import mean_interval
from outshine.stats.pgr import is_saturated

CONTROL_COLUMNS = (
    *("control", "setting", "loss", "vanilla", "method_id", "vanilla_id", "dataset", "saturated"),
    *("num_runs", "num_paired", "auroc"),
    *("vanilla_auroc", "minus_vanilla", "weak_auroc", "minus_weak"),
)
OVERALL_COLUMNS = (
    *("control", "setting", "loss", "vanilla", "method_id", "vanilla_id"),
    *("num_datasets", "num_saturated", "num_unpaired"),
    *("auroc", "auroc_low", "auroc_high", "vanilla_auroc", "minus_vanilla", "minus_vanilla_low", "minus_vanilla_high"),
    *("weak_auroc", "minus_weak", "minus_weak_low", "minus_weak_high"),
)
_NEEDED = (
    *("dataset", "weak", "strong", "method", "variant", "round", "loss", "data_seed", "seed"),
    *("role", "split", "auroc", "key", "purpose"),
)
_NAMES = ["control", "setting", "loss", "vanilla", "method_id", "vanilla_id"]
_DECIMALS = 12  # AUCs are subtracted with errors near 1e-16; equal ones are to differ by 0


class ControlName(NamedTuple):
    """A control by its name: which it is, its other settings (a probe's layer, a loss's alpha), its loss ('': none)."""

    control: str
    setting: str
    loss: str

    @classmethod
    def of(cls, contender: Contender) -> ControlName:
        """Name method `control` by the labels in its settings (`shuffled`, `constant`, …), other methods by themselves.

        Raises DataError where method `control` names no labels.
        """
        if contender.method != "control":
            return cls(contender.method, contender.variant, contender.loss)
        labels = contender.setting("labels")
        if not isinstance(labels, str):
            raise DataError(
                "a row of a control does not tell its labels in the column settings; make the tables again with "
                "`outshine run` (what is finished is not computed again)"
            )
        return cls(
            labels, ", ".join(f"{name}={text}" for name, text in contender.told(("labels",)).items()), contender.loss
        )


class ControlTables(NamedTuple):
    """Every control against the vanilla student and the weak supervisor, in test AUROC.

    `by_dataset`: a row per control and dataset (`CONTROL_COLUMNS`), mean over the runs (seeds) there are. `vanilla`
    names the student that it is compared with, '' where none has its loss; a control without a loss has a row for each.
    `minus_*`: mean over the runs that both have, `num_paired` of them for the vanilla student.

    `overall`: a row per control (`OVERALL_COLUMNS`), means over the datasets that are not saturated, each with
    Student's interval by dataset (an AUROC's is cut to [0, 1]): unbounded for one dataset (`against` says what its
    AUROC may have instead), NaN for none.
    `minus_vanilla` leaves out the `num_unpaired` datasets on which no run of the vanilla student matches. With
    `noise_matched`, minus_vanilla is the cost of structured errors, student(noise_matched) − student(p_weak).
    """

    by_dataset: pd.DataFrame
    overall: pd.DataFrame


def against(scores: pd.DataFrame, level: float = 0.95, summary: pd.DataFrame | None = None) -> ControlTables:
    """Set each control of a study against its vanilla student and the weak supervisor.

    `scores`: as `outshine.results.results` makes them, with the column `purpose` (method, control or sweep), of one
    pair of models. A control is compared with the vanilla student of the same loss and settings on the same dataset,
    split and seed. `summary`: of the same results; where one dataset counts, a control's own AUROC has the interval
    that is there (95 %, over test rows and seeds) in place of none. Saturated datasets stay in `by_dataset` and are
    left out of `overall`. Without controls both are empty.

    Raises DataError for a missing column, two pairs of models, two results of one run, or a control without its labels.
    """
    require_columns(scores, _NEEDED, "the scores")
    test: Rows = [row for row in scores.to_dict("records") if row["split"] == "test"]
    check_one_pair_of_models(test)
    check_one_result_a_run(test)
    students = [row for row in test if row["role"] == "student"]
    vanilla = _aurocs(row for row in students if row["method"] == "vanilla" and row["purpose"] != "control")
    plain = {Contender.of(row) for row in students if row["purpose"] == "method"}
    weak, saturated = _by_run(test, "weak"), _saturated(test)
    rows = []
    for contender, own in _aurocs(row for row in students if row["purpose"] == "control").items():
        supervised = weak | _by_run(test, "weak", contender)
        for reference in _references(contender, vanilla, plain):
            beside = vanilla[reference] if reference else {}
            for dataset in dict.fromkeys(run.dataset for run in own):
                here = {run: value for run, value in own.items() if run.dataset == dataset}
                named = {**ControlName.of(contender)._asdict(), "vanilla": _label(reference), "dataset": dataset}
                named |= {"method_id": contender.method_id, "vanilla_id": reference.method_id if reference else ""}
                rows.append({**named, "saturated": dataset in saturated, **_on_dataset(here, beside, supervised)})
    by_dataset = pd.DataFrame(rows, columns=list(CONTROL_COLUMNS))
    return ControlTables(by_dataset, _overall(by_dataset, level, {} if summary is None else _within(summary)))


def _within(summary: pd.DataFrame) -> dict[tuple[ControlName, str], Interval]:
    """Each control's AUROC on each dataset with its interval over test rows and seeds."""
    rows = summary[summary["purpose"] == "control"].to_dict("records")
    return {
        (ControlName.of(Contender.of(row)), str(row["dataset"])): Interval(
            float(row["student_auroc"]), float(row["student_low"]), float(row["student_high"])
        )
        for row in rows
    }


def _references(control: Contender, vanilla: Iterable[Contender], plain: set[Contender]) -> list[Contender | None]:
    """Return the vanilla students of a control's loss and settings, or without a loss every plain one."""
    if control.loss:
        references = [student for student in vanilla if _loss(student) == _loss(control)]
    else:
        references = [student for student in vanilla if student in plain]
    return [*references] or [None]


def _loss(contender: Contender) -> Any:
    """Return the loss of a contender's students with all its settings, or what tables without settings say of it."""
    return contender.setting("loss") or (contender.loss, contender.variant)


def _on_dataset(
    own: dict[PairingKey, float], vanilla: dict[PairingKey, float], weak: dict[PairingKey, float]
) -> dict[str, Any]:
    """One control on one dataset, each difference over the runs that both sides have."""
    paired, supervised = ([run for run in own if run in other] for other in (vanilla, weak))
    return {
        "num_runs": len(own),
        "num_paired": len(paired),
        "auroc": _mean(own.values()),
        "vanilla_auroc": _mean(vanilla[run] for run in paired),
        "minus_vanilla": round(_mean(own[run] - vanilla[run] for run in paired), _DECIMALS),
        "weak_auroc": _mean(weak[run] for run in supervised),
        "minus_weak": round(_mean(own[run] - weak[run] for run in supervised), _DECIMALS),
    }


def _overall(by_dataset: pd.DataFrame, level: float, within: dict[tuple[ControlName, str], Interval]) -> pd.DataFrame:
    rows = []
    for names, group in by_dataset.groupby(_NAMES, sort=False):
        here = group[~group["saturated"].astype(bool)]
        facts: dict[str, Any] = dict(zip(_NAMES, names, strict=True))
        facts |= {"num_datasets": len(here), "num_saturated": len(group) - len(here)}
        facts |= {"num_unpaired": int(here["minus_vanilla"].isna().sum())}
        facts |= {name: _mean(here[name].dropna()) for name in ("vanilla_auroc", "weak_auroc")}
        for name in ("auroc", "minus_vanilla", "minus_weak"):
            estimate = _interval(here[name].dropna().to_numpy(dtype=np.float64), level)
            facts |= {name: estimate.value, f"{name}_low": estimate.low, f"{name}_high": estimate.high}
        if len(here) >= 2:  # Student's interval does not know where an AUROC ends
            facts |= {"auroc_low": max(0.0, facts["auroc_low"]), "auroc_high": min(1.0, facts["auroc_high"])}
        if len(here) == 1:
            control = ControlName(*(str(facts[name]) for name in ControlName._fields))
            own = within.get((control, str(here["dataset"].iloc[0])))
            facts |= {} if own is None else {"auroc_low": own.low, "auroc_high": own.high}
        rows.append(facts)
    return pd.DataFrame(rows, columns=list(OVERALL_COLUMNS))


def _interval(values: np.ndarray, level: float) -> Interval:
    """The mean over datasets with Student's interval; from one dataset it is unbounded, from none unknown."""
    if len(values) >= 2:
        return mean_interval(values, level)
    if len(values) == 1:
        return Interval(float(values[0]), -math.inf, math.inf, "one dataset gives no interval over datasets")
    return Interval(math.nan, math.nan, math.nan, "no dataset")


def _aurocs(rows: Iterable[Mapping[Any, Any]]) -> dict[Contender, dict[PairingKey, float]]:
    aurocs: dict[Contender, dict[PairingKey, float]] = {}
    for row in rows:
        aurocs.setdefault(Contender.of(row), {})[PairingKey.of(row)] = float(row["auroc"])
    return aurocs


def _by_run(test: Rows, role: str, of: Contender | None = None) -> dict[PairingKey, float]:
    """Test AUROC of the study's supervisor or ceiling, which are of no method, or of the labels of a method's own."""
    rows = [row for row in test if row["role"] == role]
    if of is None:
        return {PairingKey.of(row): float(row["auroc"]) for row in rows if not row["method"]}
    own = [row for row in rows if row["method"] and (Contender.of(row), row["variant"]) == (of, of.variant)]
    return {PairingKey.of(row): float(row["auroc"]) for row in own}


def _saturated(test: Rows) -> set[str]:
    """Datasets where supervisor and ceiling leave no gap, by their mean AUROC over runs."""
    roles = {role: _by_run(test, role) for role in ("weak", "ceiling")}

    def mean(role: str, dataset: str) -> float:
        return _mean(value for run, value in roles[role].items() if run.dataset == dataset)

    datasets = {str(row["dataset"]) for row in test}
    return {name for name in datasets if is_saturated(mean("weak", name), mean("ceiling", name))}


def _label(reference: Contender | None) -> str:
    return " ".join(part for part in (reference.loss, reference.variant) if part) if reference else ""


def _mean(values: Iterable[float]) -> float:
    """The mean; NaN of none, without a warning."""
    several = list(values)
    return float(np.mean(several)) if several else math.nan
