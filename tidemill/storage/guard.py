"""The agreement between those who write and the one who collects garbage: nobody ever points at bytes that are on their way out.

The collector announces, in `gc/state`, the objects it *condemns*, waits out a grace period that is longer than any run, and only then sweeps those
that nothing reaches still. Whoever is about to rely on an object that was there before looks at that announcement. If the object is condemned, a
create-only *fate* decides between them, `keep` or `sweep`, whoever is first. If it was swept lately, it is looked up once more. Any other object cannot
disappear before it is reachable, since it would have to be condemned first.
"""

from __future__ import annotations

import hashlib
from collections.abc import Collection

import msgspec

from tidemill.errors import IntegrityError, MessageError
from tidemill.model.versions import canonical
from tidemill.storage.base import BlobStore, Versioned
from tidemill.storage.conditional import put_once
from tidemill.storage.sealed import seal, unseal

STATE = "gc/state"
FATES = "gc/fate/"
KEEP = b"keep"
SWEEP = b"sweep"

OBJECTS = "objects/"


def object_name(sha256: str) -> str:
    """The stored name of an object."""
    return f"{OBJECTS}{sha256[:2]}/{sha256}"


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
    """Keeps writers clear of the collector. The lists it announced are read once each: they are immutable objects."""

    def __init__(self, store: BlobStore) -> None:
        self._store = store
        self._lists: dict[str, frozenset[str]] = {}

    def active(self) -> bool:
        """Whether anything is condemned, or was swept lately; one read."""
        _, state = read_state(self._store)
        return bool(state.condemned or state.swept)

    def lost(self, hashes: Collection[str]) -> list[str]:
        """Claims objects that existed before, so that the collector leaves them; one read if no garbage is being collected.

        Returns:
            Those that cannot be relied on any more, sorted: they are being swept, or have been. Empty means: all stay, if they become reachable
            within the collector's grace period.
        """
        _, state = read_state(self._store)
        wanted = set(hashes)
        condemned = sorted(wanted & self._list(state.condemned))
        lost = [each for each in condemned if not put_once(self._store, fate_name(state.generation, each), KEEP)]
        swept = wanted & self._list(state.swept) - set(condemned)
        lost += [each for each in swept if self._store.get(object_name(each)) is None]
        return sorted(lost)

    def _list(self, address: str) -> frozenset[str]:
        if address not in self._lists:
            if len(self._lists) > 4:
                self._lists.clear()
            self._lists[address] = frozenset(read_list(self._store, address))
        return self._lists[address]


def read_state(store: BlobStore) -> tuple[Versioned | None, State]:
    """The announcement, and the blob it was read from.

    Raises:
        IntegrityError: it is damaged.
        MessageError: a later version wrote it.
    """
    blob = store.get(STATE)
    if blob is None:
        return None, State()
    data = unseal(STATE, blob.data)
    if data is None:
        raise IntegrityError(f"`{STATE}` is damaged.", hint="Restore it from a copy; without it, garbage collection is not safe.")
    try:
        return blob, msgspec.json.decode(data, type=State)
    except msgspec.MsgspecError as error:
        raise MessageError(
            f"`{STATE}` cannot be read: {error}.", hint="A later version of Tidemill wrote it: upgrade this deployment."
        ) from error


def state_bytes(state: State) -> bytes:
    """The announcement as it is stored."""
    return seal(STATE, canonical(state))


def read_list(store: BlobStore, address: str) -> list[str]:
    """A list of hashes that was stored as an object; empty for no address.

    Raises:
        IntegrityError: it is missing or damaged.
    """
    if not address:
        return []
    blob = store.get(object_name(address))
    if blob is None or hashlib.sha256(blob.data).hexdigest() != address:
        raise IntegrityError(
            f"The garbage collector's list {address} is missing or damaged.", hint="Run the collection again from the start."
        )
    return msgspec.json.decode(blob.data, type=list[str])


def fate_name(generation: int, sha256: str) -> str:
    """Where it is decided whether a condemned object stays."""
    return f"{FATES}{generation:06d}/{sha256}"
