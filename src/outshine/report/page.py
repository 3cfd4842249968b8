"""One self-contained HTML page of one study or several: text, figures, tables, one script, nothing from elsewhere."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Sequence
from functools import cache
from importlib.resources import files
from typing import TYPE_CHECKING

from outshine.engine.messages import visible
from outshine.engine.runtime import version_of
from outshine.report.study_section import StudySection, content
from outshine.report.tables import studies_table

if TYPE_CHECKING:
    from jinja2 import Template

    from outshine.engine.store.store import Store


def render(sections: Sequence[StudySection], store: Store) -> str:
    """The report of finished studies. All text of users and datasets is escaped.

    The policy of the page forbids whatever is not in it, and every script but its own, which it knows by its hash.
    """
    from markupsafe import Markup

    alone = len(sections) == 1
    contents = [
        content(section, store, "" if alone else f"study-{number}-") for number, section in enumerate(sections, 1)
    ]
    names = [study["study"] for study in contents]
    return _template().render(
        title=names[0] if alone else f"{len(names)} studies",
        version=version_of("outshine"),
        studies=contents,
        side_by_side=None if alone else studies_table([study["reference"] for study in contents]),
        style=Markup(_resource("report.css")),  # noqa: S704 (files of this package)
        script=Markup(script()),  # noqa: S704
        script_hash=script_hash(),
    )


@cache
def _template() -> Template:
    """Compiled once in a process, which takes a third of a second."""
    from jinja2 import Environment, PackageLoader, StrictUndefined, select_autoescape

    environment = Environment(
        loader=PackageLoader("outshine.report"),
        autoescape=select_autoescape(default=True, default_for_string=True),
        undefined=StrictUndefined,
        finalize=lambda value: visible(value) if type(value) is str else value,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    return environment.get_template("report.html.j2")


def script() -> str:
    """The script of every page: sorting and filtering of tables, and what is opened by a link or for print."""
    return _resource("report.js")


def script_hash() -> str:
    """What the policy of a page calls its script: `sha256-…`."""
    return "sha256-" + base64.b64encode(hashlib.sha256(script().encode("utf-8")).digest()).decode("ascii")


def _resource(name: str) -> str:
    text = (files("outshine.report") / "templates" / name).read_text(encoding="utf-8")
    return "\n".join(text.splitlines()) + "\n"  # browsers hash a script after its line ends are made so
