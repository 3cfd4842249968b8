"""The page's part on each dataset, recomputed from the Parquet files of the store."""

from __future__ import annotations

import re
from html.parser import HTMLParser

import numpy as np
import pandas as pd
import pytest
from recomputed import Artefacts

from outshine.report.dataset_section import MOST_CHARACTERS, differ_sentence
from outshine.report.text import excerpt
from outshine.results.diagnostics import disagreements
from small_study import Ran

pytestmark = pytest.mark.slow

DATASETS = ["tiny-home", "tiny-pet", "tiny-food"]


class Part(HTMLParser):
    """One dataset's part of a page: its lists of texts, as (words above, text), and its paragraphs."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.lists: list[list[tuple[str, str]]] = []
        self.paragraphs: list[str] = []
        self._label = ""
        self._kind = ""
        self.feed(html)

    def handle_starttag(self, tag, attrs):
        if tag == "ol":
            self.lists.append([])
        if tag in ("p", "blockquote"):
            self._kind = tag
            self.paragraphs.append("")

    def handle_endtag(self, tag):
        if tag == "p":
            self._label = self.paragraphs[-1]
        elif tag == "blockquote":
            self.lists[-1].append((self._label, self.paragraphs.pop()))
        if tag == self._kind:
            self._kind = ""

    def handle_data(self, data):
        if self._kind:
            self.paragraphs[-1] += data


@pytest.fixture(scope="module")
def found(ran: Ran) -> Artefacts:
    return Artefacts(ran.store)


@pytest.fixture(scope="module")
def parts(ran: Ran) -> dict[str, Part]:
    html = re.findall(r'<details class="dataset".*?</details>', ran.page, re.DOTALL)
    assert len(html) == len(DATASETS)
    return dict(zip(DATASETS, map(Part, html), strict=True))


def scored(ran: Ran, found: Artefacts, dataset: str) -> pd.DataFrame:
    """Test rows with truth and the probabilities of supervisor and vanilla logconf student, means over seeds."""
    scores = pd.read_parquet(ran.out / "scores.parquet")
    own = scores[(scores["dataset"] == dataset) & (scores["split"] == "test")]
    student = (own["role"] == "student") & (own["method"] == "vanilla") & (own["loss"] == "logconf")
    keys = {"p_weak": own.loc[own["role"] == "weak", "key"], "p_student": own.loc[student, "key"]}
    assert [len(several) for several in keys.values()] == [2, 2]
    rows = found.split(keys["p_weak"].iloc[0])[["label", "text"]]
    for name, several in keys.items():
        rows = rows.assign(**{name: np.mean([found.split(key)["p"].to_numpy() for key in several], axis=0)})
    return rows


@pytest.mark.parametrize("dataset", DATASETS)
def test_where_student_and_supervisor_differ(ran, found, parts, dataset):
    rows = scored(ran, found, dataset)
    apart = rows[(rows["p_weak"] > 0.5) != (rows["p_student"] > 0.5)]
    right = (apart["p_student"] > 0.5) == (apart["label"] > 0)
    text = " ".join(parts[dataset].paragraphs)
    if apart.empty:
        assert f"give the same label to all {len(rows)} test rows" in text
        assert len(parts[dataset].lists) == 1
        return
    assert f"different labels to {len(apart)} of {len(rows)} test rows" in text
    assert f"the student is right on {right.sum()} of them, the supervisor on the other {(~right).sum()}." in text
    assert ("every row the same label" in text) == (rows["p_weak"].gt(0.5).nunique() == 1)
    surest = apart.assign(doubt=-(apart["p_student"] - 0.5).abs()).sort_values("doubt", kind="stable").head(10)
    shown = parts[dataset].lists[0]
    assert [told for _, told in shown] == surest["text"].tolist()
    for (label, _), row in zip(shown, surest.itertuples(), strict=True):
        assert label.startswith("student right" if (row.p_student > 0.5) == row.label else "supervisor right")
        assert f"truth {'positive' if row.label else 'negative'}" in label
        student, weak = (float(number) for number in re.findall(r"P (\S+)", label))
        assert abs(student - row.p_student) <= 5e-4 + 1e-9
        assert abs(weak - row.p_weak) <= 5e-4 + 1e-9


def test_some_dataset_has_rows_to_show(parts):
    assert max(len(part.lists) for part in parts.values()) == 2


@pytest.mark.parametrize("dataset", DATASETS)
def test_ten_sample_texts_are_the_first_by_id(found, parts, dataset):
    rows = found.rows[found.rows["dataset"] == dataset].sort_index()
    shown = parts[dataset].lists[-1]
    positive, negative = (rows[rows["label"] == label] for label in (1, 0))
    expected = [
        row for pair in zip(positive.head(5).iterrows(), negative.head(5).iterrows(), strict=True) for row in pair
    ]
    assert [text for _, text in shown] == [row["text"] for _, row in expected]
    for (label, _), (_, row) in zip(shown, expected, strict=True):
        assert label == f"{'positive' if row['label'] else 'negative'} {row['split']}"


def test_a_long_text_is_cut_in_its_middle():
    text = "".join(chr(ord("a") + number % 26) for number in range(5000))
    cut = excerpt(text, MOST_CHARACTERS)
    head, missing, tail = re.fullmatch(r"(\w+) \[…([\d,]+) characters…\] (\w+)", cut).groups()
    assert text.startswith(head)
    assert text.endswith(tail)
    assert len(head) + len(tail) == MOST_CHARACTERS == 5000 - int(missing.replace(",", ""))
    assert excerpt(text[:MOST_CHARACTERS], MOST_CHARACTERS) == text[:MOST_CHARACTERS]


def test_a_supervisor_with_one_label_is_said_to_tell_little():
    rows = pd.DataFrame({"y": [1, 0], "p_weak": [0.6, 0.7], "p_student": [0.4, 0.8]}, index=["a", "b"])
    assert differ_sentence(disagreements(rows, 5)).endswith("so this says little.")
