"""Estimates of the sizes of a dataset's splits, from the public size of the dataset, before any row is read."""

from __future__ import annotations

from outshine.data.schema import Size
from outshine.data.splits import SplitSettings, scale_sizes


class _Pool:
    """Rows that are left, by class."""

    def __init__(self, num_rows: int, positive: float) -> None:
        self.positives = positive * num_rows
        self.negatives = num_rows - self.positives

    @property
    def rows(self) -> int:
        return round(self.positives + self.negatives)

    @property
    def balanced(self) -> int:
        """Rows of the largest balanced split."""
        return 2 * int(min(self.positives, self.negatives))

    def take(self, num_rows: int, balanced: bool) -> int:
        """Take rows out, half of each class or as they come; returns how many."""
        num_rows = min(num_rows, self.balanced if balanced else self.rows)
        share = 0.5 if balanced else self.positives / max(1, self.rows)
        self.positives -= share * num_rows
        self.negatives -= (1 - share) * num_rows
        return num_rows


def expected_splits(size: Size, settings: SplitSettings, held_out: int | None = None) -> dict[str, int]:
    """Split -> rows, by the rules of `data.splits` (sizes, balance, test held out where there is no test side).

    `held_out`: rows that the source itself sets for a held-out test. An estimate, a little high: duplicates and
    groups that lie on both sides are not known beforehand.
    """
    num_train, num_test_rows = (
        num_rows if num_rows is None or settings.limit is None else min(num_rows, settings.limit)
        for num_rows in (size.train, size.test)
    )
    pool = _Pool(num_train or 0, size.positive)
    if num_test_rows is None:
        num_test = min(settings.n_test, held_out or settings.n_test, (num_train or 0) // 3)
        splits = {"test": pool.take(num_test, settings.balance_test)}
    else:
        splits = {"test": _Pool(num_test_rows, size.positive).take(settings.n_test, settings.balance_test)}
    half = settings.n_train // 2
    wanted = {"val": settings.n_val, "weak_train": half, "strong_train": half}
    if not settings.balance_student:
        splits["strong_train"] = pool.take(scale_sizes(wanted, pool.rows)["strong_train"], balanced=False)
        del wanted["strong_train"]
    return {**splits, **scale_sizes(wanted, pool.balanced)}
