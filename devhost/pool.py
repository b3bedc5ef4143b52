"""The worker pool: N worker processes that run the app's functions, always N of them, whatever becomes of one.

Calls wait here, in order, and not inside a worker, so that a free worker takes the next one and a worker that dies takes few with it.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections import deque
from typing import Literal

from devhost.functions import FunctionMetadata
from devhost.invocation import Failed, Invocation, Succeeded, TimedOut, WorkerLost
from devhost.worker_process import WorkerIndex, WorkerLaunch, WorkerProcess, describe_exit

_log = logging.getLogger("Host.Workers")

_AHEAD = 2
"""Sync calls sent to a worker beyond its threads, so that a thread that becomes free finds the next one there."""
_ASYNC_CALLS = 1000
"""Async calls sent to one worker at a time."""
_QUICK_DEATH_SECONDS = 5.0
_MAX_RESTART_DELAY_SECONDS = 10.0


class AppLoadError(Exception):
    """The app does not load; `problems` says why, one text for each reason."""

    def __init__(self, problems: tuple[str, ...]) -> None:
        super().__init__("; ".join(problems))
        self.problems = problems


Kind = Literal["sync", "async"]
"""How a function runs in a worker: on one of its threads, or on its event loop."""


class _Slot:
    """One place in the pool and the worker that holds it at the moment."""

    def __init__(self) -> None:
        self.worker: WorkerProcess | None = None
        self.calls: dict[Kind, int] = {"sync": 0, "async": 0}
        self.limits: dict[Kind, int] = {"sync": 0, "async": 0}
        self.restarts_in_a_row = 0

    def has_room(self, kind: Kind) -> bool:
        return self.worker is not None and self.worker.is_usable and self.calls[kind] < self.limits[kind]

    @property
    def load(self) -> int:
        return sum(self.calls.values())


class WorkerPool:
    """Runs functions in worker processes; the host's `Invoker`."""

    def __init__(self, launch: WorkerLaunch, *, size: int = 1, timeout_seconds: float | None = None) -> None:
        """Args:
        size: how many workers.
        timeout_seconds: `functionTimeout`; None is without limit.
        """
        self._launch = launch
        self._slots = [_Slot() for _ in range(size)]
        self._timeout = timeout_seconds
        self._waiting: dict[Kind, deque[asyncio.Future[_Slot]]] = {"sync": deque(), "async": deque()}
        self._kinds: dict[str, Kind] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._idle = asyncio.Event()
        self._idle.set()
        self._open_calls = 0
        self._is_stopping = False
        self.functions: tuple[FunctionMetadata, ...] = ()

    @property
    def open_calls(self) -> int:
        """Calls that run or wait."""
        return self._open_calls

    @property
    def worker_pids(self) -> list[int]:
        return [slot.worker.pid for slot in self._slots if slot.worker is not None]

    async def start(self) -> None:
        """Starts all workers and waits until every one has loaded the app.

        Raises:
            AppLoadError: the app does not load; no worker is left running.
        """
        started = await asyncio.gather(*(self._start_worker(slot) for slot in self._slots), return_exceptions=True)
        try:
            for index in started:
                if isinstance(index, BaseException):
                    raise index
                self._adopt(index)
        except BaseException as error:
            await self.stop(grace_seconds=0)
            if isinstance(error, WorkerLost):
                raise AppLoadError((str(error),)) from error
            raise

    def _adopt(self, index: WorkerIndex) -> None:
        if index.problems:
            raise AppLoadError(index.problems)
        self.functions = index.functions
        self._kinds = {function.name: "async" if function.is_async else "sync" for function in index.functions}

    async def _start_worker(self, slot: _Slot) -> WorkerIndex:
        started = time.monotonic()
        worker = WorkerProcess(lambda ended: self._worker_ended(slot, ended, time.monotonic() - started))
        await worker.start(self._launch)
        try:
            index = await worker.index
        except asyncio.CancelledError:
            worker.is_stopping = True
            worker.kill()
            raise
        slot.calls = {"sync": 0, "async": 0}
        slot.limits = {"sync": index.threads + _AHEAD, "async": _ASYNC_CALLS}
        slot.worker = worker
        self._wake(slot)
        return index

    # Calls

    async def invoke(self, invocation: Invocation) -> Succeeded | Failed:
        """Runs the function once in the least busy worker, waiting for room in one.

        Raises:
            TimedOut: it ran past the timeout; its worker has been killed and is being replaced.
            WorkerLost: the worker ended before the function did, or the host is stopping.
        """
        kind = self._kinds.get(invocation.function, "sync")
        self._open_calls += 1
        self._idle.clear()
        try:
            slot = await self._room(kind)
            while (worker := slot.worker) is None or not worker.is_usable:  # it ended just now, and the call was not started
                slot = await self._room(kind)
            try:
                return await self._call(worker, invocation)
            finally:
                if slot.worker is worker:
                    self._release(slot, kind)
        finally:
            self._open_calls -= 1
            if not self._open_calls:
                self._idle.set()

    async def _call(self, worker: WorkerProcess, invocation: Invocation) -> Succeeded | Failed:
        if self._timeout is None:
            return await worker.invoke(invocation)
        try:
            async with asyncio.timeout(self._timeout):
                return await worker.invoke(invocation)
        except TimeoutError:
            _log.error(
                "Timeout value of %s s was exceeded by function Functions.%s (id %s); its worker is being replaced.",
                f"{self._timeout:g}", invocation.function, invocation.invocation_id,
            )  # fmt: skip
            worker.kill()
            raise TimedOut(f"{invocation.function} ran longer than functionTimeout ({self._timeout:g} s)") from None

    async def _room(self, kind: Kind) -> _Slot:
        if self._is_stopping:
            raise WorkerLost("the host is stopping")
        free = [slot for slot in self._slots if slot.has_room(kind)]
        if free and not self._waiting[kind]:
            slot = min(free, key=lambda slot: slot.load)
            slot.calls[kind] += 1
            return slot
        place: asyncio.Future[_Slot] = asyncio.get_running_loop().create_future()
        self._waiting[kind].append(place)
        try:
            return await place
        except asyncio.CancelledError:
            if place.done() and not place.cancelled() and place.exception() is None:
                self._release(place.result(), kind)
            raise

    def _release(self, slot: _Slot, kind: Kind) -> None:
        slot.calls[kind] -= 1
        self._wake(slot)

    def _wake(self, slot: _Slot) -> None:
        for kind, waiting in self._waiting.items():
            while waiting and slot.has_room(kind):
                place = waiting.popleft()
                if not place.done():
                    slot.calls[kind] += 1
                    place.set_result(slot)

    # Workers that end

    def _worker_ended(self, slot: _Slot, worker: WorkerProcess, lived_seconds: float) -> None:
        if slot.worker is not worker or self._is_stopping or worker.is_stopping:
            return
        slot.worker = None
        slot.restarts_in_a_row = slot.restarts_in_a_row + 1 if lived_seconds < _QUICK_DEATH_SECONDS else 1
        _log.error("A worker process (pid %d) ended with %s; starting another.", worker.pid, describe_exit(worker.exit_code))
        task = asyncio.get_running_loop().create_task(self._replace(slot))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _replace(self, slot: _Slot) -> None:
        """Fills a slot again, at once the first time, then more and more slowly."""
        while not self._is_stopping:
            if slot.restarts_in_a_row > 1:
                await asyncio.sleep(min(0.25 * 2 ** (slot.restarts_in_a_row - 2), _MAX_RESTART_DELAY_SECONDS))
            try:
                index = await self._start_worker(slot)
            except WorkerLost as error:
                slot.restarts_in_a_row += 1
                _log.error("A worker could not be started: %s", error)
                continue
            if index.problems:
                # Its functions would answer with other code than the host knows: keep it, but say so
                _log.error("The app does not load any more: %s", "; ".join(index.problems))
            return

    # The end

    async def drain(self, timeout_seconds: float) -> bool:
        """Waits until no call is open; False when some still were after `timeout_seconds`."""
        try:
            await asyncio.wait_for(self._idle.wait(), timeout_seconds)
        except TimeoutError:
            return False
        return True

    async def stop(self, *, grace_seconds: float = 2.0) -> None:
        """Ends all workers; open calls get `WorkerLost`."""
        self._is_stopping = True
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        for waiting in self._waiting.values():
            while waiting:
                place = waiting.popleft()
                if not place.done():
                    place.set_exception(WorkerLost("the host is stopping"))
        await asyncio.gather(*(slot.worker.stop(grace_seconds) for slot in self._slots if slot.worker is not None))
