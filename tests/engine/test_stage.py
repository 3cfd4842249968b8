"""Stages as values: keys, inputs, order."""

from __future__ import annotations

import hashlib
import json
from typing import Annotated, ClassVar

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from outshine.engine.settings import NotInKey
from outshine.engine.stage import Context, Stage, in_order


class Source(Stage):
    stage: ClassVar[str] = "source"
    n: int = 1

    def run(self, context: Context) -> None:
        (context.folder / "n.txt").write_text(str(self.n))


class Combine(Stage):
    stage: ClassVar[str] = "combine"
    parts: tuple[Source, ...]
    hint: Annotated[Source | None, NotInKey()] = None

    def run(self, context: Context) -> None:
        total = sum(int(context.store.file(part.key, "n.txt").read_text()) for part in self.parts)
        (context.folder / "total.txt").write_text(str(total))


class Newer(Source):
    VERSION: ClassVar[int] = 2


def test_key_depends_on_name_version_fields_and_inputs():
    assert Source(n=1).key == Source().key
    assert Source(n=1).key != Source(n=2).key
    assert Newer(n=1).key != Source(n=1).key
    assert Combine(parts=(Source(n=1),)).key != Combine(parts=(Source(n=2),)).key


def test_order_of_inputs_counts():
    a, b = Source(n=1), Source(n=2)
    assert Combine(parts=(a, b)).key != Combine(parts=(b, a)).key


def test_inputs_are_found_in_fields_once_and_unhashed_ones_are_none():
    a, b = Source(n=1), Source(n=2)
    assert Combine(parts=(a, b, a), hint=Source(n=9)).inputs() == [a, b]


def test_in_order_puts_inputs_first_and_each_stage_once():
    a, b = Source(n=1), Source(n=2)
    first, second = Combine(parts=(a, b)), Combine(parts=(b,))
    ordered = in_order([first, second, first])
    assert ordered == [a, b, first, second]


def test_stages_are_frozen_and_refuse_unknown_fields():
    with pytest.raises(ValidationError):
        Source(n=1).n = 2  # type: ignore[misc]
    with pytest.raises(ValidationError):
        Source(m=1)  # type: ignore[call-arg]


class Link(Stage):
    stage: ClassVar[str] = "link"
    n: int
    before: tuple[Link, ...] = ()

    def run(self, context: Context) -> None: ...


@st.composite
def graphs(draw: st.DrawFn) -> list[Link]:
    """Links that read earlier ones, some of them twice; some equal to each other and yet not the same object."""
    links: list[Link] = []
    for _ in range(draw(st.integers(1, 12))):
        before = draw(st.lists(st.sampled_from(links), max_size=3)) if links else []
        links.append(Link(n=draw(st.integers(0, 2)), before=tuple(before)))
    return links


def key_by_hand(link: Link) -> str:
    fields = {"n": link.n, "before": [{"stage": key_by_hand(one)} for one in link.before]}
    text = json.dumps({"stage": "link", "version": 1, "fields": fields}, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()


def order_by_hand(links: list[Link]) -> list[str]:
    ordered: list[str] = []
    for link in links:
        for key in [*order_by_hand(list(link.before)), key_by_hand(link)]:
            if key not in ordered:
                ordered.append(key)
    return ordered


@given(graphs(), st.randoms(use_true_random=False))
def test_keys_inputs_and_order_of_any_graph_are_those_of_a_plain_recursion(links, random):
    asked = random.sample(links, random.randint(1, len(links)))
    assert [stage.key for stage in in_order(asked)] == order_by_hand(asked)
    for link in links:
        assert link.key == key_by_hand(link)
        assert [one.key for one in link.inputs()] == list(dict.fromkeys(map(key_by_hand, link.before)))


@pytest.mark.slow
def test_a_chain_of_100_000_stages_has_a_key_and_an_order():
    last = Link(n=0)
    for n in range(1, 100_000):
        last = Link(n=n, before=(last,))
    assert [stage.n for stage in in_order([last])] == list(range(100_000))


def test_a_changed_copy_has_a_key_and_inputs_of_its_own():
    a, b = Source(n=1), Source(n=2)
    whole = Combine(parts=(a,))
    assert whole.key
    assert whole.inputs() == [a]
    copied = whole.model_copy(update={"parts": (b,)})
    assert copied.key == Combine(parts=(b,)).key
    assert copied.inputs() == [b]
    assert whole.model_copy().key == whole.key
