"""The log of a branch: immutable entries under the numbers 1, 2, 3, …, and a hint where it ends.

Creating entry n+1 *is* the commit, and what decides between two writers. A number, once taken, answers for ever whether a commit took place.
`refs/<branch>` only says where the end was lately: it is never trusted, only used to start looking, and whoever finds it behind moves it forward. So
it may be lost, stale, or damaged, and nothing else is.
"""

from __future__ import annotations

import contextlib
import threading
from typing import NamedTuple

import msgspec

from tidemill.catalog.objects import LogEntry, decode
from tidemill.errors import IntegrityError, StorageError
from tidemill.model.keys import branch_name
from tidemill.model.versions import canonical, digest
from tidemill.storage.base import BlobStore, Versioned
from tidemill.storage.conditional import put_once

_REMEMBERED = 4096


class Recorded(NamedTuple):
    """A log entry and the hash of its bytes, which the entry after it names."""

    entry: LogEntry
    hash: str


class Hint(msgspec.Struct, frozen=True, tag="ref/1"):
    """Where a branch ended when this was written."""

    number: int
    entry: str
    """SHA-256 of the entry of that number; empty with number 0."""


class Log:
    """One branch's log. Reads are remembered: entries never change. Safe to share between threads."""

    def __init__(self, store: BlobStore, branch: str) -> None:
        self.store = store
        self.branch = branch_name(branch)
        self._entries: dict[int, Recorded] = {}
        self._lock = threading.Lock()

    def find(self, number: int) -> Recorded | None:
        """The entry of a number, or None if it has not been written yet."""
        with self._lock:
            known = self._entries.get(number)
        if known is not None:
            return known
        found = self.store.get(entry_name(self.branch, number))
        return None if found is None else self._decoded(number, found.data)

    def read(self, number: int) -> Recorded:
        """The entry of a number that is known to have been written.

        Raises:
            IntegrityError: it is missing, or it is not the entry of this branch and number.
        """
        found = self.find(number)
        if found is None:
            raise IntegrityError(
                f"Entry {number} of branch `{self.branch}` is missing.", hint="The store was rolled back or damaged. Run `tidemill verify`."
            )
        return found

    def end(self) -> tuple[int, Recorded | None]:
        """The last number and its entry; 0 and None if nothing was ever committed. Moves a hint that is behind.

        Costs two reads when the hint is right, and a number of reads logarithmic in the distance when it is not.
        """
        blob = self.store.get(ref_name(self.branch))
        hint = _read_hint(blob)
        start = self._confirmed(hint)
        number = self._last_from(start)
        if number == 0:
            return 0, None
        last = self.read(number)
        if blob is None or number > hint.number or start < hint.number:
            self._point(blob, Hint(number, last.hash))
        return number, last

    def append(self, entry: LogEntry) -> bool:
        """Writes the entry under its number, which must be one past the end. **This is the commit.**

        Returns:
            False if another entry has the number: look what came, and try the next.

        Raises:
            StoreUnavailable: the outcome is unknown; writing the same entry again gives the answer.
        """
        if entry.number == 1:  # a branch is listed by its ref, so the ref exists before the branch does
            put_once(self.store, ref_name(self.branch), canonical(Hint(0, "")))
        data = canonical(entry)
        self.store.settle()  # what the entry names is on the disk before the entry is
        if not put_once(self.store, entry_name(self.branch, entry.number), data):
            return False
        self.store.settle()
        recorded = self._decoded(entry.number, data)
        with contextlib.suppress(StorageError):
            blob = self.store.get(ref_name(self.branch))
            if _read_hint(blob).number < entry.number:
                self._point(blob, Hint(entry.number, recorded.hash))
        return True

    def _confirmed(self, hint: Hint) -> int:
        """The hint's number if the log really has that entry, else 0: then the hint is damaged, or the store is older than it."""
        if hint.number == 0:
            return 0
        known = self._entries.get(hint.number)
        if known is not None and known.hash == hint.entry:
            return hint.number
        with self._lock:
            if known is not None or hint.number < max(self._entries, default=0):
                self._entries.clear()  # the store may have been restored from a copy: what was remembered may not be true any more
        found = self.find(hint.number)
        return hint.number if found is not None and found.hash == hint.entry else 0

    def _last_from(self, number: int) -> int:
        """The last number, looking forward from one that exists: double the step until it overshoots, then halve."""
        step = 1
        while self._exists(number + step):
            number, step = number + step, step * 2
        while step > 1:
            step //= 2
            if self._exists(number + step):
                number += step
        return number

    def _exists(self, number: int) -> bool:
        return self.find(number) is not None

    def _decoded(self, number: int, data: bytes) -> Recorded:
        what = f"Entry {number} of branch `{self.branch}`"
        entry: LogEntry = decode(data, LogEntry, what)
        if (entry.branch, entry.number) != (self.branch, number):
            raise IntegrityError(
                f"{what} is really entry {entry.number} of `{entry.branch}`.", hint="Somebody moved it. Run `tidemill verify`."
            )
        recorded = Recorded(entry, digest(data))
        with self._lock:
            before = self._entries.get(number - 1)
            if len(self._entries) >= _REMEMBERED or (before is not None and before.hash != entry.previous):
                self._entries.clear()  # full, or about another history than the one that is stored now
            self._entries[number] = recorded
        return recorded

    def _point(self, blob: Versioned | None, hint: Hint) -> None:
        """Moves the hint; whoever loses a race here loses nothing."""
        with contextlib.suppress(StorageError):
            if blob is None:
                self.store.create(ref_name(self.branch), canonical(hint))
            else:
                self.store.replace(ref_name(self.branch), canonical(hint), blob.etag)


def entry_name(branch: str, number: int) -> str:
    """The stored name of an entry; names sort as the numbers do."""
    return f"log/{branch}/{number:012d}"


def ref_name(branch: str) -> str:
    """The stored name of a branch's hint."""
    return f"refs/{branch}"


def _read_hint(blob: Versioned | None) -> Hint:
    try:
        return Hint(0, "") if blob is None else msgspec.json.decode(blob.data, type=Hint)
    except (msgspec.MsgspecError, UnicodeDecodeError):
        return Hint(0, "")
