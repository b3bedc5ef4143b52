"""Rewind: failed steps are taken out of a failed instance's history, and it goes on from there.

The rows stay, as `GenericEvent`s without data, so that row keys and sequence numbers do not move; a task that failed is scheduled again
under its old number. A failed child is rewound instead of started anew, and only the failed leaves are woken.
"""

from __future__ import annotations

from devhost.durable.dispatcher import Dispatcher
from devhost.durable.history import Event, Kind
from devhost.durable.sessions import Mail, Session
from devhost.durable.store import HubStore, Partition
from devhost.durable.times import now_text


class Rewinder:
    """Rewinds instances of one hub."""

    def __init__(self, store: HubStore, dispatcher: Dispatcher) -> None:
        self._store = store
        self._dispatcher = dispatcher

    async def rewind(self, instance_id: str, reason: str | None) -> None:
        """Rewinds an instance and, below it, every failed child."""
        state = await self._dispatcher.live_state(instance_id) or await self._store.get_instance(instance_id)
        if state is None:
            return
        partition = await self._store.load(instance_id)
        children = rewound_children(partition.events)
        changed = clear_failures(partition)
        state = state.copy()
        state.status, state.completed, state.updated = (
            "Running",
            None,
            now_text(),
        )  # the failure's text stays its output, as upstream's does
        await self._dispatcher.settle_row(instance_id)
        await self._store.rewrite(partition, changed)
        for child in children:
            await self.rewind(child, reason)
        message = None
        if not children:
            message = await self._store.add_message(instance_id, Event(Kind.GenericEvent, {"Data": reason}))
        await self._store.put_instance(state)
        session = Session(state, row_is_pending=False)
        self._dispatcher.adopt(session)
        if message is not None:
            self._dispatcher.deliver(instance_id, Mail(message.event, row=message.row))


def rewound_children(events: list[Event]) -> list[str]:
    """Instance ids of the failed children."""
    created = {event.id: str(event.members["InstanceId"]) for event in events if event.kind is Kind.SubOrchestrationInstanceCreated}
    failed = [event.task_id for event in events if event.kind is Kind.SubOrchestrationInstanceFailed]
    return list(dict.fromkeys(created[number] for number in failed if number in created))


def clear_failures(partition: Partition) -> list[int]:
    """Turns failed tasks, failures of children and the end into empty events; returns which rows changed, the end last."""
    events = partition.events
    failed_tasks = {event.task_id for event in events if event.kind is Kind.TaskFailed}
    changed = []
    for index, event in enumerate(events):
        if (
            event.kind in (Kind.TaskFailed, Kind.SubOrchestrationInstanceFailed)
            or (event.kind is Kind.TaskScheduled and event.id in failed_tasks)
            or (event.kind is Kind.ExecutionCompleted and event.members["OrchestrationStatus"] == "Failed")
        ):
            events[index] = Event(Kind.GenericEvent, {"Data": None}, id=event.id, timestamp=event.timestamp, played=event.played)
            changed.append(index)
    return changed
