"""What of an instance's mail counts: the start of an execution, and the events for the one that runs.

Mail may come late, twice, or for an execution that is over: after a crash whoever owed an answer sends it again.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from itertools import chain
from typing import Final

from devhost.durable.episode import RESPONSES
from devhost.durable.history import Event, Kind
from devhost.durable.sessions import Mail, Session
from devhost.durable.state import InstanceState

_REPLY_START: Final = '{"$type":"Microsoft.Azure.WebJobs.Extensions.DurableTask.ResponseMessage'
_SUCCESSES: Final = frozenset({Kind.TaskCompleted, Kind.SubOrchestrationInstanceCompleted})


@dataclass(slots=True)
class Accepted:
    """A batch of mail, sorted."""

    start: InstanceState | None = None
    """The execution to start, if one is."""
    events: list[Event] = field(default_factory=list)
    """What the execution that runs, or that start, is to be told."""
    consumed: list[str] = field(default_factory=list)
    """The message rows to delete with the next commit."""
    is_id_in_use: bool = False
    """Whether a start came while an execution runs under this id; it is parked with the session."""


def accept(session: Session, batch: Sequence[Mail]) -> Accepted:
    """Sorts a batch. Starts that have to wait are put aside in `session.parked`; what is nobody's is left out."""
    partition = session.partition
    assert partition is not None
    found = Accepted()
    open_tasks = set(session.open)
    is_live = bool(partition.events) and partition.execution_id == session.state.execution_id and not session.state.is_terminal
    for mail in batch:
        if mail.row is not None:
            found.consumed.append(mail.row)
        if mail.start is not None:
            if is_live or found.start is not None:
                found.is_id_in_use = True
                session.parked.append(mail)
            else:
                found.start = mail.start
        elif mail.event is not None and (is_live or found.start is not None):
            current = found.start.execution_id if found.start is not None else partition.execution_id
            if mail.execution_id not in (None, current):
                continue
            if mail.event.kind in RESPONSES:
                if mail.event.task_id not in open_tasks:
                    continue
                open_tasks.discard(mail.event.task_id)
            elif _is_repeated_reply(mail.event, chain(partition.events, found.events)):
                continue
            found.events.append(mail.event)
    return found


def changes_nothing(session: Session, events: Sequence[Event]) -> bool:
    """Whether these answers are for tasks all of which the orchestrator awaits, and not yet the last of them: its own answer is known then."""
    if not session.quiet or session.state.status == "Suspended":
        return False
    answered = set()
    for event in events:
        if event.kind not in _SUCCESSES or event.task_id not in session.quiet:
            return False
        answered.add(event.task_id)
    return len(answered) == len(events) and len(answered) < len(session.quiet)


def _is_repeated_reply(event: Event, events: Iterable[Event]) -> bool:
    """Whether an entity's reply is here already: after a crash or a lost answer of storage the entity sends its last replies again."""
    if event.kind is not Kind.EventRaised or not str(event.members.get("Input")).startswith(_REPLY_START):
        return False
    name = event.members["Name"]
    return any(other.kind is Kind.EventRaised and other.members["Name"] == name for other in events)
