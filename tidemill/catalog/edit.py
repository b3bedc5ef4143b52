"""New versions of a tree: apply k changes, write only the nodes on the way to them.

Works level by level from the leaves. At each level the changes fall into certain nodes; their items are merged with the changes and split again
where the keys say, and the difference, old nodes out and new nodes in, is the list of changes for the level above. A node that loses the key
it began with joins the one before it, since that key was the only reason for the border. The result is the tree that building from nothing would give.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

from tidemill.catalog.objects import EMPTY_ROOT, Branch, Child, Leaf, LeafEntry, Node
from tidemill.catalog.tree import Nodes, count_of, empty, items_of, key_of, level_of, rank
from tidemill.model.facts import Entry
from tidemill.model.keys import UnitKey

Item = LeafEntry | Child


class _Spot(NamedTuple):
    """A node at some level and the keys it answers for."""

    node: Node
    first: UnitKey | None
    """Its smallest key; None in the tree of nothing."""
    leftmost: bool
    following: UnitKey | None
    """Where the next node of its level starts; None for the last one."""


class Edit(NamedTuple):
    """A new version of a tree."""

    root: str
    written: frozenset[str]
    """The nodes that were stored for it."""


def apply(nodes: Nodes, root: str, changes: Mapping[UnitKey, Entry | None]) -> Edit:
    """The tree with some units set (an entry) or removed (None); the same root if nothing changes. Stores the new nodes."""
    written: set[str] = set()
    top = level_of(nodes.get(root))
    _prefetch(nodes, root, changes)
    pending: dict[UnitKey, Item | None] = {
        key: None if entry is None else LeafEntry(key.asset, key.partition, entry.record, entry.data_version, entry.fingerprint)
        for key, entry in changes.items()
    }
    for level in range(top + 1):
        touched = _touched(nodes, root, level, pending)
        items = {key_of(item): item for spot in touched for item in items_of(spot.node)}
        if all(items.get(key) == item for key, item in pending.items()):
            return Edit(root, frozenset(written))
        for key, item in pending.items():
            if item is None:
                items.pop(key, None)
            else:
                items[key] = item
        made = _store(nodes, level, [items[key] for key in sorted(items)])
        written.update(child.node for child in made)
        pending = {spot.first: None for spot in touched if spot.first is not None}
        pending.update((key_of(child), child) for child in made)
    return Edit(_crowned(nodes, top, made, written), frozenset(written))


def _crowned(nodes: Nodes, level: int, top: Sequence[Child], written: set[str]) -> str:
    """The root over all nodes of a level: levels are added while there are several nodes, and dropped while the root has one child."""
    if not top:
        return empty(nodes)
    while len(top) > 1:
        level += 1
        top = _store(nodes, level, top)
        written.update(child.node for child in top)
    root = top[0].node
    node = nodes.get(root)
    while isinstance(node, Branch) and len(node.children) == 1:
        root = node.children[0].node
        node = nodes.get(root)
    return root


def _store(nodes: Nodes, level: int, items: Sequence[Item]) -> list[Child]:
    """Splits a level's items into nodes and stores them; the items they are to the level above."""
    if not items:
        return []
    starts = [0, *(at for at in range(1, len(items)) if rank(key_of(items[at])) > level)]
    made: list[Node] = []
    for start, end in zip(starts, [*starts[1:], len(items)], strict=True):
        part = tuple(items[start:end])
        made.append(Leaf(part) if level == 0 else Branch(level, part))  # type: ignore[arg-type]
    hashes = nodes.put_many(made)
    firsts = [key_of(items[start]) for start in starts]
    return [Child(first.asset, first.partition, each, count_of(node)) for first, each, node in zip(firsts, hashes, made, strict=True)]


def _touched(nodes: Nodes, root: str, level: int, pending: Mapping[UnitKey, Item | None]) -> list[_Spot]:
    """The nodes of a level that the changes fall into, in order, with those before any that loses its first key."""
    found: dict[UnitKey | None, _Spot] = {}
    spot: _Spot | None = None
    for key in sorted(pending):
        if spot is None or (spot.following is not None and key >= spot.following):
            spot = _find(nodes, root, level, key)
            found[spot.first] = spot
        if pending[key] is None and key == spot.first and not spot.leftmost:
            before = _find(nodes, root, level, key, before=True)
            found.setdefault(before.first, before)
    return sorted(found.values(), key=lambda each: each.first or ("", ""))


def _find(nodes: Nodes, root: str, level: int, key: UnitKey, *, before: bool = False) -> _Spot:
    """The node of a level that answers for a key; with `before`, the one that ends right before it."""
    node = nodes.get(root)
    leftmost, following = True, None
    while isinstance(node, Branch) and node.level > level:
        at = max((bisect_left if before else bisect_right)(node.children, key, key=key_of) - 1, 0)
        leftmost = leftmost and at == 0
        if at + 1 < len(node.children):
            following = key_of(node.children[at + 1])
        node = nodes.get(node.children[at].node)
    items = items_of(node)
    return _Spot(node, key_of(items[0]) if items else None, leftmost, following)


def _prefetch(nodes: Nodes, root: str, keys: Iterable[UnitKey]) -> None:
    """Reads the nodes on the way to the keys, a level at a time and several at once, so that finding them waits for nothing."""
    wanted = sorted(keys)
    level: list[Node] = [] if root == EMPTY_ROOT else [nodes.get(root)]
    while level and isinstance(level[0], Branch):
        children = [child for node in level if isinstance(node, Branch) for child in node.children]
        firsts = [key_of(child) for child in children]
        chosen = sorted({max(bisect_right(firsts, key) - 1, 0) for key in wanted})
        level = nodes.get_many([children[at].node for at in chosen])
