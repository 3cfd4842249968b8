"""Tables that runs wrote into their folders, read again and concatenated."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import pandas as pd
import yaml

from outshine.engine.errors import DataError, OutshineError
from outshine.engine.files import user_path
from outshine.results.csv_cells import as_named
from outshine.results.read.scores import SCORE_COLUMNS
from outshine.results.results import PGR_COLUMNS
from outshine.w2s.study_file import read_yaml

_TEXT = ("study", "purpose", "method", "variant", "loss", "method_id", "settings", "weak", "reason", "key")
_ADVICE = "name the --out folder of a run, or its scores.parquet"


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
        frame = as_named(pd.read_csv(path)) if path.suffix == ".csv" else pd.read_parquet(path)
    except (OSError, ValueError) as error:  # pyarrow's and pandas' parsing errors are ValueErrors
        raise DataError(f"cannot read {path} ({str(error)[:120]}); {_ADVICE}") from error
    text = [name for name in _TEXT if name in frame.columns]
    return frame.astype(dict.fromkeys(text, "object")).fillna(dict.fromkeys(text, ""))  # CSV reads "" as missing


def _together(frames: list[pd.DataFrame]) -> pd.DataFrame:
    return pd.concat(frames, ignore_index=True).drop_duplicates(ignore_index=True)
