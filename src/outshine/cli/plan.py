"""The command `plan`: what a run would compute, and what it would cost."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from outshine.cli.json_output import JsonOption, print_json
from outshine.cli.options import (
    ControlsOption,
    DatasetOption,
    GroupOption,
    IdOption,
    LabelOption,
    LimitOption,
    LossOption,
    MissingOption,
    NegativeOption,
    PositiveOption,
    SeedOption,
    SetOption,
    StoreOption,
    StrongOption,
    StudyArgument,
    TestOption,
    TextOption,
    TrainOption,
    TrajectoriesOption,
    ValOption,
    WeakOption,
    build_study,
    open_store,
    own_columns,
)
from outshine.engine.messages import counted

if TYPE_CHECKING:
    from rich.console import Console

    from outshine.w2s.plan import Plan

NUM_LINES = 60  # stages up to which each gets a line without being asked for
NUM_NAMES = 20  # methods up to which each is named
TFLOPS = 120.0  # sustained: an A100 at about 40 % of its 312 TFLOP/s of bf16


def add_to(app: typer.Typer) -> None:
    """Register the command."""
    app.command()(plan)


def plan(
    study: StudyArgument = None,
    dataset: DatasetOption = None,
    text: TextOption = None,
    label: LabelOption = None,
    group: GroupOption = None,
    row_id: IdOption = None,
    positive: PositiveOption = None,
    negative: NegativeOption = None,
    missing: MissingOption = None,
    weak: WeakOption = None,
    strong: StrongOption = None,
    loss: LossOption = None,
    seed: SeedOption = None,
    n_train: TrainOption = None,
    n_val: ValOption = None,
    n_test: TestOption = None,
    limit: LimitOption = None,
    controls: ControlsOption = False,
    trajectories: TrajectoriesOption = False,
    settings: SetOption = None,
    store: StoreOption = None,
    stages: Annotated[bool, typer.Option("--stages", help=f"List every stage, also above {NUM_LINES}.")] = False,
    tflops: Annotated[
        float, typer.Option("--tflops", min=1e-3, help="Sustained TFLOP/s of the machine, for the GPU-hours.")
    ] = TFLOPS,
    offline: Annotated[
        bool, typer.Option("--offline", help="Do not ask the hub: plan from its cache and published sizes.")
    ] = False,
    as_json: JsonOption = False,
) -> None:
    """Show what a run would compute: the grid, what is shared, what is in the store; tokens and GPU-hours."""
    from outshine.cli.output import console, progress
    from outshine.w2s.plan import plan_study

    built = build_study(
        study,
        *(dataset, weak, strong, loss, seed, n_train, n_val, n_test, settings),
        columns=own_columns(text, label, group, row_id, positive, negative, missing),
        limit=limit,
        controls=controls,
        trajectories=trajectories,
    )
    with progress() as shown:
        found = plan_study(built, open_store(store), shown, ask_hub=not offline)
    if as_json:
        print_json(_document(found, tflops))
        return
    screen = console()
    _print_grid(found, screen)
    _print_kinds(found, tflops, screen)
    if stages or len(found.stages) <= NUM_LINES:
        _print_stages(found, tflops, screen)
    for note in found.notes:
        screen.print(f"note: {note}", markup=False)
    _print_totals(found, tflops, screen)


def _document(found: Plan, tflops: float) -> dict[str, Any]:
    """The plan for `--json`: every stage, in the order of computation."""

    def hours(flops: float | None) -> float | None:
        return None if flops is None else flops / (tflops * 1e12 * 3600)

    flops = sum(kind.flops for kind in found.kinds)
    return {
        "study": found.study.name,
        "datasets": [dataset.name for dataset in found.study.datasets],
        "seeds": found.study.seeds,
        "methods": found.methods,
        "num_experiments": found.num_experiments,
        "num_stages": len(found.stages),
        "num_to_do": len(found.missing),
        "tokens": sum(kind.tokens for kind in found.kinds),
        "flops": flops,
        "gpu_hours": hours(flops),
        "seconds_here": found.here and found.here.seconds(flops, sum(kind.tokens for kind in found.kinds)),
        "tflops": tflops,
        "kinds": [{**kind._asdict(), "to_do": kind.to_do, "gpu_hours": hours(kind.flops)} for kind in found.kinds],
        "stages": [{**stage._asdict(), "gpu_hours": hours(stage.flops)} for stage in found.stages],
        "notes": found.notes,
    }


def _print_grid(found: Plan, screen: Console) -> None:
    """The study in words, and what sharing saves."""
    study = found.study
    names = [dataset.name for dataset in study.datasets]
    rows = " + ".join(counted(len(listed), purpose) for purpose, listed in found.methods.items() if listed)
    grid = f"{counted(len(names), 'dataset')} × {counted(len(study.seeds), 'seed')} × ({rows})"
    screen.print(f"{study.name}: {grid}, {counted(found.num_experiments, 'experiment')}", markup=False)
    screen.print(f"datasets: {', '.join(names)}", markup=False)
    for purpose, listed in found.methods.items():
        if listed:
            screen.print(f"{purpose}s: {'; '.join(_shortened(listed))}", markup=False)
    trained = [kind for kind in found.kinds if kind.trains]
    screen.print(
        f"without sharing: {sum(kind.unshared for kind in trained):,} models trained, "
        f"{sum(kind.unshared for kind in found.kinds):,} stages; "
        f"shared: {sum(kind.distinct for kind in trained):,} models, {len(found.stages):,} stages"
    )


def _shortened(names: list[str]) -> list[str]:
    """The first and the last of many names, and how many there are between."""
    if len(names) <= NUM_NAMES:
        return names
    return [*names[:3], f"… {len(names) - 6} more …", *names[-3:]]


def _print_kinds(found: Plan, tflops: float, screen: Console) -> None:
    """A line for each kind of stage; rows, tokens and GPU-hours are those of what is to do."""
    from outshine.cli.output import table

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
            _hours(kind.flops, tflops),
        )
        for kind in found.kinds
    ]
    screen.print(table("", columns, rows, right=columns[1:]))


def _print_stages(found: Plan, tflops: float, screen: Console) -> None:
    """A line for each stage, in the order of computation."""
    from outshine.cli.output import table

    rows = [
        (
            stage.key[:12],
            stage.label,
            "in store" if stage.cached else "to do",
            _count(stage.rows),
            _count(stage.tokens, "≈"),
            _hours(stage.flops, tflops),
        )
        for stage in found.stages
    ]
    columns = ["key", "stage", "state", "rows", "tokens", "GPU-hours"]
    screen.print(table("", columns, rows, right=columns[3:]))


def _print_totals(found: Plan, tflops: float, screen: Console) -> None:
    """What is to do in one line, what was assumed in another."""
    from outshine.w2s.cost import CHARACTERS_PER_TOKEN

    tokens, flops = (sum(getattr(kind, name) for kind in found.kinds) for name in ("tokens", "flops"))
    missing = len(found.missing)
    screen.print(
        f"{len(found.stages):,} stages, {len(found.stages) - missing:,} in the store, {missing:,} to do: "
        f"about {tokens:,} tokens (every pass over a row counted), {flops:.1e} FLOPs, "
        f"{_hours(flops, tflops) or '0'} GPU-hours"
    )
    if found.here:
        screen.print(found.here.line(flops, tokens), markup=False)
    models, passes = found.cohorts
    if models:
        screen.print(
            f"trained together: {models:,} models in {counted(passes, 'cohort')}, those of a cohort on one base and "
            f"the same texts in one pass (runtime.cohort: {found.study.runtime.cohort})",
            markup=False,
        )
    checkpointed = found.study.runtime.gradient_checkpointing
    training = "6·N in training with LoRA, checkpointed (8·N" if checkpointed else "4·N in training with LoRA (6·N"
    screen.print(
        f"assumed: {tflops:g} TFLOP/s sustained; a token costs 2·N FLOPs forward and {training} "
        f"full, 2·N head only), N parameters in the blocks; attention's quadratic part (at most {found.attention:.0%} "
        f"more) is left out; without tokenizer or rows {CHARACTERS_PER_TOKEN:g} characters a token and published sizes"
    )


def _count(number: int | None, sign: str = "") -> str:
    return f"{sign}{number:,}" if number else ""


def _hours(flops: float | None, tflops: float) -> str:
    """GPU-hours at this rate: two digits that matter, and not below a hundredth."""
    if not flops:
        return ""
    hours = flops / (tflops * 1e12 * 3600)
    return "<0.01" if hours < 0.01 else f"{hours:.2f}" if hours < 10 else f"{hours:,.0f}"
