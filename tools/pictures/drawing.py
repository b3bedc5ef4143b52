"""Drawings as SVG text: a few shapes, no fonts from elsewhere, numbers rounded so that equal drawings are equal bytes."""

from __future__ import annotations

from html import escape

INK, PALE, LINE = "#24292f", "#57606a", "#afb8c1"
NEW, NEW_EDGE = "#dafbe1", "#1a7f37"
SHARED, SHARED_EDGE = "#f6f8fa", "#8c959f"
CUT, CUT_EDGE = "#ddf4ff", "#0969da"
FONT = "ui-monospace, SFMono-Regular, Menlo, Consolas, monospace"
LETTER = 7.25
"""Width of a letter at the usual size of 12."""


class Drawing:
    """Shapes on white, added one after the other."""

    def __init__(self) -> None:
        self._parts: list[str] = []
        self._width = self._height = 0.0

    def box(
        self, x: float, y: float, width: float, height: float, *, fill: str = SHARED, edge: str = SHARED_EDGE, dashed: bool = False
    ) -> None:
        """A rectangle with round corners."""
        dash = ' stroke-dasharray="4 3"' if dashed else ""
        self._parts.append(
            f'<rect x="{_n(x)}" y="{_n(y)}" width="{_n(width)}" height="{_n(height)}" rx="4" fill="{fill}" stroke="{edge}"{dash}/>'
        )
        self._reach(x + width, y + height)

    def line(self, x1: float, y1: float, x2: float, y2: float, *, colour: str = LINE, arrow: bool = False) -> None:
        """A line, perhaps with a head at its end."""
        head = ' marker-end="url(#head)"' if arrow else ""
        self._parts.append(f'<line x1="{_n(x1)}" y1="{_n(y1)}" x2="{_n(x2)}" y2="{_n(y2)}" stroke="{colour}" stroke-width="1.3"{head}/>')
        self._reach(max(x1, x2), max(y1, y2))

    def text(self, x: float, y: float, text: str, *, size: int = 12, colour: str = INK, bold: bool = False, middle: bool = False) -> None:
        """One line of text; `y` is its base line."""
        weight = ' font-weight="600"' if bold else ""
        anchor = ' text-anchor="middle"' if middle else ""
        self._parts.append(
            f'<text x="{_n(x)}" y="{_n(y)}" font-size="{size}" fill="{colour}"{weight}{anchor}>{escape(text, quote=False)}</text>'
        )
        self._reach(x + (0 if middle else len(text) * LETTER * size / 12), y)

    def svg(self, title: str) -> str:
        """The drawing as a file.

        Args:
            title: what it shows, for those who cannot see it.
        """
        width, height = _n(self._width + 16), _n(self._height + 16)
        head = f'<marker id="head" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="7" markerHeight="7" orient="auto"><path d="M0 0L8 4L0 8z" fill="{LINE}"/></marker>'
        return "\n".join(
            [
                f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{height}" viewBox="0 0 {width} {height}" font-family="{FONT}" role="img">',
                f"<title>{escape(title, quote=False)}</title>",
                f"<defs>{head}</defs>",
                f'<rect width="{width}" height="{height}" fill="#ffffff"/>',
                *self._parts,
                "</svg>\n",
            ]
        )

    def _reach(self, x: float, y: float) -> None:
        self._width, self._height = max(self._width, x), max(self._height, y)


def _n(value: float) -> str:
    return f"{value:.1f}".removesuffix(".0")
