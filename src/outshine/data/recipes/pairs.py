"""The user's own file of preferences: two texts a row, perhaps with a prompt, of which one is the better one."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, ClassVar

from pydantic import Field

from outshine.data.label_spellings import is_missing, text_form, token_of
from outshine.data.rows import ListRows, Pools, Row
from outshine.data.schema import Draw, Example, Recipe, recipes
from outshine.data.task import Pairwise, Task
from outshine.data.user_datasets import PAIRS_KIND, file_sha256, has_value, plain_id
from outshine.data.user_tables import plain_name, read_table, refuse_repeated
from outshine.engine.errors import DataError
from outshine.engine.files import absolute_path
from outshine.engine.messages import counted
from outshine.engine.settings import NotInKey

FIRST = frozenset(("a", "model_a", "first", "left", "chosen", "response_a", "answer_a"))
SECOND = frozenset(("b", "model_b", "second", "right", "rejected", "response_b", "answer_b"))
TIE = frozenset(("tie", "ties", "equal", "same", "both", "neither", "draw", "tie (bothbad)"))


@recipes.register(PAIRS_KIND)
class PairsDataset(Recipe):
    """Rows of two texts, each after the row's prompt where there is one.

    The label says which is the better one: `a` or `b` (also model_a, first, left …), 1 or 0, or a probability that `a`
    is; one half and `tie` are ties. Where `label_column` is null the first text is always the better one, as in files
    with the columns chosen and rejected; which of the two is shown as `a` is then drawn. Ties and rows without a label
    are left out and counted. Rows with one prompt, or one `group`, stay in one split.
    """

    title: ClassVar[str] = "a file of preferences of your own"
    positive_means: ClassVar[str] = "the first text is the better one"
    task: ClassVar[Task] = Pairwise()

    path: Annotated[str, NotInKey()]
    test_path: Annotated[str | None, NotInKey()] = None
    a_column: str = Field(default="a", description="the column with the first text")
    b_column: str = Field(default="b", description="the column with the second text")
    label_column: str | None = Field(
        default="label", description="the column that says which is better; null: the first always is"
    )
    prompt_column: str | None = Field(default="prompt", description="what both answer, where there is such a column")
    id_column: str = Field(default="id", description="a row's identity, where there is such a column")
    group_column: str = Field(
        default="group", description="what rows share that stay in one split, where there is such a column"
    )

    @property
    def name(self) -> str:
        """The file's name without folder and ending."""
        return plain_name(self.path)

    @property
    def label_is_drawn(self) -> bool:
        """Whether which text is shown first is drawn, because the file always has the better one first."""
        return self.label_column is None

    def located(self) -> PairsDataset:
        paths = {name: getattr(self, name) for name in ("path", "test_path")}
        return self.model_copy(update={name: str(absolute_path(path)) for name, path in paths.items() if path})

    def identify(self) -> str:
        """`sha256:<digest>` of the file's bytes, and that of the test file after a `+`."""
        return "sha256:" + "+".join(file_sha256(path) for path in (self.path, self.test_path) if path)

    def open(self, identity: str) -> Pools:
        """The rows that have a label. Raises DataError for unusable files and those changed since."""
        if self.identify() != identity:
            raise DataError(f"'{self.path}' or its test file has changed while it was in use; run again")
        sides, notes, seen = [], [], {}
        for path in filter(None, (self.path, self.test_path)):
            rows = self._read(path, seen)
            kept = [row for row in rows if row[_LABEL] is not None]
            if not kept:
                raise DataError(f"no row of '{path}' says which text is the better one in '{self.label_column}'")
            sides.append(ListRows(kept))
            if len(kept) < len(rows):
                notes.append(
                    f"{counted(len(rows) - len(kept), 'row')} of '{path}' left out: a tie, or without a label."
                )
        return Pools(sides[0], sides[1] if len(sides) > 1 else None, notes=tuple(notes))

    def format(self, row: Row, draw: Draw) -> Example | None:
        first, second = row.get(self.a_column) or "", row.get(self.b_column) or ""
        is_first = bool(row[_LABEL])
        if self.label_is_drawn and not draw.coin():
            first, second, is_first = second, first, False
        prompt = str(row.get(self.prompt_column) or "") if self.prompt_column else ""
        texts = [f"{prompt}\n\n{text}" if prompt.strip() else text for text in (first, second)]
        group, identity = row.get(self.group_column), row.get(self.id_column)
        return Example(
            text=texts[0],
            label=is_first,
            group=str(group) if has_value(group) else None,
            shorten=prompt.strip(),
            id=plain_id(identity, row[_WHERE]) if has_value(identity) else None,
            shared=(prompt,) if prompt.strip() else (),
            text_b=texts[1],
            shorten_b=prompt.strip(),
        )

    def _read(self, path: str, seen: dict[str, str]) -> list[dict[str, Any]]:
        """The rows with their places and labels; `seen`: ids of earlier files, to which these are added."""
        needed = {self.a_column: "--pair", self.b_column: "--pair"}
        if self.label_column is not None:
            needed[self.label_column] = "--label"
        if self.prompt_column not in (None, "prompt"):
            needed[str(self.prompt_column)] = "--text"
        table = read_table(path, needed)
        refuse_repeated(path, table, (self.id_column, self.group_column))
        rows = []
        for number, row in enumerate(table.rows, start=1):
            where = f"row {number} of '{path}'"
            for column in (self.a_column, self.b_column):
                if not (row.get(column) is None or isinstance(row[column], str)):
                    raise DataError(f"'{column}' of {where} is {row[column]!r}, not text")
            if has_value(row.get(self.id_column)):
                name = plain_id(row[self.id_column], where)
                if name in seen:
                    raise DataError(f"{where} has the id {name!r}, so has {seen[name]}; ids must be unique")
                seen[name] = where
            label = True if self.label_column is None else preferred(row.get(self.label_column), where)
            rows.append({**row, _WHERE: where, _LABEL: label})
        return rows


def preferred(value: Any, where: str) -> bool | None:
    """Whether a label says that the first text is the better one; None: a tie, or no label. Raises DataError."""
    token = token_of(value)
    if token is None or token in TIE or is_missing(value):
        return None
    if token in FIRST or token in SECOND:
        return token in FIRST
    if isinstance(token, float) and 0 <= token <= 1:
        return None if token == 0.5 else token > 0.5
    raise DataError(
        f"{where} has the label {text_form(token)!r}; expected a or b, 1 (a is better) or 0, a probability that a is "
        "better, or tie"
    )


_WHERE, _LABEL = "\0where", "\0label"  # keys that no column can be called


def pairs_from_path(path: str | Path, a_column: str, b_column: str) -> PairsDataset:
    """The pairs in two columns of a file; where they are chosen and rejected no other column says which is better."""
    if (a_column.lower(), b_column.lower()) == ("rejected", "chosen"):  # which is shown first is drawn anyhow
        a_column, b_column = b_column, a_column
    always_first = (a_column.lower(), b_column.lower()) == ("chosen", "rejected")
    return PairsDataset(
        path=str(path), a_column=a_column, b_column=b_column, label_column=None if always_first else "label"
    )
