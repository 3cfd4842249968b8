"""One row of diagnostics a run, and its means over seeds: against plain loops over rows."""

from __future__ import annotations

import math

import numpy as np
import pandas as pd
import pytest

from outshine.engine.errors import DataError
from outshine.results.diagnostics import DIAGNOSTIC_COLUMNS, Diagnostics, diagnose, mean_over_seeds
from outshine.results.names import IDENTITY_COLUMNS
from outshine.results.results import PGR_COLUMNS

FROM_THE_WEAK = ("weak_brier", "weak_ece", "imitation_wrong", "imitation_right", "weak_positive", "student_positive")
FROM_THE_WEAK += ("capa_weak_student", "capa_weak_ceiling", "misfit", "misfit_gain")


def run(seed: int = 0) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """y, p_weak, p_student, p_ceiling: the student follows the supervisor half-way, the ceiling does not."""
    rng = np.random.default_rng(seed)
    y = rng.random(400) < 0.5
    weak, own, best = (np.clip(0.5 + skill * (y - 0.5) + rng.normal(0, 0.3, 400), 0, 1) for skill in (0.3, 0.6, 0.9))
    return y, weak, (weak + own) / 2, best


def rows(*found: tuple[dict, Diagnostics]) -> pd.DataFrame:
    plain = {"study": "s", "weak": "w", "strong": "l", "method": "vanilla", "variant": "", "round": 0, "data_seed": 0}
    several = [{**plain, **named, **one._asdict()} for named, one in found]
    return pd.DataFrame(several, columns=list(DIAGNOSTIC_COLUMNS))


def test_the_first_columns_are_those_of_the_table_of_pgrs():
    assert PGR_COLUMNS[: PGR_COLUMNS.index("seed") + 1] == IDENTITY_COLUMNS
    assert DIAGNOSTIC_COLUMNS[: len(IDENTITY_COLUMNS)] == IDENTITY_COLUMNS
    assert len(set(DIAGNOSTIC_COLUMNS)) == len(DIAGNOSTIC_COLUMNS)


def test_each_number_is_of_the_roles_it_names():
    y, weak, student, ceiling = run()
    found = diagnose(y, weak, student, ceiling)
    for role, p in {"weak": weak, "student": student, "ceiling": ceiling}.items():
        assert getattr(found, f"{role}_brier") == pytest.approx(np.mean((p - y) ** 2))
    wrong = [i for i in range(len(y)) if (weak[i] > 0.5) != y[i]]
    right = [i for i in range(len(y)) if (weak[i] > 0.5) == y[i]]
    assert (found.num_weak_wrong, found.num_weak_right) == (len(wrong), len(right))
    assert found.imitation_wrong == pytest.approx(np.mean([(student[i] > 0.5) == (weak[i] > 0.5) for i in wrong]))
    assert found.imitation_right == pytest.approx(np.mean([(student[i] > 0.5) == (weak[i] > 0.5) for i in right]))
    assert found.weak_positive == np.mean(weak > 0.5)
    assert found.student_positive == np.mean(student > 0.5)
    assert found.misfit == pytest.approx(np.mean((student - weak) ** 2))
    assert found.misfit_gain == pytest.approx(found.weak_brier - found.student_brier)
    wrong_mass = {name: np.abs(p - y) for name, p in (("weak", weak), ("student", student), ("ceiling", ceiling))}
    for name in ("student", "ceiling"):
        u, v = wrong_mass["weak"], wrong_mass[name]
        observed, expected = (u * v + (1 - u) * (1 - v)).mean(), u.mean() * v.mean() + (1 - u.mean()) * (1 - v.mean())
        assert getattr(found, f"capa_weak_{name}") == pytest.approx((observed - expected) / (1 - expected))
    assert found.capa_weak_student > 0.1 > 0.05 > abs(found.capa_weak_ceiling)


def test_calibration_errors_are_of_the_roles_they_name():
    y = np.repeat([0, 1], 50)
    found = diagnose(y, np.full(100, 0.6), np.full(100, 0.7), np.full(100, 0.8))
    assert (found.weak_ece, found.student_ece, found.ceiling_ece) == pytest.approx((0.1, 0.2, 0.3))
    assert (found.weak_positive, found.student_positive) == (1, 1)
    assert found.imitation_wrong == found.imitation_right == 1  # of one class: nothing is imitated


def test_without_weak_test_labels_student_and_ceiling_remain():
    y, weak, student, ceiling = run()
    found, full = diagnose(y, None, student, ceiling), diagnose(y, weak, student, ceiling)
    assert {name for name, value in found._asdict().items() if math.isnan(value)} == set(FROM_THE_WEAK)
    assert (found.num_weak_wrong, found.num_weak_right) == (0, 0)
    for name in ("student_brier", "ceiling_brier", "student_ece", "ceiling_ece"):
        assert getattr(found, name) == getattr(full, name)


def test_log_odds_are_refused():
    y, weak, student, ceiling = run()
    with pytest.raises(DataError, match="not log-odds"):
        diagnose(y, weak, 4 * student - 2, ceiling)


def test_the_mean_over_seeds_keeps_methods_and_datasets_apart():
    found = [diagnose(*run(seed)) for seed in range(3)]
    names = [{"dataset": "a", "loss": "xent", "seed": seed} for seed in range(3)]
    other = [{"dataset": "b", "loss": "xent", "seed": 0}, {"dataset": "a", "loss": "logconf", "seed": 1}]
    table = mean_over_seeds(rows(*zip(names + other, [*found, found[1], found[2]], strict=True)))
    assert list(table.columns) == [*IDENTITY_COLUMNS[:-1], "num_seeds", *Diagnostics._fields]
    assert table[["dataset", "loss", "num_seeds"]].values.tolist() == [
        ["a", "xent", 3],
        ["b", "xent", 1],
        ["a", "logconf", 1],
    ]
    for name in Diagnostics._fields:
        assert table[name][0] == pytest.approx(np.mean([getattr(one, name) for one in found]))
        assert table[name][1] == pytest.approx(getattr(found[1], name))
        assert table[name][2] == pytest.approx(getattr(found[2], name))


def test_undefined_diagnostics_are_left_out_of_means_and_stay_unknown_where_all_are():
    y, weak, student, _ = run()
    perfect, usual, unknown = diagnose(y, y, student, y), diagnose(y, weak, student, y), diagnose(y, None, student, y)
    names = [{"dataset": "a", "loss": "xent", "seed": seed} for seed in (0, 1)]
    table = mean_over_seeds(rows((names[0], perfect), (names[1], usual)))
    assert math.isnan(perfect.imitation_wrong)
    assert table["imitation_wrong"][0] == usual.imitation_wrong
    assert table["num_weak_wrong"][0] == usual.num_weak_wrong / 2
    assert table["imitation_right"][0] == (perfect.imitation_right + usual.imitation_right) / 2
    assert math.isnan(perfect.capa_weak_ceiling)  # both always right
    assert table["capa_weak_ceiling"][0] == usual.capa_weak_ceiling
    alone = mean_over_seeds(rows((names[0], unknown), (names[1], unknown)))
    assert alone[list(FROM_THE_WEAK)].isna().all(axis=None)
    assert alone["student_brier"][0] == unknown.student_brier


def test_no_rows_and_no_columns():
    empty = mean_over_seeds(pd.DataFrame(columns=list(DIAGNOSTIC_COLUMNS)))
    assert empty.empty
    assert "num_seeds" in empty.columns
    with pytest.raises(DataError, match=r"the diagnostics lack.*misfit_gain; there are study"):
        mean_over_seeds(pd.DataFrame(columns=list(DIAGNOSTIC_COLUMNS[:-1])))
