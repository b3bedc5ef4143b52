"""The one way to write under a condition: put, and if the answer is anything but yes, read back and compare.

A lost reply makes a write that took place look like a refusal: the client repeats it and meets its own first write. So "taken", a fault and
silence all mean the same thing, *unknown*, until the bytes have been read. Equal bytes: it is done, by us or by somebody who wanted the same.
Different bytes: somebody else was first. Unreadable: still unknown, tried again, and in the end said so. Nothing is ever cleaned up here.
"""

from __future__ import annotations

import enum
import random
import time

from tidemill.errors import StoreUnavailable
from tidemill.storage.base import BlobStore

_TRIES = 5
_PATIENCE_SECONDS = 8.0
_FIRST_PAUSE_SECONDS = 0.05


class Put(enum.Enum):
    """What a name holds after a conditional write."""

    CREATED = "created"
    """Our bytes, and no doubt that this call put them there."""
    SAME = "same"
    """Our bytes; by this call with a lost reply, or by another that wanted the same."""
    TAKEN = "taken"
    """Other bytes, for good."""


def put_once(store: BlobStore, name: str, data: bytes) -> bool:
    """Writes bytes under a name for good.

    Safe to call again after any failure, from anywhere: all calls with the same bytes give the same answer.

    Returns:
        True if the name now holds exactly these bytes, False if it holds others (and always will).

    Raises:
        StoreUnavailable: the outcome could not be learnt; the write may or may not have taken place.
    """
    return put(store, name, data) is not Put.TAKEN


def put(store: BlobStore, name: str, data: bytes) -> Put:
    """As `put_once`, and tells a new name from one that held these bytes already."""
    started = time.monotonic()
    for attempt in range(_TRIES):
        if attempt:
            time.sleep(_FIRST_PAUSE_SECONDS * 2**attempt * (0.5 + random.random()))  # noqa: S311 - spreads writers out, keeps no secret
        failure: StoreUnavailable | None = None
        try:
            if store.create(name, data):
                return Put.CREATED
        except StoreUnavailable as error:
            failure = error
        try:
            found = store.get(name)
        except StoreUnavailable as error:
            failure, found = failure or error, None
        if found is not None:
            return Put.SAME if found.data == data else Put.TAKEN
        if failure is not None and time.monotonic() - started > _PATIENCE_SECONDS:
            break
    raise StoreUnavailable(
        f"Whether `{name}` was written is unknown: {failure.message if failure else 'the store says it is taken, and that it is not there.'}",
        hint="Nothing is lost: try again, and the answer will be found.",
    ) from failure
