"""The blocks of the pages that are not marked otherwise run, and print what the pages show."""

from __future__ import annotations

from pathlib import Path

import pytest
from doc_blocks import SHELL
from doc_pages import ROOT, Block, blocks
from page_runs import Ran, not_printed, pages_to_run, run_pages, shape


@pytest.fixture(scope="module")
def all_ran(tmp_path_factory: pytest.TempPathFactory) -> dict[Path, list[Ran]]:
    return run_pages(pages_to_run(), tmp_path_factory.mktemp("pages"))


@pytest.mark.slow
@pytest.mark.parametrize("page", pages_to_run(), ids=lambda page: page.relative_to(ROOT).as_posix())
def test_the_page_runs_and_prints_what_it_shows(page: Path, all_ran: dict[Path, list[Ran]]) -> None:
    ran = all_ran[page]
    failed = [f"{one.block.where}: {one.codes}\n{one.printed}" for one in ran if any(one.codes)]
    assert not failed, "\n".join(failed)
    wrong = [f"{shown.where}: {line}" for shown, printed in outputs(page, ran) for line in not_printed(shown, printed)]
    assert not wrong, "shown on the page and not printed:\n" + "\n".join(wrong)


def outputs(page: Path, ran: list[Ran]) -> list[tuple[Block, str]]:
    """Each text block whose commands were run, and what these printed: those of the block before it.

    Under another heading a text is no output of what ran above it.
    """
    printed = {one.block.line: one.printed for one in ran}
    headings = [n for n, line in enumerate(page.read_text(encoding="utf-8").splitlines(), 1) if line.startswith("#")]
    found, last, ran_at = [], None, 0
    for block in blocks(page, "python", "text", *SHELL):
        if block.language != "text":
            last, ran_at = printed.get(block.line), block.line + block.text.count("\n") + 1  # its end
        elif last is not None and not any(ran_at < number < block.line for number in headings):
            found.append((block, last))
    return found


def test_an_output_that_was_not_printed_is_found() -> None:
    printed = "│ tiny-home │ .675 [.622, .724] │ 0.60 [0.42, 0.75] │\nfinished: 12 stages in first\n"

    def shown(text: str) -> Block:
        return Block("text", text, "README.md", 1)

    assert not_printed(shown("│ tiny-home │ .7 [.6, .8] │ 0.5 [0.4, 0.9] │\n…\nfinished: 3 stages …\n"), printed) == []
    assert not_printed(shown("│ tiny-pet │ .7 [.6, .8] │ 0.5 [0.4, 0.9] │\n"), printed) == [
        "│ tiny-pet │ .7 [.6, .8] │ 0.5 [0.4, 0.9] │"
    ]
    assert not_printed(shown("finished: 3 steps …\n"), printed) == ["finished: 3 steps …"]
    assert shape("│ a │ -0.5 [.1, 1,000] │ 0123456789ab │") == "a 0 [0, 0] KEY"
