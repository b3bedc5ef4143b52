"""The pure edges of an episode: the context JSON that Python is handed, new executions, and what a history leaves open."""

from __future__ import annotations

import uuid
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from devhost.durable.history import Event, Kind
from devhost.durable.jsontext import compact, dumps
from devhost.durable.settings import DurableSettings
from devhost.durable.state import InstanceState
from devhost.durations import duration_text

RESPONSES = frozenset(
    {
        Kind.TaskCompleted,
        Kind.TaskFailed,
        Kind.SubOrchestrationInstanceCompleted,
        Kind.SubOrchestrationInstanceFailed,
        Kind.TimerFired,
    }
)
_CLOSED_START = frozenset({Kind.OrchestratorStarted, Kind.ExecutionStarted, Kind.EventRaised, Kind.OrchestratorCompleted})


def new_execution_id() -> str:
    """A random execution id: 32 hexadecimal digits."""
    return uuid.uuid4().hex


def context_json(events: Sequence[Event], state: InstanceState, settings: DurableSettings) -> str:
    """The orchestration trigger's payload."""
    start = execution_started(events)
    text = start.members.get("Input")
    try:
        given = "null" if text is None else compact(text)
    except ValueError:
        given = dumps(text)
    parent = start.members.get("ParentInstance")
    parent_id = parent["OrchestrationInstance"]["InstanceId"] if parent else None
    return (
        f'{{"history":[{",".join([event.payload() for event in events])}],"input":{given},"instanceId":{dumps(state.instance_id)},'
        f'"isReplaying":{"true" if start.played else "false"},"parentInstanceId":{dumps(parent_id)},"upperSchemaVersion":1,'
        f'"upperSchemaVersionNew":2,"longRunningTimerIntervalDuration":"{_full(settings.long_timer_leg_seconds)}",'
        f'"maximumShortTimerDuration":"{_full(settings.longest_timer_seconds)}",'
        f'"defaultHttpAsyncRequestSleepTimeMillseconds":{settings.http_sleep_milliseconds}}}'
    )


def _full(seconds: float) -> str:
    return duration_text(seconds)


def start_event(state: InstanceState, timestamp: str) -> Event:
    """`ExecutionStarted` of an execution."""
    members: dict[str, Any] = {
        "OrchestrationInstance": {"InstanceId": state.instance_id, "ExecutionId": state.execution_id},
        "ParentInstance": state.parent,
        "Name": state.name,
        "Version": state.version,
        "Input": state.input,
        "Tags": None,
        "Correlation": None,
        "ParentTraceContext": None,
        "ScheduledStartTime": state.scheduled,
        "Generation": state.generation,
    }
    return Event(Kind.ExecutionStarted, members, timestamp=timestamp)


def parent_instance(state: InstanceState, task_id: int) -> dict[str, Any]:
    """The `ParentInstance` member of a child of `state`."""
    return {
        "Name": state.name,
        "OrchestrationInstance": {"InstanceId": state.instance_id, "ExecutionId": state.execution_id},
        "TaskScheduleId": task_id,
        "Version": state.version,
    }


def is_child_of(child: InstanceState, parent: InstanceState, task_id: int) -> bool:
    """Whether `child` was started by task `task_id` of this execution of `parent`."""
    return child.parent is not None and dict(child.parent) == parent_instance(parent, task_id)


def parent_reply(parent: Mapping[str, Any], completion: Event, timestamp: str) -> Event:
    """What a finished child tells its parent."""
    members: dict[str, Any] = {"TaskScheduledId": int(parent["TaskScheduleId"])}
    status, result = completion.members["OrchestrationStatus"], completion.members.get("Result")
    if status == "Completed":
        return Event(Kind.SubOrchestrationInstanceCompleted, {**members, "Result": result}, timestamp=timestamp)
    details = (completion.private or {}).get("FailureText") if status == "Failed" else None
    members |= {"Reason": result, "Details": details, "FailureDetails": None}
    return Event(Kind.SubOrchestrationInstanceFailed, members, timestamp=timestamp)


def timer_fired(created: Event) -> Event:
    """The event of a timer that is due; it carries the time of the timer's creation, as upstream's does."""
    return Event(Kind.TimerFired, {"TimerId": created.id, "FireAt": created.members["FireAt"]}, timestamp=created.timestamp)


@dataclass(slots=True)
class Standing:
    """What a history says of its instance."""

    completion: Event | None = None
    suspended: bool = False
    reason: str | None = None
    """The last suspend or resume reason."""
    open: dict[int, Event] = field(default_factory=dict)
    """Scheduled tasks, timers and sub-orchestrations without an answer, by sequence number."""
    unplayed: bool = False
    """Whether Python may not yet have seen all of it."""


def standing(events: Sequence[Event]) -> Standing:
    """Reads off a history what is open. Cancelled timers count as open: they fire all the same."""
    found = Standing()
    answered = {event.task_id for event in events if event.kind in RESPONSES}
    for event in events:
        if event.kind in (Kind.TaskScheduled, Kind.TimerCreated, Kind.SubOrchestrationInstanceCreated):
            if event.id not in answered:
                found.open[event.id] = event
        elif event.kind is Kind.ExecutionCompleted:
            found.completion = event
        elif event.kind in (Kind.ExecutionSuspended, Kind.ExecutionResumed):
            found.suspended = event.kind is Kind.ExecutionSuspended
            found.reason = event.members.get("Reason")
    closed = bool(events) and events[-1].kind is Kind.OrchestratorCompleted
    found.unplayed = bool(events) and (not closed or (all(event.kind in _CLOSED_START for event in events) and _count(events) <= 2))
    return found


def execution_started(events: Sequence[Event]) -> Event:
    """The history's start event."""
    return next(event for event in events if event.kind is Kind.ExecutionStarted)


def _count(events: Iterable[Event]) -> int:
    return sum(event.kind in (Kind.OrchestratorStarted, Kind.OrchestratorCompleted) for event in events)
