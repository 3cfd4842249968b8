"""How fast outshine trains and evaluates on one GPU, beside plain PEFT, by the classes that a study uses.

    PYTHONPATH=src python -m benchmarks.gpu [--minutes 4] [--out gpu.json]
    PYTHONPATH=src python -m benchmarks.gpu --tiny              # every path at tiny size on the CPU, in seconds
    PYTHONPATH=src python -m benchmarks.gpu --table gpu.json    # the table of what such a file holds

Weights and texts are random: speed and memory do not depend on them. The JSON file is written anew after every line, so
that a run that is killed leaves what it had; at the end a table is printed. What cannot be measured is a line that says
why. `outshine plan --gpu gpu.json` reckons with what was measured.
"""

from __future__ import annotations

import argparse
import gc
import json
import platform
import signal
import statistics
import sys
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Literal, NamedTuple

import numpy as np
import torch
from torch import nn

from benchmarks import gpu_work as work
from outshine.engine.runtime import version_of

FINE_TUNINGS, TOGETHER, TRAINED_ROWS = 300, 8, 3 * 2000
CHECK_SECONDS = 30.0
RATE, SHARE, PEAK = "tokens_per_second", "share_of_matmul", "peak_gib"


class Goal(NamedTuple):
    """What a line should reach: `what` of it, divided by that of the line `beside` where one is named."""

    what: str
    bound: float
    words: str  # with the place of a figure
    beside: str = ""
    at_most: bool = False


class Line(NamedTuple):
    """One measurement. `settings`: of outshine's runtime, beside its defaults."""

    name: str
    goals: tuple[Goal, ...] = ()
    shape: Literal["8B", ".34B", "MiniLM"] = "8B"
    texts: work.Workload = work.SCIQ
    training: bool = True
    peft_budget: int | None = None  # padded tokens of PEFT's micro-batches, 0: one text each; None: outshine
    members: int = 1
    settings: tuple[tuple[str, Any], ...] = ()
    base: Literal["dense", "nf4"] = "dense"


TRAIN, EVALUATE = "training, SciQ-like", "evaluation, SciQ-like"
BUCKETS, ONE_TEXT = "PEFT in buckets, training, SciQ-like", "PEFT, micro-batch 1, training, SciQ-like"
BUCKETS_LONG = "PEFT in buckets, training, BoolQ-like"
OF_MATMUL = "{:.0%} of matmul"
SMALL_PEAK = Goal(PEAK, 26.6, "{:.1f} GiB", at_most=True)
THREE_TIMES = Goal(RATE, 3, "{:.3g} × PEFT in buckets", BUCKETS)
NINETY_TIMES = Goal(RATE, 90, "{:.3g} × micro-batch 1", ONE_TEXT)
QUICK = Goal("seconds_of_all", 480, "{:,.0f} s", at_most=True)
LINES = (
    Line(TRAIN, (Goal(SHARE, 0.5, OF_MATMUL), THREE_TIMES, NINETY_TIMES, SMALL_PEAK)),
    Line(BUCKETS, peft_budget=4096),
    Line(ONE_TEXT, peft_budget=0),
    Line(EVALUATE, (Goal(SHARE, 0.7, OF_MATMUL),), training=False),
    Line("PEFT in buckets, evaluation, SciQ-like", training=False, peft_budget=4096),
    Line(
        "training, BoolQ-like",
        (Goal(SHARE, 0.55, OF_MATMUL), THREE_TIMES._replace(beside=BUCKETS_LONG), SMALL_PEAK),
        texts=work.BOOLQ,
    ),
    Line(BUCKETS_LONG, texts=work.BOOLQ, peft_budget=4096),
    Line("evaluation, BoolQ-like", (Goal(SHARE, 0.7, OF_MATMUL),), texts=work.BOOLQ, training=False),
    Line("cohort of 4, training, SciQ-like", (Goal(RATE, 1.1, "{:.3g} × alone", TRAIN),), members=4),
    Line(".34 B, training, SciQ-like", (Goal("examples_per_second", 800, "{:,.0f} examples/s"),), ".34B"),
    Line("MiniLM, 300 fine-tunings, SciQ-like", (QUICK,), "MiniLM", members=TOGETHER),
    Line("runtime.packing=false, training, SciQ-like", settings=(("packing", False),)),
    Line("gradient checkpointing, training, SciQ-like", settings=(("gradient_checkpointing", True),)),
    Line("4-bit base, training, SciQ-like", base="nf4"),
)
COLUMNS = {
    "tokens/s": (RATE, ",.0f"),
    "examples/s": ("examples_per_second", ",.0f"),
    "of matmul": (SHARE, ".0%"),
    "peak GiB": (PEAK, ".1f"),
    "preparation, s": ("preparation_seconds", ".1f"),
    "passes": ("passes", "d"),
}


class Size(NamedTuple):
    """How much is measured."""

    dtype: torch.dtype
    train_rows: int
    evaluation_rows: int
    slow_rows: int  # at micro-batch 1: an update of so many texts
    minilm_rows: int  # of a pass; a fine-tuning takes several
    seconds: float  # of the passes after the first, at least
    warm: int  # passes of training by outshine that count as the first


FULL = Size(torch.bfloat16, 128, 512, 8, 480, 5.0, 8)
TINY = Size(torch.float32, 8, 8, 2, 8, 0.0, 2)


class Bench(NamedTuple):
    """Where it runs, how much, and the one base that is kept from line to line."""

    device: torch.device
    size: Size
    matmul: float  # FLOP/s of a matrix product
    bases: dict[tuple[str, str], nn.Module]

    def base(self, line: Line) -> nn.Module:
        """Give the line's model; another one is dropped first."""
        key = (line.shape, line.base)
        if key not in self.bases:
            self.drop()
            base = work.build(work.shape(line.shape, self.size is TINY), self.device, self.size.dtype)
            if line.base == "nf4":
                work.in_four_bits(base)
            self.bases[key] = base
        return self.bases[key]

    def drop(self) -> None:
        """Give the memory of the base back."""
        self.bases.clear()
        clean(self.device)


def main(arguments: Sequence[str] | None = None) -> dict[str, Any]:
    """Measure all lines, write the JSON file, print the table; returns what was written."""
    began = time.perf_counter()
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, default=4.0, help="all in all; no line goes on after it (default 4)")
    parser.add_argument("--tiny", action="store_true", help="tiny size; the default without CUDA")
    parser.add_argument("--device", help="cuda, cuda:1, cpu; default: cuda where there is one, with --tiny cpu")
    parser.add_argument("--out", type=Path, default=Path("gpu.json"), help="JSON file to write (default gpu.json)")
    parser.add_argument("--table", type=Path, help="measure nothing and print the table of this JSON file")
    given = parser.parse_args(arguments)
    if given.table:
        result = json.loads(given.table.read_text(encoding="utf-8"))
        sys.stdout.write(table(result))
        return result
    device = torch.device(given.device or ("cuda" if torch.cuda.is_available() and not given.tiny else "cpu"))
    size = FULL if device.type == "cuda" and not given.tiny else TINY
    result: dict[str, Any] = {"environment": environment(device, size), "checks": [], "lines": []}

    def left() -> float:
        return began + 60 * given.minutes - time.perf_counter()

    def keep() -> None:
        judge(result["lines"], full=size is FULL)
        half = given.out.with_name(f"{given.out.name}.part")  # what is there stays whole
        half.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
        half.replace(given.out)

    for dtype in (torch.float32, torch.bfloat16) if device.type == "cuda" else (torch.float32,):
        found = guarded(lambda dtype=dtype: {"differences": checks(device, dtype)}, min(left(), CHECK_SECONDS))
        result["checks"].append({"dtype": str(dtype).removeprefix("torch."), **found})
        keep()
    bench = Bench(device, size, work.matmul_rate(device, size.dtype, size is TINY), {})
    result["environment"]["matmul_tflops"] = bench.matmul / 1e12
    for number, line in enumerate(LINES):
        share = left() / (len(LINES) - number)
        result["lines"].append({"line": line.name, **measured(bench, line, share, left())})
        keep()
    sys.stdout.write(table(result))
    return result


def environment(device: torch.device, size: Size) -> dict[str, Any]:
    """Where it is measured, and with what."""
    return {
        "device": torch.cuda.get_device_name(device) if device.type == "cuda" else platform.processor() or "CPU",
        "date": datetime.now(UTC).date().isoformat(),
        "size": "tiny" if size is TINY else "full",
        "dtype": str(size.dtype).removeprefix("torch."),
        "python": platform.python_version(),
        **{name: version_of(name) for name in ("outshine", "torch", "transformers", "peft", "bitsandbytes")},
    }


def measured(bench: Bench, line: Line, share: float, left: float) -> dict[str, Any]:
    """The line's figures. Passes end with its share of the time [s]; what does not end is stopped after four shares."""
    if left <= 0:
        return {"status": "not run", "reason": "the time was over"}
    found = guarded(lambda: measure(bench, line, time.perf_counter() + share), min(left, 4 * share))
    if found["status"] != "measured":
        bench.drop()  # adapters may still be in it
    clean(bench.device)
    return found


def measure(bench: Bench, line: Line, until: float) -> dict[str, Any]:
    """Throughput and peak memory of one line. Real tokens of all members count, padding does not."""
    device, size = bench.device, bench.size
    base = bench.base(line)
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)
    num_rows = size.train_rows if line.training else size.evaluation_rows
    num_rows = size.minilm_rows if line.shape == "MiniLM" else size.slow_rows if line.peft_budget == 0 else num_rows
    corpus, settings = work.texts(line.texts, num_rows), dict(line.settings)
    facts: dict[str, Any] = {}
    warm = size.warm if line.training and line.peft_budget is None else 1
    laps = work.Laps(device, size.seconds, until, first=warm)
    if line.peft_budget is not None:
        work.peft_run(base, corpus, line.peft_budget, line.training, laps)
    elif line.shape == "MiniLM":
        facts = fine_tunings(base, corpus, laps, device, until)
    else:
        with work.outshine_model(base, corpus, settings, line.members, line.base) as (model, runtime, notes):
            run = work.outshine_train if line.training else work.outshine_evaluate
            run(model, runtime, corpus, laps)
            facts = {"notes": notes}
    seconds = statistics.median(laps.taken[1:])
    tokens = line.members * sum(map(len, corpus)) / seconds
    weights = work.block_weights(work.shape(line.shape, size is TINY))
    return {
        RATE: tokens,
        "examples_per_second": line.members * len(corpus) / seconds,
        SHARE: share_of_matmul(tokens, weights, line.training, bench.matmul),
        PEAK: torch.cuda.max_memory_allocated(device) / 2**30 if device.type == "cuda" else None,
        "preparation_seconds": laps.taken[0],
        "pass_seconds": seconds,
        "passes": len(laps.taken) - 1,
        **facts,
    }


def share_of_matmul(tokens: float, weights: int, training: bool, matmul: float) -> float:
    """2·N FLOPs a token forward and 2·N more through a frozen base, at so many tokens a second, over a product's rate.

    What checkpointing repeats is no useful work; attention and LoRA's own (about 1 % each) are left out.
    """
    return (4 if training else 2) * weights * tokens / matmul


def fine_tunings(
    base: nn.Module, corpus: list[list[int]], laps: work.Laps, device: torch.device, until: float
) -> dict[str, Any]:
    """Seconds of 300 fine-tunings of 2,000 rows and three epochs, without predictions, from the beginnings of a few.

    A cohort takes its preparation with the first pass, and for the rest of its rows as long as its later passes; what
    the first cohort takes more, for whatever is compiled once, counts once.
    """
    cohorts: list[float] = []
    while len(cohorts) < 2 or (len(cohorts) < 3 and time.perf_counter() < until):
        own = work.Laps(device, 0, least=2)
        with work.outshine_model(base, corpus, {}, TOGETHER) as (model, runtime, _):
            work.outshine_train(model, runtime, corpus, own)
        first, *later = own.taken
        laps.taken += later if cohorts else own.taken
        cohorts.append(first + (TRAINED_ROWS / len(corpus) - 1) * statistics.median(later))
    further = FINE_TUNINGS / TOGETHER - 1
    return {
        "seconds_of_all": cohorts[0] + further * statistics.median(cohorts[1:]),
        "how": f"extrapolated from {len(cohorts)} cohorts of {TOGETHER}, three passes of {len(corpus):,} rows each",
    }


def checks(device: torch.device, dtype: torch.dtype) -> dict[str, float]:
    """Largest differences of a tiny Llama after three updates by outshine, its texts packed, from other ways.

    Of log-odds, as a share of what texts differ by: from the same weights read back and padded, and from PEFT with the
    adapter that was written. Of losses and gradient norms, as a share of themselves: from autograd's with PEFT, padded.
    """
    from peft import PeftModel
    from safetensors.torch import load_file

    from outshine.learn.batches import predict_together
    from outshine.learn.saved_models import load_classifier, save_classifier

    base: Any = work.build(work.shape("8B", tiny=True), device, dtype)
    corpus = work.texts(work.SCIQ, 24)
    labels, rate, updates = np.linspace(0, 1, len(corpus)), 1e-2, 3
    settings = {"epochs": updates, "batch_size": len(corpus), "warmup_updates": 0, "select": "last"}
    with TemporaryDirectory() as folder:
        place = Path(folder)
        for name in ("base", "fresh", "trained"):
            (place / name).mkdir()
        base.save_pretrained(place / "base")
        with work.outshine_model(base, corpus, {"packing": True}) as (model, runtime, _):
            save_classifier(model, place / "fresh")
            curve = work.finetuned(model, runtime, corpus, [labels], settings, rate)[0].curve
            packed = predict_together(model, corpus, 0, runtime)[0]
            save_classifier(model, place / "trained")
            spec = model.spec
        spec = spec.model_copy(update={"model": spec.model.model_copy(update={"folder": str(place / "base")})})
        loaded = load_classifier(spec, lambda name: place / "trained" / name, device)
        padded = predict_together(loaded, corpus, 0, runtime)[0]

        def peft(state: str, trainable: bool) -> work.PlainPeft:
            wrapped = PeftModel.from_pretrained(base, place / state / "adapter", is_trainable=trainable)
            return work.PlainPeft(wrapped, load_file(place / state / "head.safetensors")["weight"].to(device))

        whole = work.collate(corpus, range(len(corpus)), labels, device)
        plain = peft("trained", False)
        with torch.no_grad():
            by_peft = plain.log_odds(whole).double().cpu().numpy()
        base = plain.wrapped.unload()
        plain = peft("fresh", True)
    optimizer = torch.optim.AdamW(plain.trainable(), lr=rate, betas=(0.9, 0.95), weight_decay=0.1)
    differences = []
    for step, update in enumerate(curve):
        optimizer.param_groups[0]["lr"] = rate * 0.5 * (1 + np.cos(np.pi * step / updates))
        loss, norm = work.peft_update(plain, [whole], optimizer)
        differences.append((abs(loss.item() / update.loss - 1), abs(norm.item() / update.grad_norm - 1)))
    spread, (losses, norms) = np.ptp(by_peft), zip(*differences, strict=True)
    return {
        "log-odds, packed and padded": float(np.abs(packed - padded).max() / spread),
        "log-odds, outshine and PEFT": float(np.abs(packed - by_peft).max() / spread),
        "losses, outshine and autograd": max(losses),
        "gradient norms, outshine and autograd": max(norms),
    }


class TimeOverError(BaseException):
    """A line's time is over; no `except Exception` on the way holds it up."""


def guarded(action: Callable[[], dict[str, Any]], seconds: float) -> dict[str, Any]:
    """What the action found, or in one line why it found nothing; it is interrupted once it has taken so long."""

    def stop(*_: object) -> None:
        raise TimeOverError

    before = signal.signal(signal.SIGALRM, stop)
    signal.setitimer(signal.ITIMER_REAL, max(seconds, 1e-3))
    try:
        return {"status": "measured", **action()}
    except TimeOverError:
        return {"status": "stopped", "reason": f"not through after {seconds:.0f} s"}
    except Exception as error:
        kinds = {torch.OutOfMemoryError: "out of memory", ImportError: "absent"}
        status = next((status for kind, status in kinds.items() if isinstance(error, kind)), "failed")
        reason = f"{type(error).__name__}: {error}".splitlines()[0].replace("|", "/")
        return {"status": status, "reason": reason[:200]}
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


def clean(device: torch.device) -> None:
    """Give back the memory that nothing holds."""
    gc.collect()
    if device.type == "cuda":
        with suppress(RuntimeError):  # after an error on the device all that follows raises it again, and says so
            torch.cuda.empty_cache()


def judge(rows: Sequence[dict[str, Any]], *, full: bool = True) -> None:
    """Write beside each line what was wanted of it, and whether it is reached.

    None: a line of it was not measured, or not at full size, of which alone something is wanted.
    """
    found = {row["line"]: row for row in rows}
    for line in LINES[: len(rows)]:
        found[line.name]["goals"] = goals = []
        for goal in line.goals:
            value, other = (found.get(name, {}).get(goal.what) for name in (line.name, goal.beside or line.name))
            reached = None
            if full and value is not None and other is not None:
                value = value / other if goal.beside else value
                reached = value <= goal.bound if goal.at_most else value >= goal.bound
            wanted = ("≤ " if goal.at_most else "≥ ") + goal.words.format(goal.bound)
            goals.append(
                {"wanted": wanted, "is": None if reached is None else goal.words.format(value), "reached": reached}
            )


def table(result: dict[str, Any]) -> str:
    """The result in Markdown."""
    where = result["environment"]
    lines = [
        f"{where['device']}, {where['date']}, {where['dtype']}, torch {where['torch']}, transformers "
        f"{where['transformers']}, peft {where['peft']}; a matrix product does {where['matmul_tflops']:.3g} TFLOP/s",
        "",
    ]
    for check in result["checks"]:
        told = (f"{name} {value:.1e}" for name, value in check.get("differences", {}).items())
        lines.append(f"* {check['dtype']}, largest differences: {check.get('reason') or '; '.join(told)}")
    lines += ["", f"| | {' | '.join(COLUMNS)} | wanted |", "| --- |" + " --- |" * (len(COLUMNS) + 1)]
    for row in result["lines"]:
        told = [row["how"]] if "how" in row else []
        for goal in row["goals"]:
            said = {None: "not measured", True: "reached", False: "not reached"}[goal["reached"]]
            told.append(f"{goal['wanted']}: {said}" + (f", {goal['is']}" if goal["is"] else ""))
        cells = [f"{row['status']}: {row['reason']}"] + ["–"] * (len(COLUMNS) - 1) if "reason" in row else []
        cells = cells or ["–" if row[name] is None else format(row[name], form) for name, form in COLUMNS.values()]
        lines.append(f"| {' | '.join([row['line'], *cells, '; '.join(told)])} |")
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    main()
