"""Output files of a labelling: the file with new columns, doubted labels, rows to judge, the evidence."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from outshine.data.user_tables import (
    CsvTable,
    file_format,
    plain_name,
    read_csv_table,
    read_rows,
    read_saved_dataset,
    read_table,
    write_csv_table,
    write_json_rows,
)
from outshine.engine.errors import DataError
from outshine.engine.files import user_path, write_whole
from outshine.labelling.annotation_tools import Answer, answered, read_labelling_table
from outshine.labelling.rows import PLACE, Columns, resolve_classes
from outshine.labelling.saved_student import remove_saved_student
from outshine.labelling.text import sentences
from outshine.report.write import OutputError, check_writable
from outshine.results.saved_tables import escape_formulas, escape_formulas_in_header
from outshine.w2s.study_file import raw_yaml

if TYPE_CHECKING:
    from outshine.labelling.ladder import Ladder
    from outshine.labelling.results import LabelResults
    from outshine.labelling.run import LabelRun, LabelSettings


def new_columns(names: Sequence[str]) -> dict[str, str]:
    """Return what is added to the user's columns, each behind the prefix -> the column of `LabelResults.rows`.

    `names`: of the classes. Of several there are the probability of each and the student's class, where of two there is
    the student's P(class 1).
    """
    several = len(names) > 2
    return {
        "label": "best_label",
        "p": "best_p",
        **({f"p_{name}": f"best_p_{number}" for number, name in enumerate(names)} if several else {}),
        "student": "student" if several else "p",
        **{name: name for name in ("fold", "disagrees", "suspicion", "rank", "suspect")},
    }


PREFIX = "outshine_"
EVIDENCE = "evidence.json"
STUDENT = "student"  # the folder with a model for new texts
_WHOLE = re.compile(r"0|[1-9][0-9]*")
ORDER, STRATUM, WEIGHT = "outshine_order", "outshine_stratum", "outshine_weight"  # in to_judge.csv, beside PLACE


def check_output(labeller: LabelSettings, out: Path, prefix: str = PREFIX) -> None:
    """Find out before hours of work that the result cannot be written.

    Raises OutputError where the folder cannot be written, DataError where a file of the user's would be overwritten or
    has columns of these names.
    """
    if (out / _target_name(labeller.path)).resolve() == Path(labeller.path).resolve():
        raise DataError(f"'{out}' is the folder of the file itself; choose another one with --out")
    names = resolve_classes(labeller.path, labeller.columns).task.class_names
    check_free(labeller.path, [f"{prefix}{name}" for name in new_columns(names)], "--prefix")
    own, new = _own_columns(labeller.columns), (ORDER, PLACE, STRATUM, WEIGHT)
    if taken := set(own) & set(new):
        raise DataError(f"to_judge.csv has a column '{min(taken)}' of its own; give yours another name")
    if labeller.columns.trusted_label in own[:2]:
        raise DataError(
            f"'{labeller.columns.trusted_label}' cannot be the column of the true labels and of text or id; choose "
            "another one with --trusted-label"
        )
    check_writable(out)
    target = out / _target_name(labeller.path)
    if target.exists() and not (out / EVIDENCE).exists():
        raise DataError(f"'{target}' is there, and no labelling wrote it; choose another folder with --out")


def write_labelled(done: LabelRun, out: Path, prefix: str = PREFIX) -> list[Path]:
    """Write everything into the folder; returns the paths, the user's table first. Each file appears whole.

    A `to_judge.csv` with true labels in it is never replaced: other rows to judge go to `to_judge_2.csv`, and so on.
    Call `check_output` first. Raises OutputError where the folder cannot be written.
    """
    labeller, results = done.labeller, done.labelling
    source = Path(labeller.path)
    table = out / _target_name(labeller.path)
    columns = {f"{prefix}{new}": _values(results, name) for new, name in new_columns(results.spelling).items()}
    settings = raw_yaml(labeller.model_dump(mode="json"))
    written = {
        table: lambda path: _write_labels(str(source), columns, prefix, labeller.columns, path),
        out / "suspects.csv": lambda path: escape_formulas(_suspects(results)).to_csv(path, index=False),
        out / "issues.csv": lambda path: escape_formulas(issues_table(results)).to_csv(path, index=False),
        out / EVIDENCE: lambda path: path.write_text(_json(evidence_document(results)), encoding="utf-8"),
        out / "label.yaml": lambda path: path.write_text(settings, encoding="utf-8"),
    }
    try:
        if results.wants_judging:
            to_judge = judging_table(results, labeller.columns).to_csv(index=False)
            target = _free_for(to_judge, out, labeller.columns.trusted_label)
            written[target] = lambda path: path.write_text(to_judge, encoding="utf-8")
        for path, write in reversed(written.items()):  # the user's table last: where it is, the rest is
            write_whole(path, write)
        if done.student is not None:
            done.student.save(out / STUDENT)
            written[out / STUDENT] = written[table]
        else:
            remove_saved_student(out / STUDENT)  # an earlier run's, which knows nothing of these labels
    except OSError as error:
        message = f"cannot write to the folder {out} ({error.strerror}); choose another one with --out"
        raise OutputError(message) from error
    return list(written)


def judging_table(results: LabelResults, columns: Columns) -> pd.DataFrame:
    """Return the rows to judge as they are written: without the cheap label and the student's, which would sway people.

    Columns: order, place in the file, id (where the file has ids), text, the empty column for the true label, stratum,
    weight.
    """
    import pandas as pd

    rows = results.to_judge.rows
    text, truth, name = columns.text, columns.trusted_label, columns.id or "id"
    known = [None if value is None or pd.isna(value) else results.spelling[int(value)] for value in rows["truth"]]
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


def issues_table(results: LabelResults) -> pd.DataFrame:
    """Return a row for each labelled row of the file, with the columns that cleanlab's `find_label_issues` has.

    Columns: row (place in the file, from 1), id, is_label_issue (confident learning doubts the label, and the student's
    likeliest class is another), label_quality (self-confidence: the student's probability of the given label),
    given_label, predicted_label (the student's likeliest class).
    """
    rows = results.rows[results.rows["suspicion"].notna()]
    spelled = np.array(results.spelling, dtype=object)
    several = results.num_classes > 2
    given = rows["label"].to_numpy(dtype=int) if several else (rows["label"] > 0.5).astype(int)
    student = rows["student"].to_numpy(dtype=int) if several else (rows["p"] > 0.5).astype(int)
    return pd.DataFrame(
        {
            "row": rows["row"],
            "id": rows["id"],
            "is_label_issue": rows["suspect"].astype(bool) & rows["disagrees"].astype(bool),
            "label_quality": 1 - rows["suspicion"],
            "given_label": spelled[given] if results.hard or several else rows["label"],
            "predicted_label": spelled[student],
        }
    )


def _suspects(results: LabelResults) -> pd.DataFrame:
    """Return the doubted labels; of several classes with their names."""
    if results.num_classes == 2:
        return results.suspects
    suspects, names = results.suspects, results.spelling
    named = {name: [names[int(k)] for k in suspects[name]] for name in ("label", "student", "best_label")}
    return suspects.assign(**named).rename(columns={f"best_p_{k}": f"best_p_{name}" for k, name in enumerate(names)})


def _target_name(path: str) -> str:
    """What the labelled file is called; what `save_to_disk` wrote becomes a Parquet file."""
    return f"{plain_name(path)}.parquet" if file_format(path) == "arrow" else Path(path).name


def _own_columns(columns: Columns) -> tuple[str, str, str]:
    return columns.text, columns.id or "id", columns.trusted_label


def _free_for(content: str, out: Path, truth: str) -> Path:
    """Return where the rows to judge may be written: over no file with somebody's true labels but the same one."""
    number = 1
    while True:
        path = out / (f"to_judge_{number}.csv" if number > 1 else "to_judge.csv")
        if not path.exists() or path.read_bytes() == content.encode() or not _may_hold_work(path, truth):
            return path
        number += 1


def _may_hold_work(path: Path, truth: str) -> bool:
    """Whether a file has a true label in it, or cannot be read as a list of rows to judge."""
    try:
        rows = read_rows(path, [truth, PLACE])
    except DataError:
        return True
    return any(str(row.get(truth) or "").strip() for row in rows)


def evidence_document(results: LabelResults) -> dict[str, Any]:
    """Return all that is said about student and labels, with the sentences, as JSON types; unknown numbers are null."""
    return {
        "sentences": sentences(results),
        "student": results.student,
        "voters": [_jsonable(voter) for voter in results.voters],
        "ladder": None if results.ladder is None else _ladder(results.ladder),
        "evidence": [_jsonable(part._replace(used=())) | {"verdict": part.verdict} for part in results.evidence],
        "signs": _jsonable(results.signs) | _positive_shares(results),
        "to_judge": {name: {"rows": num, "of": of} for name, (num, of) in results.to_judge.sizes.items()},
        "hard_labels": results.hard,
        "names": results.names,
        "notes": results.notes,
    }


def _positive_shares(results: LabelResults) -> dict[str, float]:
    """Return the shares of class 1 under names of their own, where there are two classes."""
    signs = results.signs
    if results.num_classes > 2:
        return {}
    return {"label_positive": signs.label_shares[1], "student_positive": signs.student_shares[1]}


def _ladder(ladder: Ladder) -> dict[str, Any]:
    """Return the ladder without what it says of each row, which the labelled file has, and of new texts."""
    kept = {name: value for name, value in ladder._asdict().items() if name not in ("log_odds", "of_text")}
    return {name: _jsonable(value) for name, value in kept.items()} | {"verdict": ladder.verdict}


def _json(document: dict[str, Any]) -> str:
    return json.dumps(document, indent=1, ensure_ascii=False, allow_nan=False)


def _values(results: LabelResults, name: str) -> list[Any]:
    """Return a value for each row; None where there is none, and for all that the student did not predict."""
    column = results.rows[name]
    nothing = column.isna() | results.rows["p"].isna()
    if name in ("best_label", "student"):
        return [
            None if missing else _spelled(results, int(value)) for value, missing in zip(column, nothing, strict=True)
        ]
    return [None if missing else value for value, missing in zip(column.tolist(), nothing.tolist(), strict=True)]


def _spelled(results: LabelResults, value: int) -> Any:
    """Return a class as the file writes it; as a number where that is what it has."""
    numbers = all(_WHOLE.fullmatch(name) for name in results.spelling)
    return int(results.spelling[value]) if numbers else results.spelling[value]


def _jsonable(value: Any) -> Any:
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if hasattr(value, "_asdict"):
        return {name: _jsonable(item) for name, item in value._asdict().items()}
    if isinstance(value, tuple):
        return [_jsonable(item) for item in value]
    return value


def check_free(path: str, names: Sequence[str], option: str) -> None:
    """Raise DataError where the table at `path` has one of these columns already. `option` names the way out."""
    taken = set(read_labelling_table(path).columns) & set(names)
    if taken:
        raise DataError(f"'{path}' has a column '{min(taken)}' already; choose other names for the new ones: {option}")


def _write_labels(source: str, new: Mapping[str, Sequence[Any]], prefix: str, columns: Columns, target: Path) -> None:
    """Write the user's file with what is said of each row: new columns, or what an annotation tool shows."""
    if file_format(source) == "jsonl":
        p = [None if value is None else max(value, 1 - value) for value in new[f"{prefix}p"]]
        parts = zip(new[f"{prefix}label"], p, new[f"{prefix}suspicion"], strict=True)
        rows = answered(read_table(source).rows, [Answer(*part) for part in parts], columns.label)
        if rows is not None:
            write_json_rows(source, rows, target)
            return
    write_with(source, new, target)


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

    if file_format(path) == "arrow":
        table = read_saved_dataset(user_path(path))
    else:
        with user_path(path).open("rb") as file:
            table = pq.read_table(file)
    for name, values in columns.items():
        table = table.append_column(name, pa.array(values))
    pq.write_table(table, target)


def _plain(value: Any) -> Any:
    """Return a value that JSON and Parquet know."""
    plain = value.item() if hasattr(value, "item") else value
    return None if isinstance(plain, float) and math.isnan(plain) else plain
