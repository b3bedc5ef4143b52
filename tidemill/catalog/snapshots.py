"""Snapshots: the links of the ledger, and how they hang together."""

from __future__ import annotations

import functools
import heapq
from datetime import UTC, datetime

from tidemill.catalog.objects import Snapshot, decode
from tidemill.model.versions import canonical
from tidemill.storage.objects import Objects

COMMIT = "commit"
FENCE = "fence"
ROLLBACK = "rollback"
BRANCH = "branch"
MERGE = "merge"
DELETE = "delete"
KEYS = "keys"

_REMEMBERED = 4096


class Snapshots:
    """Snapshots by hash; what was read once is remembered, since it never changes. Safe to share between threads."""

    def __init__(self, objects: Objects) -> None:
        self._objects = objects
        self.get = functools.lru_cache(maxsize=_REMEMBERED)(self._get)

    def put(self, snapshot: Snapshot) -> str:
        """Stores a snapshot; its hash."""
        return self._objects.put(canonical(snapshot))

    def common_ancestor(self, left: str, right: str) -> str:
        """The deepest snapshot that both were made from; empty if there is none. Reads the snapshots deeper than it and no others."""
        reached: dict[str, set[str]] = {}
        queue: list[tuple[int, str]] = []

        def reach(snapshot: str, side: str) -> None:
            if snapshot not in reached:
                reached[snapshot] = set()
                heapq.heappush(queue, (-self.get(snapshot).depth, snapshot))
            reached[snapshot].add(side)

        for snapshot, side in ((left, "left"), (right, "right")):
            if snapshot:
                reach(snapshot, side)
        while queue:  # deepest first, so whatever leads to a snapshot has been seen before it
            _, snapshot = heapq.heappop(queue)
            if len(reached[snapshot]) == 2:
                return snapshot
            for parent in parents(self.get(snapshot)):
                for side in reached[snapshot]:
                    reach(parent, side)
        return ""

    def _get(self, snapshot: str) -> Snapshot:
        """The snapshot with this hash.

        Raises:
            IntegrityError: it is missing or damaged.
            MessageError: a later version wrote it.
        """
        found: Snapshot = decode(self._objects.get(snapshot), Snapshot, f"Snapshot {snapshot}")
        return found


def parents(snapshot: Snapshot) -> tuple[str, ...]:
    """The snapshots a snapshot was made from: the one before it, and the one merged in."""
    merged = (snapshot.other,) if snapshot.kind == MERGE else ()
    return tuple(each for each in (snapshot.parent, *merged) if each)


def instant(at: datetime) -> str:
    """An instant as snapshots spell it: UTC, microseconds, `Z`; such texts sort as the instants do.

    Raises:
        ValueError: it has no time zone.
    """
    if at.tzinfo is None:
        raise ValueError("an instant needs a time zone")
    return at.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
