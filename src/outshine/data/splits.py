"""The four splits of a dataset, with texts and ground truth apart and joined by id."""

from __future__ import annotations

from bisect import bisect_left
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from itertools import accumulate
from typing import Annotated, Any, NamedTuple

import pandas as pd
from pydantic import Field, NonNegativeInt, PositiveInt, SerializeAsAny

from outshine.data.rows import Pools, RowReader
from outshine.data.schema import Recipe, row_id
from outshine.data.task import Task
from outshine.data.usable_rows import Pool, UsableRow, clean, read_pool
from outshine.engine.errors import DataError
from outshine.engine.messages import counted
from outshine.engine.rng import stream_seed
from outshine.engine.settings import NotInKeyAtDefault, Settings

SPLITS = ("weak_train", "strong_train", "val", "test")
DRAWN_WHOLE = 50_000  # source rows up to which all are formatted; of larger sources a seeded sample is
OVERSAMPLE = 4  # rows sampled per row asked for, since some are unusable, duplicates or of the surplus class
MIN_ROWS = 8  # fewer rows in a split measure nothing
FEW = 10  # test rows of a class below which its AUROC rests on little
_MOST_LISTED = 5
LARGE_GROUP = 0.2  # share of a split's rows from which a single group is worth a note


class SplitSettings(Settings):
    """How many rows of each split are wanted, and how they are drawn."""

    n_train: PositiveInt = Field(default=10_000, description="training rows, halved into weak_train and strong_train")
    n_val: PositiveInt = Field(default=1_000, description="rows that checkpoints are chosen on")
    n_test: PositiveInt = Field(default=5_000, description="rows that are scored, at most")
    balance_test: bool = Field(
        default=True,
        description="undersample test to as many positives as negatives (splits of three and more classes keep the "
        "shares of the source)",
    )
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
    shortened; 0, 0: none). `truth`: id, label (the number of the class). Both are sorted by id, which is a hash: the
    order of rows says nothing about labels. `report`: JSON-able figures. `notes`: what a reader must know, in
    sentences.
    """

    texts: pd.DataFrame
    truth: pd.DataFrame
    report: dict[str, Any]
    notes: list[str]


class OtherTest(Settings):
    """Another source of test rows for models that are trained on a dataset: `name`, and whose rows, in which state."""

    name: str
    recipe: SerializeAsAny[Recipe]
    recipe_version: int
    source: str

    @property
    def split(self) -> str:
        """What its rows are called in the column `split`."""
        return f"{OTHER_TEST}{self.name}"


OTHER_TEST = "test:"  # begins the split of rows of another test set


def prepare(recipe: Recipe, identity: str, settings: SplitSettings, tests: Sequence[OtherTest] = ()) -> PreparedSplits:
    """Draw, format, clean, cut and balance the rows of a dataset, and of other test sets for its models.

    From large sources a seeded oversample of row numbers is drawn first, and enlarged where it does not
    suffice. `identity`: what `recipe.identify()` returned. Raises DataError where a split would have fewer
    than MIN_ROWS rows or one class only; HubError where the rows cannot be had.
    """
    pools, task = recipe.open(identity), recipe.task
    factor = OVERSAMPLE
    while True:
        train, test = _read(recipe, pools, settings, factor)
        splits = _cut(train, test, pools.test_size, settings, task)
        exhausted = train.exhausted and (test is None or test.exhausted)
        if exhausted or not _short(splits, settings, pools.test_size, task):
            break
        factor *= OVERSAMPLE
    _check(recipe, splits, train, test, {"test": _test_size(settings, pools.test_size), **_asked(settings)})
    report = _report(splits, train, test, settings, identity, len(task.class_names))
    notes = [*pools.notes, *_notes(recipe, report, held_out=test is None), *_limited(settings, train, test)]
    for other in tests:
        rows, told = _other_rows(other, recipe, settings, [row for own in splits.values() for row in own])
        splits[other.split] = rows
        report["splits"][other.split] = _summary(rows, len(task.class_names))
        notes += told
    return PreparedSplits(*_frames(splits), report, notes)


def preview(prepared: PreparedSplits, num_rows: int = 10) -> pd.DataFrame:
    """The first rows of all classes in turn: id, split, label, text; of pairs both texts, one below the other."""
    rows = prepared.texts.merge(prepared.truth, on="id", validate="one_to_one")
    rows["text"] = shown_texts(rows)
    rows["turn"] = rows.groupby("label").cumcount()
    rows = rows.sort_values(["turn", "label"], ascending=[True, False]).head(num_rows)
    return rows.reset_index(drop=True).reindex(columns=["id", "split", "label", "text"])


def shown_texts(texts: pd.DataFrame) -> pd.Series:
    """The texts of rows for people: of pairs both, one below the other."""
    if "text_b" not in texts.columns:
        return texts["text"]
    return "a: " + texts["text"] + "\n\nb: " + texts["text_b"]


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


def _cut(train: Pool, test: Pool | None, test_size: int | None, settings: SplitSettings, task: Task) -> Splits:
    """Return the four splits; test comes from its own pool, or else is held out of the training pool by group."""
    seed, requested = settings.data_seed, _asked(settings)
    balanced = {
        "test": settings.balance_test,
        "val": True,
        "weak_train": True,
        "strong_train": settings.balance_student,
    }
    if test is not None:
        return {
            "test": _pick_test(test.rows, settings, task),
            **cut_pool(train.rows, requested, balanced, seed, task),
        }
    # test gets its rows, at most a third, before the rest is scaled to what is left
    num_test = min(_test_size(settings, test_size), len(train.rows) // 3)
    held_out = cut_pool(train.rows, {"test": num_test}, balanced, seed, task)
    groups = {row.group for row in held_out["test"]}
    rest = [row for row in train.rows if row.group not in groups]
    return {**held_out, **cut_pool(rest, requested, balanced, seed, task)}


def _pick_test(rows: Sequence[UsableRow], settings: SplitSettings, task: Task) -> list[UsableRow]:
    """The test rows, of a pool of their own."""
    num_classes, size, seed = len(task.class_names), settings.n_test, settings.data_seed
    if not task.is_balanced:
        return pick_by_class(rows, in_shares(min(size, len(rows)), _count(rows, num_classes)), seed)
    return pick_balanced(rows, size, seed, num_classes) if settings.balance_test else pick(rows, size, seed)


def _short(splits: Splits, settings: SplitSettings, test_size: int | None, task: Task) -> bool:
    requested = {"test": _test_size(settings, test_size), **_asked(settings)}
    return any(len(splits[split]) < _whole(size, task) for split, size in requested.items())


def _check(recipe: Recipe, splits: Splits, train: Pool, test: Pool | None, requested: Mapping[str, int]) -> None:
    """Refuse a dataset that cannot be learned or scored."""
    what, task = f"dataset '{recipe.name}'", recipe.task
    num_classes = len(task.class_names)
    all_classes = "both labels are" if num_classes == 2 else f"all {num_classes} classes are"
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
        if num_classes > 2:
            lacking = [name for number, name in enumerate(task.class_names) if number not in labels]
            raise DataError(
                f"no usable {side} row of {what} is labelled {_listed(lacking)}{left_out}; {all_classes} needed: leave "
                "out of `classes` those that are not there"
            )
        raise DataError(
            f"all {len(pool.rows)} usable {side} rows of {what} are labelled {int(labels.pop())}{left_out}; "
            f"{all_classes} needed"
        )
    for split in SPLITS:
        counts = _count(splits[split], num_classes)
        if sum(counts) < MIN_ROWS or not all(counts):
            if requested[split] < MIN_ROWS:
                reason = f"ask for {MIN_ROWS} or more"
            elif test is not None and split == "test":
                reason = _why_too_few("test", test.rows, 1, task)
            else:
                reason = _why_too_few("training", train.rows, 4 if test is None else 3, task)
            lacking = [name for name, count in zip(task.class_names, counts, strict=True) if not count]
            have = f"{sum(counts)} rows and none of {_listed(lacking)}" if lacking else f"{sum(counts)} rows"
            raise DataError(
                f"{split} of {what} would have {task.counts_text(counts) + ' rows' if num_classes == 2 else have}, and "
                f"at least {MIN_ROWS} rows and {all_classes} needed: {reason}"
            )


def _listed(names: Sequence[str]) -> str:
    shown = ", ".join(names[:_MOST_LISTED])
    return f"{shown} … ({len(names)} in all)" if len(names) > _MOST_LISTED else shown


def _other_rows(
    other: OtherTest, recipe: Recipe, settings: SplitSettings, taken: Sequence[UsableRow]
) -> tuple[list[UsableRow], list[str]]:
    """The rows of another test set, none of which shares a text or a group with those that are `taken`, and notes.

    They come from the source's test side where it has one. Raises DataError where too few are left, or a class lacks.
    """
    task, what = recipe.task, f"the test set '{other.name}' ({other.recipe.name})"
    if other.recipe.task.class_names != task.class_names and not task.is_balanced:
        raise DataError(
            f"{what} has the classes {_listed(other.recipe.task.class_names)}, and '{recipe.name}' "
            f"{_listed(task.class_names)}; name the same ones in the same order with `classes`"
        )
    pools = other.recipe.open(other.source)
    wanted = max(DRAWN_WHOLE, OVERSAMPLE * settings.n_test)
    pool = read_pool(other.recipe, pools.test or pools.train, other.split, settings.data_seed, wanted, settings.limit)
    pool, _ = clean(other.recipe, pool, None)
    contents, groups = {row.content[0] for row in taken}, {row.group for row in taken}
    rows = [row for row in pool.rows if row.content[0] not in contents and row.group not in groups]
    shared = len(pool.rows) - len(rows)
    rows = [row._replace(id=row_id(other.split, row.id)) for row in rows]  # ids of two files may be the same
    chosen = _pick_test(rows, settings, task)
    counts = _count(chosen, len(task.class_names))
    if len(chosen) < MIN_ROWS or not all(counts):
        raise DataError(
            f"{what} would have {task.counts_text(counts)} rows, and at least {MIN_ROWS} rows and all classes are "
            f"needed: {len(rows)} of its rows can be used"
        )
    notes = [f"Test set {other.name}: {note}" for note in pools.notes]
    if shared:
        notes.append(f"Test set {other.name}: {counted(shared, 'row')} left out that the dataset has too.")
    return chosen, notes


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
    if not task.is_balanced and rarer < 2 * num_splits:
        names = [name for name, rows_of in zip(task.class_names, by_class, strict=True) if len(rows_of) == rarer]
        return (
            f"{have}, and each of {num_splits} splits needs rows of every class; give more rows of {_listed(names)}, "
            "or leave out of `classes` what is too rare"
        )
    if task.is_balanced and rarer < num_splits * MIN_ROWS // len(by_class) <= commonest:
        return f"{have}, and a balanced split has as many rows of each class; give more rows of the rarer one"
    grouped = f", in {_counted(len(sizes), 'group')}" if len(sizes) < len(rows) else ""
    return f"{have}{grouped}; give more rows or ask for other sizes"


def _counted(number: int, noun: str) -> str:
    return f"{number:,} {noun}" if number == 1 else f"{number:,} {noun}s"


def _frames(splits: Splits) -> tuple[pd.DataFrame, pd.DataFrame]:
    rows = sorted(((row, split) for split, own in splits.items() for row in own), key=lambda pair: pair[0].id)
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
    if rows and rows[0][0].text_b is not None:
        second = {
            "text_b": [row.text_b for row, _ in rows],
            "cut_start_b": [row.cut_b[0] for row, _ in rows],
            "cut_end_b": [row.cut_b[1] for row, _ in rows],
        }
        texts = texts.assign(**second)
    truth = pd.DataFrame({"id": texts["id"], "label": [int(row.label) for row, _ in rows]})
    return texts, truth


def _report(
    splits: Splits, train: Pool, test: Pool | None, settings: SplitSettings, identity: str, num_classes: int
) -> dict[str, Any]:
    """What was asked for, what there is, and why rows were left out."""
    sides = {"train": train} if test is None else {"train": train, "test": test}
    used = {"train": [split for split in SPLITS if test is None or split != "test"], "test": ["test"]}
    report: dict[str, Any] = {
        "identity": identity,
        "asked": {"test": settings.n_test, **_asked(settings)},
        "splits": {split: _summary(splits[split], num_classes) for split in SPLITS},
        "source_rows": {side: pool.num_source_rows for side, pool in sides.items()},
        "drawn_rows": {side: pool.num_drawn for side, pool in sides.items()},
        "dropped": {},
        "stock": dict(train.stock),
    }
    for side, pool in sides.items():
        surplus = len(pool.rows) - sum(len(splits[split]) for split in used[side])
        report["dropped"][side] = {**pool.dropped, "surplus": surplus}
    return report


def _summary(rows: Sequence[UsableRow], num_classes: int) -> dict[str, Any]:
    groups, counts = Counter(row.group for row in rows), _count(rows, num_classes)
    return {
        "rows": len(rows),
        **({"positive_share": counts[1] / len(rows)} if num_classes == 2 else {"class_counts": counts}),
        "num_groups": len(groups),
        "largest_group": max(groups.values()),
    }


def _notes(recipe: Recipe, report: dict[str, Any], held_out: bool) -> list[str]:
    notes, task = [recipe.note] if recipe.note else [], recipe.task
    short = [
        f"{split} {report['splits'][split]['rows']:,} of {requested:,}"
        for split, requested in report["asked"].items()
        if report["splits"][split]["rows"] < _whole(requested, task)
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
        share = summary.get("positive_share")
        if share is not None and abs(share - 0.5) > 0.01:
            notes.append(f"{split} is not balanced: {share:.1%} are {task.class_names[1]}.")
        counts = summary.get("class_counts", [])
        few = [f"{name} ({count})" for name, count in zip(task.class_names, counts, strict=False) if count < FEW]
        if few and split in ("val", "test"):
            effect = "they weigh as much as the others in a mean over classes, and are measured on few rows"
            notes.append(f"Rare classes in {split}, fewer than {FEW} rows: {_listed(few)}; {effect}.")
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
    task: Task,
) -> Splits:
    """Cut `rows` by group into the splits of `requested` (name -> rows), each balanced or left as it is.

    Where the rows do not suffice all splits shrink in proportion (see `scale_sizes`). Unbalanced splits are
    taken first, a run of groups each, so that no label has a say in them; the others share the rest. Their order is
    one of its own: a balanced test that was held out before has taken the rarer class from the head of the usual one.
    Splits of a task that is not balanced are stratified: all have the shares of the classes among `rows`.
    """
    num_classes, sizes = len(task.class_names), scale_sizes(requested, len(rows))
    if not task.is_balanced:
        counts = _count(rows, num_classes)
        quotas = {split: in_shares(size, counts) for split, size in sizes.items()}
        shared = _share_out(_shuffled_groups(rows, data_seed, "groups"), quotas)
        return {split: pick_by_class(members, quotas[split], data_seed) for split, members in shared.items()}
    left = _shuffled_groups(
        rows, data_seed, "groups" if all(balanced[split] for split in requested) else "groups unbalanced"
    )
    splits: Splits = {}
    for split in (split for split in requested if not balanced[split]):
        members, left = _take(left, sizes[split])
        splits[split] = pick(members, sizes[split], data_seed)
    rest = {split: size for split, size in requested.items() if balanced[split]}
    rarest = min(_count([row for group in left for row in group], num_classes))
    sizes = scale_sizes(rest, num_classes * rarest)
    quotas = {split: [size // num_classes] * num_classes for split, size in sizes.items()}
    for split, members in _share_out(left, quotas).items():
        splits[split] = pick_balanced(members, sizes[split], data_seed, num_classes)
    return splits


def in_shares(size: int, counts: Sequence[int]) -> list[int]:
    """Divide `size` rows among classes as `counts` divides them: rounded down, the largest remainders rounded up.

    A class that has rows gets one at least, and two where `size` has room for two of every class.
    """
    total = max(1, sum(counts))
    least = max(1, min(2, size // max(1, len(counts))))
    shares = [max(min(count, least), size * count // total) for count in counts]
    remainders = sorted(range(len(counts)), key=lambda k: (-(size * counts[k] % total), k))
    for k in remainders[: max(0, size - sum(shares))]:
        shares[k] += 1
    return shares


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
    return pick_by_class(rows, [share] * num_classes, data_seed)


def pick_by_class(rows: Sequence[UsableRow], quota: Sequence[int], data_seed: int) -> list[UsableRow]:
    """Up to so many rows of each class, at random."""
    by_class = ([row for row in rows if row.label == label] for label in range(len(quota)))
    return [kept for own, most in zip(by_class, quota, strict=True) for kept in pick(own, most, data_seed)]


def _whole(size: int, task: Task) -> int:
    """The largest size up to `size` that a split can have: of a balanced one, with as many rows of each class."""
    num_classes = len(task.class_names)
    return num_classes * (size // num_classes) if task.is_balanced else size


def _count(rows: Sequence[UsableRow], num_classes: int) -> list[int]:
    """The number of rows of each class: of a binary task of negatives and of positives."""
    counts = Counter(row.label for row in rows)
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


def _share_out(groups: Sequence[Sequence[UsableRow]], quotas: Mapping[str, Sequence[int]]) -> Splits:
    """Give each group to the split that lacks its kind of rows most, until all have their quota of each class.

    The lack is the share of a class's quota not yet filled, weighted by the classes of the group; so all
    splits fill up in step, and where a class runs out all are short of it alike.
    """
    if not quotas:
        return {}
    num_classes = len(next(iter(quotas.values())))
    have = {split: [0] * num_classes for split in quotas}
    splits: Splits = {split: [] for split in quotas}

    def lack(split: str, counts: Sequence[int]) -> float:
        full = [
            min(number, most) / most if most else 1.0 for number, most in zip(have[split], quotas[split], strict=True)
        ]
        return sum(num * (1 - share) for num, share in zip(counts, full, strict=True))

    for group in groups:
        counts = _count(group, num_classes)
        open_splits = [split for split in quotas if lack(split, counts) > 0]
        if not open_splits:
            continue
        split = max(open_splits, key=lambda split: lack(split, counts))
        splits[split].extend(group)
        have[split] = [number + more for number, more in zip(have[split], counts, strict=True)]
    return splits
