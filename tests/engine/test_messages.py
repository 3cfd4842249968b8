"""Text on its way to people: every character of it is seen, and it is no longer than promised."""

from __future__ import annotations

import json
import sys
import unicodedata

import pytest

from outshine.engine.errors import OutshineError
from outshine.engine.messages import MOST_CHARACTERS, one_line, shows, visible, visible_json

DIRECTION = "\u061c\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069"
INVISIBLE = "\u00ad\u034f\u115f\u180e\u200b\u200c\u200d\u2060\u2063\u3164\ufe0f\ufeff\uffa0\ufff9\U000e0041\U000e0100"
WRITTEN = [  # as people write them, joiners and forms included
    "é ñ 日本語 عربي עברית",
    "می‌خواهم",
    "क्‍ष",
    "👨‍👩‍👧 ❤️ 1️⃣ 🏳️‍🌈",
    "a\u00a0b\u2009c\u3000d",
    "two\nlines\tand a tab",
]


@pytest.mark.parametrize("mark", [*DIRECTION, *INVISIBLE, "\x1b", "\x9b", "\u2028", "\udcff", "\ue000", "\uffff"])
def test_what_is_not_seen_is_written_out(mark):
    assert visible(f"a{mark}b") == f"a{ascii(mark)[1:-1]}b".replace("\\x", "\\u00")
    assert not shows(f"a{mark}b")
    assert json.loads(visible_json(json.dumps(f"a{mark}b", ensure_ascii=False))) == f"a{mark}b"
    assert mark not in visible_json(json.dumps(f"a{mark}b", ensure_ascii=False))


@pytest.mark.slow
def test_no_character_of_a_category_that_does_not_show_passes():
    unseen = {"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"}
    for number in range(sys.maxunicode + 1):
        one = chr(number)
        passes = visible(one) == one
        if unicodedata.category(one) in unseen and not 0x1F000 <= number < 0x1FB00:
            assert passes == (one in "\n\t"), hex(number)


@pytest.mark.parametrize("text", WRITTEN)
def test_what_people_write_stays_as_it_is(text):
    assert visible(text) == text
    assert shows(text) == ("\n" not in text)


def test_joiners_hide_nothing_in_a_latin_name():
    assert visible("ab\u200dcd") == "ab\\u200dcd"
    assert visible("x\ufe0fy\u200c") == "x\\ufe0fy\\u200c"


@pytest.mark.parametrize("text", ["\x01" * 5000, "\U000e0041" * 5000, "a" * 5000, "\u202e" + "a" * 1999])
def test_a_message_is_no_longer_than_promised(text):
    assert len(one_line(text)) <= MOST_CHARACTERS + 3
    assert len(str(OutshineError(text))) <= MOST_CHARACTERS + 3


def test_a_short_message_is_whole():
    assert one_line("a\nb  c") == "a b c"
    assert one_line("x" * MOST_CHARACTERS) == "x" * MOST_CHARACTERS
