"""Activations in the store: by id, by split, one pass for all layers, resumable by siblings."""

from __future__ import annotations

import json

import numpy as np
import pandas as pd
import pytest
import torch
from safetensors.torch import load_file

from outshine.learn import activations as reading
from outshine.learn.load import load_backbone, load_tokenizer
from outshine.learn.resolve import resolve
from outshine.learn.spec import ModelSettings
from outshine.learn.tokenize import Text, encode
from outshine.w2s.stages.activations import Activations, RowFile

SPLITS = ("strong_train", "val", "test")


def stage(texts, layer=1, dtype="float32", **settings):
    spec = resolve(ModelSettings(model="tiny/strong"), dtype).spec
    return Activations(
        model=spec.model,
        num_layers=spec.num_layers,
        pooling=spec.pooling,
        max_length=spec.max_length,
        compute_dtype=spec.compute_dtype,
        texts=texts,
        layer=layer,
        **settings,
    )


def test_each_row_has_the_hidden_state_of_its_own_text(executor, texts):
    asked = stage(texts)
    executor.run([asked])
    spec = asked.spec()
    backbone = load_backbone(spec, torch.device("cpu"))
    frame = texts.read(executor.store).set_index("id")
    for split in SPLITS:
        ids, acts = asked.read(executor.store, split)
        assert ids == sorted(frame.index[frame["split"] == split])
        assert acts.dtype == torch.float32
        for one, state in list(zip(ids, acts, strict=True))[:5]:
            tokens = encode(load_tokenizer(spec.model), [Text(frame.loc[one, "text"])], spec.max_length).tokens
            with torch.inference_mode():
                states = backbone(input_ids=torch.tensor(tokens), output_hidden_states=True).hidden_states
            torch.testing.assert_close(state, states[1][0, -1], rtol=1e-4, atol=1e-5)


def test_small_batches_and_bf16(executor, texts):
    asked = stage(texts)
    executor.run([asked])
    rough = stage(texts, dtype="bfloat16")
    executor.runtime = executor.runtime.model_copy(update={"eval_token_budget": 40})
    executor.run([rough])
    exact, rounded = asked.read(executor.store, "val")[1], rough.read(executor.store, "val")[1]
    assert rounded.dtype == torch.bfloat16
    torch.testing.assert_close(rounded.float(), exact, rtol=0.1, atol=0.1)
    assert not torch.equal(rounded.float(), exact)


def test_layers_of_a_study_are_read_in_one_pass_and_kept_apart(executor, texts, monkeypatch):
    passes = []
    original = reading.LayerReader.__init__

    def counted(self, backbone, num_layers, layers, pooling):
        passes.append(sorted(layers))
        original(self, backbone, num_layers, layers, pooling)

    monkeypatch.setattr(reading.LayerReader, "__init__", counted)
    first, second = (stage(texts, layer, together=(1, 2)) for layer in (1, 2))
    executor.run([first, second])
    assert passes == [[1, 2]]
    assert not executor.store.work(second.key).exists()
    alone = stage(texts, 2)
    assert alone.key == second.key
    assert stage(texts, 2, together=(2,)).key == second.key
    assert executor.missing([alone]) == []
    assert not torch.equal(first.read(executor.store, "val")[1], second.read(executor.store, "val")[1])
    # the store verifies both; a layer that is there is not read again
    assert executor.store.verify(second.key) == []
    executor.store.set_aside(first.key)
    executor.run([first])
    assert passes == [[1, 2], [1]]


def test_a_layer_left_by_another_pass_is_what_its_own_pass_gives(executor, texts):
    both = [stage(texts, layer, together=(1, 2)) for layer in (1, 2)]
    executor.run(both)
    found = both[1].read(executor.store, "test")
    executor.store.set_aside(both[1].key)
    executor.run([stage(texts, 2)])
    again = stage(texts, 2).read(executor.store, "test")
    assert again[0] == found[0]
    assert torch.equal(again[1], found[1])


def test_half_a_file_in_the_work_folder_is_not_taken(executor, texts):
    asked = stage(texts)
    work = executor.store.work(asked.key)
    work.mkdir(parents=True)
    (work / "activations.safetensors").write_bytes(b"half")
    executor.run([asked])
    assert len(asked.read(executor.store, "val")[0]) == 50


def test_what_lies_in_the_artefact(executor, texts):
    asked = stage(texts)
    executor.run([asked])
    folder = executor.store.path(asked.key)
    ids = pd.read_parquet(folder / "ids.parquet")
    assert list(ids.columns) == ["id", "split", "row"]
    assert set(ids["split"]) == set(SPLITS)
    tensors = load_file(folder / "activations.safetensors")
    assert {name: len(tensor) for name, tensor in tensors.items()} == ids["split"].value_counts().to_dict()
    assert json.loads((folder / "summary.json").read_text()) == {"rows": len(ids), "shortened": 0}


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float64, torch.float16])
def test_rows_written_in_any_order_make_a_safetensors_file(tmp_path, dtype):
    expected = {"a": torch.randn(5, 3).to(dtype), "b": torch.randn(2, 3).to(dtype), "c": torch.empty(0, 3, dtype=dtype)}
    places = [(name, row) for name, tensor in expected.items() for row in range(len(tensor))]
    with RowFile(tmp_path / "x.safetensors", {name: len(t) for name, t in expected.items()}, 3, dtype) as file:
        for place in np.random.default_rng(0).permutation(len(places)):
            name, row = places[place]
            file.put(name, row, expected[name][row])
    found = load_file(tmp_path / "x.safetensors")
    assert found.keys() == expected.keys()
    assert all(torch.equal(found[name], tensor) and found[name].dtype == dtype for name, tensor in expected.items())
