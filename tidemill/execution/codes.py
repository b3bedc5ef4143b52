"""What code versions are made of, on record: so that a later plan can say which function changed, and not only that the code did.

A code version is the hash of a list of parts, and that list is what is stored under `code/<2 hex>/<version>`: create-only, small, and never collected.
Nothing depends on it but explanations.
"""

from __future__ import annotations

import threading
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor

import msgspec

from tidemill.definitions.code_version import CodeVersion
from tidemill.model.versions import digest
from tidemill.plan.explain import CodeParts
from tidemill.storage.base import BlobStore
from tidemill.storage.conditional import put_once

_WRITERS = 16


class Codes:
    """The record of code versions in a store. What was written once by this process is not written again. Safe to share between threads."""

    def __init__(self, store: BlobStore) -> None:
        self._store = store
        self._written: set[str] = set()
        self._lock = threading.Lock()

    def record(self, versions: Iterable[CodeVersion]) -> None:
        """Puts the parts of some code versions on record.

        Raises:
            StoreUnavailable: call again.
        """
        with self._lock:
            missing = [each for each in {each.version: each for each in versions}.values() if each.version not in self._written]
        if not missing:
            return
        with ThreadPoolExecutor(min(_WRITERS, len(missing)), thread_name_prefix="codes") as pool:
            list(pool.map(lambda each: put_once(self._store, code_name(each.version), each.content), missing))
        with self._lock:
            self._written.update(each.version for each in missing)

    def find(self, version: str) -> CodeParts | None:
        """The parts of a code version, or None if they are not on record, or damaged."""
        found = self._store.get(code_name(version))
        return None if found is None or digest(found.data) != version else parts_in(found.data)


def parts_in(content: bytes) -> CodeParts | None:
    """The parts in `CodeVersion.content`; None if they cannot be read."""
    try:
        match msgspec.json.decode(content):
            case ["code/1", "explicit", _, str(text)]:
                return {("explicit version", text): text}
            case ["code/1", *parts]:
                return {(kind, name): value for kind, name, value in msgspec.convert(parts, list[tuple[str, str, str]])}
            case _:
                return None
    except (msgspec.MsgspecError, UnicodeDecodeError):
        return None


def code_name(version: str) -> str:
    """Where the parts of a code version are kept."""
    return f"code/{version[:2]}/{version}"
