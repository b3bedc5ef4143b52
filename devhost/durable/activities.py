"""Runs activities: a queue, a limit, and what becomes of each call.

Delivery is at least once. A call whose worker died is made again, later and later; a call that raised is a result like any other.
"""

from __future__ import annotations

import asyncio
import logging
import uuid
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final, Protocol

from devhost.durable.failures import task_failed, task_failed_in_host
from devhost.durable.history import Event, Kind
from devhost.durable.http_activity import HttpActivity
from devhost.durable.jsontext import compact, dumps
from devhost.durable.replay import HTTP_ACTIVITY
from devhost.functions import FunctionMetadata
from devhost.invocation import Datum, Failed, Invocation, Invoker, JsonText, TimedOut, WorkerLost

_LONGEST_DELAY: Final = 600.0


@dataclass(frozen=True, slots=True)
class ActivityCall:
    """One scheduled activity."""

    instance_id: str
    execution_id: str
    task_id: int
    name: str
    input: str
    """JSON text, as the worker is to be given it."""

    @property
    def key(self) -> tuple[str, str, int]:
        return self.instance_id, self.execution_id, self.task_id


class Arguments(Protocol):
    """Fills a function's in-bindings around the trigger's value."""

    def __call__(self, function: FunctionMetadata, trigger_value: Datum) -> Mapping[str, Datum]: ...


class Activities:
    """All activities of the host, in the order they were scheduled, at most `limit` at a time.

    `done(call, event)` is called with `TaskCompleted` or `TaskFailed` when one has ended.
    """

    def __init__(
        self,
        *,
        functions: Mapping[str, FunctionMetadata],
        invoker: Invoker,
        arguments: Arguments,
        limit: int,
        done: Callable[[ActivityCall, Event], None],
        log: logging.Logger,
    ) -> None:
        self._functions = functions
        """Lower-case durable name → function."""
        self._invoker = invoker
        self._arguments = arguments
        self._limit = limit
        self._done = done
        self._log = log
        self._waiting: deque[ActivityCall] = deque()
        self._known: set[ActivityCall] = set()
        self._tasks: set[asyncio.Task[None]] = set()
        self._running = 0
        self._stopped = False
        self._http = HttpActivity()

    def submit(self, call: ActivityCall) -> None:
        """Queues a call; one that is queued or running already is not queued again."""
        if call not in self._known:
            self._known.add(call)
            self._waiting.append(call)
            self._fill()

    async def stop(self, grace_seconds: float) -> None:
        """Starts nothing more and gives what runs some time to end; what is cut off runs again after the next start."""
        self._stopped = True
        if self._tasks:
            await asyncio.wait(set(self._tasks), timeout=grace_seconds)
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self._http.close()

    def _fill(self) -> None:
        while self._waiting and self._running < self._limit and not self._stopped:
            self._running += 1
            task = asyncio.create_task(self._run(self._waiting.popleft()))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    async def _run(self, call: ActivityCall) -> None:
        holds_slot = True
        attempt = 0
        try:
            while True:
                try:
                    event = await self._invoke(call, lost_a_worker=attempt > 0)
                    break
                except WorkerLost as lost:
                    delay = min(2.0**attempt, _LONGEST_DELAY)
                    attempt += 1
                    self._log.warning(
                        "activity '%s' (#%d of %s) lost its worker and runs again in %.0f s: %s",
                        call.name,
                        call.task_id,
                        call.instance_id,
                        delay,
                        lost,
                    )
                self._release()
                holds_slot = False
                await asyncio.sleep(delay)
                await self._slot()
                holds_slot = True
        finally:
            if holds_slot:
                self._release()
        self._known.discard(call)
        self._done(call, event)

    async def _slot(self) -> None:
        """Takes a slot for a call that runs again; others may go first, as none of them is waiting for it."""
        while self._running >= self._limit:  # noqa: ASYNC110 (a lost worker is rare; an event for it would be set at every end)
            await asyncio.sleep(0.05)
        self._running += 1

    def _release(self) -> None:
        self._running -= 1
        self._fill()

    async def _invoke(self, call: ActivityCall, *, lost_a_worker: bool) -> Event:
        if call.name == HTTP_ACTIVITY:
            return await self._http.run(call.task_id, call.input)
        function = self._functions.get(call.name.lower())
        if function is None:
            return task_failed_in_host(call.task_id, call.name, f"Activity function '{call.name}' does not exist.")
        invocation = Invocation(
            function=function.name,
            arguments=self._arguments(function, call.input),
            invocation_id=str(uuid.uuid4()),
            instance_id=call.instance_id,
            lost_a_worker=lost_a_worker,
        )
        try:
            result = await self._invoker.invoke(invocation)
        except TimedOut as late:
            return task_failed_in_host(call.task_id, call.name, str(late) or "Timeout value was exceeded by function.")
        if isinstance(result, Failed):
            return task_failed(call.task_id, call.name, result)
        try:
            text = result_text(result.return_value)
        except ValueError as problem:
            return task_failed_in_host(call.task_id, call.name, f" The result is not JSON: {problem}")
        return Event(Kind.TaskCompleted, {"TaskScheduledId": call.task_id, "Result": text})


def result_text(value: Datum) -> str:
    """A function's return value as compact JSON text.

    Raises:
        ValueError: JSON that is not JSON, or a value that cannot be JSON.
    """
    if isinstance(value, JsonText):
        return compact(value.text)
    if value is None or isinstance(value, str):
        return dumps(value)
    if isinstance(value, bytes):
        return dumps(value.decode())
    raise ValueError(f"a {type(value).__name__}")
