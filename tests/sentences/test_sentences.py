"""Every sentence that a command can print is printed where it is true, and not where it would be false."""

from __future__ import annotations

import audit_claims
import compare_claims
import label_claims
import ladder_claims
import overlap_claims
import preparation_claims
import pytest
import report_claims
import run_claims
import score_claims
import select_claims
from claim import SOURCE, Claim, sentences_in

COMMANDS = (
    run_claims,
    preparation_claims,
    report_claims,
    compare_claims,
    label_claims,
    ladder_claims,
    select_claims,
    score_claims,
    audit_claims,
    overlap_claims,
)
CLAIMS = [claim for command in COMMANDS for claim in command.CLAIMS]
MODULES = [module for command in COMMANDS for module in command.MODULES]


@pytest.mark.slow
@pytest.mark.parametrize("claim", CLAIMS, ids=lambda claim: claim.says[:60])
def test_it_is_said_where_it_is_true_and_only_there(claim: Claim):
    assert claim.is_in(claim.true())
    if claim.untrue is None:
        assert claim.defines, "a sentence that no case could make false says why"
    else:
        assert not claim.defines
        assert not claim.is_in(claim.untrue())


@pytest.mark.parametrize("module", MODULES)
def test_no_sentence_of_the_source_is_missing_from_the_list(module: str):
    listed = {claim.says for claim in CLAIMS}
    assert [text for text in sentences_in(module) if text not in listed] == []


def test_the_list_speaks_of_sentences_that_are_in_the_source():
    written = {text for module in MODULES for text in sentences_in(module)}
    assert [claim.says for claim in CLAIMS if claim.says not in written] == []


def test_modules_are_listed_once():
    assert len(MODULES) == len(set(MODULES))
    assert all((SOURCE / module).is_file() for module in MODULES)
