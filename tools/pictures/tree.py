"""The catalog's tree before and after a commit, node by node: what was written, and what both snapshots share."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from tidemill.catalog.catalog import Catalog
from tidemill.catalog.objects import Child, Leaf
from tidemill.catalog.tree import items_of, level_of
from tools.pictures.drawing import LINE, NEW, NEW_EDGE, PALE, SHARED, SHARED_EDGE, Drawing

_WIDTH, _HEIGHT, _GAP = 152, 62, 14
_ROOT, _LEAVES = 110, 240


class _Column(NamedTuple):
    """A leaf's place: what it was, and what it is now. Equal where nothing below it changed."""

    before: Child
    after: Child

    def leaves(self) -> list[tuple[Child, int | None]]:
        """What is drawn there, each with the side that alone has it; None: both share it."""
        return [(self.after, None)] if self.before.node == self.after.node else [(self.before, 0), (self.after, 1)]


def tree_picture(catalog: Catalog, before: int, after: int) -> str:
    """Two snapshots of one branch, each with its root, over the leaves.

    Args:
        catalog: a branch whose tree has two levels at both places.
        before: a log number.
        after: a later one, with units in the same leaves.

    Raises:
        ValueError: the trees are not of that shape.
    """
    roots = [catalog.nodes.get(catalog.position(number).root) for number in (before, after)]
    if any(isinstance(root, Leaf) or level_of(root) != 1 for root in roots):
        raise ValueError("the picture is made for trees of two levels")
    old, new = ([item for item in items_of(root) if isinstance(item, Child)] for root in roots)
    columns = [_Column(*pair) for pair in zip(old, new, strict=True)]
    if any((each.before.asset, each.before.partition) != (each.after.asset, each.after.partition) for each in columns):
        raise ValueError("the picture is made for trees whose leaves begin at the same units")
    return _draw(catalog, (before, after), columns)


def _draw(catalog: Catalog, numbers: tuple[int, int], columns: Sequence[_Column]) -> str:
    drawing = Drawing()
    leaves = [(leaf, side) for column in columns for leaf, side in column.leaves()]
    width = len(leaves) * (_WIDTH + _GAP) - _GAP
    centres = [16 + at * (_WIDTH + _GAP) + _WIDTH / 2 for at in range(len(leaves))]
    roots = (16 + width * 0.28, 16 + width * 0.72)
    for side, number in enumerate(numbers):
        place, x = catalog.position(number), roots[side] - 95
        fill, edge = (SHARED, SHARED_EDGE) if side == 0 else (NEW, NEW_EDGE)
        units = place.snapshot.units if place.snapshot else 0
        drawing.box(x, 16, 190, 52, fill=fill, edge=edge)
        drawing.text(x + 10, 36, f"log entry {number}", bold=True)
        drawing.text(x + 10, 56, f"snapshot {place.hash[:10]}", colour=PALE)
        drawing.line(roots[side], 68, roots[side], _ROOT, arrow=True)
        drawing.box(x, _ROOT, 190, 52, fill=fill, edge=edge)
        drawing.text(x + 10, _ROOT + 20, f"root {place.root[:10]}", bold=True)
        drawing.text(x + 10, _ROOT + 40, f"{units} units, {len(columns)} leaves", colour=PALE)
        for centre, (_, owner) in zip(centres, leaves, strict=True):
            if owner in (None, side):
                drawing.line(roots[side], _ROOT + 52, centre, _LEAVES, colour=NEW_EDGE if owner == 1 else LINE)
    for centre, (leaf, owner) in zip(centres, leaves, strict=True):
        fill, edge = (NEW, NEW_EDGE) if owner == 1 else (SHARED, SHARED_EDGE)
        _leaf(drawing, centre - _WIDTH / 2, leaf, fill=fill, edge=edge)
    written = 1 + sum(owner == 1 for _, owner in leaves)
    told = f"green: written by commit {numbers[1]} ({written} nodes); everything else is shared"
    drawing.text(16, _LEAVES + _HEIGHT + 30, told, colour=PALE)
    return drawing.svg(f"The tree at log entries {numbers[0]} and {numbers[1]}; {told}")


def _leaf(drawing: Drawing, x: float, leaf: Child, *, fill: str, edge: str) -> None:
    drawing.box(x, _LEAVES, _WIDTH, _HEIGHT, fill=fill, edge=edge)
    drawing.text(x + 8, _LEAVES + 17, f"leaf {leaf.node[:8]}", bold=True)
    drawing.text(x + 8, _LEAVES + 35, f"{leaf.count} units from", size=11, colour=PALE)
    drawing.text(x + 8, _LEAVES + 52, f"{leaf.asset}@{leaf.partition}".removesuffix("@"), size=9, colour=PALE)
