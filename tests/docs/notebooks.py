"""The notebooks of docs/notebooks, executed cell by cell in one namespace. Run as a script to store their outputs anew.

Plain Python does what is needed of Jupyter: a cell's prints, and the value of its last line as text, HTML or PNG. A
kernel, its client and their sockets would be a dozen packages for the same outputs. The notebooks are run in a process of
their own, since they register plugins, one after the other: `python tests/docs/notebooks.py --show`.
"""

from __future__ import annotations

import ast
import base64
import io
import json
import os
import subprocess
import sys
import tempfile
from contextlib import redirect_stdout
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
FOLDER = ROOT / "docs" / "notebooks"
NOTEBOOKS = sorted(FOLDER.glob("*.ipynb"))
_DPI = 80


def read(path: Path) -> dict[str, Any]:
    return json.loads(path.read_text(encoding="utf-8"))


def code_cells(notebook: dict[str, Any]) -> list[dict[str, Any]]:
    return [cell for cell in notebook["cells"] if cell["cell_type"] == "code"]


def execute(notebook: dict[str, Any], name: str) -> list[list[dict[str, Any]]]:
    """The outputs of each code cell, in the notebook format (nbformat 4)."""
    import pandas as pd

    pd.set_option("display.width", 200, "display.max_columns", None)  # no column is left out of what is compared
    namespace: dict[str, Any] = {"__name__": "__main__"}
    return [
        _run("".join(cell["source"]), f"{name}, cell {number}", namespace, number)
        for number, cell in enumerate(code_cells(notebook), start=1)
    ]


def _run(source: str, where: str, namespace: dict[str, Any], number: int) -> list[dict[str, Any]]:
    body = ast.parse(source, where).body
    last = body.pop() if body and isinstance(body[-1], ast.Expr) else None
    printed, value = io.StringIO(), None
    with redirect_stdout(printed):
        exec(compile(ast.Module(body, []), where, "exec"), namespace)
        if last is not None:
            value = eval(compile(ast.Expression(last.value), where, "eval"), namespace)
    outputs: list[dict[str, Any]] = []
    if printed.getvalue():
        outputs.append({"name": "stdout", "output_type": "stream", "text": _lines(printed.getvalue())})
    if value is not None:
        shown = {"data": _shown(value), "execution_count": number, "metadata": {}}
        outputs.append({**shown, "output_type": "execute_result"})
    return outputs


def _shown(value: Any) -> dict[str, Any]:
    from matplotlib.figure import Figure

    if isinstance(value, Figure):
        from outshine.report.figures import png

        return {"image/png": base64.b64encode(png(value, _DPI)).decode(), "text/plain": ["<Figure>"]}
    html = getattr(value, "_repr_html_", None)
    return {**({"text/html": _lines(html())} if html else {}), "text/plain": _lines(repr(value))}


def _lines(text: str) -> list[str]:
    return text.splitlines(keepends=True)


def run_alone(folder: Path) -> dict[str, list[list[dict[str, Any]]]]:
    """The outputs of each notebook, run in one process, each in a folder with a store of its own below `folder`."""
    own = {"OMP_NUM_THREADS": "1", "PYTHONWARNINGS": "error", "PYTHONPATH": str(ROOT / "src")}
    done = subprocess.run(
        [sys.executable, __file__, "--show"],
        cwd=folder,
        env={**os.environ, **own},
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        raise RuntimeError(f"a notebook fails:\n{done.stderr}")
    return json.loads(done.stdout)


def show() -> dict[str, list[list[dict[str, Any]]]]:
    """The outputs of each notebook, run below the current folder."""
    found, base = {}, Path.cwd()
    for path in NOTEBOOKS:
        place = base / path.stem
        place.mkdir()
        os.chdir(place)
        os.environ["OUTSHINE_STORE"] = str(place / "store")
        found[path.stem] = execute(read(path), path.name)
    return found


def store_outputs() -> None:
    """Execute the notebooks and write their outputs into them."""
    with tempfile.TemporaryDirectory() as folder:
        found = run_alone(Path(folder))
    for path in NOTEBOOKS:
        notebook = read(path)
        for number, (cell, outputs) in enumerate(zip(code_cells(notebook), found[path.stem], strict=True), start=1):
            cell["execution_count"], cell["outputs"] = number, outputs
        path.write_text(json.dumps(notebook, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")


if __name__ == "__main__":
    if sys.argv[1:2] == ["--show"]:
        json.dump(show(), sys.stdout)
    else:
        store_outputs()
