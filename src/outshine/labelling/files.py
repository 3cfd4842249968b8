"""Output files of a labelling: the file with new columns, doubted labels, rows to judge, the evidence."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd

from outshine.data.user_tables import (
    CsvTable,
    file_format,
    read_csv_table,
    read_rows,
    read_table,
    write_csv_table,
    write_json_rows,
)
from outshine.engine.errors import DataError
from outshine.engine.files import user_path, write_whole
from outshine.labelling.rows import PLACE, Columns
from outshine.labelling.text import sentences
from outshine.report.write import OutputError, check_writable
from outshine.results.saved_tables import escape_formulas, escape_formulas_in_header
from outshine.w2s.study_file import raw_yaml

if TYPE_CHECKING:
    import pandas as pd

    from outshine.labelling.results import LabelResults
    from outshine.labelling.run import LabelRun
    from outshine.labelling.settings import LabelSettings


NEW = ("p", "fold", "disagrees", "suspicion", "rank", "suspect")
"""The columns of `Labelling.rows` that are added to the user's own, each behind the prefix."""

PREFIX = "outshine_"
ORDER, STRATUM, WEIGHT = "outshine_order", "outshine_stratum", "outshine_weight"  # in to_judge.csv, beside PLACE


def check_output(labeller: LabelSettings, out: Path, prefix: str = PREFIX) -> None:
    """Find out before hours of work that the result cannot be written.

    Raises OutputError where the folder cannot be written, DataError where the user's file would be overwritten or has
    columns of these names.
    """
    if (out / Path(labeller.path).name).resolve() == Path(labeller.path).resolve():
        raise DataError(f"'{out}' is the folder of the file itself; choose another one with --out")
    check_free(labeller.path, [f"{prefix}{name}" for name in NEW], "--prefix")
    own, new = _own_columns(labeller.columns), (ORDER, PLACE, STRATUM, WEIGHT)
    if taken := set(own) & set(new):
        raise DataError(f"to_judge.csv has a column '{min(taken)}' of its own; give yours another name")
    if labeller.columns.trusted_label in own[:2]:
        raise DataError(
            f"'{labeller.columns.trusted_label}' cannot be the column of the true labels and of text or id; choose "
            "another one with --trusted-label"
        )
    check_writable(out)


def write_labelled(done: LabelRun, out: Path, prefix: str = PREFIX) -> list[Path]:
    """Write everything into the folder; returns the paths, the user's table first. Each file appears whole.

    A `to_judge.csv` with true labels in it is never replaced: other rows to judge go to `to_judge_2.csv`, and so on.
    Call `check_output` first. Raises OutputError where the folder cannot be written.
    """
    labeller, found = done.resolution.labeller, done.labelling
    source = Path(labeller.path)
    table = out / source.name
    columns = {f"{prefix}{name}": _values(found, name) for name in NEW}
    settings = raw_yaml(labeller.model_dump(mode="json"))
    written = {
        table: lambda path: write_with(str(source), columns, path),
        out / "suspects.csv": lambda path: escape_formulas(found.suspects).to_csv(path, index=False),
        out / "evidence.json": lambda path: path.write_text(_json(evidence_document(found)), encoding="utf-8"),
        out / "label.yaml": lambda path: path.write_text(settings, encoding="utf-8"),
    }
    try:
        if found.wants_judging:
            asked = judging_table(found, labeller.columns).to_csv(index=False)
            target = _free_for(asked, out, labeller.columns.trusted_label)
            written[target] = lambda path: path.write_text(asked, encoding="utf-8")
        for path, write in written.items():
            write_whole(path, write)
    except OSError as error:
        told = f"cannot write to the folder {out} ({error.strerror}); choose another one with --out"
        raise OutputError(told) from error
    return list(written)


def judging_table(found: LabelResults, columns: Columns) -> pd.DataFrame:
    """The rows to judge as they are written: with neither the cheap label nor the student's, so that they sway nobody.

    Columns: order, place in the file, id (where the file has ids), text, the empty column for the true label, stratum,
    weight.
    """
    import pandas as pd

    rows = found.to_judge.rows
    text, truth, name = columns.text, columns.trusted_label, columns.id or "id"
    known = [None if value is None or pd.isna(value) else found.spelling[int(value)] for value in rows["truth"]]
    table = {
        ORDER: range(1, len(rows) + 1),
        PLACE: rows["row"],
        **({name: rows["id"]} if rows["id"].notna().any() else {}),
        text: rows["text"],
        truth: pd.Series(known, dtype=object),
        STRATUM: rows["stratum"],
        WEIGHT: rows["weight"].round(6),
    }
    return escape_formulas_in_header(escape_formulas(pd.DataFrame(table)))


def _own_columns(columns: Columns) -> tuple[str, str, str]:
    return columns.text, columns.id or "id", columns.trusted_label


def _free_for(asked: str, out: Path, truth: str) -> Path:
    """Where the rows to judge may be written: over no file with somebody's true labels, unless it is the same."""
    number = 1
    while True:
        path = out / (f"to_judge_{number}.csv" if number > 1 else "to_judge.csv")
        if not path.exists() or path.read_bytes() == asked.encode() or not _may_hold_work(path, truth):
            return path
        number += 1


def _may_hold_work(path: Path, truth: str) -> bool:
    """Whether a file has a true label in it, or cannot be read as a list of rows to judge."""
    try:
        rows = read_rows(path, [truth, PLACE])
    except DataError:
        return True
    return any(str(row.get(truth) or "").strip() for row in rows)


def evidence_document(found: LabelResults) -> dict[str, Any]:
    """Everything that is said about student and labels, with the sentences, as JSON types; unknown numbers are null."""
    return {
        "sentences": sentences(found),
        "evidence": [_jsonable(one) | {"verdict": one.verdict} for one in found.evidence],
        "signs": _jsonable(found.signs),
        "to_judge": {name: {"rows": num, "of": of} for name, (num, of) in found.to_judge.sizes.items()},
        "hard_labels": found.hard,
        "names": found.names,
        "notes": found.notes,
    }


def _json(document: dict[str, Any]) -> str:
    return json.dumps(document, indent=1, ensure_ascii=False, allow_nan=False)


def _values(found: LabelResults, name: str) -> list[Any]:
    """A value for each row; None where there is none, and for all that the student did not predict."""
    column = found.rows[name]
    nothing = column.isna() | found.rows["p"].isna()
    return [None if missing else value for value, missing in zip(column.tolist(), nothing.tolist(), strict=True)]


def _jsonable(value: Any) -> Any:
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if hasattr(value, "_asdict"):
        return {name: _jsonable(one) for name, one in value._asdict().items()}
    if isinstance(value, tuple):
        return [_jsonable(one) for one in value]
    return value


def check_free(path: str, names: Sequence[str], option: str) -> None:
    """Raises DataError where the table at `path` has one of these columns already. `option` names the way out."""
    taken = set(read_table(path).columns) & set(names)
    if taken:
        raise DataError(f"'{path}' has a column '{min(taken)}' already; choose other names for the new ones: {option}")


def write_with(path: str, new: Mapping[str, Sequence[Any]], target: Path) -> None:
    """Write the rows of the table at `path` with the columns `new` after its own, in the format of `path`.

    `new`: name -> a value for each row, in the file's order; None and NaN: nothing. The user's own names and values
    stay what they are, also those that a spreadsheet would compute: header, texts, separator and encoding of a CSV, the
    JSON values of each line, the types and metadata of Parquet. Raises DataError where `path` cannot be read, and where
    a column has another number of values than the file has rows.
    """
    kind = file_format(path)
    table = read_csv_table(user_path(path)) if kind == "csv" else read_table(path)
    num_rows = len(table.frame if isinstance(table, CsvTable) else table.rows)
    for name, values in new.items():
        if len(values) != num_rows:
            raise DataError(f"the column '{name}' has {len(values)} values for the {num_rows} rows of '{path}'")
    columns = {name: [_plain(value) for value in values] for name, values in new.items()}
    if isinstance(table, CsvTable):
        added = [pd.Series(values, dtype=object) for values in columns.values()]  # whole numbers stay whole
        write_csv_table(
            table._replace(header=[*table.header, *columns], frame=pd.concat([table.frame, *added], axis=1)), target
        )
    elif kind == "jsonl":
        rows = [
            {**row, **dict(zip(columns, values, strict=True))}
            for row, values in zip(table.rows, zip(*columns.values(), strict=True), strict=True)
        ]
        write_json_rows(path, rows, target)
    else:
        _write_parquet(path, columns, target)


def _write_parquet(path: str, columns: Mapping[str, list[Any]], target: Path) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    with user_path(path).open("rb") as file:
        table = pq.read_table(file)
    for name, values in columns.items():
        table = table.append_column(name, pa.array(values))
    pq.write_table(table, target)


def _plain(value: Any) -> Any:
    """A value that JSON and Parquet know."""
    plain = value.item() if hasattr(value, "item") else value
    return None if isinstance(plain, float) and math.isnan(plain) else plain
