"""Tables of regrets as a study leaves them, made by hand."""

from __future__ import annotations

import pandas as pd

from outshine.selection.regret import REGRET_COLUMNS, TRUSTED

NAMED = {"study": "s", "weak": "w", "strong": "l", "purpose": "", "method": "", "variant": "", "round": 0, "loss": ""}


def rows(
    by_dataset: dict[str, dict], kind: str = "method", saturated: tuple[str, ...] = (), seed: int = 0
) -> pd.DataFrame:
    """by_dataset: regret by rule, or by number of trusted labels."""
    made = [
        {
            **NAMED,
            "kind": kind,
            "dataset": dataset,
            "data_seed": 0,
            "seed": seed,
            "saturated": dataset in saturated,
            "num_candidates": 3,
            "rule": TRUSTED if isinstance(which, int) else which,
            "n": which if isinstance(which, int) else 0,
            "choice": "a",
            "hit": 0.5,
            "auroc": 0.9 - regret,
            "oracle": "b",
            "oracle_auroc": 0.9,
            "regret": regret,
            "nested_auroc": 0.88,
            "nested_regret": regret - 0.02,
        }
        for dataset, values in by_dataset.items()
        for which, regret in values.items()
    ]
    return pd.DataFrame(made, columns=list(REGRET_COLUMNS))


THREE = {
    "d": {"agreement": 0.02, "confidence": 0.05, "random": 0.06, 5: 0.05, 10: 0.02, 20: 0.01},
    "e": {"agreement": 0.04, "confidence": 0.03, "random": 0.08, 5: 0.06, 10: 0.05, 20: 0.02},
    "f": {"agreement": 0.03, "confidence": 0.07, "random": 0.04, 5: 0.05, 10: 0.03, 20: 0.00},
}
