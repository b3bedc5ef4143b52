"""The tree: a sorted map from unit to entry whose every version shares what it has in common with every other version.

A *history-independent* Merkle tree. Where one node ends and the next begins is decided by the keys alone: a key has a **rank**, the number of
leading zero bits of its SHA-256 divided by seven, and a node at level L ends before every key whose rank exceeds L. So about one key in 128 starts
a leaf, one in 128² starts a node above, and the shape depends on which keys there are, never on the order they came in. Equal content has equal
roots; a changed unit changes one node per level; two versions differ only in the nodes on the way to what differs.

This module holds the shape and the reading; `edit` makes new versions, `diff` compares two.
"""

from __future__ import annotations

import hashlib
import threading
from bisect import bisect_left, bisect_right
from collections import OrderedDict
from collections.abc import Iterable, Iterator, Sequence
from itertools import pairwise

from tidemill.catalog.objects import EMPTY_LEAF, EMPTY_ROOT, Branch, Child, Leaf, LeafEntry, Node, decode
from tidemill.model.facts import Entry
from tidemill.model.keys import AssetKey, PartitionKey, UnitKey
from tidemill.model.versions import canonical, digest
from tidemill.storage.objects import Objects

RANK_BITS = 7
_CACHE_BYTES = 32 * 1024 * 1024
_AT_ONCE = 256


def rank(key: tuple[str, str]) -> int:
    """On how many levels a key starts a node."""
    head = int.from_bytes(hashlib.sha256(f"{key[0]}@{key[1]}".encode()).digest()[:8], "big")
    return (64 - head.bit_length()) // RANK_BITS


def key_of(item: LeafEntry | Child) -> UnitKey:
    """The key of a unit, or the smallest key of a subtree."""
    return UnitKey(AssetKey(item.asset), PartitionKey(item.partition))


def items_of(node: Node) -> Sequence[LeafEntry | Child]:
    """What a node holds, in order."""
    return node.entries if isinstance(node, Leaf) else node.children


def level_of(node: Node) -> int:
    """0 for a leaf."""
    return 0 if isinstance(node, Leaf) else node.level


def count_of(node: Node) -> int:
    """How many units are in and below a node."""
    return len(node.entries) if isinstance(node, Leaf) else sum(child.count for child in node.children)


class Nodes:
    """Nodes by hash, decoded and remembered: they are immutable, so what was read once is true for ever. Safe to share between threads."""

    def __init__(self, objects: Objects, *, cache_bytes: int = _CACHE_BYTES) -> None:
        self.objects = objects
        self._cache_bytes = cache_bytes
        self._held = 0
        self._cache: OrderedDict[str, tuple[Node, int]] = OrderedDict()
        self._lock = threading.Lock()

    def get(self, node: str) -> Node:
        """One node.

        Raises:
            IntegrityError: it is missing or damaged.
            MessageError: a later version wrote it.
        """
        return self._cached(node) or self._decoded(node, self.objects.get(node))

    def get_many(self, hashes: Iterable[str]) -> list[Node]:
        """Nodes in the order given; what is not remembered is read several at a time."""
        wanted = list(hashes)
        found = {each: node for each in wanted if (node := self._cached(each)) is not None}
        missing = [each for each in dict.fromkeys(wanted) if each not in found]
        for each, data in zip(missing, self.objects.get_many(missing), strict=True):
            found[each] = self._decoded(each, data)
        return [found[each] for each in wanted]

    def put_many(self, nodes: Sequence[Node]) -> list[str]:
        """Stores nodes; their hashes in the order given."""
        encoded = [canonical(node) for node in nodes]
        hashes = self.objects.put_many(encoded)
        for each, node, data in zip(hashes, nodes, encoded, strict=True):
            self._remember(each, node, len(data))
        return hashes

    def _cached(self, node: str) -> Node | None:
        if node == EMPTY_ROOT:
            return Leaf(())
        with self._lock:
            found = self._cache.get(node)
            if found is None:
                return None
            self._cache.move_to_end(node)
            return found[0]

    def _decoded(self, node: str, data: bytes) -> Node:
        decoded: Node = decode(data, Node, f"Tree node {node}")
        self._remember(node, decoded, len(data))
        return decoded

    def _remember(self, node: str, decoded: Node, size: int) -> None:
        with self._lock:
            if node not in self._cache:
                self._cache[node] = decoded, size
                self._held += size
            while self._held > self._cache_bytes and len(self._cache) > 1:
                _, (_, dropped) = self._cache.popitem(last=False)
                self._held -= dropped


def lookup(nodes: Nodes, root: str, key: UnitKey) -> Entry | None:
    """What a unit holds in the tree; reads one node per level."""
    node = nodes.get(root)
    while isinstance(node, Branch):
        at = bisect_right(node.children, key, key=key_of) - 1
        if at < 0:
            return None
        node = nodes.get(node.children[at].node)
    at = bisect_left(node.entries, key, key=key_of)
    if at == len(node.entries) or key_of(node.entries[at]) != key:
        return None
    return entry_of(node.entries[at])


def lookup_many(nodes: Nodes, root: str, keys: Iterable[UnitKey]) -> dict[UnitKey, Entry | None]:
    """What many units hold; every node on the way is read once, a level at a time and several at once."""
    wanted = sorted(keys)
    found: dict[UnitKey, Entry | None] = dict.fromkeys(wanted)
    level = [(root, wanted)] if wanted else []
    while level:
        below: dict[str, list[UnitKey]] = {}
        for node, (_, part) in zip(nodes.get_many(each for each, _ in level), level, strict=True):
            if isinstance(node, Leaf):
                held = {key_of(item): item for item in node.entries}
                found.update((key, entry_of(held[key])) for key in part if key in held)
                continue
            firsts = [key_of(child) for child in node.children]
            for key in part:
                at = bisect_right(firsts, key) - 1
                if at >= 0:
                    below.setdefault(node.children[at].node, []).append(key)
        level = list(below.items())
    return found


def scan(nodes: Nodes, root: str, asset: AssetKey | None = None) -> Iterator[tuple[UnitKey, Entry]]:
    """All units of the tree, or of one asset, in order; reads only the nodes that hold them, several at a time."""
    return ((key_of(item), entry_of(item)) for item in scan_items(nodes, root, asset))


def scan_items(nodes: Nodes, root: str, asset: AssetKey | None = None) -> Iterator[LeafEntry]:
    """As `scan`, without taking the leaves' items apart. Holds a few hundred leaves at a time."""
    level = [root]
    while level:
        below: list[str] = []
        for at in range(0, len(level), _AT_ONCE):
            for node in nodes.get_many(level[at : at + _AT_ONCE]):
                if isinstance(node, Branch):
                    below += [child.node for child in _overlapping(node.children, asset)]
                else:
                    yield from node.entries if asset is None else (item for item in node.entries if item.asset == asset)
        level = below


def assets(nodes: Nodes, root: str) -> tuple[AssetKey, ...]:
    """The assets that have units, in order; looks into a subtree only if more than one asset may be in it."""
    found: set[str] = set()
    level: list[tuple[str, str | None]] = [(root, None)]
    """Nodes to look into, each with the asset that the unit after it belongs to; None after the last one."""
    while level:
        below: list[tuple[str, str | None]] = []
        for node, (_, after) in zip(nodes.get_many(each for each, _ in level), level, strict=True):
            found.update(item.asset for item in items_of(node))
            if isinstance(node, Branch):
                following = [*(child.asset for child in node.children[1:]), after]
                below += [(child.node, asset) for child, asset in zip(node.children, following, strict=True) if asset != child.asset]
        level = below
    return tuple(AssetKey(asset) for asset in sorted(found))


def entry_of(item: LeafEntry) -> Entry:
    """The value of a leaf's item."""
    return Entry(item.record, item.data_version, item.fingerprint)


def empty(nodes: Nodes) -> str:
    """The root of the tree of nothing, stored."""
    return nodes.objects.put(EMPTY_LEAF)


def check_node(node: Node, data: bytes) -> str:
    """What is wrong with the form of a node, in words; empty if nothing is. Pure; for those who trust nothing.

    Args:
        node: the decoded node.
        data: the bytes it was decoded from.
    """
    keys = [key_of(item) for item in items_of(node)]
    if canonical(node) != data:
        return "its bytes are not in canonical form"
    if not keys and digest(data) != EMPTY_ROOT:
        return "it is empty"
    if any(left >= right for left, right in pairwise(keys)):
        return "its units are out of order"
    if any(rank(key) > level_of(node) for key in keys[1:]):
        return "it should have been split"
    return ""


def _overlapping(children: Sequence[Child], asset: AssetKey | None) -> Sequence[Child]:
    """The children that may hold units of an asset."""
    if asset is None:
        return children
    start = max(bisect_right(children, (asset, ""), key=key_of) - 1, 0)
    end = bisect_left(children, (asset + "\0", ""), key=key_of)
    return children[start:end]
