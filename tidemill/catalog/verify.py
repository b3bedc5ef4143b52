"""Verification: walk everything again from the refs, trust nothing, and name the first thing that is not what it should be.

It reads through the plain store, with its own eyes: hashes, canonical forms, numbers, order, the shape of trees, counts, and that every object is what the object
that led to it says it is. The same on a live store, a folder, or an exported bundle without a network. What it cannot see is a store that was rolled back whole:
for that, give it a place the branch is known to have reached (a *checkpoint*, kept elsewhere).
"""

from __future__ import annotations

from collections.abc import Callable, Container, Iterable, Mapping
from typing import Any, NamedTuple

import msgspec

from tidemill.catalog.branches import names
from tidemill.catalog.diff import diff
from tidemill.catalog.findings import Found, Problem
from tidemill.catalog.log import Hint, entry_name, read_hint, ref_name
from tidemill.catalog.objects import EMPTY_ROOT, Branch, Leaf, LogEntry, Node, Snapshot
from tidemill.catalog.snapshots import BRANCH, COMMIT, DELETE, FENCE, KEYS, MERGE
from tidemill.catalog.tree import Nodes, check_node, count_of, items_of, key_of, level_of
from tidemill.catalog.vouching import Vouching
from tidemill.errors import IntegrityError, InvalidKey
from tidemill.model.facts import Entry, Materialization, Record
from tidemill.model.keys import UnitKey
from tidemill.model.versions import canonical, digest
from tidemill.storage.base import BlobStore
from tidemill.storage.formats import parquet
from tidemill.storage.formats.content_hash import ContentHasher
from tidemill.storage.guard import object_name
from tidemill.storage.objects import Objects
from tidemill.storage.sealed import unseal


class Verified(NamedTuple):
    """How much was looked at, and the first problem, if any."""

    branches: int
    entries: int
    nodes: int
    records: int
    files: int
    size_bytes: int
    """Of everything read."""
    signed: int
    """Snapshots that carry a good signature of a key that was in force."""
    first_keys: tuple[str, ...]
    """The keys with which signing began: compare them with those that you know, unless you gave one."""
    problem: Problem | None


def verify(
    store: BlobStore,
    *,
    branches: Iterable[str] | None = None,
    checkpoints: Mapping[str, tuple[int, str]] | None = None,
    since: int = 1,
    rows: bool = False,
    trusted: str = "",
    also: Callable[[Walk], None] | None = None,
) -> Verified:
    """Walks everything that branches reach.

    Args:
        store: a store, or the folder of an exported bundle.
        branches: which branches; all if None.
        checkpoints: by branch, a log number and the hash of its entry that the branch is known to have reached.
        since: trees of earlier log entries are left out, for stores whose collector has let them go. Entries and snapshots are always looked at.
        rows: also decode every file and hash its rows again.
        trusted: a public key that every branch must be vouched for by, itself or through keys it signed for. Empty: where snapshots are signed, they are held
            to the first key of their branch.
        also: looks at more once the branches have been found good, such as the records of runs.

    Raises:
        StoreUnavailable: the store did not answer: nothing is proved either way.
        MissingExtra: something is signed, and the package for signatures is not installed.
    """
    walk = Walk(store, rows=rows, trusted=trusted)
    problem = None
    try:
        chosen = sorted(names(store) if branches is None else branches)
        for branch in chosen:
            walk.branch(branch, since, (checkpoints or {}).get(branch, (0, "")))
        for branch in sorted(set(checkpoints or {}) - set(chosen)):
            raise Found("missing", ref_name(branch), "a checkpoint says that this branch exists")
        if also is not None:
            also(walk)
    except Found as found:
        problem = found.problem
    return Verified(
        walk.branches,
        walk.entries,
        len(walk.nodes),
        len(walk.records),
        len(walk.files),
        walk.size_bytes,
        walk.vouching.signed,
        tuple(sorted(walk.vouching.first_keys)),
        problem,
    )


class Walk:
    """Reads a store and believes nothing. What it has found good it remembers. Every method may raise `Found`."""

    def __init__(self, store: BlobStore, *, rows: bool, trusted: str) -> None:
        self.store = store
        self.vouching = Vouching(self._read_snapshot, trusted)
        self._rows = rows
        objects = Objects(store)
        self._tree = Nodes(objects)
        self.branches = self.entries = self.size_bytes = 0
        self.nodes: dict[str, tuple[int, int, UnitKey | None]] = {}
        """Level, count and smallest key of every node that was found good."""
        self.good: set[str] = set()
        """Names of objects that have their hash."""
        self.records: set[str] = set()
        self.files: set[str] = set()
        self.made: set[tuple[str, str, str]] = set()
        """Run, code version and fingerprint of everything that trees hold."""
        self.commits: list[LogEntry] = []
        """What runs have committed."""

    def branch(self, branch: str, since: int, checkpoint: tuple[int, str]) -> None:
        """Everything that a branch reaches."""
        self.branches += 1
        hint = self._hint(branch)
        numbers = [int(name.rpartition("/")[2]) for name in self.store.names(f"log/{branch}/")]
        last = max([*numbers, hint.number, checkpoint[0]], default=0)
        previous = ""
        entries: list[LogEntry] = []
        for number in range(1, last + 1):
            name = entry_name(branch, number)
            data = self.read(name)
            entry: LogEntry = self._decoded(name, data, LogEntry)
            if (entry.branch, entry.number) != (branch, number):
                raise Found("reordered", name, f"it says that it is entry {entry.number} of `{entry.branch}`")
            if entry.previous != previous:
                raise Found("altered" if number > 1 else "reordered", name, "the entry before it is not the one that it was written after")
            previous = digest(data)
            for claim, source in ((hint, "the ref"), (Hint(*checkpoint), "the checkpoint")):
                if claim.number == number and claim.entry != previous:
                    raise Found("altered", name, f"it is not the entry that {source} names")
            self.entries += 1
            entries.append(entry)
            if entry.kind == COMMIT and entry.run_id:
                self.commits.append(entry)
        alive = max([since, *(entry.number for entry in entries if entry.kind == BRANCH)])
        if entries and entries[-1].kind == DELETE:
            alive = last + 1  # nothing holds the trees of a branch that was deleted
        self.vouching.begin()
        for before, entry in zip([None, *entries], entries, strict=False):
            self._snapshot(entry_name(branch, entry.number), entry, before, with_tree=entry.number >= alive)
        self.vouching.end(branch)

    def _hint(self, branch: str) -> Hint:
        blob = self.store.get(ref_name(branch))
        if blob is None:
            raise Found("missing", ref_name(branch), "the branch has no ref")
        found = read_hint(branch, blob)
        if found is None:
            raise Found("altered", ref_name(branch), "its seal does not fit")
        return found

    def _snapshot(self, name: str, entry: LogEntry, previous: LogEntry | None, *, with_tree: bool) -> None:
        where = object_name(entry.snapshot)
        snapshot = self._read_snapshot(entry.snapshot, f"entry {name}")
        if not entry.tells_of(snapshot):
            raise Found("misplaced", name, "its kind, run or part is not its snapshot's")
        if entry.kind != BRANCH and snapshot.parent != (previous.snapshot if previous else ""):
            raise Found("reordered", where, "its parent is not the snapshot of the entry before")
        if entry.kind == BRANCH and previous is not None and previous.kind != DELETE:
            raise Found("reordered", name, "a branch begins anew with it, and the one before had not ended")
        parents = [each for each in (snapshot.parent, snapshot.other if snapshot.kind == MERGE else "") if each]
        before = [self._read_snapshot(each, f"snapshot {entry.snapshot}") for each in parents]
        self.vouching.check(entry, snapshot, before[0] if snapshot.parent else None)
        if snapshot.depth != 1 + max((each.depth for each in before), default=0):
            raise Found("misplaced", where, "its depth does not follow from its parents'")
        if not with_tree:
            return
        _, count, _ = self._node(snapshot.root, f"snapshot {entry.snapshot}")
        if count != snapshot.units:
            raise Found("misplaced", where, f"it says {snapshot.units} units and its tree holds {count}")
        root_before = before[0].root if before else EMPTY_ROOT
        if snapshot.kind in {BRANCH, FENCE, KEYS} and snapshot.root != root_before:
            raise Found("misplaced", where, f"a {snapshot.kind} changes nothing, and its tree is not its parent's")
        if snapshot.kind != DELETE and root_before in self.nodes:
            changed = len(diff(self._tree, root_before, snapshot.root))
            if changed != snapshot.changed:
                raise Found("misplaced", where, f"it says that {snapshot.changed} units changed, and {changed} did")

    def _read_snapshot(self, snapshot: str, led: str) -> Snapshot:
        found: Snapshot = self._decoded(object_name(snapshot), self.whole(snapshot, led), Snapshot)
        return found

    def _node(self, node: str, led: str) -> tuple[int, int, UnitKey | None]:
        if node in self.nodes:
            return self.nodes[node]
        where = object_name(node)
        data = self.whole(node, led)
        decoded: Node = self._decoded(where, data, Node)
        fault = check_node(decoded, data)
        if fault:
            raise Found("malformed", where, fault)
        if isinstance(decoded, Branch):
            for child in decoded.children:
                found = self._node(child.node, f"node {node}")
                if found != (decoded.level - 1, child.count, key_of(child)):
                    raise Found("misplaced", object_name(child.node), f"node {node} leads to it with another level, count or first unit")
        elif isinstance(decoded, Leaf):
            for item in decoded.entries:
                self._record(key_of(item), Entry(item.record, item.data_version, item.fingerprint), node)
        items = items_of(decoded)
        self.nodes[node] = level_of(decoded), count_of(decoded), key_of(items[0]) if items else None
        return self.nodes[node]

    def _record(self, unit: UnitKey, entry: Entry, node: str) -> None:
        where = object_name(entry.record)
        record = self.record(entry.record, f"`{unit}` in node {node}")
        made_from = record.fingerprint if isinstance(record, Materialization) else ""
        if (record.asset, record.partition, record.data_version, made_from) != (
            unit.asset,
            unit.partition,
            entry.data_version,
            entry.fingerprint,
        ):
            raise Found("misplaced", where, f"it is not the record of `{unit}` that node {node} describes")
        if isinstance(record, Materialization):
            self.made.add((record.run_id, record.code_version, record.fingerprint))

    def record(self, sha256: str, led: str) -> Record:
        """A record and the files that it names."""
        where = object_name(sha256)
        record: Record = self._decoded(where, self.whole(sha256, led), Record)
        if sha256 not in self.records:
            self.records.add(sha256)
            if isinstance(record, Materialization):
                self._data(record, where)
        return record

    def _data(self, record: Materialization, where: str) -> None:
        tables = []
        for file in record.files:
            name = object_name(file.sha256)
            if file.sha256 in self.files and not self._rows:
                continue
            data = self.whole(file.sha256, f"record {where}")
            if len(data) != file.size_bytes:
                raise Found("misplaced", where, f"it says that {name} has {file.size_bytes} bytes, and it has {len(data)}")
            self.files.add(file.sha256)
            if self._rows:
                tables.append(self._table(name, data, file.row_count, where))
        if sum(file.row_count for file in record.files) != record.row_count:
            raise Found("misplaced", where, "its files do not have as many rows as it says")
        if self._rows:
            self._check_rows(record, tables, where)

    def _table(self, name: str, data: bytes, row_count: int, where: str) -> Any:
        try:
            table = parquet.read(data)
        except IntegrityError as error:
            raise Found("malformed", name, error.message.rstrip(".")) from error
        if table.num_rows != row_count:
            raise Found("misplaced", where, f"it says that {name} has {row_count} rows, and it has {table.num_rows}")
        return table

    def _check_rows(self, record: Materialization, tables: list[Any], where: str) -> None:
        hasher = ContentHasher(tables[0].schema)
        for table in tables:
            hasher.update(table)
        if hasher.hexdigest() != record.data_version:
            raise Found("misplaced", where, "its rows do not have the data version that it says")

    def whole(self, sha256: str, led: str) -> bytes:
        """The bytes of an object, which have its hash."""
        name = object_name(sha256)
        data = self.read(name, led)
        if digest(data) != sha256:
            raise Found("altered", name, f"its bytes have another hash ({led} leads to it)")
        self.good.add(name)
        return data

    def sealed(self, name: str) -> bytes:
        """A record whose seal fits."""
        data = unseal(name, self.read(name))
        if data is None:
            raise Found("altered", name, "its seal does not fit")
        return data

    def need(self, name: str, led: str, listed: Container[str] = ()) -> None:
        """Makes sure that something is there; it need not be looked up if it was listed."""
        if name not in listed:
            self.read(name, led)

    def read(self, name: str, led: str = "") -> bytes:
        """The bytes under a name, as they are."""
        try:
            blob = self.store.get(name)
        except InvalidKey:
            blob = None  # what leads to it is damaged
        if blob is None:
            raise Found("missing", name, f"{led} leads to it" if led else "it is needed for the log to be whole")
        self.size_bytes += len(blob.data)
        return blob.data

    @staticmethod
    def _decoded(name: str, data: bytes, kind: Any) -> Any:
        try:
            found = msgspec.json.decode(data, type=kind)
        except (msgspec.MsgspecError, UnicodeDecodeError) as error:
            raise Found("malformed", name, str(error)) from error
        if canonical(found) != data:
            raise Found("malformed", name, "its bytes are not in canonical form")
        return found
