"""`--json`: one JSON document on standard output in place of text.

Every command that prints a result offers it. A command that lists things prints a list, any other an object. Nothing
else reaches standard output; progress, notes and errors go to standard error, and exit codes stay what they are.

    def command(…, as_json: JsonOption = False) -> None:
        found = …
        if as_json:
            print_json({"name": found.name, "rows": found.frame})
            return
"""

from __future__ import annotations

import json
import math
import sys
from collections.abc import Mapping
from datetime import date
from pathlib import PurePath
from typing import Annotated, Any

import typer

JsonOption = Annotated[bool, typer.Option("--json", help="Print one JSON document in place of text.")]


def print_json(document: Any) -> None:
    """Print a document on standard output. Characters that a terminal would obey are JSON's own escapes."""
    typer.echo(json_text(document, indent=1))


def json_text(document: Any, indent: int) -> str:
    """JSON for the terminal: letters as they are where standard output can have them, what is not seen as escapes."""
    from outshine.engine.messages import visible_json

    document = as_json(document)
    text = json.dumps(document, ensure_ascii=False, indent=indent, allow_nan=False)
    try:
        text.encode(getattr(sys.stdout, "encoding", None) or "utf-8", errors="surrogatepass")
    except UnicodeEncodeError:
        return json.dumps(document, indent=indent, allow_nan=False)
    return visible_json(text)


def as_json(value: Any) -> Any:
    """A value as JSON types.

    A named tuple, a mapping or settings become an object, a table a list of objects, one a row; a number that is not
    finite becomes null, a date its ISO form. Raises TypeError for anything that is none of these.
    """
    if value is None or isinstance(value, bool | int | str):
        return value
    if isinstance(value, float):
        return float(value) if math.isfinite(value) else None
    if isinstance(value, Mapping):
        return {str(name): as_json(item) for name, item in value.items()}
    if isinstance(value, tuple) and hasattr(value, "_asdict"):
        return as_json(value._asdict())  # pyright: ignore[reportAttributeAccessIssue]
    if isinstance(value, set | frozenset):
        return sorted(as_json(item) for item in value)
    if isinstance(value, list | tuple):
        return [as_json(item) for item in value]
    if isinstance(value, PurePath):
        return str(value)
    if isinstance(value, date):
        return value.isoformat()
    return _of_library(value)


def _of_library(value: Any) -> Any:
    """Settings, tables, arrays and numbers of pydantic, pandas and numpy, told by what they offer."""
    if hasattr(value, "model_dump"):
        return as_json(value.model_dump(mode="json"))
    if hasattr(value, "iterrows"):
        return as_json(value.to_dict(orient="records"))
    if hasattr(value, "tolist"):  # arrays, and numpy's single numbers
        return as_json(value.tolist())
    raise TypeError(f"{type(value).__name__} has no form in JSON")
