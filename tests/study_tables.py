"""Tables as a study leaves them, made by hand: scores and PGRs of methods on datasets over seeds."""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd

from outshine.learn.losses.base import losses
from outshine.results.results import PGR_COLUMNS, SCORE_COLUMNS
from outshine.w2s.method_identity import identify
from outshine.w2s.methods.base import methods

WEAK, CEILING = 0.7, 0.9


def student(dataset: str, auroc: float, *, loss: str = "xent", seed: int = 0, **changed: object) -> dict:
    """One student's row of scores on test."""
    row = {
        "study": "s",
        "dataset": dataset,
        "weak": "tiny/weak",
        "strong": "tiny/strong",
        "purpose": "method",
        "method": "vanilla",
        "variant": "",
        "round": 0,
        "loss": loss,
        "data_seed": 0,
        "seed": seed,
        "role": "student",
        "split": "test",
        "n": 100,
        "num_groups": 100,
        "auroc": auroc,
        "auroc_low": auroc - 0.1,
        "auroc_high": auroc + 0.1,
        "accuracy": 0.6,
        "method_id": "",
        "settings": "",
        **changed,
    }
    known = row["method"] in methods.names() and row["loss"] in ("", *losses.names())
    if row["role"] == "student" and known and not row["variant"] and not row["settings"] and row["method"] != "control":
        one = identify(methods.parse(row["method"]), losses.parse(row["loss"]) if row["loss"] else None)
        row |= {"method_id": one.method_id, "settings": one.settings}
    named = (row[part] for part in ("dataset", "method", "variant", "round", "loss", "data_seed", "seed", "role"))
    return {"key": "-".join(map(str, named)), **row}


def scores(students: Sequence[dict], weak: float = WEAK, ceiling: float = CEILING, **by_dataset: tuple) -> pd.DataFrame:
    """A table of scores: the students, their supervisors and ceilings; `by_dataset`: other (weak, ceiling) AUROCs."""
    rows = list(students)
    for one in students:
        values = dict(zip(("weak", "ceiling"), by_dataset.get(one["dataset"], (weak, ceiling)), strict=True))
        run = {name: one[name] for name in ("weak", "strong", "data_seed")}
        for role, value in values.items():
            shared = {**run, "purpose": "", "method": "", "role": role}
            rows.append(student(one["dataset"], value, seed=one["seed"], **shared))
    frame = pd.DataFrame(rows, columns=list(SCORE_COLUMNS))
    # training rows are in the table too, and must not be read for test
    other = frame.assign(split="strong_train", auroc=0.123)
    return pd.concat([other, frame]).drop_duplicates(ignore_index=True)


def pgrs(table: pd.DataFrame, undefined: dict[str, str] | None = None) -> pd.DataFrame:
    """The table of PGRs that belongs to scores; `undefined`: dataset -> reason."""
    test = table[table["split"] == "test"]
    run = ["dataset", "data_seed", "seed"]
    roles = test[test["role"] != "student"].pivot_table(index=run, columns="role", values="auroc")
    rows = []
    for row in test[test["role"] == "student"].to_dict("records"):
        both = roles.loc[tuple(row[name] for name in run)]
        reason = (undefined or {}).get(row["dataset"], "")
        gap, gain = both["ceiling"] - both["weak"], row["auroc"] - both["weak"]
        value = float("nan") if reason else gain / gap
        rows.append(
            {
                **{name: row[name] for name in PGR_COLUMNS if name in row},
                "pgr": value,
                "pgr_low": value,
                "pgr_high": value,
                "defined": not reason,
                "reason": reason,
                "student_minus_weak": gain,
                "ceiling_minus_weak": gap,
                "saturated": False,
            }
        )
    return pd.DataFrame(rows, columns=list(PGR_COLUMNS))


def against_xent(differences: Sequence[float], loss: str = "logconf", seed: int = 0) -> list[dict]:
    """Students of two losses on datasets d00, d01, …, `loss` ahead of xent by these differences."""
    base = [student(f"d{i:02}", 0.8, seed=seed) for i in range(len(differences))]
    return base + [student(f"d{i:02}", 0.8 + d, loss=loss, seed=seed) for i, d in enumerate(differences)]
