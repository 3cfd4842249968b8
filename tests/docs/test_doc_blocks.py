"""Every Python and shell block is run by a test or says why it is not; what is not run is checked as far as it can be."""

from __future__ import annotations

import re

import pytest
from doc_blocks import REASONS, RUN_ELSEWHERE, SHELL, Line, indented_commands, lines_of, run_here, trouble
from doc_commands import command_of
from doc_pages import MARK, PAGES, ROOT, Block, all_blocks, blocks

BLOCKS = all_blocks("python", *SHELL)
SHELL_LINES = [line for block in BLOCKS if block.language in SHELL for line in lines_of(block)]
NOT_MINE = {"docs/performance.md"}  # its commands are indented; they are checked like those of marked blocks


def where(found: Block | Line) -> str:
    return found.where if isinstance(found, Block) else f"{found.block.where} {' '.join(found.words[:3])}"


@pytest.mark.parametrize("block", [block for block in BLOCKS if block.not_run], ids=where)
def test_a_mark_gives_a_known_reason(block: Block) -> None:
    assert block.not_run in REASONS, f"{block.where}: '{block.not_run}' is none of {', '.join(REASONS)}"


def test_every_mark_stands_on_the_line_above_a_block_that_could_be_run() -> None:
    for page in PAGES:
        lines = page.read_text(encoding="utf-8").splitlines()
        marks = [number for number, line in enumerate(lines) if MARK.match(line)]
        assert len(marks) == sum(block.not_run is not None for block in blocks(page, "python", *SHELL)), page


@pytest.mark.parametrize("block", [b for b in BLOCKS if run_here(b) and b.language in SHELL], ids=where)
def test_a_block_without_a_mark_has_commands_of_outshine_only(block: Block) -> None:
    """These the runner of test_doc_run.py runs, all of them; it can run nothing else."""
    lines = lines_of(block)
    assert lines, f"{block.where}: nothing to run; is it a text block?"
    others = [line.words[0] for line in lines if line.words[0] != "outshine"]
    assert not others, f"{block.where}: {others} cannot be run here; write <!-- not run: REASON --> above the block"


@pytest.mark.parametrize("line", [one for one in SHELL_LINES if one.words[0] != "outshine"], ids=where)
def test_other_programs_are_called_with_what_there_is(line: Line) -> None:
    if line.block.page not in RUN_ELSEWHERE:
        assert trouble(line) is None, f"{line.block.where}: {trouble(line)}"
    if line.words[0] == "torchrun":
        words = line.words[line.words.index("-m") + 1 :]
        command, rest = command_of(words[1:])
        command.make_context("outshine", list(rest))


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_no_command_hides_in_indented_code(page) -> None:
    found = indented_commands(page.read_text(encoding="utf-8"))
    if page.relative_to(ROOT).as_posix() in NOT_MINE:
        for command in found:
            words = command.partition(" #")[0].split()
            assert words[0] == "outshine" or trouble(Line(words, BLOCKS[0])) is None, command
    else:
        assert not found, f"fence it as sh, and mark it where it cannot be run: {found[0]}"


def test_every_block_has_a_language() -> None:
    for page in PAGES:
        text = page.read_text(encoding="utf-8")
        languages = re.findall(r"^```(.*)$", text, flags=re.MULTILINE)[::2]
        known = {"python", "yaml", "toml", "text", "json", "csv", "html", "latex", "markdown", *SHELL}
        assert set(languages) <= known, f"{page.name}: {set(languages) - known}"


def test_a_block_that_breaks_the_rules_would_be_seen() -> None:
    block = Block("sh", "make coffee\n", "README.md", 1)
    assert run_here(block)
    assert [line.words[0] for line in lines_of(block)] == ["make"]
    assert trouble(lines_of(block)[0]) == "no target coffee"
    assert not run_here(block._replace(not_run="takes minutes"))
    assert indented_commands("text\n\n    outshine run post\n") == ["outshine run post"]
