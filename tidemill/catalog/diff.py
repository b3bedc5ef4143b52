"""What differs between two trees, at the cost of what differs.

Goes down both trees level by level and sets aside the nodes they share: equal hash, equal content. What is left at the leaves is compared unit by unit.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from tidemill.catalog.objects import Branch, Leaf, Node
from tidemill.catalog.tree import Nodes, entry_of, key_of, level_of
from tidemill.model.facts import Entry
from tidemill.model.keys import UnitKey


class Change(NamedTuple):
    """One unit that differs; None where it does not exist."""

    unit: UnitKey
    before: Entry | None
    after: Entry | None


def diff(nodes: Nodes, before: str, after: str) -> list[Change]:
    """The units that differ between two roots, in order; empty if and only if the roots are equal."""
    if before == after:
        return []
    left, right = [nodes.get(before)], [nodes.get(after)]
    while (height := max(_height(left), _height(right))) > 0:
        down_left = _children(left) if _height(left) == height else None
        down_right = _children(right) if _height(right) == height else None
        if down_left is not None and down_right is not None:
            shared = set(down_left) & set(down_right)
            down_left = [each for each in down_left if each not in shared]
            down_right = [each for each in down_right if each not in shared]
        left = left if down_left is None else nodes.get_many(down_left)
        right = right if down_right is None else nodes.get_many(down_right)
    old, new = _units(left), _units(right)
    units = sorted(unit for unit in old.keys() | new.keys() if old.get(unit) != new.get(unit))
    return [Change(unit, old.get(unit), new.get(unit)) for unit in units]


def _height(level: Sequence[Node]) -> int:
    return level_of(level[0]) if level else 0


def _children(level: Sequence[Node]) -> list[str]:
    return [child.node for node in level if isinstance(node, Branch) for child in node.children]


def _units(level: Sequence[Node]) -> dict[UnitKey, Entry]:
    return {key_of(item): entry_of(item) for node in level if isinstance(node, Leaf) for item in node.entries}
