"""What a labelling leaves in its folder: the file with new columns, the doubted labels, the evidence, the settings."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import TYPE_CHECKING, Any

from outshine.analysis.csv_cells import inert
from outshine.analysis.labelling_words import sentences
from outshine.core.errors import DataError
from outshine.core.files import write_whole
from outshine.data.tables import check_free, write_with
from outshine.report.write import OutputError, check_writable
from outshine.studies.parse import raw_yaml

if TYPE_CHECKING:
    from outshine.analysis.labelling import Labelling
    from outshine.execution.labelling import Labelled
    from outshine.studies.labelling import Labeller

NEW = ("p", "fold", "disagrees", "suspicion", "rank", "suspect")
"""The columns of `Labelling.rows` that are added to the user's own, each behind the prefix."""

PREFIX = "outshine_"


def check_output(labeller: Labeller, out: Path, prefix: str = PREFIX) -> None:
    """Find out before hours of work that the result cannot be written.

    Raises OutputError where the folder cannot be written, DataError where the user's file would be overwritten or has
    columns of these names.
    """
    if (out / Path(labeller.path).name).resolve() == Path(labeller.path).resolve():
        raise DataError(f"'{out}' is the folder of the file itself; choose another one with --out")
    check_free(labeller.path, [f"{prefix}{name}" for name in NEW], "--prefix")
    check_writable(out)


def write_labelled(done: Labelled, out: Path, prefix: str = PREFIX) -> list[Path]:
    """Write everything into the folder; returns the paths, the user's table first. Each file appears whole.

    Call `check_output` first. Raises OutputError where the folder cannot be written.
    """
    labeller, found = done.resolution.labeller, done.labelling
    source = Path(labeller.path)
    table = out / source.name
    columns = {f"{prefix}{name}": _values(found, name) for name in NEW}
    settings = raw_yaml(labeller.model_dump(mode="json"))
    written = {
        table: lambda path: write_with(str(source), columns, path),
        out / "suspects.csv": lambda path: inert(found.suspects).to_csv(path, index=False),
        out / "evidence.json": lambda path: path.write_text(_json(evidence_document(found)), encoding="utf-8"),
        out / "label.yaml": lambda path: path.write_text(settings, encoding="utf-8"),
    }
    try:
        for path, write in written.items():
            write_whole(path, write)
    except OSError as error:
        told = f"cannot write to the folder {out} ({error.strerror}); choose another one with --out"
        raise OutputError(told) from error
    return list(written)


def evidence_document(found: Labelling) -> dict[str, Any]:
    """Everything that is said about student and labels, with the sentences, as JSON types; unknown numbers are null."""
    return {
        "sentences": sentences(found),
        "evidence": [_jsonable(one) | {"verdict": one.verdict} for one in found.evidence],
        "signs": _jsonable(found.signs),
        "hard_labels": found.hard,
        "names": found.names,
        "notes": found.notes,
    }


def _json(document: dict[str, Any]) -> str:
    return json.dumps(document, indent=1, ensure_ascii=False, allow_nan=False)


def _values(found: Labelling, name: str) -> list[Any]:
    column = found.rows[name]
    return [None if missing else value for value, missing in zip(column.tolist(), column.isna().tolist(), strict=True)]


def _jsonable(value: Any) -> Any:
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if hasattr(value, "_asdict"):
        return {name: _jsonable(one) for name, one in value._asdict().items()}
    if isinstance(value, tuple):
        return [_jsonable(one) for one in value]
    return value
