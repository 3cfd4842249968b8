"""Texts too long for a model: the passage is cut and the question kept; else the left end goes."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from outshine.learn.load import load_tokenizer
from outshine.learn.tokenize import Text, encode, shorten
from tiny_checkpoints import spec_of


@pytest.fixture(scope="module")
def tokens(checkpoint):
    return load_tokenizer(spec_of(checkpoint("llama")).model)


def words(tokens, ids):
    return tokens.tokenizer.convert_ids_to_tokens(ids)


def marked(before: str, passage: str, behind: str) -> Text:
    return Text(before + passage + behind, len(before), len(before) + len(passage))


def test_texts_that_fit_are_left_alone(tokens):
    encoded = encode(tokens, [Text("w1 w2"), Text("w3"), Text("w1 " * 6)], 8)
    assert [words(tokens, ids) for ids in encoded.tokens[:2]] == [["<s>", "w1", "w2", "</s>"], ["<s>", "w3", "</s>"]]
    assert encoded.shortened == [False] * 3
    assert encoded.lengths == [4, 3, 8]
    assert encode(tokens, [], 8).tokens == []


def test_the_passage_is_cut_from_its_end_and_the_question_kept(tokens):
    passage = " ".join(f"w{i}" for i in range(20))
    encoded = encode(tokens, [marked("w40 ", passage, " w41 w42"), Text("w1")], 10)
    assert words(tokens, encoded.tokens[0]) == ["<s>", "w40", "w0", "w1", "w2", "w3", "w4", "w41", "w42", "</s>"]
    assert encoded.shortened == [True, False]


def test_without_a_mark_the_left_end_goes_and_special_tokens_stay(tokens):
    encoded = encode(tokens, [Text(" ".join(f"w{i}" for i in range(20)))], 6)
    assert words(tokens, encoded.tokens[0]) == ["<s>", "w16", "w17", "w18", "w19", "</s>"]
    assert encoded.shortened == [True]


def test_where_the_passage_alone_is_not_enough_the_left_end_goes_too(tokens):
    encoded = encode(tokens, [marked("w1 w2 ", "w3 w4", " w5 w6 w7")], 4)
    assert words(tokens, encoded.tokens[0]) == ["<s>", "w6", "w7", "</s>"]


def test_a_limit_below_the_special_tokens_still_holds(tokens):
    assert encode(tokens, [Text("w1 w2")], 1).lengths == [1]


def test_a_text_without_any_token_becomes_one_of_padding(checkpoint, tmp_path):
    import shutil

    from tiny_checkpoints import write_tokenizer

    folder = shutil.copytree(checkpoint("llama"), tmp_path / "model")
    write_tokenizer(folder, frame=False)
    tokens = load_tokenizer(spec_of(folder).model)
    assert encode(tokens, [Text(" ")], 8).tokens == [[tokens.pad_id]]


PIECES = st.text(alphabet="ab \n", max_size=30)


@given(PIECES, PIECES, PIECES, st.integers(0, 60))
def test_the_longest_version_that_fits_is_found(before, passage, behind, limit):
    text = marked(before, passage, behind)
    result = shorten(text, lambda version: len(version) <= limit)
    assert len(result) <= limit
    if len(before + behind) <= limit and passage:
        candidates = {before + passage[:n].rstrip() + behind for n in range(len(passage) + 1)}
    else:
        rest = before + behind
        candidates = {rest[len(rest) - n :] for n in range(len(rest) + 1)}
    assert result in candidates
    assert len(result) == max(len(candidate) for candidate in candidates if len(candidate) <= limit)


def test_a_tokenizer_that_is_not_monotone_still_gives_a_text_that_fits():
    def fits(version: str) -> bool:  # some longer versions fit where shorter ones do not
        return len(version) <= 20 and len(version) % 7 != 3

    result = shorten(marked("question ", "p" * 40, " answer"), fits)
    assert fits(result)
    assert result.startswith("question ")
    assert result.endswith(" answer")


@pytest.mark.parametrize(
    ("text", "share"),
    [("w1 w2", 0), ("w1 hotel", 0.5), ("grand hotel", 1), ("w1 w2 w3 hotel", 0.25), ("", 0), ("<s> w1", 0)],
)
def test_the_share_of_unknown_tokens_leaves_special_ones_out(tokens, text, share):
    assert encode(tokens, [Text(text)], 32).unknown == [share]


def test_a_tokenizer_that_drops_what_it_does_not_know_knows_nothing(tokens):
    from tokenizers import Tokenizer
    from tokenizers.models import BPE
    from transformers import PreTrainedTokenizerFast

    bare = PreTrainedTokenizerFast(tokenizer_object=Tokenizer(BPE({"a": 0, "b": 1}, [])), bos_token="a")
    assert encode(tokens._replace(tokenizer=bare), [Text("hotel"), Text("b"), Text(" ")], 32).unknown == [1, 0, 0]
