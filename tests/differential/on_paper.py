"""The third opinion: what a program must come to, worked out with no engine at all. That can be done because nothing in it depends on time."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from tests.differential.interpreter import Activities, Outcome, Walk, event_value, input_of, mark, orchestrate
from tests.differential.programs import Program


def outcome_on_paper(program: Program) -> Outcome:
    """What every engine must come to."""
    activities, raised = Activities(), frozenset(program.order)
    given, status = input_of(program, "paper"), None
    while True:
        paper = Paper(activities, raised)
        try:
            output = _walked(orchestrate(paper, given))
        except _Parked:
            ended, output = "Terminated", "enough"
        except Exception as error:
            ended, output = "Failed", mark(error)
        else:
            ended = "Completed"
        status = paper.status if paper.status is not None else status
        if paper.next is None:
            suspended = "Suspended" if program.mode == "suspend" else None
            return Outcome(ended, output, status, activities.ran("paper"), suspended)
        given = paper.next


class _Done:
    """A task that is what it will be; `never` if that is nothing."""

    def __init__(self, value: Any = None, error: Exception | None = None, *, never: bool = False) -> None:
        self.value, self.error, self.never = value, error, never


class _Parked(Exception):
    """The program waits for what never comes."""


def _walked(walk: Walk) -> Any:
    try:
        task = next(walk)
        while True:
            if task.never:
                raise _Parked
            task = walk.throw(task.error) if task.error else walk.send(task.value)
    except StopIteration as end:
        return end.value


class Paper:
    """An engine on which everything is done as soon as it is asked for."""

    def __init__(self, activities: Activities, raised: frozenset[str]) -> None:
        self._activities = activities
        self._raised = raised
        self.status: Any = None
        self.next: dict[str, Any] | None = None

    def activity(self, name: str, value: Any, attempts: int = 0) -> _Done:
        return _tried(lambda: getattr(self._activities, name)(value), attempts)

    def child(self, value: Any, attempts: int = 0) -> _Done:
        return _tried(lambda: _walked(orchestrate(Paper(self._activities, self._raised), value)), attempts)

    def timer(self, milliseconds: int) -> _Done:
        return _Done(never=milliseconds > 1000)

    def event(self, name: str) -> _Done:
        return _Done(event_value(name), never=name not in self._raised)

    def all_of(self, tasks: list[_Done]) -> _Done:
        failed = next((task for task in tasks if task.error), None)
        return failed or _Done([task.value for task in tasks])

    def any_of(self, tasks: list[_Done]) -> _Done:
        return _Done(next(task for task in tasks if not task.never))

    def result(self, task: _Done) -> Any:
        if task.error:
            raise task.error
        return task.value

    def cancel(self, timer: Any) -> None:
        assert timer.never

    def set_status(self, value: Any) -> None:
        self.status = value

    def again(self, value: Any) -> None:
        self.next = value


def _tried(work: Callable[[], Any], attempts: int) -> _Done:
    failure: Exception | None = None
    for _ in range(max(attempts, 1)):
        try:
            return _Done(work())
        except Exception as error:
            failure = error
    return _Done(error=failure)
