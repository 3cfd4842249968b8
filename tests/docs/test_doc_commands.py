"""Commands, study files and names of settings on the pages are those that outshine knows."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import yaml
from doc_commands import PLUGINS, command_of, shown_commands
from doc_pages import all_blocks

from outshine.cli.find_study import build_study
from outshine.cli.options import StudyOptions, read_group
from outshine.w2s.study_file import parse_study

SHOWN = shown_commands()


@pytest.fixture(autouse=True)
def study_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The study files of the pages lie in the folder."""
    monkeypatch.chdir(tmp_path)
    for block in all_blocks("yaml"):
        assert block.file, f"{block.where}: a study file begins with a comment that names it"
        (tmp_path / block.file).write_text(block.text, encoding="utf-8")


def test_there_are_commands_to_check() -> None:
    assert len(SHOWN) > 20
    assert {shown.arguments[0] for shown in SHOWN} >= {
        "run",
        "plan",
        "demo",
        "ls",
        "show",
        "verify",
        "datasets",
        "tiny",
    }


@pytest.mark.parametrize(
    "shown", SHOWN, ids=[f"{shown.where} {shlexed}" for shown in SHOWN for shlexed in [" ".join(shown.arguments)]]
)
def test_a_shown_command_parses(shown) -> None:
    command, rest = command_of(list(shown.arguments))
    context = command.make_context("outshine", list(rest))
    options = read_group(StudyOptions, context.params)
    if command.name in ("run", "plan"):
        build_study(options)
    elif command.name == "demo":
        build_study(replace(options, study="demo"))


def test_a_wrong_command_or_option_would_be_found() -> None:
    with pytest.raises(LookupError, match="no command 'runn'"):
        command_of(["runn", "--dataset", "sciq"])
    command, rest = command_of(["run", "--data-set", "sciq"])
    with pytest.raises(Exception, match="No such option"):
        command.make_context("outshine", rest)


@pytest.mark.parametrize(
    "block", [block for block in all_blocks("yaml") if block.page != PLUGINS], ids=lambda block: block.where
)
def test_a_shown_study_file_is_a_study(block) -> None:
    parse_study(yaml.safe_load(block.text))
