"""Moving a branch: put one snapshot on top of what is there, and if somebody was faster, look again.

Everything that changes a branch (commits, fences, rollbacks, merges) is a function from the head to a draft; this is the loop around it.
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from typing import NamedTuple

from tidemill.catalog.log import Log, Recorded
from tidemill.catalog.objects import EMPTY_ROOT, LogEntry, Snapshot, decode
from tidemill.catalog.signing import Signer
from tidemill.catalog.snapshots import DELETE, MERGE, Snapshots
from tidemill.catalog.tree import Nodes, count_of, empty
from tidemill.catalog.trust import Trust, signed, trust_after
from tidemill.errors import CatalogConflict, IntegrityError, NotFound
from tidemill.model.facts import Materialization, Record
from tidemill.storage.guard import Guard

MAIN = "main"

_SPREAD_MAX_SECONDS = 2.0


class Position(NamedTuple):
    """A place in a branch's log."""

    number: int
    """0 if nothing was ever committed."""
    hash: str
    """The snapshot's hash; empty with number 0."""
    snapshot: Snapshot | None
    """None with number 0."""
    entry: str = ""
    """Hash of the log entry; empty with number 0."""
    part: str = ""
    """See `LogEntry.part`."""

    @property
    def root(self) -> str:
        """The root of the tree at this place."""
        return EMPTY_ROOT if self.snapshot is None else self.snapshot.root


class Committed(NamedTuple):
    """What became of a change to a branch."""

    number: int
    """The log entry that holds it; the head, if there was nothing to change."""
    snapshot: str
    changed: int
    """How many units it changed; 0 if everything was there already."""


class Author(NamedTuple):
    """Who writes, why and when."""

    name: str
    reason: str
    at: str


class Draft(NamedTuple):
    """What a snapshot shall be; the rest follows from it."""

    kind: str
    root: str
    parent: str
    changed: int = 0
    run_id: str = ""
    other: str = ""
    written: frozenset[str] = frozenset()
    """Nodes that were stored for it."""
    records: frozenset[str] = frozenset()
    """Records that it puts on the branch."""
    keys: tuple[str, ...] = ()
    """See `Snapshot.keys`."""
    trust: Trust | None = None
    """The keys in force; None: those of the parent."""


class Writer:
    """Reads and moves one branch. Safe to share between threads."""

    def __init__(self, nodes: Nodes, snapshots: Snapshots, log: Log, signer: Signer | None = None) -> None:
        self.nodes = nodes
        self.snapshots = snapshots
        self.log = log
        self._signer = signer
        self._guard = Guard(log.store)

    def last(self) -> Position:
        """The end of the log, also of a branch that does not exist (any more)."""
        number, last = self.log.end()
        return self._position(number, last)

    def head(self) -> Position:
        """The end of the log.

        Raises:
            NotFound: the branch was deleted or never made; `main` always exists.
        """
        last = self.last()
        if not exists(last) and self.log.branch != MAIN:
            gone = "was deleted" if last.number else "does not exist"
            raise NotFound(f"Branch `{self.log.branch}` {gone}.", hint=f"Make it with `tidemill branch create {self.log.branch}`.")
        return last

    def at(self, number: int) -> Position:
        """A place that is known to exist; 0 is the beginning, before anything was committed.

        Raises:
            IntegrityError: the log does not reach so far.
        """
        return self._position(number, self.log.read(number) if number else None)

    def advance(self, step: Callable[[Position], Draft | Committed], author: Author, *, part: str = "", new: bool = False) -> Committed:
        """Puts one snapshot on top of the branch, again and again until it is the next one.

        Args:
            step: looks at the head and says what comes next, or the answer if nothing is to be written. It is asked again whenever somebody else was
                faster, so it must decide anew each time.
            author: who, why and when.
            part: see `LogEntry.part`.
            new: the branch need not exist yet.

        Raises:
            NotFound: the branch does not exist.
            CatalogConflict: something it refers to has been collected as garbage.
            NotTrusted: the branch is signed, and by none of the keys this process has.
            StoreUnavailable: the outcome is unknown.
            Whatever `step` raises.
        """
        losses = 0
        while True:
            started = time.monotonic()
            head = self.last() if new else self.head()
            draft = step(head)
            if isinstance(draft, Committed):
                return draft
            snapshot = self.snapshots.put(self._completed(draft, author, part))
            self._protect({snapshot, draft.root, *draft.written}, draft.records)
            entry = LogEntry(
                branch=self.log.branch,
                number=head.number + 1,
                previous=head.entry,
                snapshot=snapshot,
                kind=draft.kind,
                run_id=draft.run_id,
                part=part,
            )
            if self.log.append(entry):
                return Committed(entry.number, snapshot, draft.changed)
            # Writers that all try again at once all lose but one. How long a try takes tells how far they have to be spread.
            spread = min((time.monotonic() - started) * 2**losses, _SPREAD_MAX_SECONDS)
            time.sleep(spread * random.random())  # noqa: S311 - keeps no secret
            losses += 1

    def _protect(self, objects: set[str], records: frozenset[str]) -> None:
        """Makes sure that what a commit is about to reach is not being collected as garbage. Files are looked at only while something is."""
        if not self._guard.active():
            return
        for sha256, data in zip(sorted(records), self.nodes.objects.get_many(sorted(records)), strict=True):
            record = decode(data, Record, f"Record {sha256}")
            objects |= {sha256, *(file.sha256 for file in record.files)} if isinstance(record, Materialization) else {sha256}
        lost = self._guard.lost(objects)
        if lost:
            raise CatalogConflict(
                f"Object {lost[0]} was collected as garbage before this commit could refer to it.", hint="Run again: it will be made again."
            )

    def _completed(self, draft: Draft, author: Author, part: str) -> Snapshot:
        if draft.root == EMPTY_ROOT:
            empty(self.nodes)
        merged = draft.other if draft.kind == MERGE else ""
        parent = self.snapshots.get(draft.parent) if draft.parent else None
        trust = trust_after(self.snapshots, draft.parent, parent) if draft.trust is None else draft.trust
        snapshot = Snapshot(
            root=draft.root,
            parent=draft.parent,
            kind=draft.kind,
            author=author.name,
            reason=author.reason,
            at=author.at,
            run_id=draft.run_id,
            part=part,
            depth=1 + max((self.snapshots.get(each).depth for each in (draft.parent, merged) if each), default=0),
            units=count_of(self.nodes.get(draft.root)),
            changed=draft.changed,
            other=draft.other,
            branch=self.log.branch if trust.keys or draft.keys else "",
            keys=draft.keys,
        )
        return signed(snapshot, trust, self._signer)

    def _position(self, number: int, recorded: Recorded | None) -> Position:
        if recorded is None:
            return Position(0, "", None)
        entry = recorded.entry
        snapshot = self.snapshots.get(entry.snapshot)
        if not entry.tells_of(snapshot):
            raise IntegrityError(
                f"Entry {number} of branch `{self.log.branch}` and its snapshot {entry.snapshot} do not tell the same.",
                hint="One of them was altered. Run `tidemill verify`.",
            )
        return Position(number, entry.snapshot, snapshot, recorded.hash, entry.part)


def exists(last: Position) -> bool:
    """Whether a branch with this end exists."""
    return last.snapshot is not None and last.snapshot.kind != DELETE
