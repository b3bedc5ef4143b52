"""The log of a branch: immutable entries under the numbers 1, 2, 3, …, and a hint where it ends.

Creating entry n+1 *is* the commit, and what decides between two writers. A number, once taken, answers for ever whether a commit took place.
`refs/<branch>` only says where the end was lately: it is used to start looking, and whoever finds it behind moves it forward. It may be lost, stale, or
damaged (its seal tells), and nothing else is. But where it is whole, the entry it names was there: if that is gone or altered, the store is damaged.
"""

from __future__ import annotations

import contextlib
import threading
from typing import NamedTuple

import msgspec

from tidemill.catalog.objects import LogEntry, decode, is_json
from tidemill.errors import IntegrityError, MessageError, StorageError
from tidemill.model.keys import branch_name
from tidemill.model.versions import canonical, digest
from tidemill.storage.base import BlobStore, Versioned
from tidemill.storage.conditional import put_once
from tidemill.storage.sealed import seal, unseal

_REMEMBERED = 16_384


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

        Raises:
            IntegrityError: the entry that the hint names is missing or altered.
        """
        blob = self.store.get(ref_name(self.branch))
        hint = read_hint(self.branch, blob) or Hint(0, "")
        start = self._confirmed(hint)
        number = self._last_from(start)
        if number == 0:
            return 0, None
        last = self.read(number)
        if blob is None or number > hint.number:
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
            put_once(self.store, ref_name(self.branch), hint_bytes(self.branch, Hint(0, "")))
        data = canonical(entry)
        self.store.settle()  # what the entry names is on the disk before the entry is
        if not put_once(self.store, entry_name(self.branch, entry.number), data):
            return False
        self.store.settle()
        recorded = self._decoded(entry.number, data)
        with contextlib.suppress(StorageError):
            blob = self.store.get(ref_name(self.branch))
            if (read_hint(self.branch, blob) or Hint(0, "")).number < entry.number:
                self._point(blob, Hint(entry.number, recorded.hash))
        return True

    def _confirmed(self, hint: Hint) -> int:
        """The hint's number, once the log is known to have that entry."""
        if hint.number == 0:
            return 0
        known = self._entries.get(hint.number)
        if known is not None and known.hash == hint.entry:
            return hint.number
        with self._lock:
            if known is not None or hint.number < max(self._entries, default=0):
                self._entries.clear()  # the store may have been restored from a copy: what was remembered may not be true any more
        found = self.find(hint.number)
        if found is None or found.hash != hint.entry:
            raise IntegrityError(
                f"Entry {hint.number} of branch `{self.branch}` is {'missing' if found is None else 'altered'}: `{ref_name(self.branch)}` says what it was.",
                hint=f"Restore it from a copy. To accept what is there now, look at it with `tidemill verify`, then delete `{ref_name(self.branch)}`.",
            )
        return hint.number

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
        if not is_json(data):
            raise IntegrityError(f"{what} is damaged: it is no JSON.", hint="Restore it from a copy. Run `tidemill verify`.")
        entry: LogEntry = decode(data, LogEntry, what)
        if canonical(entry) != data:
            raise IntegrityError(
                f"{what} is damaged: its bytes are not in canonical form.", hint="Restore it from a copy. Run `tidemill verify`."
            )
        if (entry.branch, entry.number) != (self.branch, number):
            raise IntegrityError(
                f"{what} is really entry {entry.number} of `{entry.branch}`.", hint="Somebody moved it. Run `tidemill verify`."
            )
        recorded = Recorded(entry, digest(data))
        with self._lock:
            before, following = self._entries.get(number - 1), self._entries.get(number + 1)
            fits = (before is None or before.hash == entry.previous) and (following is None or following.entry.previous == recorded.hash)
            if len(self._entries) >= _REMEMBERED or not fits:
                self._entries.clear()  # full, or about another history than the one that is stored now
            self._entries[number] = recorded
        if following is not None and not fits:
            self._check_following(recorded)
        return recorded

    def _check_following(self, recorded: Recorded) -> None:
        """Tells a log that was replaced while this process ran, in which entries fit each other, from one in which an entry was altered."""
        number = recorded.entry.number
        blob = self.store.get(entry_name(self.branch, number + 1))
        with contextlib.suppress(MessageError):
            following: LogEntry | None = None if blob is None else decode(blob.data, LogEntry, "the next")
            if following is not None and following.previous != recorded.hash:
                with self._lock:
                    self._entries.clear()
                raise IntegrityError(
                    f"Entry {number} of branch `{self.branch}` is not the one that entry {number + 1} was written after.",
                    hint="One of them was altered. Run `tidemill verify`.",
                )

    def _point(self, blob: Versioned | None, hint: Hint) -> None:
        """Moves the hint; whoever loses a race here loses nothing."""
        with contextlib.suppress(StorageError):
            if blob is None:
                self.store.create(ref_name(self.branch), hint_bytes(self.branch, hint))
            else:
                self.store.replace(ref_name(self.branch), hint_bytes(self.branch, hint), blob.etag)


def entry_name(branch: str, number: int) -> str:
    """The stored name of an entry; names sort as the numbers do."""
    return f"log/{branch}/{number:012d}"


def ref_name(branch: str) -> str:
    """The stored name of a branch's hint."""
    return f"refs/{branch}"


def hint_bytes(branch: str, hint: Hint) -> bytes:
    """A hint as it is stored."""
    return seal(ref_name(branch), canonical(hint))


def read_hint(branch: str, blob: Versioned | None) -> Hint | None:
    """A stored hint; None if there is none, or it is damaged."""
    data = None if blob is None else unseal(ref_name(branch), blob.data)
    try:
        return None if data is None else msgspec.json.decode(data, type=Hint)
    except msgspec.MsgspecError:
        return None
