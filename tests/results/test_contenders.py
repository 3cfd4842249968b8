"""Which methods are compared, their names, and which one a baseline's name means."""

from __future__ import annotations

import pytest

from outshine.engine.errors import SettingsError, UnknownNameError
from outshine.results.names import Contender, contenders, find_baseline, labels
from study_tables import student

XENT = Contender("vanilla", "", 0, "xent")
LOGCONF = Contender("vanilla", "", 0, "logconf")
SOFTER = Contender("vanilla", "alpha=.3", 0, "logconf")
SECOND = Contender("strong_to_strong", "", 2, "xent")
FILTERED = Contender("filtered", "", 0, "xent")
RELABELLED = Contender("probe_to_strong", "", 0, "xent")
PROBE = Contender("probe", "", 0, "")


def find(wanted: str, *several: Contender) -> Contender:
    return find_baseline(wanted, {one: one for one in several}, labels(several))


def test_names_leave_out_what_all_have_in_common():
    assert list(labels([XENT, LOGCONF, SOFTER]).values()) == ["xent", "logconf", "logconf alpha=.3"]
    assert list(labels([XENT, FILTERED, PROBE]).values()) == ["vanilla xent", "filtered xent", "probe"]
    assert list(labels([XENT, FILTERED, SECOND]).values()) == ["vanilla", "filtered", "strong_to_strong round 2"]
    assert list(labels([LOGCONF, SOFTER]).values()) == ["logconf", "logconf alpha=.3"]
    assert list(labels([PROBE]).values()) == ["probe"]


@pytest.mark.parametrize(
    ("wanted", "found"),
    [
        ("xent", XENT),
        ("logconf", LOGCONF),
        ("logconf alpha=.3", SOFTER),
        ("alpha=.3", SOFTER),
        ("strong_to_strong", SECOND),
        ("filtered xent", FILTERED),
        ("probe", PROBE),
    ],
)
def test_a_baseline_is_the_plainest_method_with_these_words(wanted, found):
    assert find(wanted, SECOND, FILTERED, XENT, LOGCONF, SOFTER, PROBE) == found


def test_an_exact_name_comes_first():
    assert find("logconf", LOGCONF, SOFTER) == LOGCONF


def test_a_baseline_that_is_not_there_or_could_be_two():
    with pytest.raises(UnknownNameError, match=r"unknown baseline 'xnt'; did you mean 'xent'\? known: logconf, xent"):
        find("xnt", XENT, LOGCONF)
    with pytest.raises(UnknownNameError, match="baseline ''"):
        find("", XENT, LOGCONF)
    with pytest.raises(SettingsError, match="'xent' could be filtered xent or probe_to_strong xent; name one"):
        find("xent", FILTERED, RELABELLED, LOGCONF)


def test_the_same_student_under_two_names_is_one_contender():
    """Round 0 of strong-to-strong training is the vanilla student: not compared with itself, found by both names."""
    vanilla = student("a", 0.8)
    double = {**student("a", 0.8, method="strong_to_strong"), "key": vanilla["key"]}
    retrained = student("a", 0.8, method="strong_to_strong", round=1)
    known = contenders([vanilla, double, retrained])
    first, second, third = known
    assert known == {first: first, second: first, third: third}
    named = labels([first, third])
    assert find_baseline("strong_to_strong", known, named) == first
    assert find_baseline("round 1", known, named) == third


def test_a_method_that_shares_some_students_only_is_its_own_contender():
    rows = [student("a", 0.8), student("b", 0.8), student("a", 0.8, loss="window"), student("b", 0.9, loss="window")]
    rows[2]["key"] = rows[0]["key"]
    assert len(set(contenders(rows).values())) == 2
