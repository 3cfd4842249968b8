"""The package of docs/extend.md as an installer leaves it, and commands run in a process that finds it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import NamedTuple

from doc_pages import ROOT, Block, blocks

PAGE = ROOT / "docs" / "extend.md"

# Figures are made and not drawn: other tests look at them.
UNDRAWN = """
from outshine.report.figures import svg_png

svg_png._save = lambda figure, buffer, format, **options: buffer.write("<svg></svg>" if format == "svg" else b"")
"""

# One process for many commands: what takes longest is importing torch.
RUN_ALL = f"""
import io, json, sys
from contextlib import redirect_stderr, redirect_stdout

from outshine.cli.main import main
{UNDRAWN}
done = []
for arguments in json.load(sys.stdin):
    sys.argv = ["outshine", *arguments]
    out, err = io.StringIO(), io.StringIO()
    with redirect_stdout(out), redirect_stderr(err):
        try:
            main()
            code = 0
        except SystemExit as stop:
            code = stop.code or 0
    done.append([code, out.getvalue(), err.getvalue()])
json.dump(done, sys.stdout)
"""


class Done(NamedTuple):
    """A command that ran."""

    code: int
    out: str
    err: str


def files(language: str) -> list[Block]:
    """The blocks of the page that are files, by the comment of their first line."""
    return [block for block in blocks(PAGE, language) if block.file]


def install(site: Path) -> None:
    """The modules of the page, and a dist-info with the entry points of its project file."""
    (toml,) = files("toml")
    project = tomllib.loads(toml.text)["project"]
    for block in files("python"):
        assert block.file is not None
        folder, _, name = block.file.partition("/")
        if folder == "src":
            (site / name).parent.mkdir(parents=True, exist_ok=True)
            (site / name).write_text(block.text, encoding="utf-8")
            (site / name).with_name("__init__.py").touch()
    info = site / f"{project['name'].replace('-', '_')}-{project['version']}.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {project['name']}\nVersion: {project['version']}\n")
    groups = [
        f"[{group}]\n" + "".join(f"{name} = {target}\n" for name, target in entries.items())
        for group, entries in project["entry-points"].items()
    ]
    (info / "entry_points.txt").write_text("\n".join(groups))


def environment(folder: Path, site: Path | None = None, **more: str) -> dict[str, str]:
    """The environment of a process with a store in the folder, and with the package where `site` is given."""
    source = [str(site), str(ROOT / "src")] if site else [str(ROOT / "src")]
    own = {"OUTSHINE_STORE": str(folder / "store"), "OMP_NUM_THREADS": "1", "PYTHONWARNINGS": "error"}
    return {**os.environ, **own, "PYTHONPATH": os.pathsep.join(source), **more}


def run_all(commands: list[list[str]], folder: Path, env: dict[str, str], before: str = "") -> list[Done]:
    """`outshine` with each of these arguments, in one process of its own; `before`: Python that it runs first."""
    done = subprocess.run(
        [sys.executable, "-c", before + RUN_ALL],
        input=json.dumps(commands),
        cwd=folder,
        env=env,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return [Done(*one) for one in json.loads(done.stdout)]
