"""Options that several commands share, and the study that they describe."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from outshine.cli import completion

if TYPE_CHECKING:
    from outshine.engine.store.store import Store
    from outshine.w2s.study import Study

StudyArgument = Annotated[
    str | None,
    typer.Argument(
        metavar="[STUDY]",
        help="A study file (.yaml) or a preset such as demo.",
        show_default=False,
        autocompletion=completion.studies,
    ),
]
DatasetOption = Annotated[
    str | None,
    typer.Option(
        "--dataset",
        "-d",
        help="Datasets, comma-separated: names, files (csv, jsonl, parquet) or hub datasets (owner/name).",
        show_default=False,
        autocompletion=completion.datasets,
    ),
]
TextOption = Annotated[
    str | None,
    typer.Option("--text", metavar="COLUMN", help="The column with the text (default text).", show_default=False),
]
LabelOption = Annotated[
    str | None,
    typer.Option(
        "--label",
        metavar="COLUMN",
        help="The column with the label (default label).",
        show_default=False,
    ),
]
GroupOption = Annotated[
    str | None,
    typer.Option(
        "--group",
        metavar="COLUMN",
        help="What rows share that stay together (default: group, if there is one).",
        show_default=False,
    ),
]
IdOption = Annotated[
    str | None,
    typer.Option("--id", metavar="COLUMN", help="A row's identity (default: id, if there is one).", show_default=False),
]
PositiveOption = Annotated[
    str | None,
    typer.Option(
        "--positive",
        metavar="VALUES",
        help="The label's values that are class 1, comma-separated, where that is not clear.",
        show_default=False,
    ),
]
NegativeOption = Annotated[
    str | None,
    typer.Option("--negative", metavar="VALUES", help="The values that are class 0.", show_default=False),
]
MissingOption = Annotated[
    str | None,
    typer.Option("--missing", metavar="VALUES", help="Values that are no label, beside n/a …", show_default=False),
]
LimitOption = Annotated[
    int | None,
    typer.Option(
        "--limit", metavar="N", min=1, help="Use a random draw of N rows, for a quick first try.", show_default=False
    ),
]
WeakOption = Annotated[
    str | None,
    typer.Option(
        "--weak",
        "-w",
        help="Supervisor's model: hub name, folder or tiny/weak.",
        show_default=False,
        autocompletion=completion.models,
    ),
]
StrongOption = Annotated[
    str | None,
    typer.Option(
        "--strong",
        "-s",
        help="Student's and ceiling's model.",
        show_default=False,
        autocompletion=completion.models,
    ),
]
LossOption = Annotated[
    str | None,
    typer.Option(
        "--loss",
        "-l",
        help="Students' loss (default logconf); several comma-separated.",
        show_default=False,
        autocompletion=completion.losses,
    ),
]
SeedOption = Annotated[
    str | None, typer.Option("--seed", help="Seeds, comma-separated (default 0).", show_default=False)
]
TrainOption = Annotated[
    int | None,
    typer.Option("--n-train", help="Train rows, halved between weak and strong (default 10000).", show_default=False),
]
ValOption = Annotated[int | None, typer.Option("--n-val", help="Validation rows (default 1000).", show_default=False)]
TestOption = Annotated[
    int | None, typer.Option("--n-test", help="Test rows at most (default 5000).", show_default=False)
]
ControlsOption = Annotated[
    bool, typer.Option("--controls", help="Controls and baselines too: shuffled, noise-matched … labels, weak → weak.")
]
TrajectoriesOption = Annotated[
    bool, typer.Option("--trajectories", help="Test AUC along training, by running each student a second time.")
]
MetricOption = Annotated[
    list[str] | None,
    typer.Option(
        "--metric",
        metavar="NAME",
        help="Results by this metric too, such as accuracy; trains nothing. May be repeated.",
        show_default=False,
        autocompletion=completion.metrics,
    ),
]
SetOption = Annotated[
    list[str] | None,
    typer.Option(
        "--set", metavar="PATH=VALUE", help="Any setting, such as strong.learning_rate=1e-3.", show_default=False
    ),
]
StoreOption = Annotated[
    str | None,
    typer.Option(
        "--store",
        metavar="PLACE",
        help="Where results are kept: a folder or a URL ($OUTSHINE_STORE, else the cache).",
        show_default=False,
    ),
]
ExecutorOption = Annotated[
    str | None,
    typer.Option(
        "--executor",
        metavar="KIND",
        help="Who computes: local (default) or ray (pip install 'outshine\\[ray]').",
        show_default=False,
        autocompletion=completion.executors,
    ),
]
WorkersOption = Annotated[
    int | None,
    typer.Option(
        "--workers", help="Worker processes (default: one a GPU; with ray: all there is room for).", show_default=False
    ),
]
AddressOption = Annotated[
    str | None,
    typer.Option(
        "--address", help="Of a Ray cluster: auto, or host:port (default: one on this machine).", show_default=False
    ),
]
LogOption = Annotated[
    str | None,
    typer.Option(
        "--log",
        metavar="NAMES",
        help="Curves and scores to wandb, tensorboard or trackio, comma-separated "
        "(pip install 'outshine\\[wandb]', …).",
        show_default=False,
        autocompletion=completion.trackers,
    ),
]


def open_store(where: str | None) -> Store:
    """The store named by the option, by OUTSHINE_STORE, or in the user's cache folder."""
    from outshine.engine.store.open_store import open_store as open_at

    return open_at(where or None)


def build_study(
    study: str | None,
    dataset: str | None = None,
    weak: str | None = None,
    strong: str | None = None,
    loss: str | None = None,
    seed: str | None = None,
    n_train: int | None = None,
    n_val: int | None = None,
    n_test: int | None = None,
    settings: list[str] | None = None,
    *,
    columns: dict[str, str] | None = None,
    limit: int | None = None,
    controls: bool = False,
    trajectories: bool = False,
    metrics: list[str] | None = None,
    executor: dict[str, Any] | None = None,
    store: Store | None = None,
) -> Study:
    """A study file, preset or recorded study with the options laid over it, then the `--set` settings.

    `columns`: what is said about the user's own datasets, as `own_columns` gives it.
    """
    from outshine.engine.errors import SettingsError
    from outshine.w2s.study_file import parse_study, with_columns, with_settings

    raw: dict[str, Any] = raw_study(study, store) if study else {}
    given = {"weak": weak, "strong": strong, "datasets": split_names(dataset), "seeds": _numbers(seed)}
    raw |= {name: value for name, value in given.items() if value is not None}
    raw |= {name: True for name, wanted in (("controls", controls), ("trajectories", trajectories)) if wanted}
    if metrics:
        raw["metrics"] = [name for names in metrics for name in split_names(names) or ()]
    if executor:
        raw["executor"] = _executor(raw.get("executor"), executor)
    sizes = {"n_train": n_train, "n_val": n_val, "n_test": n_test}
    sizes["limit"] = limit
    assignments = [f"splits.{name}={value}" for name, value in sizes.items() if value is not None]
    raw = with_columns(raw, columns or {})
    losses = split_names(loss) or []
    if losses:
        raw["loss"] = losses[0]
    raw = with_settings(raw, [*assignments, *(settings or [])])
    if len(losses) > 1 and any(setting.startswith("loss.") for setting in settings or ()):
        raise SettingsError("--set loss.… beside several losses: say which one it is for in a study file (methods: …)")
    if len(losses) > 1:
        raw["methods"] = [_with_loss(method, one) for method in _methods(raw) for one in losses]
    if not raw.get("datasets"):
        raise SettingsError("no dataset is named; use --dataset NAME (`outshine datasets` lists them) or a study file")
    return parse_study(raw)


def own_columns(
    text: str | None,
    label: str | None,
    group: str | None,
    row_id: str | None,
    positive: str | None,
    negative: str | None,
    missing: str | None,
) -> dict[str, str]:
    """What the options say about a table of the user's, by the option's name."""
    given = {
        "text": text,
        "label": label,
        "group": group,
        "id": row_id,
        "positive": positive,
        "negative": negative,
        "missing": missing,
    }
    return {name: value for name, value in given.items() if value is not None}


def executor_settings(kind: str | None, workers: int | None, address: str | None) -> dict[str, Any]:
    """What the options say about the workers; an address speaks of Ray."""
    kind = kind or ("ray" if address else None)
    given = {"kind": kind, "workers": workers, "address": address}
    return {name: value for name, value in given.items() if value is not None}


def _executor(before: Any, given: dict[str, Any]) -> dict[str, Any]:
    """The options laid over the study's own settings; another kind drops those."""
    own = dict(before) if isinstance(before, dict) else {"kind": before} if before else {}
    kept = own if given.get("kind", own.get("kind")) == own.get("kind") else {}
    return {"kind": "local", **kept, **given}


def raw_study(name: str, store: Store | None) -> dict[str, Any]:
    """The raw settings of a study file or preset, or of a study that ran in the store."""
    from outshine.engine.errors import UnknownNameError
    from outshine.engine.store.recorded_studies import find_recorded
    from outshine.labelling.settings import refuse_labelling
    from outshine.w2s.study_file import presets, read_study

    if store is None or name in presets() or name.endswith((".yaml", ".yml")):
        return read_study(name)
    try:
        recorded = find_recorded(name, store).study
    except UnknownNameError:
        return read_study(name)
    refuse_labelling(recorded, "run, plan and report")
    return recorded


def _methods(raw: dict[str, Any]) -> list[Any]:
    found = raw.get("methods", ["vanilla"])
    return list(found) if isinstance(found, list | tuple) else [found]


def _with_loss(method: Any, loss: str) -> Any:
    """A method with this loss; what is none stays as it is, and is refused with all other settings."""
    if isinstance(method, str):
        return {"kind": method, "loss": loss}
    return {**method, "loss": loss} if isinstance(method, dict) else method


def split_names(text: str | None) -> list[str] | None:
    """The names of a comma-separated option."""
    return None if text is None else [name.strip() for name in text.split(",") if name.strip()]


def _numbers(text: str | None) -> list[int] | None:
    from outshine.engine.errors import SettingsError

    try:
        return None if text is None else [int(number) for number in text.split(",")]
    except ValueError:
        raise SettingsError(f"--seed {text}: whole numbers separated by commas are expected, such as 0,1,2") from None
