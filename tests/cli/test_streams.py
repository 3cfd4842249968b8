"""Standard output and error of another encoding than UTF-8, closed or full; a working folder that is not UTF-8."""

from __future__ import annotations

import io
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

import outshine as package

SOURCES = Path(package.__file__).parents[1]
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
def test_closed_streams_end_nothing(tmp_path):
    """The whole run, with its progress and notes."""
    closed = "<&- >&- 2>&-"
    assert shell(f"outshine {RUN} {closed}", tmp_path).returncode == 0
    assert (tmp_path / "outshine-out" / "report.html").is_file()
    assert shell(f"outshine verify {closed}", tmp_path).returncode == 0  # no file got the number of a closed stream


@pytest.mark.slow
@needs_full
def test_full_streams_lose_no_file(tmp_path):
    """Progress and notes that cannot be written end nothing; the output that is lost is in the code."""
    assert shell(f"outshine {RUN} >/dev/full 2>/dev/full", tmp_path).returncode == 2
    assert (tmp_path / "outshine-out" / "report.html").is_file()
    assert shell("outshine verify 2>/dev/full", tmp_path).returncode == 0


@needs_full
@pytest.mark.parametrize("where", ["2>/dev/full", "<&- >&- 2>&-"])
def test_an_error_that_nobody_can_be_told_keeps_its_code(where, tmp_path):
    assert shell(f"outshine gc --older-than soon {where}", tmp_path).returncode == 2


@pytest.mark.slow
def test_a_reader_that_leaves_early_is_no_fault(tmp_path):
    ended = shell('outshine losses | true; echo "${PIPESTATUS[0]}"', tmp_path)
    assert (ended.stdout, ended.stderr) == (b"0\n", b"")


@pytest.mark.slow
@pytest.mark.parametrize("encoding", ["latin-1", "ascii"])
def test_another_encoding_is_written_in(encoding, tmp_path):
    listed = shell("outshine datasets", tmp_path, PYTHONIOENCODING=encoding)
    assert listed.returncode == 0
    assert "tiny-home" in listed.stdout.decode(encoding)
    refused = shell("outshine gc --older-than 'Ünï − Σ 日本'", tmp_path, PYTHONIOENCODING=encoding)
    assert refused.returncode == 2
    assert {"latin-1": "Ünï - Sum ??", "ascii": "?n? - Sum ??"}[encoding] in refused.stderr.decode(encoding)


@pytest.mark.slow
@pytest.mark.parametrize("encoding", ["latin-1", "ascii"])
def test_each_sign_of_our_own_has_a_form_in_ascii(encoding, outshine, monkeypatch):
    for command in (f"{RUN} --set notes=[Σ]", "plan demo --offline"):
        printed = io.BytesIO()
        with monkeypatch.context() as patched:
            patched.setattr(sys, "stdout", io.TextIOWrapper(printed, encoding=encoding, write_through=True))
            ended = outshine(*command.split())
            assert ended.code == 0, ended.err
            text = printed.getvalue().decode(encoding)
        assert "tables, study.yaml and report" in text or "tokens" in text
        assert "?" not in text


@pytest.mark.slow
def test_json_is_json_in_any_encoding(outshine, tmp_path):
    rows = [{"text": f"{'日本' if number % 2 else 'é 👨‍👩‍👧'} {number}", "label": number % 2} for number in range(120)]
    (tmp_path / "mine.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    command = "datasets show mine.jsonl --json --n-train 64 --n-val 16 --n-test 16"
    document = json.loads(outshine(*command.split()).out)
    ascii_alone = shell(f"outshine {command}", tmp_path, PYTHONIOENCODING="ascii").stdout.decode("ascii")
    assert json.loads(ascii_alone) == document
    assert "日本" in json.dumps(document, ensure_ascii=False)


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "darwin", reason="its file system takes no such name")
def test_a_working_folder_that_is_not_utf8(outshine, tmp_path, monkeypatch):
    """Results go to a store elsewhere; a store, or rows, in such a folder are refused in a line."""
    here = Path(os.fsdecode(os.fsencode(tmp_path) + b"/not\xffutf8"))
    here.mkdir()
    (here / "mine.jsonl").write_text('{"text": "one", "label": 0}\n{"text": "two", "label": 1}\n')
    assert shell("outshine ls", here, OUTSHINE_STORE=str(tmp_path / "store")).returncode == 0
    monkeypatch.chdir(here)
    for command in (RUN, "plan demo --offline", "report"):
        ended = outshine(*command.split())
        assert ended.code == 0, ended.err
    for command in ("plan demo --offline --store s", "run --dataset mine.jsonl --weak tiny/weak --strong tiny/strong"):
        ended = outshine(*command.split())
        assert ended.code == 2
        assert "is not UTF-8; rename it" in ended.err.splitlines()[-1]
