"""The command `plan`: what a run would compute, and what it would cost."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from outshine.cli.find_study import build_study
from outshine.cli.json_output import JsonOption, print_json
from outshine.cli.options import StoreOption, StudyOptions, open_store, with_option_groups
from outshine.engine.messages import counted

if TYPE_CHECKING:
    from rich.console import Console

    from outshine.engine.stage import Cost
    from outshine.w2s.cost import Speed
    from outshine.w2s.plan import Plan

NUM_LINES = 60  # stages up to which each gets a line without being asked for
NUM_NAMES = 20  # methods up to which each is named


def add_to(app: typer.Typer) -> None:
    """Register the command."""
    app.command()(with_option_groups(plan))


def plan(
    options: StudyOptions,
    store: StoreOption = None,
    stages: Annotated[bool, typer.Option("--stages", help=f"List every stage, also above {NUM_LINES}.")] = False,
    gpu: Annotated[
        str | None,
        typer.Option(
            "--gpu",
            help="GPU of the GPU-hours: H200, H100, A100 and others by data sheet, or the JSON file that "
            "benchmarks.gpu wrote on it. Default: this machine's, else an H200.",
        ),
    ] = None,
    tflops: Annotated[
        float | None,
        typer.Option("--tflops", min=1e-3, help="Sustained TFLOP/s, for the GPU-hours, in place of --gpu."),
    ] = None,
    offline: Annotated[
        bool, typer.Option("--offline", help="Do not ask the hub: plan from its cache and published sizes.")
    ] = False,
    as_json: JsonOption = False,
) -> None:
    """Show what a run would compute: the grid, what is shared, what is in the store; tokens and GPU-hours."""
    from outshine.cli.terminal import console, progress
    from outshine.w2s.cost import Speed, speed_of
    from outshine.w2s.plan import plan_study

    speed = Speed(f"a GPU of {tflops:g} TFLOP/s", 1e12 * tflops, 1, 1, "as --tflops says") if tflops else speed_of(gpu)
    built = build_study(options)
    with progress() as shown:
        planned = plan_study(built, open_store(store), shown, ask_hub=not offline)
    if as_json:
        print_json(_document(planned, speed))
        return
    screen = console()
    _print_grid(planned, screen)
    _print_kinds(planned, speed, screen)
    if stages or len(planned.stages) <= NUM_LINES:
        _print_stages(planned, speed, screen)
    for note in planned.notes:
        screen.print(f"note: {note}", markup=False)
    _print_totals(planned, speed, screen)


def _document(planned: Plan, speed: Speed) -> dict[str, Any]:
    """The plan for `--json`: every stage, in the order of computation."""

    def hours(cost: Cost) -> float | None:
        return None if cost.flops is None else speed.seconds(cost) / 3600

    cost = planned.cost
    return {
        "study": planned.study.name,
        "datasets": [dataset.name for dataset in planned.study.datasets],
        "seeds": planned.study.seeds,
        "methods": planned.methods,
        "num_experiments": planned.num_experiments,
        "num_stages": len(planned.stages),
        "num_to_do": len(planned.missing),
        "tokens": cost.tokens,
        "flops": cost.flops,
        "gpu_hours": hours(cost),
        "seconds_here": planned.here and planned.here.seconds(cost),
        "gpu": {"machine": speed.machine, "source": speed.source, **_tflops(speed)},
        "kinds": [{**kind._asdict(), "to_do": kind.to_do, "gpu_hours": hours(kind.cost)} for kind in planned.kinds],
        "stages": [{**stage._asdict(), "gpu_hours": hours(stage.cost)} for stage in planned.stages],
        "notes": planned.notes,
    }


def _print_grid(planned: Plan, screen: Console) -> None:
    """The study in words, and what sharing saves."""
    study = planned.study
    names = [dataset.name for dataset in study.datasets]
    rows = " + ".join(counted(len(listed), purpose) for purpose, listed in planned.methods.items() if listed)
    grid = f"{counted(len(names), 'dataset')} × {counted(len(study.seeds), 'seed')} × ({rows})"
    screen.print(f"{study.name}: {grid}, {counted(planned.num_experiments, 'experiment')}", markup=False)
    screen.print(f"datasets: {', '.join(names)}", markup=False)
    for purpose, listed in planned.methods.items():
        if listed:
            screen.print(f"{purpose}s: {'; '.join(_shortened(listed))}", markup=False)
    trained = [kind for kind in planned.kinds if kind.trains]
    screen.print(
        f"without sharing: {sum(kind.unshared for kind in trained):,} models trained, "
        f"{sum(kind.unshared for kind in planned.kinds):,} stages; "
        f"shared: {sum(kind.distinct for kind in trained):,} models, {len(planned.stages):,} stages"
    )


def _shortened(names: list[str]) -> list[str]:
    """The first and the last of many names, and how many there are between."""
    if len(names) <= NUM_NAMES:
        return names
    return [*names[:3], f"… {len(names) - 6} more …", *names[-3:]]


def _print_kinds(planned: Plan, speed: Speed, screen: Console) -> None:
    """A line for each kind of stage; rows, tokens and GPU-hours are those of what is to do."""
    from outshine.cli.terminal import table

    columns = ["kind", "unshared", "distinct", "in store", "to do", "rows", "tokens", "GPU-hours"]
    rows = [
        (
            kind.kind,
            f"{kind.unshared:,}",
            f"{kind.distinct:,}",
            f"{kind.cached:,}",
            f"{kind.to_do:,}",
            _count(kind.rows),
            _count(kind.tokens, "≈"),
            _hours(kind.cost, speed),
        )
        for kind in planned.kinds
    ]
    screen.print(table("", columns, rows, right=columns[1:]))


def _print_stages(planned: Plan, speed: Speed, screen: Console) -> None:
    """A line for each stage, in the order of computation."""
    from outshine.cli.terminal import table

    rows = [
        (
            stage.key[:12],
            stage.label,
            "in store" if stage.cached else "to do",
            _count(stage.rows),
            _count(stage.tokens, "≈"),
            _hours(stage.cost, speed),
        )
        for stage in planned.stages
    ]
    columns = ["key", "stage", "state", "rows", "tokens", "GPU-hours"]
    screen.print(table("", columns, rows, right=columns[3:]))


def _print_totals(planned: Plan, speed: Speed, screen: Console) -> None:
    """What is to do in one line, what was assumed in another."""
    from outshine.w2s.cost import CHARACTERS_PER_TOKEN

    cost = planned.cost
    missing = len(planned.missing)
    screen.print(
        f"{len(planned.stages):,} stages, {len(planned.stages) - missing:,} in the store, {missing:,} to do: "
        f"about {cost.tokens:,} tokens (every pass over a row counted), {cost.flops:.1e} FLOPs, "
        f"{_hours(cost, speed) or '0'} GPU-hours"
    )
    if planned.here:
        screen.print(planned.here.line(cost), markup=False)
    models, passes = planned.cohorts
    if models:
        screen.print(
            f"trained together: {models:,} models in {counted(passes, 'cohort')}, those of a cohort on one base and "
            f"the same texts in one pass (runtime.cohort: {planned.study.runtime.cohort})",
            markup=False,
        )
    checkpointed = planned.study.runtime.gradient_checkpointing
    training = "6·N in training with LoRA, checkpointed (8·N" if checkpointed else "4·N in training with LoRA (6·N"
    screen.print(_gpu_line(speed), markup=False)
    screen.print(
        f"assumed: a token costs 2·N FLOPs forward and {training} "
        "full, 2·N head only), N parameters in the blocks; attention's quadratic part "
        f"(at most {planned.attention:.0%} more) is left out; without tokenizer or rows "
        f"{CHARACTERS_PER_TOKEN:g} characters a token and published sizes"
    )


def _count(number: int | None, sign: str = "") -> str:
    return f"{sign}{number:,}" if number else ""


def _gpu_line(speed: Speed) -> str:
    """Which GPU the hours are of, and where its figures are from."""
    rates = _tflops(speed)
    training, evaluation = (f"{rates[f'{work}_tflops']:.3g}" for work in ("training", "evaluation"))
    if training == evaluation:
        return f"GPU-hours of {speed.machine}, {speed.source}"
    return (
        f"GPU-hours of {speed.machine}: {training} TFLOP/s in training and {evaluation} in evaluation, {speed.source}; "
        "small models take longer than their FLOPs say"
    )


def _tflops(speed: Speed) -> dict[str, float]:
    rate = speed.flops / 1e12
    return {"training_tflops": speed.training * rate, "evaluation_tflops": speed.evaluation * rate}


def _hours(cost: Cost, speed: Speed) -> str:
    """GPU-hours at this speed: two digits that matter, and not below a hundredth."""
    if not cost.flops:
        return ""
    hours = speed.seconds(cost) / 3600
    return "<0.01" if hours < 0.01 else f"{hours:.2f}" if hours < 10 else f"{hours:,.0f}"
