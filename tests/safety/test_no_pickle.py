"""Nothing in the sources runs what a file says, and nothing that a study leaves is a pickle."""

from __future__ import annotations

import io
import json
from collections.abc import Callable
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from dangers import dangers
from safetensors.torch import load

import outshine
from small_study import small_study

SOURCES = sorted(Path(outshine.__file__).parent.rglob("*.py"))
READERS: dict[str, Callable[[bytes], object]] = {
    ".json": json.loads,
    ".parquet": lambda content: pq.ParquetFile(io.BytesIO(content)),
    ".safetensors": load,
    **dict.fromkeys((".csv", ".yaml", ".html"), bytes.decode),
}

PLANTED = [
    "import pickle",
    "import pickle as quick",
    "from pickle import loads",
    "import dill",
    "import joblib",
    "from joblib import dump",
    "import shelve",
    "import marshal",
    "import cloudpickle.cloudpickle",
    "import importlib\nimportlib.import_module('pickle')",
    "__import__('pickle')",
    "torch.load(path)",
    "torch.load(path, weights_only=True)",
    "torch.save(state, path)",
    "from torch import load",
    "np.load(path, allow_pickle=True)",
    "np.savez(path, a=a, allow_pickle=True)",
    "pd.read_pickle(path)",
    "frame.to_pickle(path)",
    "eval(text)",
    "exec(text)",
    "builtins.exec(text)",
    "exec(compile(text, '', 'exec'))",
    "yaml.load(text)",
    "yaml.load(text, Loader=yaml.Loader)",
    "yaml.load(text, yaml.UnsafeLoader)",
    "yaml.unsafe_load(text)",
    "yaml.full_load(text)",
    "subprocess.run(command, shell=True)",
    "os.system(command)",
    "os.popen(command)",
    "AutoModel.from_pretrained(folder, trust_remote_code=True)",
]
HARMLESS = [
    "model.eval()",
    "re.compile(pattern)",
    "np.load(path, allow_pickle=False)",
    "yaml.safe_load(text)",
    "yaml.load(text, Loader=yaml.SafeLoader)",
    "subprocess.run(command)",
    "json.load(file)",
    "AutoModel.from_pretrained(folder, trust_remote_code=ref.trust_remote_code)",
]


@pytest.mark.parametrize("source", PLANTED)
def test_the_search_finds_what_is_planted(source):
    assert dangers(f"x = 1\n\ndef f():\n    {source.replace(chr(10), chr(10) + '    ')}\n")


@pytest.mark.parametrize("source", HARMLESS)
def test_the_search_lets_the_harmless_be(source):
    assert not dangers(source)


def test_no_source_runs_what_a_file_says():
    assert len(SOURCES) > 150
    found = {str(path): dangers(path.read_text(encoding="utf-8")) for path in SOURCES}
    assert {path: lines for path, lines in found.items() if lines} == {}


@pytest.mark.slow
def test_every_file_of_a_study_is_of_an_open_format(tmp_path_factory):
    """By its ending, and by being read as what the ending says."""
    ran = small_study(tmp_path_factory.getbasetemp())
    files = [path for folder in (ran.out, ran.store) for path in folder.rglob("*") if path.is_file()]
    assert len(files) > 100
    files = [path for path in files if path.suffix != ".sqlite"]  # the index, which a listing makes and SQLite reads
    assert {path.suffix for path in files} == {*READERS, ".lock"}
    for path in files:
        content = path.read_bytes()
        assert path.suffix != ".lock" or content == b""
        READERS.get(path.suffix, len)(content)
