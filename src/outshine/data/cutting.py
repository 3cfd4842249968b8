"""Cutting a pool into splits: by group, then balanced, then to size. Pure functions of rows and a seed.

Order of precedence: no group in two splits; then as many positives as negatives; then the size asked for.
Every choice ranks ids or groups by a hash with the seed, so that the order of rows does not matter.
"""

from __future__ import annotations

from bisect import bisect_left
from collections import defaultdict
from collections.abc import Mapping, Sequence
from itertools import accumulate

from outshine.core.rng import stream_seed
from outshine.data.pool import UsableRow

VAL_FLOOR = 32  # rows that val keeps, up to a fifth of the pool, where a small dataset is scaled down

Splits = dict[str, list[UsableRow]]


def cut_pool(
    rows: Sequence[UsableRow], asked: Mapping[str, int], balanced: Mapping[str, bool], data_seed: int
) -> Splits:
    """Cut `rows` by group into the splits of `asked` (name -> rows), each balanced or left as it is.

    Where the rows do not suffice all splits shrink in proportion (see `scale_sizes`). Unbalanced splits are
    taken first, a run of groups each, so that no label has a say in them; the others share the rest. Their order is
    one of its own: a balanced test that was held out before has taken the rarer class from the head of the usual one.
    """
    left = _shuffled_groups(
        rows, data_seed, "groups" if all(balanced[split] for split in asked) else "groups unbalanced"
    )
    splits: Splits = {}
    sizes = scale_sizes(asked, len(rows))
    for split in (split for split in asked if not balanced[split]):
        members, left = _take(left, sizes[split])
        splits[split] = pick(members, sizes[split], data_seed)
    rest = {split: size for split, size in asked.items() if balanced[split]}
    sizes = scale_sizes(rest, 2 * min(_count([row for group in left for row in group])))
    for split, members in _share_out(left, sizes).items():
        splits[split] = pick_balanced(members, sizes[split], data_seed)
    return splits


def scale_sizes(asked: Mapping[str, int], num_available: int) -> dict[str, int]:
    """The sizes asked for, or all of them scaled down to what there is.

    Scaled down, `val` keeps min(VAL_FLOOR, a fifth of the rows), so that small data can still choose a
    checkpoint.
    """
    total = sum(asked.values())
    if num_available >= total:
        return dict(asked)
    sizes = {split: size * num_available // total for split, size in asked.items()}
    floor = min(asked.get("val", 0), VAL_FLOOR, num_available // 5)
    if sizes.get("val", 0) < floor:
        others = total - asked["val"]
        sizes = {split: size * (num_available - floor) // others for split, size in asked.items()}
        sizes["val"] = floor
    return sizes


def pick(rows: Sequence[UsableRow], size: int, data_seed: int) -> list[UsableRow]:
    """Up to `size` of the rows, at random."""
    return sorted(rows, key=lambda row: stream_seed("pick", data_seed, row.id))[:size]


def pick_balanced(rows: Sequence[UsableRow], size: int, data_seed: int) -> list[UsableRow]:
    """As many positives as negatives, up to `size` rows together, at random."""
    half = min(size // 2, *_count(rows))
    return [kept for label in (False, True) for kept in pick([r for r in rows if r.label is label], half, data_seed)]


def _count(rows: Sequence[UsableRow]) -> tuple[int, int]:
    """The number of negatives and of positives."""
    positives = sum(row.label for row in rows)
    return len(rows) - positives, positives


def _shuffled_groups(rows: Sequence[UsableRow], data_seed: int, stream: str) -> list[list[UsableRow]]:
    groups: defaultdict[str, list[UsableRow]] = defaultdict(list)
    for row in rows:
        groups[row.group].append(row)
    return [groups[name] for name in sorted(groups, key=lambda name: stream_seed(stream, data_seed, name))]


def _take(groups: Sequence[list[UsableRow]], num_rows: int) -> tuple[list[UsableRow], list[list[UsableRow]]]:
    """The rows of as many leading groups as hold `num_rows` rows, and the groups that are left."""
    ends = list(accumulate(map(len, groups)))
    num_groups = min(bisect_left(ends, num_rows) + 1, len(groups)) if num_rows else 0
    return [row for group in groups[:num_groups] for row in group], list(groups[num_groups:])


def _share_out(groups: Sequence[Sequence[UsableRow]], sizes: Mapping[str, int]) -> Splits:
    """Give each group to the split that lacks its kind of rows most, until all have their size, half of it each class.

    The lack is the share of a class's quota not yet filled, weighted by the classes of the group; so all
    splits fill up in step, and where a class runs out all are short of it alike.
    """
    quota = {split: size // 2 for split, size in sizes.items()}
    have = {split: [0, 0] for split in sizes}
    splits: Splits = {split: [] for split in sizes}

    def lack(split: str, counts: tuple[int, int]) -> float:
        full = [min(have[split][label], quota[split]) / quota[split] for label in (0, 1)]
        return sum(num * (1 - share) for num, share in zip(counts, full, strict=True))

    for group in groups:
        counts = _count(group)
        open_splits = [split for split in sizes if quota[split] and lack(split, counts) > 0]
        if not open_splits:
            continue
        split = max(open_splits, key=lambda split: lack(split, counts))
        splits[split].extend(group)
        have[split][0] += counts[0]
        have[split][1] += counts[1]
    return splits
