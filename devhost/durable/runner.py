"""One episode: sort the mail, have Python asked, commit, then act.

Nothing leaves the host before the history that explains it is committed, and what has to leave can be read off that history again:
open tasks are dispatched anew after a crash, messages to entities are sent again (and recognised there), a parent finds its child's end.
The one exception is the first activity of a new instance while many are at work: see `_can_wait`.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import Protocol

from devhost.durable.activities import ActivityCall
from devhost.durable.asking import Asker
from devhost.durable.decisions import Decision, cut_off
from devhost.durable.episode import RESPONSES, execution_started, new_execution_id, start_event
from devhost.durable.history import Event, Kind
from devhost.durable.inbox import accept, changes_nothing
from devhost.durable.sessions import Mail, Session
from devhost.durable.state import InstanceState
from devhost.durable.store import HubStore, Partition
from devhost.durable.times import now_text

_FIRST_COMMIT_ROWS = 95
_TASKS = frozenset({Kind.TaskScheduled, Kind.TimerCreated, Kind.SubOrchestrationInstanceCreated})


class Effects(Protocol):
    """What an episode may set in motion, once it is committed."""

    def activity(self, session: Session, call: ActivityCall) -> None: ...

    def timer(self, session: Session, created: Event) -> None: ...

    def child(self, parent: InstanceState, created: Event) -> None: ...

    async def send(self, sent: Event) -> None:
        """Delivers an `EventSent`; returns when the receiver cannot lose it any more."""

    def changed(self, session: Session) -> None:
        """The instance's state is another now."""

    async def row_settled(self, session: Session) -> None:
        """Returns when the instances row no longer says Pending."""


class Runner:
    """Runs episodes of orchestrations."""

    def __init__(self, *, store: HubStore, asker: Asker, effects: Effects, log: logging.Logger) -> None:
        self._store = store
        self._asker = asker
        self._effects = effects
        self._log = log

    async def episode(self, session: Session, batch: Sequence[Mail], *, may_wait: bool = False) -> None:
        """Runs one episode over a batch of mail. If it `may_wait`, what a new instance begins with is left to the next commit.

        Raises:
            WorkerLost, Fenced, StorageError, StorageUnavailable: nothing was committed, as far as is known; `session.partition` must be
                loaded again unless the worker was lost.
        """
        partition = session.partition
        assert partition is not None
        came = accept(session, batch)
        fresh, accepted, consumed = came.start, came.events, came.consumed
        if came.is_id_in_use:
            self._log.warning(
                "sub-orchestration id '%s' is in use twice at the same time: the second one starts when the first has ended", session.id
            )
        if fresh is None and not accepted and not session.play:
            if consumed:
                await self._store.drop_messages(session.id, consumed)
            return
        now = now_text()
        new = list(accepted)
        if fresh is not None:
            new = [Event(Kind.OrchestratorStarted, timestamp=now), start_event(fresh, now), *new]
        elif new:
            new = [Event(Kind.OrchestratorStarted, timestamp=now), *new]
        if fresh is None and not session.play and changes_nothing(session, accepted):
            await self._append(partition, new, consumed)
            answered = {event.task_id for event in accepted}
            session.quiet -= answered
            session.open -= answered
            session.state.updated = now
            self._effects.changed(session)
            return
        state = fresh or session.state
        events = new if fresh is not None else [*partition.events, *new]
        terminated = next((event for event in accepted if event.kind is Kind.ExecutionTerminated), None)
        if terminated is not None and session.failures:
            decision = cut_off(events, terminated)  # Python's answer would not count, and it gives none
        else:
            decision = await self._asker.decide(session, state, events)
        stamp = now_text()
        for event in decision.scheduled:
            event.timestamp = stamp
        if (
            decision.completion is not None
            and decision.new_input is not None
            and decision.completion.members["OrchestrationStatus"] == "ContinuedAsNew"
        ):
            await self._continue_as_new(session, state, fresh, new, decision, batch, consumed)
            return
        waits = may_wait and _can_wait(partition, fresh, decision, consumed)
        _set_status(session, partition, decision, state.execution_id, is_new=fresh is not None)
        await self._keep(partition, fresh, new, decision, consumed, waits=waits)
        for event in partition.events:
            event.played = event.played or event.is_message
        if session.play:
            _mark_generation_played(partition.events)
        session.state = state
        session.play = False
        session.quiet = decision.quiet
        if fresh is not None:
            session.open, session.in_flight = set(), 0
        session.open -= {event.task_id for event in accepted if event.kind in RESPONSES}
        session.open |= {event.id for event in decision.scheduled if event.kind in _TASKS}
        if not waits:
            _apply(state, decision, partition, stamp)
        await self._act(session, decision.scheduled)
        self._effects.changed(session)

    async def commit_waiting(self, session: Session) -> None:
        """Commits what an episode left to the next one, since that does not come.

        Raises:
            Fenced, StorageError, StorageUnavailable: as `episode` does.
        """
        partition, state = session.partition, session.state
        assert partition is not None
        await self._store.commit(partition, [])
        state.status, state.updated, state.custom_status = "Running", now_text(), partition.custom_status
        self._effects.changed(session)

    async def continue_interrupted(self, session: Session, completion: Event) -> None:
        """Goes on where a crash cut a continue-as-new in two: its messages are sent, the next generation is not there yet."""
        assert session.partition is not None
        await self._generation(session, session.state, completion.members.get("Result"), [], [])

    # ---- committing

    async def _append(self, partition: Partition, new: list[Event], consumed: Sequence[str]) -> None:
        await self._store.commit(partition, [*new, Event(Kind.OrchestratorCompleted)], consumed=consumed)
        for event in new:
            event.played = event.is_message

    async def _keep(
        self,
        partition: Partition,
        fresh: InstanceState | None,
        new: list[Event],
        decision: Decision,
        consumed: Sequence[str],
        *,
        waits: bool,
    ) -> None:
        """Adds an episode to the history: in storage, or in memory until the next commit."""
        if waits and fresh is not None:
            partition.execution_id = fresh.execution_id
            partition.events = [*new, *decision.scheduled, Event(Kind.OrchestratorCompleted)]
        else:
            await self._commit(partition, fresh, new, decision.scheduled, consumed)

    async def _commit(
        self, partition: Partition, fresh: InstanceState | None, new: list[Event], scheduled: list[Event], consumed: Sequence[str]
    ) -> None:
        rows = [*new, *scheduled]
        closed = fresh is None and not new and partition.events[-1].kind is Kind.OrchestratorCompleted
        if scheduled or not closed:
            rows.append(Event(Kind.OrchestratorCompleted))
        if fresh is None:
            if rows:
                await self._store.commit(partition, rows, consumed=consumed)
            return
        first = rows
        if len(rows) + len(consumed) > _FIRST_COMMIT_ROWS:
            first = new  # what came; what it led to follows in a commit of its own, or is decided again after a crash
        await self._store.commit(partition, first, consumed=consumed, execution_id=fresh.execution_id)
        if len(first) < len(rows):
            await self._store.commit(partition, rows[len(first) :])

    async def _continue_as_new(
        self,
        session: Session,
        state: InstanceState,
        fresh: InstanceState | None,
        new: list[Event],
        decision: Decision,
        batch: Sequence[Mail],
        consumed: list[str],
    ) -> None:
        partition = session.partition
        assert partition is not None
        _set_status(session, partition, decision, state.execution_id, is_new=fresh is not None)
        session.state = state
        if partition.is_ahead:
            await self._store.commit(partition, [])
        await self._effects.row_settled(session)
        carried = decision.carried
        if any(event.kind is Kind.EventSent for event in decision.scheduled):
            # The messages must be in a committed history before they are sent, and the next generation would overwrite it.
            later = [mail for mail in batch if mail.event is not None and any(mail.event is event for event in carried)]
            kept = {mail.row for mail in later}
            old = [event for event in new if not any(event is other for other in carried)]
            await self._commit(partition, fresh, old, decision.scheduled, [row for row in consumed if row not in kept])
            await self._act(session, [event for event in decision.scheduled if event.kind is Kind.EventSent])
            session.mail.extendleft(reversed(later))
            carried, consumed = [], []
        await self._generation(session, state, decision.new_input, carried, consumed)

    async def _generation(
        self, session: Session, state: InstanceState, new_input: str | None, carried: Sequence[Event], consumed: Sequence[str]
    ) -> None:
        partition = session.partition
        assert partition is not None
        now = now_text()
        state.execution_id = new_execution_id()
        state.input, state.generation, state.created, state.updated = new_input, None, now, now
        state.status = "Running"
        state.custom_status = partition.custom_status
        events = [
            Event(Kind.OrchestratorStarted, timestamp=now),
            start_event(state, now),
            *(Event(Kind.EventRaised, event.members, timestamp=event.timestamp) for event in carried),
            Event(Kind.OrchestratorCompleted, played=True),
        ]
        await self._store.commit(partition, events, consumed=consumed, execution_id=state.execution_id)
        events[-1].played = False  # as it will be stored, but not as the episode that comes now is told
        session.quiet, session.open, session.play, session.in_flight = frozenset(), set(), True, 0
        self._effects.changed(session)

    # ---- acting

    async def _act(self, session: Session, scheduled: Sequence[Event]) -> None:
        state, partition = session.state, session.partition
        assert partition is not None
        sent = False
        for event in scheduled:
            if event.kind is Kind.TaskScheduled:
                self._effects.activity(session, activity_call(state, event))
            elif event.kind is Kind.TimerCreated:
                self._effects.timer(session, event)
            elif event.kind is Kind.SubOrchestrationInstanceCreated:
                self._effects.child(state, event)
            elif event.kind is Kind.EventSent:
                await self._effects.send(event)
                sent = True
        if sent:
            await self._store.mark_sent(partition)


def activity_call(state: InstanceState, scheduled: Event) -> ActivityCall:
    """The call that a `TaskScheduled` asks for."""
    text = (scheduled.private or {}).get("TaskInput", "null")
    return ActivityCall(state.instance_id, state.execution_id, scheduled.id, str(scheduled.members["Name"]), text)


def _can_wait(partition: Partition, fresh: InstanceState | None, decision: Decision, consumed: Sequence[str]) -> bool:
    """Whether the first episode of an instance need not be committed before the activity it asks for runs.

    The start itself is what the activity rests on, and that is written: after a crash the instance starts over, as it does when a real
    host dies between sending an episode's messages and committing its history. For a later episode this would be wrong, as the results
    that it acts on are nowhere but in its commit.
    """
    is_new = fresh is not None and not consumed and partition.etag is None and not partition.events
    return is_new and [event.kind for event in decision.scheduled] == [Kind.TaskScheduled]


def _mark_generation_played(events: Sequence[Event]) -> None:
    """After continue-as-new the history begins closed; upstream marks that first `OrchestratorCompleted` as played."""
    if execution_started(events).members.get("Generation") is not None:
        return  # a start of its own, looked at again after a restart
    for event in events[2:]:
        if event.kind is Kind.OrchestratorCompleted:
            event.played = True
        if event.kind is not Kind.EventRaised:
            return


def _set_status(session: Session, partition: Partition, decision: Decision, execution_id: str, *, is_new: bool) -> None:
    """The custom status is what the last answer said; one that says none any more has taken it back. What an earlier generation said stays until
    this one says something.
    """
    if decision.custom_status is not None:
        partition.custom_status, session.status_of = decision.custom_status, execution_id
    elif is_new or session.status_of == execution_id:
        partition.custom_status = "null"


def _apply(state: InstanceState, decision: Decision, partition: Partition, stamp: str) -> None:
    """Brings the status up to date. An end without a result leaves a suspend reason where it was: upstream merges its row, and sends no nulls."""
    state.updated = stamp
    state.custom_status = partition.custom_status
    completion = decision.completion
    if completion is not None:
        state.status = completion.members["OrchestrationStatus"]
        if (result := completion.members.get("Result")) is not None:
            state.output = result
        state.completed = stamp
        return
    state.status = "Suspended" if decision.suspended else "Running"
    if decision.reason is not None:
        state.output = decision.reason
