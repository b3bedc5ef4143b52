"""What every stored history must satisfy, whenever it is looked at: after any crash, in the middle of anything. Pure.

The rules are those by which the engine and the SDK read a history. Each problem is one sentence that names the row; a sound history gives
none. Histories that the real engine recorded are sound by these rules, but for the second answers that it keeps and this host drops.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Final

from devhost.durable.history import Event, Kind
from devhost.durable.jsontext import loads
from devhost.durable.state import InstanceState
from devhost.durable.store import Partition

ANSWERS: Final = {
    Kind.TaskCompleted: Kind.TaskScheduled,
    Kind.TaskFailed: Kind.TaskScheduled,
    Kind.SubOrchestrationInstanceCompleted: Kind.SubOrchestrationInstanceCreated,
    Kind.SubOrchestrationInstanceFailed: Kind.SubOrchestrationInstanceCreated,
    Kind.TimerFired: Kind.TimerCreated,
}
"""What answers what."""
_SCHEDULES: Final = frozenset({*ANSWERS.values(), Kind.EventSent})
_OPENED: Final = frozenset({Kind.OrchestratorStarted, Kind.ExecutionStarted, Kind.EventRaised, Kind.OrchestratorCompleted})
_OPENING: Final = (Kind.OrchestratorStarted, Kind.ExecutionStarted)


def history_problems(events: Sequence[Event]) -> Iterator[str]:
    """What is wrong with one execution's history; an empty history is sound."""
    for position, (event, kind) in enumerate(zip(events, _OPENING, strict=False)):
        if event.kind is not kind:
            yield f"row {position} is {event.kind.name} where every history has {kind.name}"
    reading = _Reading()
    for position, event in enumerate(events):
        for problem in reading.problems(position, event):
            yield f"row {position} ({event.kind.name}): {problem}"


@dataclass(slots=True)
class _Reading:
    """What has been read so far."""

    inside: bool = False
    """Between `OrchestratorStarted` and `OrchestratorCompleted`."""
    only_opening: bool = True
    """Nothing has come yet but the start and events that a continue-as-new has carried over."""
    starts: int = 0
    completion: int | None = None
    last_id: int = -1
    scheduled: dict[int, Event] = field(default_factory=dict)
    rewound: set[int] = field(default_factory=set)
    """Numbers whose first attempt a rewind has blanked."""
    answered: set[int] = field(default_factory=set)
    requests: set[str] = field(default_factory=set)
    """Ids of entity requests, under which their replies come."""
    replied: set[str] = field(default_factory=set)

    def problems(self, position: int, event: Event) -> Iterator[str]:
        kind = event.kind
        if kind is Kind.GenericEvent:
            self.rewound.add(event.id)
            return
        if kind is Kind.OrchestratorStarted:
            if self.inside:
                yield "an episode begins before the one before it has ended"
            self.inside = True
        elif not self.inside and not self.only_opening:
            yield "it stands outside an episode"
        if self.completion is not None and kind is not Kind.OrchestratorCompleted:
            yield f"the execution has ended in row {self.completion}"
        if kind not in _OPENED:
            # A generation begins closed, as upstream's do: what its first episode decides follows without another beginning.
            self.inside, self.only_opening = self.inside or self.only_opening, False
        if kind is Kind.OrchestratorCompleted:
            self.inside = False
        elif kind is Kind.ExecutionStarted:
            self.starts += 1
            if self.starts > 1:
                yield "the execution has started already"
        elif kind is Kind.ExecutionCompleted:
            self.completion = position
            yield from self._number(event)
        elif kind in _SCHEDULES:
            yield from self._scheduled(event)
        elif kind in ANSWERS:
            yield from self._answer(event)
        elif kind is Kind.EventRaised:
            yield from self._raised(event)

    def _number(self, event: Event) -> Iterator[str]:
        """Sequence numbers rise by one from 0, each used once; a rewound step takes its old one again."""
        if event.id in self.rewound:
            self.rewound.discard(event.id)
        elif event.id != self.last_id + 1:
            yield f"its sequence number is {event.id}, after {self.last_id}"
        self.last_id = max(self.last_id, event.id)

    def _scheduled(self, event: Event) -> Iterator[str]:
        yield from self._number(event)
        self.scheduled[event.id] = event
        self.answered.discard(event.id)
        if event.kind is Kind.EventSent and str(event.members.get("InstanceId")).startswith("@"):
            request = _request_id(event)
            if request is not None:
                self.requests.add(request)

    def _answer(self, event: Event) -> Iterator[str]:
        asked = self.scheduled.get(event.task_id)
        if asked is None or asked.kind is not ANSWERS[event.kind]:
            yield f"it answers #{event.task_id}, which is no {ANSWERS[event.kind].name} before it"
            return
        if event.task_id in self.answered:
            yield f"#{event.task_id} has been answered before"
        self.answered.add(event.task_id)
        if event.kind is Kind.TimerFired and event.members["FireAt"] != asked.members["FireAt"]:
            yield f"it fires for {event.members['FireAt']}, timer #{event.task_id} is for {asked.members['FireAt']}"

    def _raised(self, event: Event) -> Iterator[str]:
        name = str(event.members.get("Name"))
        if name in self.requests and name in self.replied:
            yield f"the entity's reply to request {name} is here already"
        if name in self.requests:
            self.replied.add(name)


def status_problems(state: InstanceState, partition: Partition, *, settled: bool = False) -> Iterator[str]:
    """Where an instance's row contradicts its history.

    The row is written after the history and may be behind it, never ahead of it. With `settled` (the host was stopped in peace, or reports
    the instance as ended) it must say the same.
    """
    completion = next((event for event in partition.events if event.kind is Kind.ExecutionCompleted), None)
    ended = completion is not None and completion.members["OrchestrationStatus"] != "ContinuedAsNew"
    if state.is_terminal and partition.execution_id != state.execution_id:
        yield f"the row says {state.status} of execution {state.execution_id}, the history is of execution {partition.execution_id or '(none)'}"
    elif state.is_terminal and not ended:
        yield f"the row says {state.status}, but the history goes on"
    elif state.is_terminal and completion is not None:
        status, result = completion.members["OrchestrationStatus"], completion.members.get("Result")
        if state.status != status or result not in (state.output, None):  # an end without a result leaves what the row said before
            yield f"the row says {state.status} with {_short(state.output)}, the history {status} with {_short(result)}"
    elif settled and ended and completion is not None:
        yield f"the row says {state.status}, but the history has ended: {completion.members['OrchestrationStatus']}"
    if settled and partition.events and partition.events[-1].kind is not Kind.OrchestratorCompleted:
        yield "the last episode has no end"
    if settled and state.custom_status != partition.custom_status:
        yield f"the row's custom status is {_short(state.custom_status)}, the history's {_short(partition.custom_status)}"


def _request_id(sent: Event) -> str | None:
    try:
        request = loads(str(sent.members.get("Input")))
    except ValueError:
        return None
    return str(request["id"]) if isinstance(request, dict) and "id" in request and not request.get("signal") else None


def _short(text: str | None) -> str:
    return "nothing" if text is None else repr(text if len(text) <= 80 else text[:79] + "…")
