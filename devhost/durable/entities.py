"""Entities: one batch of operations at a time, state and replies committed together.

An entity is kept as upstream keeps it: an eternal orchestration `@name@key` whose input is the scheduler's state and which continues as
new after every batch. Requests rest as message rows in its partition until the batch that runs them is committed. Requests of an
orchestration carry a timestamp; one that is not newer than the last of its sender has been run already and is dropped.
"""

from __future__ import annotations

import asyncio
import logging
import uuid
from collections import deque
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from devhost.durable.activities import Arguments, result_text
from devhost.durable.aside import SetAside
from devhost.durable.episode import new_execution_id, start_event
from devhost.durable.history import CorruptRow, Event, Kind
from devhost.durable.jsontext import dumps, loads
from devhost.durable.large import LostValue
from devhost.durable.names import split_entity_id
from devhost.durable.rows import RowWriter
from devhost.durable.settings import DurableSettings
from devhost.durable.state import InstanceState
from devhost.durable.store import Fenced, HubStore, Message, Partition
from devhost.durable.times import TICKS_PER_SECOND, now_text, now_ticks, to_text, to_ticks
from devhost.functions import FunctionMetadata
from devhost.invocation import Failed, Invocation, Invoker, TimedOut, WorkerLost
from devhost.storage.errors import StorageError, StorageUnavailable

_RESPONSE: Final = "Microsoft.Azure.WebJobs.Extensions.DurableTask.ResponseMessage, Microsoft.Azure.WebJobs.Extensions.DurableTask"
_LARGEST_BATCH: Final = 45
"""A reply and the deletion of its request are a row each, and all of a batch has to be in one transaction of a hundred: state, replies and
requests are never apart. Upstream's batches may be longer; an app can tell only by counting its calls."""
_LONGEST_DELAY: Final = 600.0


@dataclass(slots=True)
class _Entity:
    id: str
    partition: Partition | None = None
    exists: bool = False
    state: str | None = None
    """JSON text."""
    received: dict[str, dict[str, str]] = field(default_factory=dict)
    """Sender's instance id → its execution and the timestamp of its last request."""
    queue: deque[Message] = field(default_factory=deque)
    rows: set[str] = field(default_factory=set)
    """The rows of the requests that are queued or wait for their time, so that a message sent again is not run again."""
    is_due: bool = False
    """Whether it has to be looked at although nothing is queued: after a restart."""
    tried: asyncio.Event = field(default_factory=asyncio.Event)
    """Set when it has been read, or could not be."""
    task: asyncio.Task[None] | None = None
    failures: int = 0
    lost_a_worker: bool = False
    """Whether one of the failed attempts at this batch has lost its worker."""

    def scheduler(self) -> str:
        """The state as upstream spells it; members with their default value are left out."""
        shown: dict[str, Any] = {"exists": True} if self.exists else {}
        if self.state is not None:
            shown["state"] = self.state
        shown["sorter"] = {"ReceivedFromInstance": self.received} if self.received else {}
        return dumps(shown)

    def read(self, scheduler: Mapping[str, Any]) -> None:
        self.exists = bool(scheduler.get("exists"))
        self.state = scheduler.get("state")
        self.received = dict((scheduler.get("sorter") or {}).get("ReceivedFromInstance") or {})


class Entities:
    """Every entity of the hub that has something to do."""

    def __init__(
        self,
        *,
        store: HubStore,
        rows: RowWriter,
        settings: DurableSettings,
        functions: Mapping[str, FunctionMetadata],
        invoker: Invoker,
        arguments: Arguments,
        reply: Callable[[Event], Any],
        aside: SetAside,
        log: logging.Logger,
    ) -> None:
        self._store = store
        self._rows = rows
        self._functions = functions
        """Lower-case entity name → function."""
        self._invoker = invoker
        self._arguments = arguments
        self._reply = reply
        """Sends an `EventSent`; awaitable."""
        self._aside = aside
        self._log = log
        self._entities: dict[str, _Entity] = {}
        self._slots = asyncio.Semaphore(settings.max_entities)
        self._batch = min(settings.max_entity_batch, _LARGEST_BATCH)
        self._window = settings.entity_reorder_minutes * 60 * TICKS_PER_SECOND
        self._stopping = False

    def deliver(self, entity_id: str, message: Message) -> None:
        """Takes a request whose row is written; a scheduled one waits for its time."""
        entity = self._entities.setdefault(entity_id, _Entity(entity_id))
        if message.row in entity.rows:
            return
        entity.rows.add(message.row)
        wait = (to_ticks(message.due) - now_ticks()) / TICKS_PER_SECOND if message.due is not None else 0.0
        if wait > 0:
            asyncio.get_running_loop().call_later(wait, self._enqueue, entity, message)
        else:
            self._enqueue(entity, message)

    async def resume(self, entity_ids: Iterable[str]) -> None:
        """Picks entities up after a restart: replies that may not have been sent, requests that wait. Returns when each has been tried."""
        entities = [self._entities.setdefault(entity_id, _Entity(entity_id)) for entity_id in entity_ids]
        for entity in entities:
            entity.is_due = True
            self._kick(entity)
        for entity in entities:
            await entity.tried.wait()

    async def purge(self, entity_id: str) -> None:
        """Stops the entity; the caller deletes its rows."""
        entity = self._entities.pop(entity_id, None)
        if entity is None:
            return
        entity.rows.clear()  # what waits for its time will find that it is not wanted any more
        if entity.task is not None:
            entity.task.cancel()
            await asyncio.wait([entity.task])

    async def stop(self, grace_seconds: float) -> None:
        self._stopping = True
        tasks = [entity.task for entity in self._entities.values() if entity.task is not None]
        if tasks:
            await asyncio.wait(tasks, timeout=grace_seconds)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def _enqueue(self, entity: _Entity, message: Message) -> None:
        if message.row in entity.rows:
            entity.queue.append(message)
            self._kick(entity)

    def _kick(self, entity: _Entity) -> None:
        if entity.task is None and not self._stopping:
            entity.task = asyncio.create_task(self._run(entity), name=f"entity {entity.id}")

    async def _pick_up(self, entity: _Entity) -> None:
        """Reads the entity, sends what it may still owe, and forgets the requests that a commit of unknown outcome has consumed after all."""
        early = set(entity.rows)
        partition = await self._store.load(entity.id)
        started = next((event for event in partition.events if event.kind is Kind.ExecutionStarted), None)
        entity.read(loads(started.members.get("Input") or "{}") if started is not None else {})
        consumed = early - {message.row for message in partition.messages}
        entity.rows -= consumed
        entity.queue = deque(message for message in entity.queue if message.row not in consumed)
        for event in partition.events[partition.sent :]:
            if event.kind is Kind.EventSent:
                await self._reply(event)
        if started is not None:
            self._rows.mark(self._state(entity, partition.execution_id, started.timestamp), at_once=True)
        entity.partition = partition
        for message in partition.messages:
            self.deliver(entity.id, message)

    async def _run(self, entity: _Entity) -> None:
        try:
            while (entity.queue or entity.is_due) and not self._stopping:
                try:
                    await self._step(entity)
                except (WorkerLost, _BatchFailed, Fenced, StorageError, StorageUnavailable) as problem:
                    entity.tried.set()
                    await self._back_off(entity, problem)
                    continue
                entity.failures, entity.lost_a_worker = 0, False
        except (CorruptRow, LostValue) as problem:
            self._aside.put(entity.id, problem, is_expected=True)
            return
        except Exception as problem:  # noqa: BLE001 (one entity must not take the others down, whatever went wrong)
            self._aside.put(entity.id, problem, is_expected=False)
            return
        finally:
            entity.task = None
            entity.tried.set()
        if entity.queue:
            self._kick(entity)
        elif self._entities.get(entity.id) is entity and not entity.rows and len(self._entities) > 2000:
            del self._entities[entity.id]

    async def _step(self, entity: _Entity) -> None:
        """Reads the entity if that is to be done, else runs one batch."""
        if entity.partition is None:
            await self._pick_up(entity)
            entity.tried.set()
        elif entity.queue:
            async with self._slots:
                batch = [entity.queue[index] for index in range(min(len(entity.queue), self._batch))]
                await self._run_batch(entity, entity.partition, batch)
            for _ in batch:
                entity.rows.discard(entity.queue.popleft().row)
        if not entity.queue:
            await self._finish(entity)
            entity.is_due = False

    async def _back_off(self, entity: _Entity, problem: Exception) -> None:
        delay = min(2.0**entity.failures, _LONGEST_DELAY)
        entity.failures += 1
        entity.lost_a_worker = entity.lost_a_worker or isinstance(problem, WorkerLost)
        if isinstance(problem, (WorkerLost, _BatchFailed)):
            outcome = "nothing of it is committed"
        else:
            outcome, entity.partition = "what is committed of it is read back first", None
        self._log.warning("a batch of entity %s is repeated in %.0f s, %s: %s", entity.id, delay, outcome, problem)
        await asyncio.sleep(delay)

    async def _run_batch(self, entity: _Entity, partition: Partition, batch: list[Message]) -> None:
        received = dict(entity.received)
        requests = [request for message in batch if (request := loads(message.event.members["Input"])) and _is_new(request, received)]
        if not requests:
            await self._store.drop_messages(entity.id, [message.row for message in batch])
            return
        exists, state, results = await self._call(entity, requests)
        before = entity.exists, entity.state, entity.received
        entity.exists, entity.state, entity.received = exists, state, _pruned(received, self._window)
        try:
            await self._commit(entity, partition, requests, results, [message.row for message in batch])
        except BaseException:
            entity.exists, entity.state, entity.received = before
            raise

    async def _call(self, entity: _Entity, requests: list[dict[str, Any]]) -> tuple[bool, str | None, list[dict[str, Any]]]:
        name, key = split_entity_id(entity.id)
        function = self._functions.get(name)
        if function is None:
            raise _BatchFailed(f"The function '{name}' doesn't exist, is disabled, or is not an entity function.")
        given = {
            "self": {"name": name, "key": key},
            "exists": entity.exists,
            "state": entity.state,
            "batch": [
                {"name": request["op"], "input": request.get("input"), "isSignal": bool(request.get("signal"))} for request in requests
            ],
        }
        invocation = Invocation(
            function=function.name,
            arguments=self._arguments(function, dumps(given)),
            invocation_id=str(uuid.uuid4()),
            instance_id=entity.id,
            lost_a_worker=entity.lost_a_worker,
        )
        try:
            result = await self._invoker.invoke(invocation)
        except TimedOut as late:
            text = str(late) or "Timeout value was exceeded by function."  # as it is: not JSON, unlike every other result
            return entity.exists, entity.state, [{"isError": True, "result": text} for _ in requests]
        if isinstance(result, Failed):
            raise _BatchFailed(f"{result.type_name}: {result.message}")
        try:
            answered: Any = loads(result_text(result.return_value))
            if isinstance(answered, str):
                answered = loads(answered)
            results: list[dict[str, Any]] = answered["results"]
            if len(results) != len(requests):
                raise ValueError(f"{len(results)} results for {len(requests)} operations")
            return bool(answered["entityExists"]), answered["entityState"], results
        except (ValueError, KeyError, TypeError) as problem:
            raise _BatchFailed(f"the entity function did not return its state: {problem!r}") from problem

    async def _commit(
        self, entity: _Entity, partition: Partition, requests: list[dict[str, Any]], results: list[dict[str, Any]], consumed: list[str]
    ) -> None:
        now = now_text()
        state = self._state(entity, new_execution_id(), now)
        replies: list[Event] = []
        for request, result in zip(requests, results, strict=True):
            if not request.get("signal") and request.get("parent"):
                response: dict[str, Any] = {"$type": _RESPONSE, "result": result.get("result")}
                if result.get("isError"):
                    response["exceptionType"] = "Error"
                members = {"InstanceId": request["parent"], "Name": request["id"], "Input": dumps(response)}
                replies.append(Event(Kind.EventSent, members, id=len(replies)))
        events = [Event(Kind.OrchestratorStarted, timestamp=now), start_event(state, now), *replies, Event(Kind.OrchestratorCompleted)]
        partition.custom_status = state.custom_status
        await self._store.commit(partition, events, consumed=consumed, execution_id=state.execution_id, unfinished=True)
        self._rows.mark(state, at_once=False)
        for reply in replies:
            await self._reply(reply)

    def _state(self, entity: _Entity, execution_id: str, now: str) -> InstanceState:
        return InstanceState(
            instance_id=entity.id,
            name=entity.id,
            execution_id=execution_id,
            status="Running",
            created=now,
            updated=now,
            input=entity.scheduler(),
            custom_status=dumps({"entityExists": True} if entity.exists else {}),
            generation=None,
        )

    async def _finish(self, entity: _Entity) -> None:
        """Records that the last batch's replies are sent and its row is written: a restart need not look at this entity."""
        await self._rows.settle(entity.id)
        if entity.partition is not None:
            await self._store.mark_sent(entity.partition)


class _BatchFailed(Exception):
    """The function as a whole failed: nothing is committed, the batch runs again."""


def _is_new(request: Mapping[str, Any], received: dict[str, dict[str, str]]) -> bool:
    """Whether a request has not been run yet; notes it as run."""
    sender, timestamp = request.get("parent"), request.get("Timestamp")
    if not sender or not timestamp:
        return True
    last = received.get(sender)
    execution = str(request.get("parentExecution") or "")
    if last is not None and last["ExecutionId"] == execution and to_ticks(timestamp) <= to_ticks(last["Last"]):
        return False
    received[sender] = {"Last": timestamp, "ExecutionId": execution}
    return True


def _pruned(received: dict[str, dict[str, str]], window_ticks: int) -> dict[str, dict[str, str]]:
    """Forgets senders whose last request is older than the reorder window."""
    horizon = to_text(now_ticks() - window_ticks)
    if len(received) < 64:
        return received
    return {sender: last for sender, last in received.items() if to_ticks(last["Last"]) >= to_ticks(horizon)}
