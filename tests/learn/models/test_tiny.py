import json
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from safetensors.torch import load_file
from transformers import AutoModel, AutoModelForCausalLM, AutoTokenizer

from outshine.data import tiny_world
from outshine.data.tiny_world import World, WorldSettings, make_world
from outshine.engine.errors import SettingsError
from outshine.engine.progress import Silent
from outshine.learn.tiny_models import RECORD, SIZES, TINY_MODELS, WEIGHTS
from outshine.learn.tiny_models.pretrain import (
    DEFAULT_SIZES,
    SizeSettings,
    cloze,
    initial_model,
    next_word_loss,
    pretrain,
    pretrain_one,
    save_tokenizer,
)

SMALL = WorldSettings(num_people=24, num_train_people=12, num_towns=4)


def tiny(**settings: float) -> SizeSettings:
    shape = {"hidden_size": 16, "intermediate_size": 32, "num_heads": 2, "coverage": 1.0, "steps": 6, "batch": 32}
    return SizeSettings(**{**shape, **settings})


@pytest.fixture(scope="module")
def world() -> World:
    return make_world()


def load(name: str) -> torch.nn.Module:
    return AutoModelForCausalLM.from_pretrained(TINY_MODELS[name], dtype=torch.float32)


@pytest.fixture(scope="module")
def known(world: World) -> dict[str, dict[str, Any]]:
    """What each shipped model knows of the world, measured once."""
    return {name: cloze(load(name), world) for name in TINY_MODELS}


def test_the_shipped_files_are_small_and_only_open_formats() -> None:
    assert list(TINY_MODELS) == [f"tiny/{size}" for size in SIZES]
    files = [path for folder in TINY_MODELS.values() for path in folder.iterdir()]
    assert {path.name for path in files} == {
        "config.json",
        "model.safetensors",
        "tokenizer.json",
        "tokenizer_config.json",
    }
    assert sum(path.stat().st_size for path in [*files, RECORD]) <= 8e6


@pytest.mark.slow
@pytest.mark.parametrize("name", TINY_MODELS)
def test_a_shipped_model_knows_what_its_record_says(name: str, world: World, known: dict[str, dict[str, Any]]) -> None:
    record = json.loads(RECORD.read_text(encoding="utf-8"))
    assert record["world"] == world.settings.digest
    entry = record["sizes"][name.removeprefix("tiny/")]
    model = load(name)
    assert sum(p.numel() for p in model.parameters()) == entry["parameters"]
    measured = known[name]
    for attribute in world.attributes:
        assert measured[attribute.name]._asdict() == pytest.approx(entry["cloze"][attribute.name], abs=2e-3)


def test_a_shipped_record_was_made_with_the_default_sizes() -> None:
    record = json.loads(RECORD.read_text(encoding="utf-8"))
    assert {name: entry["settings"] for name, entry in record["sizes"].items()} == {
        name: settings.model_dump() for name, settings in DEFAULT_SIZES.items()
    }


@pytest.mark.slow
def test_a_bigger_model_knows_more(known: dict[str, dict[str, Any]]) -> None:
    values = [[score.value for score in known[f"tiny/{size}"].values()] for size in SIZES]
    for weak, middle, strong in zip(*values, strict=True):
        assert weak < 0.5 < middle < strong
        assert strong > 0.99


@pytest.mark.slow
def test_an_unread_model_of_the_same_shape_knows_nothing(world: World) -> None:
    model = initial_model(world, DEFAULT_SIZES["strong"], seed=0)
    for score in cloze(model, world).values():
        assert score.value <= 0.15
        assert 0.4 <= score.category <= 0.6


@pytest.mark.parametrize("name", TINY_MODELS)
def test_the_tokenizer_reads_the_language_word_by_word(name: str, world: World) -> None:
    tokenizer = AutoTokenizer.from_pretrained(TINY_MODELS[name])
    tokens = tiny_world.vocabulary(world)
    assert len(tokenizer) == len(tokens)
    assert tokenizer.convert_ids_to_tokens(list(range(len(tokens)))) == tokens
    text = tiny_world.question("home", world.people[7])
    assert tokenizer(text)["input_ids"] == [tokens.index(word) for word in ["<s>", *text.split()]]
    assert (tokenizer.pad_token_id, tokenizer.bos_token_id, tokenizer.unk_token_id) == (0, 1, 2)
    assert tokenizer("where does Zaphod live ? in")["input_ids"][3] == tokenizer.unk_token_id
    padded = tokenizer([text, "a"], padding=True, return_tensors="pt")
    assert padded["attention_mask"][1].tolist() == [1, 1, 0, 0, 0, 0, 0]


def test_the_classifier_s_backbone_is_the_pretrained_one() -> None:
    folder = TINY_MODELS["tiny/weak"]
    backbone, report = AutoModel.from_pretrained(folder, dtype=torch.float32, output_loading_info=True)
    assert not report["missing_keys"]
    stored = load_file(folder / "model.safetensors")
    assert torch.equal(backbone.embed_tokens.weight, stored["model.embed_tokens.weight"])


def test_the_loss_asks_for_words_only() -> None:
    """Against a loop over the positions of the sentences: names and padding are no targets, names no candidates."""
    world = make_world(SMALL)
    model, _ = pretrain_one(world, "any", tiny(steps=1), seed=0, progress=Silent())
    tokens = tiny_world.vocabulary(world)
    num_words = len(tokens) - len(world.people)
    sentences = [
        tiny_world.question("job", world.people[0]),
        tiny_world.category_of(world.attributes[0], world.attributes[0].values[0])[0],
    ]
    rows = [[tokens.index(word) for word in ["<s>", *sentence.split()]] for sentence in sentences]
    ids = torch.tensor([row + [0] * (max(map(len, rows)) - len(row)) for row in rows])
    with torch.no_grad():
        losses = [
            F.cross_entropy(model(torch.tensor([row[:end]])).logits[0, -1, :num_words], torch.tensor(row[end]))
            for row in rows
            for end in range(1, len(row))
            if row[end] < num_words
        ]
        assert len(losses) == sum(map(len, rows)) - 2 - 1
        torch.testing.assert_close(next_word_loss(model, ids, num_words), torch.stack(losses).mean())


def test_pretraining_repeats_byte_by_byte(tmp_path: Path) -> None:
    sizes = {"one": tiny()}
    before = torch.random.get_rng_state()
    for folder, seed in (("a", 1), ("b", 1), ("c", 2)):
        pretrain(tmp_path / folder, seed=seed, sizes=sizes, world_settings=SMALL)
    assert torch.equal(before, torch.random.get_rng_state())
    a, b, c = ((tmp_path / folder / "one" / "model.safetensors").read_bytes() for folder in "abc")
    assert a == b
    assert a != c
    assert {path.name for path in (tmp_path / "a").rglob("*.*")} == {path.name for path in WEIGHTS.rglob("*.*")}


@pytest.mark.slow
def test_pretraining_learns_a_small_world(tmp_path: Path) -> None:
    """Enough reading names nearly every value; a corpus of coverage 0.3 and little else leaves gaps."""
    shape = {
        "hidden_size": 32,
        "intermediate_size": 64,
        "steps": 400,
        "batch": 64,
        "learning_rate": 1e-2,
        "seldom": 0.0,
    }
    sizes = {"well": tiny(**shape), "little": tiny(**shape, coverage=0.3)}
    record = pretrain(tmp_path, sizes=sizes, world_settings=SMALL)
    assert json.loads((tmp_path / "record.json").read_text()) == record
    mean = {
        name: sum(score["value"] for score in entry["cloze"].values()) / len(entry["cloze"])
        for name, entry in record["sizes"].items()
    }
    assert mean["well"] > 0.9
    assert mean["little"] < 0.6
    assert record["sizes"]["well"]["tokens"] > 400 * 64 * 4


def test_progress_is_told(tmp_path: Path) -> None:
    class Listener(Silent):
        def __init__(self) -> None:
            super().__init__()
            self.seen: list[tuple[int, int, str]] = []

        def advance(self, done: int, total: int, unit: str) -> None:
            self.seen.append((done, total, unit))

    listener = Listener()
    pretrain(tmp_path, sizes={"one": tiny(steps=45)}, world_settings=SMALL, progress=listener)
    assert listener.seen == [(20, 45, "updates"), (40, 45, "updates"), (45, 45, "updates")]


def test_an_unknown_size_is_refused_before_any_work(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match=r"unknown size 'huge'; known: weak, middle, strong"):
        pretrain(tmp_path / "out", sizes=["weak", "huge"])
    assert not (tmp_path / "out").exists()


def test_a_tokenizer_of_another_world_has_its_names(tmp_path: Path) -> None:
    world = make_world(SMALL)
    save_tokenizer(world, tmp_path)
    tokenizer = AutoTokenizer.from_pretrained(tmp_path)
    assert tokenizer.convert_tokens_to_ids(world.people[-1]) == len(tiny_world.vocabulary(world)) - 1
