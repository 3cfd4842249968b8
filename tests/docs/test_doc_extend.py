"""The package that docs/extend.md builds: short, right, found by its entry points, and run by the page's own commands."""

from __future__ import annotations

import importlib.util
import io
import json
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import numpy as np
import pandas as pd
import pytest
import torch
from doc_commands import commands_in
from doc_pages import blocks
from strangers import PAGE, environment, files, install, run_all

MAX_LINES = 20  # without blank ones and the comment that names the file
EXAMPLES = (
    *("gce", "mass_mean", "confident", "commonsense_qa", "costly", "ordinal", "job_effort", "committee", "brier"),
    "quadratic_kappa",
)
WORDS = ("sand", "bridge", "lamp", "river", "violin", "bakery", "drawer", "orchard", "station", "theatre")


def module(name: str, folder: Path) -> ModuleType:
    """A module of the page, without registering anything in this process."""
    (text,) = (block.text for block in files("python") if block.file == f"src/outshine_ideas/{name}.py")
    path = folder / f"{name}.py"
    path.write_text(text, encoding="utf-8")
    spec = importlib.util.spec_from_file_location(f"page_{name}", path)
    assert spec is not None
    assert spec.loader is not None
    made = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(made)
    return made


def labelled(n: int = 120, d: int = 5, hard: bool = False):
    """Activations of two overlapping classes and their weak labels."""
    from outshine.learn.probes import Labelled

    generator = torch.Generator().manual_seed(3)
    acts = torch.randn(n, d, generator=generator) @ torch.randn(d, d, generator=generator)
    p = torch.sigmoid(acts[:, 0] + torch.randn(n, generator=generator)).double()
    return Labelled.of([f"{i:03d}" for i in range(n)], acts, (p > 0.4).double() if hard else p)


def test_each_example_is_one_file_of_twenty_lines() -> None:
    examples = [block for block in files("python") if (block.file or "").startswith("src/")]
    assert [block.file for block in examples] == [f"src/outshine_ideas/{name}.py" for name in EXAMPLES]
    for block in examples:
        assert sum(1 for line in block.text.splitlines()[1:] if line.strip()) <= MAX_LINES, block.where
        assert "Source: " in block.text, block.where


def test_the_loss_runs_from_cross_entropy_to_absolute_error(tmp_path: Path) -> None:
    from outshine.learn.losses import cross_entropy

    gce = module("gce", tmp_path).GCE
    z, y = torch.linspace(-9, 9, 37, dtype=torch.float64), torch.linspace(1, 0, 37, dtype=torch.float64)
    torch.testing.assert_close(gce(q=1e-7).start(y, 1)(z, y, 0), cross_entropy(z, y), rtol=1e-5, atol=1e-6)
    f = z.sigmoid()
    torch.testing.assert_close(gce(q=1).start(y, 1)(z, y, 0), y * (1 - f) + (1 - y) * f)
    closed = y * (1 - f**0.7) / 0.7 + (1 - y) * (1 - (1 - f) ** 0.7) / 0.7
    torch.testing.assert_close(gce().start(y, 1)(z, y, 0), closed)


def test_the_probe_is_scikit_learns_discriminant_analysis(tmp_path: Path) -> None:
    from sklearn.discriminant_analysis import LinearDiscriminantAnalysis

    rows = labelled(hard=True)
    found = module("mass_mean", tmp_path).MassMean(shrinkage=1e-13).fit(rows).predict(rows.acts)
    acts = rows.acts.double().numpy()
    theirs = LinearDiscriminantAnalysis(solver="lsqr").fit(acts, rows.hard.numpy())
    np.testing.assert_allclose(found.log_odds.numpy(), theirs.decision_function(acts), rtol=1e-6, atol=1e-6)


def test_soft_labels_count_as_rows_of_both_classes(tmp_path: Path) -> None:
    from outshine.learn.probes import Labelled

    probe = module("mass_mean", tmp_path).MassMean()
    rows = labelled()
    tenths = (rows.p_weak * 10).round().long()
    soft = rows._replace(p_weak=tenths.double() / 10)
    copies = [(i, float(j < tenths[i])) for i in range(len(rows.ids)) for j in range(10)]
    acts, p = rows.acts[[i for i, _ in copies]], torch.tensor([y for _, y in copies], dtype=torch.float64)
    repeated = Labelled.of([f"{number:05d}" for number in range(len(copies))], acts, p)
    ours, theirs = probe.fit(soft).predict(rows.acts), probe.fit(repeated).predict(rows.acts)
    torch.testing.assert_close(ours.log_odds, theirs.log_odds, rtol=1e-6, atol=1e-6)  # 0 and 1 are kept 1e-9 away


def test_the_filter_drops_what_falls_short_of_its_class(tmp_path: Path) -> None:
    from outshine.learn.probes.knn import KNN

    rows = labelled()
    found = module("confident", tmp_path).Confident(probe=KNN(k=7)).keep(rows, 0.25, rows)
    acts, p, hard = rows.acts.double().numpy(), rows.p_weak.numpy(), rows.hard.numpy()
    distances = np.linalg.norm(acts[:, None] - acts, axis=2)
    np.fill_diagonal(distances, np.inf)
    vote = p[distances.argsort(1)[:, :7]].mean(1)
    belief = np.where(hard, vote, 1 - vote)
    short = np.where(hard, belief[hard].mean(), belief[~hard].mean()) - belief
    assert set(np.flatnonzero(~found.kept.numpy())) == set(np.argsort(-short)[:30])


def test_the_dataset_proposes_a_right_and_a_wrong_answer_in_one_form(tmp_path: Path) -> None:
    from outshine.data.schema import Draw

    recipe = module("commonsense_qa", tmp_path).CommonsenseQA()
    row = commonsense_rows(1)[0]
    right, wrong = (recipe.format(row, Draw(0, 0, coin)) for coin in (True, False))
    assert (right.label, wrong.label) == (True, False)
    answers = [example.text.splitlines()[1].removeprefix("Proposed answer: ") for example in (right, wrong)]
    assert answers[0] == row["choices"]["text"]["ABCDE".index(row["answerKey"])]
    assert answers[1] in row["choices"]["text"]
    assert answers[1] != answers[0]
    assert right.text.replace(answers[0], answers[1]) == wrong.text
    assert right.group == wrong.group == row["question_concept"]
    assert recipe.format({**row, "answerKey": ""}, Draw(0, 0)) is None  # as in the hidden test split


@pytest.mark.parametrize("num_grades", [2, 3, 5])
def test_the_task_of_grades_is_a_cumulative_link_model(num_grades: int, tmp_path: Path, monkeypatch) -> None:
    from scipy.special import expit

    from outshine.data.task import tasks

    monkeypatch.setattr(tasks, "_classes", dict(tasks._classes))
    task = module("ordinal", tmp_path).Ordinal(class_names=tuple(f"grade {k}" for k in range(num_grades)))
    z = torch.linspace(-30, 30, 61, dtype=torch.float64)[:, None].requires_grad_()
    thresholds = np.arange(num_grades - 1) - (num_grades - 2) / 2
    above = expit(z.detach().numpy() - thresholds)  # P(y > k)
    expected = -np.diff(np.pad(above, ((0, 0), (1, 0)), constant_values=1), axis=1, append=0)
    scores = task.scores(z)
    np.testing.assert_allclose(scores.detach().exp().numpy(), expected, rtol=1e-9, atol=1e-15)
    np.testing.assert_allclose(task.probabilities(scores).detach().numpy(), expected, rtol=1e-9, atol=1e-15)
    scores.sum().backward()
    assert z.grad is not None
    assert torch.isfinite(z.grad).all()
    assert task.scores(torch.zeros(2, 7, 1)).shape == (2, 7, num_grades)


def test_the_metric_of_grades_is_scikit_learns_and_its_influence_the_derivative(tmp_path: Path) -> None:
    from sklearn.metrics import cohen_kappa_score

    kappa = module("quadratic_kappa", tmp_path).QuadraticKappa()
    rng = np.random.default_rng(0)
    for n in (8, 60):
        y = rng.permutation(np.arange(n) % 4)
        scores = rng.normal(size=(n, 4)) + 2 * np.eye(4)[y]
        value = cohen_kappa_score(y, scores.argmax(1), weights="quadratic")
        assert kappa.value(y, scores) == pytest.approx(value, abs=1e-12)
        influence = kappa.influence(y, scores)
        assert influence.mean() == pytest.approx(0, abs=1e-12)
        for i in range(n):
            one = 1e-5 * (np.arange(n) == i)
            up, down = (
                cohen_kappa_score(y, scores.argmax(1), weights="quadratic", sample_weight=weight)
                for weight in (1 + one, 1 - one)
            )
            assert influence[i] == pytest.approx(n * (up - down) / 2e-5, abs=1e-6)


def commonsense_rows(num_rows: int, seed: int = 0) -> list[dict]:
    """Made-up rows of the schema of tau/commonsense_qa."""
    rng = np.random.default_rng(seed)
    made = []
    for number in range(num_rows):
        options = [f"{rng.choice(WORDS)} {letter}{rng.integers(1000)}" for letter in rng.permutation(list("klmno"))]
        question = f"Where, when asked for the {number}th time by {seed}, is one likely to find a {rng.choice(WORDS)}?"
        made.append(
            {
                "id": f"{seed}-{number}",
                "question": question,
                "question_concept": f"concept {number // 2}",
                "choices": {"label": list("ABCDE"), "text": options},
                "answerKey": "ABCDE"[rng.integers(5)],
            }
        )
    return made


@pytest.fixture(scope="module")
def hub() -> Iterator[str]:
    """The address of a hub that serves them."""
    from loopback_hub import LoopbackHub, serving

    served = {}
    for seed, (split, num_rows) in enumerate([("train", 3000), ("validation", 400)]):
        buffer = io.BytesIO()
        pd.DataFrame(commonsense_rows(num_rows, seed)).to_parquet(buffer)
        served[f"default/{split}/0000.parquet"] = buffer.getvalue()
    with serving(LoopbackHub("tau/commonsense_qa", served, commit="c" * 40)) as server:
        yield server.endpoint


KAPPA = ("--metric", "quadratic_kappa")
MORE = [
    ["score", "predictions.csv", "--metric", "brier", "--json"],
    ["run", "small.yaml", *KAPPA],
    ["run", "small.yaml", "--dataset", "tiny-instrument-family", *KAPPA],
    ["score", "predictions.csv", *KAPPA],
    ["score", "four.csv", *KAPPA, "--json"],
]


class Ran:
    """The page's commands, run in its order in one folder with one store; and `MORE` of them after that."""

    def __init__(self, folder: Path, endpoint: str) -> None:
        self.folder = folder
        site = folder / "site"
        install(site)
        for block in files("yaml"):
            assert block.file is not None
            (folder / block.file).write_text(block.text, encoding="utf-8")
        predictions().to_csv(folder / "predictions.csv", index=False)
        four_grades().to_csv(folder / "four.csv", index=False)
        hub = {"HF_ENDPOINT": endpoint, "HF_HOME": str(folder / "hf"), "HF_HUB_OFFLINE": "0"}
        self.site, self.environment = site, environment(folder, site, **hub)
        self.commands = [shown.arguments for block in blocks(PAGE, "sh") for shown in commands_in(block)]
        done = run_all([*self.commands, *MORE], folder, self.environment)
        self.done, self.more = done[: len(self.commands)], done[len(self.commands) :]

    def students(self, out: str) -> pd.DataFrame:
        scores = pd.read_parquet(self.folder / out / "scores.parquet")
        return scores[(scores["role"] == "student") & (scores["split"] == "test")].reset_index(drop=True)


def four_grades() -> pd.DataFrame:
    """Rows of four grades, and what two models say of them."""
    rng, y = np.random.default_rng(3), np.arange(200) % 4
    scores = {role: rng.normal(size=(200, 4)) + size * np.eye(4)[y] for role, size in {"weak": 1, "student": 2}.items()}
    columns = {f"{role}_{k}": own[:, k] for role, own in scores.items() for k in range(4)}
    return pd.DataFrame({"label": y, **columns})


def predictions() -> pd.DataFrame:
    """Rows of two classes, and what three models say of them."""
    rng, y = np.random.default_rng(5), np.arange(300) % 2
    effects = {"weak": 0.3, "student": 0.8, "ceiling": 2.0}
    roles = {role: rng.normal(size=300) + effect * (2 * y - 1) for role, effect in effects.items()}
    return pd.DataFrame({"id": range(300), "label": y, **roles})


@pytest.fixture(scope="module")
def ran(tmp_path_factory: pytest.TempPathFactory, hub: str) -> Ran:
    return Ran(tmp_path_factory.mktemp("extend"), hub)


@pytest.mark.slow
def test_every_command_of_the_page_works(ran: Ran) -> None:
    assert len(ran.commands) >= 10
    for arguments, done in zip(ran.commands, ran.done, strict=True):
        assert done.code == 0, (arguments, done.err)


@pytest.mark.slow
def test_predictions_of_other_code_are_measured_by_the_metric_of_the_page(ran: Ran) -> None:
    from sklearn.metrics import brier_score_loss

    (row,) = json.loads(ran.more[0].out)["summary"]
    table = predictions()
    for role in ("weak", "student", "ceiling"):
        p = 1 / (1 + np.exp(-table[role]))
        assert row[f"{role}_value"] == pytest.approx(-brier_score_loss(table["label"], p), abs=1e-12)
    assert row["pgr_low"] < row["pgr"] < row["pgr_high"]


def shape(line: str) -> str:
    """A printed line without frames and spaces, numbers and contents of rows blotted out."""
    line = re.sub(r"^(Question|Proposed answer): .*", r"\1: ", line)
    line = re.sub(r"[0-9a-f]{12}", "KEY", line)
    line = re.sub(r"-?\d*[.,]?\d+", "0", line)
    return " ".join(re.sub(r"[│┃]", " ", line).split())


@pytest.mark.slow
def test_the_output_has_the_shape_that_the_page_shows(ran: Ran) -> None:
    """Every line of a text block is a line, or the beginning of one, of what the commands above it print."""
    printed: list[str] = []
    done = iter(ran.done)
    checked = 0
    for block in blocks(PAGE, "sh", "text"):
        if block.language == "sh":
            printed = [shape(line) for _ in commands_in(block) for line in next(done).out.splitlines()]
            continue
        for line in block.text.splitlines():
            wanted = shape(line.removesuffix("…"))
            assert any(one == wanted or (line.endswith("…") and one.startswith(wanted)) for one in printed), line
            checked += 1
    assert checked > 20


@pytest.mark.slow
def test_each_idea_gives_other_results_than_what_is_built_in(ran: Ran) -> None:
    for out, num_students in [("losses", 2), ("probes", 2), ("filters", 2), ("committee", 2), ("ideas", 3)]:
        students = ran.students(out)
        assert len(students) == num_students
        assert students["key"].is_unique
        assert students["auroc"].nunique() == num_students, out
        assert students["auroc"].between(0.5, 1, inclusive="right").all(), out
    assert ran.students("gce")["variant"].tolist() == ["loss.q=.4"]
    assert ran.students("gce")["key"][0] not in set(ran.students("losses")["key"])
    shared = {out: set(pd.read_parquet(ran.folder / out / "scores.parquet").query("role == 'ceiling'")["key"])
              for out in ("losses", "probes", "filters", "committee", "ideas")}  # fmt: skip
    assert len(set.union(*shared.values())) == 1


@pytest.mark.slow
def test_a_study_of_grades_runs_from_the_rows_to_the_report(ran: Ran) -> None:
    from sklearn.metrics import cohen_kappa_score, roc_auc_score

    (told,) = pd.read_parquet(ran.folder / "grades" / "metrics.parquet").to_dict("records")
    (summary,) = pd.read_parquet(ran.folder / "grades" / "summary.parquet").to_dict("records")
    keys = pd.read_parquet(ran.folder / "grades" / "scores.parquet").set_index("role")["key"]
    (prepared,) = [
        folder
        for folder in (ran.folder / "store").rglob("truth.parquet")
        if pd.read_parquet(folder)["label"].max() == 3  # no other dataset of the page has four classes
    ]
    truth = pd.read_parquet(prepared).set_index("id")["label"]
    for role in ("weak", "student", "ceiling"):
        (path,) = (ran.folder / "store").rglob(f"{keys[role].iloc[0]}/predictions.parquet")
        predicted = pd.read_parquet(path).query("split == 'test'").set_index("id")
        p = predicted[[f"p_{k}" for k in range(4)]].to_numpy()
        np.testing.assert_allclose(p.sum(1), 1, atol=1e-6)
        y = truth[predicted.index].to_numpy()
        value = cohen_kappa_score(y, p.argmax(1), weights="quadratic")
        assert told[f"{role}_value"] == pytest.approx(value, abs=1e-9)
        assert summary[f"{role}_auroc"] == pytest.approx(roc_auc_score(y, p, multi_class="ovr"), abs=1e-9)
    assert told["pgr_low"] < told["pgr"] < told["pgr_high"]
    page = (ran.folder / "grades" / "report.html").read_text(encoding="utf-8")
    assert all(word in page for word in ("at a desk", "lifting", "quadratic_kappa"))


@pytest.mark.slow
def test_the_metric_of_grades_takes_no_labels_without_order_unless_a_table_leaves_it_open(ran: Ran) -> None:
    from sklearn.metrics import cohen_kappa_score

    *refused, done = ran.more[1:]
    for one, is_of in zip(refused, ("binary", "multiclass", "binary"), strict=True):
        assert one.code == 2
        assert "ordinal labels" in " ".join(one.err.split())
        assert f"are {is_of}" in " ".join(one.err.split())
    answer = json.loads(done.out)
    table = four_grades()
    says = table[[f"student_{k}" for k in range(4)]].to_numpy().argmax(1)
    expected = cohen_kappa_score(table["label"], says, weights="quadratic")
    assert answer["summary"][0]["student_value"] == pytest.approx(expected, abs=1e-12)
    assert "the labels were taken for ordinal ones, which 'quadratic_kappa' measures" in answer["notes"]


@pytest.mark.slow
def test_a_bumped_version_trains_that_loss_anew_and_nothing_else(ran: Ran) -> None:
    path = ran.site / "outshine_ideas" / "gce.py"
    text = path.read_text(encoding="utf-8")
    path.write_text(text.replace('    title = "gen', '    VERSION = 2\n    title = "gen'), encoding="utf-8")
    try:
        (done,) = run_all([["plan", "small.yaml", "--loss", "xent,gce"]], ran.folder, ran.environment)
    finally:
        path.write_text(text, encoding="utf-8")
    (to_do,) = (line for line in done.out.splitlines() if "│ to do" in line)
    assert "labels of tiny/weak, gce, seed 0" in to_do
    assert "6 stages, 5 in the store, 1 to do" in done.out


@pytest.mark.slow
def test_the_tests_that_the_page_shows_pass(ran: Ran) -> None:
    """The page's own test file, where its package is installed; and that it fails where a class is wrong."""
    (test,) = (block for block in files("python") if (block.file or "").startswith("tests/"))
    own = ran.folder / "own"
    own.mkdir()
    (own / Path(test.file or "").name).write_text(test.text, encoding="utf-8")
    (own / "pytest.ini").write_text("[pytest]\n")
    assert run_tests(own, ran).startswith("3 passed")
    path = ran.site / "outshine_ideas" / "gce.py"
    text = path.read_text(encoding="utf-8")
    path.write_text(text.replace("logsigmoid(side)", "side.sigmoid().log()"), encoding="utf-8")
    try:
        assert "Losses and gradients are finite for any log-odds" in run_tests(own, ran)
    finally:
        path.write_text(text, encoding="utf-8")


def run_tests(folder: Path, ran: Ran) -> str:
    """What pytest reports of the tests in a folder, from its count on where all pass."""
    arguments = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", str(folder)]
    variables = environment(ran.folder, ran.site) | {"PYTHONWARNINGS": ""}
    done = subprocess.run(arguments, cwd=folder, env=variables, capture_output=True, text=True, check=False)
    counted = re.search(r"\d+ passed", done.stdout)
    return done.stdout[counted.start() :] if done.returncode == 0 and counted else done.stdout
