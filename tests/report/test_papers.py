"""Tables for papers: what a Markdown parser reads, and LaTeX's own letters, are the texts that went in."""

from __future__ import annotations

import re

import pytest
from markdown_it import MarkdownIt

from outshine.report.latex_and_markdown import LONG, latex, markdown
from outshine.report.latex_and_markdown import escape_markdown as escaped
from outshine.report.tables import TextTable

EVIL = [
    "strong_to_strong logconf rounds=2",
    "_a_ __b__ *c* **d** ~~e~~ `f`",
    "<script>alert(1)</script> <img src=x onerror=alert(2)>",
    "[a](javascript:alert(1)) ![b](http://evil.example/x.png) [c][d]",
    "https://evil.example www.evil.example a@b.example",
    "a | b || c \\| d \\",
    "&lt; &amp; &#65; # one - two",
    "{a} $b$ %c% #d ^e ~f",
    "\\input{/etc/passwd} \\write18{x} \\end{tabular}",
    "* star [option] - dash -- two --- three",
    "quotes ' \" ` `` '' ?` !`",
    "−.012 [−.050, .031] ± ∞ → × Σ – …",
    "1. one",
    "+.193",
    "> quote",
    "line\nbreak\x1b[31m\u202e",
    "me@evil.example mailto:x@evil.example @someone owner/repo#12 $$x^2$$ $5 :skull: :+1: 12:30:45",
    "HTTPS://evil.example WWW.evil.example ftp://evil.example",
    "- item",
    "---",
    "===",
]


def sheets() -> list[TextTable]:
    rows = [[text, str(number)] for number, text in enumerate(EVIL)]
    return [
        TextTable(f"Title {EVIL[1]}", ["name", "value [95 %]"], rows, right=["value [95 %]"]),
        TextTable("Long", ["name", "value"], [[f"row {number}", ".5"] for number in range(LONG + 1)], right=["value"]),
    ]


def shown(text: str) -> str:
    """As it is on the page: control characters written out, in one line."""
    written = "".join(f"\\u{ord(letter):04x}" if letter in "\x1b\u202e" else letter for letter in text)
    return " ".join(written.split())


@pytest.mark.parametrize("name", EVIL)
def test_markdown_reads_back_as_it_was(name):
    text = markdown([(name, f"The answer: {name}", sheets())])
    tokens = MarkdownIt("commonmark").enable(["table", "strikethrough"]).parse(text)
    assert not [token for token in tokens if token.type.startswith(("html", "bullet", "ordered", "blockquote", "code"))]
    inline = [token for token in tokens if token.type == "inline"]
    plain = ["".join(child.content for child in token.children if child.type != "html_inline") for token in inline]
    marks = {child.type for token in inline for child in token.children}
    assert marks <= {"text", "text_special", "strong_open", "strong_close", "html_inline"}
    tags = {child.content for token in inline for child in token.children if child.type == "html_inline"}
    assert tags <= {"<span>", "</span>"}
    cells = [
        part for sheet in sheets() for part in (sheet.title, *sheet.columns, *(c for row in sheet.rows for c in row))
    ]
    assert plain == [shown(part) for part in (name, f"The answer: {name}", *cells)]
    aligned = [token.attrs.get("style") for token in tokens if token.type == "th_open"]
    assert aligned == [None, "text-align:right"] * 2


def test_markdown_names_no_bare_address():
    text = markdown([("x", "y", sheets())])
    assert not re.search(r"\w://|www\.", text, re.IGNORECASE)


@pytest.mark.parametrize("text", EVIL)
def test_what_hubs_look_for_in_the_finished_page_is_not_whole(text):
    """Mail addresses, mentions, issues, formulas and emoji are looked for in runs of text between two tags."""
    (inline,) = [token for token in MarkdownIt("commonmark").parse(f"# {escaped(text)}") if token.type == "inline"]
    runs = "".join("\0" if one.type == "html_inline" else one.content for one in inline.children or []).split("\0")
    assert "".join(runs) == shown(text)
    for run in runs:
        assert not re.search(r"\w@\w|@\w|\w#\d|\$.|:(?=\D)[\w+-]+:", run), run


@pytest.mark.parametrize("text", ["- a", "+ a", "1. a", "12) a", "-", "===", "---", "# a", "> a", "[a]: /x", "[ ] a"])
def test_a_text_at_the_beginning_of_a_line_begins_nothing(text):
    tokens = MarkdownIt("commonmark").parse(f"* first\n* {escaped(text)}\n")
    kinds = [token.type for token in tokens]
    assert kinds == ["bullet_list_open", *["list_item_open", "paragraph_open", "inline", "paragraph_close",
                                           "list_item_close"] * 2, "bullet_list_close"]  # fmt: skip
    assert tokens[8].content.replace("\\", "") == text
    assert not re.match(r"\[[ x]\]", tokens[8].content)  # a box to tick


LETTERS = {
    **{f"\\{letter}": letter for letter in "&%$#_{}"},
    "\\textbackslash{}": "\\",
    "\\textasciitilde{}": "~",
    "\\textasciicircum{}": "^",
    "\\textless{}": "<",
    "\\textgreater{}": ">",
    "\\textbar{}": "|",
    "\\symbol{34}": '"',
    "\\textasciigrave{}": "`",
    "\\textquotesingle{}": "'",
    "\\ldots{}": "…",
    "{[}": "[",
    "{]}": "]",
    "{*}": "*",
    "{-}": "-",
    "--": "–",
    "$-$": "−",
    "$\\pm$": "±",
    "$\\infty$": "∞",
    "$\\to$": "→",
    "$\\times$": "×",
    "$\\Sigma$": "Σ",
}
TOKEN = re.compile("|".join([*map(re.escape, sorted(LETTERS, key=len, reverse=True)), r"[^\\{}$&#%_^~\[\]*\"`'<>|-]"]))


def untexed(text: str) -> str:
    """What LaTeX sets. Whatever is not one of the known spellings, such as a bare `\\`, `{` or `$`, is an error."""
    found, place = [], 0
    while place < len(text):
        token = TOKEN.match(text, place)
        assert token, f"LaTeX would obey {text[place : place + 20]!r}"
        found.append(LETTERS.get(token[0], token[0]))
        place = token.end()
    return "".join(found)


def test_latex_sets_what_was_given():
    text = latex([("a_b & c", "It is 50 % [x].", sheets())])
    (table,) = re.findall(
        r"\\begin\{tabular\}\{lr\}\n\\toprule\n(.*?) \\\\\n\\midrule\n(.*?)\n\\bottomrule", text, re.DOTALL
    )
    head, body = table
    assert [untexed(cell) for cell in head.split(" & ")] == ["name", "value [95 %]"]
    rows = [line.removesuffix(" \\\\") for line in body.split("\n")]
    assert [[untexed(cell) for cell in re.split(r" & (?=\d+$)", row)] for row in rows] == [
        [shown(name), str(number)] for number, name in enumerate(EVIL)
    ]
    assert "\\caption{Title" in text
    assert untexed(re.findall(r"\\section\*\{(.*)\}", text)[0]) == "a_b & c"
    assert untexed("It is 50 \\% {[}x{]}.") in "It is 50 % [x]."


def test_a_negative_number_has_a_minus_and_a_name_its_hyphens():
    rows = [["-0.47 [-∞, -.02]"], ["tiny-home, k=-1"], ["2-3 a-1 --0"]]
    text = latex([("x", "y", [TextTable("t", ["c"], rows)])])
    for line in ("$-$0.47 {[}$-$$\\infty$, $-$.02{]}", "tiny{-}home, k=$-$1", "2{-}3 a{-}1 {-}{-}0"):
        assert f"\n{line} \\\\\n" in text


def test_a_long_latex_table_breaks_over_pages():
    text = latex([("x", "y", sheets())])
    assert text.count("\\begin{longtable}{lr}") == text.count("\\end{longtable}") == 1
    assert text.count("\\endhead") == 1
    assert text.count("\\begin{table}") == text.count("\\end{table}") == text.count("\\end{tabular}") == 1
    for name in ("toprule", "midrule", "bottomrule"):
        assert f"\\{name}" in text
    assert "\\hline" not in text


def test_the_check_of_latex_finds_what_is_not_escaped():
    for bad in ("a_b", "50 %", "\\input{x}", "$x$", "{x}", "#1", "a & b", "x^2"):
        with pytest.raises(AssertionError, match="would obey"):
            untexed(bad)
