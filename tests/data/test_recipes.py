"""One contract for every built-in recipe, on rows of the hub's schema."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from recipe_rows import BUILDERS, fixture_rows

from outshine.data.rows import Hub, ListRows, Pools
from outshine.data.schema import Draw, Recipe, recipes
from outshine.data.splits import SPLITS, Prepared, SplitSettings, prepare

SPEC = [
    "anli-r2",
    "cola",
    "dream",
    "ethics-deontology",
    "ethics-justice",
    "ethics-virtue",
    "ethics-utilitarianism",
    "mc_taco",
    "hellaswag",
    "multirc",
    "openbookqa",
    "paws",
    "piqa",
    "quail",
    "quartz",
    "social_i_qa",
    "sst2",
    "wic",
    "twitter-sentiment",
    "sciq",
    "sciq_with_support",
    "anthropic_hh",
    "cosmos_qa",
    "boolq",
    "amazon_polarity",
]
GOLDEN = Path(__file__).with_name("golden_recipes.json")
LABEL_FIELDS = {"label", "answer", "answerKey", "correct_answer_id"}
SETTINGS = SplitSettings(n_train=60, n_val=20, n_test=40)


def recipe_of(name: str) -> Recipe:
    return recipes.get(name)()


def examples_of(name: str, coin: bool | None = None) -> list[Any]:
    return [recipe_of(name).format(row, Draw(0, i, coin)) for i, row in enumerate(fixture_rows(name))]


def prepare_fixture(name: str, monkeypatch: pytest.MonkeyPatch, reverse: bool = False) -> Prepared:
    """The recipe over 240 training and 120 test rows; pooled where its source is."""
    train, test = fixture_rows(name), fixture_rows(name, 120, start=1000)
    if reverse:
        train, test = train[::-1], test[::-1]
    hub = recipe_of(name).hub
    assert hub is not None
    pools = Pools(ListRows(train), None, 60) if hub.pooled else Pools(ListRows(train), ListRows(test))
    monkeypatch.setattr(recipes.get(name), "open", lambda self, identity: pools)
    return prepare(recipe_of(name), "made up", SETTINGS)


def test_all_25_are_there_under_their_names() -> None:
    assert len(SPEC) == 25
    assert {name for name, cls in recipes if cls.hub is not None} == set(SPEC) == set(BUILDERS)


@pytest.mark.parametrize("name", SPEC)
def test_says_what_it_is(name: str) -> None:
    recipe = recipe_of(name)
    assert recipe.name == recipe.kind == name
    assert recipe.title
    assert recipe.positive_means
    assert recipe.source
    assert recipe.license
    assert (type(recipe).__doc__ or "").count("Source: ") == 1
    assert recipe.model_dump() == {"kind": name}


@pytest.mark.parametrize("name", SPEC)
def test_formats_every_row_with_both_labels(name: str) -> None:
    examples = [example for example in examples_of(name) if example is not None]
    # a quarter of the made-up Cosmos QA rows have "none of the above" for their answer
    assert len(examples) == (180 if name == "cosmos_qa" else 240)
    assert {example.label for example in examples} == {False, True}
    for example in examples:
        assert example.text == example.text.strip()
        assert example.shorten in example.text
        assert example.group != ""
        assert all(example.shared)


@pytest.mark.parametrize("name", SPEC)
def test_the_prompt_ends_in_one_and_the_same_question(name: str) -> None:
    """So that the last token says nothing by itself; WiC names its word in the question."""
    ends = {re.sub(r'"word\d+"', '"word"', example.text.splitlines()[-1]) for example in examples_of(name) if example}
    assert len(ends) == 1
    assert ends.pop().endswith("?")


@pytest.mark.parametrize("name", SPEC)
def test_is_deterministic_and_uses_no_global_randomness(name: str) -> None:
    import random

    first = examples_of(name)
    random.seed(1)
    assert examples_of(name) == first


@pytest.mark.parametrize("name", [name for name in SPEC if not recipe_of(name).draws_label])
def test_the_text_does_not_know_the_label(name: str) -> None:
    """Where the source gives the label: another label, the same text."""
    for i, row in enumerate(fixture_rows(name, 20)):
        field = "answer" if name == "boolq" else "label"
        example = recipe_of(name).format(row, Draw(0, i))
        other = recipe_of(name).format({**row, field: type(row[field])(not row[field])}, Draw(0, i))
        assert example is not None
        assert other is not None
        assert example.label != other.label
        assert example._replace(label=other.label) == other
        assert example == recipe_of(name).format(row, Draw(0, i, coin=not Draw(0, i).coin()))


def leaves(value: Any, path: str = "") -> Iterator[tuple[str, str]]:
    """Every text in a row with its field's path, list positions left out."""
    if isinstance(value, str):
        yield value.strip(), path
    elif isinstance(value, dict):
        for key, inner in value.items():
            yield from leaves(inner, f"{path}.{key}" if path else key)
    elif isinstance(value, list):
        for inner in value:
            yield from leaves(inner, path)


def skeleton(recipe: Recipe, row: dict[str, Any], coin: bool) -> str:
    """The formatted row with every field's value replaced by the field's path, candidates by one name."""
    example = recipe.format(row, Draw(0, 0, coin))
    assert example is not None
    assert example.label is coin
    text = example.text
    for value, path in sorted(leaves(row), key=lambda leaf: -len(leaf[0])):
        if len(value) > 1:  # a letter such as an answer's key would hit anywhere
            text = text.replace(value, "<candidate>" if path in recipe.candidate_fields else f"<{path}>")
    return text


@pytest.mark.parametrize("name", [name for name in SPEC if recipe_of(name).draws_label])
def test_positives_and_negatives_have_one_skeleton(name: str) -> None:
    recipe = recipe_of(name)
    for row in fixture_rows(name, 24):
        if name == "cosmos_qa" and row["label"] == 3:
            assert recipe.format(row, Draw(0, 0, True)) is recipe.format(row, Draw(0, 0, False)) is None
            continue
        if name == "anthropic_hh":  # its fields hold the whole conversation: compare what is around the ending
            parts = [recipe.format(row, Draw(0, 0, coin)).text for coin in (True, False)]  # pyright: ignore
            assert parts[0].replace("Helpful", "Useless") == parts[1]
            continue
        heads, tails = (skeleton(recipe, row, coin) for coin in (True, False))
        assert heads == tails
        assert "<candidate>" in heads


def test_the_skeleton_test_finds_a_planted_leak() -> None:
    """The answer's letter for positives and its text for negatives, as a careless OpenBookQA would have it."""

    class Leaky(Recipe):
        candidate_fields = ("choices.text",)

        def format(self, row: Any, draw: Draw) -> Any:
            example = recipe_of("openbookqa").format(row, draw)
            if example is None or not draw.coin():
                return example
            right = row["choices"]["text"][row["choices"]["label"].index(row["answerKey"])]
            return example._replace(text=example.text.replace(right, row["answerKey"]))

    row = fixture_rows("openbookqa", 1)[0]
    assert skeleton(Leaky(), row, True) != skeleton(Leaky(), row, False)


@pytest.mark.parametrize("name", [name for name in SPEC if recipe_of(name).draws_label])
def test_only_the_coin_decides_the_label(name: str) -> None:
    labels = [example.label for example in examples_of(name) if example]
    assert 0.35 < sum(labels) / len(labels) < 0.65
    for i, row in enumerate(fixture_rows(name, 40)):
        for coin in (True, False):
            example = recipe_of(name).format(row, Draw(0, i, coin))
            assert example is None or example.label is coin


@pytest.mark.parametrize("name", [name for name in SPEC if len(recipe_of(name).candidate_fields) > 0])
def test_every_wrong_candidate_has_its_turn(name: str) -> None:
    """Over many seeds all distractors are drawn, and none but them."""
    row = fixture_rows(name, 1)[0]
    shown = {recipe_of(name).format(row, Draw(seed, 0, coin=False)).text for seed in range(60)}  # pyright: ignore
    expected = {"dream": 2, "hellaswag": 3, "openbookqa": 3, "quail": 3, "social_i_qa": 2, "cosmos_qa": 2}
    expected |= {"sciq": 3, "sciq_with_support": 3}
    assert len(shown) == expected.get(name, 1)


@pytest.mark.parametrize("name", SPEC)
def test_prepares_into_splits_that_share_nothing(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    prepared = prepare_fixture(name, monkeypatch)
    texts = prepared.texts.merge(prepared.truth, on="id", validate="one_to_one")
    assert texts["id"].is_unique
    assert texts["text"].is_unique
    assert (texts.groupby("group")["split"].nunique() == 1).all()
    for split in SPLITS:
        members = texts[texts["split"] == split]
        assert len(members) == {"val": 20, "test": 40}.get(split, 30)
        assert members["label"].mean() == 0.5
    again = prepare_fixture(name, monkeypatch)
    assert again.texts.equals(prepared.texts)


SHARED = {  # what rows can have in common, by the field that it is in
    "amazon_polarity": ("content",),
    "anli-r2": ("premise",),
    "dream": ("dialogue",),
    "ethics-deontology": ("scenario",),
    "mc_taco": ("sentence",),
    "hellaswag": ("ctx",),
    "multirc": ("paragraph",),
    "openbookqa": ("question_stem",),
    "paws": ("sentence1", "sentence2"),
    "piqa": ("goal", "sol1", "sol2"),
    "quail": ("context",),
    "quartz": ("para", "question"),
    "social_i_qa": ("context",),
    "sciq": ("question", "support"),
    "sciq_with_support": ("question", "support"),
    "cosmos_qa": ("context",),
    "boolq": ("passage", "question"),
    "wic": ("sentence1", "sentence2"),
}
NAMED = {"dream": "dialogue_id", "hellaswag": "source_id", "quail": "context_id"}  # by the source itself
ALONE = {"cola", "sst2", "twitter-sentiment"}  # one sentence a row


@pytest.mark.parametrize("name", SPEC)
def test_says_what_rows_can_share(name: str) -> None:
    for row, example in zip(fixture_rows(name), examples_of(name), strict=True):
        if example is None:
            continue
        assert example.group == (row[NAMED[name]] if name in NAMED else None)
        assert (example.shared == ()) == (name in ALONE)
        if name in SHARED:
            fields = (row[field] for field in SHARED[name])
            assert example.shared == tuple("\n".join(field) if isinstance(field, list) else field for field in fields)


@pytest.mark.parametrize("name", [name for name in SPEC if name not in ALONE])
def test_rows_that_share_any_of_it_lie_in_one_split(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Field by field: half the rows of a fixture get that field from another row, in other case and spacing."""
    fields = {
        "anthropic_hh": ("chosen", "rejected"),
        "ethics-justice": ("scenario",),
        "ethics-virtue": ("scenario",),
        "ethics-utilitarianism": ("baseline", "less_pleasant"),
    }.get(name) or SHARED[name]
    for field in fields:
        rows = fixture_rows(name)
        pairs = [(i, i + 120) for i in range(0, 120, 2)]
        for source, row in pairs:
            rows[row] = {**rows[row], **spliced(name, field, rows[source], rows[row])}
        pools = Pools(ListRows(rows), None, 60)
        monkeypatch.setattr(recipes.get(name), "open", lambda self, identity, pools=pools: pools)
        texts = prepare(recipe_of(name), "made up", SETTINGS).texts
        split_of = dict(zip(texts["text"], texts["split"], strict=True))
        shown = [recipe_of(name).format(row, Draw(0, f"train:{i}")) for i, row in enumerate(rows)]
        splits = [split_of.get(example.text) if example else None for example in shown]
        both = [(splits[source], splits[row]) for source, row in pairs if splits[source] and splits[row]]
        assert len(both) > 10
        assert all(one == other for one, other in both)


def spliced(name: str, field: str, source: dict[str, Any], row: dict[str, Any]) -> dict[str, Any]:
    """The field of another row as a source might repeat it: in other case, with other white space."""
    if name == "anthropic_hh":
        deeper = "\n\nAssistant: Hello, what is it?\n\nHuman: And "
        ask = row["chosen"].split("Greeting ")[1].split("!")[0]
        begun = source["chosen"].split("\n\nAssistant: Hello")[0] + deeper + ask + "?"
        return {key: f"{begun}\n\nAssistant: {key} {ask}." for key in ("chosen", "rejected")}
    if name == "ethics-justice":
        claim = source["scenario"].split(" because")[0]
        return {"scenario": f"{claim}, because {row['scenario'].split('because ')[1]}"}
    if name == "ethics-virtue":
        return {
            "scenario": f"{source['scenario'].split(' [SEP]')[0].upper()} [SEP] other {row['scenario'].split()[-1]}"
        }
    value = source[field]
    return {field: [line.upper() for line in value] if isinstance(value, list) else f" {value.upper()}  "}


@pytest.mark.parametrize("name", [name for name in SPEC if not recipe_of(name).draws_label])
def test_the_order_of_rows_does_not_matter(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where nothing is drawn per row number, the same rows in another order give the same splits."""
    forwards = prepare_fixture(name, monkeypatch)
    backwards = prepare_fixture(name, monkeypatch, reverse=True)
    assert backwards.texts.equals(forwards.texts)
    assert backwards.truth.equals(forwards.truth)


@pytest.mark.parametrize("name", SPEC)
def test_rows_that_lack_a_field_are_left_out(name: str) -> None:
    """A field that matters, blank or missing, never makes half an example or an exception."""
    recipe = recipe_of(name)
    row = fixture_rows(name, 1)[0]
    for field, value in row.items():
        blanks = [None] if not isinstance(value, str) else [None, "", "  "]
        for blank in blanks:
            for coin in (True, False):
                example = recipe.format({**row, field: blank}, Draw(0, 0, coin))
                assert example is None or all(
                    line.split(": ", 1)[-1].strip() for line in example.text.split("\n") if line
                )
            assert (recipe.format({**row, field: blank}, Draw(0, 0, True)) is None) == (
                recipe.format({**row, field: blank}, Draw(0, 0, False)) is None
            )


@pytest.mark.parametrize("name", [name for name in SPEC if "label" in BUILDERS[name](0)])
def test_rows_without_a_label_are_left_out(name: str) -> None:
    row = fixture_rows(name, 1)[0]
    for hidden in ["", "-1"] if isinstance(row["label"], str) else [-1, None]:
        assert recipe_of(name).format({**row, "label": hidden}, Draw(0, 0)) is None


def golden_digest(name: str) -> str:
    """Of the made-up rows formatted under both coins, with all that they share."""
    shown = [example for coin in (True, False) for example in examples_of(name, coin)]
    rows = [[*example[:5], *example.shared] if example else None for example in shown]
    return hashlib.sha256(json.dumps(rows).encode()).hexdigest()[:16]


@pytest.mark.parametrize("name", SPEC)
def test_formatted_rows_change_only_with_the_version(name: str) -> None:
    """After a change on purpose bump the recipe's VERSION, then run this file as a script to record the digest."""
    recorded = json.loads(GOLDEN.read_text())[name]
    version = recipe_of(name).VERSION
    told = "rows changed: bump VERSION, then" if recorded["version"] == version else "VERSION changed:"
    assert recorded == {"version": version, "digest": golden_digest(name)}, f"{told} run python {__file__}"


def test_hub_locations() -> None:
    """The table of datasets, the parts that are easily mistaken."""
    hubs = {name: recipe_of(name).hub for name in SPEC}
    assert hubs["mc_taco"] == Hub("CogComp/mc_taco", "plain_text", train="test", test="validation")
    assert hubs["anli-r2"] == Hub("facebook/anli", "plain_text", train="train_r2", test="test_r2")
    assert hubs["sciq"] == hubs["sciq_with_support"]
    assert hubs["sciq"] is not None
    assert hubs["sciq"].pooled == ("train", "validation", "test")
    assert hubs["sciq"].test_size == 3000
    on_validation = {name for name, hub in hubs.items() if hub and hub.test == "validation"}
    on_test = {"anli-r2", "dream", "openbookqa", "paws", "quartz", "twitter-sentiment", "anthropic_hh"}
    on_test |= {"amazon_polarity", "sciq", "sciq_with_support"} | {name for name in SPEC if name.startswith("ethics")}
    assert on_validation == set(SPEC) - on_test


if __name__ == "__main__":
    GOLDEN.write_text(
        json.dumps({n: {"version": recipe_of(n).VERSION, "digest": golden_digest(n)} for n in SPEC}, indent=1) + "\n"
    )
