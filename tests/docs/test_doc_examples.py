"""The files of docs/extend.md, put into the tree of outshine as CONTRIBUTING says."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from doc_pages import ROOT
from strangers import environment, files, run_all

# The folders of built-in plugins as if the new files lay in them.
AS_IF_IN_THE_TREE = """
import sys
from importlib import import_module
from pathlib import Path

for folder in Path("src/outshine").rglob("*"):
    if folder.is_dir():
        module = import_module(".".join(folder.relative_to("src").parts))
        module.__path__.append(str(folder.absolute()))
"""


def places() -> list[tuple[str, str]]:
    """Path and decorator of each row of the table in CONTRIBUTING."""
    text = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
    return re.findall(r"^\| \w+ \| `(src/\S+\.py)` \| `(@\w+\.register\(.*?\))` \|", text, flags=re.MULTILINE)


@pytest.mark.slow
def test_an_example_in_the_tree_is_found_by_its_decorator(tmp_path: Path) -> None:
    """Each file of docs/extend.md at the place, and with the decorator, that CONTRIBUTING says."""
    sources = {Path(block.file or "").name: block.text for block in files("python")}
    assert len(places()) == 6
    for path, decorator in places():
        registry = decorator[1:].partition(".")[0]
        package = ".".join(Path(path).parent.relative_to("src").parts)
        home = "outshine.data.schema" if registry == "recipes" else package
        plugin = re.compile(r"^class \w+\((?:Loss|Probe|Filter|PromptedRecipe|Method|Metric)\):$", flags=re.MULTILINE)
        text, changed = plugin.subn(
            lambda found, decorator=decorator: f"{decorator}\n{found[0]}", sources[Path(path).name]
        )
        assert changed == 1, path
        made = tmp_path / path
        made.parent.mkdir(parents=True, exist_ok=True)
        made.write_text(f"from {home} import {registry}\n{text}", encoding="utf-8")
    commands = [["losses"], ["probes"], ["filters"], ["methods"], ["metrics"], ["datasets"]]
    done = run_all(commands, tmp_path, environment(tmp_path), before=AS_IF_IN_THE_TREE)
    for (command,), one, name in zip(
        commands, done, ("gce", "mass_mean", "confident", "committee", "brier", "commonsense_qa"), strict=True
    ):
        assert one.code == 0, one.err
        assert f"│ {name} " in one.out, command
