"""Figures as SVG text and PNG bytes; the same figure gives the same bytes."""

from __future__ import annotations

import io
import re
import warnings
from typing import TYPE_CHECKING, Any

from outshine.core.messages import visible
from outshine.report.figures.style import house_style

if TYPE_CHECKING:
    from matplotlib.figure import Figure

DPI = 200


_PLACES = re.compile(r' (?:d|x|y|points)="[^"]*"')
_LONG = re.compile(r"-?\d+\.\d{3,}")


def svg(figure: Figure, prefix: str = "") -> str:
    """The figure as one inline <svg> element, transparent, for a light background.

    Text stays text, escaped, so that it can be searched and copied. Ids begin with `prefix` and the figure's label:
    figures that stand in one page do not share any. Places are written to a hundredth of a point.
    """
    buffer = io.StringIO()
    _save(figure, buffer, format="svg", metadata={"Date": None, "Creator": None}, transparent=True)
    text = buffer.getvalue()
    element = visible(text[text.index("<svg") :])
    name = f"{prefix}{figure.get_label()}"
    return re.sub(r"<[^<>]+>", lambda tag: _own_ids(_short(tag[0]), name), element)


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
    return re.sub(r'( id="|href="#|url\(#)', lambda found: f"{found[0]}{name}-", tag)


def _short(tag: str) -> str:
    """A tag whose places have two decimals: matplotlib writes six, and half of a large figure would be digits."""
    return _PLACES.sub(lambda place: _LONG.sub(_rounded, place[0]), tag)


def _rounded(number: re.Match[str]) -> str:
    return f"{float(number[0]):.2f}".rstrip("0").rstrip(".")
