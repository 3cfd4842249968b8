"""The study that a command is about: built from its options, read from a file or folder, or recorded in the store."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from outshine.cli.options import StudyOptions, split_names

if TYPE_CHECKING:
    from outshine.engine.settings import Settings
    from outshine.engine.store.recorded_studies import RecordedStudy
    from outshine.engine.store.store import Store
    from outshine.w2s.study import Study

DEFAULT_OUT = "outshine-out"
"""The folder that `run` writes to, and `report`, `compare` and `select` read, where none is named."""


def build_study(
    options: StudyOptions,
    *,
    metrics: list[str] | None = None,
    executor: dict[str, Any] | None = None,
    store: Store | None = None,
) -> Study:
    """A study file, preset or recorded study with the options laid over it, then the `--set` settings."""
    from outshine.engine.errors import SettingsError
    from outshine.w2s.study_file import parse_study, with_columns, with_settings

    raw = raw_study(options.study, store) if options.study else {}
    raw |= _named_settings(options)
    if metrics:
        raw["metrics"] = [name for names in metrics for name in split_names(names) or ()]
    if executor:
        raw["executor"] = _executor(raw.get("executor"), executor)
    raw = with_columns(raw, options.columns.settings())
    losses = split_names(options.loss) or []
    if losses:
        raw["loss"] = losses[0]
    settings = options.settings or []
    raw = with_settings(raw, [*options.sizes.settings(), *settings])
    if len(losses) > 1:
        if any(setting.startswith("loss.") for setting in settings):
            raise SettingsError(
                "--set loss.… beside several losses: say which one it is for in a study file (methods: …)"
            )
        raw["methods"] = [_with_loss(method, loss) for method in _methods(raw) for loss in losses]
    if not raw.get("datasets"):
        raise SettingsError("no dataset is named; use --dataset NAME (`outshine datasets` lists them) or a study file")
    return parse_study(raw)


def _named_settings(options: StudyOptions) -> dict[str, Any]:
    """The options that are settings of a study by another name, as far as they were used."""
    values = {
        "weak": options.weak,
        "strong": options.strong,
        "datasets": split_names(options.dataset),
        "seeds": _numbers(options.seed),
        "controls": options.controls or None,
        "trajectories": options.trajectories or None,
    }
    return {name: value for name, value in values.items() if value is not None}


def _executor(before: Any, options: dict[str, Any]) -> dict[str, Any]:
    """The options laid over the study's own settings; another kind drops those."""
    own = dict(before) if isinstance(before, dict) else {"kind": before} if before else {}
    kept = own if options.get("kind", own.get("kind")) == own.get("kind") else {}
    return {"kind": "local", **kept, **options}


def _methods(raw: dict[str, Any]) -> list[Any]:
    methods = raw.get("methods", ["vanilla"])
    return list(methods) if isinstance(methods, list | tuple) else [methods]


def _with_loss(method: Any, loss: str) -> Any:
    """A method with this loss; what is none stays as it is, and is refused with all other settings."""
    if isinstance(method, str):
        return {"kind": method, "loss": loss}
    return {**method, "loss": loss} if isinstance(method, dict) else method


def _numbers(text: str | None) -> list[int] | None:
    from outshine.engine.errors import SettingsError

    try:
        return None if text is None else [int(number) for number in text.split(",")]
    except ValueError:
        raise SettingsError(f"--seed {text}: whole numbers separated by commas are expected, such as 0,1,2") from None


def raw_study(name: str, store: Store | None) -> dict[str, Any]:
    """The raw settings of a study file or preset, or of a study that ran in the store."""
    from outshine.engine.errors import UnknownNameError
    from outshine.engine.store.recorded_studies import find_recorded
    from outshine.labelling.run import refuse_labelling
    from outshine.w2s.study_file import presets, read_study

    if store is None or name in presets() or name.endswith((".yaml", ".yml")):
        return read_study(name)
    try:
        recorded = find_recorded(name, store).study
    except UnknownNameError:
        return read_study(name)
    refuse_labelling(recorded, "run, plan and report")
    return recorded


def study_at(place: Path, store: Store) -> Study:
    """The resolved study of a run's folder, or a study by its file, as a preset or as the store recorded it.

    Raises OutshineError where there is none.
    """
    from outshine.engine.errors import DataError
    from outshine.w2s.study_file import parse_study

    resolved = place / "study.yaml"
    if place.is_dir() and not resolved.is_file():
        raise DataError(f"the folder '{place}' holds no study.yaml; name the --out folder of a run{_runs_here()}")
    if not place.is_dir() and str(place) == DEFAULT_OUT:
        raise DataError(
            f"there is no folder {DEFAULT_OUT}; name a run's folder (--out){_runs_here()}, a study file or a preset"
        )
    return parse_study(raw_study(str(resolved if place.is_dir() else place), store))


def _runs_here() -> str:
    """The folders of runs below this one, as words; a few of many."""
    folders = sorted(resolved.parent.name for resolved in Path().glob("*/study.yaml"))
    return f", such as {', '.join(repr(name) for name in folders[:3])}" if folders else ""


def recorded_study(study: str, store: Store) -> RecordedStudy:
    """A recorded study by name or digest, or by what it was run from. Raises OutshineError where it never ran here."""
    from outshine.engine.errors import UnknownNameError
    from outshine.engine.store.recorded_studies import find_recorded, study_digest
    from outshine.w2s.expand import resolve_study

    try:
        return find_recorded(study, store)
    except UnknownNameError:
        if not Path(study).exists():
            raise
    resolved = resolve_study(study_at(Path(study), store)).study
    return find_recorded(study_digest(resolved.model_dump(mode="json")), store)


def latest_recorded(study: str, store: Store) -> RecordedStudy:
    """The latest recorded study of that name; a file or preset stands for the name that it gives."""
    from outshine.engine.store.recorded_studies import find_recorded, recorded_studies
    from outshine.w2s.study_file import presets, read_study

    name = study
    if study in presets() or study.endswith((".yaml", ".yml")):
        name = str(read_study(study).get("name", "study"))
    named = [recorded for recorded in recorded_studies(store) if recorded.name == name]
    return named[-1] if named else find_recorded(name, store)


def parse_recorded(raw: dict[str, Any]) -> Settings:
    """What a store or an archive calls a study: one, or a labelling. Raises OutshineError where it is neither."""
    from outshine.labelling.run import parse_label_settings
    from outshine.w2s.study_file import parse_study

    return parse_label_settings(raw) if raw.get("command") == "label" else parse_study(raw)
