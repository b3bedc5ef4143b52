"""What a store must do: keep named bytes, and decide races with two conditional writes.

Everything Tidemill remembers goes through these six methods. Names are `/`-separated paths that we make ourselves; no raw user text is ever
part of one. Methods block; callers that live in an event loop use a thread.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple, Protocol


class Versioned(NamedTuple):
    """Bytes and the tag of the write that put them there."""

    data: bytes
    etag: str


class BlobStore(Protocol):
    """Named bytes with create-only and compare-and-swap writes.

    Every method may raise `StoreUnavailable`; after a failed write nobody knows whether it took place. Product code therefore writes through
    `storage.conditional`, which reads back.
    """

    def get(self, name: str) -> Versioned | None:
        """The bytes under a name, or None if there are none."""
        ...

    def create(self, name: str, data: bytes) -> bool:
        """Stores bytes under a new name; False, and nothing stored, if the name is taken (by whatever bytes)."""
        ...

    def replace(self, name: str, data: bytes, etag: str) -> bool:
        """Overwrites the bytes that carry this tag; False, and nothing stored, if the name holds another version or nothing."""
        ...

    def delete(self, name: str) -> None:
        """Forgets a name; quiet if there is none."""
        ...

    def settle(self) -> None:
        """Waits until everything this store has acknowledged would survive a power cut. Nothing to do where an acknowledgement says that."""
        ...

    def names(self, prefix: str, *, after: str = "") -> Iterator[str]:
        """All names that start with the prefix and sort after `after`, in ordinal order."""
        ...
