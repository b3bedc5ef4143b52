"""The agreement between those who commit and the one who collects garbage: no commit ever points at bytes that are on their way out.

The collector announces, in `gc/state`, the objects it *condemns*, waits out a grace period that is longer than any run, and only then sweeps those
that are still unreachable. A commit therefore looks at that announcement once. What it refers to and finds condemned it claims, object by object, with a
create-only *fate*: `keep` or `sweep`, whoever is first decides. What was swept lately it looks up again, in case it was thought to be there. Objects that are
neither cannot disappear before the commit has made them reachable, since they would have to be condemned first.
"""

from __future__ import annotations

from collections.abc import Collection

import msgspec

from tidemill.catalog.objects import decode
from tidemill.errors import CatalogConflict
from tidemill.model.facts import Materialization, Record
from tidemill.model.versions import canonical
from tidemill.storage.base import BlobStore, Versioned
from tidemill.storage.conditional import put_once
from tidemill.storage.objects import Objects, object_name

STATE = "gc/state"
KEEP = b"keep"
SWEEP = b"sweep"


class State(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, tag="gc/1"):
    """What the collector has announced."""

    generation: int = 0
    """Counts announcements; part of the name of every fate."""
    condemned: str = ""
    """Object with the list of hashes that may be swept; empty if none are."""
    condemned_at: str = ""
    swept: str = ""
    """Object with the list of hashes that were swept last."""
    sweeping_since: str = ""
    """When a sweep began that has not ended; empty if none is under way."""


class Guard:
    """Keeps commits clear of the collector."""

    def __init__(self, store: BlobStore) -> None:
        self._store = store

    def protect(self, store: Objects, objects: Collection[str], records: Collection[str]) -> None:
        """Makes sure that objects and records, with the files they name, are there and stay there. One read if no garbage is being collected.

        Raises:
            CatalogConflict: one of them has been collected.
        """
        _, state = read_state(self._store)
        if not state.condemned and not state.swept:
            return
        wanted = {*objects, *records}
        for data in store.get_many(records):
            record = decode(data, Record, "A record")
            if isinstance(record, Materialization):
                wanted.update(file.sha256 for file in record.files)
        for sha256 in sorted(wanted & read_list(store, state.condemned)):
            if not put_once(self._store, fate_name(state.generation, sha256), KEEP):
                raise _collected(sha256)
        for sha256 in sorted(wanted & read_list(store, state.swept)):
            if self._store.get(object_name(sha256)) is None:
                raise _collected(sha256)


def read_state(store: BlobStore) -> tuple[Versioned | None, State]:
    """The announcement, and the blob it was read from."""
    blob = store.get(STATE)
    return blob, State() if blob is None else decode(blob.data, State, "The garbage collector's state")


def read_list(objects: Objects, address: str) -> set[str]:
    """A list of hashes that was stored as an object; empty for no address."""
    return set() if not address else set(decode(objects.get(address), list[str], "The garbage collector's list"))


def store_list(objects: Objects, hashes: Collection[str]) -> str:
    """Stores a list of hashes; empty for none."""
    return objects.put(canonical(sorted(hashes))) if hashes else ""


def fate_name(generation: int, sha256: str) -> str:
    """Where it is decided whether a condemned object stays."""
    return f"gc/fate/{generation:06d}/{sha256}"


def _collected(sha256: str) -> CatalogConflict:
    return CatalogConflict(f"Object {sha256} is being collected as garbage.", hint="Run again: what is missing will be made again.")
