"""One orchestrator for all programs, on whatever engine; and the outcome that any engine must come to."""

from __future__ import annotations

import collections
import json
import re
import threading
from collections.abc import Callable, Generator
from dataclasses import dataclass
from typing import Any, Protocol

from tests.differential.programs import Program, Step, Task, event_name

LONG_SECONDS = 30
"""A long timer: cancelled before it fires, and not so long that durabletask's engine, which keeps a thread for it, gathers threads."""

_MARK = re.compile(r"(?:boom|flaky|once|raise):\d+")


class ProgramError(Exception):
    """Raised by a program on purpose."""


class Engine(Protocol):
    """What the walk asks of an engine. Tasks are the engine's own."""

    def activity(self, name: str, value: Any, attempts: int = 0) -> Any: ...

    def child(self, value: Any, attempts: int = 0) -> Any: ...

    def timer(self, milliseconds: int) -> Any: ...

    def event(self, name: str) -> Any: ...

    def all_of(self, tasks: list[Any]) -> Any: ...

    def any_of(self, tasks: list[Any]) -> Any: ...

    def result(self, task: Any) -> Any:
        """The result of a task that is done; raises if it failed."""

    def cancel(self, timer: Any) -> None: ...

    def set_status(self, value: Any) -> None: ...

    def again(self, value: Any) -> None:
        """Continues as new."""


Walk = Generator[Any, Any, Any]


def orchestrate(engine: Engine, given: dict[str, Any]) -> Walk:
    """Walks the program in an orchestration's input; its output is everything it has seen."""
    seen: list[Any] = list(given["seen"])
    yield from _walk(engine, given["root"], given["steps"], seen)
    if given["generations"]:
        engine.again(given | {"generations": given["generations"] - 1, "seen": [len(json.dumps(seen))]})
        return None
    return seen


def input_of(program: Program, root: str) -> dict[str, Any]:
    return {"root": root, "steps": program.steps, "generations": program.generations, "seen": []}


def event_value(name: str) -> Any:
    """What is raised with an event."""
    return {"of": name, "list": [name, 1, None]}


def mark(error: object) -> str:
    """Which node failed, out of whatever text an engine makes of a failure. No program fails for another reason: that text is left as it is."""
    found = set(_MARK.findall(str(error)))
    return str(found.pop()) if len(found) == 1 else str(error)


def _walk(engine: Engine, root: str, steps: list[Step], seen: list[Any]) -> Walk:
    for step in steps:
        match step:
            case ["do", task]:
                made = _Made(engine, root, task)
                try:
                    seen.append(made.read((yield made.task)))
                finally:
                    made.cancel()
            case ["try", body, handler]:
                try:
                    yield from _walk(engine, root, body, seen)
                except Exception as error:
                    seen.append({"caught": mark(error)})
                    yield from _walk(engine, root, handler, seen)
            case ["as_they_come", tasks]:
                yield from _as_they_come(engine, [_Made(engine, root, task) for task in tasks], seen)
            case ["status", value]:
                engine.set_status(value)
            case ["raise", key]:
                raise ProgramError(f"raise:{key}")


def _as_they_come(engine: Engine, left: list[_Made], seen: list[Any]) -> Walk:
    came: list[Any] = []
    while left:
        winner = yield engine.any_of([each.task for each in left])
        done = next(each for each in left if each.task is winner)
        left.remove(done)
        try:
            came.append(done.read(engine.result(winner)))
        except Exception as error:
            came.append({"failed": mark(error)})
        done.cancel()
    seen.append(sorted(came, key=json.dumps))


class _Made:
    """A task of the engine's, how to read its result, and its long timers."""

    def __init__(self, engine: Engine, root: str, task: Task) -> None:
        self._engine = engine
        self.read: Callable[[Any], Any] = lambda result: result
        self._timers: list[Any] = []
        self.task = self._make(root, task)

    def cancel(self) -> None:
        for timer in self._timers:
            self._engine.cancel(timer)

    def _make(self, root: str, task: Task) -> Any:
        engine = self._engine
        match task:
            case ["call", key, value]:
                return engine.activity("call", {"root": root, "key": key, "value": value})
            case ["boom", key]:
                return engine.activity("boom", {"root": root, "key": key})
            case ["flaky", key, fails, attempts]:
                return engine.activity("flaky", {"root": root, "key": key, "fails": fails}, attempts)
            case ["sub", _, steps]:
                return engine.child({"root": root, "steps": steps, "generations": 0, "seen": []})
            case ["sub_retry", key, fails, attempts, steps]:
                return engine.child({"root": root, "steps": [["do", ["once", key, fails]], *steps], "generations": 0, "seen": []}, attempts)
            case ["once", key, fails]:
                return engine.activity("once", {"root": root, "key": key, "fails": fails})
            case ["timer", key]:
                self.read = lambda _: "fired"  # a timer's result is no value of the program's
                return engine.timer(1 + key % 20)
            case ["long_timer", _]:
                timer = engine.timer(LONG_SECONDS * 1000)
                self._timers.append(timer)
                return timer
            case ["event" | "never", key]:
                return engine.event(event_name(key))
            case ["all", _, tasks]:
                made = [self._part(root, each) for each in tasks]
                self.read = lambda results: [each.read(result) for each, result in zip(made, results, strict=True)]
                return engine.all_of([each.task for each in made])
            case ["any", _, winner, losers, place]:
                others = [self._part(root, each) for each in losers]
                first = self._part(root, winner)
                self.read = lambda won: first.read(engine.result(won))
                return engine.any_of([each.task for each in [*others[:place], first, *others[place:]]])
        raise AssertionError(task)

    def _part(self, root: str, task: Task) -> _Made:
        made = _Made(self._engine, root, task)
        self._timers += made._timers
        return made


class Activities:
    """The activities of all programs, and how often each has run, by root instance and node."""

    def __init__(self) -> None:
        self._ran: collections.Counter[tuple[str, str]] = collections.Counter()
        self._lock = threading.Lock()

    def ran(self, root: str) -> dict[str, int]:
        with self._lock:
            return {name: count for (which, name), count in self._ran.items() if which == root}

    def call(self, given: dict[str, Any]) -> Any:
        self._count("call", given)
        return given["value"]

    def boom(self, given: dict[str, Any]) -> Any:
        self._count("boom", given)
        raise ProgramError(f"boom:{given['key']}")

    def flaky(self, given: dict[str, Any]) -> Any:
        return self._fails_first("flaky", given)

    def once(self, given: dict[str, Any]) -> Any:
        return self._fails_first("once", given)

    def _fails_first(self, name: str, given: dict[str, Any]) -> int:
        count = self._count(name, given)
        if count <= given["fails"]:
            raise ProgramError(f"{name}:{given['key']}")
        return count

    def _count(self, name: str, given: dict[str, Any]) -> int:
        with self._lock:
            place = (given["root"], f"{name}:{given['key']}")
            self._ran[place] += 1
            return self._ran[place]


@dataclass(frozen=True)
class Outcome:
    """All that can be seen of an orchestration that ended."""

    status: str
    output: Any
    """The output; of a failed orchestration the node that failed; of a terminated one the reason."""
    custom_status: Any
    ran: dict[str, int]
    """How often each activity has run."""
    suspended: str | None = None
    """The status while it was suspended, with its events raised."""
