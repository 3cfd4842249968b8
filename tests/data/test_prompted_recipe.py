"""Rows without the words of a prompt, and families of datasets."""

from __future__ import annotations

import re

import pytest
from test_recipes import BUILT_IN, leaves, recipe_of, skeleton

from outshine.data.prompted_recipe import PromptedRecipe
from outshine.data.recipes.sciq import SciQ
from outshine.data.schema import Draw, Recipe, families, recipes
from outshine.engine.errors import SettingsError
from outshine.testing.recipes import prepare_samples, sample_rows
from outshine.w2s.study_file import parse_study, with_settings


def bare(name: str) -> Recipe:
    return recipes.parse({"kind": name, "prompt": "none"})


PROMPTED = [name for name in BUILT_IN if not recipe_of(name).task.is_pair]


@pytest.mark.parametrize("name", PROMPTED)
def test_without_a_prompt_nothing_is_left_but_the_fields_of_the_row(name: str) -> None:
    for i, row in enumerate(sample_rows(recipe_of(name), 24)):
        for coin in (True, False):
            usual = recipe_of(name).format(row, Draw(0, i, coin))
            example = bare(name).format(row, Draw(0, i, coin))
            if usual is None:
                assert example is None
                continue
            assert example is not None
            assert example._replace(text=usual.text) == usual  # the same label, group, shared and shortened parts
            assert example.shorten in example.text
            values = [part.strip() for value, _ in leaves(row) for part in value.split("[SEP]")]
            rest = example.text
            for value in sorted(filter(None, values), key=len, reverse=True):
                rest = rest.replace(value, "")
            if name == "anthropic_hh":  # the conversation as the source has it
                assert example.text in (row["chosen"].strip(), row["rejected"].strip())
            elif name == "dream":  # single signs of the answers' letters are fields too
                assert not re.search(r"\w{2,}", rest)
            else:
                assert rest.strip("\n?") == ""  # BoolQ's questions end in one question mark
            place = 0
            for line in example.text.splitlines():  # the fields in the order that the prompt shows them in
                place = usual.text.find(line, place)
                assert place >= 0
                place += 0 if name == "wic" else len(line)


@pytest.mark.parametrize("name", [name for name in PROMPTED if recipe_of(name).draws_label])
def test_without_a_prompt_both_labels_have_one_skeleton(name: str) -> None:
    for row in sample_rows(recipe_of(name), 24):
        if bare(name).format(row, Draw(0, 0, True)) is bare(name).format(row, Draw(0, 0, False)) is None:
            continue
        heads, tails = (skeleton(bare(name), row, coin) for coin in (True, False))
        assert heads == tails
        assert "<candidate>" in heads


@pytest.mark.parametrize("name", PROMPTED)
def test_without_a_prompt_the_splits_are_as_large(name: str) -> None:
    usual, prepared = prepare_samples(recipe_of(name)), prepare_samples(bare(name))
    assert prepared.texts["split"].value_counts().to_dict() == usual.texts["split"].value_counts().to_dict()
    assert set(prepared.truth["label"]) == {0, 1}
    assert not set(prepared.texts["text"]) & set(usual.texts["text"])


def test_the_names_of_both_ways_differ_and_the_usual_one_stays() -> None:
    assert bare("sst2").name == "sst2-no-prompt"
    assert recipe_of("sst2").name == "sst2"
    assert bare("sst2").model_dump() == {"kind": "sst2", "prompt": "none"}
    assert recipes.parse(bare("sst2").model_dump()) == bare("sst2")


def test_a_study_can_leave_the_prompt_out_in_yaml_and_on_the_command_line() -> None:
    raw = {"datasets": ["sst2"], "weak": "tiny/weak", "strong": "tiny/strong"}
    assert parse_study(with_settings(raw, ["datasets.0.prompt=none"])).datasets == (bare("sst2"),)
    both = parse_study({**raw, "datasets": ["sst2", {"kind": "sst2", "prompt": "none"}]})
    assert [dataset.name for dataset in both.datasets] == ["sst2", "sst2-no-prompt"]


@pytest.mark.parametrize("kind", [{"kind": "file", "path": "x.csv"}, {"kind": "tiny-home"}])
def test_what_has_no_prompt_has_no_such_setting(kind: dict[str, str]) -> None:
    with pytest.raises(SettingsError, match=rf"dataset '{kind['kind']}': unknown setting 'prompt'"):
        recipes.parse({**kind, "prompt": "none"})
    with pytest.raises(SettingsError, match="'prompt': Input should be 'default' or 'none'"):
        recipes.parse({"kind": "sst2", "prompt": "no"})


def test_every_dataset_of_the_hub_can_leave_its_prompt_out() -> None:
    of_texts = [cls for _, cls in recipes if cls.hub is not None and not cls.task.is_pair]  # pairs have no prompt
    assert all(issubclass(cls, PromptedRecipe) for cls in of_texts)
    assert len(of_texts) >= 24


def test_a_familys_datasets_are_found_by_name() -> None:
    names = ["sciq_with_support", "sst2", "mine", "sciq", "sst2-no-prompt", "tiny-home"]
    assert families(names) == {
        "sciq": ["sciq_with_support", "sciq"],
        "sst2": ["sst2", "sst2-no-prompt"],
        "mine": ["mine"],
        "tiny-home": ["tiny-home"],
    }


def test_a_family_is_ones_own_name_unless_named() -> None:
    assert recipes.get("sciq_with_support").family == recipe_of("sciq_with_support").family == "sciq"
    others = {name: cls.family for name, cls in recipes if "family" not in vars(cls)}
    assert "sciq_with_support" not in others
    assert others == {name: name for name in others}
    assert {cls.family for _, cls in recipes} <= set(recipes.names())


def test_datasets_from_one_table_of_rows_share_a_family() -> None:
    """Two recipes that read the same files of the hub are no independent datasets."""
    by_files: dict[object, set[str]] = {}
    for _, cls in recipes:
        if cls.hub is not None:
            by_files.setdefault((cls.hub.repo, cls.hub.config), set()).add(cls.family)
    assert all(len(found) == 1 for found in by_files.values())


def test_a_familys_groups_have_the_same_names() -> None:
    """So that they are cut in the same order: most test questions of one are test questions of the other."""
    one, other = (prepare_samples(recipe_of(name)).texts for name in ("sciq", "sciq_with_support"))
    assert set(one["group"]) == set(other["group"])
    both = one.merge(other, on="group")
    assert (both["split_x"] == both["split_y"]).mean() > 0.9
    assert SciQ.family == "sciq"
