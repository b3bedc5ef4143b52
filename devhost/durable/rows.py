"""Writes instances rows after the fact: the history is committed already, so rows may come late, together, and again.

A row that says "ended" is written at once; anything else waits a moment, since most instances change again within it. Until a row is
written, readers get it from here.
"""

from __future__ import annotations

import asyncio
import logging
from typing import Final

from devhost.durable.state import InstanceState
from devhost.durable.store import HubStore
from devhost.storage.errors import StorageError, StorageUnavailable

_DELAY_SECONDS: Final = 2.0
"""Only programs that read the table themselves see a row this late: the host answers from memory, and writes late rows before it lists."""
_REMEMBERED_SECONDS: Final = 2.0
"""For how long an ended instance is still answered for from memory: whoever waits for its end asks just then."""
_AT_ONCE: Final = 16


class RowWriter:
    """The rows that are still to be written, one newest version per instance."""

    def __init__(self, store: HubStore, log: logging.Logger) -> None:
        self._store = store
        self._log = log
        self._waiting: dict[str, InstanceState] = {}
        self._writing: dict[str, asyncio.Task[None]] = {}
        self._since: dict[str, float] = {}
        """When the oldest change that is not written was made, oldest first, of those that may wait."""
        self._ended: dict[str, tuple[float, InstanceState]] = {}
        self._slots = asyncio.Semaphore(_AT_ONCE)
        self._timer: asyncio.TimerHandle | None = None

    def late(self, instance_id: str) -> InstanceState | None:
        """The newest state of an instance whose row is not written yet, or says since a moment that it has ended."""
        waiting = self._waiting.get(instance_id)
        if waiting is None and (ended := self._ended.get(instance_id)) is not None and ended[0] + _REMEMBERED_SECONDS > _now():
            return ended[1]
        return waiting

    def mark(self, state: InstanceState, *, at_once: bool) -> None:
        """Takes note of a new state; it is written soon, or now."""
        self._waiting[state.instance_id] = state.copy()
        self._ended.pop(state.instance_id, None)
        if at_once:
            self._begin(state.instance_id)
            return
        self._since.setdefault(state.instance_id, _now())
        if self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(_DELAY_SECONDS, self._write_old)

    async def settle(self, instance_id: str) -> None:
        """Returns when nothing of this instance is left to write."""
        while instance_id in self._waiting or instance_id in self._writing:
            self._begin(instance_id)
            await asyncio.shield(self._writing[instance_id])

    async def flush(self) -> None:
        """Returns when every row that was late at the time of the call is written, so that a query sees it."""
        for instance_id in list(self._waiting):
            self._begin(instance_id)
        if self._writing:
            await asyncio.wait(set(self._writing.values()), timeout=5.0)

    async def forget(self, instance_id: str) -> None:
        """Drops what was to be written; returns when no write is under way."""
        self._waiting.pop(instance_id, None)
        self._since.pop(instance_id, None)
        self._ended.pop(instance_id, None)
        task = self._writing.get(instance_id)
        if task is not None:
            await asyncio.wait([task])

    async def stop(self) -> None:
        """Writes everything that is left."""
        if self._timer is not None:
            self._timer.cancel()
        for instance_id in list(self._waiting):
            self._begin(instance_id)
        await asyncio.gather(*self._writing.values(), return_exceptions=True)

    def abandon(self) -> None:
        """Stops writing: another host owns the hub."""
        self._waiting.clear()
        for task in self._writing.values():
            task.cancel()

    def _write_old(self) -> None:
        self._timer = None
        oldest = _now() - _DELAY_SECONDS
        for instance_id in [instance_id for instance_id, since in self._since.items() if since <= oldest]:
            self._begin(instance_id)
        if self._since:
            wait = next(iter(self._since.values())) - oldest
            self._timer = asyncio.get_running_loop().call_later(max(wait, 0.05), self._write_old)

    def _begin(self, instance_id: str) -> None:
        self._since.pop(instance_id, None)
        if instance_id not in self._writing:
            self._writing[instance_id] = asyncio.create_task(self._write(instance_id))

    async def _write(self, instance_id: str) -> None:
        delay = 0.5
        try:
            while (state := self._waiting.get(instance_id)) is not None:
                try:
                    async with self._slots:
                        await self._store.put_instance(state)
                except (StorageError, StorageUnavailable) as problem:
                    self._log.warning("the status of instance %s could not be written, trying again: %s", instance_id, problem)
                    await asyncio.sleep(delay)
                    delay = min(delay * 2, 30.0)
                    continue
                if self._waiting.get(instance_id) is state:
                    del self._waiting[instance_id]
                    self._remember(state)
        finally:
            self._writing.pop(instance_id, None)

    def _remember(self, state: InstanceState) -> None:
        now = _now()
        while self._ended and (first := next(iter(self._ended.items())))[1][0] + _REMEMBERED_SECONDS < now:
            del self._ended[first[0]]
        if state.is_terminal:
            self._ended[state.instance_id] = now, state


def _now() -> float:
    return asyncio.get_running_loop().time()
