"""Bad input: one clear line, exit code 2, nothing half-written."""

from __future__ import annotations

import errno
import json
import os
from pathlib import Path

import pytest
from own_rows import good_rows

TINY = ("--weak", "tiny/weak", "--strong", "tiny/strong")
SIZES = ("--n-train", "80", "--n-val", "40", "--n-test", "40")


def refused(outcome, *words: str) -> None:
    """One line on the error stream that says it, code 2, and neither tables nor artefacts of training."""
    assert outcome.code == 2, outcome
    last = [line for line in outcome.err.splitlines() if not line.startswith(("note: ", "["))]
    assert len(last) == 1, outcome.err
    assert last[0].startswith("outshine: ")
    for word in words:
        assert word in last[0]
    assert "Traceback" not in outcome.err
    assert not list(Path().glob("outshine-out/*"))
    assert not [path for path in Path("store/tmp").glob("*") if path.is_dir()]


def test_unknown_names_with_suggestions(outshine):
    refused(outshine("run", "--dataset", "scicq", *TINY), "unknown dataset 'scicq'", "did you mean 'sciq'")
    refused(outshine("run", "--dataset", "tiny-home", *TINY, "--loss", "logcnf"), "unknown loss", "'logconf'")
    refused(
        outshine("run", "--dataset", "tiny-home", "--weak", "tiny/week", "--strong", "tiny/strong"),
        "tiny/week",
        "tiny/weak",
    )
    refused(outshine("run", "demoo"), "did you mean 'demo'")
    refused(outshine("show", "abc"), "no artefact has a key beginning with 'abc'")


def test_a_run_without_dataset(outshine):
    refused(outshine("run", *TINY), "no dataset is named")


def test_misspelt_settings(outshine, tmp_path):
    study = tmp_path / "study.yaml"
    study.write_text("datasets: [tiny-home]\nweak: tiny/weak\nstrong: {model: tiny/strong, learning_rat: 1}\n")
    refused(outshine("run", str(study)), "unknown setting 'strong.learning_rat'; did you mean 'learning_rate'?")
    refused(outshine("run", "--dataset", "tiny-home", *TINY, "--set", "trainin.epochs=1"), "did you mean 'training'")
    refused(outshine("run", "--dataset", "tiny-home", *TINY, "--set", "training.epoch=1"), "did you mean 'epochs'")
    refused(outshine("run", "--dataset", "tiny-home", *TINY, "--seed", "0,one"), "--seed 0,one")
    refused(outshine("run", "--dataset", "tiny-home", *TINY, "--set", "runtime.device=tpu"), "runtime.device")


@pytest.mark.parametrize(
    ("rows", "word"),
    [
        ([{"text": f"row {i}", "label": 1} for i in range(100)], "both labels are needed"),
        (good_rows(12), "rows"),
        ([{"text": "", "label": i % 2} for i in range(100)], "no usable training row"),
        ([{"text": "   ", "label": i % 2} for i in range(100)], "no usable training row"),
        ([{"texts": "x", "label": 0}], "text"),
        ([{"text": "x", "label": 0.5}], "label"),
        ([{"text": "x", "label": None}], "label"),
        ([], "row"),
    ],
    ids=["one class", "few rows", "empty", "blank", "no column", "label .5", "label null", "no rows"],
)
def test_unusable_rows(outshine, rows_file, rows, word):
    refused(outshine("run", "--dataset", rows_file(rows), *TINY, *SIZES), "mine", word)


def test_files_that_cannot_be_read(outshine, tmp_path):
    refused(outshine("run", "--dataset", "none.csv", *TINY), "none.csv")
    (tmp_path / "bad.jsonl").write_text('{"text": "a", "label": 1}\n{oops\n')
    refused(outshine("run", "--dataset", "bad.jsonl", *TINY), "bad.jsonl", "2")
    (tmp_path / "bad.parquet").write_bytes(b"PAR1 nonsense")
    refused(outshine("run", "--dataset", "bad.parquet", *TINY), "bad.parquet")


@pytest.mark.parametrize("p", [float("nan"), 1.5, -0.1, "high", None])
def test_unusable_weak_labels(outshine, rows_file, p):
    labels = [{"text": row["text"], "p_weak": 0.5} for row in good_rows()]
    labels[7]["p_weak"] = p
    data, weak = rows_file(good_rows()), rows_file(labels, "weak.jsonl")
    refused(outshine("run", "--dataset", data, *TINY, *SIZES, "--set", f"labels={weak}"), "weak.jsonl", "p_weak")


def test_weak_labels_that_lack_rows(outshine, rows_file):
    weak = rows_file([{"text": row["text"], "p_weak": 0.5} for row in good_rows()[:20]], "weak.jsonl")
    refused(
        outshine("run", "--dataset", rows_file(good_rows()), *TINY, *SIZES, "--set", f"labels={weak}"), "strong_train"
    )
    refused(outshine("run", "--dataset", "tiny-home", *TINY, "--set", "labels=none.csv"), "none.csv")


def test_models_that_cannot_be_used(outshine, tmp_path, monkeypatch):
    def model(name: str, **config: object) -> str:
        (tmp_path / name).mkdir()
        (tmp_path / name / "config.json").write_text(json.dumps(config))
        return f"./{name}"

    data = ("--dataset", "tiny-home", "--weak", "tiny/weak", "--n-train", "40", "--n-val", "20", "--n-test", "20")
    llama = {"model_type": "llama", "num_hidden_layers": 2, "hidden_size": 8, "num_attention_heads": 2}
    refused(outshine("run", *data, "--strong", "./nowhere"), "no folder './nowhere'")
    refused(outshine("run", *data, "--strong", model("empty")), "model_type")
    refused(outshine("run", *data, "--strong", model("t5", is_encoder_decoder=True, num_layers=2)), "encoder-decoder")
    unsafe = model("unsafe", **llama)
    (tmp_path / "unsafe" / "pytorch_model.bin").write_bytes(b"x")
    refused(outshine("run", *data, "--strong", unsafe), "no safetensors weights", "pytorch_model.bin")
    broken = model("broken", **llama)
    (tmp_path / "broken" / "model.safetensors").write_bytes(b"x")
    refused(outshine("run", *data, "--strong", broken), "tokenizer")
    refused(outshine("run", *data, "--strong", "tiny/strong", "--set", "strong.num_layers=99"), "num_layers = 99")
    refused(outshine("run", *data, "--strong", "tiny/strong", "--set", "strong.max_length=99999"), "max_length")
    refused(
        outshine("run", *data, "--strong", "tiny/strong", "--set", "strong.trust_remote_code=some/other"),
        "trust_remote_code",
    )


def test_an_out_folder_that_cannot_be_written_is_found_out_first(outshine, tmp_path):
    (tmp_path / "taken").write_text("x")
    outcome = outshine("run", "--dataset", "tiny-home", *TINY, "--out", "taken")
    refused(outcome, "cannot write to the folder taken")
    assert not Path("store").exists()


def test_files_that_no_run_and_no_labelling_wrote_are_not_written_over(outshine, rows_file):
    path = rows_file([{"text": f"text {i}", "label": i % 2} for i in range(9)])
    text = f"# my notes\ndatasets: [{{kind: file, path: {path}}}]\nweak: tiny/weak\nstrong: tiny/strong\n"
    Path("study.yaml").write_text(text)
    refused(outshine("run", "study.yaml", "--out", "."), "'study.yaml' is there, no run wrote it", "another folder")
    assert Path("study.yaml").read_text() == text
    mine = Path("clean") / Path(path).name
    mine.parent.mkdir()
    mine.write_text("mine")
    labelled = outshine("label", path, "--label", "label", "--strong", "tiny/strong", "--out", "clean")
    refused(labelled, f"'{mine}' is there, and no labelling wrote it", "another folder")
    assert mine.read_text() == "mine"


def test_a_run_that_comes_to_nothing_leaves_no_folder_for_its_results(outshine):
    refused(outshine("run", "--dataset", "tiny-home", "--strong", "tiny/giant", "--out", "new/results"), "tiny/giant")
    assert not Path("new").exists()
    Path("kept").mkdir()
    refused(outshine("run", "--dataset", "tiny-home", "--strong", "tiny/giant", "--out", "kept"), "tiny/giant")
    assert Path("kept").is_dir()


def test_a_store_of_a_newer_version(outshine, tmp_path):
    (tmp_path / "store").mkdir()
    (tmp_path / "store" / "STORE.json").write_text('{"format": 99}')
    refused(outshine("run", "--dataset", "tiny-home", *TINY), "newer outshine")
    refused(outshine("ls"), "newer outshine")


@pytest.mark.parametrize(("code", "word"), [(errno.ENOSPC, "disk is full"), (errno.EROFS, "read-only")])
def test_a_full_disk_or_read_only_store(outshine, monkeypatch, code, word):
    real = Path.write_text

    def refuse(self: Path, *args, **kwargs) -> int:
        if "store" in self.parts and "tmp" in self.parts:
            raise OSError(code, os.strerror(code), str(self))
        return real(self, *args, **kwargs)

    monkeypatch.setattr(Path, "write_text", refuse)
    refused(outshine("run", "--dataset", "tiny-home", *TINY, *SIZES), word, "--store")


def test_debug_shows_the_traceback(outshine):
    outcome = outshine("--debug", "run", "--dataset", "scicq", *TINY)
    assert outcome.code == 2
    assert "Traceback" in outcome.err
