"""`outshine label` on a file whose truth is known: is what it recommends better, and is what it claims true?

    python benchmarks/label_ladder.py FILE --strong sentence-transformers/all-MiniLM-L6-v2

FILE (JSON lines) has the columns text, truth and cheap labels (`--label`, default cheap_soft). The model is a hub name
(`HF_ENDPOINT` names another hub) or a folder. Its texts are read once; then trusted rows are drawn at random, `--draws`
times of each size, and the rest of the file measures what was recommended.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path
from typing import NamedTuple

import numpy as np
from scipy.special import expit

from outshine.engine.store.store import Store
from outshine.labelling.ladder import Ladder, climb
from outshine.labelling.options import BY_NAME, OPTIONS, Designs, Scores
from outshine.labelling.probe import principal_axes, principal_columns, read_embeddings
from outshine.labelling.run import parse_label_settings, probe_of, run_label
from outshine.labelling.trusted_sample import Trusted

SIZES = (30, 60, 100, 150, 300)
WANTED = dict(zip(SIZES, (0.68, 0.71, 0.72, 0.72, 0.74), strict=True))
MOST_FEW = 150  # trusted rows up to which so much is asked
MARGIN = 0.03  # what the recommended labels are to have more than the cheap ones
BINS = 10  # of equal numbers of rows
CURVE = (50, 75, 100, 125, 150, 175, 200, 250, 300)


class File(NamedTuple):
    """All rows of the file: scores, truth [n], groups [n]."""

    scores: Scores
    truth: np.ndarray
    group: np.ndarray

    def trusted(self, rows: np.ndarray) -> Trusted:
        """These rows with their truth."""
        return Trusted(rows, self.truth[rows], np.ones(len(rows)), self.group[rows])

    def right(self, log_odds: np.ndarray, rows: np.ndarray) -> float:
        """The share of these rows that are right."""
        return float(np.mean((log_odds[rows] > 0) == self.truth[rows]))

    def draw(self, num: int, draw: int) -> tuple[np.ndarray, np.ndarray]:
        """Trusted rows, and the rest."""
        order = np.random.default_rng([num, draw]).permutation(len(self.truth))
        return order[:num], order[num:]


def read_file(path: str, label: str, truth: str, strong: str, folder: Path) -> tuple[File, float, float]:
    """The file as the command sees it after its first answer, and the seconds that this took (wall, processor)."""
    raw = {"path": path, "columns": {"label": label}, "strong": strong, "runtime": {"threads": 1}}
    store = Store(folder)
    start, used = time.perf_counter(), time.process_time()
    done = run_label(parse_label_settings(raw), store)
    took = time.perf_counter() - start, time.process_time() - used
    assert done.resolution is not None
    probe = probe_of(done.resolution, store)
    ids, acts = read_embeddings(probe.activations, store)
    plan = done.resolution.plan.read(store).set_index("id").loc[ids]
    truths = [json.loads(line)[truth] for line in Path(path).read_text(encoding="utf-8").splitlines()]
    scores = Scores(
        probe.scores(store).loc[ids].to_numpy(),
        plan["p"].to_numpy(float),
        principal_columns(acts, principal_axes(acts)),
    )
    known = np.array(truths, dtype=bool)[plan["row"].to_numpy()]
    return File(scores, known, plan["group"].to_numpy(str)), *took


def crossing(file: File, draws: int) -> float:
    """How many trusted rows alone are right as often as the student, recalibrated with the truth of all rows."""
    everything = file.trusted(np.arange(len(file.truth)))
    designs = Designs(file.scores)
    student = file.right(designs.log_odds(BY_NAME["student_recalibrated"], everything, everything.row), everything.row)
    curve = []
    for num in CURVE:
        found = []
        for draw in range(draws):
            rows, rest = file.draw(num, 1000 + draw)
            alone = designs.log_odds(BY_NAME["trusted_only"], file.trusted(rows), rest)
            found.append(float(np.mean((alone > 0) == file.truth[rest])))
        curve.append(float(np.mean(found)))
    write(f"student, recalibrated with all truth: {student:.3f}")
    write("trusted rows alone: " + ", ".join(f"{num} {value:.3f}" for num, value in zip(CURVE, curve, strict=True)))
    return float(np.exp(np.interp(student, curve, np.log(CURVE))))


class Draw(NamedTuple):
    """What one draw of trusted rows recommends, and what is true of it."""

    ladder: Ladder
    accuracy: float
    cheap: float
    options: dict[str, float]

    @property
    def covered(self) -> bool:
        """Whether the interval of the gain holds it."""
        return self.ladder.gain.low <= self.accuracy - self.cheap <= self.ladder.gain.high


def one_draw(file: File, num: int, draw: int) -> Draw:
    """Draw trusted rows, and measure what is recommended on the rest."""
    rows, rest = file.draw(num, draw)
    trusted = file.trusted(rows)
    ladder = climb(file.scores, trusted, in_file=np.ones(len(file.truth), dtype=bool))
    assert ladder is not None
    designs = Designs(file.scores)
    options = {
        option.name: float(np.mean((designs.log_odds(option, trusted, rest) > 0) == file.truth[rest]))
        for option in OPTIONS
    }
    return Draw(ladder, file.right(ladder.log_odds, rest), options["labels"], options)


def holds(draw: Draw, value: float) -> bool:
    """Whether the interval of what the cheap labels are worth holds a number of rows."""
    worth = draw.ladder.worth
    return worth is not None and worth.low <= value and (worth.high is None or worth.high >= value)


def write(line: str) -> None:
    """Print a line at once."""
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


def table(file: File, num_draws: int, measured: float) -> dict[str, list[float]]:
    """Print a row for each number of trusted rows and what was wanted; returns the means of each option."""
    heads = ["trusted rows", *(option.title for option in OPTIONS), "recommended", f"≥ cheap + {MARGIN}"]
    heads += ["gain held", "worth held", "shown better"]
    write(f"| {' | '.join(heads)} |")
    write("| --- " * len(heads) + "|")
    means: dict[str, list[float]] = {option.name: [] for option in OPTIONS}
    enough, held, met = [], [], True
    for num in SIZES:
        draws = [one_draw(file, num, draw) for draw in range(num_draws)]
        mean = float(np.mean([draw.accuracy for draw in draws]))
        met &= mean >= WANTED[num]
        better = [draw.accuracy >= draw.cheap + MARGIN for draw in draws]
        worth = [holds(draw, measured) for draw in draws]
        held += worth
        enough += better if num <= MOST_FEW else []
        for name, values in means.items():
            values.append(float(np.mean([draw.options[name] for draw in draws])))
        chosen = Counter(draw.ladder.recommended for draw in draws)
        shown = [draw.ladder.verdict == "better" for draw in draws]
        shares = [np.mean(part) for part in (better, [draw.covered for draw in draws], worth, shown)]
        cells = [str(num), *(f"{values[-1]:.3f}" for values in means.values())]
        cells += [f"{mean:.3f} ({', '.join(f'{name} {count}' for name, count in chosen.items())})"]
        write(f"| {' | '.join([*cells, *(f'{share:.2f}' for share in shares)])} |")
    write(f"recommended at least as good as wanted at every size: {met}")
    write(f"≥ cheap + {MARGIN} with {SIZES[0]} to {MOST_FEW} rows: {np.mean(enough):.3f} of draws")
    write(f"worth holds {measured:.0f}: {np.mean(held):.3f} of draws")
    return means


def draw_figure(means: dict[str, list[float]], path: Path) -> None:
    """Draw how right each option is by the number of trusted rows."""
    import matplotlib as mpl

    mpl.use("agg")
    import matplotlib.pyplot as plt

    figure, axes = plt.subplots(figsize=(7, 4), layout="constrained")
    for option in OPTIONS:
        values = means[option.name]
        strong = option.name == "together"
        axes.plot(SIZES, values, marker="o", linewidth=3 if strong else 1.2, markersize=4, label=option.title)
    axes.set_xscale("log")
    axes.set_xticks(SIZES, [str(num) for num in SIZES])
    axes.minorticks_off()
    axes.set_xlabel("trusted rows")
    axes.set_ylabel("rows that are right")
    axes.legend(fontsize=8, frameon=False, loc="center left", bbox_to_anchor=(1.0, 0.5))
    mpl.rcParams["svg.hashsalt"] = "outshine"
    figure.savefig(path, metadata={"Date": None})


def draw_pictures(file: File, path: Path, num: int = 100) -> None:
    """Draw where labels and student differ, and how often rows are of class 1 that are said to be so probably."""
    import matplotlib as mpl

    mpl.use("agg")
    import matplotlib.pyplot as plt

    rows, rest = file.draw(num, 0)
    ladder = climb(file.scores, file.trusted(rows), in_file=np.ones(len(file.truth), dtype=bool))
    assert ladder is not None
    label, student, best = file.scores.label, expit(file.scores.student), expit(ladder.log_odds)
    figure, (left, right) = plt.subplots(1, 2, figsize=(10, 4.4), layout="constrained")
    left.scatter(label, student, s=6, color="0.75", linewidth=0, label="not checked", rasterized=True)
    for truth, color in ((False, "tab:blue"), (True, "tab:orange")):
        here = rows[file.truth[rows] == truth]
        left.scatter(label[here], student[here], s=16, color=color, label=f"truly class {int(truth)}")
    left.axhline(0.5, color="0.4", linewidth=0.8)
    left.axvline(0.5, color="0.4", linewidth=0.8)
    left.set(xlabel="cheap label", ylabel="student: P(class 1)", xlim=(0, 1), ylim=(0, 1))
    left.set_title(f"Labels and student differ on {np.mean((label > 0.5) != (student > 0.5)):.0%} of rows", fontsize=10)
    right.plot((0, 1), (0, 1), color="0.4", linewidth=0.8)
    for name, p in (("cheap labels", label), ("student", student), ("recommended", best)):
        bins = np.array_split(rest[np.argsort(p[rest], kind="stable")], BINS)
        means = [(p[part].mean(), file.truth[part].mean()) for part in bins]
        right.plot(*zip(*means, strict=True), marker="o", markersize=4, label=name)
    right.set(xlabel="said to be of class 1", ylabel="truly of class 1", xlim=(0, 1), ylim=(0, 1))
    right.set_title(f"By the truth of the {len(rest):,} rows that were not checked", fontsize=10)
    for axes in (left, right):
        axes.legend(fontsize=8, frameon=False, loc="upper left")
    mpl.rcParams["svg.hashsalt"] = "outshine"
    figure.savefig(path, metadata={"Date": None}, dpi=120)


def main() -> None:
    """Read the file, measure what its labels are worth, print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("file")
    parser.add_argument("--strong", default="sentence-transformers/all-MiniLM-L6-v2")
    parser.add_argument("--label", default="cheap_soft")
    parser.add_argument("--truth", default="truth")
    parser.add_argument("--draws", type=int, default=20)
    parser.add_argument("--figure", type=Path, help="an .svg file to draw the table into")
    parser.add_argument(
        "--pictures", type=Path, help="an .svg file to draw labels, student and truth into, of one draw"
    )
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        file, wall, used = read_file(given.file, given.label, given.truth, given.strong, Path(folder) / "store")
    write(f"first answer after {wall:.0f} s ({used:.0f} s of one processor), with loading the model")
    if given.pictures is not None:
        draw_pictures(file, given.pictures)
    measured = crossing(file, 2 * given.draws)
    write(f"the cheap labels are worth {measured:.0f} checked rows")
    means = table(file, given.draws, measured)
    if given.figure is not None:
        draw_figure(means, given.figure)


if __name__ == "__main__":
    main()
