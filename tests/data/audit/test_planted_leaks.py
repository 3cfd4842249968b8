"""The whole audit: planted leaks are caught, by the rule that should, and clean datasets pass."""

from __future__ import annotations

import random
from pathlib import Path

import pytest
from planted import (
    SIZES,
    AQuarterMarked,
    DoubleSpace,
    LetterOrText,
    LetterOrTextUndeclared,
    SpelledAtTheBeginning,
    SpelledAtTheEnd,
    SpelledBeforeTheQuestion,
    hub_of,
    made_pools,
    prepared_from,
    real_pools,
)

from outshine.data.audit.audit import audit
from outshine.data.audit.findings import Finding, leaks
from outshine.data.recipes.ethics_justice import EthicsJustice
from outshine.data.recipes.file import FileDataset
from outshine.data.recipes.openbookqa import OpenBookQA
from outshine.data.recipes.sciq import SciQ
from outshine.data.rows import ListRows, Pools
from outshine.data.schema import Recipe, recipes
from outshine.data.splits import SplitSettings, prepare

CAUGHT_BY = [  # by these at least: one mark is seen by several rules
    (LetterOrText, {"format", "last tokens", "telling tokens", "skeletons"}),
    (LetterOrTextUndeclared, {"format", "last tokens", "telling tokens"}),
    (SpelledAtTheEnd, {"format", "last tokens", "pairs of marks", "telling tokens"}),
    (SpelledBeforeTheQuestion, {"format", "last tokens", "pairs of marks", "telling tokens"}),
    (SpelledAtTheBeginning, {"pairs of marks", "telling tokens"}),
    (DoubleSpace, {"format", "characters", "telling tokens"}),
    (AQuarterMarked, {"telling tokens"}),
]
CLEAN_TWINS = [OpenBookQA, EthicsJustice, SciQ]
HUB_RECIPES = [name for name, cls in recipes if cls.hub is not None]
TINY = [name for name, _ in recipes if name.startswith("tiny-")]


def alarms(findings: list[Finding]) -> dict[str, str]:
    return {finding.check: finding.message for finding in findings if finding.severity in ("leak", "warning")}


@pytest.mark.slow
@pytest.mark.parametrize(("planted", "rules"), CAUGHT_BY, ids=lambda value: getattr(value, "__name__", ""))
def test_planted_leaks_are_caught_in_made_up_rows(planted, rules, monkeypatch):
    recipe: Recipe = planted()
    findings = audit(prepared_from(recipe, made_pools(recipe), monkeypatch), recipe)
    assert {finding.check for finding in leaks(findings)} >= rules
    assert all(finding.examples for finding in leaks(findings))


@pytest.mark.slow
@pytest.mark.parametrize("clean", CLEAN_TWINS)
def test_their_clean_twins_pass_on_the_same_rows(clean, monkeypatch):
    recipe: Recipe = clean()
    assert alarms(audit(prepared_from(recipe, made_pools(recipe), monkeypatch), recipe)) == {}


@pytest.mark.slow
@pytest.mark.hub
@pytest.mark.parametrize(("planted", "rules"), CAUGHT_BY, ids=lambda value: getattr(value, "__name__", ""))
def test_planted_leaks_are_caught_in_real_rows(planted, rules, real_datasets: Path, monkeypatch):
    recipe: Recipe = planted()
    findings = audit(prepared_from(recipe, real_pools(recipe, real_datasets), monkeypatch), recipe)
    assert {finding.check for finding in leaks(findings)} >= rules


@pytest.mark.slow
@pytest.mark.hub
@pytest.mark.parametrize("name", HUB_RECIPES)
def test_no_recipe_is_accused_on_its_real_rows(name, real_datasets: Path, monkeypatch):
    recipe = recipes.get(name)()
    findings = audit(prepared_from(recipe, real_pools(recipe, real_datasets), monkeypatch), recipe)
    assert alarms(findings) == {}
    values = {finding.check: finding.value for finding in findings}
    assert values["telling tokens"] <= 0.02  # as measured: a fifth of what is refused
    assert values.get("skeletons", 0.0) == 0.0
    assert ("skeletons" in values) == recipe.draws_label


@pytest.mark.slow
@pytest.mark.parametrize("name", TINY)
def test_the_embedded_tasks_pass_at_their_default_size(name):
    recipe = recipes.get(name)()
    findings = audit(prepare(recipe, recipe.identify(), SplitSettings()), recipe)
    assert alarms(findings) == {}
    assert all(finding.severity == "passed" for finding in findings)


def test_in_a_file_of_the_users_own_form_is_a_warning_only(monkeypatch):
    rows = [{"text": f"number {i} is {'odd' if i % 2 else 'even'}", "label": i % 2} for i in range(2000)]
    monkeypatch.setattr(FileDataset, "open", lambda self, identity: Pools(ListRows(rows), None))
    recipe = FileDataset(path="mine.jsonl")
    findings = audit(prepare(recipe, "rows of a test", SIZES), recipe)
    assert leaks(findings) == []
    assert {"last tokens", "telling tokens"} <= set(alarms(findings))


@pytest.mark.parametrize("seed", range(6))
def test_small_and_odd_datasets_are_audited_all_the_same(seed, monkeypatch):
    """The fewest rows that are allowed, signs for words, and texts of one character: too little to accuse anyone."""
    rng = random.Random(seed)
    texts = sorted({"".join(rng.choices("ab .\n!é漢1", k=rng.randint(1, 6))) for _ in range(400)})
    rows = [{"text": text, "label": i % 2} for i, text in enumerate(texts) if text.strip()]
    monkeypatch.setattr(FileDataset, "open", lambda self, identity: Pools(ListRows(rows[:40]), None))
    recipe = FileDataset(path="mine.jsonl")
    findings = audit(prepare(recipe, "rows of a test", SplitSettings(n_train=16, n_val=8, n_test=8)), recipe)
    assert leaks(findings) == []
    assert "format" not in alarms(findings)


@pytest.mark.slow
def test_the_same_rows_give_the_same_findings(monkeypatch):
    recipe = SciQ()
    prepared = prepared_from(recipe, made_pools(recipe), monkeypatch)
    assert audit(prepared, recipe) == audit(prepared, recipe)


def test_every_planted_recipe_names_the_hub_of_its_clean_twin():
    assert {hub_of(planted()) for planted, _ in CAUGHT_BY} == {hub_of(clean()) for clean in CLEAN_TWINS}
