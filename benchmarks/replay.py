"""What one replay costs the Durable SDK, as installed and with `durable_quick_replay`: `python -m benchmarks.replay [activities ...]`.

One call of an orchestrator's handle with a history in which everything asked for is complete: CPU time of the process, least of several runs. Beside
them the idea that was not taken, to parse a timestamp when it is read. The floor is `json.loads` of the context, which no replay can do without.
"""

from __future__ import annotations

import contextlib
import gc
import importlib
import json
import sys
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

from azure.durable_functions import Orchestrator

from durable_quick_replay import MODULE, quick

SDK: Any = importlib.import_module(MODULE)
START = datetime(2026, 11, 21, 9, 0, 0, 123456, tzinfo=UTC)


class Body:
    """What the worker hands to an orchestrator."""

    def __init__(self, body: str) -> None:
        self.body = body


def fan_out(context: Any) -> Any:
    """All at once."""
    return sum((yield context.task_all([context.call_activity("echo", 1) for _ in range(context.get_input())])))


def chain(context: Any) -> Any:
    """One after the other."""
    total = 0
    for _ in range(context.get_input()):
        total += yield context.call_activity("echo", 1)
    return total


def rearm(context: Any) -> Any:
    """All at once, each taken as it comes."""
    left, total = [context.call_activity("echo", 1) for _ in range(context.get_input())], 0
    while left:
        done = yield context.task_any(left)
        left.remove(done)
        total += done.result
    return total


def context_of(count: int, *, in_turn: bool, each: bool) -> str:
    """The context of the last episode: completions in an episode each, or all in one; asked for in turn, or all at the start."""
    history: list[dict[str, Any]] = []

    def add(kind: int, number: int = -1, **members: Any) -> None:
        moment = (START + timedelta(milliseconds=7 * len(history))).strftime("%Y-%m-%dT%H:%M:%S.%f")
        played = {"EventType": kind, "EventId": number, "IsPlayed": True, "Timestamp": f"{moment}7Z"}
        history.append(played | members)

    def asked(number: int) -> None:
        add(4, number, Name="echo", Version="", Input=None, ParentTraceContext=None)

    add(12)
    add(0, Name="main", Version="", Input=json.dumps(str(count)), ParentInstance=None, Tags=None)
    for number in range(1 if in_turn else count):
        asked(number)
    for number in range(count):
        if each or number == 0:
            add(13)
            add(12)
        add(5, TaskScheduledId=number, Result="1")
        if in_turn and number + 1 < count:
            asked(number + 1)
    body = {
        "history": history,
        "input": str(count),
        "instanceId": "a",
        "isReplaying": True,
        "parentInstanceId": None,
        "upperSchemaVersion": 1,
        "upperSchemaVersionNew": 2,
        "longRunningTimerIntervalDuration": "3.00:00:00",
        "maximumShortTimerDuration": "6.00:00:00",
    }
    return json.dumps(body)


SCENARIOS: dict[str, tuple[Callable[[Any], Any], bool, bool]] = {
    "fan-out, one": (fan_out, False, False),
    "fan-out, each": (fan_out, False, True),
    "chain, each": (chain, True, True),
    "task_any re-arm, each": (rearm, False, True),
}


@contextlib.contextmanager
def lazily() -> Iterator[None]:
    """Timestamps parsed where they are read."""
    given, prop = SDK.dt_parse, SDK.HistoryEvent.timestamp
    SDK.dt_parse = str
    SDK.HistoryEvent.timestamp = property(lambda event: given(event._timestamp))  # noqa: SLF001 - that is the change
    try:
        yield
    finally:
        SDK.dt_parse, SDK.HistoryEvent.timestamp = given, prop


@contextlib.contextmanager
def quickly() -> Iterator[None]:
    """With `durable_quick_replay`."""
    given = SDK.dt_parse
    SDK.dt_parse = quick(given)
    try:
        yield
    finally:
        SDK.dt_parse = given


WAYS: dict[str, Callable[[], contextlib.AbstractContextManager[None]]] = {
    "sdk_ms": contextlib.nullcontext,
    "quick_ms": quickly,
    "lazy_ms": lazily,
}


def cpu_ms(call: Callable[[], Any]) -> float:
    """CPU time of one call."""
    gc.collect()
    began = time.process_time()
    call()
    return (time.process_time() - began) * 1000


def measure(name: str, count: int, *, seconds: float = 12.0) -> dict[str, Any]:
    """One scenario in one size: the ways in turns, so that what else the machine does meets them alike, and the least of each."""
    orchestrator, in_turn, each = SCENARIOS[name]
    body = Body(context_of(count, in_turn=in_turn, each=each))
    handle = Orchestrator.create(orchestrator)
    states = set()
    for way in WAYS.values():
        with way():
            states.add(handle(body))
    assert len(states) == 1, "the ways disagree"
    assert json.loads(states.pop())["output"] == count
    found: dict[str, list[float]] = {key: [] for key in [*WAYS, "floor_ms"]}
    until, rounds = time.perf_counter() + seconds, 0
    while rounds < 5 or time.perf_counter() < until:
        rounds += 1
        for key, way in WAYS.items():
            with way():
                found[key].append(cpu_ms(lambda: handle(body)))
        found["floor_ms"].append(cpu_ms(lambda: json.loads(body.body)))
    return {"scenario": name, "activities": count, "rounds": rounds} | {key: round(min(each), 2) for key, each in found.items()}


def main() -> None:
    """Prints one JSON line for each scenario and size."""
    for name in SCENARIOS:
        for count in [int(word) for word in sys.argv[1:]] or [10, 100, 1000]:
            print(json.dumps(measure(name, count)), flush=True)


if __name__ == "__main__":
    main()
