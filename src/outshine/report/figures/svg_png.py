"""Rendering of figures as SVG text and PNG bytes; the same figure gives the same bytes."""

from __future__ import annotations

import io
import re
import warnings
from typing import TYPE_CHECKING, Any

from outshine.engine.messages import visible
from outshine.report.figures.style import house_style

if TYPE_CHECKING:
    from matplotlib.figure import Figure

DPI = 200


_PLACES = re.compile(r' (?:(?:d|x|y|points)="|transform="rotate\()[^"]*"')
_LONG = re.compile(r"-?\d+\.\d{3,}")
_ID = re.compile(r' id="([^"]*)"')
_USED = re.compile(r'(?:href="#|url\(#)([^")]+)')
_METADATA = re.compile(r"<metadata>.*?</metadata>", re.DOTALL)


def svg(figure: Figure, prefix: str = "") -> str:
    """The figure as one inline <svg> element, transparent, for a light background.

    Text stays text, escaped, so that it can be searched and copied. Ids begin with `prefix` and the figure's label:
    figures that stand in one page do not share any. A page holds dozens of figures, so that what does not show is left
    out: ids that nothing refers to, digits beyond a hundredth of a point, metadata, space between tags.
    """
    buffer = io.StringIO()
    _save(figure, buffer, format="svg", metadata={"Date": None, "Creator": None}, transparent=True)
    text = buffer.getvalue()
    element = re.sub(r">\s+<", ">\n<", _METADATA.sub("", visible(text[text.index("<svg") :])))
    used = set(_USED.findall(element))
    name = f"{prefix}{figure.get_label()}"
    return re.sub(r"<[^<>]+>", lambda tag: _own_ids(_short(tag[0], used), name), element)


def png(figure: Figure, dpi: float = DPI) -> bytes:
    """The figure as a PNG file on white, `dpi` dots an inch."""
    buffer = io.BytesIO()
    _save(figure, buffer, format="png", metadata={"Software": None}, dpi=dpi, facecolor="white")
    return buffer.getvalue()


def _save(figure: Figure, buffer: io.StringIO | io.BytesIO, **options: Any) -> None:
    with house_style(), warnings.catch_warnings():
        # Names in scripts that the bundled font lacks: browsers have fonts for them, a PNG shows boxes.
        warnings.filterwarnings("ignore", message=r"Glyph .* missing from", category=UserWarning)
        if figure.get_layout_engine() is not None:  # laid out once: a second pass would move things a little
            figure.draw_without_rendering()
            figure.set_layout_engine("none")
        figure.savefig(buffer, **options)


def _own_ids(tag: str, name: str) -> str:
    """A tag whose ids, and references to ids, begin with `name`. Text between tags never holds a raw `<`."""
    return re.sub(r'( id="|href="#|url\(#)', lambda match: f"{match[0]}{name}-", tag)


def _short(tag: str, used: set[str]) -> str:
    """A tag without what does not show; `used`: the ids to keep."""
    tag = _ID.sub(lambda match: match[0] if match[1] in used else "", tag)
    return _PLACES.sub(lambda place: _LONG.sub(_rounded, re.sub(r"\s*\n", "", place[0])), tag)


def _rounded(number: re.Match[str]) -> str:
    return f"{float(number[0]):.2f}".rstrip("0").rstrip(".")
