"""Durable timers in memory: one heap, one sleeper.

A timer fires after the whole seconds that remain when it is set, cut off, never rounded: upstream's queues count delays in whole seconds,
so timers there are up to a second early, and an app that works here must live with that there.
"""

from __future__ import annotations

import asyncio
import contextlib
import heapq
import itertools
import logging
from collections.abc import Callable
from typing import Final

from devhost.durable.history import Event
from devhost.durable.times import TICKS_PER_SECOND, now_ticks, to_ticks

_LONGEST_SLEEP: Final = 30.0
"""Wake up at least this often: a laptop's lid stops the loop's clock but not the wall's."""

Fire = Callable[[str, str, Event], None]


class Timers:
    """Timers of all instances. `fire(instance_id, execution_id, created)` is called when one is due."""

    def __init__(self, fire: Fire, log: logging.Logger) -> None:
        self._fire = fire
        self._log = log
        self._heap: list[tuple[int, int, tuple[str, str, int]]] = []
        self._events: dict[tuple[str, str, int], Event] = {}
        self._keys: dict[str, set[tuple[str, str, int]]] = {}
        self._count = itertools.count()
        self._changed = asyncio.Event()
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        self._task = asyncio.create_task(self._run(), name="durable-timers")

    async def stop(self) -> None:
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    def set(self, instance_id: str, execution_id: str, created: Event) -> None:
        """Sets the timer that `created` describes; setting it again changes nothing."""
        key = (instance_id, execution_id, created.id)
        if key in self._events:
            return
        now = now_ticks()
        remaining = to_ticks(created.members["FireAt"]) - now
        delay = max(0, remaining // TICKS_PER_SECOND)
        if remaining > 0:
            self._log.debug(
                "timer #%d of %s fires in %d s, %.2f s early, as queue delays are whole seconds",
                created.id,
                instance_id,
                delay,
                remaining / TICKS_PER_SECOND - delay,
            )
        self._events[key] = created
        self._keys.setdefault(instance_id, set()).add(key)
        if delay == 0:
            asyncio.get_running_loop().call_soon(self._due, key)
            return
        heapq.heappush(self._heap, (now + delay * TICKS_PER_SECOND, next(self._count), key))
        self._changed.set()

    def forget(self, instance_id: str) -> None:
        """Drops every timer of an instance that has ended."""
        for key in self._keys.pop(instance_id, ()):
            del self._events[key]

    def _due(self, key: tuple[str, str, int]) -> None:
        created = self._events.pop(key, None)
        if created is not None:
            keys = self._keys[key[0]]
            keys.discard(key)
            if not keys:
                del self._keys[key[0]]
            self._fire(key[0], key[1], created)

    async def _run(self) -> None:
        while True:
            self._changed.clear()
            while self._heap and (self._heap[0][0] <= now_ticks() or self._heap[0][2] not in self._events):
                self._due(heapq.heappop(self._heap)[2])
            wait = (self._heap[0][0] - now_ticks()) / TICKS_PER_SECOND if self._heap else _LONGEST_SLEEP
            with contextlib.suppress(TimeoutError):
                # not wait_for: in Python 3.11 it can swallow the cancellation that stops this task
                async with asyncio.timeout(max(0.0, min(wait, _LONGEST_SLEEP))):
                    await self._changed.wait()
