"""Groups are the connected components of what rows share, against a search that joins pair by pair."""

from __future__ import annotations

from random import Random

from hypothesis import given
from hypothesis import strategies as st

from outshine.data.usable_rows import STOCK_ROWS, Links, connected, normalised


def by_joining_pairs(rows: list[Links]) -> list[int]:
    """The component of each row: pairs with something in common are joined until nothing changes."""
    member = list(range(len(rows)))
    changed = True
    while changed:
        changed = False
        for i, one in enumerate(rows):
            for j, other in enumerate(rows):
                texts = {" ".join(text.lower().split()) for text in one.texts} - {""}
                common = texts & {" ".join(text.lower().split()) for text in other.texts}
                same = one.group is not None and one.group == other.group
                if (common or same) and member[i] != member[j]:
                    member[i] = member[j] = min(member[i], member[j])
                    changed = True
    return member


@given(
    st.lists(st.tuples(st.sampled_from([None, "g", "h", "G"]), st.lists(st.integers(0, 25), max_size=3)), max_size=20)
)
def test_groups_are_connected_components(made: list[tuple[str | None, list[int]]]) -> None:
    case = [str.upper, str.lower, lambda text: f" {text.replace(' ', '  ')}\n"]
    rows = [
        Links(f"{i:03}", group, tuple(case[(i + j) % 3](f"text {n}") for j, n in enumerate(numbers)))
        for i, (group, numbers) in enumerate(made)
    ]
    names = connected(rows, str).names
    expected = by_joining_pairs(rows)
    assert len(set(zip(names, expected, strict=True))) == len(set(names)) == len(set(expected))
    for name, number in zip(names, expected, strict=True):  # called after the least of what its rows could be called
        members = [row for row, other in zip(rows, expected, strict=True) if other == number]
        assert name == min(row.group or next(iter(row.texts), row.own) for row in members)
    order = list(range(len(rows)))
    Random(0).shuffle(order)
    assert connected([rows[i] for i in order], str).names == [names[i] for i in order]


def names_of(*rows: tuple[str | None, tuple[str, ...]]) -> list[int]:
    """The groups of rows as numbers in the order in which they appear."""
    names = connected([Links(f"row {i}", *row) for i, row in enumerate(rows)], str).names
    return [list(dict.fromkeys(names)).index(name) for name in names]


def test_texts_are_compared_without_case_spaces_and_compatible_characters() -> None:
    assert normalised(" Ｔhe\u00a0ﬁne  STRASSE\n") == normalised("the fine straße") == "the fine strasse"
    assert names_of((None, ("A b",)), (None, ("a  B",)), (None, ("",)), (None, (" ",))) == [0, 0, 1, 2]


def test_a_group_is_a_name_and_no_text() -> None:
    """Two authors may be called x and X; an author called like a text shares nothing with it."""
    assert names_of(("x", ()), ("X", ()), (None, ("y", "x")), ("x", ("z",))) == [0, 1, 2, 0]


def test_a_stock_phrase_links_nothing_gives_no_name_and_is_told() -> None:
    num = 10 * STOCK_ROWS
    rows = [Links(f"{i:04}", None, ("None of these.", *([f"text {i // 2}"] if i % 10 else []))) for i in range(num)]
    names, stock = connected(rows, str)
    assert stock == {"none of these.": num}
    assert names == [f"text {i // 2}" if i % 10 else f"{i:04}" for i in range(num)]
    few = [Links(f"{i:04}", None, ("None of these.",)) for i in range(STOCK_ROWS)]
    assert connected(few, str) == (["None of these."] * STOCK_ROWS, {})  # a small source may be one passage


def test_a_named_group_always_links_however_large() -> None:
    assert set(connected([Links(f"{i:04}", "one", ()) for i in range(1000)], str).names) == {"one"}


def test_no_rows() -> None:
    assert connected([], str) == ([], {})
