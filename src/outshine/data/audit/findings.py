"""Findings of an audit: one record a check, with the measured value, its bounds and whether it passed."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Literal, NamedTuple

from outshine.stats.intervals import Interval

Severity = Literal["leak", "warning", "cue", "passed"]
SEVERITIES: tuple[Severity, ...] = ("leak", "warning", "cue", "passed")  # the worst first
LEAK_AUC = 0.90  # of the lower bound; clean datasets have .73 at most, planted leaks .997
WARNING_AUC = 0.80  # of the lower bound
CUE_AUC = 0.60  # of the lower bound
PERFECT_AUC = 0.98  # of the AUC itself, whatever its bounds
EXAMPLE_CHARS = 200  # of a text that is shown as an example


class Finding(NamedTuple):
    """The result of one check of a dataset.

    `severity`: a *leak* gives the label away by form alone, a run is refused; a *warning* needs a look; a *cue* is a
    regularity that an honest dataset may have, to be read beside the supervisor's AUC; *passed* is for the record.
    `value` is the statistic of the check (an AUC, a share), `low` and `high` its 95 % bounds where it has any.
    `message`: a sentence. `examples`: excerpts of rows that show it.
    """

    check: str
    severity: Severity
    message: str
    value: float | None = None
    low: float | None = None
    high: float | None = None
    examples: tuple[str, ...] = ()

    def to_json(self) -> dict[str, Any]:
        """The record as JSON types."""
        return {**self._asdict(), "examples": list(self.examples)}

    @classmethod
    def from_json(cls, record: dict[str, Any]) -> Finding:
        """Read what `to_json` wrote. Raises ValueError, TypeError or LookupError for anything else."""
        finding = cls(**{**record, "examples": tuple(record["examples"])})
        texts = (finding.check, finding.message, *finding.examples)
        numbers = [number for number in (finding.value, finding.low, finding.high) if number is not None]
        known = finding.severity in SEVERITIES and all(isinstance(text, str) for text in texts)
        if not known or not all(isinstance(number, int | float) for number in numbers):
            raise ValueError("a finding is of another form")
        return finding


def measured(check: str, severity: Severity, message: str, interval: Interval) -> Finding:
    """A finding whose statistic has a confidence interval."""
    return Finding(check, severity, message, interval.value, interval.low, interval.high)


def by_auc(interval: Interval, severity: Severity) -> Severity:
    """The severity of an AUC that is reached by form alone: `severity` where it is surely above LEAK_AUC.

    A warning above WARNING_AUC, and where nearly all pairs are ordered rightly but the rows are too few to be sure
    (PERFECT_AUC); a cue above CUE_AUC.
    """
    if interval.low > LEAK_AUC:
        return severity
    if interval.low > WARNING_AUC or interval.value >= PERFECT_AUC:
        return "warning"
    return "cue" if interval.low > CUE_AUC else "passed"


def leaks(findings: Iterable[Finding]) -> list[Finding]:
    """The findings for which a run is refused."""
    return [finding for finding in findings if finding.severity == "leak"]


def warnings(findings: Iterable[Finding]) -> list[Finding]:
    """The findings that need a look, though a run goes on."""
    return [finding for finding in findings if finding.severity == "warning"]


def worst_first(findings: Iterable[Finding]) -> list[Finding]:
    """Leaks, warnings, cues, passed checks; in the order of the checks within each."""
    return sorted(findings, key=lambda finding: SEVERITIES.index(finding.severity))


def example(text: str, label: str) -> str:
    """A row as one line: its label, and its text with the middle left out where it is long.

    Line breaks are shown as ⏎, characters that would not be seen by their numbers.
    """
    line = " ⏎ ".join(part for part in text.split("\n") if part)
    line = "".join(sign if sign.isprintable() else f"⟨U+{ord(sign):04X}⟩" for sign in line)
    if len(line) > EXAMPLE_CHARS:
        line = f"{line[: EXAMPLE_CHARS // 3]} … {line[-(2 * EXAMPLE_CHARS // 3) :]}"
    return f"[{label}] {line}"
