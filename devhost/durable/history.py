"""Events of an orchestration's history, and their two spellings: the JSON that Python is handed and the row of the history table.

An event's own members are in `members` under their upstream names. What only this host keeps beside them (the input of a task, which
upstream leaves out of the history) is in `private` and never shown.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import IntEnum
from typing import Any, Final

from devhost.durable.jsontext import dumps, loads
from devhost.durable.times import now_text


class Kind(IntEnum):
    """The engine's event types, by upstream's numbers."""

    ExecutionStarted = 0
    ExecutionCompleted = 1
    ExecutionFailed = 2
    ExecutionTerminated = 3
    TaskScheduled = 4
    TaskCompleted = 5
    TaskFailed = 6
    SubOrchestrationInstanceCreated = 7
    SubOrchestrationInstanceCompleted = 8
    SubOrchestrationInstanceFailed = 9
    TimerCreated = 10
    TimerFired = 11
    OrchestratorStarted = 12
    OrchestratorCompleted = 13
    EventSent = 14
    EventRaised = 15
    ContinueAsNew = 16
    GenericEvent = 17
    HistoryState = 18
    ExecutionSuspended = 19
    ExecutionResumed = 20
    ExecutionRewound = 21


MESSAGES: Final = frozenset(
    {
        Kind.ExecutionStarted,
        Kind.ExecutionTerminated,
        Kind.TaskCompleted,
        Kind.TaskFailed,
        Kind.SubOrchestrationInstanceCompleted,
        Kind.SubOrchestrationInstanceFailed,
        Kind.TimerFired,
        Kind.EventRaised,
        Kind.GenericEvent,
        Kind.ExecutionSuspended,
        Kind.ExecutionResumed,
    }
)
"""Events that arrive from outside; they are `IsPlayed` once an episode has seen them."""

_MEMBERS: Final[Mapping[Kind, tuple[str, ...]]] = {
    Kind.ExecutionStarted: (
        "OrchestrationInstance",
        "ParentInstance",
        "Name",
        "Version",
        "Input",
        "Tags",
        "Correlation",
        "ParentTraceContext",
        "ScheduledStartTime",
        "Generation",
    ),
    Kind.ExecutionCompleted: ("OrchestrationStatus", "Result", "FailureDetails"),
    Kind.ExecutionTerminated: ("Input",),
    Kind.TaskScheduled: ("Name", "Version", "Input", "ParentTraceContext"),
    Kind.TaskCompleted: ("TaskScheduledId", "Result"),
    Kind.TaskFailed: ("TaskScheduledId", "Reason", "Details", "FailureDetails"),
    Kind.SubOrchestrationInstanceCreated: ("Name", "Version", "InstanceId", "Input", "ClientSpanId"),
    Kind.SubOrchestrationInstanceCompleted: ("TaskScheduledId", "Result"),
    Kind.SubOrchestrationInstanceFailed: ("TaskScheduledId", "Reason", "Details", "FailureDetails"),
    Kind.TimerCreated: ("FireAt",),
    Kind.TimerFired: ("TimerId", "FireAt"),
    Kind.EventSent: ("InstanceId", "Name", "Input"),
    Kind.EventRaised: ("Name", "Input", "ParentTraceContext"),
    Kind.GenericEvent: ("Data",),
    Kind.ExecutionSuspended: ("Reason",),
    Kind.ExecutionResumed: ("Reason",),
}
_STATUS_NUMBERS: Final = {
    "Running": 0,
    "Completed": 1,
    "ContinuedAsNew": 2,
    "Failed": 3,
    "Canceled": 4,
    "Terminated": 5,
    "Pending": 6,
    "Suspended": 7,
}
_STRUCTURED: Final = frozenset({"OrchestrationInstance", "ParentInstance", "Tags"})
"""Members that are objects: nested JSON for Python, JSON text in a column."""
_DATES: Final = frozenset({"FireAt", "ScheduledStartTime"})
SPILLED: Final = frozenset(
    {"Name", "Input", "Result", "Output", "Reason", "Details", "Correlation", "FailureDetails", "Tags", "TaskInput", "FailureText", "Data"}
)
"""Columns that go to a blob when they are too long for a table."""


class Event:
    """One history event."""

    __slots__ = ("_head", "_tail", "id", "kind", "members", "played", "private", "timestamp")

    def __init__(
        self,
        kind: Kind,
        members: dict[str, Any] | None = None,
        *,
        id: int = -1,  # noqa: A002 (upstream's word for it)
        timestamp: str | None = None,
        played: bool = False,
        private: dict[str, str] | None = None,
    ) -> None:
        self.kind = kind
        self.id = id
        """The sequence number of what the orchestration scheduled; -1 for everything else."""
        self.timestamp = timestamp or now_text()
        self.members = members or {}
        self.played = played
        self.private = private
        """Column name → text; stored with the row, never shown."""
        self._head: str | None = None
        self._tail = ""

    def __repr__(self) -> str:
        return f"{self.kind.name}#{self.id}{self.members}"

    @property
    def task_id(self) -> int:
        """The sequence number of the task this event answers."""
        return int(self.members["TimerId" if self.kind is Kind.TimerFired else "TaskScheduledId"])

    @property
    def is_message(self) -> bool:
        """Whether it came from outside. A `GenericEvent` did unless it stands, by its number, for something that a rewind took back."""
        return self.kind in MESSAGES and (self.kind is not Kind.GenericEvent or self.id < 0)

    def payload(self) -> str:
        """The event as JSON text, as Python is handed it. Everything but `IsPlayed` is printed once and kept."""
        if self._head is None:
            shown = {"EventType": int(self.kind), **{name: self.members.get(name) for name in _MEMBERS.get(self.kind, ())}}
            if self.kind is Kind.ExecutionCompleted:
                shown["OrchestrationStatus"] = _STATUS_NUMBERS[self.members["OrchestrationStatus"]]
            self._head = f'{dumps(shown)[:-1]},"EventId":{self.id},"IsPlayed":'
            self._tail = f',"Timestamp":"{self.timestamp}"}}'
        return f"{self._head}{'true' if self.played else 'false'}{self._tail}"

    def changed(self) -> None:
        """Forgets the printed form after a change of members."""
        self._head = None


def shown_members(kind: Kind) -> tuple[str, ...]:
    """The members an event of this kind has in a payload, in order."""
    return tuple(_MEMBERS.get(kind, ()))


def row_key(index: int) -> str:
    """The row key of the history's n-th event."""
    return f"{index:016X}"


def index_of(key: str) -> int:
    """Inverse of `row_key`; -1 for a key that is none."""
    return int(key, 16) if len(key) == 16 and all(digit in "0123456789ABCDEF" for digit in key) else -1


def to_row(event: Event, partition_key: str, index: int, execution_id: str) -> dict[str, Any]:
    """The event as an entity of the history table. Long values are still in place."""
    row: dict[str, Any] = {
        "PartitionKey": partition_key,
        "RowKey": row_key(index),
        "EventType": event.kind.name,
        "EventId": event.id,
        "IsPlayed": event.played or event.is_message,
        "_Timestamp": event.timestamp,
        "_Timestamp@odata.type": "Edm.DateTime",
        "ExecutionId": execution_id,
    }
    for name, value in event.members.items():
        if value is None:
            continue
        if name in _STRUCTURED:
            value = dumps(value)
        elif name in _DATES:
            row[f"{name}@odata.type"] = "Edm.DateTime"
        row[name] = value
    if event.private:
        row.update(event.private)
    return row


def from_row(row: Mapping[str, Any]) -> Event:
    """Inverse of `to_row`; spilled values must be back in place.

    Raises:
        CorruptRow: the row is not a history event.
    """
    try:
        kind = Kind[row["EventType"]]
        members: dict[str, Any] = {}
        for name in _MEMBERS.get(kind, ()):
            value = row.get(name)
            members[name] = loads(value) if name in _STRUCTURED and value is not None else value
        for number in ("TaskScheduledId", "TimerId", "Generation"):
            if members.get(number) is not None:
                members[number] = int(members[number])
        private = {name: row[name] for name in ("TaskInput", "FailureText") if name in row}
        if kind is Kind.ExecutionCompleted and members["OrchestrationStatus"] not in _STATUS_NUMBERS:
            raise ValueError(members["OrchestrationStatus"])
        return Event(
            kind,
            members,
            id=int(row["EventId"]),
            timestamp=str(row["_Timestamp"]),
            played=bool(row.get("IsPlayed")),
            private=private or None,
        )
    except (KeyError, ValueError, TypeError) as error:
        raise CorruptRow(f"history row {row.get('RowKey')!r} of instance {row.get('PartitionKey')!r} is not an event: {error!r}") from error


class CorruptRow(Exception):
    """A row of the history table that this host cannot read; the message names it."""
