"""The catalog of one branch: what every unit holds, now and at any time before; who put it there; and the one way to change it."""

from __future__ import annotations

import functools
from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import NamedTuple

from tidemill.catalog import branches
from tidemill.catalog.asof import resolve
from tidemill.catalog.commit import commit, commits_of, fence, last_writer
from tidemill.catalog.diff import Change, diff
from tidemill.catalog.keys import TrustedKey, change_keys, known_keys
from tidemill.catalog.log import Log
from tidemill.catalog.objects import decode
from tidemill.catalog.signing import Signer
from tidemill.catalog.snapshots import Snapshots, instant
from tidemill.catalog.tree import Nodes, assets, entry_of, lookup, scan, scan_items
from tidemill.catalog.trust import trust_after
from tidemill.catalog.writer import MAIN, Author, Committed, Position, Writer, exists
from tidemill.model.facts import Entry, Record
from tidemill.model.keys import AssetKey, PartitionKey, UnitKey
from tidemill.storage.base import BlobStore
from tidemill.storage.objects import Objects

__all__ = ["Catalog", "CatalogView", "Change", "Committed", "Position"]


class CatalogView(NamedTuple):
    """All units as of one snapshot: frozen, so every question asked of it is answered from the same state."""

    number: int
    """The log entry it shows; 0 before the first."""
    snapshot: str
    """The snapshot's hash; empty before the first."""
    root: str
    nodes: Nodes

    def entry(self, unit: UnitKey) -> Entry | None:
        """What a unit holds, or None."""
        return lookup(self.nodes, self.root, unit)

    def entries(self, asset: AssetKey) -> Mapping[PartitionKey, Entry]:
        """The partitions of an asset that hold something, in order."""
        return {PartitionKey(item.partition): entry_of(item) for item in scan_items(self.nodes, self.root, asset)}

    def all_entries(self) -> Mapping[UnitKey, Entry]:
        """Every unit that holds something, in order."""
        return dict(scan(self.nodes, self.root))

    def assets(self) -> tuple[AssetKey, ...]:
        """The assets that hold something, in order."""
        return assets(self.nodes, self.root)


class Catalog:
    """One branch of a store's catalog. Safe to share between threads; any number of processes may write.

    It holds no state that matters: everything is in the store. It has no clock: instants are arguments.

    Args:
        store: where everything rests.
        branch: which branch to read and write.
        objects: the store's objects, if the caller has them open already.
        nodes: its tree nodes, likewise.
        signer: signs what is written, where a branch asks for that; None: this process has no key.
    """

    def __init__(
        self,
        store: BlobStore,
        *,
        branch: str = MAIN,
        objects: Objects | None = None,
        nodes: Nodes | None = None,
        signer: Signer | None = None,
    ) -> None:
        self.store = store
        self.branch = branch
        self.signer = signer
        self.objects = objects or Objects(store)
        self.nodes = nodes or Nodes(self.objects)
        self.snapshots = Snapshots(self.objects)
        self._writer = self._writer_of(branch)
        self._record = functools.lru_cache(maxsize=4096)(self._read_record)

    def head(self) -> Position:
        """Where the branch is now; number 0 if nothing was ever committed."""
        return self._writer.head()

    def on(self, branch: str, *, signer: Signer | None = None) -> Catalog:
        """The catalog of another branch of the same store; nodes that were read already are shared. It signs as this one does, unless told otherwise."""
        return Catalog(self.store, branch=branch, objects=self.objects, nodes=self.nodes, signer=signer or self.signer)

    def position(self, number: int) -> Position:
        """A place in the log that is known to exist.

        Raises:
            IntegrityError: it does not.
        """
        return self._writer.at(number)

    def view(self, at: int | None = None) -> CatalogView:
        """Everything as of a log entry; as of now if None."""
        place = self.head() if at is None else self._writer.at(at)
        return CatalogView(place.number, place.hash, place.root, self.nodes)

    def commit(
        self,
        changes: Mapping[UnitKey, Entry | None],
        *,
        base: int,
        expected: Mapping[UnitKey, Entry | None] | None = None,
        run_id: str = "",
        author: str,
        reason: str,
        at: datetime,
        part: str = "",
        seen: int = 0,
    ) -> Committed:
        """Sets (an entry) or removes (None) units, all or nothing.

        Idempotent: called again for the same run, part and base it finds what it committed and returns that. After `StoreUnavailable` the
        outcome is unknown: call again. If every unit holds already what it should, nothing is written and the head is returned.

        Args:
            changes: what each unit shall hold.
            base: the log number the changes were planned on. Everything after it is looked at.
            expected: what units must hold for the commit to make sense; also units that are only read. A changed unit that is not in it must hold what
                it held at `base`.
            run_id: the run that commits; empty for a person.
            author: who; shown in the history.
            reason: why; shown in the history.
            at: when.
            part: tells several commits of one run apart.
            seen: a log number after `base` up to which the log is known to hold no fence for the run and not this commit: a commit of the same run, made
                before this one was tried. Saves looking there again.

        Raises:
            CatalogConflict: a unit holds neither what is expected nor what it shall hold.
            RunFenced: the run was fenced after `base`.
            NotTrusted: the branch takes signed snapshots only, and this process has no key that it trusts; so do all other changes.
            IntegrityError: the store is damaged, or older than `base`.
            StoreUnavailable: the outcome is unknown.
        """
        who = Author(author, reason, instant(at))
        return commit(self._writer, changes, base=base, expected=expected or {}, run_id=run_id, author=who, part=part, seen=seen)

    def commits_of(self, run_id: str, *, after: int) -> dict[str, Committed]:
        """What a run has committed after a log number, by part."""
        return commits_of(self._writer, run_id, after)

    def fence(self, run_id: str, *, author: str, reason: str, at: datetime) -> Committed:
        """Shuts a run out: once this returns, nothing of the run that was not committed before ever is, not even by a frozen worker that wakes up.

        Raises:
            StoreUnavailable: the outcome is unknown; call again (a second fence does no harm).
        """
        return fence(self._writer, run_id, Author(author, reason, instant(at)))

    def rollback(self, to: int, *, author: str, reason: str, at: datetime, base: int | None = None) -> Committed:
        """Makes every unit hold what it held at a log entry. Itself a commit, so it can be rolled back too; costs nothing but what differs.

        Args:
            to: the log number to go back to.
            author: who; shown in the history.
            reason: why; shown in the history.
            at: when.
            base: the head that was looked at when deciding; None rolls back whatever is there.

        Raises:
            CatalogConflict: the branch has moved on from `base`.
            StoreUnavailable: the outcome is unknown; call again.
        """
        return branches.rollback(self._writer, self._writer.at(to), Author(author, reason, instant(at)), base=base)

    def create_branch(self, name: str, *, author: str, reason: str, at: datetime, start: int | None = None) -> Committed:
        """Makes a branch that starts where this one is, or was at a log entry.

        Raises:
            PlanError: the name is taken, or nothing was ever committed here.
            InvalidKey: it is not a branch name.
        """
        head = self.head()
        origin = head if start is None else self._writer.at(start)
        trust = trust_after(self.snapshots, head.hash, head.snapshot)
        return branches.create(self._writer_of(name), origin, Author(author, reason, instant(at)), trust=trust)

    def branches(self) -> dict[str, Position]:
        """The branches that exist and where they are, by name."""
        found = {name: self._writer_of(name).last() for name in branches.names(self.store)}
        return {name: last for name, last in found.items() if exists(last)}

    def merge(self, source: str, *, keep: bool = False, author: str, reason: str, at: datetime) -> Committed:
        """Takes over what changed on another branch since the two last had everything in common.

        Units changed here only stay; units changed on both sides to the same are fine.

        Args:
            source: the other branch.
            keep: units that both changed to different things stay as they are here, instead of being a conflict. A plan will run them again if what they are
                made from has come over.
            author: who; shown in the history.
            reason: why; shown in the history.
            at: when.

        Raises:
            CatalogConflict: both changed a unit, to different things; both writers are named. Nothing is merged.
            NotFound: one of the branches does not exist.
            StoreUnavailable: the outcome is unknown; call again (what is merged already is not merged twice).
        """
        return branches.merge(self._writer, self._writer_of(source), Author(author, reason, instant(at)), keep=keep)

    def delete_branch(self, name: str, *, author: str, reason: str, at: datetime) -> Committed:
        """Ends a branch; its log stays, what only it reached becomes garbage.

        Raises:
            PlanError: it is `main`.
            NotFound: it does not exist.
        """
        return branches.delete(self._writer_of(name), Author(author, reason, instant(at)))

    def signing_keys(self) -> list[TrustedKey]:
        """Every key that may sign this branch, or once might, oldest first; none if it was never signed."""
        return known_keys(self._writer)

    def change_keys(
        self, *, add: Iterable[str] = (), retire: Iterable[str] = (), off: bool = False, author: str, reason: str, at: datetime
    ) -> Committed:
        """Changes which keys may sign what follows on this branch; both at once is a rotation. From the first key on, everything is signed.

        Idempotent: what is so already is not done again. What was signed before stays good.

        Args:
            add: public keys. The first of all signs for itself.
            retire: public keys.
            off: the last key may go, and with it signing ends.
            author: who; shown in the history.
            reason: why; shown in the history.
            at: when.

        Raises:
            NotTrusted: this process's key is not in force, or is not the first one that is added.
            NotFound: a key to retire was never in force.
            PlanError: it is the last one.
            InvalidKey: one is not a public key.
            StoreUnavailable: the outcome is unknown; call again.
        """
        who = Author(author, reason, instant(at))
        return change_keys(self._writer, self.signer, add=add, retire=retire, off=off, author=who)

    def history(self, limit: int = 100, *, before: int | None = None) -> list[Position]:
        """The latest places of the log, newest first.

        Args:
            limit: how many at most.
            before: only places below this number.
        """
        newest = self.head().number if before is None else before - 1
        return [self._writer.at(number) for number in range(newest, max(newest - limit, 0), -1)]

    def resolve(self, text: str) -> Position:
        """The place of the log that a number, snapshot, instant or run id means; see `asof.resolve`.

        Raises:
            NotFound: it means nothing here.
        """
        return resolve(self._writer, text)

    def changed_by(self, unit: UnitKey, after: int) -> Position | None:
        """Who made a unit what it holds: the last place of the log after a number that changed it, or None if none did."""
        return last_writer(self._writer, unit, after, self.head())

    def diff(self, before: int, after: int | None = None) -> list[Change]:
        """The units that differ between two log entries (0 is the beginning), in order; up to now if `after` is None."""
        return diff(self.nodes, self.view(before).root, self.view(after).root)

    def diff_branch(self, other: str) -> list[Change]:
        """The units that differ between this branch (before) and another (after), in order."""
        return diff(self.nodes, self.head().root, self.on(other).head().root)

    def record(self, record: str) -> Record:
        """The materialization or observation with this hash.

        Raises:
            IntegrityError: it is missing or damaged.
            MessageError: a later version wrote it.
        """
        return self._record(record)

    def _writer_of(self, branch: str) -> Writer:
        return Writer(self.nodes, self.snapshots, Log(self.store, branch), self.signer)

    def _read_record(self, record: str) -> Record:
        found: Record = decode(self.objects.get(record), Record, f"Record {record}")
        return found
