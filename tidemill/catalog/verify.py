"""Verification: walk everything again from the refs, trust nothing, and name the first thing that is not what it should be.

It reads through the plain store, with its own eyes: hashes, canonical forms, numbers, order, the shape of trees, counts, and that every object is what the object
that led to it says it is. The same on a live store, a folder, or an exported bundle without a network. What it cannot see is a store that was rolled back whole:
for that, give it a place the branch is known to have reached (a *checkpoint*, kept elsewhere).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

import msgspec

from tidemill.catalog.branches import names
from tidemill.catalog.diff import diff
from tidemill.catalog.log import Hint, entry_name, ref_name
from tidemill.catalog.objects import EMPTY_ROOT, Branch, Leaf, LogEntry, Node, Snapshot
from tidemill.catalog.snapshots import BRANCH, DELETE, FENCE, MERGE, Snapshots
from tidemill.catalog.tree import Nodes, check_node, count_of, items_of, key_of, level_of
from tidemill.errors import IntegrityError
from tidemill.model.facts import Entry, Materialization, Record
from tidemill.model.keys import UnitKey
from tidemill.model.versions import canonical, digest
from tidemill.storage.base import BlobStore
from tidemill.storage.formats import parquet
from tidemill.storage.formats.content_hash import ContentHasher
from tidemill.storage.guard import object_name
from tidemill.storage.objects import Objects


class Problem(NamedTuple):
    """The first thing that is wrong."""

    kind: str
    """`missing`, `altered` (its bytes are not what their name or predecessor says), `reordered` (a log entry out of its place), `malformed`, or `misplaced`
    (whole, but not what the object that leads to it says)."""
    name: str
    """The stored name."""
    why: str

    def __str__(self) -> str:
        return f"`{self.name}` is {self.kind}: {self.why}."


class Verified(NamedTuple):
    """How much was looked at, and the first problem, if any."""

    branches: int
    entries: int
    nodes: int
    records: int
    files: int
    size_bytes: int
    """Of everything read."""
    problem: Problem | None


class _Found(Exception):
    def __init__(self, kind: str, name: str, why: str) -> None:
        super().__init__(why)
        self.problem = Problem(kind, name, why)


def verify(
    store: BlobStore,
    *,
    branches: Iterable[str] | None = None,
    checkpoints: Mapping[str, tuple[int, str]] | None = None,
    since: int = 1,
    rows: bool = False,
) -> Verified:
    """Walks everything that branches reach.

    Args:
        store: a store, or the folder of an exported bundle.
        branches: which branches; all if None.
        checkpoints: by branch, a log number and the hash of its entry that the branch is known to have reached.
        since: trees of earlier log entries are left out, for stores whose collector has let them go. Entries and snapshots are always looked at.
        rows: also decode every file and hash its rows again.

    Raises:
        StoreUnavailable: the store did not answer: nothing is proved either way.
    """
    walk = _Walk(store, rows=rows)
    problem = None
    try:
        chosen = sorted(names(store) if branches is None else branches)
        for branch in chosen:
            walk.branch(branch, since, (checkpoints or {}).get(branch, (0, "")))
        for branch in sorted(set(checkpoints or {}) - set(chosen)):
            raise _Found("missing", ref_name(branch), "a checkpoint says that this branch exists")
    except _Found as found:
        problem = found.problem
    return Verified(walk.branches, walk.entries, len(walk.nodes), len(walk.records), len(walk.files), walk.size_bytes, problem)


class _Walk:
    def __init__(self, store: BlobStore, *, rows: bool) -> None:
        self._store = store
        self._rows = rows
        objects = Objects(store)
        self._tree = Nodes(objects)
        self._ledger = Snapshots(objects)
        self.branches = self.entries = self.size_bytes = 0
        self.nodes: dict[str, tuple[int, int, UnitKey | None]] = {}
        """Level, count and smallest key of every node that was found good."""
        self.records: set[str] = set()
        self.files: set[str] = set()

    def branch(self, branch: str, since: int, checkpoint: tuple[int, str]) -> None:
        self.branches += 1
        hint = self._hint(branch)
        numbers = [int(name.rpartition("/")[2]) for name in self._store.names(f"log/{branch}/")]
        last = max([*numbers, hint.number, checkpoint[0]], default=0)
        previous = ""
        entries: list[LogEntry] = []
        for number in range(1, last + 1):
            name = entry_name(branch, number)
            data = self._read(name)
            entry: LogEntry = self._decoded(name, data, LogEntry)
            if (entry.branch, entry.number) != (branch, number):
                raise _Found("reordered", name, f"it says that it is entry {entry.number} of `{entry.branch}`")
            if entry.previous != previous:
                raise _Found("altered" if number > 1 else "reordered", name, "the entry before it is not the one that it was written after")
            previous = digest(data)
            for claim, source in ((hint, "the ref"), (Hint(*checkpoint), "the checkpoint")):
                if claim.number == number and claim.entry != previous:
                    raise _Found("altered", name, f"it is not the entry that {source} names")
            self.entries += 1
            entries.append(entry)
        alive = max([since, *(entry.number for entry in entries if entry.kind == BRANCH)])
        if entries and entries[-1].kind == DELETE:
            alive = last + 1  # nothing holds the trees of a branch that was deleted
        for before, entry in zip([None, *entries], entries, strict=False):
            self._snapshot(entry_name(branch, entry.number), entry, before, with_tree=entry.number >= alive)

    def _hint(self, branch: str) -> Hint:
        blob = self._store.get(ref_name(branch))
        if blob is None:
            raise _Found("missing", ref_name(branch), "the branch has no ref")
        found: Hint = self._decoded(ref_name(branch), blob.data, Hint)
        return found

    def _snapshot(self, name: str, entry: LogEntry, previous: LogEntry | None, *, with_tree: bool) -> None:
        where = object_name(entry.snapshot)
        snapshot: Snapshot = self._decoded(where, self._object(entry.snapshot, f"entry {name}"), Snapshot)
        if (snapshot.kind, snapshot.run_id) != (entry.kind, entry.run_id):
            raise _Found("misplaced", name, "its kind or run is not its snapshot's")
        if entry.kind != BRANCH and snapshot.parent != (previous.snapshot if previous else ""):
            raise _Found("reordered", where, "its parent is not the snapshot of the entry before")
        parents = [each for each in (snapshot.parent, snapshot.other if snapshot.kind == MERGE else "") if each]
        before = [self._decoded(object_name(each), self._object(each, f"snapshot {entry.snapshot}"), Snapshot) for each in parents]
        if snapshot.depth != 1 + max((each.depth for each in before), default=0):
            raise _Found("misplaced", where, "its depth does not follow from its parents'")
        if not with_tree:
            return
        _, count, _ = self._node(snapshot.root, f"snapshot {entry.snapshot}")
        if count != snapshot.units:
            raise _Found("misplaced", where, f"it says {snapshot.units} units and its tree holds {count}")
        root_before = before[0].root if before else EMPTY_ROOT
        if snapshot.kind in {BRANCH, FENCE} and snapshot.root != root_before:
            raise _Found("misplaced", where, f"a {snapshot.kind} changes nothing, and its tree is not its parent's")
        if snapshot.kind != DELETE and root_before in self.nodes:
            changed = len(diff(self._tree, root_before, snapshot.root))
            if changed != snapshot.changed:
                raise _Found("misplaced", where, f"it says that {snapshot.changed} units changed, and {changed} did")

    def _node(self, node: str, led: str) -> tuple[int, int, UnitKey | None]:
        if node in self.nodes:
            return self.nodes[node]
        where = object_name(node)
        data = self._object(node, led)
        decoded: Node = self._decoded(where, data, Node)
        fault = check_node(decoded, data)
        if fault:
            raise _Found("malformed", where, fault)
        if isinstance(decoded, Branch):
            for child in decoded.children:
                found = self._node(child.node, f"node {node}")
                if found != (decoded.level - 1, child.count, key_of(child)):
                    raise _Found("misplaced", object_name(child.node), f"node {node} leads to it with another level, count or first unit")
        elif isinstance(decoded, Leaf):
            for item in decoded.entries:
                self._record(key_of(item), Entry(item.record, item.data_version, item.fingerprint), node)
        items = items_of(decoded)
        self.nodes[node] = level_of(decoded), count_of(decoded), key_of(items[0]) if items else None
        return self.nodes[node]

    def _record(self, unit: UnitKey, entry: Entry, node: str) -> None:
        where = object_name(entry.record)
        record: Record = self._decoded(where, self._object(entry.record, f"`{unit}` in node {node}"), Record)
        made_from = record.fingerprint if isinstance(record, Materialization) else ""
        if (record.asset, record.partition, record.data_version, made_from) != (
            unit.asset,
            unit.partition,
            entry.data_version,
            entry.fingerprint,
        ):
            raise _Found("misplaced", where, f"it is not the record of `{unit}` that node {node} describes")
        if entry.record in self.records:
            return
        self.records.add(entry.record)
        if isinstance(record, Materialization):
            self._data(record, where)

    def _data(self, record: Materialization, where: str) -> None:
        tables = []
        for file in record.files:
            name = object_name(file.sha256)
            if file.sha256 in self.files and not self._rows:
                continue
            data = self._object(file.sha256, f"record {where}")
            if len(data) != file.size_bytes:
                raise _Found("misplaced", where, f"it says that {name} has {file.size_bytes} bytes, and it has {len(data)}")
            self.files.add(file.sha256)
            if self._rows:
                tables.append(self._table(name, data, file.row_count, where))
        if sum(file.row_count for file in record.files) != record.row_count:
            raise _Found("misplaced", where, "its files do not have as many rows as it says")
        if self._rows:
            self._check_rows(record, tables, where)

    def _table(self, name: str, data: bytes, row_count: int, where: str) -> Any:
        try:
            table = parquet.read(data)
        except IntegrityError as error:
            raise _Found("malformed", name, error.message.rstrip(".")) from error
        if table.num_rows != row_count:
            raise _Found("misplaced", where, f"it says that {name} has {row_count} rows, and it has {table.num_rows}")
        return table

    def _check_rows(self, record: Materialization, tables: list[Any], where: str) -> None:
        hasher = ContentHasher(tables[0].schema)
        for table in tables:
            hasher.update(table)
        if hasher.hexdigest() != record.data_version:
            raise _Found("misplaced", where, "its rows do not have the data version that it says")

    def _object(self, sha256: str, led: str) -> bytes:
        name = object_name(sha256)
        data = self._read(name, led)
        if digest(data) != sha256:
            raise _Found("altered", name, f"its bytes have another hash ({led} leads to it)")
        return data

    def _read(self, name: str, led: str = "") -> bytes:
        blob = self._store.get(name)
        if blob is None:
            raise _Found("missing", name, f"{led} leads to it" if led else "it is needed for the log to be whole")
        self.size_bytes += len(blob.data)
        return blob.data

    @staticmethod
    def _decoded(name: str, data: bytes, kind: Any) -> Any:
        try:
            found = msgspec.json.decode(data, type=kind)
        except (msgspec.MsgspecError, UnicodeDecodeError) as error:
            raise _Found("malformed", name, str(error)) from error
        if canonical(found) != data:
            raise _Found("malformed", name, "its bytes are not in canonical form")
        return found
