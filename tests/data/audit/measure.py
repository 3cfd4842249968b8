"""Measures every statistic of the audit on all datasets that the hub has, and on planted leaks.

    python tests/data/audit/measure.py [DATASET ...]

prints the tables of docs/audit.md. HF_ENDPOINT names the hub. Without arguments: every recipe whose rows can be had,
at default sizes, then the planted recipes over real rows. Seconds are of CPU time.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Sequence
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from planted import (
    AQuarterMarked,
    DoubleSpace,
    LetterOrText,
    SpelledAtTheBeginning,
    SpelledAtTheEnd,
    SpelledBeforeTheQuestion,
)

from outshine.data.audit.audit import audit
from outshine.data.audit.findings import Finding
from outshine.data.schema import Recipe, recipes
from outshine.data.splits import SplitSettings, prepare
from outshine.engine.errors import HubError

CHECKS = [
    "format",
    "last tokens",
    "characters",
    "normalisation",
    "pairs of marks",
    "telling tokens",
    "skeletons",
    "near duplicates",
    "bag of words",
    "answer only",
    "length",
]
PLANTED = [LetterOrText, SpelledAtTheEnd, SpelledBeforeTheQuestion, SpelledAtTheBeginning, DoubleSpace, AQuarterMarked]


def cell(finding: Finding | None) -> str:
    """Value and bounds, in bold where it is a leak or a warning."""
    if finding is None or finding.value is None:
        return "–"
    bounds = "" if finding.low is None else f" [{finding.low:.3f}, {finding.high:.3f}]"
    text = f"{finding.value:.3f}{bounds}"
    return f"**{text}**" if finding.severity in ("leak", "warning") else text


def line(name: str, recipe: Recipe) -> str:
    """One row of the table. Raises HubError where the rows cannot be had."""
    prepared = prepare(recipe, recipe.identify(), SplitSettings())
    began = time.process_time()
    findings = {finding.check: finding for finding in audit(prepared, recipe)}
    seconds = time.process_time() - began
    cells = [cell(findings.get(check)) for check in CHECKS]
    return " | ".join(["", name, f"{len(prepared.texts):,}", *cells, f"{seconds:.1f}", ""]).strip()


def say(text: str) -> None:
    """One line of the output, at once."""
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


def print_table(named: Sequence[tuple[str, Recipe]]) -> None:
    header = ["dataset", "rows", *CHECKS, "seconds"]
    say(f"| {' | '.join(header)} |\n|{'---|' * len(header)}")
    missing = []
    for name, recipe in named:
        try:
            say(line(name, recipe))
        except HubError:
            missing.append(name)
    if missing:
        say(f"\nNot at this hub: {', '.join(missing)}.")


if __name__ == "__main__":
    import sklearn.linear_model
    import sklearn.tree  # noqa: F401 -- imported once, before the clock runs

    names = sys.argv[1:] or [name for name, _ in recipes if name not in ("file", "hub")]
    print_table([(name, recipes.get(name)()) for name in names])
    if not sys.argv[1:]:
        say("")
        print_table([(cls.__name__, cls()) for cls in PLANTED])
