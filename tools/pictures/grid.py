"""What a run did, unit by unit: one row for an asset, one cell for a month."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from tools.pictures.drawing import CUT, CUT_EDGE, NEW_EDGE, PALE, SHARED, SHARED_EDGE, Drawing

_CELL, _NAMES, _WIDTH, _HEIGHT = 15, 132, 360, 176
_COMPUTED = "#2da44e"


@dataclass(frozen=True, slots=True)
class Panel:
    """One run."""

    title: str
    rows: Sequence[tuple[str, Sequence[str]]]
    """Assets, each with its units, in order."""
    computed: frozenset[str]
    cut_off: frozenset[str]

    @property
    def told(self) -> str:
        """In numbers."""
        total = sum(len(units) for _, units in self.rows)
        cut = f", {len(self.cut_off)} cut off" if self.cut_off else ""
        return f"{len(self.computed)} of {total} units computed{cut}"


def grid_picture(panels: Sequence[Panel], *, across: int = 3) -> str:
    """Panels side by side."""
    drawing = Drawing()
    for at, panel in enumerate(panels):
        _panel(drawing, panel, 16 + at % across * _WIDTH, 24 + at // across * _HEIGHT)
    y = 24 + -(-len(panels) // across) * _HEIGHT
    x = 16.0
    for text, fill, edge in (
        ("computed", _COMPUTED, NEW_EDGE),
        ("cut off: an input ran and came out as before", CUT, CUT_EDGE),
        ("up to date: not started", SHARED, SHARED_EDGE),
    ):
        drawing.box(x, y - 11, 13, 13, fill=fill, edge=edge)
        drawing.text(x + 20, y, text, colour=PALE)
        x += 48 + len(text) * 7.25
    return drawing.svg("; ".join(f"{panel.title}: {panel.told}" for panel in panels))


def _panel(drawing: Drawing, panel: Panel, x: float, y: float) -> None:
    drawing.text(x, y, panel.title, bold=True)
    for row, (asset, units) in enumerate(panel.rows):
        top = y + 14 + row * (_CELL + 3)
        drawing.text(x, top + 11, asset, size=11, colour=PALE)
        for column, unit in enumerate(units):
            colours = (SHARED, SHARED_EDGE)
            if unit in panel.computed:
                colours = (_COMPUTED, NEW_EDGE)
            elif unit in panel.cut_off:
                colours = (CUT, CUT_EDGE)
            drawing.box(x + _NAMES + column * (_CELL + 2), top, _CELL, _CELL, fill=colours[0], edge=colours[1])
    drawing.text(x, y + 14 + len(panel.rows) * (_CELL + 3) + 14, panel.told, size=11)
