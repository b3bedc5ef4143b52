"""The worker pool: N worker processes that run the app's functions, always N of them, whatever becomes of one.

Calls wait here, in order, and not inside a worker, so that a free worker takes the next one and a worker that dies takes few with it.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections import deque
from collections.abc import Coroutine
from dataclasses import dataclass
from typing import Any, Literal

from devhost.durations import duration_text
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
_MEMORY_CHECK_SECONDS = 1.0
_LEAST_LIFE_SECONDS = 5.0
"""A worker younger than this is not replaced for its memory: an app that fills it at once would do nothing but start workers."""
_GRACE_SECONDS = 2.0
_MB = 1 << 20


class AppLoadError(Exception):
    """The app does not load; `problems` says why, one text for each reason."""

    def __init__(self, problems: tuple[str, ...]) -> None:
        super().__init__("; ".join(problems))
        self.problems = problems


Kind = Literal["sync", "async"]
"""How a function runs in a worker: on one of its threads, or on its event loop."""


@dataclass(frozen=True, slots=True)
class _Need:
    """What room a call needs."""

    kind: Kind
    is_suspect: bool
    """A worker has ended under it before. At most one such call runs in a worker at a time: those that were only in bad company come through,
    and the one that is to blame takes no other of them along."""


class _Slot:
    """One place in the pool and the worker that holds it at the moment."""

    def __init__(self) -> None:
        self.worker: WorkerProcess | None = None
        self.calls: dict[Kind, int] = {"sync": 0, "async": 0}
        self.limits: dict[Kind, int] = {"sync": 0, "async": 0}
        self.has_suspect = False
        self.restarts_in_a_row = 0
        self.started = 0.0
        self.is_renewing = False
        """A fresh worker is being started for it, while the old one still runs."""

    def has_room(self, need: _Need) -> bool:
        is_free = self.worker is not None and self.worker.is_usable and self.calls[need.kind] < self.limits[need.kind]
        return is_free and not (need.is_suspect and self.has_suspect)

    def take(self, need: _Need) -> None:
        self.calls[need.kind] += 1
        self.has_suspect = self.has_suspect or need.is_suspect

    def give_back(self, need: _Need) -> None:
        self.calls[need.kind] = max(0, self.calls[need.kind] - 1)
        self.has_suspect = self.has_suspect and not need.is_suspect

    def refill(self, worker: WorkerProcess, threads: int) -> None:
        """Puts a new worker in."""
        self.calls = {"sync": 0, "async": 0}
        self.limits = {"sync": threads + _AHEAD, "async": _ASYNC_CALLS}
        self.has_suspect = False
        self.worker = worker
        self.started = time.monotonic()

    @property
    def load(self) -> int:
        return sum(self.calls.values())


class WorkerPool:
    """Runs functions in worker processes; the host's `Invoker`."""

    def __init__(
        self, launch: WorkerLaunch, *, size: int = 1, timeout_seconds: float | None = None, memory_bytes: int | None = None
    ) -> None:
        """Args:
        size: how many workers.
        timeout_seconds: `functionTimeout`; None is without limit.
        memory_bytes: a worker that occupies more is replaced once its calls are finished; None is without limit.
        """
        self._launch = launch
        self._slots = [_Slot() for _ in range(size)]
        self._timeout = timeout_seconds
        self._memory = memory_bytes
        self._retiring: set[WorkerProcess] = set()
        self._waiting: dict[_Need, deque[asyncio.Future[_Slot]]] = {
            _Need(kind, is_suspect): deque() for is_suspect in (True, False) for kind in ("sync", "async")
        }
        self._kinds: dict[str, Kind] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._idle = asyncio.Event()
        self._idle.set()
        self._open_calls = 0
        self._is_stopping = False
        self.functions: tuple[FunctionMetadata, ...] = ()
        self.serves_streams = False
        """Whether the workers take in requests of streamed functions."""

    @property
    def open_calls(self) -> int:
        """Calls that run or wait."""
        return self._open_calls

    @property
    def worker_pids(self) -> list[int]:
        return [worker.pid for worker in self._workers]

    @property
    def _workers(self) -> list[WorkerProcess]:
        """All that run, those among them that only finish their calls."""
        return [*(slot.worker for slot in self._slots if slot.worker is not None), *self._retiring]

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
        if self._memory is not None:
            self._spawn(self._watch_memory(self._memory))

    def _spawn(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def _adopt(self, index: WorkerIndex) -> None:
        if index.problems:
            raise AppLoadError(index.problems)
        self.functions = index.functions
        # A streamed call may last long after a sync function has returned, and takes up no thread then
        self._kinds = {f.name: "async" if f.is_async or f.is_streamed else "sync" for f in index.functions}
        self.serves_streams = index.http_port is not None

    async def _start_worker(self, slot: _Slot) -> WorkerIndex:
        started = time.monotonic()
        worker = WorkerProcess(lambda ended: self._worker_ended(slot, ended, time.monotonic() - started))
        await worker.start(self._launch)
        try:
            index = await worker.index
        except WorkerLost:
            await worker.ended.wait()
            raise
        except asyncio.CancelledError:
            worker.is_stopping = True
            worker.kill()
            raise
        slot.refill(worker, index.threads)
        self._wake(slot)
        return index

    # Calls

    async def invoke(self, invocation: Invocation) -> Succeeded | Failed:
        """Runs the function once in the least busy worker, waiting for room in one.

        Raises:
            TimedOut: it ran past the timeout; its worker has been killed and is being replaced.
            WorkerLost: the worker ended before the function did, or the host is stopping.
        """
        need = _Need(self._kinds.get(invocation.function, "sync"), invocation.lost_a_worker)
        self._open_calls += 1
        self._idle.clear()
        try:
            slot = await self._room(need)
            while (worker := slot.worker) is None or not worker.is_usable:  # it ended just now, and the call was not started
                slot = await self._room(need)
            try:
                return await self._call(worker, invocation)
            finally:
                if slot.worker is worker:
                    self._release(slot, need)
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
            limit = duration_text(self._timeout)
            raise TimedOut(f"Timeout value of {limit} was exceeded by function: Functions.{invocation.function}") from None

    async def _room(self, need: _Need) -> _Slot:
        if self._is_stopping:
            raise WorkerLost("the host is stopping")
        free = [slot for slot in self._slots if slot.has_room(need)]
        if free and not self._waiting[need]:
            slot = min(free, key=lambda slot: slot.load)
            slot.take(need)
            return slot
        place: asyncio.Future[_Slot] = asyncio.get_running_loop().create_future()
        self._waiting[need].append(place)
        try:
            return await place
        except asyncio.CancelledError:
            if place.done() and not place.cancelled() and place.exception() is None:
                self._release(place.result(), need)
            raise

    def _release(self, slot: _Slot, need: _Need) -> None:
        slot.give_back(need)
        self._wake(slot)

    def _wake(self, slot: _Slot) -> None:
        for need, waiting in self._waiting.items():
            while waiting and slot.has_room(need):
                place = waiting.popleft()
                if not place.done():
                    slot.take(need)
                    place.set_result(slot)

    # Workers that end

    def _worker_ended(self, slot: _Slot, worker: WorkerProcess, lived_seconds: float) -> None:
        if slot.worker is not worker or self._is_stopping or worker.is_stopping:
            return
        slot.worker = None
        if slot.is_renewing:
            return  # another is being started already
        slot.restarts_in_a_row = slot.restarts_in_a_row + 1 if lived_seconds < _QUICK_DEATH_SECONDS else 1
        _log.error("A worker process (pid %d) ended with %s; starting another.", worker.pid, describe_exit(worker.exit_code))
        self._spawn(self._replace(slot))

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

    # Workers that grow

    async def _watch_memory(self, limit: int) -> None:
        """Replaces workers that occupy more than `limit` bytes, as long as that can help."""
        while True:
            await asyncio.sleep(_MEMORY_CHECK_SECONDS)
            for slot in self._slots:
                worker = slot.worker
                if worker is None or slot.is_renewing or time.monotonic() - slot.started < _LEAST_LIFE_SECONDS:
                    continue
                if (used := worker.resident_bytes) > limit and not await self._renew(slot, worker, used, limit):
                    return
            for worker in self._retiring:
                if (used := worker.resident_bytes) > 2 * limit:
                    _log.error(
                        "A worker process (pid %d) that was to finish its calls has grown on, to %d MB: it is ended now, and its calls run again.",
                        worker.pid, used // _MB,
                    )  # fmt: skip
                    worker.kill()

    async def _renew(self, slot: _Slot, old: WorkerProcess, used: int, limit: int) -> bool:
        """Puts a fresh worker in the place of one that has grown; False when a fresh one is as large."""
        _log.warning(
            "A worker process (pid %d) occupies %d MB, more than --worker-memory %d: a fresh one takes its place, and it ends when its %d running "
            "calls are finished.",
            old.pid, used // _MB, limit // _MB, old.open_calls,
        )  # fmt: skip
        slot.is_renewing = True
        try:
            await self._start_worker(slot)
        except WorkerLost as error:
            _log.error("A worker could not be started: %s", error)
            if slot.worker is None:  # and the old one has ended meanwhile
                self._spawn(self._replace(slot))
            slot.started = time.monotonic()
            return True
        finally:
            slot.is_renewing = False
        if slot.worker is not old and not old.ended.is_set():
            self._retiring.add(old)
            self._spawn(self._retire(old))
        fresh = slot.worker.resident_bytes if slot.worker is not None else 0
        if fresh > limit:
            _log.error(
                "A fresh worker occupies %d MB before its first call: --worker-memory %d is too low for this app and is not applied any more.",
                fresh // _MB, limit // _MB,
            )  # fmt: skip
        return fresh <= limit

    async def _retire(self, worker: WorkerProcess) -> None:
        try:
            await worker.retire(_GRACE_SECONDS)
        finally:
            self._retiring.discard(worker)

    # The end

    async def drain(self, timeout_seconds: float) -> bool:
        """Waits until no call is open; False when some still were after `timeout_seconds`."""
        try:
            async with asyncio.timeout(timeout_seconds):
                await self._idle.wait()
        except TimeoutError:
            return False
        return True

    async def stop(self, *, grace_seconds: float = _GRACE_SECONDS) -> None:
        """Ends all workers; open calls get `WorkerLost`."""
        self._is_stopping = True
        workers = self._workers
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        for waiting in self._waiting.values():
            while waiting:
                place = waiting.popleft()
                if not place.done():
                    place.set_exception(WorkerLost("the host is stopping"))
        await asyncio.gather(*(worker.stop(grace_seconds) for worker in {*workers, *self._workers}))
