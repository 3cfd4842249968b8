"""What every dataset keeps, as checks on the rows that its recipe makes up (`Recipe.sample_row`)."""

from __future__ import annotations

import re
from collections import defaultdict
from typing import Any
from unittest.mock import patch

from outshine.data.audit.template_leaks import compare, leaves
from outshine.data.rows import ListRows, Pools
from outshine.data.schema import Draw, Example, Recipe
from outshine.data.splits import SPLITS, PreparedSplits, SplitSettings, prepare
from outshine.testing.demands import Demand, check_all, other_global_randomness, require

NUM_TRAIN, NUM_TEST = 240, 120
SETTINGS = SplitSettings(n_train=60, n_val=20, n_test=40)
SAME_TEXT = 12
"""Characters from which a text that two rows show is taken for one that they share, and not for a common word."""


def check_recipe(recipe: Recipe) -> None:
    """Check that a dataset keeps what every dataset keeps, on rows of its own `sample_row`.

    Args:
        recipe: A recipe with its settings.

    Raises:
        AssertionError: It breaks a demand; the message names each that is broken, and what was observed.
    """
    check_all(recipe, "dataset", RECIPE_DEMANDS)


def sample_rows(recipe: Recipe, num: int = NUM_TRAIN, start: int = 0) -> list[dict[str, Any]]:
    """Rows as the recipe makes them up; what counts from `start` shares nothing with what counts from elsewhere."""
    return [dict(recipe.sample_row(number)) for number in range(start, start + num)]


def sample_examples(recipe: Recipe, coin: bool | None = None) -> list[Example | None]:
    """The made-up rows as examples."""
    return [recipe.format(row, Draw(0, number, coin)) for number, row in enumerate(sample_rows(recipe))]


def prepare_samples(
    recipe: Recipe, train: list[dict[str, Any]] | None = None, *, reverse: bool = False
) -> PreparedSplits:
    """The recipe's splits of its made-up rows; pooled where those of its source are. `train`: other training rows."""
    order = -1 if reverse else 1
    train = (train or sample_rows(recipe))[::order]
    test = sample_rows(recipe, NUM_TEST, start=1000)[::order]
    pooled = recipe.hub is not None and bool(recipe.hub.pooled)
    pools = Pools(ListRows(train), None, 60) if pooled else Pools(ListRows(train), ListRows(test))
    with patch.object(type(recipe), "open", lambda self, identity: pools):
        return prepare(recipe, "made up", SETTINGS)


def it_says_what_it_is(recipe: Recipe) -> None:
    """Title, meaning of a positive, source and licence are given, and rows are made up by `sample_row`."""
    missing = [name for name in ("title", "positive_means", "source", "license") if not getattr(recipe, name)]
    require(not missing, f"Not given: {', '.join(missing)}.")
    require(bool(recipe.sample_row(0)), "`sample_row` makes up nothing.")


def most_rows_become_examples_of_both_labels(recipe: Recipe) -> None:
    """Most rows become examples, of both labels; texts are stripped, `shorten` is a part, groups are not empty."""
    examples = [example for example in sample_examples(recipe) if example is not None]
    require(len(examples) > NUM_TRAIN / 2, f"Of {NUM_TRAIN} made-up rows {len(examples)} are used.")
    require({example.label for example in examples} == {False, True}, "All made-up rows have one label.")
    for example in examples:
        require(example.text == example.text.strip(), f"White space around {example.text!r}.")
        require(example.shorten in example.text, f"`shorten` is no part of the text: {example.shorten!r}.")
        require(example.group != "" and all(example.shared), f"An empty group or shared text: {example!r}.")


def texts_end_in_one_question(recipe: Recipe) -> None:
    """The text ends in one and the same question, what stands in quotes in it aside: the last token says nothing.

    Not so the texts of pairs, which are read one by one and compared.
    """
    if recipe.task.is_pair:
        return
    lasts = [example.text.splitlines()[-1] for example in sample_examples(recipe) if example]
    ends = sorted({re.sub(r'"[^"]*"', '""', last) for last in lasts})
    require(len(ends) == 1 and ends[0].endswith("?"), f"{len(ends)} different last lines, such as {ends[:2]}.")


def formatting_is_repeatable(recipe: Recipe) -> None:
    """A row gives the same example every time: random choices come from `draw` alone, and the row is left alone."""
    first = sample_examples(recipe)
    with other_global_randomness():
        require(sample_examples(recipe) == first, "Formatted again, some examples are others.")
    row = dict(recipe.sample_row(0))
    recipe.format(row, Draw(0, 0))
    require(row == dict(recipe.sample_row(0)), "It wrote into the row.")


def the_text_does_not_know_the_label(recipe: Recipe) -> None:
    """Where the source gives the label: with another row's label the text is the same, and no coin is asked."""
    if recipe.draws_label:
        return
    rows, num_changed = sample_rows(recipe, 24), 0
    for number, row in enumerate(rows):
        example = recipe.format(row, Draw(0, number))
        flipped = recipe.format(row, Draw(0, number, coin=not Draw(0, number).coin()))
        require(example == flipped, "The coin decides, which `draws_label = True` must say.")
        for field in row:
            other = recipe.format({**row, field: rows[(number + 1) % len(rows)][field]}, Draw(0, number))
            if example and other and other.label != example.label:
                num_changed += 1
                same = example._replace(label=other.label) == other
                require(same, f"With another '{field}' label and text are others: {other.text!r}.")
    require(num_changed > 0, "No field of the made-up rows changes the label.")


def both_labels_are_written_by_one_template(recipe: Recipe) -> None:
    """Where a candidate is drawn: positives and negatives are written alike, and the coin alone decides the label."""
    if not recipe.draws_label:
        return
    for number, row in enumerate(sample_rows(recipe, 40)):
        problem = compare(recipe, number, row)
        require(problem is None, f"Row {number}: {problem.reason if problem else ''}.")
    labels = [example.label for example in sample_examples(recipe) if example]
    share = sum(labels) / max(1, len(labels))
    require(0.35 < share < 0.65, f"{share:.0%} of the labels are positive; a coin gives about half.")


def every_wrong_candidate_has_its_turn(recipe: Recipe) -> None:
    """Over many seeds more than one wrong candidate is shown, where a row has several."""
    row = recipe.sample_row(0)
    candidates = {value for path, value in leaves(row) if path in recipe.candidate_fields}
    examples = [recipe.format(row, Draw(seed, 0, coin=False)) for seed in range(60)]
    texts = {example.text for example in examples if example}
    if candidates:
        least = min(2, len(candidates) - 1)
        require(len(texts) >= least, f"Of {len(candidates)} candidates {len(texts)} are shown as wrong.")


def what_rows_show_in_common_is_shared(recipe: Recipe) -> None:
    """Rows that show one text of some length, or a part of `shared`, have it in common: group or `shared` name it."""
    shown: defaultdict[str, list[Example]] = defaultdict(list)
    for row, example in zip(sample_rows(recipe), sample_examples(recipe), strict=True):
        for text in {value for _, value in leaves(row)} if example else ():
            if example and len(text) >= SAME_TEXT and text in example.text:
                shown[text].append(example)
    for text, examples in shown.items():
        for other in examples[1:]:
            common = set(other.shared) & set(examples[0].shared) or (other.group and other.group == examples[0].group)
            require(bool(common), f"Two rows show {text!r} and have neither group nor shared text in common.")


def splits_share_nothing(recipe: Recipe) -> None:
    """The made-up rows are enough for all splits, which are balanced and share neither text nor group."""
    prepared = prepare_samples(recipe)
    texts = prepared.texts.merge(prepared.truth, on="id", validate="one_to_one")
    require(texts["id"].is_unique and texts["text"].is_unique, "A text or an id is there twice.")
    require(bool((texts.groupby("group")["split"].nunique() == 1).all()), "A group lies in two splits.")
    for split in SPLITS:
        members = texts[texts["split"] == split]
        size, positive = {"val": 20, "test": 40}.get(split, 30), float(members["label"].mean())
        require((len(members), positive) == (size, 0.5), f"{split}: {len(members)} rows, {positive:.0%} positive.")
    require(prepare_samples(recipe).texts.equals(prepared.texts), "Prepared again, the texts are others.")


def the_order_of_rows_does_not_matter(recipe: Recipe) -> None:
    """Where nothing is drawn per row, the same rows in another order give the same splits."""
    if not recipe.draws_label:
        forwards, backwards = prepare_samples(recipe), prepare_samples(recipe, reverse=True)
        same = backwards.texts.equals(forwards.texts) and backwards.truth.equals(forwards.truth)
        require(same, "Rows in reverse order give other splits.")


def rows_that_lack_a_field_are_left_out(recipe: Recipe) -> None:
    """A field that is blank or missing never makes half an example or an exception, and not for one label only."""
    row = dict(recipe.sample_row(0))
    for field, value in row.items():
        for blank in [None, "", "  "] if isinstance(value, str) else [None]:
            both = [recipe.format({**row, field: blank}, Draw(0, 0, coin)) for coin in (True, False)]
            require((both[0] is None) == (both[1] is None), f"Without '{field}' one label is left out.")
            for example in filter(None, both):
                lines = [line.split(": ", 1)[-1].strip() for line in example.text.split("\n") if line]
                require(all(lines), f"Without '{field}' a part of the text is empty: {example.text!r}.")


def rows_without_a_label_are_left_out(recipe: Recipe) -> None:
    """A row whose field `label` is -1, empty or missing, as hidden labels are, is left out."""
    row = dict(recipe.sample_row(0))
    if "label" in row:
        for hidden in ["", "-1"] if isinstance(row["label"], str) else [-1, None]:
            example = recipe.format({**row, "label": hidden}, Draw(0, 0))
            require(example is None, f"With the label {hidden!r} it became an example.")


RECIPE_DEMANDS: tuple[Demand, ...] = (
    it_says_what_it_is,
    most_rows_become_examples_of_both_labels,
    texts_end_in_one_question,
    formatting_is_repeatable,
    the_text_does_not_know_the_label,
    both_labels_are_written_by_one_template,
    every_wrong_candidate_has_its_turn,
    what_rows_show_in_common_is_shared,
    splits_share_nothing,
    the_order_of_rows_does_not_matter,
    rows_that_lack_a_field_are_left_out,
    rows_without_a_label_are_left_out,
)
