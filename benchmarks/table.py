"""The measured figures as Markdown."""

from __future__ import annotations

import statistics
from collections.abc import Iterable, Sequence
from typing import Any


def markdown(results: dict[str, Any]) -> str:
    """All sections that were measured."""
    sections = {
        "pipeline": _pipeline,
        "throughput": _throughput,
        "costs": _costs,
        "growth": _growth,
        "probes": _probes,
        "executors": _executors,
        "scale": _scale,
    }
    return "\n\n".join(
        [_machine(results["machine"]), *(show(results[name]) for name, show in sections.items() if name in results)]
    )


def _machine(machine: dict[str, Any]) -> str:
    return (
        f"{machine['processor']}, {machine['threads']} of {machine['cores']} threads, torch {machine['torch']}, "
        f"transformers {machine['transformers']}, peft {machine['peft']}"
    )


def _pipeline(found: dict[str, Any]) -> str:
    size, rows = found["size"], found["rows"]
    told = ", ".join(f"{split} {count}" for split, count in sorted(rows.items()))
    how = "extrapolated linearly from a part in some turns" if found["extrapolated"] else "measured whole"
    extra = found["ratio_extra_student"]
    ratio = "below what can be told" if extra is None else f"{extra:.1f} ×"
    lines = [
        f"### Pipeline: {found['dataset']} ({told}), {size['epochs']} epochs, validation every {size['eval_every']} "
        f"updates, {found['compute_dtype']}",
        *([found["note"], ""] if found["note"] else [""]),
        f"Medians of {found['repeats']}; the usual way: {how}, evaluation in batches of {found['usual_eval_batch']}; "
        f"outshine's first turn took {found['outshine_first_turn_seconds']:.1f} s.",
        "",
        *_grid(
            ("", "outshine", "usual way", "ratio"),
            [
                _cells("supervisor, ceiling, one student, activations (s)", found, "outshine_seconds", "usual_seconds"),
                (
                    f"each further student, {found['students']} in all (s)",
                    f"{found['outshine_extra_student_seconds']:.2f}",
                    f"{found['usual_student_seconds']:.2f}",
                    ratio,
                ),
                *_peaks(found),
            ],
        ),
    ]
    usual = {(auc["role"], auc["loss"]): auc for auc in found["usual_aucs"]}
    gaps = found["largest_log_odds_difference"]
    aucs = [
        (auc["role"], auc["loss"], _auc(auc), _auc(theirs), f"{gaps[auc['role']]:.1e}" if theirs else "")
        for auc in found["outshine_aucs"]
        for theirs in [usual.get((auc["role"], auc["loss"]))]
    ]
    return "\n".join([*lines, "", *_grid(("role", "loss", "AUC, outshine", "AUC, usual way", "largest Δ"), aucs)])


def _cells(what: str, found: dict[str, Any], ours: str, theirs: str) -> tuple[str, ...]:
    return what, f"{found[ours]:.1f}", f"{found[theirs]:.1f}", f"{found[theirs] / found[ours]:.1f} ×"


def _peaks(found: dict[str, Any]) -> list[tuple[str, ...]]:
    """Ours as a share of theirs."""
    theirs = found["usual_peak_mb"]
    whose = (("one student", "outshine_peak_mb"), (f"{found['students']} students", "outshine_many_peak_mb"))
    return [
        (f"peak memory, {who} (MB)", f"{found[name]:.0f}", f"{theirs:.0f}", f"{found[name] / theirs:.2f} of it")
        for who, name in whose
    ]


def _auc(auc: dict[str, Any] | None) -> str:
    return f"{auc['auroc']:.3f} [{auc['low']:.3f}, {auc['high']:.3f}]" if auc else "not measured"


def _throughput(found: Sequence[dict[str, Any]]) -> str:
    rows = [
        (
            f"{one['shape']['hidden']} × {one['shape']['layers']}, {one['compute_dtype']}, {_members(one['members'])}",
            *(work["work"], f"{work['tokens_per_second']:,.0f}", f"{work['examples_per_second']:,.0f}"),
            *(f"{work['gflops']:.1f}", f"{work['matmul_gflops']:.1f}", f"{work['share']:.0%}"),
        )
        for one in found
        for work in one["work"]
    ]
    head = ("model", "work", "tokens/s", "examples/s", "GFLOP/s", "matmul GFLOP/s", "share")
    return "\n".join(["### Throughput", "", *_grid(head, rows)])


def _members(number: int) -> str:
    return "alone" if number == 1 else f"cohort of {number}"


def _costs(found: dict[str, Any]) -> str:
    rows = [
        (f"a study of {found['stages']} stages, computed", f"{found['study_seconds']:.2f}"),
        ("the same again, from the store", f"{found['again_seconds']:.3f}"),
        ("the same again, with imports", f"{found['again_with_imports_seconds']:.2f}"),
        ("`outshine plan post --offline`", f"{found['plan_seconds']:.2f}"),
        ("`outshine --help`", f"{found['help_seconds']:.2f}"),
    ]
    return "\n".join(["### Where nothing is computed", "", *_grid(("", "seconds"), rows)])


def _growth(found: Sequence[dict[str, Any]]) -> str:
    rows = [(p["what"], f"{p['value']:,}", f"{p['seconds']:.2f}", f"{p['times_the_first']:.2f} ×") for p in found]
    return "\n".join(["### Growth", "", *_grid(("varied", "to", "seconds", "times the first"), rows)])


def _probes(found: Sequence[dict[str, Any]]) -> str:
    """A line for each format of what a job is set beside, or one that says why there is none."""
    rows = []
    for job in found:
        ours = (
            f"{job['name']}{', ' + job['spectrum'] if job['spectrum'] else ''}",
            *(f"{job['rows']:,} × {job['width']:,}", f"{job['seconds']:.2f}", f"{job['extra_mb']:.0f}"),
        )
        rows += [
            (
                *(*ours, one["format"], f"{one['seconds']:.2f}", f"{one['ratio']:.1f} ×"),
                *(f"{one['extra_mb']:.0f}", one["compared"]),
            )
            for one in job["beside"]
        ] or [(*ours, f"left out: {job['left_out']}", "", "", "", "")]
    head = ("", "rows × width", "s", "extra MB", "straightforward", "s", "ratio", "extra MB", "results")
    return "\n".join(["### Probes and filters", "", *_grid(head, rows)])


def _executors(found: dict[str, Any]) -> str:
    share = found["share_of_two_processes"]
    rows = [
        (name, f"{statistics.median(seconds):.1f}", f"{found['over_one_process'][name]:.2f} ×", _share(share.get(name)))
        for name, seconds in found["seconds"].items()
    ]
    title = f"### Executors: {found['stages']} equal stages of about {found['seconds_each']:g} s, two workers"
    empty = ", ".join(f"{name} {each:.1f} ms" for name, each in found["ms_per_empty_stage"].items())
    head = ("", "seconds", "over one process", "of two processes")
    return "\n".join([title, "", *_grid(head, rows), "", f"An empty stage, of {found['empty_stages']:,}: {empty}."])


def _share(value: float | None) -> str:
    return "" if value is None else f"{value:.2f}"


def _scale(found: dict[str, Any]) -> str:
    """A line for each plan, and one for each executor; of what it took again, all is looking into the store."""
    plans = [
        (f"plan of {one['stages']:,} stages", *_pace(one["seconds"], one["stages"]), f"{one['peak_mb']:.0f}")
        for one in found["plans"]
    ]
    drivers = [
        row
        for one in found["drivers"]
        for what in (f"{one['stages']:,} stages that do nothing, executor {one['executor']}",)
        for row in (
            (what, *_pace(one["seconds"], one["stages"]), f"{one['peak_mb']:.0f}"),
            (f"{what}, again", *_pace(one["again_seconds"], one["stages"]), ""),
        )
    ]
    return "\n".join(["### At scale", "", *_grid(("", "seconds", "ms a stage", "peak MB"), [*plans, *drivers])])


def _pace(seconds: float, stages: int) -> tuple[str, str]:
    return f"{seconds:.2f}", f"{1e3 * seconds / stages:.3g}"


def _grid(head: Sequence[str], rows: Iterable[Sequence[str]]) -> list[str]:
    return ["| " + " | ".join(cells) + " |" for cells in (head, ["---"] * len(head), *rows)]
