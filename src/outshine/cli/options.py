"""Options that several commands share: one by one, and in groups that commands take as one parameter."""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields, is_dataclass
from datetime import timedelta
from functools import wraps
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, get_type_hints

import typer

from outshine.cli import completion
from outshine.engine.errors import SettingsError

if TYPE_CHECKING:
    from outshine.engine.store.store import Store

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
ClassesOption = Annotated[
    str | None,
    typer.Option(
        "--classes",
        metavar="NAMES",
        help="The classes, comma-separated, where there are three or more; all: every value of the label column.",
        show_default=False,
    ),
]
PairOption = Annotated[
    str | None,
    typer.Option(
        "--pair",
        metavar="A,B",
        help="Two columns of texts of which one is preferred, as in a,b or chosen,rejected; --text names their prompt.",
        show_default=False,
    ),
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
OutOption = Annotated[Path, typer.Option("--out", "-o", help="Folder for tables, study.yaml and report.html.")]


@dataclass(frozen=True)
class ColumnOptions:
    """What is said about a table of the user's: its columns, and what the values of its labels mean."""

    text: TextOption = None
    label: LabelOption = None
    group: GroupOption = None
    row_id: IdOption = None
    positive: PositiveOption = None
    negative: NegativeOption = None
    missing: MissingOption = None
    classes: ClassesOption = None
    pair: PairOption = None

    def settings(self) -> dict[str, str]:
        """What is said, by the name that settings have for it."""
        values = {field.name.removeprefix("row_"): getattr(self, field.name) for field in fields(self)}
        return {name: value for name, value in values.items() if value is not None}


@dataclass(frozen=True)
class SizeOptions:
    """How many rows are used."""

    n_train: TrainOption = None
    n_val: ValOption = None
    n_test: TestOption = None
    limit: LimitOption = None

    def settings(self) -> list[str]:
        """What is said, as `--set` would say it."""
        values = {field.name: getattr(self, field.name) for field in fields(self)}
        return [f"splits.{name}={value}" for name, value in values.items() if value is not None]


@dataclass(frozen=True)
class StudyOptions:
    """What a study computes: a file, preset or recorded study, and what is laid over it."""

    study: StudyArgument = None
    dataset: DatasetOption = None
    columns: ColumnOptions = ColumnOptions()
    weak: WeakOption = None
    strong: StrongOption = None
    loss: LossOption = None
    seed: SeedOption = None
    sizes: SizeOptions = SizeOptions()
    controls: ControlsOption = False
    trajectories: TrajectoriesOption = False
    settings: SetOption = None


@dataclass(frozen=True)
class ExecutorOptions:
    """Who computes."""

    executor: ExecutorOption = None
    workers: WorkersOption = None
    address: AddressOption = None

    def settings(self) -> dict[str, Any]:
        """What is said; an address speaks of Ray."""
        kind = self.executor or ("ray" if self.address else None)
        values = {"kind": kind, "workers": self.workers, "address": self.address}
        return {name: value for name, value in values.items() if value is not None}


def with_option_groups(command: Callable[..., None]) -> Callable[..., None]:
    """Have typer see the single options of a command that takes groups of them.

    A parameter whose type is a dataclass, such as `options: StudyOptions`, is replaced by the fields of that
    dataclass, in their order; the command is called with the dataclass made from them.
    """
    hints = get_type_hints(command, include_extras=True)
    groups = {name: hint for name, hint in hints.items() if is_dataclass(hint)}
    parameters: list[inspect.Parameter] = []
    for name, parameter in inspect.signature(command).parameters.items():
        single = parameter.replace(annotation=hints[name], kind=inspect.Parameter.KEYWORD_ONLY)
        parameters += _options_of(groups[name]) if name in groups else [single]

    @wraps(command)
    def called(**values: Any) -> None:
        singles = {name: value for name, value in values.items() if name in hints and name not in groups}
        command(**singles, **{name: read_group(group, values) for name, group in groups.items()})

    called.__annotations__ = {parameter.name: parameter.annotation for parameter in parameters}
    called.__signature__ = inspect.Signature(parameters)  # pyright: ignore[reportAttributeAccessIssue]
    return called


def _options_of(group: Any) -> list[inspect.Parameter]:
    """The options of a group, those of groups in it included, as parameters of a command."""
    hints = get_type_hints(group, include_extras=True)
    parameters: list[inspect.Parameter] = []
    for field in fields(group):
        hint = hints[field.name]
        if is_dataclass(hint):
            parameters += _options_of(hint)
        else:
            kind = inspect.Parameter.KEYWORD_ONLY
            parameters.append(inspect.Parameter(field.name, kind, default=field.default, annotation=hint))
    return parameters


def read_group(group: Any, values: Mapping[str, Any]) -> Any:
    """A group of options made from their values by name; an option that is not there keeps its default."""
    inner = {name: hint for name, hint in get_type_hints(group).items() if is_dataclass(hint)}
    singles = {field.name: values[field.name] for field in fields(group) if field.name in values}
    return group(**singles, **{name: read_group(hint, values) for name, hint in inner.items()})


def open_store(where: str | None) -> Store:
    """The store named by the option, by OUTSHINE_STORE, or in the user's cache folder."""
    from outshine.engine.store.store import open_store as open_at

    return open_at(where or None)


def split_names(text: str | None) -> list[str] | None:
    """The names of a comma-separated option."""
    return None if text is None else [name.strip() for name in text.split(",") if name.strip()]


_SIZES = {"": 1, "b": 1, "kb": 1000, "mb": 1000**2, "gb": 1000**3, "tb": 1000**4}
_SIZES |= {"kib": 2**10, "mib": 2**20, "gib": 2**30, "tib": 2**40}
_AGES = {"m": timedelta(minutes=1), "h": timedelta(hours=1), "d": timedelta(days=1), "w": timedelta(weeks=1)}
_QUANTITY = re.compile(r"(\d{1,12}(?:\.\d{1,6})?)\s*([A-Za-z]*)")


def parse_size(text: str, option: str) -> int:
    """The bytes that `10GB` or `512MiB` are. Raises SettingsError."""
    match = _QUANTITY.fullmatch(text.strip())
    if not match or match[2].lower() not in _SIZES:
        raise SettingsError(f"{option} {text}: a size is expected, such as 500MB or 10GB")
    return int(float(match[1]) * _SIZES[match[2].lower()])


def parse_age(text: str, option: str) -> timedelta:
    """The time that `30d`, `12h` or `2w` are. Raises SettingsError."""
    match = _QUANTITY.fullmatch(text.strip())
    try:
        if match and match[2].lower() in _AGES:
            return float(match[1]) * _AGES[match[2].lower()]
    except OverflowError:
        pass
    raise SettingsError(f"{option} {text}: an age is expected, such as 12h, 30d or 2w")
