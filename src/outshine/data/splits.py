"""The four splits of a dataset, with texts and ground truth apart and joined by id."""

from __future__ import annotations

from bisect import bisect_left
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from itertools import accumulate
from typing import Annotated, Any, NamedTuple

import pandas as pd
from pydantic import Field, NonNegativeInt, PositiveInt

from outshine.data.rows import Pools, RowReader
from outshine.data.schema import Recipe
from outshine.data.task import Task
from outshine.data.usable_rows import Pool, UsableRow, clean, read_pool
from outshine.engine.errors import DataError
from outshine.engine.rng import stream_seed
from outshine.engine.settings import NotInKeyAtDefault, Settings

SPLITS = ("weak_train", "strong_train", "val", "test")
DRAWN_WHOLE = 50_000  # source rows up to which all are formatted; of larger sources a seeded sample is
OVERSAMPLE = 4  # rows sampled per row asked for, since some are unusable, duplicates or of the surplus class
MIN_ROWS = 8  # fewer rows in a split measure nothing
LARGE_GROUP = 0.2  # share of a split's rows from which a single group is worth a note


class SplitSettings(Settings):
    """How many rows of each split are wanted, and how they are drawn."""

    n_train: PositiveInt = Field(default=10_000, description="training rows, halved into weak_train and strong_train")
    n_val: PositiveInt = Field(default=1_000, description="rows that checkpoints are chosen on")
    n_test: PositiveInt = Field(default=5_000, description="rows that are scored, at most")
    balance_test: bool = Field(default=True, description="undersample test to as many positives as negatives")
    balance_student: bool = Field(
        default=True, description="the same for strong_train, which uses its ground truth, as the original study did"
    )
    data_seed: NonNegativeInt = Field(
        default=0, description="fixes test rows, splits, balance and the drawing of candidates"
    )
    limit: Annotated[PositiveInt | None, NotInKeyAtDefault()] = Field(
        default=None, description="rows drawn at random from each side of the source (training, test); null: all"
    )


class PreparedSplits(NamedTuple):
    """A dataset cut into splits.

    `texts`: id, split (of SPLITS), text, group, cut_start, cut_end (characters of `text` that may be
    shortened; 0, 0: none). `truth`: id, label (0 or 1). Both are sorted by id, which is a hash: the order of
    rows says nothing about labels. `report`: JSON-able figures. `notes`: what a reader must know, in sentences.
    """

    texts: pd.DataFrame
    truth: pd.DataFrame
    report: dict[str, Any]
    notes: list[str]


def prepare(recipe: Recipe, identity: str, settings: SplitSettings) -> PreparedSplits:
    """Draw, format, clean, cut and balance the rows of a dataset.

    From large sources a seeded oversample of row numbers is drawn first, and enlarged where it does not
    suffice. `identity`: what `recipe.identify()` returned. Raises DataError where a split would have fewer
    than MIN_ROWS rows or one class only; HubError where the rows cannot be had.
    """
    pools, num_classes = recipe.open(identity), len(recipe.task.class_names)
    factor = OVERSAMPLE
    while True:
        train, test = _read(recipe, pools, settings, factor)
        splits = _cut(train, test, pools.test_size, settings, num_classes)
        exhausted = train.exhausted and (test is None or test.exhausted)
        if exhausted or not _short(splits, settings, pools.test_size, num_classes):
            break
        factor *= OVERSAMPLE
    _check(recipe, splits, train, test, {"test": _test_size(settings, pools.test_size), **_asked(settings)})
    report = _report(splits, train, test, settings, identity)
    notes = [*pools.notes, *_notes(recipe, report, held_out=test is None), *_limited(settings, train, test)]
    return PreparedSplits(*_frames(splits), report, notes)


def preview(prepared: PreparedSplits, num_rows: int = 10) -> pd.DataFrame:
    """The first rows of both classes in turn: id, split, label, text."""
    rows = prepared.texts.merge(prepared.truth, on="id", validate="one_to_one")
    rows["turn"] = rows.groupby("label").cumcount()
    rows = rows.sort_values(["turn", "label"], ascending=[True, False]).head(num_rows)
    return rows.reset_index(drop=True).reindex(columns=["id", "split", "label", "text"])


def _read(recipe: Recipe, pools: Pools, settings: SplitSettings, factor: int) -> tuple[Pool, Pool | None]:
    def read(reader: RowReader, side: str, num_asked: int) -> Pool:
        return read_pool(recipe, reader, side, settings.data_seed, max(DRAWN_WHOLE, factor * num_asked), settings.limit)

    held_out = _test_size(settings, pools.test_size) if pools.test is None else 0
    train = read(pools.train, "train", settings.n_train + settings.n_val + held_out)
    return clean(recipe, train, read(pools.test, "test", settings.n_test) if pools.test is not None else None)


def _test_size(settings: SplitSettings, source_size: int | None) -> int:
    return min(settings.n_test, source_size or settings.n_test)


def _asked(settings: SplitSettings) -> dict[str, int]:
    half = settings.n_train // 2
    return {"val": settings.n_val, "weak_train": half, "strong_train": half}


def _cut(train: Pool, test: Pool | None, test_size: int | None, settings: SplitSettings, num_classes: int) -> Splits:
    """Return the four splits; test comes from its own pool, or else is held out of the training pool by group."""
    seed, requested = settings.data_seed, _asked(settings)
    balanced = {
        "test": settings.balance_test,
        "val": True,
        "weak_train": True,
        "strong_train": settings.balance_student,
    }
    if test is not None:
        chosen = (
            pick_balanced(test.rows, settings.n_test, seed, num_classes)
            if settings.balance_test
            else pick(test.rows, settings.n_test, seed)
        )
        return {"test": chosen, **cut_pool(train.rows, requested, balanced, seed, num_classes)}
    # test gets its rows, at most a third, before the rest is scaled to what is left
    num_test = min(_test_size(settings, test_size), len(train.rows) // 3)
    held_out = cut_pool(train.rows, {"test": num_test}, balanced, seed, num_classes)
    groups = {row.group for row in held_out["test"]}
    rest = [row for row in train.rows if row.group not in groups]
    return {**held_out, **cut_pool(rest, requested, balanced, seed, num_classes)}


def _short(splits: Splits, settings: SplitSettings, test_size: int | None, num_classes: int) -> bool:
    requested = {"test": _test_size(settings, test_size), **_asked(settings)}
    return any(len(splits[split]) < _evenly(size, num_classes) for split, size in requested.items())


def _check(recipe: Recipe, splits: Splits, train: Pool, test: Pool | None, requested: Mapping[str, int]) -> None:
    """Refuse a dataset that cannot be learned or scored."""
    what, num_classes = f"dataset '{recipe.name}'", len(recipe.task.class_names)
    for side, pool in (("training", train), ("test", test)):
        if pool is None:
            continue
        labels = {row.label for row in pool.rows}
        if len(labels) == num_classes:
            continue
        left_out = f" ({_reasons(pool.dropped)})" if pool.dropped else ""
        if pool.dropped["group in test"]:
            left_out += "; training rows of a group that test has are left out"
        if not labels:
            raise DataError(f"{what} has no usable {side} row of {pool.num_source_rows}{left_out}")
        raise DataError(
            f"all {len(pool.rows)} usable {side} rows of {what} are labelled {int(labels.pop())}{left_out}; "
            "both labels are needed"
        )
    for split in SPLITS:
        counts = _count(splits[split], num_classes)
        if sum(counts) < MIN_ROWS or not all(counts):
            if requested[split] < MIN_ROWS:
                reason = f"ask for {MIN_ROWS} or more"
            elif test is not None and split == "test":
                reason = _why_too_few("test", test.rows, 1, recipe.task)
            else:
                reason = _why_too_few("training", train.rows, 4 if test is None else 3, recipe.task)
            raise DataError(
                f"{split} of {what} would have {recipe.task.counts_text(counts)} rows, and at least "
                f"{MIN_ROWS} rows and both labels are needed: {reason}"
            )


def _why_too_few(side: str, rows: Sequence[UsableRow], num_splits: int, task: Task) -> str:
    """Why `num_splits` splits cannot be cut from these rows, which have all labels: groups, a rare class, or sizes."""
    by_class = [[row.group for row in rows if row.label == label] for label in range(len(task.class_names))]
    have = f"the {len(rows)} usable {side} rows are {task.counts_text([*map(len, by_class)])}"
    sizes = Counter(row.group for row in rows)
    largest = max(sizes.values())
    fewest = min(len(set(groups)) for groups in by_class)
    if len(sizes) < len(rows) and fewest < num_splits:
        num_groups = " and ".join(_counted(len(set(groups)), "group") for groups in reversed(by_class))
        num_groups = "one and the same group" if len(sizes) == 1 else num_groups
        return (
            f"{have}, in {num_groups}; a group (rows with one `group`, or that share a text) is never divided, so "
            f"{num_splits} splits need rows of each class in {num_splits} groups or more"
        )
    if 2 * largest > len(rows):
        return f"{have}, and {largest} of them are one group, which is never divided; use smaller groups"
    rarer, *_, commonest = sorted(map(len, by_class))
    if rarer < num_splits * MIN_ROWS // len(by_class) <= commonest:
        return f"{have}, and a balanced split has as many rows of each class; give more rows of the rarer one"
    grouped = f", in {_counted(len(sizes), 'group')}" if len(sizes) < len(rows) else ""
    return f"{have}{grouped}; give more rows or ask for other sizes"


def _counted(number: int, noun: str) -> str:
    return f"{number:,} {noun}" if number == 1 else f"{number:,} {noun}s"


def _frames(splits: Splits) -> tuple[pd.DataFrame, pd.DataFrame]:
    rows = sorted(((row, split) for split in SPLITS for row in splits[split]), key=lambda pair: pair[0].id)
    texts = pd.DataFrame(
        {
            "id": [row.id for row, _ in rows],
            "split": [split for _, split in rows],
            "text": [row.text for row, _ in rows],
            "group": [row.group for row, _ in rows],
            "cut_start": [row.cut[0] for row, _ in rows],
            "cut_end": [row.cut[1] for row, _ in rows],
        }
    )
    truth = pd.DataFrame({"id": texts["id"], "label": [int(row.label) for row, _ in rows]})
    return texts, truth


def _report(splits: Splits, train: Pool, test: Pool | None, settings: SplitSettings, identity: str) -> dict[str, Any]:
    """What was asked for, what there is, and why rows were left out."""
    sides = {"train": train} if test is None else {"train": train, "test": test}
    used = {"train": [split for split in SPLITS if test is None or split != "test"], "test": ["test"]}
    report: dict[str, Any] = {
        "identity": identity,
        "asked": {"test": settings.n_test, **_asked(settings)},
        "splits": {split: _summary(splits[split]) for split in SPLITS},
        "source_rows": {side: pool.num_source_rows for side, pool in sides.items()},
        "drawn_rows": {side: pool.num_drawn for side, pool in sides.items()},
        "dropped": {},
        "stock": dict(train.stock),
    }
    for side, pool in sides.items():
        surplus = len(pool.rows) - sum(len(splits[split]) for split in used[side])
        report["dropped"][side] = {**pool.dropped, "surplus": surplus}
    return report


def _summary(rows: Sequence[UsableRow]) -> dict[str, Any]:
    groups = Counter(row.group for row in rows)
    return {
        "rows": len(rows),
        "positive_share": sum(row.label for row in rows) / len(rows),
        "num_groups": len(groups),
        "largest_group": max(groups.values()),
    }


def _notes(recipe: Recipe, report: dict[str, Any], held_out: bool) -> list[str]:
    notes = [recipe.note] if recipe.note else []
    short = [
        f"{split} {report['splits'][split]['rows']:,} of {requested:,}"
        for split, requested in report["asked"].items()
        if report["splits"][split]["rows"] < _evenly(requested, len(recipe.task.class_names))
    ]
    if short:
        notes.append(f"Fewer rows than asked for: {', '.join(short)}.")
    if held_out:
        notes.append("The test rows are held out of the source's rows by group.")
    dropped = Counter[str]()
    for reasons in report["dropped"].values():
        dropped.update({reason: num for reason, num in reasons.items() if reason != "surplus"})
    if dropped:
        notes.append(f"Rows left out: {_reasons(dropped)}.")
    for split, summary in report["splits"].items():
        if abs(summary["positive_share"] - 0.5) > 0.01:
            notes.append(f"{split} is not balanced: {summary['positive_share']:.1%} are {recipe.task.class_names[1]}.")
        if summary["largest_group"] > LARGE_GROUP * summary["rows"]:
            effect = ": intervals count them as one" if split == "test" else ""
            notes.append(
                f"One group has {summary['largest_group']:,} of the {summary['rows']:,} rows of {split}{effect}."
            )
    for text, num_rows in report["stock"].items():
        notes.append(f"{num_rows:,} rows share a text so common that it makes no group of them: {text[:60]!r}.")
    return notes


def _limited(settings: SplitSettings, train: Pool, test: Pool | None) -> list[str]:
    """Say what was left out because only so many rows were asked for."""
    draws = [
        f"{pool.num_drawn:,} of {pool.num_source_rows:,} {side} rows"
        for side, pool in (("training", train), ("test", test))
        if pool is not None and settings.limit is not None and pool.num_drawn < pool.num_source_rows
    ]
    return [f"A random draw (limit): {', '.join(draws)}."] if draws else []


def _reasons(dropped: Counter[str]) -> str:
    return ", ".join(f"{num:,} {reason}" for reason, num in sorted(dropped.items())) or "nothing dropped"


VAL_FLOOR = 32  # rows that val keeps, up to a fifth of the pool, where a small dataset is scaled down

Splits = dict[str, list[UsableRow]]


def cut_pool(
    rows: Sequence[UsableRow],
    requested: Mapping[str, int],
    balanced: Mapping[str, bool],
    data_seed: int,
    num_classes: int,
) -> Splits:
    """Cut `rows` by group into the splits of `requested` (name -> rows), each balanced or left as it is.

    Where the rows do not suffice all splits shrink in proportion (see `scale_sizes`). Unbalanced splits are
    taken first, a run of groups each, so that no label has a say in them; the others share the rest. Their order is
    one of its own: a balanced test that was held out before has taken the rarer class from the head of the usual one.
    """
    left = _shuffled_groups(
        rows, data_seed, "groups" if all(balanced[split] for split in requested) else "groups unbalanced"
    )
    splits: Splits = {}
    sizes = scale_sizes(requested, len(rows))
    for split in (split for split in requested if not balanced[split]):
        members, left = _take(left, sizes[split])
        splits[split] = pick(members, sizes[split], data_seed)
    rest = {split: size for split, size in requested.items() if balanced[split]}
    rarest = min(_count([row for group in left for row in group], num_classes))
    sizes = scale_sizes(rest, num_classes * rarest)
    for split, members in _share_out(left, sizes, num_classes).items():
        splits[split] = pick_balanced(members, sizes[split], data_seed, num_classes)
    return splits


def scale_sizes(requested: Mapping[str, int], num_available: int) -> dict[str, int]:
    """Return the sizes asked for, or all of them scaled down to what there is.

    Scaled down, `val` keeps min(VAL_FLOOR, a fifth of the rows), so that small data can still choose a
    checkpoint.
    """
    total = sum(requested.values())
    if num_available >= total:
        return dict(requested)
    sizes = {split: size * num_available // total for split, size in requested.items()}
    floor = min(requested.get("val", 0), VAL_FLOOR, num_available // 5)
    if sizes.get("val", 0) < floor:
        others = total - requested["val"]
        sizes = {split: size * (num_available - floor) // others for split, size in requested.items()}
        sizes["val"] = floor
    return sizes


def pick(rows: Sequence[UsableRow], size: int, data_seed: int) -> list[UsableRow]:
    """Up to `size` of the rows, at random."""
    return sorted(rows, key=lambda row: stream_seed("pick", data_seed, row.id))[:size]


def pick_balanced(rows: Sequence[UsableRow], size: int, data_seed: int, num_classes: int) -> list[UsableRow]:
    """As many of each class, up to `size` rows together, at random."""
    share = min(size // num_classes, *_count(rows, num_classes))
    by_class = ([row for row in rows if row.label == label] for label in range(num_classes))
    return [kept for own in by_class for kept in pick(own, share, data_seed)]


def _evenly(size: int, num_classes: int) -> int:
    """The largest size up to `size` that has as many rows of each class."""
    return num_classes * (size // num_classes)


def _count(rows: Sequence[UsableRow], num_classes: int) -> list[int]:
    """The number of rows of each class: of a binary task of negatives and of positives."""
    counts = Counter(int(row.label) for row in rows)
    return [counts[label] for label in range(num_classes)]


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


def _share_out(groups: Sequence[Sequence[UsableRow]], sizes: Mapping[str, int], num_classes: int) -> Splits:
    """Give each group to the split that lacks its kind of rows most, until all have their size, evenly of each class.

    The lack is the share of a class's quota not yet filled, weighted by the classes of the group; so all
    splits fill up in step, and where a class runs out all are short of it alike.
    """
    quota = {split: size // num_classes for split, size in sizes.items()}
    have = {split: [0] * num_classes for split in sizes}
    splits: Splits = {split: [] for split in sizes}

    def lack(split: str, counts: Sequence[int]) -> float:
        full = [min(number, quota[split]) / quota[split] for number in have[split]]
        return sum(num * (1 - share) for num, share in zip(counts, full, strict=True))

    for group in groups:
        counts = _count(group, num_classes)
        open_splits = [split for split in sizes if quota[split] and lack(split, counts) > 0]
        if not open_splits:
            continue
        split = max(open_splits, key=lambda split: lack(split, counts))
        splits[split].extend(group)
        have[split] = [number + more for number, more in zip(have[split], counts, strict=True)]
    return splits
