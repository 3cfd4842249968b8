"""Documents beside the artefacts: whole or not there, and never outside their folder."""

import pytest

from outshine.engine.errors import StoreError
from outshine.engine.store.store import Store

ESCAPES = [
    "",
    ".",
    "..",
    "../up",
    "a/b",
    "a\\b",
    "/etc/passwd",
    ".hidden",
    "a\x00b",
    "x" * 200,
    "a b",
    "naïve",
    "~root",
]


def test_the_last_writer_wins_and_what_is_removed_is_gone(tmp_path):
    documents = Store(tmp_path).documents("failures")
    assert documents.all() == {}
    assert documents.read("one") is None
    documents.write("one", {"n": 1})
    documents.write("two", {"n": 2})
    documents.write("one", {"n": 3, "text": "Fülle"})
    assert documents.all() == {"one": {"n": 3, "text": "Fülle"}, "two": {"n": 2}}
    documents.remove("one")
    documents.remove("one")
    assert documents.all() == {"two": {"n": 2}}


def test_what_cannot_be_read_is_as_if_it_were_not_there(tmp_path):
    documents = Store(tmp_path).documents("studies")
    documents.write("good", {})
    (tmp_path / "studies" / "cut.json").write_text('{"n": ')
    (tmp_path / "studies" / "list.json").write_text("[1]")
    (tmp_path / "studies" / ".half.json-12").write_text("{}")
    assert documents.all() == {"good": {}}


@pytest.mark.parametrize("name", ESCAPES)
def test_names_cannot_lead_out(name, tmp_path):
    store = Store(tmp_path / "store")
    with pytest.raises(StoreError, match="cannot name a document"):
        store.documents("running").write(name, {})
    with pytest.raises(StoreError, match="cannot name a document"):
        store.documents(name)
    assert not (tmp_path / "store").exists()


def test_a_lock_shows_while_it_is_held(tmp_path):
    store, key = Store(tmp_path), "ab" * 32
    assert not store.is_locked(key)
    with store.lock(key):
        assert Store(tmp_path).is_locked(key)
    assert not store.is_locked(key)
