"""Bundles: everything a branch reaches, copied into another store; usually a folder, to be kept, handed over, or verified without a network."""

from __future__ import annotations

from typing import NamedTuple

from tidemill.catalog.log import Hint, Log, entry_name, hint_bytes, ref_name
from tidemill.catalog.reach import Retained, reachable
from tidemill.catalog.snapshots import Snapshots
from tidemill.catalog.trust import chain
from tidemill.errors import IntegrityError, NotFound
from tidemill.model.versions import canonical
from tidemill.storage.base import BlobStore
from tidemill.storage.conditional import put_once
from tidemill.storage.objects import Objects


class Bundle(NamedTuple):
    """What was exported."""

    branch: str
    number: int
    """The last log entry in it."""
    entry: str
    """That entry's hash: keep it elsewhere, and the bundle can be held to it."""
    objects: int
    size_bytes: int


def export(store: BlobStore, target: BlobStore, branch: str) -> Bundle:
    """Copies a branch with its whole history into another store. Idempotent: a copy that was cut short is completed.

    Raises:
        NotFound: nothing was ever committed to the branch.
        IntegrityError: something reachable is missing or damaged, or the target holds another history of the branch.
        StoreUnavailable: one of the stores did not answer; export again.
    """
    log, source, copies = Log(store, branch), Objects(store), Objects(target)
    number, last = log.end()
    if last is None:
        raise NotFound(f"Branch `{branch}` has no history to export.")
    snapshots = Snapshots(source)
    entries = [log.read(each).entry for each in range(1, number + 1)]
    ledger = {entry.snapshot for entry in entries}
    roots = {snapshots.get(each).root for each in ledger}
    # A branch begins with another branch's snapshot, and a merge names one: they come along as links of the ledger, without their trees. So do the
    # snapshots that say which keys may sign.
    ledger |= {parent for each in ledger for parent in (snapshots.get(each).parent, snapshots.get(each).other) if parent}
    ledger |= {address for each in {snapshots.get(each).trust for each in ledger} for address, _ in chain(snapshots, each)}
    objects = sorted(reachable(source, Retained(ledger, roots)).objects)
    size = 0
    for data in source.get_many(objects):
        copies.put(data)
        size += len(data)
    for entry in entries:
        name = entry_name(branch, entry.number)
        if not put_once(target, name, canonical(entry)):
            raise IntegrityError(f"The target holds another `{name}`.", hint="Export into an empty folder.")
    _point(target, branch, Hint(number, last.hash))
    return Bundle(branch, number, last.hash, len(objects), size)


def _point(target: BlobStore, branch: str, hint: Hint) -> None:
    blob = target.get(ref_name(branch))
    if blob is None:
        target.create(ref_name(branch), hint_bytes(branch, hint))
    else:
        target.replace(ref_name(branch), hint_bytes(branch, hint), blob.etag)
