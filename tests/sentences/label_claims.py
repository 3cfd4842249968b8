"""What `label` can say."""

from __future__ import annotations

import io
from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import replace
from functools import cache
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from unittest.mock import patch

import numpy as np
import pandas as pd
import typer
from claim import Claim
from rich.console import Console

from outshine.cli import label as command
from outshine.engine.errors import DataError
from outshine.engine.stage import Cost
from outshine.labelling import files, run
from outshine.labelling.annotation_sample import rows_to_judge
from outshine.labelling.evidence import Evidence, evidence
from outshine.labelling.folds import FoldPlan
from outshine.labelling.results import COLUMNS, AgreementSummary, LabelResults
from outshine.labelling.rows import Columns
from outshine.labelling.text import (
    against_the_probe,
    evidence_sentences,
    judging_sentences,
    sentences,
    sign_sentences,
    unknown_sentences,
)
from outshine.report.write import OutputError

MODULES = (
    "labelling/text.py",
    "labelling/evidence.py",
    "labelling/annotation_sample.py",
    "labelling/gains.py",
    "stats/random_sample_tests.py",
    "cli/label.py",
    "labelling/files.py",
    "labelling/run.py",
    "labelling/folds.py",
)

Said = Callable[[], Iterable[str]]

NUM, APART = 2000, 1000  # rows of the file, and those on which student and labels disagree


@cache
def file_of(soft: bool = False, groups: int = 0, apart: int = APART) -> pd.DataFrame:
    """A file in which student and labels disagree on the first rows in a random order, with labels of either class."""
    rng = np.random.default_rng(7)
    differ = np.arange(NUM) < apart
    label = rng.random(NUM) < 0.5
    size = rng.uniform(0.5, 3.0, size=NUM)
    log_odds = np.where(label ^ differ, size, -size)
    p = np.where(label, 0.7, 0.3) + rng.uniform(-0.2, 0.2, NUM) if soft else label.astype(float)
    frame = pd.DataFrame(
        {
            "apart": differ,
            "order": rng.permutation(NUM),
            "suspicion": p / (1 + np.exp(log_odds)) + (1 - p) / (1 + np.exp(-log_odds)),
            "log_odds": log_odds,
            "label": p,
            "fold": np.arange(NUM) % 5 + 1,
            "length": rng.integers(20, 200, size=NUM),
            "group": (np.arange(NUM) % groups if groups else np.arange(NUM)).astype(str),
        }
    )
    return frame.sample(frac=1, random_state=3).reset_index(drop=True)


def judged(
    rows: Iterable[int], right: float = 0.5, *, soft: bool = False, groups: int = 0, apart: int = APART, **more: Any
) -> Evidence:
    """Evidence from these rows of the file, where the student is right on a share of the disagreements, evenly spread."""
    file = file_of(soft, groups, apart)
    part = file.loc[[*rows]]
    place = part["apart"].cumsum()
    own = ~part["apart"] | (np.floor(place * right) > np.floor((place - 1) * right))
    trusted = part.assign(row=part.index, truth=(part["log_odds"] > 0) == own)
    known = {"population": (NUM, apart), "file": file, **more}
    return evidence(trusted, hard=not soft, one_sided=bool(more.get("one_sided")), **_without(known, "one_sided"))


def _without(known: dict[str, Any], name: str) -> dict[str, Any]:
    return {key: value for key, value in known.items() if key != name}


def new_rows(num: int, better: int, groups: int = 0, label: float | None = None) -> Evidence:
    """Evidence from rows that are not in the file: the student alone is right on so many of them."""
    truth = np.arange(num) % 2 == 0
    cheap = np.where(np.arange(num) < better, ~truth, truth).astype(float)
    group = np.arange(num) % groups if groups else np.arange(num)
    log_odds = np.where(truth, 1.0, -1.0)
    frame = pd.DataFrame({"truth": truth, "label": cheap if label is None else label, "log_odds": log_odds})
    return evidence(frame.assign(group=group.astype(str)), hard=True, one_sided=False)


@cache
def random_rows(num: int, soft: bool = False, groups: int = 0) -> tuple[int, ...]:
    return tuple(np.random.default_rng(1).choice(file_of(soft, groups).index, num, replace=False))


def of_the_draw(num: int, *, apart: bool = True, soft: bool = False) -> list[int]:
    """The first rows of the order, of the disagreements or of the agreements; of all where labels are soft."""
    file = file_of(soft)
    part = file if soft else file[file["apart"] == apart]
    return part.sort_values("order").index[:num].tolist()


def most(column: str, num: int = 40, *, least: bool = False, soft: bool = False) -> list[int]:
    """The disagreements with the highest, or the lowest, values of a column."""
    file = file_of(soft)
    return file[file["apart"]].sort_values(column, ascending=least).index[:num].tolist()


def neither_sure_nor_unsure() -> list[int]:
    """Disagreements of a file with soft labels on which the student is moderately sure, of either class."""
    file = file_of(True)
    sure = file.loc[file["apart"], "log_odds"].abs().sort_values()
    return sure.index[400:600:3].tolist()


def ranked(places: Iterable[int], column: str = "suspicion") -> list[int]:
    """The disagreements at these places of their order by a column."""
    file = file_of()
    return file[file["apart"]].sort_values(column).index[[*places]].tolist()


def words(one: Evidence) -> Said:
    return lambda: evidence_sentences(one)


def with_classes(num: int) -> LabelResults:
    """A labelling with so many classes."""
    return replace(labelling(), spelling=tuple(f"class {number}" for number in range(num)))


SIGNS = AgreementSummary(NUM, NUM, APART, 0.8, (0.75, 0.85), 30, 4, (0.5, 0.5), (0.5, 0.5))
ONE = (0.0, 1.0)


def signs(**changed: Any) -> Said:
    return lambda: sign_sentences(SIGNS._replace(**changed))


def labelling(known: int = 0, apart: int = APART, found: tuple[Evidence, ...] = (), hard: bool = True) -> LabelResults:
    """A labelling of that file, of which so many listed rows were judged before."""
    file = file_of(not hard, 0, apart)
    listed = file.assign(id=None, text="a text", row=file.index + 1)
    first = rows_to_judge(listed, hard, {}).rows["row"].head(known)
    rows = listed.assign(p=0.5, disagrees=file["apart"], rank=range(1, NUM + 1), suspect=file.index < 30)
    rows = rows.assign(best_p=0.5, best_label=1)
    return LabelResults(
        rows[list(COLUMNS)],
        SIGNS._replace(num_disagreements=apart),
        found,
        hard,
        None,
        (),
        rows_to_judge(listed, hard, {int(row): True for row in first}),
        "truth",
        ("ham", "spam"),
    )


def fine_tuned(student: float, probe: float) -> list[str]:
    """What is said of a student that was fine-tuned after the probe."""
    found = labelling()
    first, second = (replace(found, signs=SIGNS._replace(label_auroc=value)) for value in (probe, student))
    return [against_the_probe(second, first)]


def printed(found: LabelResults) -> list[str]:
    stream = io.StringIO()
    command.print_labelling(found, Console(file=stream, width=400))
    return [" ".join(stream.getvalue().split())]  # the title of a table is as wide as the table


def run_of_the_command(outcome: Any, answers_at_once: bool = False) -> list[str]:
    """What the command prints where the work ends like this; nothing is computed or written."""

    def work(*given: Any) -> Any:
        if isinstance(outcome, BaseException):
            raise outcome
        if answers_at_once:
            given[-1](labelling())
        return outcome

    here = SimpleNamespace(line=lambda *_: "about 20 minutes", flops=1e15, tokens=1e6)
    stream, notes = io.StringIO(), []
    screen = Console(file=stream, width=400)

    class Shown:
        def __enter__(self) -> Any:
            return SimpleNamespace(note=notes.append)

        def __exit__(self, *_: object) -> None:
            return None

    with (
        patch("outshine.cli.terminal.console", lambda: screen),
        patch("outshine.cli.terminal.progress", Shown),
        patch("outshine.labelling.files.check_output"),
        patch("outshine.labelling.files.write_labelled", return_value=[Path("out/mine.csv"), Path("out/suspects.csv")]),
        patch("outshine.labelling.run.run_label", side_effect=work),
        patch("outshine.labelling.run.plan_label", return_value=SimpleNamespace(here=here, to_do=here)),
        suppress(typer.Exit),
    ):
        command._run(SimpleNamespace(model_copy=lambda **_: None), SimpleNamespace(), Path("out"), "outshine_", False)  # type: ignore[arg-type]
    return [*notes, *stream.getvalue().splitlines()]


def plan_of_the_command(as_json: bool = False) -> list[str]:
    stream = io.StringIO()
    cost = Cost(10, 100.0, 1e9)
    stage = SimpleNamespace(key="0" * 64, label="a stage")
    planned = run.LabelPlan([stage], [False], [cost], [])  # type: ignore[list-item]
    with (
        patch("outshine.cli.terminal.console", lambda: Console(file=stream, width=400)),
        patch("outshine.labelling.run.plan_label", return_value=planned),
        patch("outshine.cli.label.print_json", lambda document: stream.write(str(document))),
    ):
        command._print_plan(SimpleNamespace(), SimpleNamespace(), as_json)  # type: ignore[arg-type]
    return stream.getvalue().splitlines()


def written(writable: bool) -> list[str]:
    """What is told where a folder can, or cannot, be written."""
    labeller = SimpleNamespace(path="mine.csv", columns=Columns(), model_dump=lambda **_: {"path": "mine.csv"})
    done = SimpleNamespace(labeller=labeller, labelling=labelling(), student=None)
    failing = None if writable else OSError(28, "No space left on device")
    with patch("outshine.labelling.files.write_whole", side_effect=failing):
        try:
            return [str(path) for path in files.write_labelled(done, Path("nowhere"))]  # type: ignore[arg-type]
        except OutputError as error:
            return [str(error)]


def size_of_a_model(known: bool) -> list[str]:
    notes: list[str] = []
    resolution = SimpleNamespace(strong=SimpleNamespace(spec=SimpleNamespace(name="big/model")))
    with patch("outshine.learn.structure.shape_of", side_effect=None if known else DataError("no config")):
        run._shape(resolution, notes)  # type: ignore[arg-type]
    return notes


def notes_of_folds(
    groups: Iterable[str] = "abcdefghij", unlabelled: int = 0, without_text: int = 0, complete: bool = True
) -> list[str]:
    names = list(groups)
    p = [float("nan")] * unlabelled + [1.0] * (len(names) - unlabelled)
    plan = FoldPlan(name="mine", path="mine.csv", digest="0", columns=Columns(), num_folds=5)
    return plan._notes(pd.DataFrame({"p": p, "group": names}), len(names) + without_text, complete)


RANDOM, GROUPED = random_rows(120), random_rows(120, groups=40)
BETTER, WORSE, OPEN = judged(RANDOM, 0.95), judged(RANDOM, 0.05), judged(RANDOM, 0.5)
NEARLY = judged(RANDOM[:40], 0.6)
PICKED = judged(most("suspicion"), 0.95)
EVERY, EVEN = judged(of_the_draw(APART), 0.7), judged(of_the_draw(APART), 0.5)
DRAWN = judged(of_the_draw(80) + of_the_draw(20, apart=False), 0.5)
HOLED = judged(of_the_draw(80)[:40] + of_the_draw(80)[43:] + of_the_draw(20, apart=False), 0.5)
BY_GROUP, FEW_GROUPS = judged(GROUPED, 0.5, groups=40), judged(random_rows(120, groups=5), 0.95, groups=5)
BY_DISAGREEMENT = judged(ranked(range(0, APART, 12)), 0.5)
SOFT = judged(random_rows(100, soft=True), 0.5, soft=True)
SOFT_HOLED = judged([*of_the_draw(60, soft=True), *of_the_draw(80, soft=True)[61:]], 0.5, soft=True)
SOFT_DRAWN = judged(of_the_draw(60, soft=True), 0.5, soft=True)
ONE_CLASS = evidence(
    file_of(True).assign(row=file_of(True).index, truth=True).loc[list(random_rows(60, soft=True))],
    hard=False,
    one_sided=False,
    population=(NUM, APART),
)
NEW, NEW_GROUPS = new_rows(80, 30), new_rows(80, 30, groups=20)
UNLABELLED = new_rows(20, 5, label=float("nan"))
AGREEING = judged(random_rows(60), apart=0)
AGREED = judged([row for row in random_rows(120) if not file_of()["apart"][row]][:12])
MANY = judged(of_the_draw(300), 0.5)

CLAIMS: tuple[Claim, ...] = (
    Claim("The student is better than the cheap labels", words(BETTER), words(OPEN)),
    Claim("The student is worse than the cheap labels", words(WORSE), words(OPEN)),
    Claim("Student and cheap labels are right equally often", words(EVEN), words(OPEN)),
    Claim("Not settled: whether the student is better than the cheap labels is open", words(OPEN), words(BETTER)),
    Claim("new rows like the trusted ones", words(NEW), words(OPEN)),
    Claim(
        "Student and cheap labels disagree on {} of {} rows; of the {} with a true label the student is right on {}{}.",
        words(BETTER),
        words(AGREED),
    ),
    Claim(
        "The rows that decide come from so few groups, or so unequal ones, that they tell as much as {} groups of equal "
        "size: fewer than {} give no verdict, since rows of one group are alike.",
        words(FEW_GROUPS),
        words(BY_GROUP),
    ),
    Claim(
        "The AUC of 0/1 labels has one threshold only: part of the student's higher AUC may come from its having "
        "degrees, so that accuracy decides.",
        words(BETTER),
        words(WORSE),  # its AUC is the lower one
    ),
    Claim(
        "No verdict on {}: these trusted rows were not drawn at random, and an interval from them would be wrong. Why: "
        "{}.",
        words(PICKED),
        words(BETTER),
    ),
    Claim("On {} the gain in {} cannot be estimated.", words(UNLABELLED), words(NEW)),
    Claim(
        "Not settled: student and cheap labels disagree on none of {}, and only such rows tell whether the student is "
        "better, on {}.",
        words(AGREED),
        words(OPEN),
    ),
    Claim("{}, on {}: the gain in {} is 0 for these students.", words(AGREEING), words(OPEN)),
    Claim(
        "{}, on {}: the gain in {} is {} for these students, since all {} disagreements were judged.",
        words(EVERY),
        words(DRAWN),
    ),
    Claim("{}, on {}: gain in {} {} [{}, {}] (95 %), from {}.", words(OPEN), words(PICKED)),
    Claim("{} of to_judge.csv, drawn at random", words(DRAWN), words(OPEN)),
    Claim("{} disagreements among {} trusted rows", words(OPEN), words(DRAWN)),
    Claim(
        "{} rows of the draw were left empty: the limits count each for and against the student.",
        words(HOLED),
        words(DRAWN),
    ),
    Claim(
        "The interval supposes that these {}, or the disagreements among them, were drawn at random.",
        words(OPEN),
        words(DRAWN),
    ),
    Claim(
        "Nothing that outshine sees speaks against it; it does not see everything.",
        words(OPEN),
        words(OPEN._replace(one_class=True)),
    ),
    Claim(
        "All {} are of one class, which speaks against it, unless nearly all of the file's are.",
        words(OPEN._replace(one_class=True)),
        words(OPEN),
    ),
    Claim("Of {} it can hardly be seen whether picked ones are among them.", words(judged(RANDOM[:12])), words(OPEN)),
    Claim(
        "The interval supposes that the {} to come are like these, drawn at random from the same source.",
        words(NEW),
        words(OPEN),
    ),
    Claim(
        "Whether the student is better than the cheap labels cannot be known without true labels. Agreement with the "
        "cheap labels is not accuracy: it tells how alike the two are, and not which is right where they differ.",
        lambda: sentences(labelling()),
        lambda: sentences(labelling(found=(OPEN,))),
    ),
    Claim(
        "The student agrees with every cheap label: as classes the two are the same.",
        lambda: unknown_sentences(SIGNS._replace(num_disagreements=0), True),
        lambda: unknown_sentences(SIGNS, True),
    ),
    Claim(
        "Enough true labels to find out, with a chance of 80 %: {}.",
        lambda: unknown_sentences(SIGNS, True),
        lambda: unknown_sentences(SIGNS, False),
    ),
    Claim(
        "Two files: suspects.csv is for finding errors, and gives no verdict when it is handed back, since its rows "
        "were picked. to_judge.csv is for the verdict: {}, drawn at random{}. Write {} into its column '{}', from the top "
        "and leaving none out, and give the file with --trusted.",
        lambda: sentences(labelling(found=(OPEN,))),
        lambda: sentences(labelling(found=(BETTER,))),
    ),
    Claim(
        "Without true labels: of {} labelled rows the student agrees with {} of labels that it did not see; AUC against "
        "these {} (by fold {} to {}).",
        signs(),
        words(OPEN),
    ),
    Claim(
        "That is next to chance: nothing shows that the student has found anything in the texts that goes with the "
        "labels, and nothing speaks for its opinion of them.",
        signs(label_auroc=0.52),
        signs(),
    ),
    Claim(
        "Labels that contradict those of rows which are nearly the same: {}. At least so many are wrong, unless the little "
        "that differs decides the label, or the text does not decide it.",
        signs(),
        signs(num_conflicts=0),
    ),
    Claim(
        "All labels, or all predictions, lie on one side of one half: read ranks and AUCs, not classes.",
        signs(student_shares=ONE),
        signs(student_shares=(0.0, 1.0, 0.0), label_shares=(0.2, 0.3, 0.5)),
    ),
    Claim(
        "All labels, or all predictions, are likeliest of one class: read ranks and AUCs, not classes.",
        signs(student_shares=(0.0, 1.0, 0.0), label_shares=(0.2, 0.3, 0.5)),
        signs(student_shares=ONE),
    ),
    Claim(
        "No label is marked as doubted, since that goes by classes: see the ranks.",
        signs(label_shares=ONE, num_suspects=0),
        signs(student_shares=ONE),  # labels of both classes can be doubted
    ),
    Claim(
        "{} labels are doubted (confident learning). Doubted is not wrong: hard rows and the student's own mistakes may "
        "be among them.",
        signs(),
        signs(num_suspects=0),
    ),
    Claim("{}: student {}, cheap labels {}, gain {} [{}, {}].", words(OPEN), words(BY_DISAGREEMENT)),
    Claim(
        "Trusted rows of both classes, drawn at random from all rows, are needed; how many cannot be told from these "
        "{}.",
        words(ONE_CLASS),
        words(SOFT),
    ),
    Claim(
        "So many rows find a gain of {}, or {}, with a chance of 80 %: that they did not speaks for a smaller one, or for "
        "none.",
        words(MANY),
        words(NEARLY),
    ),
    Claim("for a gain of {}{}: {} random rows{}", words(SOFT), words(OPEN)),
    Claim(
        "What would settle it (with a chance of 80 %): {}. Decide on a number first: a second look at more rows raises "
        "the chance of a wrong verdict from 5 % to about 8 %.",
        words(NEARLY),
        words(BETTER),
    ),
    Claim(
        "Of the file's own rows fewer are enough when they are drawn one by one across all groups, as those of "
        "to_judge.csv are.",
        words(BY_GROUP),
        words(OPEN),
    ),
    Claim("if it is right on {} of disagreements{} (gain {}): {} disagreements", words(NEARLY), words(BETTER)),
    Claim(" (about {} groups in all)", words(BY_GROUP), words(NEARLY)),
    Claim(
        "how sure the student is",
        words(judged(neither_sure_nor_unsure(), soft=True)),
        words(PICKED),
    ),
    Claim("their place in the file", words(judged(range(100))), words(PICKED)),
    Claim("the length of their texts", words(judged(most("length"))), words(PICKED)),
    Claim(
        "all labels, or all predictions, lie on one side of one half: accuracy would say nothing",
        words(judged(random_rows(100, soft=True), soft=True, one_sided=True)),
        words(SOFT),
    ),
    Claim(
        "The cheap labels are classes. Where their source has scores (a probability, a count of words, votes), "
        "give these in their place: they say which rows are doubtful. With the scores of a word list, not its "
        "classes, 60 trusted rows made labels of which 74% were right in place of 71% (docs/label.md).",
        lambda: sentences(labelling(found=(OPEN,))),
        lambda: sentences(labelling(found=(OPEN,), hard=False)),
    ),
    Claim(
        "one of the {} classes ({} …)",
        lambda: judging_sentences(with_classes(9)),
        lambda: judging_sentences(with_classes(3)),
    ),
    Claim(
        ", the cheap labels on {}, and neither on {}",
        lambda: evidence_sentences(OPEN._replace(num_judged=20, num_right=9, num_wrong=8)),
        words(OPEN),
    ),
    Claim(
        "{} of {} trusted rows have no cheap label, or no text: left out of comparisons", words(UNLABELLED), words(NEW)
    ),
    Claim(
        "rows of to_judge.csv were left empty, the first one after {}: those after it are not used, since rows that are "
        "hard to judge may be missing among them",
        words(SOFT_HOLED),
        words(SOFT_DRAWN),
    ),
    Claim(
        "too few agreements were judged in order for the levels of accuracy",
        words(judged(of_the_draw(80))),
        words(DRAWN),
    ),
    Claim(
        "{} trusted rows lie outside the draw of to_judge.csv and are not used",
        words(judged([*of_the_draw(80), *of_the_draw(120)[110:], *of_the_draw(20, apart=False)])),
        words(DRAWN),
    ),
    Claim(
        "of the {} rows on which student and label {}, the {} trusted ones differ from a random draw in {}: {} (p {}, "
        "corrected for {} tests)",
        words(PICKED),
        words(OPEN),
    ),
    Claim("on the whole it is higher", words(judged(ranked(range(500, 1000, 10)))), words(OPEN)),
    Claim("on the whole it is lower", words(judged(ranked(range(0, 500, 10)))), words(PICKED)),
    Claim("too many lie at both ends", words(judged(ranked([*range(0, 200, 10), *range(800, 1000, 10)]))), words(OPEN)),
    Claim("too many lie in the middle", words(judged(ranked(range(400, 600, 5)))), words(OPEN)),
    Claim(
        "too many are among the highest",
        words(judged(ranked([*range(988, 1000), *range(0, 900, 30)]))),
        words(judged(ranked(range(0, 500, 10)))),
    ),
    Claim("too many are among the lowest", words(judged(ranked([*range(12), *range(100, 1000, 30)]))), words(PICKED)),
    Claim(
        "one of its values has another share",
        words(judged([row for row in file_of().index if file_of()["fold"][row] == 2][::6])),
        words(OPEN),
    ),
    Claim(
        "student and label disagree on {} of the {} trusted rows and on {} of all {}: the rows are taken to be drawn by "
        "disagreement, so that only the gain in accuracy is estimated",
        words(BY_DISAGREEMENT),
        words(OPEN),
    ),
    Claim("no AUC: the trusted rows ({}) are not of both classes", words(ONE_CLASS), words(SOFT)),
    Claim(
        "interrupted; finished stages are kept: run the same command again to go on",
        lambda: run_of_the_command(KeyboardInterrupt()),
        lambda: run_of_the_command(SimpleNamespace(labelling=labelling(), first=None)),
    ),
    Claim(
        "labelled file: {}; beside it {}",
        lambda: run_of_the_command(SimpleNamespace(labelling=labelling(), first=None)),
        lambda: run_of_the_command(KeyboardInterrupt()),
    ),
    Claim(
        "Most doubted labels ({} of {}; all in suspects.csv, for finding errors, not for a verdict)",
        lambda: printed(labelling()),
        lambda: run_of_the_command(KeyboardInterrupt()),
    ),
    Claim(
        "AUC against cheap labels that they did not see: {} with the fine-tuned student, {} with the probe{}.",
        lambda: run_of_the_command(SimpleNamespace(labelling=labelling(), first=labelling())),
        lambda: run_of_the_command(SimpleNamespace(labelling=labelling(), first=None)),
    ),
    Claim(
        ": the probe's labels are the better guess (--student probe)",
        lambda: fine_tuned(0.74, 0.76),
        lambda: fine_tuned(0.76, 0.74),
    ),
    Claim(
        "Students that are fine-tuned may do better, or worse (--student lora): {}",
        lambda: run_of_the_command(SimpleNamespace(labelling=labelling(), first=None)),
        lambda: run_of_the_command(SimpleNamespace(labelling=replace(labelling(), student="lora"), first=labelling())),
    ),
    Claim("{} of {} stages to do, about {} FLOPs", plan_of_the_command, lambda: plan_of_the_command(as_json=True)),
    Claim(
        "cannot write to the folder {} ({}); choose another one with --out",
        lambda: written(False),
        lambda: written(True),
    ),
    Claim(
        "the size of {} is unknown, FLOPs leave it out ({})",
        lambda: size_of_a_model(False),
        lambda: size_of_a_model(True),
    ),
    Claim(
        "{} rows have no text: they are left out, their new columns stay empty",
        lambda: notes_of_folds(without_text=2),
        notes_of_folds,
    ),
    Claim(
        "{} rows have no cheap label: they are predicted and never trained on",
        lambda: notes_of_folds(unlabelled=2),
        notes_of_folds,
    ),
    Claim(
        "{} rows share a group or are nearly the same as another; {} groups are dealt to the folds whole",
        lambda: notes_of_folds("aabcdefghij"),
        notes_of_folds,
    ),
    Claim(
        "one group has {} of the {} rows: its fold is that large, and its rows are predicted from the few others",
        lambda: notes_of_folds("aaaaabcdefg"),
        lambda: notes_of_folds("aabcdefghij"),
    ),
    Claim(
        "so many texts are alike that not all pairs were compared: some may lie in different folds",
        lambda: notes_of_folds(complete=False),
        notes_of_folds,
    ),
)
