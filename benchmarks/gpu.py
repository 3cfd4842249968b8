"""How fast an 8 B student trains and evaluates on one data-centre GPU, the usual way and other ways. Under 8 minutes.

    python benchmarks/gpu.py [--minutes 8] [--out gpu.json]
    python benchmarks/gpu.py --tiny          # every path at tiny size on the CPU, in seconds

Needs torch, transformers and peft, not outshine. Weights are random: speed and memory do not depend on them.
Writes a JSON file and prints a markdown table. What is out of memory or not supported is a line of the table.
Before the clock starts, small float32 models show that all ways compute the same.
"""

from __future__ import annotations

import argparse
import importlib.metadata
import json
import platform
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import torch
from gpu_checks import checks
from gpu_model import LLAMA_3_8B, TINY, Setup, build, parameters_of_blocks, students
from gpu_work import BOOLQ, SCIQ, Workload, clean, evaluate_pass, matmul_rate, plan_run, texts, timed, train_pass
from transformers import LlamaConfig, LlamaModel

# dense bf16 FLOP/s of the data sheets; the first name that occurs in the device's name counts
DATA_SHEETS = (
    ("B200", 2250e12),
    ("H200 NVL", 835e12),
    ("H200", 989e12),
    ("H100 NVL", 835e12),
    ("H100 PCIe", 756e12),
    ("H100", 989e12),
    ("A100", 312e12),
    ("L40S", 362e12),
)

SETUPS = (
    Setup("PEFT, micro-batch 1 (the usual way)", "peft", budget=0),
    Setup("PEFT, buckets of 4,096 tokens", "peft", budget=4096),
    Setup("lean LoRA, buckets of 1,024 tokens", budget=1024),
    Setup("lean LoRA, buckets of 4,096 tokens", budget=4096),
    Setup("lean LoRA, buckets of 16,384 tokens"),
    Setup("lean LoRA, cohort of 4", members=4),
    Setup("lean LoRA, layer compiled", compiled=True),
    Setup("lean LoRA, cohort of 4, layer compiled", members=4, compiled=True),
    Setup("lean LoRA, packed, sdpa with a block-diagonal mask", budget=4096, packed=True),
    Setup("lean LoRA, packed, varlen attention", packed=True, attention="varlen"),
    Setup("lean LoRA, packed, flex_attention", packed=True, attention="flex_attention"),
    Setup("lean LoRA, gradient checkpointing", checkpointing=True),
    Setup("lean LoRA, 4-bit base", budget=4096, four_bit=True),  # changes the base: must be last
)


class Size(NamedTuple):
    """How much is measured. `slow_rows`: at micro-batch 1, where every text is a forward pass of its own."""

    config: LlamaConfig
    dtype: torch.dtype
    train_rows: int
    evaluation_rows: int
    slow_rows: int
    seconds: float  # of every measurement, warm-up aside
    matmuls: tuple[tuple[int, int, int], ...]
    compile_backend: str


MATMULS = ((8192, 4096, 14_336), (8192, 14_336, 4096), (8192, 8192, 8192))  # the model's own, and a large square one
FULL = Size(LLAMA_3_8B, torch.bfloat16, 64, 512, 32, 2.0, MATMULS, "inductor")
SMALL = Size(TINY, torch.float32, 4, 4, 2, 0.0, ((256, 64, 128),), "eager")


class Machine(NamedTuple):
    """Where it runs, and what its matrix product does there and on paper."""

    device: torch.device
    name: str
    matmul: float  # FLOP/s
    data_sheet: float | None


def main(arguments: Sequence[str] | None = None) -> dict[str, Any]:
    """Measure every configuration, write the JSON file, print the table; returns what was written."""
    options = _parser().parse_args(arguments)
    start = time.perf_counter()
    device = torch.device(options.device or ("cuda" if torch.cuda.is_available() else "cpu"))
    size = SMALL if options.tiny or (device.type == "cpu" and not options.device) else FULL
    proofs = checks(device, guarded)
    machine = _machine(device, size)
    backbone = build(size.config, device, size.dtype)
    rows = measure_all(backbone, machine, size, start + 60 * options.minutes)
    result = {
        "environment": _environment(machine, size),
        "checks": proofs,
        "rows": rows,
        "seconds": time.perf_counter() - start,
    }
    options.out.write_text(json.dumps(result, indent=1), encoding="utf-8")
    sys.stdout.write(table(result))
    return result


def measure_all(backbone: LlamaModel, machine: Machine, size: Size, deadline: float) -> list[dict[str, Any]]:
    """A row for each setup, workload and mode; those that the time does not suffice for say so."""
    rows = []
    for setup in SETUPS:
        for workload in (SCIQ, BOOLQ):
            for mode in ("training",) if setup.checkpointing else ("training", "evaluation"):
                named = {"setup": setup.name, "workload": workload.name, "mode": mode}
                if time.perf_counter() > deadline:
                    rows.append({**named, "status": "not run", "reason": "the time was over"})
                    continue
                measured = guarded(lambda s=setup, w=workload, m=mode: measure(backbone, s, w, m, machine, size))
                clean(machine.device)
                rows.append({**named, **measured})
        if setup.compiled:
            torch.compiler.reset()  # else a later setup meets the limit of recompilations and runs eagerly
    return rows


def measure(
    backbone: LlamaModel, setup: Setup, workload: Workload, mode: str, machine: Machine, size: Size
) -> dict[str, Any]:
    """Throughput and peak memory of one configuration. Real tokens count, padding does not."""
    training = mode == "training"
    num_rows = size.slow_rows if setup.budget == 0 else size.train_rows if training else size.evaluation_rows
    corpus = texts(workload, num_rows, size.config.vocab_size)
    with students(backbone, setup, size.dtype == torch.bfloat16, size.compile_backend) as model:
        run = plan_run(model, setup, corpus, training, machine.device)
        optimizer = torch.optim.AdamW(model.trainable(), lr=1e-4, betas=(0.9, 0.95), weight_decay=0.1)
        timing = timed(
            (lambda: train_pass(run, optimizer)) if training else (lambda: evaluate_pass(run)),
            machine.device,
            size.seconds,
        )
    tokens = run.real_tokens / timing.median
    flops = tokens * flops_per_token(size.config, training)
    return {
        "tokens_per_second": tokens,
        "examples_per_second": run.examples / timing.median,
        "padding": 1 - run.real_tokens / run.padded_tokens,
        "tflops": flops / 1e12,
        "share_of_matmul": flops / machine.matmul,
        "share_of_data_sheet": flops / machine.data_sheet if machine.data_sheet else None,
        "peak_gib": timing.peak_bytes / 2**30 if timing.peak_bytes is not None else None,
        "first_pass_seconds": timing.first,
        "median_pass_seconds": timing.median,
        "passes": timing.passes,
    }


def flops_per_token(config: LlamaConfig, training: bool) -> float:
    """2·N forward and 2·N more through a frozen base; what checkpointing repeats is no useful work.

    Attention's quadratic part and LoRA's own (about 1 % each at these lengths) are left out: shares are a little low.
    """
    return (4 if training else 2) * parameters_of_blocks(config)


def guarded(action: Callable[[], dict[str, Any]]) -> dict[str, Any]:
    """What the action measured, or in one line why it could not be measured."""
    try:
        return {"status": "measured", **action()}
    except torch.OutOfMemoryError as error:
        return {"status": "out of memory", "reason": _first_line(error)}
    except ImportError as error:
        return {"status": "absent", "reason": _first_line(error)}
    except RuntimeError as error:  # kernels that lack a type, a shape or a device raise this; UnsupportedError is one
        return {"status": "not supported", "reason": _first_line(error)}


def table(result: dict[str, Any]) -> str:
    """The result in markdown."""
    environment = result["environment"]
    sheet = environment["data_sheet_tflops"]
    lines = [
        f"{environment['device']}, torch {environment['torch']}, {environment['model']}, {environment['dtype']}; "
        f"matmul {environment['matmul_tflops']:.3g} TFLOP/s measured, {round(sheet) if sheet else 'unknown'} on paper",
        "",
        "| check | largest difference |",
        "|---|---|",
        *(f"| {one['check']} | {_said(one, 'largest_difference', '.1e')} |" for one in result["checks"]),
        "",
        "| setup | texts | mode | tokens/s | of matmul | of data sheet | peak GiB | padding | first pass, s |",
        "|---|---|---|---|---|---|---|---|---|",
    ]
    columns = {
        "tokens_per_second": ",.0f",
        "share_of_matmul": ".0%",
        "share_of_data_sheet": ".0%",
        "peak_gib": ".1f",
        "padding": ".0%",
        "first_pass_seconds": ".1f",
    }
    for row in result["rows"]:
        first, *others = (_said(row, column, style) for column, style in columns.items())
        cells = [row["setup"], row["workload"], row["mode"], first, *others]
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


def _said(row: dict[str, Any], column: str, style: str) -> str:
    if row["status"] != "measured":
        return f"{row['status']}: {row['reason']}" if column in ("tokens_per_second", "largest_difference") else "–"
    return "–" if row[column] is None else format(row[column], style)


def _machine(device: torch.device, size: Size) -> Machine:
    name = torch.cuda.get_device_name(device) if device.type == "cuda" else platform.processor() or device.type
    sheet = next((flops for part, flops in DATA_SHEETS if part in name), None) if device.type == "cuda" else None
    return Machine(device, name, matmul_rate(device, size.dtype, size.matmuls, size.seconds), sheet)


def _environment(machine: Machine, size: Size) -> dict[str, Any]:
    return {
        "device": machine.name,
        "matmul_tflops": machine.matmul / 1e12,
        "data_sheet_tflops": machine.data_sheet / 1e12 if machine.data_sheet else None,
        "model": "Llama-3-8B shape" if size is FULL else "tiny shape",
        "parameters_in_blocks": parameters_of_blocks(size.config),
        "dtype": str(size.dtype).removeprefix("torch."),
        "python": platform.python_version(),
        "torch": torch.__version__,
        "cuda": torch.version.cuda,
        **{package: _version(package) for package in ("transformers", "peft", "bitsandbytes")},
    }


def _version(package: str) -> str | None:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return None


def _first_line(error: BaseException) -> str:
    return f"{type(error).__name__}: {error}".splitlines()[0].replace("|", "/")[:160]


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, default=8.0, help="no configuration starts after this (default 8)")
    parser.add_argument("--tiny", action="store_true", help="tiny size; the default without CUDA")
    parser.add_argument("--device", help="cuda, cuda:1, cpu; default: cuda where there is one")
    parser.add_argument("--out", type=Path, default=Path("gpu.json"), help="JSON file to write (default gpu.json)")
    return parser


if __name__ == "__main__":
    main()
