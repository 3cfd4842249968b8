"""What `report` can say, and what `run` says with it: words, tables, figures, the page, and a published card."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import partial
from types import SimpleNamespace

import numpy as np
import pandas as pd
from cases import (
    AHEAD,
    BEHIND,
    NO_GAP,
    OPEN,
    UNDEFINED,
    answer,
    captions,
    drawn,
    page,
    pgr,
    printed,
    pushed,
    training,
    two_studies,
)
from claim import Claim, shown

from outshine.report.dataset_section import _differ, differ_sentence
from outshine.report.page import _template
from outshine.report.tables import TextTable, splits_table
from outshine.results.controls_text import sentence
from outshine.results.diagnostics import disagreements
from outshine.results.other_tests import TEST_COLUMNS, disagreements_of_tests
from outshine.results.read.unfinished import FAILED_COLUMNS
from outshine.results.results import Results

MODULES: tuple[str, ...] = (
    "report/text.py",
    "report/tables.py",
    "report/study_figures.py",
    "report/dataset_section.py",
    "report/figures/auroc.py",
    "report/figures/filtering.py",
    "report/figures/sweeps.py",
    "report/templates/study.html.j2",
    "report/templates/parts.html.j2",
    "report/templates/report.html.j2",
    "results/training_notes.py",
    "results/other_tests.py",
    "results/controls_text.py",
    "share/templates/card.md.j2",
)

Say = Callable[[], Iterable[str]]
COLUMN = "the name of a table, a column or a part of the page"
MEASURE = "it says how a measure is defined"
GENERAL = "it holds of every study that the toolkit can run"

# -- a pooled PGR -----------------------------------------------------------------------------------

ahead = answer(pgr(0.3, 0.5), AHEAD, OPEN, others=pgr(0.2, 0.8))
behind = answer(pgr(-0.5, -0.2), BEHIND, OPEN)
unsettled = answer(pgr(-0.2, 0.5), AHEAD, BEHIND, OPEN)
undefined = answer(UNDEFINED, NO_GAP, NO_GAP)
few = answer(pgr(-2.0, -1.1), AHEAD, NO_GAP, NO_GAP, NO_GAP, NO_GAP)
lone = answer(pgr(0.3, 0.5), AHEAD)
one_seed = answer(pgr(0.3, 0.5), AHEAD, OPEN, seeds=1)
some_gaps = answer(pgr(0.3, 0.5), AHEAD, AHEAD, NO_GAP)
with_saturated = answer(pgr(0.3, 0.5), AHEAD, AHEAD, saturated=1)
many = answer(pgr(0.3, 0.5), *[AHEAD] * 12, others=pgr(0.2, 0.8))
untrained = answer(pgr(0.3, 0.5), AHEAD, OPEN, untrained=("d0", "d1"))

POOLED = (
    Claim("Pooled PGR of {} over {}: undefined, {}.", undefined, ahead),
    Claim("Pooled PGR of {} over {}: none is given, {}, and the rest are too few.", few, some_gaps),
    Claim("Pooled PGR of {} over {} (ratio of sums): {} for these datasets", ahead, few),
    Claim("; {} for a population of datasets{}", ahead, lone),
    Claim("{} of {} {} no gap between supervisor and ceiling that can be told from 0", some_gaps, ahead),
    Claim("How much of the gap the student recovers cannot be said: {}.", undefined, ahead),
    Claim("How much of the gap the student recovers cannot be said: of the datasets {}.", few, some_gaps),
    Claim("{} of the gap between supervisor and ceiling (95 % interval {} to {})", ahead, few),
    Claim("{}, from which nothing follows: student or ceiling are not shown to have learned{}.", untrained, ahead),
    Claim("{}: {} on the whole, and on {} of the {} by their own intervals.", ahead, unsettled),
    Claim("On these {} datasets taken together", ahead, lone),
    Claim("{}, with these trained models,", one_seed, ahead),
    Claim("it outshines its supervisor", ahead, behind),
    Claim("it outshines its supervisor", lone, untrained),
    Claim("it falls behind its supervisor", behind, ahead),
    Claim("whether it outshines its supervisor is not settled", unsettled, ahead),
    Claim("by their own intervals it is ahead on {} of the {} and behind on {}", unsettled, ahead),
    Claim(
        "When {} learns from labels that {} gave, how much does it recover of the gap between {} and {} fine-tuned on "
        "ground truth?",
        ahead,
        None,
        "the question of every study",
    ),
    Claim("Mean test AUROC over {} datasets", ahead, lone),
    Claim(" It is higher for the student than for its supervisor on {} of them.", ahead, lone),
    Claim(" Saturated and left out: {}.", with_saturated, ahead),
    Claim(
        "One seed: the interval covers the choice of test rows of {}, for these trained models only.", one_seed, ahead
    ),
    Claim("{} seeds: the interval covers the choice of test rows and of seeds, for {} only.", ahead, one_seed),
    Claim("For other datasets nothing can be said: {}.", some_gaps, ahead),
    Claim("; exploratory: {} datasets are few", ahead, many),
    Claim("If these datasets were drawn at random from their kind, {}.", ahead, some_gaps),
    Claim("the kind's share lies between {} (95 % interval){}", ahead, some_gaps),
)

# -- training ---------------------------------------------------------------------------------------

well = training()
failed = training(val_auroc=0.36, val_low=0.3, test_auroc=0.41, test_low=0.39)
unsure = partial(training, val_rows=32, val_auroc=0.52, val_low=0.3, test_auroc=0.55, test_low=0.4)
file_labels = training(val_auroc=0.36, val_low=0.3, test_auroc=float("nan"), test_low=float("nan"))

TRAINING = (
    Claim(
        "Mind the training: {} a model behind this answer is not shown to have learned from its labels, and what is "
        "measured may be that training failed rather than weak-to-strong generalization.",
        page("bare", "nothing"),
        page("bare", "all"),
    ),
    Claim(
        "did not learn its labels, as far as these rows can tell (AUROC against them {}): its PGR says what happens "
        "when training fails, nothing about weak-to-strong generalization",
        failed,
        unsure(),
    ),
    Claim(
        "not shown to have learned its labels (AUROC against them {}, not shown to be above .5): its PGR may say "
        "no more than what happens when training fails",
        unsure(),
        training(val_rows=32, val_auroc=0.52, val_low=0.3),  # test rows tell it from .5
    ),
    Claim(
        "not shown to have learned its task (AUROC {}, not shown to be above .5): its labels may say nothing about "
        "the truth, and PGR then compares with chance",
        unsure(role="weak"),
        training(role="weak"),
    ),
    Claim(
        "not shown to have learned from ground truth (AUROC {}, not shown to be above .5): PGR has nothing to "
        "measure the student against",
        unsure(role="ceiling"),
        training(role="ceiling"),
    ),
    Claim("{} on {} rows of val", file_labels, well),
    Claim("{} on {} rows of val, {} on {} of test", failed, file_labels),
    Claim(
        "the weights kept were chosen by an AUROC that is not above .5 ({} on {} rows of val): by chance",
        training(val_auroc=0.48, val_low=0.4),
        training(val_auroc=0.48, val_low=0.4, num_validations=1),
    ),
    Claim(
        "the labels that it was trained on hardly vary (standard deviation {}): predicting their mean on every row has "
        "nearly the same loss",
        training(label_sd=0.03),
        well,
    ),
    Claim("barely trained, {} updates in all", training(updates=12, chosen_update=12), well),
    Claim(
        "barely trained, for the weights kept are those after {} of {} updates, before the learning rate had passed "
        "its warm-up",
        training(chosen_update=25),
        well,
    ),
    Claim(
        "its probabilities hardly vary over the test rows (standard deviation {}), as those of a model that was not "
        "trained",
        training(test_sd=0.003, val_low=0.4, test_low=0.4),
        training(test_sd=0.003),  # close to one half, and in the right order
    ),
    Claim(
        "{} of the tokens of its texts are unknown to its tokenizer: it cannot read them",
        training(unknown_tokens=0.6),
        training(unknown_tokens=0.4),
    ),
    Claim(
        "{} of the test rows are given one and the same class: its AUROC is about ranks, and what counts "
        "classes (accuracy, repeated errors, differing labels) says little",
        training(test_one_side=1.0),
        well,
    ),
)

# -- controls ---------------------------------------------------------------------------------------


def control(name: str, auroc: tuple[float, float, float], **changed: object) -> Say:
    """A control's sentence; `auroc`, `vanilla` and `weak`: its AUROC and the two differences with their limits."""
    row: dict[str, object] = {
        "control": name,
        "setting": "",
        "loss": "xent",
        "vanilla": "xent",
        "num_datasets": 6,
        "num_saturated": 0,
        "num_unpaired": 0,
        "vanilla_auroc": 0.8,
        "weak_auroc": 0.7,
        "vanilla_less": (0.0, -0.1, 0.1),
        "weak_less": (0.0, -0.1, 0.1),
        **changed,
    }
    triples = {"auroc": auroc, "minus_vanilla": row["vanilla_less"], "minus_weak": row["weak_less"]}
    for key, three in triples.items():
        row |= dict(zip((key, f"{key}_low", f"{key}_high"), three, strict=True))  # type: ignore[call-overload]
    return lambda: [sentence(row)]


INF, NAN = float("inf"), float("nan")
UP, DOWN, NONE, UNKNOWN = (0.1, 0.05, 0.15), (-0.1, -0.15, -0.05), (0.1, -INF, INF), (NAN, NAN, NAN)
HALF, HIGH = (0.5, 0.46, 0.54), (0.6, 0.55, 0.65)
shuffled, noise, small, salient = (
    partial(control, name) for name in ("shuffled", "noise_matched", "weak_to_weak", "truth_probe")
)
other = control("somebody's", HALF)

CONTROLS = (
    Claim(
        "One dataset gives this difference no interval: it is a description, and tells nothing apart.",
        noise(HALF, num_datasets=1, vanilla_less=NONE),
        noise(HALF, vanilla_less=UP),
    ),
    Claim("the weak labels permuted over all rows", shuffled(HALF), other),
    Claim("the mean weak label on every row", control("constant", HALF), other),
    Claim(
        "the weak labels permuted within each true class: the same AUROC and calibration, errors independent of the "
        "text",
        noise(HALF),
        shuffled(HALF),
    ),
    Claim("a student of the supervisor's own model, trained on the weak labels", small(HALF), other),
    Claim("a probe of the pretrained strong model, fitted on ground truth", salient(HALF), other),
    Claim(
        "These labels say nothing about single texts, and the AUROC should be near .5: its interval is too wide to "
        "tell.",
        shuffled((0.5, 0.2, 0.8)),
        shuffled(HALF),
    ),
    Claim(
        "These labels say nothing about single texts, and the AUROC is {} .5: a weak sign over so few datasets, for "
        "single students of such labels scatter far more than their test rows tell. More seeds settle it.",
        shuffled(HIGH, num_datasets=1),
        shuffled(HIGH, num_datasets=6),
    ),
    Claim(
        "These labels say nothing about single texts, yet the AUROC is {} .5: chance over few datasets, or something "
        "other than the labels reaches the scores. Look into it before reading any other result.",
        shuffled(HIGH, num_datasets=6),
        shuffled(HALF),
    ),
    Claim(
        "These labels say nothing about single texts, and the AUROC cannot be told from .5, as it should be: what the "
        "vanilla student has above that goes with what its labels say about the texts.",
        shuffled(HALF),
        shuffled((0.9, -INF, INF), num_datasets=1),  # nothing is known of an AUROC without an interval
    ),
    Claim("Cost of structured errors, student(noise_matched) − student(p_weak): {}.", noise(HALF), shuffled(HALF)),
    Claim(
        "Labels as good by every count, but with errors that no text predicts, go with a better student: compatible "
        "with a student that imitates errors it can predict.",
        noise(HALF, vanilla_less=UP),
        noise(HALF, num_datasets=1, vanilla_less=NONE),
    ),
    Claim(
        "The weak labels themselves go with the better student: compatible with their doubts marking the hard texts, "
        "which permuting destroys along with the structure of the errors.",
        noise(HALF, vanilla_less=DOWN),
        noise(HALF),
    ),
    Claim(
        "It cannot be told from 0 here: there is no good evidence that the structure of the errors matters.",
        noise(HALF),
        noise(HALF, vanilla_less=DOWN),
    ),
    Claim(
        "Training anew on the weak labels goes with a gain over the supervisor without any stronger model: smoothing "
        "alone may account for that much.",
        small(HALF, weak_less=UP),
        small(HALF),
    ),
    Claim(
        "Training anew on the weak labels loses against the supervisor where the model is not stronger.",
        small(HALF, weak_less=DOWN),
        small(HALF),
    ),
    Claim(
        "Training anew on the weak labels gives no gain over the supervisor that can be told from 0: there is no good "
        "evidence of mere smoothing.",
        small(HALF),
        small(HALF, num_datasets=1, weak_less=NONE, vanilla_less=NONE),
    ),
    Claim(
        " It is ahead of the strong student by {}: no stronger model is needed for that.",
        small(HALF, vanilla_less=UP),
        small(HALF),
    ),
    Claim(
        " The strong student is ahead of it by {}: compatible with knowledge or capacity that only the strong model "
        "has.",
        small(HALF, vanilla_less=DOWN),
        small(HALF),
    ),
    Claim(
        " The strong student cannot be told from it: its gain, if any, may be mere smoothing.",
        small(HALF),
        small(HALF, vanilla_less=DOWN),
    ),
    Claim(
        "The pretrained activations hold more of the task, in a form that a probe can read, than the student shows: "
        "compatible with something left to elicit.",
        salient(HALF, vanilla_less=UP),
        salient(HALF, num_datasets=1, vanilla_less=NONE),
    ),
    Claim(
        "The student shows more of the task than this probe reads from the pretrained activations: compatible with "
        "fine-tuning that does more than to read off what this layer holds in plain form.",
        salient(HALF, vanilla_less=DOWN),
        salient(HALF),
    ),
    Claim(
        "The student cannot be told from this probe of the pretrained activations: compatible with elicitation of what "
        "the model already holds.",
        salient(HALF),
        salient(HALF, vanilla_less=UP),
    ),
    Claim("{} against the vanilla {} student ({})", shuffled(HALF), shuffled(HALF, vanilla_less=UNKNOWN)),
    Claim("{} against the weak supervisor ({})", shuffled(HALF), shuffled(HALF, weak_less=UNKNOWN)),
    Claim("no run of a vanilla student of the same loss and settings on {}", shuffled(HALF, num_unpaired=2), other),
    Claim(
        "all of its datasets ({}) are saturated, nothing to compare",
        shuffled(HALF, num_datasets=0, num_saturated=3),
        shuffled(HALF, num_saturated=1),
    ),
)

# -- tables and figures -------------------------------------------------------------------------------


def differ(p_weak: tuple[float, ...], p_student: tuple[float, ...]) -> Say:
    frame = pd.DataFrame({"y": [1.0, 0.0, 1.0], "p_weak": p_weak, "p_student": p_student}, index=["a", "b", "c"])
    return lambda: [differ_sentence(disagreements(frame, 3))]


def part_of(class_names: list[str]) -> Say:
    """A dataset's part of the page, with one row on which student and supervisor differ."""

    def said() -> list[str]:
        classes = {"weak": [1], "student": [0]} if len(class_names) > 2 else {}
        frame = pd.DataFrame({"y": [0], "p_weak": [0.9], "p_student": [0.1], "text": ["a"], **classes}, index=["a"])
        found = disagreements(frame, 1)
        found = found._replace(rows=found.rows.assign(text="a"))
        words = dict.fromkeys(("id", "name", "title", "pgr", "aurocs", "meaning", "source", "license", "note"), "")
        facts = words | {"pinned": "", "curves": "", "notes": [], "findings": [], "samples": []}
        facts |= {"splits": TextTable("", [], []), "num_passed": 1, "with_tests": False}
        facts |= {"differ": _differ(found, SimpleNamespace(class_names=class_names))}
        parts = _template().environment.get_template("parts.html.j2").module
        return [shown(str(parts.dataset(facts, "vanilla", False, "")))]  # type: ignore[attr-defined]

    return said


def sizes_of(**facts: object) -> Say:
    """The columns of a table of splits."""
    return lambda: splits_table({"splits": {"test": {"rows": 21, "num_groups": 21, **facts}}}).columns


CHANGE = ("gain_change", "gain_change_low", "gain_change_high")


def gains_on(*limits: tuple[float, float], change: tuple[float, float] = (np.nan, np.nan)) -> Say:
    """What is said of one method whose gain has these limits, each on a test set of its own.

    `change`: the limits of the change from the first test set to each other one.
    """
    row = {**dict.fromkeys(TEST_COLUMNS, ""), "purpose": "method", "dataset": "d", "method": "vanilla", "round": 0}
    rows = [
        {
            **row,
            **dict(zip(CHANGE, (sum(change) / 2, *change) if i else (np.nan,) * 3, strict=True)),
            **dict(zip(("test", "gain", "gain_low", "gain_high"), (f"t{i}", (low + high) / 2, low, high), strict=True)),
        }
        for i, (low, high) in enumerate(limits)
    ]
    return lambda: disagreements_of_tests(pd.DataFrame(rows))


def lacking_one(results: Results) -> Results:
    """The results as if a second method had failed."""
    row = {
        **dict.fromkeys(FAILED_COLUMNS, ""),
        "dataset": "d",
        "method": "probe",
        "round": 0,
        "seed": 0,
        "settings": "{}",
    }
    return results._replace(failed=pd.DataFrame([row]))


apart, same = differ((0.4, 0.6, 0.7), (0.7, 0.2, 0.8)), differ((0.4, 0.6, 0.7), (0.2, 0.7, 0.8))
full, bare = page("full"), page("bare")
run_full, run_bare = printed("full"), printed("bare")

TABLES = (
    Claim("Gain over the supervisor in test AUROC, student − weak, by dataset and method", full, bare),
    Claim("{} seeds: test rows and seeds", run_full, run_bare),
    Claim("one seed: test rows only, these trained models", run_bare, run_full),
    Claim("Test ROC AUC [95 % interval], {} supervises {} ({})", run_bare, None, COLUMN),
    Claim("Pooled PGR, Σ (student − weak) / Σ (ceiling − weak)", run_full, run_bare),
    Claim("none: too few with a gap", few, undefined),
    Claim("pooled PGR, these datasets [95 %]", two_studies, bare),
    Claim("Studies side by side, mean test AUROC and pooled PGR", two_studies, bare),
    Claim("Not finished, and in no other table", printed("bare", changed=lacking_one), run_bare),
    Claim("runs above the weak labels", full, bare),
    Claim("mean difference in AUROC", full, bare),
    Claim("On strong_train itself, against ground truth", full, bare),
    Claim("best on test (oracle)", full, bare),
    Claim("fall from best to last", full, bare),
    Claim("best at (share of updates)", full, bare),
    Claim("Test AUROC by which update is kept", full, bare),
    Claim("By other metrics, on test [95 % interval]", full, bare),
    Claim("Diagnostics on test, means over seeds, then datasets", bare, None, COLUMN),
    Claim("Student and supervisor give the same label to all {} test rows.", same, apart),
    Claim(
        "Student and supervisor give different labels to {} of {} test rows ({}); the student is right on {} of them, "
        "the supervisor on {}.",
        apart,
        same,
    ),
    Claim("AUROC on each test set [95 % interval], the same trained models", page("other-tests"), bare),
    Claim("smallest and largest class", sizes_of(class_counts=[5, 7, 9]), sizes_of(positive_share=0.5)),
    Claim("ahead of its supervisor on", gains_on((0.1, 0.2), (-0.1, 0.1)), gains_on((-0.2, -0.1), (-0.1, 0.1))),
    Claim("behind its supervisor on", gains_on((-0.2, -0.1), (-0.1, 0.1)), gains_on((0.1, 0.2), (-0.1, 0.1))),
    Claim("not told apart from its supervisor on", gains_on((0.1, 0.2), (-0.1, 0.1)), gains_on((0.1, 0.2), (0.1, 0.3))),
    Claim(
        "The gain on {} is not shown to differ from that on {} ({}).",
        gains_on((0.1, 0.2), (-0.1, 0.1), change=(-0.2, 0.1)),
        gains_on((0.1, 0.2), (-0.1, 0.1), change=(-0.3, -0.1)),
    ),
    Claim(
        "The gain on {} is {} than that on {} ({}).",
        gains_on((0.1, 0.2), (-0.1, 0.1), change=(-0.3, -0.1)),
        gains_on((0.1, 0.2), (-0.1, 0.1), change=(-0.2, 0.1)),
    ),
    Claim(
        " The supervisor gives every row the same label, so this says little.",
        differ((0.1, 0.2, 0.3), (0.7, 0.2, 0.8)),
        apart,
    ),
)

FIGURES = (
    Claim(
        "PGR = (student − weak) / (ceiling − weak) in test ROC AUC with 95 % intervals. 0: no better than the "
        "supervisor, 1: as good as the ceiling. A PGR outside the window is drawn at its edge with a large arrow and "
        "its value, an interval that reaches beyond it ends there in a small arrow.",
        captions("full"),
        captions("bare"),
    ),
    Claim(
        "One seed: intervals cover the choice of test rows for these trained models.",
        captions("bare"),
        captions("full"),
    ),
    Claim(
        "Means over {} seeds; intervals cover the choice of test rows and of seeds.", captions("full"), captions("bare")
    ),
    Claim(
        "Test ROC AUC against ground truth; grey: the gap between supervisor and ceiling. {} Rows that share a passage or "
        "question count as one group.",
        captions("bare"),
        None,
        GENERAL,
    ),
    Claim("Weak supervisor, student and ceiling", captions("bare"), None, COLUMN),
    Claim("filters-and-probe-labels", captions("full"), captions("bare")),
    Claim("Strong-to-strong training", captions("full"), captions("bare")),
    Claim("Filters and probe-to-strong training", captions("full"), captions("bare")),
    Claim(
        "What TopoFilter's first step (TopoCC: all but the largest connected component of each class) removes. Where "
        "that is more than the quota of {}, nothing further is dropped.",
        captions("full"),
        captions("bare"),
    ),
    Claim("What TopoFilter's components remove", captions("full"), captions("bare")),
    Claim(
        "Test ROC AUC of the probe less that of the weak labels it was fitted to, by layer. Above 0 it is the higher.",
        captions("full"),
        captions("bare"),
    ),
    Claim(
        "Solid: test ROC AUC against ground truth, looked at afterwards and never used for selection. Dashed: ROC AUC "
        "on val against the labels that the student was given. Open mark: the update whose weights are kept.",
        captions("full"),
        captions("bare"),
    ),
    Claim("test ROC AUC (0.5 = chance), with 95 % interval", drawn("bare"), None, MEASURE),
    Claim("strong_train removed by TopoFilter's first step (% of rows)", drawn("full"), drawn("bare")),
    Claim("test ROC AUC, probe − weak labels", drawn("full"), drawn("bare")),
)

# -- the page -----------------------------------------------------------------------------------------

PAGE = (
    Claim("Student: {}. PGR is the share of the gap that is recovered", bare, None, MEASURE),
    Claim("What to know first", bare, None, COLUMN),
    Claim("Audit of the data:", bare, None, COLUMN),
    Claim("Training, what to mind ({})", page("bare", "nothing"), None, COLUMN),
    Claim(
        "Blue: ahead of the supervisor, orange: behind, the darker the larger. Bold: the interval of the dataset's own "
        "PGR leaves out 0. Where there are many cells, some are bold by chance; whether a method helps is asked over "
        "datasets, under statistics.",
        full,
        bare,
    ),
    Claim("Every dataset and method ({} row{})", bare, None, COLUMN),
    Claim("Why PGR is undefined ({})", page("bare", "nothing"), bare),
    Claim(
        "PGR = (student − weak) / (ceiling − weak), intervals by Fieller's theorem from the joint covariance of the "
        "three AUCs. It is undefined where the ceiling is not shown to be above the weak supervisor, or no variance can be "
        "estimated.",
        bare,
        None,
        MEASURE,
    ),
    Claim(
        "The post relabels only where a round improves on the labels it was given. No PGR here: the ceiling was trained "
        "on these very rows.",
        full,
        bare,
    ),
    Claim("Does any method consistently help?", full, bare),
    Claim(
        "The same rows, models and seeds, measured by other metrics; a PGR that is undefined has its reason in metrics.csv. "
        "Nothing is chosen or tested by these.",
        full,
        bare,
    ),
    Claim(
        "Every model is trained, and its weights are chosen, as without these test sets. An interval covers the rows of "
        "its own test set. Where many are looked at, some gains are shown by chance.",
        page("other-tests"),
        bare,
    ),
    Claim("Noise floor: what this study could have found", full, bare),
    Claim(
        "The best update on test is a maximum over noisy points, hence biased upward, and is never used to choose "
        "anything.",
        full,
        bare,
    ),
    Claim(
        "Brier score and ECE (ten bins of equal mass): lower is better calibrated. “Repeats weak errors” is the share "
        "of the supervisor's wrong hard test labels that the student gives too, beside the same share of its right "
        "ones. CAPA: chance-adjusted probabilistic agreement (Goel et al., arXiv:2502.04313). Misfit: mean squared "
        "difference between student and supervisor; gain: Brier of the supervisor less Brier of the student "
        "(arXiv:2405.15116, squared loss; a diagnostic only).",
        bare,
        None,
        MEASURE,
    ),
    Claim("How to reproduce it", bare, None, COLUMN),
    Claim("Save the file below as", bare, None, GENERAL),
    Claim("outshine run study.yaml --out again outshine report again", bare, None, GENERAL),
    Claim(
        "Models and data are pinned to exact commits or digests. Equal bytes are promised on the same hardware with the "
        "same versions and threads; elsewhere results differ by rounding, which training may amplify.",
        bare,
        None,
        GENERAL,
    ),
    Claim("Stages and their keys ({}, {} seconds in all)", bare, None, COLUMN),
    Claim(", nothing else was found.", bare, full),
    Claim(
        "The student is {}; its loss may be another than that of supervisor and ceiling, and is then not to be compared "
        "with theirs. Dashed: val ROC AUC, the student's against the labels that it was given; open mark: the update "
        "whose weights are kept",
        bare,
        None,
        GENERAL,
    ),
    Claim(", one a seed at its own AUC", full, bare),
    Claim("Solid: test ROC AUC against ground truth, looked at afterwards.", full, bare),
    Claim("Where student and supervisor differ most", bare, None, COLUMN),
    Claim(
        "Test rows on which their labels differ, those first of which the student is surest, whoever is right. P:",
        bare,
        None,
        MEASURE,
    ),
    Claim("the class that is called and its probability", part_of(["x", "y", "z"]), part_of(["x", "y"])),
    Claim(
        "The first rows of each class in turn, in the order of their ids, which are hashes: nobody picked them.",
        bare,
        None,
        GENERAL,
    ),
    Claim("Skip to the answer", bare, None, COLUMN),
    Claim("Does the student outshine its supervisor?", bare, None, "the question of every study"),
    Claim(
        "Nothing is tested between studies: they differ in datasets, models or settings, and each interval speaks of "
        "its own study only.",
        two_studies,
        bare,
    ),
    Claim("Methods were not compared: {}.", page("two-methods"), full),
    Claim("The weak labels do not cover the test rows.", page("file"), bare),
)


# -- a published card ------------------------------------------------------------------------------

CARD = (
    Claim(
        "# {}: models of a weak-to-strong study",
        pushed("bare"),
        pushed("bare", "student"),
    ),
    Claim(
        "The models of one study, with their predictions.",
        pushed("bare"),
        pushed("bare", "student"),
    ),
    Claim(
        "One model (*weak supervisor*) was trained on ground truth and labelled new rows",
        pushed("bare"),
        pushed("file"),
    ),
    Claim(
        "Weak labels of rows came from a file",
        pushed("file"),
        pushed("bare"),
    ),
    Claim(
        "; another (*strong student*) was trained on those labels, errors included; the same model as the student, trained on ground truth, is the *strong ceiling*. The question is how much of the gap between supervisor and ceiling the student recovers: PGR = (student − weak) / (ceiling − weak), each a test ROC AUC.",
        pushed("bare"),
        pushed("bare", "student"),
    ),
    Claim(
        "A probe on activations of {}, fitted to",
        pushed("full", "probe"),
        pushed("bare", "student"),
    ),
    Claim(
        "labels of {}, errors included. No ground truth of its training rows was shown to it. It was made to measure weak-to-strong generalization: how much of the gap between its supervisor and the same model trained on ground truth it recovers, PGR = (student − weak) / (ceiling − weak), each a test ROC AUC.",
        pushed("bare", "student"),
        pushed("bare", "ceiling"),
    ),
    Claim(
        "{}, trained on ground truth to label rows for a larger model. It is the weak supervisor of a weak-to-strong study, and meant to be imperfect.",
        pushed("bare", "weak"),
        pushed("bare", "student"),
    ),
    Claim(
        "{}, trained on the ground truth of the rows that a student got weak labels for. It is the strong ceiling of a weak-to-strong study: what the student is measured against.",
        pushed("bare", "ceiling"),
        pushed("bare", "student"),
    ),
    Claim(
        "{}, made as a control ({}) in a weak-to-strong study: it lacks something that students have, or knows something that they do not. It is for comparison, not for use.",
        pushed("full", "control"),
        pushed("bare", "student"),
    ),
    Claim(
        "This model, against ground truth:",
        pushed("bare", "student"),
        pushed("bare"),
    ),
    Claim(
        "Supervisor, student and ceiling of this study: test",
        pushed("bare", "student"),
        pushed("bare"),
    ),
    Claim(
        "ROC AUC with 95 % intervals, and PGR; {} seed{}:",
        pushed("bare"),
        None,
        COLUMN,
    ),
    Claim("Intervals are for the choice of test rows", pushed("bare"), None, GENERAL),
    Claim(", those of this model alone for the choice of rows", pushed("full", "student"), pushed("bare", "student")),
    Claim(", given these trained models", pushed("bare"), pushed("full")),
    Claim(
        "; those of controls are over datasets",
        pushed("full"),
        pushed("bare"),
    ),
    Claim(
        ". `tables/` has every number.",
        pushed("bare"),
        None,
        GENERAL,
    ),
    Claim(
        "## Before you use it",
        pushed("bare"),
        None,
        COLUMN,
    ),
    Claim(
        "* This is a measurement, not a product. {} of weak labels can learn the supervisor's errors too, and repeat them with confidence.",
        pushed("bare"),
        None,
        GENERAL,
    ),
    Claim(
        "* The results are about these datasets, prompts and models. They do not say that another student will outshine another supervisor.",
        pushed("bare"),
        None,
        GENERAL,
    ),
    Claim(
        "* A small model stands in for a fallible human. Its errors are not a human's, and the strong model may have read about such tasks, or these very rows, before. Both can make weak labels look better teachers than they would be.",
        pushed("bare"),
        None,
        GENERAL,
    ),
    Claim(
        "* A PGR has a wide interval where the gap between supervisor and ceiling is small, and is undefined where there is none.",
        pushed("bare"),
        None,
        MEASURE,
    ),
    Claim(
        "* Probabilities were not calibrated afterwards: they follow the labels and the balance of classes that the model was trained on.",
        pushed("bare"),
        None,
        GENERAL,
    ),
    Claim(
        "* Weights were chosen on `val` by the labels that the model was given{}; test chose nothing.",
        pushed("bare"),
        pushed("last-weights"),
    ),
    Claim(
        "* The rows of `strong_train` were balanced by their ground truth before they got weak labels, as in the original study. Nobody without ground truth could.",
        pushed("bare"),
        pushed("unbalanced"),
    ),
    Claim(
        "No text of any dataset is in this repository. `predictions.parquet` has the columns `id`, `split`, `log_odds` and `p` (of three classes and more `log_p_0`, `log_p_1` … and `p_0`, `p_1` …), for `strong_train`, `val` and `test`; an `id` is the beginning of a hash of the row, so that whoever has the rows can join them.",
        pushed("bare"),
        None,
        GENERAL,
    ),
    Claim(
        "With peft and transformers",
        pushed("bare", "student"),
        pushed("full", "probe"),
    ),
    Claim(
        ", here one of the models",
        pushed("bare"),
        pushed("bare", "student"),
    ),
    Claim(
        "`text` is worded as outshine formats it (`outshine datasets show NAME` prints ten). Where a text was too long, outshine shortened a marked part of it, such as a passage, before its end.",
        pushed("bare", "student"),
        pushed("full", "probe"),
    ),
    Claim(
        "It was trained with the base in four bits; the code above loads it dense, which gives slightly other numbers.",
        pushed("four-bits", "student"),
        pushed("bare", "student"),
    ),
    Claim(
        "With outshine (this is of version {}), in the store where it was computed, or where `outshine run study.yaml` has computed it again to the same key",
        pushed("bare"),
        None,
        GENERAL,
    ),
    Claim(
        "* weak labels: from a file of the author's",
        pushed("file"),
        pushed("bare"),
    ),
    Claim(
        "`study.yaml` is the study with every choice made (digest {}); `outshine.json` has the key, all settings and the package versions of each model. Data files of the author's are named without their folders.",
        pushed("bare"),
        None,
        GENERAL,
    ),
    Claim(
        "The author of this repository gives its licence as {}.",
        pushed("bare", "", "mit"),
        pushed("bare"),
    ),
    Claim(
        "No licence is stated for this repository.",
        pushed("bare"),
        pushed("bare", "", "mit"),
    ),
    Claim(
        "The weights derive from their base model{} and from the data, whose terms hold for them too. Data:",
        pushed("bare"),
        None,
        GENERAL,
    ),
    Claim(
        "A base model's licence is on its page.",
        pushed("bare"),
        None,
        GENERAL,
    ),
)

CLAIMS: tuple[Claim, ...] = POOLED + TRAINING + CONTROLS + TABLES + FIGURES + PAGE + CARD
