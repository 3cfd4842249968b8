"""A tokenizer that knows no word of the data: told by the fine-tuning, beside the tables and in the audit."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

import outshine
from outshine.learn.spec import ModelSettings
from outshine.w2s.stages.audit import read_by_model
from tiny_checkpoints import WORDS, write_checkpoint

SIZES = {"n_train": 32, "n_val": 16, "n_test": 16}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_checkpoint(tmp_path_factory.mktemp("model") / "llama", "llama", max_position_embeddings=64)


def rows(path: Path, known: int, unknown: int) -> str:
    """A file of texts with so many words of which the tokenizer knows, and does not know."""
    lines = []
    for number in range(160):
        words = [WORDS[(number * 7 + i) % 44] for i in range(known)] + [f"x{number}-{i}" for i in range(unknown)]
        lines.append(json.dumps({"id": number, "text": " ".join(words), "label": number % 2}))
    path.write_text("\n".join(lines))
    return str(path)


@pytest.mark.slow
@pytest.mark.parametrize(("known", "unknown", "share"), [(0, 4, "100"), (1, 4, "80"), (4, 0, None), (3, 2, None)])
def test_a_run_tells_of_it_with_dataset_model_and_share(known, unknown, share, folder, tmp_path):
    study = outshine.Study(
        datasets=[{"kind": "file", "path": rows(tmp_path / "rows.jsonl", known, unknown)}],
        weak=str(folder),
        strong=str(folder),
        splits=SIZES,
        training={"epochs": 1},
    )
    results = outshine.run(study, store=tmp_path / "store", allow_leaks=True)
    told = [note.text for note in results.training_notes if note.what == "texts"]
    assert len(told) == (0 if share is None else 1)
    assert all(f"{share}% of the tokens of its texts are unknown" in text and "on rows" in text for text in told)
    assert results.training["unknown_tokens"].tolist() == pytest.approx([unknown / (known + unknown)] * 3)


def test_the_audit_with_a_model_warns_of_it(folder, tmp_path):
    from outshine.data.recipes.file import FileDataset
    from outshine.data.splits import SplitSettings, prepare

    for known, unknown, severity in ((0, 4, "warning"), (4, 1, "passed")):
        dataset = FileDataset(path=rows(tmp_path / f"{known}.jsonl", known, unknown))
        texts = prepare(dataset, dataset.identify(), SplitSettings(**SIZES)).texts
        (found,) = [f for f in read_by_model(texts, ModelSettings(model=str(folder))) if f.check == "unknown tokens"]
        assert found.severity == severity
        assert found.value == pytest.approx(unknown / (known + unknown))
        assert f"does not know {found.value:.1%} of the tokens" in found.message
