"""The pages' commands and examples, run in their order: a folder for each page."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

from doc_blocks import SHELL, lines_of, run_here
from doc_pages import PAGES, ROOT, Block, all_blocks, blocks
from strangers import UNDRAWN, environment

from outshine.w2s.study_file import presets

# One process for all pages: what takes longest is importing torch. A step is the arguments of outshine, or Python.
RUN = f"""
import io, json, os, sys, traceback
from contextlib import redirect_stderr, redirect_stdout

from outshine.cli.main import main
{UNDRAWN}
done = []
for folder, steps in json.load(sys.stdin):
    os.chdir(folder)
    os.environ["OUTSHINE_STORE"] = os.path.join(folder, "store")
    names = {{"__name__": "__main__"}}
    for step in steps:
        out, err = io.StringIO(), io.StringIO()
        with redirect_stdout(out), redirect_stderr(err):
            code = 0
            try:
                if isinstance(step, str):
                    exec(compile(step, "block", "exec"), names)
                else:
                    sys.argv = ["outshine", *step]
                    main()
            except SystemExit as stop:
                code = stop.code or 0
            except BaseException:
                traceback.print_exc()
                code = 1
        done.append([code, out.getvalue(), err.getvalue()])
json.dump(done, sys.stdout)
"""

OFFLINE = {"HF_HUB_OFFLINE": "1"}
# Less than the pages say, since only the shapes of the lines that they show are compared. The presets' kNN asks
# 200 neighbours; a study file stays as it is.
SHORTER = ["--set", "training.epochs=1"]
SMALLER = ["--n-train", "420", "--n-val", "60", "--n-test", "200", *SHORTER]


class Ran(NamedTuple):
    """A block that was run: what each of its commands ended with, and all that it printed."""

    block: Block
    codes: list[int]
    printed: str


def pages_to_run() -> list[Path]:
    """The pages with a block that has to be run."""
    return [page for page in PAGES if any(run_here(block) for block in blocks(page, "python", *SHELL))]


def run_pages(pages: list[Path], folder: Path) -> dict[Path, list[Ran]]:
    """Run each page's unmarked blocks in an empty store, offline, beside the files that the pages speak of."""
    places = {page: folder / str(number) for number, page in enumerate(pages)}
    steps = {page: [(block, step) for block in _wanted(page) for step in _steps(block)] for page in pages}
    for page, place in places.items():
        place.mkdir()
        lay_out(page, place)
    done = subprocess.run(
        [sys.executable, "-c", RUN],
        input=json.dumps([[str(places[page]), [step for _, step in own]] for page, own in steps.items()]),
        cwd=folder,
        env=environment(folder, HF_HOME=str(folder / "hf"), **OFFLINE),
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    ended = iter(json.loads(done.stdout))
    ran = {page: [(block, next(ended)) for block, _ in own] for page, own in steps.items()}
    assert next(ended, None) is None
    return {
        page: [_ran(block, [one for b, one in ran[page] if b == block]) for block in _wanted(page)] for page in pages
    }


def _wanted(page: Path) -> list[Block]:
    return [block for block in blocks(page, "python", *SHELL) if run_here(block)]


def _ran(block: Block, ended: list[tuple[int, str, str]]) -> Ran:
    return Ran(block, [one[0] for one in ended], "\n".join(one[1] + one[2] for one in ended))


def _steps(block: Block) -> list[list[str] | str]:
    if block.language == "python":
        return [block.text]
    return [[*words, *_less(words)] for words in (line.words[1:] for line in lines_of(block))]


def _less(words: list[str]) -> list[str]:
    if words[0] != "run" or words[1].endswith(".yaml"):
        return []
    return SMALLER if words[1] in presets() else SHORTER


def lay_out(page: Path, folder: Path) -> None:
    """The study files of all pages, those of this page over others, and data files as the pages name them."""
    own = page.relative_to(ROOT).as_posix()
    for block in sorted(all_blocks("yaml"), key=lambda block: block.page == own):
        if block.file:
            (folder / block.file).write_text(block.text, encoding="utf-8")
    rows = made_up(1600)
    (folder / "mine.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    weak = "".join(f"{row['id']},{0.7 if row['label'] else 0.4}\n" for row in rows)
    (folder / "weak.csv").write_text("id,p_weak\n" + weak, encoding="utf-8")
    reviews = "".join(f"{row['text']},{row['label']},{row['group']}\n" for row in rows)
    (folder / "reviews.csv").write_text("body,stars_high,author\n" + reviews, encoding="utf-8")
    teams = ("billing", "delivery", "returns")
    tickets = "".join(f"{row['text']},{teams[number % 7 % 3]}\n" for number, row in enumerate(rows))
    (folder / "tickets.csv").write_text("body,team\n" + tickets, encoding="utf-8")
    better = "".join(
        f"topic {number // 5},{row['text']},a reply to {number},{'ab'[number % 2]}\n" for number, row in enumerate(rows)
    )
    (folder / "arguments.csv").write_text("topic,a,b,label\n" + better, encoding="utf-8")


def made_up(num_rows: int) -> list[dict[str, object]]:
    """Rows of two classes that a bag of words tells apart half-way, each text once, two of an author."""
    from outshine.engine.rng import numpy_rng

    rng = numpy_rng("made-up rows of the pages", 0)
    good, bad, other = ("fine", "lovely", "warm"), ("dull", "cold", "slow"), ("film", "song", "play", "book", "day")
    rows: list[dict[str, object]] = []
    for number in range(num_rows):
        label = number % 2
        told = (good if rng.random() < (0.8 if label else 0.2) else bad)[rng.integers(3)]
        text = f"a {told} {other[rng.integers(5)]} that number {number} saw"
        rows.append({"id": f"row{number}", "text": text, "label": label, "group": f"author{number // 2}"})
    return rows


def shape(line: str) -> str:
    """A printed line without frames and spaces, its numbers and keys blotted out."""
    line = re.sub(r"\b[0-9a-f]{12,64}\b", "KEY", line)
    line = re.sub(r"\d{4}-\d\d-\d\dT[\d:.+]+", "TIME", line)
    line = re.sub(r"[−-]?[\d.,]*\d", "0", line)
    return " ".join(re.sub(r"[│┃┏┓┡┩└┘┌┐├┤━─┳╇┴┬┼╈]+", " ", line).split())


def not_printed(shown: Block, printed: str) -> list[str]:
    """The lines of an output on a page that no printed line is like. `…` stands for anything."""
    lines = {shape(line) for line in printed.splitlines()}
    missing = []
    for line in shown.text.splitlines():
        pattern = ".*".join(re.escape(shape(part)) for part in line.split("…"))
        if shape(line.replace("…", "")) and not any(
            re.fullmatch(pattern.replace(r"\ .*", r".*"), one) for one in lines
        ):
            missing.append(line)
    return missing
