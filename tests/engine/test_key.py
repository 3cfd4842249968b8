"""Canonical keys: equal values, equal keys; anything else, another key."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Annotated

import pytest
from hypothesis import given
from hypothesis import strategies as st

from outshine.engine import key as key_module
from outshine.engine.key import canonical, digest
from outshine.engine.settings import NotInKey, NotInKeyAtDefault, Plugin, Settings


class Inner(Settings):
    x: float = 1.0


class Outer(Settings):
    inner: Inner = Inner()
    names: tuple[str, ...] = ()
    path: Annotated[str, NotInKey()] = "here"


class Grown(Settings):
    inner: Inner = Inner()
    names: tuple[str, ...] = ()
    later: Annotated[tuple[str, ...] | None, NotInKeyAtDefault()] = None


class Named(Plugin):
    kind = "named"
    x: float = 1.0


def test_digest_is_sha256_of_sorted_compact_json():
    expected = hashlib.sha256(json.dumps({"a": [1, 2.5, None, True], "b": "é"}, separators=(",", ":")).encode())
    assert digest({"b": "é", "a": (1, 2.5, None, True)}) == expected.hexdigest()


def test_defaults_are_written_as_values():
    assert canonical(Outer()) == {"inner": {"x": 1.0}, "names": []}
    assert digest(Outer()) == digest(Outer(inner=Inner(x=1.0)))


def test_a_changed_nested_value_changes_the_key():
    assert digest(Outer(inner=Inner(x=2.0))) != digest(Outer())


def test_fields_marked_as_not_in_key_do_not_count():
    assert digest(Outer(path="there")) == digest(Outer(path="here"))


def test_a_field_that_came_later_counts_where_it_is_set():
    assert digest(Grown()) == digest(Outer())
    assert canonical(Grown(later=("a",))) == {"inner": {"x": 1.0}, "names": [], "later": ["a"]}
    assert digest(Grown(later=())) != digest(Grown())


def test_plugins_of_equal_fields_and_different_names_differ():
    assert canonical(Named()) == {"kind": "named", "x": 1.0}
    assert digest(Named()) != digest(Inner())


def test_an_int_given_for_a_float_is_the_same_value():
    assert digest(Inner(x=1)) == digest(Inner(x=1.0))


@pytest.mark.parametrize("value", [Path("x"), {1, 2}, object(), b"x", {1: "a"}])
def test_what_has_no_canonical_form_raises(value):
    with pytest.raises(TypeError):
        canonical(value)


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf")])
def test_floats_that_are_not_finite_raise(value):
    with pytest.raises(ValueError, match="canonical"):
        canonical({"x": value})


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=10,
)


@given(json_values, json_values)
def test_digests_are_equal_exactly_where_json_is(a, b):
    same = json.dumps(a, sort_keys=True) == json.dumps(b, sort_keys=True)
    assert (digest(a) == digest(b)) is same


@pytest.mark.parametrize("kept", [1, 3, 4096])
def test_a_form_that_is_kept_is_never_taken_for_another_values(monkeypatch, kept):
    """Values come and go, and their ids with them."""
    monkeypatch.setattr(key_module, "_KEPT", kept)
    monkeypatch.setattr(key_module, "_forms", {})
    shared = Outer(names=("shared",))
    for x in range(5000):
        found = digest([shared, Inner(x=x), Named(x=x + 0.5)])
        expected = [{"inner": {"x": 1.0}, "names": ["shared"]}, {"x": float(x)}, {"kind": "named", "x": x + 0.5}]
        text = json.dumps(expected, sort_keys=True, separators=(",", ":"))
        assert found == hashlib.sha256(text.encode()).hexdigest()
    assert len(key_module._forms) <= kept
