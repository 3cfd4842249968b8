"""Standard output and error of another encoding than UTF-8, closed or full; a working folder that is not UTF-8."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

import outshine

SOURCES = Path(outshine.__file__).parents[1]
FULL = Path("/dev/full")
RUN = (
    "run --dataset tiny-home --weak tiny/weak --strong tiny/strong --n-train 64 --n-val 16 --n-test 32 "
    "--set training.epochs=1 --set runtime.threads=1 --allow-leaks"
)
needs_full = pytest.mark.skipif(not FULL.exists(), reason="no /dev/full")


def shell(line: str, cwd: Path, **environment: str) -> subprocess.CompletedProcess[bytes]:
    """A line of bash in which `outshine` is the command of these sources."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("OUTSHINE_", "PYTHON"))}
    own = {"PYTHONPATH": str(SOURCES), "HOME": str(cwd), "HF_HUB_OFFLINE": "1", "OMP_NUM_THREADS": "1"}
    command = f'outshine() {{ "{sys.executable}" -m outshine "$@"; }}\n{line}'
    return subprocess.run(
        ["bash", "-c", command], cwd=cwd, env={**kept, **own, **environment}, capture_output=True, timeout=300
    )


@pytest.mark.parametrize("command", ["ls --json", "models"])
def test_closed_output_is_no_fault(command, tmp_path):
    ended = shell(f"outshine {command} >&-", tmp_path)
    assert (ended.returncode, ended.stdout, ended.stderr) == (0, b"", b"")


@needs_full
@pytest.mark.parametrize("command", ["ls", "ls --json", "--help", "--version"])
def test_full_output_is_one_line_on_the_error_stream(command, tmp_path):
    ended = shell(f"outshine {command} >/dev/full", tmp_path)
    assert (ended.returncode, ended.stderr) == (
        2, b"outshine: cannot write to standard output (No space left on device)\n",
    )  # fmt: skip


@pytest.mark.slow
@needs_full
@pytest.mark.parametrize("where", ["2>/dev/full", "<&- >&- 2>&-"])
def test_a_lost_error_stream_ends_nothing(where, tmp_path):
    """The whole run, with its progress and notes; and an error that nobody can be told keeps its code."""
    assert shell(f"outshine {RUN} {where}", tmp_path).returncode == 0
    assert (tmp_path / "outshine-out" / "report.html").is_file()
    assert shell(f"outshine verify {where}", tmp_path).returncode == 0  # no file got the number of a closed stream
    assert shell(f"outshine report nowhere {where}", tmp_path).returncode == 2


@pytest.mark.slow
@needs_full
def test_a_lost_output_loses_no_file(tmp_path):
    assert shell(f"outshine {RUN} >/dev/full 2>/dev/full", tmp_path).returncode == 2
    assert (tmp_path / "outshine-out" / "report.html").is_file()


@pytest.mark.slow
def test_a_reader_that_leaves_early_is_no_fault(tmp_path):
    ended = shell('outshine losses | true; echo "${PIPESTATUS[0]}"', tmp_path)
    assert (ended.stdout, ended.stderr) == (b"0\n", b"")


@pytest.mark.slow
@pytest.mark.parametrize("encoding", ["latin-1", "ascii"])
def test_another_encoding_is_written_in(encoding, tmp_path):
    ended = shell(f"outshine {RUN} --set notes='[Ünï − Σ 日本]'", tmp_path, PYTHONIOENCODING=encoding)
    assert ended.returncode == 0, ended.stderr
    printed = ended.stdout.decode(encoding)
    assert "Test ROC AUC" in printed
    assert "tables, study.yaml and report" in printed
    assert "?" not in printed  # each sign of our own has a form in ASCII
    planned = shell("outshine plan demo --offline", tmp_path, PYTHONIOENCODING=encoding)
    assert planned.returncode == 0, planned.stderr
    assert "?" not in planned.stdout.decode(encoding)


@pytest.mark.slow
def test_json_is_json_in_any_encoding(tmp_path):
    rows = [{"text": f"{'日本' if number % 2 else 'é 👨‍👩‍👧'} {number}", "label": number % 2} for number in range(120)]
    (tmp_path / "mine.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    line = "outshine datasets show mine.jsonl --json --n-train 64 --n-val 16 --n-test 16"
    documents = [
        json.loads(shell(line, tmp_path, PYTHONIOENCODING=name).stdout.decode(name)) for name in ("utf-8", "ascii")
    ]
    assert documents[0] == documents[1]
    assert "日本" in json.dumps(documents[1], ensure_ascii=False)


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "darwin", reason="its file system takes no such name")
def test_a_working_folder_that_is_not_utf8(tmp_path):
    """Results go to a store elsewhere; a store, or rows, in such a folder are refused in a line."""
    here = Path(os.fsdecode(os.fsencode(tmp_path) + b"/not\xffutf8"))
    here.mkdir()
    away = {"OUTSHINE_STORE": str(tmp_path / "store")}
    (here / "mine.jsonl").write_text('{"text": "one", "label": 0}\n{"text": "two", "label": 1}\n')
    assert shell(f"outshine {RUN}", here, **away).returncode == 0
    for command in ("plan demo --offline", "report"):
        ended = shell(f"outshine {command}", here, **away)
        assert ended.returncode == 0, ended.stderr
    for command in ("plan demo --offline --store s", "run --dataset mine.jsonl --weak tiny/weak --strong tiny/strong"):
        ended = shell(f"outshine {command}", here, **({} if "--store" in command else away))
        assert ended.returncode == 2
        assert b"is not UTF-8; rename it" in ended.stderr.splitlines()[-1]
        assert b"Traceback" not in ended.stderr
