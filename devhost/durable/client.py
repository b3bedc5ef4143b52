"""What a durable client can ask for, with upstream's checks and refusals; `http_api` speaks HTTP around it.

Everything acknowledged is written first: a start is its Pending row, an event or a control message is a row in the instance's partition.
"""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from typing import Any, Final

from devhost.durable.decisions import Known
from devhost.durable.dispatcher import Dispatcher
from devhost.durable.entities import Entities
from devhost.durable.episode import new_execution_id
from devhost.durable.history import Event, Kind
from devhost.durable.jsontext import dumps, loads
from devhost.durable.names import entity_id, entity_key_problem, instance_id_problem
from devhost.durable.rewind import Rewinder
from devhost.durable.rows import RowWriter
from devhost.durable.sessions import Mail
from devhost.durable.settings import DurableSettings
from devhost.durable.state import RUNNING_STATES, InstanceState
from devhost.durable.store import HubStore, Partition
from devhost.durable.times import now_text
from devhost.storage.errors import StorageUnavailable

_ALREADY_EXISTS: Final = "DurableTask.Core.Exceptions.OrchestrationAlreadyExistsException"


class ArgumentRefused(Exception):
    """The caller's mistake: an unknown name, a bad id. `str()` is upstream's text."""


class OperationRefused(Exception):
    """The instance is in the wrong state. `type_name` is the .NET exception upstream throws."""

    def __init__(self, message: str, type_name: str = "System.InvalidOperationException") -> None:
        super().__init__(message)
        self.type_name = type_name


class DurableClient:
    """Operations on the instances and entities of one hub."""

    def __init__(
        self,
        *,
        store: HubStore,
        rows: RowWriter,
        dispatcher: Dispatcher,
        entities: Entities,
        known: Known,
        settings: DurableSettings,
        rewinder: Rewinder,
        is_own_app: bool = True,
    ) -> None:
        self._store = store
        self._rows = rows
        self._dispatcher = dispatcher
        self._entities = entities
        self._known = known
        self._settings = settings
        self._rewinder = rewinder
        self._is_own_app = is_own_app
        """Whether the functions of this app are those that serve the hub; of another hub nobody here knows the names."""

    async def status(self, instance_id: str) -> InstanceState | None:
        """The newest committed state; None for an unknown id."""
        return await self._dispatcher.live_state(instance_id) or await self._store.get_instance(instance_id)

    async def until_ended(self, instance_id: str, seconds: float) -> None:
        """Returns when the instance has ended, or after some time."""
        await self._dispatcher.until_ended(instance_id, seconds)

    async def history(self, instance_id: str) -> Sequence[Event]:
        """The committed history of the current execution."""
        session = self._dispatcher.sessions.get(instance_id)
        if session is not None and session.partition is not None:
            return session.partition.events[: session.partition.committed]
        partition: Partition = await self._store.load(instance_id)
        return partition.events

    async def start(self, name: str, instance_id: str | None = None, *, given: str | None = None, version: str | None = None) -> str:
        """Starts an orchestration and returns its id. `given` is the input, JSON text.

        Raises:
            ArgumentRefused: unknown name, or an id that is not allowed.
            OperationRefused: an instance with this id is running.
        """
        if self._is_own_app and name.lower() not in self._known.orchestrators:
            raise ArgumentRefused(self._known.unknown_text("orchestrator", name))
        if instance_id and (problem := instance_id_problem(instance_id)) is not None:
            raise ArgumentRefused(problem)
        now = now_text()
        state = InstanceState(
            instance_id=instance_id or uuid.uuid4().hex,
            name=name,
            version=version if version is not None else self._settings.default_version,
            execution_id=new_execution_id(),
            status="Pending",
            created=now,
            updated=now,
            input=given,
        )
        async with self._dispatcher.start_lock(state.instance_id):
            try:
                is_new = await self._dispatcher.live_state(state.instance_id) is None and await self._store.insert_instance(state)
                if not is_new:
                    await self._replace(state)
            except StorageUnavailable:
                self._dispatcher.begin_if_written(state)
                raise
            self._dispatcher.begin(state, is_new=is_new)
        return state.instance_id

    async def _replace(self, state: InstanceState) -> None:
        existing = await self.status(state.instance_id)
        if existing is not None:
            if existing.status in RUNNING_STATES and self._settings.overridable != "AnyState":
                raise OperationRefused(f"An Orchestration instance with the status {existing.status} already exists.", _ALREADY_EXISTS)
            if not existing.is_terminal:
                await self._dispatcher.purge(state.instance_id)
            state.generation = (existing.generation or 0) + 1
        await self._rows.settle(state.instance_id)
        await self._store.put_instance(state)

    async def raise_event(self, instance_id: str, name: str, data: str) -> None:
        """Sends an external event; `data` is JSON text. The instance must be running."""
        await self._post(instance_id, Event(Kind.EventRaised, {"Name": name, "Input": data, "ParentTraceContext": None}))

    async def terminate(self, instance_id: str, reason: str | None) -> None:
        await self._post(instance_id, Event(Kind.ExecutionTerminated, {"Input": reason}))

    async def suspend(self, state: InstanceState, reason: str | None) -> None:
        """Raises OperationRefused if it is suspended already."""
        if state.status == "Suspended":
            raise OperationRefused(
                f"Cannot suspend the orchestration instance {state.instance_id} because instance is in the Suspended state."
            )
        await self._post(state.instance_id, Event(Kind.ExecutionSuspended, {"Reason": reason}))

    async def resume(self, state: InstanceState, reason: str | None) -> None:
        """Raises OperationRefused if it is not suspended."""
        if state.status != "Suspended":
            raise OperationRefused(
                f"Cannot resume the orchestration instance {state.instance_id} because instance is in the {state.status} state."
            )
        await self._post(state.instance_id, Event(Kind.ExecutionResumed, {"Reason": reason}))

    async def rewind(self, state: InstanceState, reason: str | None) -> None:
        """Runs the failed steps of a failed instance again. Raises OperationRefused for any other state."""
        if state.status != "Failed":
            raise OperationRefused("The rewind operation is only supported on failed orchestration instances.")
        await self._rewinder.rewind(state.instance_id, reason)

    async def restart(self, instance_id: str, *, new_id: bool) -> str:
        """Starts the instance's orchestration once more with its stored name and input; returns the id.

        Raises:
            ArgumentRefused: unknown id.
            OperationRefused: the same id is running.
        """
        state = await self.status(instance_id)
        if state is None:
            raise ArgumentRefused(f"An orchestrastion with the instanceId {instance_id} was not found.")
        return await self.start(state.name, None if new_id else instance_id, given=state.input)

    async def purge(self, instance_id: str) -> bool:
        """Deletes an instance or entity, running or not; False for an unknown id."""
        if await self.status(instance_id) is None:
            return False
        await self._entities.purge(instance_id)
        await self._dispatcher.purge(instance_id)
        return True

    async def signal_entity(self, name: str, key: str, operation: str, given: str | None) -> None:
        """Sends an operation to an entity. `given` is the input, JSON text.

        Raises:
            ArgumentRefused: unknown entity name, or a key that is not allowed.
        """
        if (problem := entity_key_problem(key)) is not None:
            raise ArgumentRefused(problem)
        if self._is_own_app and name.lower() not in self._known.entities:
            raise ArgumentRefused(self._known.unknown_text("entity", name))
        request: dict[str, Any] = {"op": operation, "signal": True}
        if given is not None:
            request["input"] = given
        request["id"] = str(uuid.uuid4())
        target = entity_id(name, key)
        raised = Event(Kind.EventRaised, {"Name": "op", "Input": dumps(request), "ParentTraceContext": None})
        self._entities.deliver(target, await self._store.keep_request(target, raised))

    async def entity_state(self, name: str, key: str) -> str | None:
        """An entity's state as JSON text; None if it has none (`null` text counts as one, as it does upstream)."""
        state = await self.status(entity_id(name, key))
        return None if state is None else scheduler_state(state)

    async def _post(self, instance_id: str, event: Event) -> None:
        message = await self._store.add_message(instance_id, event)
        self._dispatcher.deliver(instance_id, Mail(event, row=message.row))


def scheduler_state(entity: InstanceState) -> str | None:
    """The user's state inside an entity's row."""
    scheduler = loads(entity.input or "{}")
    found: str | None = scheduler.get("state")
    return found
