"""The deterministic core: what a history and the orchestrator's answer make the engine do next.

The real extension does not trust an orchestrator's progress: in every episode it executes the whole list of actions itself, in order,
against the whole history, and waits where the history has no answer yet. Head-of-line blocking, sequence numbers, retry timers, the
lost and the repeated events all follow from that, so it is done here the same way, from the first event, each time. It is cheap: a
microsecond or two per event, where the Python side spends about forty.

Pure: no clock, no I/O. Time is the timestamp of the `OrchestratorStarted` being replayed.
"""

from __future__ import annotations

import uuid
from collections import deque
from collections.abc import Sequence
from typing import Any, Final

from devhost.durable.answers import Answer
from devhost.durable.decisions import Decision, Frame
from devhost.durable.drift import RETRY_IN_RACE, drift, has_retry_in_race
from devhost.durable.history import Event, Kind
from devhost.durable.jsontext import dumps, loads
from devhost.durable.retrying import LONGEST_RETRY_MILLISECONDS, Retry
from devhost.durable.times import to_round_trip_text, to_text, to_ticks
from devhost.durable.waiting import Node, Waits, compound

HTTP_ACTIVITY: Final = "BuiltIn::HttpActivity"
_STATUS_LIMIT_KB: Final = 16
_NAMESPACE: Final = uuid.UUID("9e952959-5e33-4daf-827f-2fa12937b875")
_NEVER: Final = "0001-01-01T00:00:00"
_NON_DETERMINISTIC: Final = "DurableTask.Core.Exceptions.NonDeterministicOrchestrationException"
_REQUEST: Final = "Microsoft.Azure.WebJobs.Extensions.DurableTask.RequestMessage, Microsoft.Azure.WebJobs.Extensions.DurableTask"

CALL_ACTIVITY, CALL_ACTIVITY_RETRY, CALL_SUB, CALL_SUB_RETRY, CONTINUE_AS_NEW, CREATE_TIMER, WAIT_EVENT = range(7)
CALL_ENTITY, CALL_HTTP, SIGNAL_ENTITY, SIGNAL_ENTITY_LATER, WHEN_ANY, WHEN_ALL = range(7, 13)


class _Failure(Exception):
    """The orchestration fails with this text, once nothing is open."""


class _NonDeterministic(Exception):
    """The history says one thing and the replay another."""


def replay(events: Sequence[Event], answer: Answer, frame: Frame) -> Decision:
    """Executes the answer's actions against the history and returns what is new."""
    return _Replay(answer, frame).run(events)


class _Replay:
    def __init__(self, answer: Answer, frame: Frame) -> None:
        self.answer = answer
        self.frame = frame
        self.now = ""
        self.next_id = 0
        self.new: dict[int, Event] = {}
        self.held: dict[int, Event] = {}
        self.open: dict[int, Node] = {}
        self.waits: dict[str, Waits] = {}
        self.cursor = 0
        self.current: Node | None = None
        self.finished = False
        self.failure: tuple[str, str | None] | None = None
        self.suspended = False
        self.while_suspended: deque[Event] = deque()
        self.completed = False
        self.continue_input: str | None = None
        self.guids = 0
        self.sent: dict[str, int] = {}
        self.actions_made = 0
        self.decision = Decision()

    def run(self, events: Sequence[Event]) -> Decision:
        decision = self.decision
        try:
            for event in events:
                if event.kind is Kind.OrchestratorStarted:
                    self.now = event.timestamp
                else:
                    self.process(event)
            if not self.open and self.finished:
                if self.failure is not None:
                    self.complete("Failed", *self.failure)
                else:
                    self.complete("Completed", self.answer.output)
        except _NonDeterministic as problem:
            decision.notes.append(f"error: {problem}")
            if has_retry_in_race(self.answer.actions):
                decision.notes.append(f"warning: {RETRY_IN_RACE}")
            text = f"Non-Deterministic workflow detected: {problem}"
            self.complete("Failed", text, f"Unhandled exception while executing orchestration: {_NON_DETERMINISTIC}: {text}\n\t")
        if self.finished and self.open and decision.completion is None:
            decision.notes.append("user code finished; the instance stays Running, waiting for " + self.open_text())
        self.note_line()
        if not self.status_too_big():
            decision.custom_status = self.answer.custom_status
        decision.suspended = self.suspended
        decision.scheduled = [self.new[key] for key in sorted(self.new)]
        decision.quiet = self.quiet()
        return decision

    def note_line(self) -> None:
        """Notes what waits in line, and what a continue-as-new loses."""
        notes, node = self.decision.notes, self.current
        if node is not None and not node.done and self.cursor < len(self.answer.actions):
            if node.has_failure:
                notes.append(
                    "warning: the orchestrator went on after a failure while siblings of the failed task are unfinished; if one of them is retried, "
                    "results may reach the wrong tasks"
                )
            else:
                notes.append(
                    "the orchestrator asked for more while an earlier step is unfinished: it starts when that has ended (head of line)"
                )
        if self.decision.new_input is not None:
            lost = sorted({name for waits in self.waits.values() for name in waits.early})
            notes.extend(f"warning: event '{name}' was not waited for and is lost with this continue-as-new" for name in lost)

    # ---- consuming the history

    def process(self, event: Event) -> None:
        kind = event.kind
        if self.suspended and kind not in (Kind.ExecutionResumed, Kind.ExecutionTerminated):
            if kind is not Kind.ExecutionSuspended:
                self.while_suspended.append(event)
            return
        if kind in (Kind.TaskCompleted, Kind.SubOrchestrationInstanceCompleted, Kind.TimerFired):
            self.resolve(event, failed=False)
        elif kind in (Kind.TaskFailed, Kind.SubOrchestrationInstanceFailed):
            self.resolve(event, failed=True)
        elif kind in _CONFIRMATIONS:
            self.confirm(event)
        elif kind is Kind.EventRaised:
            self.raise_event(event)
        elif kind is Kind.ExecutionStarted:
            self.start()
        elif kind is Kind.ExecutionTerminated:
            self.complete("Terminated", event.members.get("Input"))
        elif kind is Kind.ExecutionSuspended:
            self.suspended = True
            self.decision.reason = event.members.get("Reason")
            self.held.update(self.new)
            self.new.clear()
        elif kind is Kind.ExecutionResumed:
            self.suspended = False
            self.decision.reason = event.members.get("Reason")
            self.new.update(self.held)
            self.held.clear()
            while self.while_suspended:
                self.process(self.while_suspended.popleft())

    def resolve(self, event: Event, *, failed: bool) -> None:
        node = self.open.pop(event.task_id, None)
        if node is not None:
            node.finish(failed=failed)

    def raise_event(self, event: Event) -> None:
        if self.continue_input is not None:
            self.decision.carried.append(event)
            return
        name = str(event.members["Name"])
        waits = self.waits.setdefault(name.lower(), Waits())
        if waits.waiting:
            wanted, node = waits.waiting.pop()
            if wanted != name:
                self.note_case(wanted, name)
            node.finish()
        else:
            waits.early.append(name)

    def confirm(self, event: Event) -> None:
        if self.answer.no_actions:
            return  # the answer could not be read at all: that is the failure to report
        problem = drift(event, self.new.get(event.id))
        if problem is not None:
            raise _NonDeterministic(problem)
        del self.new[event.id]

    # ---- executing the list

    def start(self) -> None:
        if self.answer.no_actions:
            self.fail(self.answer.reason or "", self.answer.details)
        elif self.status_too_big():
            size = len((self.answer.custom_status or "").encode("utf-16-le")) // 1024
            self.refuse(
                f"The UTF-16 size of the JSON-serialized payload must not exceed {_STATUS_LIMIT_KB} KB. The current payload size is {size:,} KB."
            )
        else:
            self.advance()

    def advance(self) -> None:
        actions = self.answer.actions
        while self.cursor < len(actions):
            action = actions[self.cursor]
            self.cursor += 1
            try:
                node = self.invoke(action)
            except _Failure as failure:
                self.refuse(str(failure))
                return
            self.current = node
            if not node.done:
                node.then.append(self.advance)
                return
        if self.answer.error:
            self.fail(self.failed_text(self.answer.error), self.answer.details)
        elif self.answer.is_done:
            self.finished = True

    def fail(self, reason: str, details: str | None = None) -> None:
        self.finished = True
        self.failure = (reason, details)

    def refuse(self, text: str) -> None:
        """Fails because the engine cannot execute the answer. That of an orchestrator that raised is executed without a frame around it."""
        self.fail(text if self.answer.error else self.failed_text(text))

    def failed_text(self, text: str) -> str:
        return f"Orchestrator function '{self.frame.name}' failed: {text}"

    def status_too_big(self) -> bool:
        """Upstream compares whole kilobytes, so that one byte less than 17 KB still passes."""
        status = self.answer.custom_status
        if status is None or len(status) * 4 <= _STATUS_LIMIT_KB * 1024:
            return False
        return len(status.encode("utf-16-le")) // 1024 > _STATUS_LIMIT_KB

    def invoke(self, action: dict[str, Any]) -> Node:
        number = action.get("actionType")
        if number == CALL_ACTIVITY:
            return self.checked("activity", action) or self.activity(action["functionName"], action.get("input"))
        if number == CREATE_TIMER:
            over = self.over_limit()
            if over is not None:
                return self.rejected(over, "create_timer")
            return self.timer(to_text(to_ticks(action["fireAt"])), cancelled=bool(action.get("isCanceled")))
        if number in (WHEN_ALL, WHEN_ANY):
            return compound([self.invoke(child) for child in action["compoundActions"]], every=number == WHEN_ALL)
        if number == WAIT_EVENT:
            return self.wait(action["externalEventName"])
        if number == CALL_SUB:
            return self.checked("orchestrator", action) or self.sub_orchestration(action)
        if number in (CALL_ACTIVITY_RETRY, CALL_SUB_RETRY):
            return self.with_retry(action, is_activity=number == CALL_ACTIVITY_RETRY)
        if number in (CALL_ENTITY, SIGNAL_ENTITY, SIGNAL_ENTITY_LATER):
            return self.entity(action, number)
        if number == CONTINUE_AS_NEW:
            self.continue_input = _as_json(action.get("input"))
            return Node(done=True)
        if number == CALL_HTTP:
            over = self.over_limit()
            return self.rejected(over, "call_http") if over is not None else self.activity(HTTP_ACTIVITY, dumps(action["httpRequest"]))
        raise _Failure(f"Received an unexpected action type from the out-of-proc function: '${number}'.")

    def activity(self, name: str, text: Any) -> Node:
        shown = dumps([loads(text) if name == HTTP_ACTIVITY else text]) if self.frame.store_inputs else None
        members = {"Name": name, "Version": "", "Input": shown, "ParentTraceContext": None}
        return self.task(Kind.TaskScheduled, members, {"TaskInput": text if isinstance(text, str) else dumps(text)})

    def timer(self, fire_at: str, *, cancelled: bool = False) -> Node:
        node = self.task(Kind.TimerCreated, {"FireAt": fire_at}, None)
        if cancelled and not node.done:
            del self.open[node.ids[0]]
            node.finish(failed=True)
        return node

    def sub_orchestration(self, action: dict[str, Any]) -> Node:
        asked = action.get("instanceId") or ""
        instance_id = asked if asked.strip() else f"{self.frame.execution_id}:{self.next_id}"
        given = _as_json(action.get("input"))
        members = {
            "Name": action["functionName"],
            "Version": action.get("version") or self.frame.default_version,
            "InstanceId": instance_id,
            "Input": given if self.frame.store_inputs else None,
            "ClientSpanId": uuid.uuid5(_NAMESPACE, f"{self.frame.execution_id}_{self.next_id}").hex[:16],
        }
        return self.task(Kind.SubOrchestrationInstanceCreated, members, {"TaskInput": given})

    def task(self, kind: Kind, members: dict[str, Any], private: dict[str, str] | None) -> Node:
        number = self.next_id
        self.next_id += 1
        self.new[number] = Event(kind, members, id=number, timestamp=self.now, private=private)
        node = self.open[number] = Node()
        node.ids.append(number)
        return node

    def wait(self, name: str) -> Node:
        waits = self.waits.setdefault(name.lower(), Waits())
        if waits.early:
            came = waits.early.popleft()
            if came != name:
                self.note_case(name, came)
            return Node(done=True)
        node = Node()
        waits.waiting.append((name, node))
        return node

    def note_case(self, wanted: str, came: str) -> None:
        self.decision.notes.append(
            f"warning: event '{came}' was taken for '{wanted}' but never reaches the orchestrator, which compares names with their case"
        )

    def checked(self, kind: str, action: dict[str, Any]) -> Node | None:
        """A finished, failed node when the engine would reject the call; None when it accepts it."""
        frame, name = self.frame, action.get("functionName") or ""
        problem: str | None = None
        if name.lower() not in (frame.known.activities if kind == "activity" else frame.known.orchestrators):
            problem = frame.known.unknown_text(kind, name)
        elif kind == "orchestrator" and (instance_id := action.get("instanceId")):
            if instance_id.lower() in (frame.instance_id.lower(), (frame.parent_id or "").lower()):
                problem = f"The sub-orchestration id '{instance_id}' is the orchestration's own id or its parent's."
            elif instance_id.startswith("@"):
                problem = f"The sub-orchestration id '{instance_id}' starts with @."
        problem = problem or self.over_limit()
        return None if problem is None else self.rejected(problem, name)

    def over_limit(self) -> str | None:
        """Counts an action; upstream's sentence when it is one too many. Attempts after the first are free, as are waits for events."""
        limit = self.frame.max_actions
        if self.actions_made >= limit:
            return (
                f"Maximum amount of orchestration actions ({limit}) has been reached. "
                "This value can be configured in host.json file as MaxOrchestrationActions."
            )
        self.actions_made += 1
        return None

    def rejected(self, problem: str, name: str) -> Node:
        self.decision.notes.append(f"error: the call of '{name}' was rejected, so the orchestration waits for ever. {problem}")
        return Node(done=True, failed=True)

    def with_retry(self, action: dict[str, Any], *, is_activity: bool) -> Node:
        options = action.get("retryOptions")
        if not options:
            raise _Failure("Value cannot be null. (Parameter 'retryOptions')")
        longest = max(options["firstRetryIntervalInMilliseconds"], options.get("maxRetryIntervalInMilliseconds") or 0)
        if longest > LONGEST_RETRY_MILLISECONDS:
            return self.rejected("A retry interval is longer than 6 days.", action.get("functionName") or "")
        refused = self.checked("activity" if is_activity else "orchestrator", action)
        if refused is not None:
            return refused
        if options["maxNumberOfAttempts"] < 1:
            return self.rejected("It may be attempted less than once.", action.get("functionName") or "")

        def attempt() -> Node:
            return self.activity(action["functionName"], action.get("input")) if is_activity else self.sub_orchestration(action)

        return Retry(options, attempt=attempt, timer=self.timer, now=lambda: self.now).node

    def entity(self, action: dict[str, Any], number: int) -> Node:
        frame, target = self.frame, action["instanceId"]
        name = target[1:].partition("@")[0].lower()
        signal = number != CALL_ENTITY
        problem = frame.known.unknown_text("entity", name) if name not in frame.known.entities else self.over_limit()
        if problem is not None:
            if signal:
                raise _Failure(problem)
            return self.rejected(problem, name)
        now = to_ticks(self.now)
        request_id = str(uuid.uuid5(_NAMESPACE, f"{frame.instance_id}_{to_round_trip_text(now)}_{self.guids}"))
        self.guids += 1
        last = self.sent.get(target.lower())
        sent_at = now if last is None else max(now, last + 1)
        self.sent[target.lower()] = sent_at
        request: dict[str, Any] = {"$type": _REQUEST, "op": action.get("operation") or ""}
        if signal:
            request["signal"] = True
        if action.get("input") is not None:
            request["input"] = dumps(action["input"])
        request |= {"id": request_id, "parent": frame.instance_id, "parentExecution": frame.execution_id}
        event_name = "op"
        if number == SIGNAL_ENTITY_LATER:
            due = to_text(to_ticks(action["fireAt"]))
            request["due"] = due
            event_name = f"op@{due}"
        request["Timestamp"] = to_text(sent_at)
        request["Predecessor"] = _NEVER if last is None else to_text(last)
        number_used = self.next_id
        self.next_id += 1
        members = {"InstanceId": target, "Name": event_name, "Input": dumps(request)}
        self.new[number_used] = Event(Kind.EventSent, members, id=number_used, timestamp=self.now)
        return Node(done=True) if signal else self.wait(request_id)

    # ---- ending

    def complete(self, status: str, result: str | None, details: str | None = None) -> None:
        number = self.next_id
        self.next_id += 1
        if status == "Completed" and self.continue_input is not None:
            status, result = "ContinuedAsNew", self.continue_input
            self.decision.new_input = self.continue_input
        elif self.completed:
            return
        else:
            self.completed = True
        members = {"OrchestrationStatus": status, "Result": result, "FailureDetails": None}
        private = {"FailureText": details} if details else None
        event = Event(Kind.ExecutionCompleted, members, id=number, timestamp=self.now, private=private)
        self.new[number] = event
        if self.decision.completion is None or status != "ContinuedAsNew":
            self.decision.completion = event

    def open_text(self) -> str:
        return ", ".join(f"#{number}" for number in sorted(self.open)[:10]) + (" and more" if len(self.open) > 10 else "")

    def quiet(self) -> frozenset[int]:
        """Open tasks of which every one must succeed before the orchestrator can get beyond the yield it stands at.

        That is so when the last action it emitted is a plain task or a WhenAll of plain tasks, none of which has failed: the generator
        stands at the very yield that emitted it (a later yield that waits for anything else would have emitted something, or comes only
        after a failure). Until the last of them is there it would answer the same list again, so it need not be asked.
        """
        actions, node = self.answer.actions, self.current
        if self.finished or self.suspended or self.completed or self.answer.error or node is None or node.done or node.has_failure:
            return frozenset()
        last = actions[-1]
        children = last["compoundActions"] if last["actionType"] == WHEN_ALL else [last]
        if self.cursor < len(actions) or any(child["actionType"] not in (CALL_ACTIVITY, CALL_SUB) for child in children):
            return frozenset()
        return frozenset(number for number in node.ids if number in self.open)


_CONFIRMATIONS: Final = (Kind.TaskScheduled, Kind.TimerCreated, Kind.SubOrchestrationInstanceCreated, Kind.EventSent)


def _as_json(value: Any) -> str:
    """An action's input as the engine stores it: the SDK's JSON text becomes a JSON string."""
    return dumps(value)
