"""The notebooks run, and what they show is what they give."""

from __future__ import annotations

import math
import re
from pathlib import Path
from typing import Any

import pytest
from notebooks import FOLDER, NOTEBOOKS, code_cells, read, run_alone
from test_doc_links import FOREIGN, LINK

NUMBER = re.compile(r"[-−]?\d*\.?\d+(?:e[-+]\d+)?")
KEY = re.compile(r"\b[0-9a-f]{12,64}\b")
ROUNDING = 0.02  # AUROCs of small test sets on other hardware: training amplifies rounding


def name(path: Path) -> str:
    return path.stem


def texts_of(outputs: list[dict[str, Any]]) -> list[str]:
    """The printed text and the values as text, of one cell."""
    found = []
    for one in outputs:
        found.append("".join(one["text"] if one["output_type"] == "stream" else one["data"]["text/plain"]))
    return found


def same(shown: str, given: str) -> bool:
    """Equal words in the same order, keys aside; numbers up to what other hardware may change."""
    one, two = (KEY.sub("KEY", text.replace("−", "-")) for text in (shown, given))
    words, again = (NUMBER.sub("0", text).split() for text in (one, two))
    numbers = [tuple(map(float, pair)) for pair in zip(NUMBER.findall(one), NUMBER.findall(two), strict=False)]
    close = all(math.isclose(a, b, abs_tol=max(ROUNDING, 0.02 * abs(a))) for a, b in numbers)
    return words == again and close


def test_there_are_three() -> None:
    assert [path.stem for path in NOTEBOOKS] == ["first-steps", "read-a-study", "your-own-loss"]


@pytest.mark.parametrize("path", NOTEBOOKS, ids=name)
def test_a_notebook_is_one_that_jupyter_opens(path: Path) -> None:
    notebook = read(path)
    assert (notebook["nbformat"], notebook["nbformat_minor"]) == (4, 5)
    assert notebook["metadata"]["kernelspec"]["language"] == "python"
    ids = [cell["id"] for cell in notebook["cells"]]
    assert len(set(ids)) == len(ids)
    for cell in notebook["cells"]:
        expected = {"id", "cell_type", "metadata", "source"}
        assert set(cell) == expected | ({"execution_count", "outputs"} if cell["cell_type"] == "code" else set())
        assert all(line.endswith("\n") for line in cell["source"][:-1])
    assert [cell["execution_count"] for cell in code_cells(notebook)] == list(range(1, len(code_cells(notebook)) + 1))
    assert path.stat().st_size < 200_000


@pytest.mark.parametrize("path", NOTEBOOKS, ids=name)
def test_its_links_lead_somewhere_and_name_nothing_of_the_place_where_it_was_written(path: Path) -> None:
    cells = read(path)["cells"]
    text = "".join(line for cell in cells for line in [*cell["source"], *texts_of(cell.get("outputs", []))])
    for target in LINK.findall(text):
        assert re.match(r"[a-z]+:", target) or (FOLDER / target.partition("#")[0]).resolve().exists(), target
    for pattern in FOREIGN:
        assert not re.search(pattern, text), pattern


@pytest.fixture(scope="module")
def all_given(tmp_path_factory: pytest.TempPathFactory) -> dict[str, list[list[dict[str, Any]]]]:
    return run_alone(tmp_path_factory.mktemp("notebooks"))


@pytest.mark.slow
@pytest.mark.parametrize("path", NOTEBOOKS, ids=name)
def test_it_shows_what_it_gives(path: Path, all_given: dict[str, list[list[dict[str, Any]]]]) -> None:
    shown = [cell["outputs"] for cell in code_cells(read(path))]
    given = all_given[path.stem]
    assert len(given) == len(shown)
    compared = 0
    for number, (one, two) in enumerate(zip(shown, given, strict=True), start=1):
        assert [sorted(out.get("data", [])) for out in one] == [sorted(out.get("data", [])) for out in two], number
        for text, again in zip(texts_of(one), texts_of(two), strict=True):
            assert same(text, again), f"{path.name}, cell {number} gives\n{again}\nand shows\n{text}"
            compared += 1
    assert compared >= 3


def test_a_changed_table_would_be_found() -> None:
    assert same("tiny-home  0.812 −0.1\nkey 0123456789ab", "tiny-home  0.815 -0.1\nkey ba9876543210")
    for other in ("tiny-home  0.9 −0.1\nkey 0123456789ab", "tiny-pet  0.812 −0.1\nkey 0123456789ab", "tiny-home 0.812"):
        assert not same("tiny-home  0.812 −0.1\nkey 0123456789ab", other)
