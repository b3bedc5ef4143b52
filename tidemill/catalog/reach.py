"""What is reachable: the objects that branches, retained snapshots and whatever else the caller names lead to. Garbage is the rest."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

from tidemill.catalog.branches import names
from tidemill.catalog.log import Log
from tidemill.catalog.objects import Branch, Leaf, decode
from tidemill.catalog.snapshots import BRANCH, DELETE, Snapshots
from tidemill.catalog.tree import Nodes
from tidemill.errors import MessageError
from tidemill.model.facts import Materialization, Record
from tidemill.storage.base import BlobStore
from tidemill.storage.objects import Objects

_AT_ONCE = 512


class Reachable(NamedTuple):
    """Everything that must stay."""

    objects: set[str]
    fingerprints: set[str]
    """Fingerprints of the units in retained trees and of records to retain: their claims stay."""


class Retained(NamedTuple):
    """Where to start."""

    snapshots: set[str]
    """All of them, of every branch that ever was: the ledger is never collected."""
    roots: set[str]
    """The trees that are retained with all that hangs on them."""


def retained(store: BlobStore, snapshots: Snapshots, *, since: str = "") -> Retained:
    """The snapshots and trees that branches retain.

    Args:
        store: where the branches are.
        snapshots: the store's snapshots.
        since: an instant as snapshots spell it: trees that no branch held then or later are let go. Empty retains every tree of every existing branch.
    """
    ledger: set[str] = set()
    roots: set[str] = set()
    for name in names(store):
        log = Log(store, name)
        number, last = log.end()
        keeping = last is not None and last.entry.kind != DELETE
        while number:
            entry = log.read(number).entry
            ledger.add(entry.snapshot)
            if keeping:
                snapshot = snapshots.get(entry.snapshot)
                roots.add(snapshot.root)
                keeping = snapshot.at >= since and entry.kind != BRANCH  # before it, a branch of the same name that is no more
            number -= 1
    return Retained(ledger, roots)


def reachable(objects: Objects, start: Retained, extra: Iterable[str] = ()) -> Reachable:
    """Follows everything.

    Args:
        objects: the store's objects.
        start: snapshots and trees to retain.
        extra: further objects to retain, such as the plans and results of runs under way. Records among them keep their files.

    Raises:
        IntegrityError: something reachable is missing or damaged: then nothing may be called garbage.
    """
    kept = {*start.snapshots, *extra}
    fingerprints: set[str] = set()
    records = set(extra)
    nodes = Nodes(objects)
    level = sorted(start.roots)
    while level:
        kept.update(level)
        below: set[str] = set()
        for at in range(0, len(level), _AT_ONCE):
            for node in nodes.get_many(level[at : at + _AT_ONCE]):
                if isinstance(node, Branch):
                    below.update(child.node for child in node.children)
                elif isinstance(node, Leaf):
                    records.update(entry.record for entry in node.entries)
                    fingerprints.update(entry.fingerprint for entry in node.entries)
        level = sorted(below - kept)
    _follow_records(objects, records, kept, fingerprints, opaque=set(extra))
    return Reachable(kept, fingerprints)


def _follow_records(objects: Objects, records: set[str], kept: set[str], fingerprints: set[str], opaque: set[str]) -> None:
    """Retains records with their files, and the records of what they were made from (not those files): lineage outlives data."""
    with_files, seen = set(records), set[str]()
    level = sorted(records)
    while level:
        seen.update(level)
        kept.update(level)
        before: set[str] = set()
        for at in range(0, len(level), _AT_ONCE):
            part = level[at : at + _AT_ONCE]
            for address, data in zip(part, objects.get_many(part), strict=True):
                record = _record(address, data, opaque)
                if isinstance(record, Materialization):
                    before.update(each.record for each in record.inputs)
                    if address in with_files:
                        kept.update(file.sha256 for file in record.files)
                        fingerprints.add(record.fingerprint)
        level = sorted(before - seen)


def _record(address: str, data: bytes, opaque: set[str]) -> Record | None:
    """The record in an object; None for an object of another kind, which only the caller's own roots may be."""
    try:
        found: Record = decode(data, Record, f"Record {address}")
    except MessageError:
        if address in opaque:
            return None
        raise
    return found
