"""Tables as Markdown, and as LaTeX with booktabs. Untrusted text is escaped: it shows as it is and acts on nothing."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Literal

from outshine.engine.messages import visible
from outshine.report import tables
from outshine.report.study_section import comparison_of, controls_of, headline_of
from outshine.report.text import uncertainty, verdict
from outshine.results.training_notes import doubt, doubtful

if TYPE_CHECKING:
    from outshine.report.tables import TextTable
    from outshine.results.finished import FinishedStudy

LONG = 40  # rows from which a LaTeX table may break over pages

_MARKDOWN_ACTS = re.compile(  # formatting, links, HTML and its entities, cells, addresses; `_` within a word is none
    r"[\\`*\[\]<>|~&$@#]|(?<![^\W_])_|_(?![^\W_])|:(?=//)|(?<=www)\.|:(?!\d+:)(?=[\w+-]+:)", re.IGNORECASE
)
_MARKDOWN_LIST = re.compile(r"^(\d{0,9})([-+.)])(?=\s|$)")  # a list
_MARKDOWN_RULE = re.compile(r"^(?=(?:=+|-+)$)")  # or the line that makes a heading of the one above
_MARKDOWN_LATER = re.compile(r"\\([@$]|#(?=\w)|:(?!//))")  # hubs look for these when escapes are gone

_LATEX = {
    **{letter: f"\\{letter}" for letter in "&%$#_{}"},
    "\\": r"\textbackslash{}",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "<": r"\textless{}",
    ">": r"\textgreater{}",
    "|": r"\textbar{}",
    "`": r"\textasciigrave{}",
    "'": r"\textquotesingle{}",
    '"': r"\symbol{34}",
    **{letter: f"{{{letter}}}" for letter in "[]*-"},  # no option, star or dash of a command before it
    "−": "$-$",
    "±": r"$\pm$",
    "∞": r"$\infty$",
    "→": r"$\to$",
    "×": r"$\times$",
    "≤": r"$\leq$",
    "Σ": r"$\Sigma$",
    "½": r"$\frac{1}{2}$",
    "–": "--",
    "…": r"\ldots{}",
    "“": "``",
    "”": "''",
}

_MINUS = re.compile(r"(?<![\w)-])-(?=[\d.∞])")  # of a negative number, which LaTeX would set as a hyphen

Form = Literal["md", "latex"]
Part = tuple[str, str, "list[TextTable]"]
"""A study: its name, its answer, its tables."""


def tables_text(several: Sequence[FinishedStudy], form: Form) -> str:
    """The tables of finished studies, with the answer in words before them, as one Markdown or LaTeX file."""
    write = markdown if form == "md" else latex
    return write(
        [(finished.resolution.study.name, _answer(finished), list(_page_tables(finished))) for finished in several]
    )


def markdown(parts: Sequence[Part]) -> str:
    """GitHub's tables; columns of numbers are aligned to the right."""
    blocks = []
    for name, answer, text_tables in parts:
        blocks += [f"## {escape_markdown(name)}", escape_markdown(answer)]
        for text_table in text_tables:
            blocks.append(f"**{escape_markdown(text_table.title)}**")
            blocks.append(markdown_table(text_table.columns, text_table.rows, text_table.right, escape_markdown))
    return "\n\n".join(blocks) + "\n"


def markdown_table(
    columns: Sequence[str], rows: Sequence[Sequence[str]], right: Sequence[str], escape: Callable[[str], str]
) -> str:
    """A table whose cells are escaped by `escape`; `right`: columns that hold numbers."""
    alignment = ["---:" if column in right else "---" for column in columns]
    head, *body = ([escape(cell) for cell in cells] for cells in (columns, *rows))
    return "\n".join(f"| {' | '.join(cells)} |" for cells in (head, alignment, *body))


def escape_markdown(text: str) -> str:
    """One line of text that Markdown shows as it is, in a cell too.

    Mail addresses, mentions, formulas and emoji names are found by hubs after escapes are read: a `<span>` around their
    sign keeps them apart.
    """
    escaped = _MARKDOWN_ACTS.sub(lambda match: f"\\{match[0]}", " ".join(visible(text).split()))
    escaped = _MARKDOWN_RULE.sub(r"\\", _MARKDOWN_LIST.sub(r"\1\\\2", escaped))
    return _MARKDOWN_LATER.sub(lambda match: f"<span>{match[0]}</span>", escaped)


def latex(parts: Sequence[Part]) -> str:
    """Tables with booktabs' rules; those of more than LONG rows are longtables."""
    lines = ["% Needs \\usepackage{booktabs,longtable,textcomp}; XeLaTeX or LuaLaTeX where names are not ASCII.", ""]
    for name, answer, text_tables in parts:
        lines += [f"\\section*{{{_tex(name)}}}", _tex(answer), ""]
        for text_table in text_tables:
            lines += [*(_longtable(text_table) if len(text_table.rows) > LONG else _table(text_table)), ""]
    return "\n".join(lines)


def _table(text_table: TextTable) -> list[str]:
    head, *body = _tex_rows(text_table)
    return [
        "\\begin{table}",
        "\\centering\\footnotesize",
        f"\\caption{{{_tex(text_table.title)}}}",
        f"\\begin{{tabular}}{{{_columns(text_table)}}}",
        *("\\toprule", head, "\\midrule", *body, "\\bottomrule"),
        "\\end{tabular}",
        "\\end{table}",
    ]


def _longtable(text_table: TextTable) -> list[str]:
    head, *body = _tex_rows(text_table)
    return [
        "{\\footnotesize",
        f"\\begin{{longtable}}{{{_columns(text_table)}}}",
        f"\\caption{{{_tex(text_table.title)}}}\\\\",
        *("\\toprule", head, "\\midrule", "\\endfirsthead"),
        *("\\toprule", head, "\\midrule", "\\endhead", "\\bottomrule", "\\endlastfoot"),
        *body,
        "\\end{longtable}}",
    ]


def _columns(text_table: TextTable) -> str:
    return "".join("r" if column in text_table.right else "l" for column in text_table.columns)


def _tex_rows(text_table: TextTable) -> Iterator[str]:
    for cells in (text_table.columns, *text_table.rows):
        yield " & ".join(_tex(cell) for cell in cells) + " \\\\"


def _tex(text: str) -> str:
    """One line of text that LaTeX sets as it is."""
    return "".join(_LATEX.get(letter, letter) for letter in _MINUS.sub("−", " ".join(visible(text).split())))


def _answer(finished: FinishedStudy) -> str:
    student = headline_of(finished)
    notes = finished.results.training_notes
    untrained = doubtful(notes, student.contender, ("student", "ceiling"))
    doubted = doubt(notes, student.contender, student.rows["dataset"].tolist())
    sentences = [verdict(student.pooled, student.rows, untrained), doubted, *uncertainty(student.pooled, student.rows)]
    return " ".join(sentence for sentence in sentences if sentence)


def _page_tables(finished: FinishedStudy) -> Iterator[TextTable]:
    """The tables of the page, in its order."""
    results, loss = finished.results, finished.resolution.study.loss.kind
    methods = results.summary[results.summary["purpose"] == "method"]
    if len(results.pooled) > 1:
        yield tables.pooled_table(results.pooled, methods)
        yield tables.gains(methods, loss).table
    yield tables.results_table(methods)
    if len(results.tests):
        yield tables.tests_table(results.tests)
    if len(results.metrics):
        yield tables.metrics_table(results.metrics)
    if len(results.failed):
        yield tables.failed_table(results.failed)
    if rounds := tables.rounds_table(results.scores):
        yield rounds
    compared = comparison_of(results, finished.resolution.study.better_than)
    if compared and not compared["reason"]:
        yield from compared["tables"]
    controls = controls_of(results, loss)
    if controls:
        yield from (table for table in (controls["table"], controls["selection"]) if table)
    yield tables.diagnostics_table(results.diagnostics)
