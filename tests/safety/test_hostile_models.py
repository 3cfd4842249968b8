"""A model folder from a stranger: refused in one line, or loaded; in neither case does anything in it run."""

from __future__ import annotations

import contextlib
import json
import pickle
import shutil
import socket
import struct
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

import outshine
from outshine.engine.errors import ModelError, OutshineError
from outshine.learn.load import load_backbone, load_tokenizer
from outshine.learn.model_files import UNSAFE_WEIGHTS, weights_folder
from outshine.learn.resolve import resolve
from outshine.learn.spec import ModelSettings
from tiny_checkpoints import CPU, change_config, write_checkpoint

WEIGHTS = "model.safetensors"
INDEX = "model.safetensors.index.json"
Change = Callable[[Path], Any]


class Payload:
    """Unpickled, it creates a file."""

    def __init__(self, mark: Path) -> None:
        self.mark = mark

    def __reduce__(self) -> tuple[Any, ...]:
        return (Path.touch, (self.mark,))


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_checkpoint(tmp_path_factory.mktemp("model") / "whole", "llama")


@pytest.fixture
def folder(whole: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of a good checkpoint. No test of this module may open a connection."""

    def no_network(*_: object) -> None:
        raise AssertionError("a connection was tried")

    monkeypatch.setattr(socket.socket, "connect", no_network)
    monkeypatch.setattr(socket, "getaddrinfo", no_network)
    return Path(shutil.copytree(whole, tmp_path / "model"))


@pytest.fixture
def mark(tmp_path: Path) -> Path:
    return tmp_path / "it-ran"


@pytest.fixture
def payload(mark: Path) -> bytes:
    """A pickle that leaves `mark` when it is opened, which is seen to work."""
    made = pickle.dumps(Payload(mark))
    pickle.loads(made)
    assert mark.exists()
    mark.unlink()
    return made


def load(folder: Path) -> None:
    """All that a run does with a model before it trains."""
    spec = resolve(ModelSettings(model=str(folder)), "float32").spec
    weights_folder(spec.model)
    load_tokenizer(spec.model)
    load_backbone(spec, CPU)


def refused(folder: Path, *words: str) -> str:
    with pytest.raises(ModelError) as caught:
        load(folder)
    message = str(caught.value)
    assert "\n" not in message
    for word in words:
        assert word in message
    return message


def test_the_untouched_copy_loads(folder):
    load(folder)


@pytest.mark.parametrize("pattern", UNSAFE_WEIGHTS)
def test_a_pickle_in_place_of_weights_is_refused(folder, payload, mark, pattern):
    (folder / WEIGHTS).unlink()
    (folder / f"pytorch_model{pattern[1:]}").write_bytes(payload)
    refused(folder, "no safetensors weights", f"pytorch_model{pattern[1:]}", "can run code when opened")
    assert not mark.exists()


def test_a_pickle_beside_the_weights_is_left_alone(folder, payload, mark):
    for name in ("pytorch_model.bin", "optimizer.pt", "training_args.bin", "scheduler.pt"):
        (folder / name).write_bytes(payload)
    load(folder)
    assert not mark.exists()


def test_a_pickle_that_calls_itself_safetensors_is_refused(folder, payload, mark):
    (folder / WEIGHTS).write_bytes(payload)
    refused(folder, "safetensors file is damaged")
    assert not mark.exists()


@pytest.mark.parametrize(
    "target",
    [
        "pytorch_model.bin",
        "../outside.safetensors",
        "/outside.safetensors",
        "part/../../outside.safetensors",
        "a.pt",
        5,
        None,
        "",
    ],
)
def test_an_index_that_names_other_files_is_refused(folder, payload, mark, target):
    shutil.copy(folder / WEIGHTS, folder.parent / "outside.safetensors")
    (folder / WEIGHTS).rename(folder / "model-00001-of-00001.safetensors")
    (folder / "pytorch_model.bin").write_bytes(payload)
    names = load_file(folder / "model-00001-of-00001.safetensors")
    (folder / INDEX).write_text(json.dumps({"metadata": {}, "weight_map": dict.fromkeys(names, target)}))
    refused(folder, INDEX)
    assert not mark.exists()


@pytest.mark.parametrize("text", ["[]", "5", "{", '{"weight_map": []}', '{"weight_map": {}}', "{}", "[" * 50_000])
def test_an_index_that_is_none_is_refused(folder, text):
    (folder / WEIGHTS).rename(folder / "part.safetensors")
    (folder / INDEX).write_text(text)
    refused(folder, INDEX)


def test_a_good_index_is_followed(folder):
    tensors = load_file(folder / WEIGHTS)
    (folder / WEIGHTS).unlink()
    halves = [dict(list(tensors.items())[half::2]) for half in (0, 1)]
    for number, half in enumerate(halves):
        save_file(half, folder / f"part-{number}.safetensors", metadata={"format": "pt"})
    places = {name: f"part-{number}.safetensors" for number, half in enumerate(halves) for name in half}
    (folder / INDEX).write_text(json.dumps({"metadata": {}, "weight_map": places}))
    load(folder)


def _header(text: bytes, length: int | None = None) -> bytes:
    return struct.pack("<Q", len(text) if length is None else length) + text


def _tensor(**facts: Any) -> bytes:
    described = {"dtype": "F32", "shape": [1], "data_offsets": [0, 4], **facts}
    return _header(json.dumps({"embed_tokens.weight": described}).encode()) + bytes(4)


@pytest.mark.slow
@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"\0" * 7,
        _header(b"{}", 2**62),
        _header(b"{}", 2**64 - 1),
        _header(b"{}", 99_999_999),
        _header(b"[]"),
        _header(b"{"),
        _header(b"\xff\xfe"),
        _header(b'{"a":' * 50_000),
        _tensor(shape=[10**12, 10**12]),
        _tensor(shape=[-1]),
        _tensor(dtype="EVIL"),
        _tensor(data_offsets=[0, 2**60]),
        _tensor(data_offsets=[4, 0]),
        _tensor(data_offsets=[8, 12]),
    ],
    ids=lambda content: repr(content[:40]),
)
def test_a_malformed_header_is_refused(folder, content):
    (folder / WEIGHTS).write_bytes(content)
    refused(folder, "cannot be loaded")


@pytest.mark.slow
@pytest.mark.parametrize("value", [float("nan"), float("inf"), float("-inf")])
def test_weights_that_are_no_numbers_stop_a_run_in_one_line(folder, tmp_path, value):
    shutil.rmtree(folder)
    tiny = resolve(ModelSettings(model="tiny/weak"), "float32").spec.model.folder
    shutil.copytree(str(tiny), folder)
    tensors = {name: torch.full_like(tensor, value) for name, tensor in load_file(folder / WEIGHTS).items()}
    save_file(tensors, folder / WEIGHTS, metadata={"format": "pt"})
    study = outshine.Study(
        datasets=["tiny-home"],
        weak="tiny/weak",
        strong=str(folder),
        compute_dtype="float32",
        splits={"n_train": 32, "n_val": 16, "n_test": 16},
        training={"epochs": 1},
    )
    with pytest.raises(OutshineError, match="training diverged at update 1 "):
        outshine.run(study, store=tmp_path / "store")


CODE = "import pathlib\npathlib.Path({mark!r}).touch()\nclass C: pass\n"


@pytest.mark.parametrize("known", [True, False], ids=["a model type that is known", "one that is not"])
@pytest.mark.parametrize("place", ["evil", "some/evil--evil"])
def test_code_of_a_repository_does_not_run(folder, mark, known, place):
    (folder / "evil.py").write_text(CODE.format(mark=str(mark)))
    change_config(folder, auto_map={"AutoConfig": f"{place}.C", "AutoModel": f"{place}.C"})
    if known:
        load(folder)
    else:
        change_config(folder, model_type="evil-kind")
        refused(folder, "code")
    assert not mark.exists()
    assert "evil" not in sys.modules


@pytest.mark.parametrize("tokenizer_class", [None, "EvilTokenizer", "os.system"])
def test_code_of_a_tokenizer_does_not_run(folder, mark, tokenizer_class):
    (folder / "evil.py").write_text(CODE.format(mark=str(mark)))
    path = folder / "tokenizer_config.json"
    config = json.loads(path.read_text()) | {"auto_map": {"AutoTokenizer": ["evil.C", "evil.C"]}}
    path.write_text(json.dumps(config | ({"tokenizer_class": tokenizer_class} if tokenizer_class else {})))
    _loads_or_is_refused(folder)
    assert not mark.exists()
    assert "evil" not in sys.modules


@pytest.mark.parametrize(
    "setting",
    ["attn_implementation", "_attn_implementation", "_attn_implementation_internal", "experts_implementation"],
)
@pytest.mark.parametrize("value", ["evil/kernel", "evil/kernel@main:f", {"": "evil/kernel"}])
def test_a_kernel_of_a_repository_is_refused(folder, setting, value):
    change_config(folder, **{setting: value})
    refused(folder, "code to be fetched", "evil/kernel")


@pytest.mark.parametrize("base", ["some/base", "{folder}"])
def test_an_adapter_that_names_another_model_is_refused(folder, payload, mark, base):
    """transformers would load the base that the adapter names, and with it weights that are in no key."""
    settings = {
        "base_model_name_or_path": base.format(folder=folder),
        "peft_type": "LORA",
        "r": 2,
        "target_modules": ["q_proj"],
    }
    (folder / "adapter_config.json").write_text(json.dumps(settings))
    (folder / "adapter_model.bin").write_bytes(payload)
    refused(folder, "is an adapter", "merge it")
    assert not mark.exists()


def _loads_or_is_refused(folder: Path) -> None:
    """Anything but an OutshineError fails the test."""
    with contextlib.suppress(OutshineError):
        load(folder)


SETTINGS: list[tuple[str, Any]] = [
    *(
        (name, value)
        for name in ("num_hidden_layers", "hidden_size", "vocab_size", "max_position_embeddings", "num_attention_heads")
        for value in ("3", -1, 0, True, 2.5, [], 10**15)
    ),
    *(("architectures", value) for value in ([1], 5, "LlamaModel", [None], {})),
    *(("model_type", value) for value in (5, ["llama"], "../llama", "evil")),
    *(("text_config", value) for value in (5, [], {}, {"num_hidden_layers": -1})),
    *(("pad_token_id", value) for value in (10**9, "x", -7)),
    *(("rope_parameters", value) for value in (5, {"rope_type": "evil"})),
    *(("quantization_config", value) for value in (5, {}, {"quant_method": "evil"})),
    *(("hidden_act", value) for value in ("os.system", ["silu"], 5)),
    *(("layer_types", value) for value in (["evil"] * 3, 5)),
    *(("dtype", value) for value in ("os", "__import__", 5)),
    ("auto_map", 5),
    ("id2label", 5),
    ("_commit_hash", "../../x"),
    ("_name_or_path", "some/evil"),
]


@pytest.mark.parametrize(("setting", "value"), SETTINGS, ids=lambda value: repr(value)[:30])
def test_any_setting_of_a_config_is_taken_or_refused(folder, setting, value):
    change_config(folder, **{setting: value})
    _loads_or_is_refused(folder)


TEXTS = ["", "{", "[]", "5", "null", '"a"', "[5]", "[" * 50_000, "\0", '{"version": 5}', '{"model": {"type": "evil"}}']


@pytest.mark.slow
@pytest.mark.parametrize(
    "name",
    [
        "config.json",
        "tokenizer.json",
        "tokenizer_config.json",
        "special_tokens_map.json",
        "added_tokens.json",
        "generation_config.json",
        "chat_template.jinja",
        "1_Pooling/config.json",
    ],
)
@pytest.mark.parametrize("text", TEXTS, ids=lambda text: repr(text[:20]))
def test_any_text_in_place_of_a_file_is_taken_or_refused(folder, name, text):
    (folder / name).parent.mkdir(exist_ok=True)
    (folder / name).write_text(text)
    _loads_or_is_refused(folder)


@pytest.mark.parametrize("name", ["config.json", "tokenizer.json", "tokenizer_config.json"])
def test_bytes_that_are_no_text_are_refused(folder, name):
    (folder / name).write_bytes(b"\xff\xfe\x00")
    refused(folder)
