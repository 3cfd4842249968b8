"""What is fetched of a hub repository, and who is asked for what: one copy of the weights, the tokenizer, nobody else."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest
import torch
import transformers
from safetensors.torch import load_file, save_file

from model_hub import COMMIT, ModelHub, serving
from outshine.engine.errors import ModelError, OutshineError
from outshine.learn.load import load_backbone, load_tokenizer
from outshine.learn.model_files import CONFIG_FILES, config_folder, weights_folder
from outshine.learn.resolve import resolve
from outshine.learn.spec import ModelSettings
from tiny_checkpoints import CPU, change_config

WEIGHTS, INDEX = "model.safetensors", "model.safetensors.index.json"


@pytest.fixture
def folder(checkpoint, tmp_path: Path) -> Path:
    return shutil.copytree(checkpoint("llama"), tmp_path / "repository")


def fetched(folder: Path) -> set[str]:
    """Names of all files below a folder."""
    return {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}


def in_shards(folder: Path) -> None:
    """The weights once more, in two files with an index, under names that a glob would misread."""
    tensors = load_file(folder / WEIGHTS)
    names = ["part[1].safetensors", "part[2].safetensors"]
    for number, name in enumerate(names):
        save_file(dict(list(tensors.items())[number::2]), folder / name, metadata={"format": "pt"})
    places = {tensor: names[i % 2] for i, tensor in enumerate(tensors)}
    (folder / INDEX).write_text(json.dumps({"metadata": {}, "weight_map": places}))


@pytest.mark.parametrize("sharded", [False, True])
def test_one_copy_of_the_weights_is_fetched_and_no_file_that_nobody_reads(folder, tmp_path, sharded):
    if sharded:
        in_shards(folder)
        (folder / WEIGHTS).rename(folder / "consolidated.safetensors")
    others = ["consolidated.safetensors", "model.fp16.safetensors", "original/model.safetensors", "onnx/config.json"]
    others += ["pytorch_model.bin", "tf_model.h5", "coreml/weights/model.json", "1_Pooling/model.safetensors"]
    for name in others:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(b"another copy")
    own = {"config.json", "tokenizer.json", "tokenizer_config.json"}
    own |= {INDEX, "part[1].safetensors", "part[2].safetensors"} if sharded else {WEIGHTS}
    with serving(ModelHub(folder), tmp_path / "cache"):
        spec = resolve(ModelSettings(model="org/model"), "float32").spec
        assert fetched(config_folder(spec.model)) & {WEIGHTS, "part[1].safetensors"} == set()
        assert fetched(weights_folder(spec.model)) == own
        ours = load_backbone(spec, CPU).state_dict()
    whole = transformers.AutoModel.from_pretrained(folder).state_dict()
    assert all(torch.equal(ours[name], whole[name]) for name in whole)


def test_of_both_an_index_and_a_whole_file_the_one_that_transformers_reads_is_fetched(folder, tmp_path):
    in_shards(folder)
    zeros = {name: torch.zeros_like(tensor) for name, tensor in load_file(folder / WEIGHTS).items()}
    save_file(zeros, folder / WEIGHTS, metadata={"format": "pt"})
    expected = transformers.AutoModel.from_pretrained(folder).state_dict()
    with serving(ModelHub(folder), tmp_path / "cache"):
        spec = resolve(ModelSettings(model="org/model"), "float32").spec
        ours = load_backbone(spec, CPU).state_dict()
        assert [name for name in fetched(weights_folder(spec.model)) if name.endswith(".safetensors")] == [WEIGHTS]
    assert all(torch.equal(ours[name], expected[name]) for name in expected)


def test_an_index_on_the_hub_cannot_have_other_files_fetched(folder, tmp_path):
    in_shards(folder)
    (folder / WEIGHTS).unlink()
    places = json.loads((folder / INDEX).read_text())["weight_map"]
    (folder / INDEX).write_text(json.dumps({"weight_map": dict.fromkeys(places, "../../config.json")}))
    with serving(ModelHub(folder), tmp_path / "cache"):
        spec = resolve(ModelSettings(model="org/model"), "float32").spec
        with pytest.raises(ModelError, match=INDEX):
            weights_folder(spec.model)


def test_what_was_fetched_is_read_without_the_hub(folder, tmp_path):
    with serving(ModelHub(folder), tmp_path / "cache") as hub:
        online = resolve(ModelSettings(model="org/model"), "float32").spec
        weights_folder(online.model)
        hub.requests.clear()
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
            spec = resolve(ModelSettings(model="org/model"), "float32").spec
            load_backbone(spec, CPU)
            load_tokenizer(spec.model)
        assert spec == online
        assert hub.requests == []


def names_of_vocabularies() -> set[str]:
    """Every file that a tokenizer of transformers names, read from the sources: some cannot be imported here."""
    sources = Path(transformers.__file__).parent.rglob("*token*.py")
    tables = re.findall(r"VOCAB_FILES_NAMES[^=]*= *\{(.*?)\}", "\n".join(p.read_text() for p in sources), re.DOTALL)
    values = {name for table in tables for name in re.findall(r': *"([^"]+)"', table)}
    from transformers.models.auto import tokenization_auto as auto

    for kind in {str(one) for one in auto.TOKENIZER_MAPPING_NAMES.values()}:
        with suppress(ImportError, AttributeError):  # it needs a package that is not here, or transformers lacks it
            values |= set(auto.tokenizer_class_from_name(kind).vocab_files_names.values())
    return values


def test_every_file_that_a_tokenizer_names_is_fetched():
    from fnmatch import fnmatch

    names = names_of_vocabularies()
    assert {"vocab.json", "merges.txt", "spiece.model", "bpe.codes", "source.spm"} <= names
    assert [name for name in names if not any(fnmatch(name, pattern) for pattern in CONFIG_FILES)] == []


def test_a_tokenizer_of_two_files_is_fetched_and_is_part_of_what_a_folder_is(tmp_path):
    """BERTweet and PhoBERT: `vocab.txt` and `bpe.codes`."""
    folder = tmp_path / "repository"
    words = ["the", "hotel", *(letter + "@@" for letter in "abcdehlot"), *"abcdehlot"]
    config = transformers.RobertaConfig(
        vocab_size=len(words) + 6, hidden_size=16, num_hidden_layers=2, num_attention_heads=2, intermediate_size=16
    )
    transformers.RobertaModel(config).save_pretrained(folder)
    (folder / "vocab.txt").write_text("".join(f"{word} 1\n" for word in words))
    (folder / "bpe.codes").write_text("t h 10\nth e</w> 9\n")
    (folder / "tokenizer_config.json").write_text(json.dumps({"tokenizer_class": "BertweetTokenizer"}))
    expected = transformers.AutoTokenizer.from_pretrained(folder)("the hotel")["input_ids"]
    with serving(ModelHub(folder), tmp_path / "cache"):
        spec = resolve(ModelSettings(model="org/model"), "float32").spec
        assert load_tokenizer(spec.model).tokenizer("the hotel")["input_ids"] == expected
    before = resolve(ModelSettings(model=str(folder)), "float32").spec.model.identity
    (folder / "bpe.codes").write_text("t h 10\n")
    assert resolve(ModelSettings(model=str(folder)), "float32").spec.model.identity != before


def test_the_pooling_of_a_folder_that_modules_name_is_fetched(checkpoint, tmp_path):
    folder = shutil.copytree(checkpoint("bert"), tmp_path / "repository")
    sentences = "sentence_transformers.models."
    modules = [("", "Transformer"), ("own_pooling", "Pooling"), ("2_Normalize", "Normalize")]
    told = [
        {"idx": i, "name": str(i), "path": path, "type": sentences + kind} for i, (path, kind) in enumerate(modules)
    ]
    (folder / "modules.json").write_text(json.dumps(told))
    for place, mode in (("own_pooling", "lasttoken"), ("1_Pooling", "cls")):
        (folder / place).mkdir()
        (folder / place / "config.json").write_text(json.dumps({"pooling_mode": mode}))
    with serving(ModelHub(folder), tmp_path / "cache"):
        assert resolve(ModelSettings(model="org/model"), "float32").spec.pooling == "last"


NAMING_OTHERS = [
    {"model_type": "d_fine", "backbone": "evil-org/other", "use_timm_backbone": False, "use_pretrained_backbone": True},
    {"model_type": "detr", "backbone_config": None, "backbone": "evil-org/other", "use_timm_backbone": True},
    {"model_type": "d_fine", "backbone_config": {"model_type": "evil-org/other", "backbone": "evil-org/other"}},
    {"text_config": {"model_type": "llama", "_name_or_path": "evil-org/other", "num_hidden_layers": 3}},
    {"_name_or_path": "evil-org/other", "name_or_path": "evil-org/other", "base_model": "evil-org/other"},
    {"model_type": "evil", "auto_map": {"AutoConfig": "evil-org/other--evil.C", "AutoModel": "evil-org/other--evil.C"}},
    {"transformers_weights": "../evil-org/other.safetensors"},
    {"attn_implementation": "evil-org/other"},
    {"tokenizer_class": "EvilTokenizer", "tokenizer_name": "evil-org/other"},
    {"model_type": "musicgen", "audio_encoder": {"model_type": "evil-org/other"}, "text_encoder": {}, "decoder": {}},
    {"model_type": "vision-text-dual-encoder", "vision_config": {"model_type": "evil-org/other"}, "text_config": {}},
    {"model_type": "speech-encoder-decoder", "encoder": {"model_type": "evil-org/other"}, "decoder": {}},
]


@pytest.fixture
def nobody(tmp_path: Path) -> Iterator[ModelHub]:
    """A hub that has nothing, which the client would send a token."""
    with serving(ModelHub(), tmp_path / "cache") as hub, pytest.MonkeyPatch.context() as patch:
        patch.setenv("HF_TOKEN", "hf_notarealtokenatall")
        yield hub


@pytest.mark.parametrize("trusted", [False, True])
@pytest.mark.parametrize("settings", NAMING_OTHERS, ids=lambda settings: str(settings)[:50])
def test_a_folder_that_names_other_repositories_has_nobody_asked(folder, nobody, settings, trusted):
    change_config(folder, **settings)
    named = str(folder) if trusted else None
    with suppress(OutshineError):
        spec = resolve(ModelSettings(model=str(folder), trust_remote_code=named), "float32").spec
        load_tokenizer(spec.model)
        load_backbone(spec, CPU)
    assert nobody.requests == []


@pytest.mark.parametrize(
    "key", ["name_or_path", "tokenizer_file", "vocab_file", "tokenizer_class", "auto_map", "processor_class"]
)
def test_a_tokenizer_that_names_other_repositories_has_nobody_asked(folder, nobody, key):
    path = folder / "tokenizer_config.json"
    value = {"AutoTokenizer": ["evil-org/other--evil.T", None]} if key == "auto_map" else "evil-org/other"
    path.write_text(json.dumps(json.loads(path.read_text()) | {key: value}))
    with suppress(OutshineError):
        load_tokenizer(resolve(ModelSettings(model=str(folder)), "float32").spec.model)
    assert nobody.requests == []


def test_code_that_is_trusted_may_not_ask_for_another_repository(folder, nobody):
    """Any way of naming one leads to the hub's client, which is switched off while a folder is read."""
    change_config(folder, model_type="mine", auto_map={"AutoConfig": "mine.C"})
    (folder / "mine.py").write_text(
        "from transformers import AutoConfig\nclass C: pass\nAutoConfig.from_pretrained('evil-org/other')\n"
    )
    with pytest.raises(ModelError, match="names another repository of the hub, which is not asked"):
        resolve(ModelSettings(model=str(folder), trust_remote_code=str(folder)), "float32")
    assert nobody.requests == []


def test_a_hub_model_that_names_another_has_its_own_repository_asked_alone(folder, tmp_path):
    change_config(folder, model_type="d_fine", backbone="evil-org/other", use_pretrained_backbone=True)
    with serving(ModelHub(folder), tmp_path / "cache") as hub:
        with pytest.raises(ModelError, match="weights from elsewhere"):
            resolve(ModelSettings(model="org/model"), "float32")
        assert hub.requests != []
        assert hub.asked_for() == set()


def test_the_commit_is_the_identity(folder, tmp_path):
    with serving(ModelHub(folder), tmp_path / "cache"):
        assert resolve(ModelSettings(model="org/model"), "float32").spec.model.identity == f"hub:org/model@{COMMIT}"
