"""After a crash: which instances there are, what each one's history leaves open, and setting that going again.

Nothing is remembered for this purpose alone. Open activities, timers and children are read off the history; messages that a commit
announced are sent again and recognised where they arrive; a row that fell behind its history is written anew.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Mapping, Sequence
from functools import partial

from devhost.durable.aside import SetAside
from devhost.durable.dispatcher import Dispatcher
from devhost.durable.episode import RESPONSES, Standing, execution_started, is_child_of, parent_reply, standing
from devhost.durable.history import CorruptRow, Event, Kind
from devhost.durable.runner import Runner, activity_call
from devhost.durable.sessions import Mail, Session
from devhost.durable.store import HubStore, Message, Partition
from devhost.durable.times import now_text


class Recovery:
    """Brings instances back."""

    def __init__(self, store: HubStore, dispatcher: Dispatcher, runner: Runner, aside: SetAside) -> None:
        self._store = store
        self._dispatcher = dispatcher
        self._runner = runner
        self._aside = aside

    async def find(self) -> int:
        """Finds every unfinished instance, so that mail for it is taken; returns how many there are."""
        found = [state async for state in self._store.unfinished(partial(self._aside.put, is_expected=True)) if not state.is_entity]
        for state in found:
            self._dispatcher.sessions[state.instance_id] = Session(state)
        return len(found)

    async def sweep(self, messages: Mapping[str, Sequence[str]]) -> None:
        """Deletes the messages (their rows by instance id) of instances that have ended, before an id of theirs can be used again."""
        for instance_id, rows in messages.items():
            if instance_id not in self._dispatcher.sessions and instance_id not in self._aside.reasons:
                await self._store.drop_messages(instance_id, rows)

    async def restore(self, session: Session) -> None:
        """Reads one instance back and sets going again what its history leaves open.

        Raises:
            CorruptRow: a row cannot be read, or there is no history where there should be one.
            Fenced, StorageError, StorageUnavailable: to be tried again.
        """
        early = {id(mail) for mail in session.mail}
        partition = await self._store.load(session.id)
        if _is_yet_to_start(session, partition):
            for message in partition.messages:
                _post(session, message)
            session.partition = partition
            return
        if not partition.events:
            raise CorruptRow(f"the status of instance '{session.id}' is {session.state.status}, but it has no history")
        await self._store.touch(partition)
        session.partition = partition
        now = standing(partition.events)
        _take_over(session, partition, now)
        session.mail = deque(filter(_still_wanted(session, partition, now, early), session.mail))
        for message in partition.messages:
            _post(session, message)
        await self._send_again(partition)
        completion = now.completion
        if completion is not None and completion.members["OrchestrationStatus"] == "ContinuedAsNew":
            await self._runner.continue_interrupted(session, completion)
            return
        self._dispatcher.changed(session)
        if completion is None:
            for created in now.open.values():
                await self._resume(session, created)

    async def _send_again(self, partition: Partition) -> None:
        unsent = [event for event in partition.events[partition.sent :] if event.kind is Kind.EventSent]
        for event in unsent:
            await self._dispatcher.send(event)
        if unsent:
            await self._store.mark_sent(partition)

    async def _resume(self, session: Session, created: Event) -> None:
        state = session.state
        if created.kind is Kind.TaskScheduled:
            self._dispatcher.activity(session, activity_call(state, created))
            return
        if created.kind is Kind.TimerCreated:
            self._dispatcher.timer(session, created)
            return
        child_id = str(created.members["InstanceId"])
        live = self._dispatcher.sessions.get(child_id)
        child = live.state if live is not None else await self._store.get_instance(child_id)
        if child is None or not is_child_of(child, state, created.id):
            self._dispatcher.child(state, created)
        elif child.is_terminal and live is None:
            completion = standing((await self._store.load(child_id)).events).completion
            if completion is not None:
                session.post(Mail(parent_reply(child.parent or {}, completion, now_text()), state.execution_id))


def _is_yet_to_start(session: Session, partition: Partition) -> bool:
    """Whether the execution that the instance is to run has no history yet; drops a start that has been carried out."""
    start = next((mail for mail in session.mail if mail.start is not None), None)
    if start is None and session.state.status == "Pending" and partition.execution_id != session.state.execution_id:
        start = Mail(start=session.state.copy())
        session.mail.appendleft(start)
    if start is None or start.start is None:
        return False
    if start.start.execution_id != partition.execution_id:
        return True
    session.mail.remove(start)
    return False


def _take_over(session: Session, partition: Partition, now: Standing) -> None:
    """Makes the session say what the history says."""
    state, start = session.state, execution_started(partition.events)
    state.execution_id, state.input = partition.execution_id, start.members.get("Input")
    state.parent, state.custom_status = start.members.get("ParentInstance"), partition.custom_status
    session.quiet, session.open, session.in_flight = frozenset(), set(now.open), 0
    if now.completion is not None:
        state.status = now.completion.members["OrchestrationStatus"]
        said = [text for text in (now.completion.members.get("Result"), now.reason, state.output) if text is not None]
        state.output = said[0] if said else None
        state.completed = state.updated = now.completion.timestamp
        return
    state.status = "Suspended" if now.suspended else "Running"
    if now.reason is not None:
        state.output = now.reason
    if now.unplayed:
        session.play = True
        for event in partition.events:
            event.played = False


def _still_wanted(session: Session, partition: Partition, now: Standing, early: set[int]) -> Callable[[Mail], bool]:
    rows = {message.row for message in partition.messages}

    def still_wanted(mail: Mail) -> bool:
        if mail.row is not None:
            return mail.row in rows or id(mail) not in early  # a row that is gone was consumed by a commit whose reply was lost
        if mail.event is None or mail.event.kind not in RESPONSES:
            return True
        return mail.execution_id == session.state.execution_id and mail.event.task_id in now.open

    return still_wanted


def _post(session: Session, message: Message) -> None:
    if not any(mail.row == message.row for mail in session.mail):
        session.post(Mail(message.event, row=message.row))
