"""Records of findings."""

from __future__ import annotations

import json

import pytest

from outshine.data.audit.findings import EXAMPLE_CHARS, Finding, by_auc, example, leaks, measured, worst_first
from outshine.stats.intervals import Interval


def test_a_finding_survives_json():
    for finding in (
        Finding("a", "leak", "told", 0.5, 0.25, 0.75, ("one", "two")),
        Finding("b", "passed", "fine"),
    ):
        assert Finding.from_json(json.loads(json.dumps(finding.to_json()))) == finding


def test_the_worst_come_first_and_keep_their_order():
    findings = [
        Finding(str(i), severity, "") for i, severity in enumerate(["passed", "cue", "leak", "warning", "leak"])
    ]
    assert [finding.check for finding in worst_first(findings)] == ["2", "4", "3", "1", "0"]
    assert [finding.check for finding in leaks(findings)] == ["2", "4"]


def test_a_measured_finding_has_the_intervals_numbers():
    finding = measured("length", "cue", "long", Interval(0.7, 0.6, 0.8))
    assert (finding.value, finding.low, finding.high) == (0.7, 0.6, 0.8)


def test_an_example_is_one_short_line_that_keeps_both_ends():
    assert example("a\n\nb", label="positive") == "[positive] a ⏎ b"
    line = example("begin " + "x" * 1000 + " end", label="negative")
    assert line.startswith("[negative] begin")
    assert line.endswith(" end")
    assert len(line) < EXAMPLE_CHARS + 20


@pytest.mark.parametrize(
    ("value", "low", "severity"),
    [
        *[(1.0, 0.95, "leak"), (0.92, 0.901, "leak"), (0.92, 0.90, "warning"), (0.85, 0.81, "warning")],
        *[
            (0.98, 0.3, "warning"),
            (0.979, 0.5, "passed"),
            (0.7, 0.61, "cue"),
            (0.7, 0.6, "passed"),
            (0.2, 0.1, "passed"),
        ],
    ],
)
def test_an_auc_of_form_is_judged_by_its_lower_bound_or_where_it_is_nearly_perfect(value, low, severity):
    assert by_auc(Interval(value, low, 1.0), "leak") == severity
    assert by_auc(Interval(value, low, 1.0), "warning") == severity.replace("leak", "warning")


def test_an_example_shows_what_cannot_be_seen():
    assert example("a\u00a0b\u200b\r\n c\t", label="positive") == "[positive] a⟨U+00A0⟩b⟨U+200B⟩⟨U+000D⟩ ⏎  c⟨U+0009⟩"
