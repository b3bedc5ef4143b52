"""A store in memory: the reference for what a store does, and the one tests use. It is gone with its process."""

from __future__ import annotations

import threading
from collections.abc import Iterator

from tidemill.storage.base import Versioned
from tidemill.storage.names import check_name, check_prefix


class MemoryStore:
    """A `BlobStore` over a dict; safe to share between threads."""

    def __init__(self) -> None:
        self._blobs: dict[str, Versioned] = {}
        self._writes = 0
        self._lock = threading.Lock()

    def get(self, name: str) -> Versioned | None:
        """See `BlobStore.get`."""
        return self._blobs.get(check_name(name))

    def create(self, name: str, data: bytes) -> bool:
        """See `BlobStore.create`."""
        check_name(name)
        with self._lock:
            if name in self._blobs:
                return False
            self._put(name, data)
            return True

    def replace(self, name: str, data: bytes, etag: str) -> bool:
        """See `BlobStore.replace`."""
        check_name(name)
        with self._lock:
            current = self._blobs.get(name)
            if current is None or current.etag != etag:
                return False
            self._put(name, data)
            return True

    def delete(self, name: str) -> None:
        """See `BlobStore.delete`."""
        check_name(name)
        with self._lock:
            self._blobs.pop(name, None)

    def settle(self) -> None:
        """See `BlobStore.settle`: nothing to do."""

    def names(self, prefix: str, *, after: str = "") -> Iterator[str]:
        """See `BlobStore.names`; names written or deleted meanwhile do not show."""
        check_prefix(prefix)
        with self._lock:
            found = [name for name in self._blobs if name.startswith(prefix) and name > after]
        yield from sorted(found)

    def __repr__(self) -> str:
        return f"MemoryStore({len(self._blobs)} blobs)"

    def _put(self, name: str, data: bytes) -> None:
        self._writes += 1
        self._blobs[name] = Versioned(bytes(data), f"w{self._writes}")
