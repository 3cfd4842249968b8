"""The tables of studies for papers: Markdown, and LaTeX with booktabs. Names are escaped, so that they show as text."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Literal

from outshine.engine.messages import visible
from outshine.report import markdown as markup
from outshine.report import tables as sheets
from outshine.report.headline_student import reference_of
from outshine.report.study_section import comparison_of, controls_of
from outshine.report.text import uncertainty, verdict
from outshine.results.training_notes import doubt, doubtful

if TYPE_CHECKING:
    from outshine.report.tables import TextTable
    from outshine.results.finished import Finished

LONG = 40  # rows from which a LaTeX table may break over pages

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


def tables_text(several: Sequence[Finished], form: Form) -> str:
    """The tables of finished studies, with the answer in words before them, as one Markdown or LaTeX file."""
    write = markdown if form == "md" else latex
    return write([(finished.resolution.study.name, _answer(finished), list(_sheets(finished))) for finished in several])


def markdown(parts: Sequence[Part]) -> str:
    """GitHub's tables; columns of numbers are aligned to the right."""
    blocks = []
    for name, answer, found in parts:
        blocks += [f"## {markup.markdown(name)}", markup.markdown(answer)]
        for sheet in found:
            ruled = ["---:" if column in sheet.right else "---" for column in sheet.columns]
            lines = [[markup.markdown(cell) for cell in cells] for cells in (sheet.columns, *sheet.rows)]
            table = [f"| {' | '.join(cells)} |" for cells in (lines[0], ruled, *lines[1:])]
            blocks += [f"**{markup.markdown(sheet.title)}**", "\n".join(table)]
    return "\n\n".join(blocks) + "\n"


def latex(parts: Sequence[Part]) -> str:
    """Tables with booktabs' rules; those of more than LONG rows are longtables."""
    lines = ["% Needs \\usepackage{booktabs,longtable,textcomp}; XeLaTeX or LuaLaTeX where names are not ASCII.", ""]
    for name, answer, found in parts:
        lines += [f"\\section*{{{_tex(name)}}}", _tex(answer), ""]
        for sheet in found:
            lines += [*(_longtable(sheet) if len(sheet.rows) > LONG else _table(sheet)), ""]
    return "\n".join(lines)


def _table(sheet: TextTable) -> list[str]:
    head, *body = _tex_rows(sheet)
    return [
        "\\begin{table}",
        "\\centering\\footnotesize",
        f"\\caption{{{_tex(sheet.title)}}}",
        f"\\begin{{tabular}}{{{_columns(sheet)}}}",
        *("\\toprule", head, "\\midrule", *body, "\\bottomrule"),
        "\\end{tabular}",
        "\\end{table}",
    ]


def _longtable(sheet: TextTable) -> list[str]:
    head, *body = _tex_rows(sheet)
    return [
        "{\\footnotesize",
        f"\\begin{{longtable}}{{{_columns(sheet)}}}",
        f"\\caption{{{_tex(sheet.title)}}}\\\\",
        *("\\toprule", head, "\\midrule", "\\endfirsthead"),
        *("\\toprule", head, "\\midrule", "\\endhead", "\\bottomrule", "\\endlastfoot"),
        *body,
        "\\end{longtable}}",
    ]


def _columns(sheet: TextTable) -> str:
    return "".join("r" if column in sheet.right else "l" for column in sheet.columns)


def _tex_rows(sheet: TextTable) -> Iterator[str]:
    for cells in (sheet.columns, *sheet.rows):
        yield " & ".join(_tex(cell) for cell in cells) + " \\\\"


def _tex(text: str) -> str:
    """One line of text that LaTeX sets as it is."""
    return "".join(_LATEX.get(letter, letter) for letter in _MINUS.sub("−", " ".join(visible(text).split())))


def _answer(finished: Finished) -> str:
    student = reference_of(finished)
    notes = finished.results.training_notes
    untrained = doubtful(notes, student.contender, ("student", "ceiling"))
    doubted = doubt(notes, student.contender, student.rows["dataset"].tolist())
    told = [verdict(student.pooled, student.rows, untrained), doubted, *uncertainty(student.pooled, student.rows)]
    return " ".join(one for one in told if one)


def _sheets(finished: Finished) -> Iterator[TextTable]:
    """The tables of the page, in its order."""
    results, loss = finished.results, finished.resolution.study.loss.kind
    methods = results.summary[results.summary["purpose"] == "method"]
    if len(results.pooled) > 1:
        yield sheets.pooled_sheet(results.pooled, methods)
        yield sheets.gains(methods, loss).sheet
    yield sheets.results_sheet(methods)
    if len(results.failed):
        yield sheets.failed_sheet(results.failed)
    if rounds := sheets.rounds_sheet(results.scores):
        yield rounds
    compared = comparison_of(results, finished.resolution.study.better_than)
    if compared and not compared["reason"]:
        yield from compared["sheets"]
    controls = controls_of(results, loss)
    if controls:
        yield from (one for one in (controls["sheet"], controls["selection"]) if one)
    yield sheets.diagnostics_sheet(results.diagnostics)
