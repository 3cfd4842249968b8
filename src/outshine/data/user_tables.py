"""A user's table on disk (CSV dialects, JSON lines, Parquet, Arrow): reading and writing it, checks of its columns."""

from __future__ import annotations

import csv
import difflib
import gzip
import io
import json
import re
import zlib
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, NoReturn

import pandas as pd

from outshine.data.label_spellings import reads_as_label
from outshine.data.rows import Row
from outshine.engine.errors import DataError
from outshine.engine.files import user_path

if TYPE_CHECKING:
    import pyarrow as pa

FORMATS = {
    ".jsonl": "jsonl",
    ".ndjson": "jsonl",
    ".json": "jsonl",
    ".csv": "csv",
    ".tsv": "csv",
    ".txt": "csv",
    ".parquet": "parquet",
}
SAVED_DATASET = "state.json"  # in a folder that save_to_disk of the datasets library wrote, one for each split
GZIP = ".gz"  # behind the ending of a text
SEPARATORS = (",", ";", "\t", "|")  # in the order in which they are tried; of a .tsv file the tab first

_SAMPLE = 65_536  # characters of a CSV by which its separator is found
_MOST_SHARE_OF_ACCENTS = 0.15  # of the letters of a western European text; other scripts in one byte have far more
_SHOWN = 40  # characters of a name in a message
_LOOKED_AT = 200  # rows by which a column is guessed
_LINE_END = re.compile("[\r\n]")


class CsvForm(NamedTuple):
    """How a CSV is written, so that it can be written so again.

    `sep_line`: its first line names the separator. `quoted`: quotation marks hold cells together; else they are text.
    """

    separator: str = ","
    encoding: str = "utf-8"
    line_end: str = "\n"
    sep_line: bool = False
    zipped: bool = False
    quoted: bool = True


class CsvTable(NamedTuple):
    """The texts of a CSV. `header`: as it stands there, empty and equal names too. `frame`: columns 0, 1, 2, …"""

    header: list[str]
    frame: pd.DataFrame
    form: CsvForm
    notes: list[str]


class Table(NamedTuple):
    """A user's rows, plain values by column name, and what a reader should know about how they were read.

    `columns`: the names as the file has them. `repeated`: those that it has twice; a row holds one of their values.
    """

    rows: list[Row]
    columns: list[str]
    repeated: frozenset[str]
    notes: list[str]


def file_format(path: str | Path) -> str | None:
    """`jsonl`, `csv` or `parquet` by the ending of a name, in either case; None: it is no data file's.

    `arrow`: a folder that `Dataset.save_to_disk` of the datasets library wrote.
    """
    if (user_path(path) / SAVED_DATASET).is_file():
        return "arrow"
    return FORMATS.get(_ending(path)[0])


def saved_files(folder: Path) -> list[Path]:
    """The Arrow files of a folder that `save_to_disk` wrote, in their order. Raises DataError where one is missing."""
    try:
        state = json.loads((folder / SAVED_DATASET).read_text(encoding="utf-8"))
        files = [folder / Path(str(part["filename"])).name for part in state["_data_files"]]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise DataError(f"'{folder}' is no whole folder of save_to_disk: {SAVED_DATASET} cannot be read") from error
    lacking = [file.name for file in files if not file.is_file()]
    if lacking or not files:
        raise DataError(f"'{folder}' is no whole folder of save_to_disk: {', '.join(lacking) or 'data'} is missing")
    return files


def plain_name(path: str | Path) -> str:
    """A data file's name without folder and ending."""
    if file_format(path) == "arrow":
        return user_path(path).resolve().name
    ending, zipped = _ending(path)
    return Path(path).name[: -len(ending) - len(GZIP) * zipped or None]


def endings() -> str:
    """The endings that a data file may have, for messages."""
    return f"{', '.join(FORMATS)}; texts also with {GZIP} behind it"


def read_table(path: str | Path, needed: Mapping[str, str] | Sequence[str] = ()) -> Table:
    """The rows of a data file. `needed`: columns that must be there, each with the option that names it, or "".

    Raises DataError where the file cannot be read or is empty, where a line is no JSON object, and where a needed
    column is missing or there twice.
    """
    path = user_path(path)
    kind = _known_format(path)
    read = {"jsonl": _read_jsonl, "csv": _read_csv, "parquet": _read_parquet, "arrow": _read_arrow}[kind]
    try:
        table = read(path)
    except OSError as error:
        raise DataError(f"cannot read '{path}': {error.strerror or error}") from error
    if not table.rows:
        raise DataError(f"'{path}' has no rows")
    options = needed if isinstance(needed, Mapping) else dict.fromkeys(needed, "")
    check_columns(f"'{path}'", table.rows, options, table.columns)
    refuse_repeated(path, table, options)
    return table


def check_columns(what: str, rows: Sequence[Row], needed: Mapping[str, str], columns: Sequence[str] = ()) -> None:
    """Raises DataError where one of these columns, each with its option, is missing; with the nearest that are there.

    `what`: the source's name. `columns`: those that it has; left out: those of the rows.
    """
    has = list(dict.fromkeys(columns or [name for row in rows for name in row]))
    missing = {name: option for name, option in needed.items() if name not in has}
    if not missing:
        return
    message = f"{what} has no column {' or '.join(map(repr, missing))}; it has: {', '.join(map(_cut, has))}"
    options = {name: option for name, option in missing.items() if option}
    if not options:
        raise DataError(message)
    free = [name for name in has if name and name not in needed]
    guesses: dict[str, str] = {}
    for name, option in options.items():
        guess = _nearest_column(name, free) or (
            _by_content(rows[:_LOOKED_AT], free, option) if option in _CONTENT else None
        )
        if guess is not None:
            guesses[name] = guess
            free.remove(guess)
    typed = []
    for option in dict.fromkeys(options.values()):
        names = [name for name, own in needed.items() if own == option]
        given = ["COLUMN" if name in missing and name not in guesses else guesses.get(name, name) for name in names]
        if len(names) == 1 or option in _LISTS:  # else each name is that of a class behind what was typed
            typed.append(f"{option} {','.join(map(quoted, given))}")
    if not typed:
        raise DataError(message)
    typed = " ".join(typed)
    if len(guesses) == len(options):
        raise DataError(f"{message}; did you mean {typed}?")
    raise DataError(f"{message}; say which column it is: {typed}")


def refuse_without_labels(path: str | Path, text: str | None) -> NoReturn:
    """Raises DataError that says which columns there are, one of which must be named as that of the labels."""
    table = read_table(path)
    has = [name for name in dict.fromkeys(table.columns) if name != (text or "text")]
    guess = _by_content(table.rows[:_LOOKED_AT], [name for name in has if name], "--label")
    message = f"say which column of '{path}' holds the labels: --label COLUMN; it has: {', '.join(map(_cut, has))}"
    raise DataError(f"{message}; did you mean --label {quoted(guess)}?" if guess is not None else message)


def refuse_repeated(path: str | Path, table: Table, names: Iterable[str]) -> None:
    """Raises DataError where one of these columns is there twice."""
    if twice := sorted(table.repeated & set(names)):
        raise DataError(f"'{path}' has two columns '{twice[0]}': which is meant? Rename one of them")


def read_rows(path: str | Path, needed: Mapping[str, str] | Sequence[str] = ()) -> list[Row]:
    """The rows of `read_table` alone."""
    return read_table(path, needed).rows


def read_csv_table(path: Path) -> CsvTable:
    """The cells of a CSV as texts. Raises DataError where it is none, OSError where it cannot be read."""
    text, encoding, notes = _text(path)
    ending, zipped = _ending(path)
    sep_line = re.match(r"sep=(.)\r?\n", text, re.IGNORECASE)
    body = text[sep_line.end() :] if sep_line else text
    separator = sep_line[1] if sep_line else _separator(body, ("\t", *SEPARATORS) if ending == ".tsv" else SEPARATORS)
    line_end = re.search(r"\r\n|\n|\r", text)
    cells, quoted = _cells(path, body, separator)
    form = CsvForm(separator, encoding, line_end[0] if line_end else "\n", sep_line is not None, zipped, quoted)
    header, rows = (cells[0], cells[1:]) if cells else ([], [])
    short = [number for number, row in enumerate(rows, start=1) if len(row) < len(header)]
    if short:
        notes = [*notes, _note_on_short(short)]
    whole = [row + [""] * (len(header) - len(row)) for row in rows]
    return CsvTable(header, pd.DataFrame(whole, columns=pd.RangeIndex(len(header)), dtype=object), form, notes)


def write_csv_table(table: CsvTable, target: Path) -> None:
    """Write the cells in the form that `table` names; in UTF-8 where its encoding has no letters for them."""
    form = table.form
    rows = [table.header, *table.frame.itertuples(index=False, name=None)]
    lines = [form.separator.join(_written(cell, form) for cell in row) + form.line_end for row in rows]
    text = "".join([f"sep={form.separator}{form.line_end}"] * form.sep_line + lines)
    try:
        data = text.encode(form.encoding)
    except UnicodeEncodeError:
        data = text.encode("utf-8-sig")
    target.write_bytes(gzip.compress(data, mtime=0) if form.zipped else data)


def write_json_rows(path: str | Path, rows: Sequence[Row], target: Path) -> None:
    """Write rows in the form of the JSON file at `path`: one list where that is one, else a line each; in UTF-8."""
    if _is_list(Path(path), _text(user_path(path))[0]):
        text = json.dumps(rows, ensure_ascii=False, indent=1)
    else:
        text = "".join(f"{json.dumps(row, ensure_ascii=False)}\n" for row in rows)
    data = text.encode()
    target.write_bytes(gzip.compress(data, mtime=0) if _ending(path)[1] else data)


def quoted(name: str) -> str:
    """A name or value as one types it on a command line."""
    return name if re.fullmatch(r"[\w.,:/+-]+", name) else json.dumps(name, ensure_ascii=False)


def _ending(path: str | Path) -> tuple[str, bool]:
    """The ending that tells the format, in small letters, and whether the file is zipped."""
    suffixes = [suffix.lower() for suffix in Path(path).suffixes]
    if len(suffixes) > 1 and suffixes[-1] == GZIP and FORMATS.get(suffixes[-2]) in ("csv", "jsonl"):
        return suffixes[-2], True
    return (suffixes or [""])[-1], False


def _known_format(path: Path) -> str:
    if (kind := file_format(path)) is not None:
        return kind
    raise DataError(f"'{path}' is none of {endings()}; convert it, one row per example")


# --- text ---------------------------------------------------------------------------------------------------------


def _text(path: Path) -> tuple[str, str, list[str]]:
    """The text of a file, the encoding that writes it so again, and notes."""
    data = path.read_bytes()
    if _ending(path)[1]:
        try:
            data = gzip.decompress(data)
        except (OSError, EOFError, zlib.error) as error:
            raise DataError(f"'{path}' is no readable gzip file: {error}") from error
    encoding = _encoding_by_mark(data)
    try:
        return data.decode(encoding), encoding, []
    except UnicodeDecodeError as error:
        western = _western(data) if encoding == "utf-8" else None
        if western is not None:
            note = "it is not UTF-8 and was read as Windows-1252 (Western European): see whether its accents are right"
            return western, "cp1252", [note]
        name = "UTF-8" if encoding.startswith("utf-8") else encoding.upper()
        message = f"'{path}' is not {name} text ({error.reason} at byte {error.start}); save it as UTF-8"
        raise DataError(message) from error


def _encoding_by_mark(data: bytes) -> str:
    """The encoding that the byte order mark names; UTF-8 where there is none."""
    for mark, encoding in (
        (b"\xef\xbb\xbf", "utf-8-sig"),
        (b"\xff\xfe\0\0", "utf-32"),
        (b"\0\0\xfe\xff", "utf-32"),
        (b"\xff\xfe", "utf-16"),
        (b"\xfe\xff", "utf-16"),
    ):
        if data.startswith(mark):
            return encoding
    return "utf-8"


def _western(data: bytes) -> str | None:
    """The text in Windows-1252, of which Latin-1 is the part in use; None where it looks like another script."""
    try:
        text = data.decode("cp1252")
    except UnicodeDecodeError:
        return None
    letters = sum(character.isalpha() for character in text)
    accents = sum(character.isalpha() and not character.isascii() for character in text)
    odd = sum(not character.isascii() and not character.isalpha() for character in text)
    return text if "\0" not in text and max(accents, odd) <= _MOST_SHARE_OF_ACCENTS * max(letters, 1) else None


# --- CSV ----------------------------------------------------------------------------------------------------------


def _separator(text: str, candidates: Sequence[str]) -> str:
    """The first that gives all rows of the beginning as many fields as the header has, and two or more."""
    sample = text[:_SAMPLE]
    for separator in candidates:
        try:
            rows = [row for row in csv.reader(io.StringIO(sample, newline=""), delimiter=separator) if row]
        except csv.Error:
            continue
        whole = rows[:-1] if len(sample) < len(text) else rows  # the last may have been cut off
        if whole and len(whole[0]) > 1 and all(len(row) == len(whole[0]) for row in whole):
            return separator
    first = sample.partition("\n")[0]
    return max(candidates, key=first.count)  # no table at all: errors are those of reading it with this one


def _cells(path: Path, text: str, separator: str) -> tuple[list[list[str]], bool]:
    """The rows with the header, without blank lines, and whether quotation marks hold cells together.

    In a table separated by tabs they are text where they would tear lines that are whole without. Raises DataError for
    a row with more cells than the header, and where a quotation mark swallows the end of a row.
    """
    fault = ""
    try:
        rows = _parsed(text, separator, strict=True)
    except csv.Error as error:
        rows, fault = _parsed(text, separator), str(error)
    if separator == "\t" and '"' in text:
        lines = _parsed(text, separator, quoting=csv.QUOTE_NONE)
        if (fault or len(lines) != len(rows)) and len({len(line) for line in lines}) == 1:
            return lines, False
    torn = [number for number, row in enumerate(rows, start=1) if fault and any(map(_LINE_END.search, row))]
    if torn or "end of data" in fault:
        raise DataError(
            f"'{path}' is no well-formed CSV: a quotation mark in row {torn[0] if torn else len(rows)} joins it with "
            'the next; within a text in quotes each one is doubled (""), and the last one ends it'
        )
    for number, row in enumerate(rows, start=1):
        if len(row) > len(rows[0]):
            name = {",": "commas", ";": "semicolons", "\t": "tabs"}.get(separator, f"'{separator}'")
            raise DataError(
                f"'{path}' is no well-formed CSV: read as separated by {name}, row {number} has {len(row)} fields and "
                f"the rows before {len(rows[0])}; a text that holds the separator must stand in quotes, and quotation "
                'marks in it be doubled ("")'
            )
    return rows, True


def _parsed(text: str, separator: str, *, strict: bool = False, quoting: int = csv.QUOTE_MINIMAL) -> list[list[str]]:
    limit = csv.field_size_limit(len(text) + 1)
    try:
        rows = list(
            csv.reader(io.StringIO(text, newline=""), delimiter=separator, strict=strict, quoting=quoting)  # pyright: ignore[reportArgumentType] -- one of the csv module's numbers
        )
    finally:
        csv.field_size_limit(limit)
    return [row for row in rows if row and not (len(row) == 1 and row[0].isspace())]


def _note_on_short(short: Sequence[int]) -> str:
    what = f"row {short[0]} has" if len(short) == 1 else f"{len(short):,} rows, the first of them row {short[0]}, have"
    return (
        f"{what} fewer fields than the header, and the others were taken as empty; a text with a line break in it must "
        "stand in quotes, or it becomes two rows"
    )


def _written(cell: Any, form: CsvForm) -> str:
    text = "" if cell is None or cell != cell else str(cell)
    if not form.quoted or not (form.separator in text or '"' in text or _LINE_END.search(text)):
        return text
    return '"{}"'.format(text.replace('"', '""'))


def _read_csv(path: Path) -> Table:
    table = read_csv_table(path)
    first = {name: place for place, name in reversed([*enumerate(table.header)])}
    rows = table.frame[list(first.values())].set_axis(list(first), axis=1).to_dict("records") if first else []
    repeated = _repeated(table.header)
    return Table(rows, table.header, repeated, [*table.notes, *_notes_on(repeated)])  # pyright: ignore[reportArgumentType] -- column names are text here


# --- JSON and Parquet ---------------------------------------------------------------------------------------------


def _read_jsonl(path: Path) -> Table:
    text, _, notes = _text(path)
    repeated: set[str] = set()

    def once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        row = dict(pairs)
        if len(row) < len(pairs):
            repeated.update(_repeated(name for name, _ in pairs))
        return row

    def parsed(part: str, where: str) -> Any:
        try:
            value = json.loads(part, object_pairs_hook=once)
            json.dumps(value, ensure_ascii=False).encode()
        except UnicodeEncodeError:
            raise DataError(f"{where} of '{path}' holds half a surrogate pair; mend it") from None
        except (ValueError, RecursionError) as error:
            raise DataError(f"{where} of '{path}' is no JSON: {error}") from error
        return value

    if _is_list(path, text):
        items = [(f"item {number}", item) for number, item in enumerate(parsed(text, "the list"), start=1)]
    else:
        lines = enumerate(io.StringIO(text, newline=None), start=1)
        items = [(f"line {number}", parsed(line, f"line {number}")) for number, line in lines if line.strip()]
    for where, item in items:
        if not isinstance(item, dict):
            raise DataError(f"{where} of '{path}' is no JSON object with columns: {json.dumps(item)[:60]}")
    rows = [item for _, item in items]
    columns = list(dict.fromkeys(name for row in rows for name in row))
    return Table(rows, columns, frozenset(repeated), [*notes, *_notes_on(repeated)])


def _is_list(path: Path, text: str) -> bool:
    return _ending(path)[0] == ".json" and text.lstrip().startswith("[")


def _read_arrow(folder: Path) -> Table:
    import pyarrow as pa

    try:
        table = read_saved_dataset(folder)
        rows = table.to_pylist()
    except (pa.ArrowException, ValueError, OverflowError) as error:
        raise DataError(f"'{folder}' holds no readable Arrow data: {error}") from error
    return Table(rows, table.column_names, frozenset(), [])


def read_saved_dataset(folder: Path) -> pa.Table:
    """The table in a folder that `save_to_disk` wrote; numbers of classes (`ClassLabel`) as their names.

    Raises DataError, and pyarrow's errors.
    """
    import pyarrow as pa

    parts = []
    for file in saved_files(folder):
        with file.open("rb") as stream, pa.ipc.open_stream(stream) as reader:
            parts.append(reader.read_all())
    table = pa.concat_tables(parts)
    try:
        features = json.loads((folder / "dataset_info.json").read_text(encoding="utf-8")).get("features") or {}
    except (OSError, ValueError):
        features = {}
    for number, name in enumerate(table.column_names):
        names = features.get(name, {}).get("names") if isinstance(features.get(name), dict) else None
        if isinstance(names, list) and pa.types.is_integer(table.column(name).type):
            known = dict(enumerate(map(str, names)))  # -1 stands for no label
            values = pa.array([known.get(value) for value in table.column(name).to_pylist()], pa.string())
            table = table.set_column(number, name, values)
    return table


def _read_parquet(path: Path) -> Table:
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        with path.open("rb") as file:  # a name that looks like an address is a file all the same
            table = pq.read_table(file)
        rows = table.to_pylist()
    except UnicodeDecodeError as error:
        raise DataError(f"'{path}' is not UTF-8 text ({error.reason} at byte {error.start}); convert it") from error
    except (pa.ArrowException, ValueError, OverflowError) as error:  # the latter two: dates beyond Python's
        raise DataError(f"'{path}' is no readable Parquet file: {error}") from error
    repeated = _repeated(table.column_names)
    return Table(rows, table.column_names, repeated, _notes_on(repeated))


# --- columns ------------------------------------------------------------------------------------------------------


def _repeated(names: Iterable[str]) -> frozenset[str]:
    return frozenset(name for name, count in Counter(names).items() if count > 1)


def _notes_on(repeated: Iterable[str]) -> list[str]:
    names = ", ".join(f"'{name}'" for name in sorted(repeated))
    return [f"two columns have the same name and are not used: {names}"] if names else []


def _cut(name: str) -> str:
    return name if len(name) <= _SHOWN else f"{name[:_SHOWN]}…"


def _nearest_column(name: str, columns: Sequence[str]) -> str | None:
    """The column that differs in case and blanks alone, else the nearest."""
    plain = {column.strip().casefold(): column for column in reversed(columns)}
    close = difflib.get_close_matches(name.strip().casefold(), plain, n=1, cutoff=0.75)
    return plain[close[0]] if close else None


_CONTENT = ("--text", "--label")
_LISTS = ("--pair", "--votes")  # options that take several columns, comma-separated
_LABEL_NAMES = re.compile(r"label|class|target|sent|gold|truth|answer|rating|score|toxic|spam|y$", re.IGNORECASE)


def _by_content(rows: Sequence[Row], columns: Sequence[str], option: str) -> str | None:
    """The column of the longest texts; or one whose values read as labels, rather one that is called like that."""
    values = {name: [row[name] for row in rows if row.get(name) not in (None, "")] for name in columns}
    if option == "--text":
        lengths = {
            name: sum(map(len, cells)) / len(cells)
            for name, cells in values.items()
            if cells and all(isinstance(value, str) for value in cells)
        }
        best = max(lengths, key=lambda name: lengths[name], default=None)
        return best if best is not None and lengths[best] > 8 and not _all_labels(values[best]) else None
    named = [name for name in columns if _LABEL_NAMES.search(name)]
    for name in [*named, *columns]:
        if _all_labels(values[name]):
            return name
    few = [name for name in named if len({str(value) for value in values[name]}) in range(2, 21)]
    return few[0] if few else None


def _all_labels(values: Sequence[Any]) -> bool:
    return bool(values) and all(map(reads_as_label, values)) and len(set(map(str, values))) < 21
