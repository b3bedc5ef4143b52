"""Non-determinism: the history scheduled one thing, the orchestrator's code now asks for another. The sentences are upstream's."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from devhost.durable.history import Event, Kind

_ASKED: Final = "A previous execution of this orchestration scheduled"
_CHANGED: Final = "Was a change made to the orchestrator code after this instance had already started running?"
_PRODUCED: Final = {
    Kind.TaskScheduled: "ScheduleTaskOrchestratorAction",
    Kind.TimerCreated: "CreateTimerOrchestratorAction",
    Kind.SubOrchestrationInstanceCreated: "CreateSubOrchestrationAction",
    Kind.EventSent: "SendEventOrchestratorAction",
    Kind.ExecutionCompleted: "OrchestrationCompleteOrchestratorAction",
}

_WHEN_ANY: Final = 11
_WITH_RETRY: Final = (1, 3)
RETRY_IN_RACE: Final = (
    "the code need not have changed: a call with retry stands in a task_any. The engine goes on behind a task_any as soon as one of its tasks is done "
    "or cancelled, so what was asked for later gets the numbers that the retries had. Retry in a sub-orchestration, or wait with task_all."
)


def drift(recorded: Event, planned: Event | None) -> str | None:
    """Why the recorded event cannot be what the replay planned under its number; None when it is."""
    if planned is None:
        return f"{_ASKED} {_missing(recorded)} but the current replay execution hasn't (yet?) scheduled this task. {_CHANGED}"
    if planned.kind is not recorded.kind:
        verb, thing = ("scheduled", "task") if recorded.kind is Kind.EventSent else ("produced", "action")
        place = "at" if recorded.kind in (Kind.SubOrchestrationInstanceCreated, Kind.EventSent) else "with"
        return (
            f"{_ASKED} {_other(recorded)} but the current orchestration replay instead {verb} a {_PRODUCED[planned.kind]} {thing} {place} this "
            f"sequence number. {_CHANGED}"
        )
    if recorded.kind is Kind.TimerCreated or str(recorded.members["Name"]).lower() == str(planned.members["Name"]).lower():
        return None
    named = {
        Kind.TaskScheduled: f"an activity task named '{planned.members['Name']}' with this sequence number. ",
        Kind.SubOrchestrationInstanceCreated: f"a sub-orchestration task with name {planned.members['Name']} at this sequence number.",
        Kind.EventSent: f"a send event task with name {planned.members['Name']}at this sequence number.",
    }[recorded.kind]
    return f"{_ASKED} {_other(recorded)} but the current orchestration replay instead scheduled {named} {_CHANGED}"


def has_retry_in_race(actions: Sequence[dict[str, Any]]) -> bool:
    """Whether an orchestrator races calls with retry: the one way in which unchanged code, free of clocks and chance, is non-deterministic."""
    return any(action.get("actionType") == _WHEN_ANY and _retries(action) for action in _all(actions))


def _all(actions: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    return [each for action in actions for each in (action, *_all(action.get("compoundActions") or ()))]


def _retries(action: dict[str, Any]) -> bool:
    return any(each.get("actionType") in _WITH_RETRY for each in _all([action]))


def _missing(event: Event) -> str:
    if event.kind is Kind.TaskScheduled:
        version = event.members.get("Version") or ""
        return f"an activity task with sequence ID {event.id} and name '{event.members['Name']}' (version '{version}'),"
    if event.kind is Kind.TimerCreated:
        return f"a timer task with sequence number {event.id}"
    return _other(event, "") if event.kind is Kind.EventSent else _other(event)


def _other(event: Event, comma: str = ",") -> str:
    """The recorded event in the words of a comparison; the commas are upstream's, where they are and where they are not."""
    number, members = event.id, event.members
    if event.kind is Kind.TaskScheduled:
        return f"an activity task with sequence number {number} named '{members['Name']}',"
    if event.kind is Kind.TimerCreated:
        return f"a timer task with sequence number {number} named"
    if event.kind is Kind.SubOrchestrationInstanceCreated:
        return (
            f"a sub-orchestration task with sequence ID {number} and name '{members['Name']}' (version '{members.get('Version') or ''}', "
            f"instance ID '{members['InstanceId']}'),"
        )
    return f"a send event task with sequence ID {number}, type 'EventSent'{comma} name '{members['Name']}', instance ID '{members['InstanceId']}',"
