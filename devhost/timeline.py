"""An orchestration's status with history, as lines to read. Pure."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from datetime import datetime
from typing import Any

_WIDTH = 100


def timeline(instance: Mapping[str, Any]) -> Iterator[str]:
    """A headline, then one line for each event: seconds since the start, what happened, how long it took, with what."""
    yield f"{instance['instanceId']}  {instance['name']}  {instance['runtimeStatus']}"
    for field in ("createdTime", "lastUpdatedTime"):
        yield f"  {field}: {instance.get(field)}"
    for field in ("input", "customStatus", "output"):
        if instance.get(field) is not None:
            yield f"  {field}: {_short(instance[field])}"
    events = instance.get("historyEvents") or []
    start = _time(events[0].get("Timestamp")) if events else None
    for event in events:
        moment = _time(event.get("Timestamp"))
        offset = f"{(moment - start).total_seconds():9.3f} s" if moment and start else " " * 11
        yield f"  {offset}  {_describe(event)}"


def _describe(event: Mapping[str, Any]) -> str:
    kind = str(event.get("EventType"))
    name = event.get("FunctionName") or event.get("Name") or ""
    details = [text for text in (_duration(event), _payload(event)) if text]
    title = f"{_TITLES.get(kind, kind)} {name}".rstrip()
    return title + (f"  {'  '.join(details)}" if details else "")


_TITLES = {
    "ExecutionStarted": "started",
    "ExecutionCompleted": "ended",
    "ExecutionTerminated": "terminated",
    "ExecutionSuspended": "suspended",
    "ExecutionResumed": "resumed",
    "TaskScheduled": "activity scheduled",
    "TaskCompleted": "activity completed",
    "TaskFailed": "ACTIVITY FAILED",
    "SubOrchestrationInstanceCreated": "sub-orchestration started",
    "SubOrchestrationInstanceCompleted": "sub-orchestration completed",
    "SubOrchestrationInstanceFailed": "SUB-ORCHESTRATION FAILED",
    "TimerCreated": "timer set",
    "TimerFired": "timer fired",
    "EventRaised": "event received",
    "EventSent": "event sent",
    "ContinueAsNew": "continued as new",
    "GenericEvent": "note",
}


def _duration(event: Mapping[str, Any]) -> str:
    scheduled, ended = _time(event.get("ScheduledTime")), _time(event.get("Timestamp"))
    return f"{(ended - scheduled).total_seconds():.3f} s" if scheduled and ended else ""


def _payload(event: Mapping[str, Any]) -> str:
    kind = event.get("EventType")
    if kind in {"TimerCreated", "TimerFired"}:
        return f"for {event.get('FireAt')}"
    if kind == "ExecutionCompleted":
        result = event.get("Result")
        return f"{event.get('OrchestrationStatus')}" + (f" -> {_short(result)}" if result is not None else "")
    for field, arrow in (("Reason", "! "), ("Result", "-> "), ("Input", "<- "), ("InstanceId", "as ")):
        if event.get(field) is not None:
            return arrow + _short(event[field])
    return ""


def _short(value: Any) -> str:
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    text = " ".join(text.split())
    return text if len(text) <= _WIDTH else text[: _WIDTH - 1] + "…"


def _time(text: Any) -> datetime | None:
    try:
        return datetime.fromisoformat(text) if isinstance(text, str) else None
    except ValueError:
        return None
