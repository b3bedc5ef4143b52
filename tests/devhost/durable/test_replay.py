"""The deterministic core alone: an engine in memory, the SDK's own orchestrators, any order of completions."""

# mypy: disable-error-code="no-untyped-def, no-untyped-call"
# ruff: noqa: ANN001, ANN202

from __future__ import annotations

import datetime as dt
import json
import random
from collections.abc import Callable, Generator
from dataclasses import dataclass, field
from typing import Any

import azure.durable_functions as df
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from devhost.durable.answers import Answer, read_answer
from devhost.durable.decisions import Decision, Frame, Known
from devhost.durable.episode import context_json, start_event, timer_fired
from devhost.durable.history import MESSAGES, Event, Kind
from devhost.durable.replay import replay
from devhost.durable.settings import DurableSettings
from devhost.durable.state import InstanceState
from devhost.durable.times import TICKS_PER_SECOND, to_text, to_ticks
from devhost.invocation import Failed, JsonText, Succeeded

pytestmark = pytest.mark.filterwarnings("ignore:Potential duplicate Task completion")

KNOWN = Known({"o": "o", "child": "child"}, {"ok": "ok", "bad": "bad"}, {"counter": "counter"})
START = to_ticks("2026-01-01T00:00:00Z")


@dataclass
class Memory:
    """One orchestration on a perfect engine: no storage, no time, completions in the order the dice say."""

    orchestrator: Callable[[Any], Generator[Any, Any, Any]]
    dice: random.Random
    skips: bool
    """Whether Python is left alone while the replay says it must answer the same."""
    events: list[Event] = field(default_factory=list)
    open: list[Event] = field(default_factory=list)
    decision: Decision = field(default_factory=Decision)
    asked: int = 0
    now: int = START

    def tick(self) -> str:
        self.now += TICKS_PER_SECOND
        return to_text(self.now)

    def ask(self) -> Answer:
        self.asked += 1
        state = InstanceState(instance_id="i", name="o", execution_id="e" * 32, status="Running", created="", updated="")
        try:
            text = df.Orchestrator.create(self.orchestrator)(context_json(self.events, state, DurableSettings()))
        except Exception as error:
            return read_answer("o", Failed(type_name=type(error).__name__, message=str(error), stack=""))
        return read_answer("o", Succeeded(return_value=JsonText(text)))

    def episode(self, arrived: list[Event]) -> None:
        new = [Event(Kind.OrchestratorStarted, timestamp=self.tick()), *arrived]
        self.events += new
        answered = {event.task_id for event in arrived if event.kind in (Kind.TaskCompleted, Kind.SubOrchestrationInstanceCompleted)}
        quiet = self.decision.quiet
        if self.skips and len(answered) == len(arrived) and answered < quiet:
            self.decision.quiet = quiet - answered
            scheduled = []
        else:
            frame = Frame("i", "e" * 32, "o", None, KNOWN)
            self.decision = replay(self.events, self.ask(), frame)
            scheduled = self.decision.scheduled
        for event in self.events:
            event.played = event.played or event.kind in MESSAGES
        self.events += [*scheduled, Event(Kind.OrchestratorCompleted, timestamp=to_text(self.now))]
        self.open += [
            event for event in scheduled if event.kind in (Kind.TaskScheduled, Kind.TimerCreated, Kind.SubOrchestrationInstanceCreated)
        ]

    def run(self) -> Event:
        state = InstanceState(instance_id="i", name="o", execution_id="e" * 32, status="Running", created="", updated="", input="null")
        self.episode([start_event(state, to_text(self.now))])
        while self.decision.completion is None:
            assert self.open, "nothing is open and nothing has ended"
            self.dice.shuffle(self.open)
            count = self.dice.randint(1, len(self.open))
            done, self.open = self.open[:count], self.open[count:]
            self.episode([self.result(event) for event in done])
        return self.decision.completion

    def result(self, scheduled: Event) -> Event:
        event = self.answer_to(scheduled)
        event.timestamp = to_text(self.now)
        return event

    def answer_to(self, scheduled: Event) -> Event:
        if scheduled.kind is Kind.TimerCreated:
            return timer_fired(scheduled)
        if scheduled.kind is Kind.SubOrchestrationInstanceCreated:
            return Event(Kind.SubOrchestrationInstanceCompleted, {"TaskScheduledId": scheduled.id, "Result": json.dumps(scheduled.id)})
        if scheduled.members["Name"] == "bad":
            failed = {"TaskScheduledId": scheduled.id, "Reason": f"no {scheduled.id}", "Details": "d", "FailureDetails": None}
            return Event(Kind.TaskFailed, failed)
        assert scheduled.private is not None
        return Event(Kind.TaskCompleted, {"TaskScheduledId": scheduled.id, "Result": scheduled.private["TaskInput"]})


def program(seed: int) -> Callable[[Any], Generator[Any, Any, Any]]:
    """An orchestrator made of random steps. It is deterministic: its dice are thrown anew, alike, at every replay."""

    def orchestrator(context):
        dice = random.Random(seed)
        seen: list[str | None] = []

        def task(depth=0):
            kind = dice.choice(["ok", "ok", "ok", "bad", "timer", "child", "retry", "all", "any"] if depth < 2 else ["ok"])
            if kind == "timer":
                return context.create_timer(context.current_utc_datetime + dt.timedelta(seconds=dice.randint(0, 5)))
            if kind == "child":
                return context.call_sub_orchestrator("child", dice.randint(0, 9))
            if kind == "retry":
                return context.call_activity_with_retry(dice.choice(["ok", "bad"]), df.RetryOptions(1000, dice.randint(1, 3)), "r")
            if kind in ("all", "any"):
                return getattr(context, f"task_{kind}")([task(depth + 1) for _ in range(dice.randint(1, 4))])
            return context.call_activity(kind, dice.randint(0, 9))

        for _ in range(dice.randint(1, 4)):
            try:
                found = yield task()
            except Exception as error:
                seen.append(str(error)[:12])
                return seen  # after a caught failure upstream's two sides may number differently: stop here
            seen.append(repr(getattr(found, "result", found))[:20] if dice.random() < 0.5 else None)
        return seen

    return orchestrator


@settings(max_examples=80, deadline=None)
@given(seed=st.integers(0, 10**6), order=st.integers(0, 10**6))
def test_leaving_python_alone_changes_neither_history_nor_outcome(seed: int, order: int) -> None:
    always = Memory(program(seed), random.Random(order), skips=False)
    rarely = Memory(program(seed), random.Random(order), skips=True)
    assert always.run().members == rarely.run().members
    assert [event.payload() for event in always.events] == [event.payload() for event in rarely.events]
    assert rarely.asked <= always.asked


@settings(max_examples=60, deadline=None)
@given(seed=st.integers(0, 10**6), order=st.integers(0, 10**6))
def test_nothing_ends_with_open_work_and_no_number_is_used_twice(seed: int, order: int) -> None:
    memory = Memory(program(seed), random.Random(order), skips=True)
    completion = memory.run()
    assert not memory.open
    numbers = [event.id for event in memory.events if event.id >= 0]
    assert sorted(numbers) == list(range(len(numbers)))
    assert completion.id == len(numbers) - 1


@settings(max_examples=60, deadline=None)
@given(seed=st.integers(0, 10**6), order=st.integers(0, 10**6), cut=st.floats(0, 1))
def test_replaying_a_committed_prefix_asks_for_nothing_new(seed: int, order: int, cut: float) -> None:
    """What recovery rests on: an episode that is committed, decided once more, schedules nothing."""
    memory = Memory(program(seed), random.Random(order), skips=False)
    memory.run()
    ends = [index for index, event in enumerate(memory.events) if event.kind is Kind.OrchestratorCompleted][:-1]
    if ends:
        memory.events = memory.events[: ends[int(cut * (len(ends) - 1))] + 1]
        assert replay(memory.events, memory.ask(), Frame("i", "e" * 32, "o", None, KNOWN)).scheduled == []


def decide(actions: list[dict[str, Any]], *rest: Event, **answer: Any) -> Decision:
    state = InstanceState(instance_id="i", name="o", execution_id="e" * 32, status="Running", created="", updated="")
    events = [Event(Kind.OrchestratorStarted, timestamp="2026-01-01T00:00:00Z"), start_event(state, "2026-01-01T00:00:00Z"), *rest]
    return replay(events, Answer(actions=actions, **answer), Frame("i", "e" * 32, "o", "p", KNOWN))


def activity(name: str = "ok") -> dict[str, Any]:
    return {"actionType": 0, "functionName": name, "input": "1"}


def kinds(decision: Decision) -> list[str]:
    return [f"{event.kind.name}#{event.id}" for event in decision.scheduled]


def test_actions_wait_in_line() -> None:
    both = [{"actionType": 12, "compoundActions": [activity(), activity("bad")]}, activity()]
    first = decide(both)
    assert kinds(first) == ["TaskScheduled#0", "TaskScheduled#1"]
    assert decide(both[:1]).quiet == {0, 1}
    assert not first.quiet  # the orchestrator is beyond the first wave already
    failed = Event(Kind.TaskFailed, {"TaskScheduledId": 1, "Reason": "no", "Details": None, "FailureDetails": None})
    assert kinds(decide(both, *first.scheduled, failed)) == []
    done = Event(Kind.TaskCompleted, {"TaskScheduledId": 0, "Result": "1"})
    assert kinds(decide(both, *first.scheduled, failed, done)) == ["TaskScheduled#2"]


def test_a_cancelled_timer_is_no_open_work() -> None:
    timer = {"actionType": 5, "fireAt": "2026-01-01T01:00:00.000000Z", "isCanceled": True}
    decision = decide([{"actionType": 11, "compoundActions": [activity(), timer]}], is_done=True, output="1")
    assert kinds(decision) == ["TaskScheduled#0", "TimerCreated#1"]
    done = Event(Kind.TaskCompleted, {"TaskScheduledId": 0, "Result": "1"})
    ended = decide([{"actionType": 11, "compoundActions": [activity(), timer]}], *decision.scheduled, done, is_done=True, output="1")
    assert kinds(ended) == ["ExecutionCompleted#2"]


@pytest.mark.parametrize(
    ("action", "text"),
    [
        (activity("nope"), "The function 'nope' doesn't exist"),
        ({"actionType": 2, "functionName": "child", "input": "1", "instanceId": "I"}, "own id or its parent's"),
        ({"actionType": 2, "functionName": "child", "input": "1", "instanceId": "P"}, "own id or its parent's"),
        ({"actionType": 2, "functionName": "child", "input": "1", "instanceId": "@x"}, "starts with @"),
        ({"actionType": 7, "instanceId": "@nope@k", "operation": "o", "input": "1"}, "is not an entity function"),
        (
            {
                "actionType": 1,
                "functionName": "ok",
                "retryOptions": {"firstRetryIntervalInMilliseconds": 6 * 86400_000 + 1, "maxNumberOfAttempts": 2},
            },
            "longer than 6 days",
        ),
    ],
)
def test_a_rejected_action_takes_no_number_and_is_noted(action: dict[str, Any], text: str) -> None:
    decision = decide([{"actionType": 12, "compoundActions": [action, activity()]}])
    assert kinds(decision) == ["TaskScheduled#0"]
    assert any(note.startswith("error: ") and text in note for note in decision.notes)


@pytest.mark.parametrize(
    ("action", "text"),
    [
        ({"actionType": 9, "instanceId": "@nope@k", "operation": "o", "input": "1"}, "is not an entity function"),
        ({"actionType": 99}, "Received an unexpected action type from the out-of-proc function: '$99'."),
        ({"actionType": 1, "functionName": "ok"}, "retryOptions"),
    ],
)
def test_some_actions_fail_the_orchestration(action: dict[str, Any], text: str) -> None:
    decision = decide([action])
    assert decision.completion is not None
    assert decision.completion.members["OrchestrationStatus"] == "Failed"
    assert text in decision.completion.members["Result"]


def test_a_custom_status_is_limited_to_16_kb_of_utf_16() -> None:
    assert decide([activity()], custom_status=json.dumps("s" * 8701)).completion is None, "upstream compares whole kilobytes"
    decision = decide([activity()], custom_status=json.dumps("s" * 8702))
    assert decision.completion is not None
    assert decision.completion.members["Result"].endswith("must not exceed 16 KB. The current payload size is 17 KB.")
    assert decision.custom_status is None


@pytest.mark.parametrize(
    ("recorded", "text"),
    [
        (
            Event(Kind.TaskScheduled, {"Name": "other"}, id=0),
            "named 'other', but the current orchestration replay instead scheduled an activity task named 'ok'",
        ),
        (Event(Kind.TimerCreated, {"FireAt": "2026-01-01T00:00:00Z"}, id=0), "instead produced a ScheduleTaskOrchestratorAction action"),
        (
            Event(Kind.TaskScheduled, {"Name": "ok"}, id=7),
            "with sequence ID 7 and name 'ok' (version ''), but the current replay execution hasn't (yet?)",
        ),
        (Event(Kind.EventSent, {"Name": "op", "InstanceId": "@c@k", "Input": ""}, id=0), "scheduled a ScheduleTaskOrchestratorAction task"),
    ],
)
def test_drift_fails_at_once_whatever_is_open(recorded: Event, text: str) -> None:
    decision = decide([activity(), activity()], recorded)
    assert decision.completion is not None
    assert text in decision.completion.members["Result"]
    assert "TaskScheduled#0" in kinds(decision)


def test_suspension_holds_what_was_decided_and_what_comes() -> None:
    first = decide([activity(), activity()])
    hold, done = Event(Kind.ExecutionSuspended, {"Reason": "r"}), Event(Kind.TaskCompleted, {"TaskScheduledId": 0, "Result": "1"})
    held = decide([activity(), activity()], *first.scheduled, hold, done)
    assert (held.suspended, kinds(held)) == (True, [])
    held = decide([activity(), activity()], *first.scheduled, done, hold)
    assert (held.suspended, kinds(held)) == (True, [])
    freed = decide([activity(), activity()], *first.scheduled, done, hold, Event(Kind.ExecutionResumed, {"Reason": "go"}))
    assert (freed.suspended, kinds(freed), freed.reason) == (False, ["TaskScheduled#1"], "go")


def test_events_after_continue_as_new_are_carried() -> None:
    wait = {"actionType": 6, "externalEventName": "n"}
    raised = [Event(Kind.EventRaised, {"Name": "N", "Input": str(number)}) for number in (1, 2)]
    decision = decide([wait, {"actionType": 4, "input": "5"}], *raised, is_done=True)
    assert decision.completion is not None
    assert (decision.completion.members["OrchestrationStatus"], decision.new_input) == ("ContinuedAsNew", '"5"')
    assert [event.members["Input"] for event in decision.carried] == ["2"]


def test_termination_ignores_open_work() -> None:
    first = decide([activity()])
    decision = decide([activity()], *first.scheduled, Event(Kind.ExecutionTerminated, {"Input": "stop"}))
    assert decision.completion is not None
    assert (decision.completion.members["OrchestrationStatus"], decision.completion.members["Result"]) == ("Terminated", "stop")
    assert kinds(decision) == ["ExecutionCompleted#1"]


def test_the_traps_are_noted() -> None:
    both = [{"actionType": 12, "compoundActions": [activity(), activity()]}, activity()]
    first = decide(both)
    assert any("head of line" in note for note in first.notes)
    failed = Event(Kind.TaskFailed, {"TaskScheduledId": 1, "Reason": "no", "Details": None, "FailureDetails": None})
    assert any(
        note.startswith("warning: the orchestrator went on after a failure") for note in decide(both, *first.scheduled, failed).notes
    )
    wait = {"actionType": 6, "externalEventName": "n"}
    raised = [Event(Kind.EventRaised, {"Name": name, "Input": "1"}) for name in ("N", "x")]
    notes = decide([wait, activity()], *raised).notes
    assert any("event 'N' was taken for 'n'" in note for note in notes)
    early = Event(Kind.EventRaised, {"Name": "x", "Input": "1"})
    started = decide([activity(), {"actionType": 4, "input": "5"}]).scheduled
    done = Event(Kind.TaskCompleted, {"TaskScheduledId": 0, "Result": "1"})
    notes = decide([activity(), {"actionType": 4, "input": "5"}], *started, early, done, is_done=True).notes
    assert any("event 'x' was not waited for and is lost" in note for note in notes)
