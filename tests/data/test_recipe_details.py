"""What single recipes must get right, beyond the contract."""

from __future__ import annotations

from typing import Any
from unittest.mock import patch

import pytest

from outshine.data.prompted_recipe import binary, filled, long_sentences, propose
from outshine.data.recipes.anthropic_hh import split_turns
from outshine.data.recipes.cosmos_qa import is_none_of_the_above
from outshine.data.recipes.ethics_justice import stems
from outshine.data.rows import Hub, ListRows, Pools
from outshine.data.schema import Draw, Example, recipes
from outshine.data.splits import SplitSettings, prepare
from outshine.testing.recipes import SETTINGS, sample_examples, sample_rows


def formatted(name: str, coin: bool = True, row_number: int = 0, **changes: object) -> Example | None:
    return recipes.get(name)().format(
        {**recipes.get(name).sample_row(row_number), **changes}, Draw(0, row_number, coin)
    )


def shown(name: str, coin: bool = True, row_number: int = 0, **changes: object) -> Example:
    example = formatted(name, coin, row_number, **changes)
    assert example is not None
    return example


def test_sciq_in_full() -> None:
    example = shown("sciq")
    assert example == Example(
        "Question: Which is question 0?\nProposed answer: right thing 0.\nIs the proposed answer correct?",
        label=True,
        shared=("Which is question 0?", "Supporting text 0!"),
    )
    assert "Proposed answer: distractor" in shown("sciq", coin=False).text


def test_openbookqa_always_shows_the_text_of_an_answer() -> None:
    for row_number in range(8):
        right = recipes.get("openbookqa").sample_row(row_number)["choices"]["text"][row_number % 4]
        assert f"Proposed answer: {right}\n" in shown("openbookqa", True, row_number).text
        wrong = shown("openbookqa", False, row_number).text
        assert right not in wrong
        assert "Proposed answer: option " in wrong


@pytest.mark.parametrize(
    "written", ["None of the above choices .", "none of the above choices", " None of the above choices. "]
)
def test_cosmos_qa_never_shows_none_of_the_above(written: str) -> None:
    assert is_none_of_the_above(written)
    recipe, row = recipes.get("cosmos_qa")(), {**recipes.get("cosmos_qa").sample_row(0), "answer2": written}
    for seed in range(40):
        for coin in (True, False):
            example = recipe.format(row, Draw(seed, 0, coin))
            assert example is not None
            assert "none of the above" not in example.text.lower()
    assert formatted("cosmos_qa", row_number=3) is None
    assert not is_none_of_the_above(None)


def test_anli_counts_entailment_only() -> None:
    assert [shown("anli-r2", label=label).label for label in (0, 1, 2)] == [True, False, False]


def test_utilitarianism_shows_both_in_the_order_of_the_coin() -> None:
    heads, tails = shown("ethics-utilitarianism"), shown("ethics-utilitarianism", coin=False)
    assert heads.text.startswith("First situation: I ate cake 0.\nSecond situation: I ate mud 0.\n")
    assert tails.text.startswith("First situation: I ate mud 0.\nSecond situation: I ate cake 0.\n")
    assert (heads.label, tails.label) == (True, False)
    assert formatted("ethics-utilitarianism", less_pleasant="I ate cake 0.") is None


def test_virtue_needs_a_scene_and_a_trait() -> None:
    assert shown("ethics-virtue").shared == ("Person 0 acted.",)
    assert "Trait: trait0\n" in shown("ethics-virtue").text
    for scenario in ("no mark", "[SEP] trait", "scene [SEP] "):
        assert formatted("ethics-virtue", scenario=scenario) is None


def test_boolq_asks_with_one_question_mark() -> None:
    assert "Question: is 0 a number?\n" in shown("boolq").text
    assert "Question: is it so?\n" in shown("boolq", question="is it so?").text
    assert [shown("boolq", answer=answer).label for answer in (True, False)] == [True, False]


def test_a_review_without_a_title_has_no_title_line() -> None:
    assert shown("amazon_polarity", title=None).text.startswith("Product review: Content")
    assert shown("amazon_polarity").text.startswith("Title: Title 0\nProduct review: Content")


def test_only_the_passage_is_shortened() -> None:
    example = shown("dream")
    assert example.shorten == "M: Line 0a?\nW: Line 0b."
    assert example.text.replace(example.shorten, "") == (
        "Dialogue: \n\nQuestion: What of 0?\nProposed answer: option w number 0.\nIs the proposed answer correct?"
    )


def test_hidden_or_impossible_answers_are_left_out() -> None:
    assert formatted("hellaswag", label="9") is None
    assert formatted("social_i_qa", label="0") is None
    assert formatted("piqa", label=2) is None
    assert formatted("openbookqa", answerKey="Z") is None
    assert formatted("quail", correct_answer_id=-1) is None
    assert formatted("dream", choice=["option w number 0."]) is None


HEAD = "\n\nHuman: Hi\n\nAssistant: Hello\n\nHuman: Tell me"


@pytest.mark.parametrize(
    ("chosen", "rejected", "parts"),
    [
        (f"{HEAD}\n\nAssistant: good", f"{HEAD}\n\nAssistant: bad", (HEAD.strip(), "good", "bad")),
        # endings that begin alike, one of them with further turns
        (
            f"{HEAD}\n\nAssistant: yes",
            f"{HEAD}\n\nAssistant: yes\n\nHuman: no\n\nAssistant: oh",
            (HEAD.strip(), "yes", "yes\n\nHuman: no\n\nAssistant: oh"),
        ),
        # conversations that part before the last turn
        (
            f"{HEAD}\n\nAssistant: A\n\nHuman: x\n\nAssistant: B",
            f"{HEAD}\n\nAssistant: C\n\nHuman: y\n\nAssistant: D",
            (HEAD.strip(), "A\n\nHuman: x\n\nAssistant: B", "C\n\nHuman: y\n\nAssistant: D"),
        ),
        (f"{HEAD}\n\nAssistant: same", f"{HEAD}\n\nAssistant: same", None),
        (f"{HEAD}\n\nAssistant:", f"{HEAD}\n\nAssistant: bad", None),
        ("\n\nHuman: only a question", "\n\nHuman: only another", None),
        ("\n\nAssistant: no prompt", "\n\nAssistant: none here", None),
        ("", "\n\nHuman: a\n\nAssistant: b", None),
    ],
)
def test_conversations_are_cut_at_the_last_shared_turn(
    chosen: str, rejected: str, parts: tuple[str, str, str] | None
) -> None:
    assert split_turns(chosen, rejected) == parts


def test_shared_turns_at_the_end_are_told_apart_from_the_prompt() -> None:
    """Both end in a turn that is the same: the endings differ before it, so it is no part of the prompt."""
    chosen, rejected = (f"{HEAD}\n\nAssistant: {word}\n\nHuman: ok\n\nAssistant: bye" for word in ("good", "bad"))
    parts = split_turns(chosen, rejected)
    assert parts is not None
    assert parts[0] == HEAD.strip()


def test_propose() -> None:
    heads, tails = Draw(0, 0, True), Draw(0, 0, False)
    assert propose(heads, [" right ", "wrong", None, ""], right=0) == "right"
    assert propose(tails, [" right ", "wrong", None, "", "right"], right=0) == "wrong"
    for draw in (heads, tails):
        assert propose(draw, ["right", "right "], right=0) is None
        assert propose(draw, ["", "wrong"], right=0) is None
        assert propose(draw, ["a", "b"], right=2) is None
        assert propose(draw, ["a", "b"], right=-1) is None


def test_what_is_drawn_next_does_not_know_the_label() -> None:
    heads, tails = Draw(0, 0, True), Draw(0, 0, False)
    for draw in (heads, tails):
        propose(draw, ["right", "wrong", "worse"], right=0)
    assert heads.choice(range(1000)) == tails.choice(range(1000))


def test_wrong_candidates_are_drawn_evenly() -> None:
    drawn = [propose(Draw(0, i, False), ["right", "a", "b", "c"], right=0) for i in range(3000)]
    for wrong in "abc":
        assert abs(drawn.count(wrong) - 1000) < 4 * (3000 * 1 / 3 * 2 / 3) ** 0.5


def test_fields_and_labels() -> None:
    assert filled({"a": " x ", "b": "y"}, "a", "b") == ["x", "y"]
    assert filled({"a": "x", "b": " "}, "a", "b") is None
    assert filled({"a": "x"}, "a", "b") is None
    assert filled({"a": 7}, "a") is None
    assert [binary({"label": value}) for value in (0, 1, True, -1, 2, None)] == [False, True, True, None, None, None]


def splits_of(name: str, rows: list[dict[str, Any]], monkeypatch: pytest.MonkeyPatch) -> list[str | None]:
    """The split of each of some training rows of a recipe, mixed with made-up ones; None: left out as surplus."""
    every = [*rows, *(recipes.get(name).sample_row(i) for i in range(1000, 1200))]
    recipe = recipes.get(name)()
    monkeypatch.setattr(recipes.get(name), "open", lambda self, identity: Pools(ListRows(every), None, 40))
    texts = prepare(recipe, "made up", SplitSettings(n_train=160, n_val=40, n_test=40)).texts
    split_of = dict(zip(texts["text"], texts["split"], strict=True))
    shown = [recipe.format(row, Draw(0, f"train:{i}")) for i, row in enumerate(rows)]
    return [split_of.get(example.text) if example else None for example in shown]


def in_one_split(name: str, rows: list[dict[str, Any]], monkeypatch: pytest.MonkeyPatch) -> bool:
    found = [split for split in splits_of(name, rows, monkeypatch) if split]
    assert len(found) > 1
    return len(set(found)) == 1


def test_what_is_known_of_two_paraphrases_fixes_a_third_pair(monkeypatch: pytest.MonkeyPatch) -> None:
    """a = b and b = c give a = c: the three pairs, and what hangs on them, lie in one split."""
    a, b, c, d = (f"Sentence {name} has its own words." for name in "abcd")
    pairs = [(a, b, 1), (b.upper(), c, 1), (a, c, 1), (d, c, 0)]
    rows = [{"id": i, "sentence1": one, "sentence2": two, "label": label} for i, (one, two, label) in enumerate(pairs)]
    assert in_one_split("paws", rows, monkeypatch)


def test_one_conversation_at_several_depths_is_one_group(monkeypatch: pytest.MonkeyPatch) -> None:
    turns = ["\n\nHuman: How do I bake bread?"]
    rows = []
    for depth in range(4):
        told = "".join(turns)
        rows.append({key: f"{told}\n\nAssistant: {key} {depth}" for key in ("chosen", "rejected")})
        turns += [f"\n\nAssistant: chosen {depth}", f"\n\nHuman: And then {depth}?"]
    assert {shown("anthropic_hh", **row).shared for row in rows} == {("Human: How do I bake bread?",)}
    assert in_one_split("anthropic_hh", rows, monkeypatch)


def test_the_next_scene_of_a_film_shows_the_ending_of_the_one_before(monkeypatch: pytest.MonkeyPatch) -> None:
    acts = [f"the boy performs act number {i} with care" for i in range(5)]
    rows = [
        {
            "ctx": f"{acts[i].capitalize()}. {acts[i + 1].capitalize()}. the boy",
            "endings": [acts[i + 2].removeprefix("the boy "), "sits down", "leaves the room", f"waits {i} days"],
            "label": "0",
        }
        for i in range(3)
    ]
    assert in_one_split("hellaswag", rows, monkeypatch)
    films = [{**recipes.get("hellaswag").sample_row(3 * i), "source_id": "activitynet~v_1"} for i in range(4)]
    assert in_one_split("hellaswag", films, monkeypatch)
    named = shown("hellaswag", source_id="activitynet~v_1", ctx=rows[0]["ctx"])
    assert (named.group, named.shared) == ("activitynet~v_1", (rows[0]["ctx"],))  # stock scenes join no two films


@pytest.mark.parametrize(
    "statements",
    [
        (  # one claim, several reasons, however they are joined
            "I usually wave to Ann, but today I didn't because she was ill.",
            "I usually wave to Ann but not now since she is away",
            "I usually wave to Ann , although she never waves back.",
        ),
        (  # one reason, several claims
            "I deserve to be paid because I clean her house daily.",
            "I deserve a new car because I clean her house daily",
        ),
        (  # no reason: the same ten words at the beginning
            "I am justified in expecting my home economics teacher to bake bread.",
            "I am justified in expecting my home economics teacher to change a tire.",
        ),
    ],
)
def test_variants_of_one_statement_are_one_group(statements: tuple[str, ...], monkeypatch: pytest.MonkeyPatch) -> None:
    rows = [{"scenario": statement, "label": i % 2} for i, statement in enumerate(statements)]
    assert in_one_split("ethics-justice", rows, monkeypatch)


def test_statements_with_nothing_but_a_beginning_in_common_are_apart() -> None:
    one, other = stems("I deserve a raise because I work hard."), stems("I deserve a rest because I work well.")
    assert one == ("I deserve a raise", "I work hard")
    assert not set(one) & set(other)
    assert stems("Because of rain I stay in.") == ("Because of rain I stay in", "of rain I stay in")


def test_pairs_of_situations_that_begin_alike_are_one_group(monkeypatch: pytest.MonkeyPatch) -> None:
    pairs = [
        ("I cooked breakfast.", "I cooked breakfast. It burnt."),
        ("I cooked breakfast. It was good.", "I cooked breakfast. I was ill after."),
        ("I ate well.", "I cooked breakfast. I was ill after."),
    ]
    rows = [{"baseline": one, "less_pleasant": other} for one, other in pairs]
    assert in_one_split("ethics-utilitarianism", rows, monkeypatch)


def test_questions_on_supporting_texts_with_a_common_sentence_are_one_group(monkeypatch: pytest.MonkeyPatch) -> None:
    common = "Mesophiles grow best at moderate temperatures between two limits."
    supports = [f"Here begins text {i}. {common} And so on {i}." for i in range(4)]
    for name in ("sciq", "sciq_with_support"):
        rows = [{**recipes.get(name).sample_row(i), "support": support} for i, support in enumerate(supports)]
        assert in_one_split(name, rows, monkeypatch)
    assert shown("sciq", support="").shared == ("Which is question 0?",)
    assert shown("sciq", support=None).shared == ("Which is question 0?",)


def test_long_sentences() -> None:
    text = "A short one. This one has just enough words!  [step] And this has them all\ntoo few"
    assert long_sentences(text, 5) == ("This one has just enough words", "And this has them all")
    assert long_sentences("", 5) == ()


# --- what rows of single datasets have in common ------------------------------------------------------------------

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
SINGLE = {*SHARED, *ALONE, "anthropic_hh", "ethics-justice", "ethics-virtue", "ethics-utilitarianism"}


@pytest.mark.parametrize("name", sorted(SINGLE))
def test_says_what_rows_can_share(name: str) -> None:
    recipe = recipes.get(name)()
    for row, example in zip(sample_rows(recipe), sample_examples(recipe), strict=True):
        if example is None:
            continue
        assert example.group == (row[NAMED[name]] if name in NAMED else None)
        assert (example.shared == ()) == (name in ALONE)
        if name in SHARED:
            fields = (row[field] for field in SHARED[name])
            assert example.shared == tuple("\n".join(field) if isinstance(field, list) else field for field in fields)


@pytest.mark.parametrize("name", sorted(SINGLE - ALONE))
def test_rows_that_share_any_of_it_lie_in_one_split(name: str) -> None:
    """Field by field: half the rows of a fixture get that field from another row, in other case and spacing."""
    recipe = recipes.get(name)()
    fields = {
        "anthropic_hh": ("chosen", "rejected"),
        "ethics-justice": ("scenario",),
        "ethics-virtue": ("scenario",),
        "ethics-utilitarianism": ("baseline", "less_pleasant"),
    }.get(name) or SHARED[name]
    for field in fields:
        rows = sample_rows(recipe)
        pairs = [(i, i + 120) for i in range(0, 120, 2)]
        for source, row in pairs:
            rows[row] = {**rows[row], **spliced(name, field, rows[source], rows[row])}
        pools = Pools(ListRows(rows), None, 60)
        with patch.object(type(recipe), "open", lambda self, identity, pools=pools: pools):
            texts = prepare(recipe, "made up", SETTINGS).texts
        split_of = dict(zip(texts["text"], texts["split"], strict=True))
        shown = [recipe.format(row, Draw(0, f"train:{i}")) for i, row in enumerate(rows)]
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


# --- other facts about single datasets ------------------------------------------------------------------------------


WRONG_CANDIDATES = {
    "dream": 2,
    "hellaswag": 3,
    "openbookqa": 3,
    "quail": 3,
    "social_i_qa": 2,
    "cosmos_qa": 2,
    "quartz": 1,
    "sciq": 3,
    "sciq_with_support": 3,
    "piqa": 1,
    "anthropic_hh": 1,
}


@pytest.mark.parametrize("name", WRONG_CANDIDATES)
def test_all_wrong_candidates_have_their_turn(name: str) -> None:
    row = recipes.get(name).sample_row(0)
    texts = {recipes.get(name)().format(row, Draw(seed, 0, coin=False)).text for seed in range(60)}  # pyright: ignore
    assert len(texts) == WRONG_CANDIDATES[name]


def test_cosmos_qa_leaves_out_a_quarter_of_its_rows_and_others_leave_out_none() -> None:
    for name in SINGLE:
        used = sum(example is not None for example in sample_examples(recipes.get(name)()))
        assert used == (180 if name == "cosmos_qa" else 240), name


def test_hub_locations() -> None:
    """The table of datasets, the parts that are easily mistaken."""
    hubs = {name: recipes.get(name).hub for name in SINGLE}
    assert hubs["mc_taco"] == Hub("CogComp/mc_taco", "plain_text", train="test", test="validation")
    assert hubs["anli-r2"] == Hub("facebook/anli", "plain_text", train="train_r2", test="test_r2")
    assert hubs["sciq"] == hubs["sciq_with_support"]
    assert hubs["sciq"] is not None
    assert hubs["sciq"].pooled == ("train", "validation", "test")
    assert hubs["sciq"].test_size == 3000
    on_test = {"anli-r2", "dream", "openbookqa", "paws", "quartz", "twitter-sentiment", "anthropic_hh"}
    on_test |= {"amazon_polarity", "sciq", "sciq_with_support"} | {name for name in SINGLE if name.startswith("ethics")}
    assert {name for name, hub in hubs.items() if hub and hub.test == "validation"} == SINGLE - on_test
