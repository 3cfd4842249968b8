"""Tables of results as files: written so that no spreadsheet computes what is in them, read again and concatenated."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import pandas as pd
import yaml

from outshine.engine.errors import DataError, OutshineError
from outshine.engine.files import user_path, write_whole

_TEXT = ("study", "purpose", "method", "variant", "loss", "method_id", "settings", "weak", "reason", "key")
_FORMULA = re.compile(r"'*[=+\-@\t\r]")
_ESCAPED = re.compile(r"'+[=+\-@\t\r]")
_ADVICE = "name the --out folder of a run, or its scores.parquet"


def write_table(stem: Path, frame: pd.DataFrame) -> None:
    """Write a table as `<stem>.csv` and `<stem>.parquet`, each whole. Raises OSError."""
    write_whole(stem.with_suffix(".csv"), lambda path: escape_formulas(frame).to_csv(path, index=False))
    write_whole(stem.with_suffix(".parquet"), lambda path: frame.to_parquet(path, index=False))


def escape_formulas(frame: pd.DataFrame) -> pd.DataFrame:
    """The table with an apostrophe before each text that a spreadsheet would compute: `=1+1` becomes `'=1+1`.

    The names of a user's files and folders stand in tables, and those may come from anyone.
    """
    return _with_texts(frame, lambda text: f"'{text}" if _FORMULA.match(text) else text)


def escape_formulas_in_header(frame: pd.DataFrame) -> pd.DataFrame:
    """The table with an apostrophe before each column name that a spreadsheet would compute."""
    return frame.rename(columns=lambda name: f"'{name}" if _FORMULA.match(str(name)) else name)


def unescape_formulas(frame: pd.DataFrame) -> pd.DataFrame:
    """The table as it was before `escape_formulas`."""
    return _with_texts(frame, lambda text: text[1:] if _ESCAPED.match(text) else text)


def _with_texts(frame: pd.DataFrame, change: Callable[[str], str]) -> pd.DataFrame:
    def changed(value: Any) -> Any:
        return change(value) if isinstance(value, str) else value

    columns = [name for name in frame.columns if frame[name].dtype.kind not in "biufcmM"]
    return frame.assign(**{name: frame[name].map(changed) for name in columns})


class Tables(NamedTuple):
    """Scores and PGRs of one or more runs, one below the other; `pgr` None: no such table was found.

    `declared`: what each run's study declared as `better_than`; None where it declared nothing, and for single files.
    """

    scores: pd.DataFrame
    pgr: pd.DataFrame | None
    declared: tuple[str | None, ...] = ()


def read_tables(places: Sequence[Path]) -> Tables:
    """Read `scores` and, where they are there, `pgr` tables from folders of runs or from single files.

    A folder holds scores.parquet and pgr.parquet; a file (.parquet or .csv) is known by its columns.
    Raises DataError for a place that is not there, cannot be read or holds neither table, and where no scores are left.
    """
    from outshine.results.read.scores import SCORE_COLUMNS
    from outshine.results.results import PGR_COLUMNS

    scores, pgrs = [], []
    for path in [file for place in places for file in _files(user_path(place))]:
        frame = _read(path)
        if set(SCORE_COLUMNS) <= set(frame.columns):
            scores.append(frame)
        elif set(PGR_COLUMNS) <= set(frame.columns):
            pgrs.append(frame)
        else:
            lacking = ", ".join(name for name in SCORE_COLUMNS if name not in frame.columns)
            raise DataError(f"{path} is no table of scores (it lacks {lacking}); {_ADVICE}")
    if not scores:
        raise DataError(f"no table of scores among {', '.join(map(str, places)) or 'no places'}; {_ADVICE}")
    declared = tuple(_declared(user_path(place)) for place in dict.fromkeys(places))
    return Tables(_together(scores), _together(pgrs) if pgrs else None, declared)


def _declared(place: Path) -> str | None:
    """The setting `better_than` in the study.yaml of a run's folder; nothing where that cannot be read."""
    from outshine.w2s.study_file import read_yaml

    try:
        study = read_yaml((place / "study.yaml").read_text(encoding="utf-8"), "study.yaml")
    except (OSError, ValueError, yaml.YAMLError, OutshineError):
        return None
    declared = study.get("better_than") if isinstance(study, dict) else None
    return declared if isinstance(declared, str) and declared else None


def _files(place: Path) -> list[Path]:
    if place.is_file():
        return [place]
    if not place.is_dir():
        raise DataError(f"no folder or file '{place}'; {_ADVICE}")
    if not (place / "scores.parquet").is_file():
        raise DataError(f"the folder '{place}' holds no scores.parquet; {_ADVICE}")
    return [path for name in ("scores.parquet", "pgr.parquet") if (path := place / name).is_file()]


def _read(path: Path) -> pd.DataFrame:
    try:
        frame = unescape_formulas(pd.read_csv(path)) if path.suffix == ".csv" else pd.read_parquet(path)
    except (OSError, ValueError) as error:  # pyarrow's and pandas' parsing errors are ValueErrors
        raise DataError(f"cannot read {path} ({str(error)[:120]}); {_ADVICE}") from error
    text = [name for name in _TEXT if name in frame.columns]
    return frame.astype(dict.fromkeys(text, "object")).fillna(dict.fromkeys(text, ""))  # CSV reads "" as missing


def _together(frames: list[pd.DataFrame]) -> pd.DataFrame:
    return pd.concat(frames, ignore_index=True).drop_duplicates(ignore_index=True)
