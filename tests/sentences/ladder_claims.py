"""What `label` can say of the ways to label a file."""

from __future__ import annotations

import io
from collections.abc import Callable, Iterable
from types import SimpleNamespace
from typing import Any
from unittest.mock import patch

import numpy as np
from claim import Claim
from label_claims import labelling
from rich.console import Console

from outshine.cli import label as command
from outshine.labelling.gains import RowsNeeded
from outshine.labelling.ladder import ClassShare, Confusion, Ladder, OptionResult, Worth
from outshine.labelling.ladder_text import ladder_rows, ladder_sentences
from outshine.labelling.options import OPTIONS, OfText
from outshine.stats.intervals import Interval

MODULES = ("labelling/ladder_text.py", "labelling/options.py")

GAIN, NONE = Interval(0.07, 0.02, 0.12), Interval(0.0, 0.0, 0.0)
OPTION = tuple(
    OptionResult(option.name, option.title, Interval(0.7, 0.6, 0.8), Interval(-0.1, -0.15, -0.05), None, (0.5, 0.5))
    for option in OPTIONS
)
LADDER = Ladder(
    of="file",
    num_rows=100,
    options=OPTION,
    recommended="together",
    reason="default",
    accuracy=Interval(0.73, 0.64, 0.81),
    gain=GAIN,
    steady=1.0,
    worth=Worth(1500, 90, 77.0, 31.0, None),
    needed=(RowsNeeded(0.05, 0.6, 600, 100, True),),
    unlabelled=None,
    num_unlabelled=0,
    class_shares=(ClassShare(1, 0.7, Interval(0.5, 0.4, 0.6), Interval(0.5, 0.4, 0.6)),),
    shares_of_all=True,
    confusion=Confusion(((40, 10), (5, 45)), (Interval(0.8, 0.7, 0.9), Interval(0.9, 0.8, 0.95))),
    few_groups=False,
    drawn_by_disagreement=False,
    log_odds=np.empty(0),
    of_text=OfText(1.0, 0.0, np.empty(0)),
)
NO_BETTER = {"gain": Interval(-0.01, -0.06, 0.03)}
UNLABELLED = {"unlabelled": Interval(0.6, 0.5, 0.7), "num_unlabelled": 40}
OPEN = {"gain": Interval(0.05, -0.02, 0.12)}
KEPT = {"recommended": "labels", "reason": "keep_labels", "gain": NONE}


def of_classes(num: int, labels: float = 0.1, wrong: int = 3) -> dict[str, Any]:
    """Facts about so many classes, each truly .1 [.05, .15] of the rows, which the labels give another share."""
    share = Interval(0.1, 0.05, 0.15)
    counts = tuple(tuple(20 if i == k else wrong * (k == (i + 1) % num) for k in range(num)) for i in range(num))
    return {
        "class_shares": tuple(ClassShare(k, labels, share, share) for k in range(num)),
        "confusion": Confusion(counts, (Interval(0.9, 0.8, 0.95),) * num),
    }


def said(**changed: Any) -> Callable[[], Iterable[str]]:
    return lambda: ladder_sentences(LADDER._replace(**changed), [f"class {number}" for number in range(9)])


def rows(options: tuple[OptionResult, ...] = OPTION) -> Callable[[], Iterable[str]]:
    return lambda: [" ".join(row) for row in ladder_rows(LADDER._replace(options=options))]


def on_screen(ladder: Ladder | None) -> list[str]:
    stream = io.StringIO()
    found = SimpleNamespace(ladder=ladder, voters=(), suspects=labelling().suspects.head(0))
    with patch("outshine.labelling.text.sentences", return_value=[]):
        command.print_labelling(found, Console(file=stream, width=200))  # type: ignore[arg-type]
    return [" ".join(stream.getvalue().split())]


def without(name: str) -> tuple[OptionResult, ...]:
    return tuple(option for option in OPTION if option.name != name)


CLAIMS: tuple[Claim, ...] = (
    Claim(", on rows like the new trusted ones", said(of="new"), said()),
    Claim(
        "Use {}: about {} right against {} of the cheap labels as they are{}; {}",
        said(),
        said(**NO_BETTER),
    ),
    Claim(
        "gain {} [{}, {}] (95 %), from {} trusted rows, none of which judged what it had taught or chosen.",
        said(),
        said(**KEPT),
    ),
    Claim(
        "Not told apart: {}, about {} right, and the cheap labels as they are, {}{}; {} The new column has the former; "
        "who keeps the cheap labels loses nothing that is shown.",
        said(**NO_BETTER),
        said(),
    ),
    Claim(
        "On rows without a cheap label, which all that was said leaves aside, {} is right on {}, by {} of that kind.",
        said(**UNLABELLED),
        said(),
    ),
    Claim(
        "Keep the cheap labels as they are: about {} right{}, by {} trusted rows. No label is turned.",
        said(**KEPT),
        said(),
    ),
    Claim(
        "Less what a student of them, recalibrated, has right: {} [{}, {}]. Nothing that was tried is shown to beat "
        "them.",
        said(**KEPT),
        said(),
    ),
    Claim(
        "The trusted rows show it to be better than what is preferred otherwise, all comparisons counted.",
        said(reason="shown_better"),
        said(),
    ),
    Claim(
        "That it beats the cheap labels is not shown yet: it is preferred for what it is made of, and the trusted rows "
        "do not speak against it.",
        said(**OPEN),
        said(),
    ),
    Claim("What would settle it (with a chance of 80 %): {}.", said(**OPEN), said()),
    Claim("for {}: {} more random trusted rows", said(**OPEN), said(**OPEN, needed=())),
    Claim(
        "about the gain that was seen",
        said(**OPEN),
        said(**OPEN, needed=(RowsNeeded(0.05, 0.6, 600, 100, False),)),
    ),
    Claim(
        "The trusted rows are of too few groups for a verdict: rows of one group are alike.",
        said(few_groups=True),
        said(),
    ),
    Claim("Your {} cheap labels are worth ", said(), said(worth=None)),
    Claim("no upper limit from {}", said(), said(worth=Worth(1500, 90, 77.0, 31.0, 88.0))),
    Claim(
        "{}more than {} checked ones, the most that a model could be tried with{}.",
        said(worth=Worth(1500, 90, None, 31.0, None)),
        said(),
    ),
    Claim(
        "Of the {}, by predictions and trusted rows together, ",
        said(),
        None,
        "an estimate, which is there wherever trusted rows are",
    ),
    Claim("rows with a cheap label", said(shares_of_all=False), said()),
    Claim("{} are {} (the cheap labels say {})", said(), said(**of_classes(8, 0.5))),
    Claim("{} are {}, and the cheap labels say {}", said(**of_classes(8, 0.5)), said(**of_classes(8))),
    Claim(
        "{}no class of {} is shown to have another share than the cheap labels say.",
        said(**of_classes(8)),
        said(**of_classes(8, 0.5)),
    ),
    Claim(
        "{}{}. {} of {} lie outside their 95 % intervals, where about {} would by chance.",
        said(**of_classes(8, 0.5)),
        said(**of_classes(8)),
    ),
    Claim(
        "The cheap labels are right {}{}.",
        said(),
        None,
        "estimates and counts, which are there wherever trusted rows are",
    ),
    Claim(
        "on {} of the rows of {} ({} of {} trusted rows wrong{})",
        said(),
        None,
        "an estimate and a count of what is there",
    ),
    Claim(
        "; on those of {} other classes, by these trusted rows, at least as often",
        said(**of_classes(8)),
        said(**of_classes(6)),
    ),
    Claim(
        "Trusted rows are taken to be drawn by whether student and cheap label disagree: each counts for as many rows of "
        "the file as it stands for.",
        said(drawn_by_disagreement=True),
        said(),
    ),
    Claim("cheap labels as they are", rows(), rows(without("labels"))),
    Claim("student as it is", rows(), rows(without("student"))),
    Claim("student and cheap label combined", rows(), rows(without("combined"))),
    Claim("cheap and trusted rows trained together", rows(), rows(without("together"))),
    Claim("Ways to label the file, by {} trusted rows", lambda: on_screen(LADDER), lambda: on_screen(None)),
    Claim(
        "The probe's answer, while a student is fine-tuned:", lambda: first_answer(True), lambda: first_answer(False)
    ),
)


def first_answer(trains: bool) -> list[str]:
    """What is printed where a run has, or has not, a first answer."""
    from label_claims import run_of_the_command

    return run_of_the_command(SimpleNamespace(labelling=labelling(), first=labelling() if trains else None), trains)
