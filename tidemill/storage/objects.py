"""Objects: immutable bytes under their own hash. Writing twice is writing once; reading proves the bytes.

This is what makes activities idempotent under at-least-once delivery, and what makes a damaged store an error and never a wrong answer.
"""

from __future__ import annotations

import logging
import re
import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from tidemill.errors import IntegrityError, StoreUnavailable
from tidemill.model.versions import digest
from tidemill.storage.base import BlobStore
from tidemill.storage.conditional import Put, put
from tidemill.storage.guard import Guard, object_name

Given = TypeVar("Given")
Made = TypeVar("Made")

log = logging.getLogger("tidemill.store")

_REMEMBERED = 65_536
_REMEMBERED_SECONDS = 3600.0
"""Far below any collector's grace: an object this process put within it cannot have been collected since."""

_THREADS = 16

_HASH = re.compile(r"[0-9a-f]{64}")
"""What leads to an object may be damaged: then there is none, whatever it says."""


class Objects:
    """Content-addressed objects of one store; safe to share between threads."""

    def __init__(self, store: BlobStore) -> None:
        self.store = store
        self._guard = Guard(store)
        self._put_at: OrderedDict[str, float] = OrderedDict()
        self._lock = threading.Lock()

    def put(self, data: bytes) -> str:
        """Stores bytes and returns their SHA-256. Idempotent; costs nothing if this process put them a short while ago.

        Bytes that rest under this hash and are not its own, torn by a power cut or rotten, are replaced: the hash says which are right.

        Raises:
            StoreUnavailable: the outcome is unknown; put again.
        """
        sha256 = digest(data)
        if not self._recent(sha256):
            outcome = put(self.store, object_name(sha256), data)
            if outcome is Put.TAKEN:
                outcome = self._mend(sha256, data)
            if outcome is Put.CREATED:
                self._remember(sha256)
            elif self._guard.lost([sha256]):  # it was there before, and garbage; once it is gone it can be put again
                raise StoreUnavailable(f"Object {sha256} is just being collected as garbage.", hint="Try again in a minute.")
        return sha256

    def _mend(self, sha256: str, data: bytes) -> Put:
        """Puts the right bytes in the place of wrong ones."""
        found = self.store.get(object_name(sha256))
        if found is not None and digest(found.data) != sha256:
            log.warning("Object %s held bytes that were not its own; they have been replaced.", sha256)
            self.store.replace(object_name(sha256), data, found.etag)
        outcome = put(self.store, object_name(sha256), data)
        if outcome is Put.TAKEN:
            raise StoreUnavailable(
                f"Object {sha256} is damaged and could not be replaced.", hint="Try again; if it stays, restore or delete it."
            )
        return outcome

    def put_many(self, blobs: Iterable[bytes]) -> list[str]:
        """Stores many objects, several at a time; their hashes in the order given. Errors as `put`."""
        return list(_spread(self.put, list(blobs)))

    def hold(self, hashes: Iterable[str]) -> bool:
        """Keeps objects that were there before from being collected before long; False if it is too late for one of them."""
        older = [each for each in hashes if not self._recent(each)]
        return not older or not self._guard.lost(older)

    def get(self, sha256: str) -> bytes:
        """The bytes that have this SHA-256.

        Raises:
            IntegrityError: there are none, or the stored ones have another hash.
            StoreUnavailable: the store did not answer.
        """
        found = self.store.get(object_name(sha256)) if _HASH.fullmatch(sha256) else None
        if found is None:
            raise IntegrityError(
                f"Object {sha256} is missing.", hint="It was deleted by hand, or the store was rolled back. Run `tidemill verify`."
            )
        if digest(found.data) != sha256:
            raise IntegrityError(
                f"Object {sha256} is damaged: its bytes have another hash.", hint="Restore it from a copy. Run `tidemill verify`."
            )
        return found.data

    def get_many(self, hashes: Iterable[str]) -> Iterator[bytes]:
        """Many objects, read several at a time, in the order given. Errors as `get`."""
        return _spread(self.get, list(hashes))

    def _recent(self, sha256: str) -> bool:
        with self._lock:
            at = self._put_at.get(sha256)
            return at is not None and time.monotonic() - at < _REMEMBERED_SECONDS

    def _remember(self, sha256: str) -> None:
        with self._lock:
            self._put_at[sha256] = time.monotonic()
            self._put_at.move_to_end(sha256)
            if len(self._put_at) > _REMEMBERED:
                self._put_at.popitem(last=False)


def _spread(call: Callable[[Given], Made], given: Sequence[Given]) -> Iterator[Made]:
    """Calls with every item, several at a time; results in order. A single item needs no thread."""
    if len(given) < 2:
        yield from map(call, given)
        return
    with ThreadPoolExecutor(min(_THREADS, len(given)), thread_name_prefix="objects") as pool:
        yield from pool.map(call, given)
