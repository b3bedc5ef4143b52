"""A store with faults: loses replies, answers 5xx, repeats writes behind the caller's back, and dies at chosen moments.

What real clients and real networks do to conditional writes, made exact and repeatable. Wrap any store, say which call meets which fault, and look at
`calls` afterwards to be sure that it did.
"""

from __future__ import annotations

import enum
import random
import threading
from collections.abc import Callable, Iterator, Mapping
from typing import NamedTuple, TypeVar

from tidemill.errors import StoreUnavailable
from tidemill.storage.base import BlobStore, Versioned

T = TypeVar("T")


class Fault(enum.Enum):
    """What happens to one call."""

    FAIL_BEFORE = "fail-before"
    """A 5xx or a broken connection; nothing took place."""
    FAIL_AFTER = "fail-after"
    """The write took place and its reply was lost. For a read: the answer was lost."""
    REPEATED = "repeated"
    """The reply was lost, and the client sent the write again by itself and met its own first one: it took place, and is reported as refused."""
    CRASH_BEFORE = "crash-before"
    """The process dies; nothing took place."""
    CRASH_AFTER = "crash-after"
    """The process dies right after the write took place."""


class Crash(BaseException):
    """The process is dead. Not an `Exception`, so that no error handler outlives it."""


class Call(NamedTuple):
    """One call that reached the store."""

    number: int
    """0 for the first."""
    verb: str
    """`get`, `create`, `replace`, `delete` or `names`."""
    name: str


Script = Callable[[Call], Fault | None]


class FaultyStore:
    """A `BlobStore` around another one. Safe to share between threads."""

    def __init__(self, inner: BlobStore, script: Script = lambda _: None) -> None:
        self.inner = inner
        self.script = script
        self.calls: list[Call] = []
        self.met: list[tuple[Call, Fault]] = []
        """The faults that really took place, with their calls."""
        self._lock = threading.Lock()

    def get(self, name: str) -> Versioned | None:
        """See `BlobStore.get`."""
        return self._do("get", name, lambda: self.inner.get(name))

    def create(self, name: str, data: bytes) -> bool:
        """See `BlobStore.create`."""
        return self._do("create", name, lambda: self.inner.create(name, data), refused=False)

    def replace(self, name: str, data: bytes, etag: str) -> bool:
        """See `BlobStore.replace`."""
        return self._do("replace", name, lambda: self.inner.replace(name, data, etag), refused=False)

    def delete(self, name: str) -> None:
        """See `BlobStore.delete`."""
        self._do("delete", name, lambda: self.inner.delete(name))

    def settle(self) -> None:
        """See `BlobStore.settle`."""
        self.inner.settle()

    def names(self, prefix: str, *, after: str = "") -> Iterator[str]:
        """See `BlobStore.names`."""
        return self._do("names", prefix, lambda: self.inner.names(prefix, after=after))

    def _do(self, verb: str, name: str, act: Callable[[], T], *, refused: T | None = None) -> T:
        with self._lock:
            call = Call(len(self.calls), verb, name)
            self.calls.append(call)
            fault = self.script(call)
            if fault is Fault.REPEATED and refused is None:  # only conditional writes can meet themselves
                fault = None
            if fault is not None:
                self.met.append((call, fault))
        if fault is Fault.CRASH_BEFORE:
            raise Crash(call)
        if fault is Fault.FAIL_BEFORE:
            raise StoreUnavailable(f"The store did not answer (to {verb} `{name}`): injected.")
        result = act()
        if fault is Fault.CRASH_AFTER:
            raise Crash(call)
        if fault is Fault.FAIL_AFTER:
            raise StoreUnavailable(f"The store's answer was lost (to {verb} `{name}`): injected.")
        if fault is Fault.REPEATED and refused is not None:
            return refused
        return result


def at(faults: Mapping[int, Fault]) -> Script:
    """Faults by number of the call."""
    return lambda call: faults.get(call.number)


def seeded(seed: int, rates: Mapping[Fault, float]) -> Script:
    """Faults by chance: each kind with its own probability per call, the same ones for the same seed and calls."""
    chance = random.Random(seed)  # noqa: S311 - repeatable on purpose

    def script(_: Call) -> Fault | None:
        draw = chance.random()
        for fault, rate in rates.items():
            if draw < rate:
                return fault
            draw -= rate
        return None

    return script
