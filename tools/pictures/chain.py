"""Branches as they grew: every log entry of every branch, and which snapshot came from which."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from tidemill.catalog.catalog import Catalog, Position
from tidemill.catalog.objects import Snapshot
from tools.pictures.drawing import CUT, CUT_EDGE, NEW, NEW_EDGE, PALE, SHARED, SHARED_EDGE, Drawing

_WIDTH, _HEIGHT, _STEP, _LANE, _LEFT = 140, 80, 164, 118, 60
_COLOURS = {"commit": (NEW, NEW_EDGE), "merge": (CUT, CUT_EDGE), "rollback": ("#fff8c5", "#9a6700")}


class _Place(NamedTuple):
    """One log entry, with where it stands in the picture."""

    branch: str
    number: int
    hash: str
    snapshot: Snapshot
    x: float
    y: float


def chain_picture(catalog: Catalog, branches: Sequence[str], *, latest: int) -> str:
    """The last entries of some branches, one lane each, in the order in which they were made."""
    found = [(name, place) for name in branches for place in reversed(catalog.on(name).history())]
    ordered = sorted(found, key=lambda each: _made(each[1]))[-latest:]
    places = [
        _Place(name, place.number, place.hash, place.snapshot, _LEFT + at * _STEP, 30 + branches.index(name) * _LANE)
        for at, (name, place) in enumerate(ordered)
        if place.snapshot is not None
    ]
    drawing = Drawing()
    for lane, name in enumerate(branches):
        drawing.text(8, 30 + lane * _LANE + _HEIGHT / 2, name, bold=True)
    by_hash = {place.hash: place for place in reversed(places)}
    for place in places:
        for origin in (place.snapshot.parent, place.snapshot.other):
            if origin in by_hash and origin != place.hash:
                _edge(drawing, by_hash[origin], place, back=place.snapshot.kind == "rollback" and origin == place.snapshot.other)
    for place in places:
        _entry(drawing, place)
    return drawing.svg("The snapshots of " + " and ".join(branches) + ", each with the one that it came from")


def _made(place: Position) -> str:
    return place.snapshot.at if place.snapshot else ""


def _edge(drawing: Drawing, start: _Place, end: _Place, *, back: bool) -> None:
    middle = _HEIGHT / 2
    if back:  # over the heads of what lies between: it holds the same as that one did
        for x1, y1, x2, y2 in (
            (start.x + _WIDTH / 2, start.y, start.x + _WIDTH / 2, start.y - 14),
            (start.x + _WIDTH / 2, start.y - 14, end.x + _WIDTH / 2, end.y - 14),
        ):
            drawing.line(x1, y1, x2, y2, colour="#9a6700")
        drawing.line(end.x + _WIDTH / 2, end.y - 14, end.x + _WIDTH / 2, end.y, colour="#9a6700", arrow=True)
    elif start.y == end.y:
        drawing.line(start.x + _WIDTH, start.y + middle, end.x, end.y + middle, arrow=True)
    else:
        drawing.line(start.x + _WIDTH, start.y + middle, end.x, end.y + middle, arrow=True)


def _entry(drawing: Drawing, place: _Place) -> None:
    fill, edge = _COLOURS.get(place.snapshot.kind, (SHARED, SHARED_EDGE))
    drawing.box(place.x, place.y, _WIDTH, _HEIGHT, fill=fill, edge=edge)
    drawing.text(place.x + 10, place.y + 19, f"{place.number} {place.snapshot.kind}", bold=True)
    drawing.text(place.x + 10, place.y + 37, place.hash[:10], colour=PALE)
    drawing.text(place.x + 10, place.y + 54, f"{place.snapshot.changed} of {place.snapshot.units} changed", size=11, colour=PALE)
    drawing.text(place.x + 10, place.y + 70, place.snapshot.reason[:20], size=11)
