"""What a code host shows of the project agrees with the project: citation, versions, forms, workflow, hooks."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path
from typing import Any

import pytest
import yaml
from doc_pages import ROOT

PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
FORMS = [path for path in sorted((ROOT / ".github/ISSUE_TEMPLATE").glob("*.yml")) if path.name != "config.yml"]
NAMING = [
    "SECURITY.md",
    "CONTRIBUTING.md",
    ".github/ISSUE_TEMPLATE/bug.yml",
    ".github/ISSUE_TEMPLATE/feature.yml",
    ".github/PULL_REQUEST_TEMPLATE.md",
]
EXAMPLES = (
    "gce",
    "mass_mean",
    "confident",
    "commonsense_qa",
    "costly",
    "committee",
    "brier",
)  # of docs/extend.md: not in the tree


def read(path: str) -> Any:
    return yaml.safe_load((ROOT / path).read_text(encoding="utf-8"))


def test_the_citation_is_of_this_project() -> None:
    citation = read("CITATION.cff")
    assert citation["version"] == PROJECT["version"]
    assert citation["license"] == PROJECT["license"]
    assert citation["keywords"] == PROJECT["keywords"]
    assert citation["authors"] == PROJECT["authors"]


def test_the_readme_cites_what_the_citation_does() -> None:
    cited = (ROOT / "README.md").read_text(encoding="utf-8").partition("## Citing")[2]
    references = read("CITATION.cff")["references"]
    assert len(references) == 2
    for one in references:
        assert one["title"] in cited
        assert str(one["year"]) in cited
        assert one["url"].removeprefix("https://arxiv.org/abs/") in cited


def test_the_pythons_that_are_claimed_are_those_that_must_pass() -> None:
    """A version that the workflow only tries is no classifier, and the oldest is the one that is required."""
    matrix = read(".github/workflows/ci.yml")["jobs"]["ci"]["strategy"]["matrix"]
    claimed = re.findall(r"Python :: (3\.\d+)", "\n".join(PROJECT["classifiers"]))
    assert claimed == matrix["python"]
    assert matrix["experimental"] == [False]
    assert all(one["experimental"] for one in matrix["include"])
    assert not {one["python"] for one in matrix["include"]} & set(claimed)
    assert PROJECT["requires-python"] == f">={claimed[0]}"
    assert len(set(PROJECT["classifiers"])) == len(PROJECT["classifiers"])


@pytest.mark.parametrize("form", FORMS, ids=lambda path: path.stem)
def test_a_form_has_what_the_host_demands(form: Path) -> None:
    """Of GitHub's rules those that are easily broken: a host shows a form that breaks one as an error."""
    found = yaml.safe_load(form.read_text(encoding="utf-8"))
    assert found["name"]
    assert found["description"]
    fields = [part for part in found["body"] if part["type"] != "markdown"]
    assert {part["type"] for part in fields} <= {"textarea", "input", "dropdown", "checkboxes"}
    assert len({part["id"] for part in fields}) == len(fields) > 0
    assert all(part["attributes"]["label"] for part in fields)


def test_the_hooks_are_tools_that_the_make_target_calls() -> None:
    (local,) = read(".pre-commit-config.yaml")["repos"]
    lint = (ROOT / "Makefile").read_text(encoding="utf-8").partition("\nlint:")[2].partition("\n\n")[0]
    called = {line.strip().removeprefix("$(BIN)/").removesuffix(" --check") for line in lint.splitlines()[1:]}
    hooked = {hook["entry"].removeprefix(".venv/bin/") for hook in local["hooks"]}
    assert hooked == {line for line in called if not line.startswith("pyright")}
    assert all(hook["language"] == "system" for hook in local["hooks"])


@pytest.mark.parametrize("page", NAMING)
def test_files_that_are_named_are_there(page: str) -> None:
    text = (ROOT / page).read_text(encoding="utf-8")
    named = set(re.findall(r"\b(?:tests|docs|src|website)/[\w/.-]*\w|\b[A-Z_]{4,}\.md\b", text))
    assert named
    there = {path for path in named if (ROOT / path).exists()}
    assert {path for path in named - there if Path(path).stem not in EXAMPLES} == set()
