"""ReplayDriver: runs an orchestrator through the Durable SDK's own executor, event by event, without a host.

The driver keeps the history that an engine would keep, hands the whole of it to the SDK for every episode, and shows what the orchestrator has
asked for. The test decides what completes, fails or fires, and in which order. Each episode also checks that the orchestrator asks for the same
things as before, inputs included, which neither the SDK nor the engine does.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from azure.durable_functions import Orchestrator

_START = datetime(2026, 1, 1, tzinfo=UTC)
_MARKER = "$OutOfProcData$:"
_ACTIVITY, _TIMER, _CONTINUE, _EVENT, _ANY, _ALL = 0, 5, 4, 6, 11, 12
_ORCHESTRATOR_STARTED, _EXECUTION_STARTED, _TASK_COMPLETED, _TASK_FAILED, _TIMER_FIRED, _ORCHESTRATOR_COMPLETED, _EVENT_RAISED = (
    12,
    0,
    5,
    6,
    11,
    13,
    15,
)


class ReplayMismatch(AssertionError):
    """The orchestrator asked for something else than it did before: it is not deterministic."""


@dataclass(frozen=True, slots=True)
class Asked:
    """An activity or timer that the orchestrator asked for."""

    number: int
    """Its sequence number."""
    name: str
    """The activity's name; `timer` for a timer."""
    payload: Any
    """The activity's input; the due time of a timer as text."""


class ReplayDriver:
    """One orchestration instance in the hands of a test."""

    def __init__(self, orchestrator: Callable[[Any], Any], input_: Any, *, instance_id: str = "replay") -> None:
        self._handle = Orchestrator.create(orchestrator)
        self._instance_id = instance_id
        self._now = _START
        self.open: dict[int, Asked] = {}
        """What has been asked for and not been answered, by sequence number."""
        self.asked: list[Asked] = []
        """Everything this execution has asked for, in order."""
        self.custom_status: Any = None
        self.output: Any = None
        self.failure: str | None = None
        self.generations = 0
        """How often it has continued as new."""
        self.episodes = 0
        self._begin(input_)

    @property
    def done(self) -> bool:
        """Whether the orchestrator has returned or failed, and nothing is open any more."""
        return self._finished and not self.open

    def finish(self, answer: Callable[[Asked], Any]) -> None:
        """Answers what is open, oldest first, until nothing is: activities with `answer`, timers by letting them fire."""
        while not self.done:
            asked = self.open[min(self.open)]
            if asked.name == "timer":
                self.fire(asked.number)
            else:
                self.complete(asked.number, answer(asked))

    def complete(self, number: int, result: Any) -> None:
        """Answers an activity."""
        del self.open[number]
        self._episode({"EventType": _TASK_COMPLETED, "TaskScheduledId": number, "Result": json.dumps(result)})

    def fail(self, number: int, reason: str = "broken off") -> None:
        """Fails an activity, as an engine does when the function raised."""
        del self.open[number]
        self._episode({"EventType": _TASK_FAILED, "TaskScheduledId": number, "Reason": reason, "Details": None})

    def fire(self, number: int) -> None:
        """Lets a timer fire."""
        timer = self.open.pop(number)
        self._now = max(self._now, datetime.fromisoformat(str(timer.payload)))
        self._episode({"EventType": _TIMER_FIRED, "TimerId": number, "FireAt": timer.payload})

    def raise_event(self, name: str, data: Any = None) -> None:
        """Delivers an external event as the Durable client sends it."""
        self._episode({"EventType": _EVENT_RAISED, "Name": name, "Input": json.dumps(json.dumps(data))})

    def _begin(self, input_: Any) -> None:
        self._input = json.dumps(input_)
        self._history: list[dict[str, Any]] = []
        self._finished = False
        self.open.clear()
        self.asked.clear()
        self._episode({"EventType": _EXECUTION_STARTED, "Name": "orchestrator", "Version": "", "Input": json.dumps(self._input)})

    def _episode(self, event: dict[str, Any]) -> None:
        self.episodes += 1
        self._now += timedelta(milliseconds=5)
        self._append({"EventType": _ORCHESTRATOR_STARTED})
        self._append(event)
        state = self._replay()
        self._append({"EventType": _ORCHESTRATOR_COMPLETED})
        self.custom_status = state.get("customStatus", self.custom_status)
        asked, continued = _flatten(state["actions"][0])
        if asked[: len(self.asked)] != self.asked:
            raise ReplayMismatch(f"episode {self.episodes}: asked before {self.asked}, now {asked}")
        for each in asked[len(self.asked) :]:
            self.asked.append(each)
            if each.name != "canceled timer":
                self.open[each.number] = each
        if state.get("error"):
            self.failure, self._finished = state["error"], True
        elif state["isDone"]:
            self.output, self._finished = state.get("output"), True
            if continued is not None:
                self.generations += 1
                self._begin(json.loads(continued))

    def _append(self, event: dict[str, Any]) -> None:
        moment = self._now.strftime("%Y-%m-%dT%H:%M:%S.%fZ")
        self._history.append({"EventId": -1, "IsPlayed": False, "Timestamp": moment, **event})

    def _replay(self) -> dict[str, Any]:
        body = {
            "history": self._history,
            "input": self._input,
            "instanceId": self._instance_id,
            "isReplaying": self.episodes > 1,
            "parentInstanceId": None,
            "upperSchemaVersion": 1,
            "upperSchemaVersionNew": 2,
            "longRunningTimerIntervalDuration": "3.00:00:00",
            "maximumShortTimerDuration": "6.00:00:00",
        }
        try:
            answer = self._handle(json.dumps(body))
        except Exception as error:
            if _MARKER not in str(error):
                raise
            answer = str(error).split(_MARKER, 1)[1]
        state: dict[str, Any] = json.loads(answer)
        return state


def _flatten(actions: list[dict[str, Any]]) -> tuple[list[Asked], str | None]:
    """Numbers actions depth-first as an engine does; also the input of a continue-as-new, if there is one."""
    asked: list[Asked] = []
    continued: str | None = None

    def visit(action: dict[str, Any]) -> None:
        nonlocal continued
        match action["actionType"]:
            case kind if kind in (_ANY, _ALL):
                for child in action["compoundActions"]:
                    visit(child)
            case kind if kind == _ACTIVITY:
                asked.append(Asked(len(asked), action["functionName"], json.loads(action["input"])))
            case kind if kind == _TIMER:
                asked.append(Asked(len(asked), "canceled timer" if action["isCanceled"] else "timer", action["fireAt"]))
            case kind if kind == _CONTINUE:
                continued = action["input"]
            case kind if kind == _EVENT:
                pass
            case kind:
                raise ReplayMismatch(f"the driver does not know action type {kind}")

    for each in actions:
        visit(each)
    return asked, continued
