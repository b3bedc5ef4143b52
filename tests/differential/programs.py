"""Orchestrators as data: what they are, and how Hypothesis makes them.

A program is plain JSON, so that it can be an orchestration's input; `interpreter.py` walks it. Tasks:

| task | what it is |
|---|---|
| `["call", key, value]` | an activity that returns the value |
| `["boom", key]` | an activity that fails |
| `["flaky", key, fails, attempts]` | an activity under a retry policy; its first calls fail |
| `["sub", key, steps]` | a sub-orchestration |
| `["sub_retry", key, fails, attempts, steps]` | a sub-orchestration under a retry policy; its first attempts fail before its steps |
| `["timer", key]` | a timer of some milliseconds |
| `["event", key]` | an external event; the driver raises each once, in an order of its own |
| `["all", key, tasks]`, `["any", key, task, losers, place]` | all of them; the first of them, which is the given one, since the losers never end |

Steps: `["do", task]`, `["try", steps, handler]`, `["status", value]`, `["as_they_come", tasks]` (a `task_any` loop), `["raise", key]`.
A key is a number of its own for every node: what ran, and what failed, is told by it.

What a program does must not depend on time or on the order in which things finish, or two runs on one engine would differ. And the semantics of
durabletask's engine are not in all things those of the Durable extension. So these are left out, by construction; `test_where_engines_part.py` shows
what becomes of those marked *.

- A race with more than one possible winner: a loser is an event that nobody raises, or a long timer, cancelled afterwards (an open timer keeps an
  orchestration on the extension from completing; durabletask completes at once).
- More than one failure in one `all`: which is raised would depend on time.
- A retried task beside a failing one in one `all` (contract 3.8): the SDK's `task_all` fails at once, the engine goes on retrying, and their
  sequence numbers part. The real engine has that fault too; `tests/conformance` holds us to it.
- * A retried task in a `task_any` loop, or racing a timer that is cancelled. The extension goes through the whole list of actions in every episode
  (contract 3.6), and its `WhenAny` is done with the first task that is done or cancelled. What the orchestrator asked for behind it is scheduled there,
  in later episodes before the retries that came first in time; their numbers change places, and the orchestration fails as non-deterministic.
- * A failing `all` of several tasks inside another compound task: the SDK's fails with its first failure, and completes once more with its last task,
  which its parent answers with an exception, "does not have pending sub-task".
- * The same event name twice: the SDK repeats the last early event to every later wait, the extension hands out each once, pending waits are last in,
  first out (contract 3.10); and events with continue-as-new: the extension loses those that come early (3.12), durabletask need not.
- * An empty `all`: `None` with the SDK (3.5); durabletask's never ends. * Falsy custom statuses: the SDK drops them (3.5).
- Timers and retry intervals that matter: the extension's are cut to whole seconds (4.7), so all are of milliseconds, which is at once there.
- The dummy timer after the last attempt (3.9) cannot be seen in an outcome.
- Names that are not registered: the extension's instance hangs for ever (3.6), durabletask's fails.
- Entities and durable HTTP: another protocol in durabletask. Children of a terminated parent: neither engine ends them, and when they end is a matter of time.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from typing import Any, Literal

from hypothesis import strategies as st

Task = list[Any]
Step = list[Any]
Mode = Literal["plain", "suspend", "terminate"]


@dataclass(frozen=True)
class Program:
    """One orchestration, and what happens to it from outside."""

    steps: list[Step]
    generations: int
    """How often it continues as new before the last time."""
    mode: Mode
    """`suspend`: suspended before the events are raised, then resumed. `terminate`: terminated when it has done its steps."""
    order: list[str]
    """The events, as they are raised."""
    early: bool
    """Whether events are raised at once, or when the orchestration runs."""


values = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=12),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=6), inner, max_size=3),
    max_leaves=4,
)
statuses = (
    st.text(min_size=1, max_size=12)
    | st.lists(st.integers(0, 9), min_size=1, max_size=3)
    | st.fixed_dictionaries({"at": st.integers(1, 9)})
)
KEY = None
"""A place for a key; they are given out when a program is complete."""

calls: st.SearchStrategy[Task] = values.map(lambda value: ["call", KEY, value])
booms: st.SearchStrategy[Task] = st.just(["boom", KEY])


@dataclass(frozen=True)
class Kinds:
    """What may be made in one place."""

    depth: int
    events: bool
    """Only at the root, and only without continue-as-new."""
    retries: bool = True
    inside: bool = False
    """Whether a compound task is around it."""

    def below(self, *, retries: bool = True, inside: bool = True) -> Kinds:
        return Kinds(self.depth - 1, self.events, self.retries and retries, self.inside or inside)

    def child(self) -> Kinds:
        return Kinds(self.depth - 1, events=False)


@cache
def succeeding(kinds: Kinds) -> st.SearchStrategy[Task]:
    """Tasks that end well."""
    found: list[st.SearchStrategy[Task]] = [calls, calls, st.just(["timer", KEY])]
    if kinds.events:
        found.append(st.just(["event", KEY]))
    if kinds.retries:
        found.append(
            st.integers(0, 2).flatmap(lambda fails: st.builds(lambda more: ["flaky", KEY, fails, fails + more], st.integers(1, 2)))
        )
    if kinds.depth > 0:
        found.append(st.builds(lambda steps: ["sub", KEY, steps], steps_that(succeed=True, kinds=kinds.child())))
        found.append(st.builds(lambda tasks: ["all", KEY, tasks], st.lists(succeeding(kinds.below()), min_size=1, max_size=4)))
        found.append(any_of(succeeding(kinds.below()), NEVER))
        found.append(any_of(succeeding(kinds.below(retries=False)), NEVER | LATE))
        if kinds.retries:
            tries = st.tuples(st.integers(0, 1), st.integers(1, 2), steps_that(succeed=True, kinds=kinds.child()))
            found.append(tries.map(lambda made: ["sub_retry", KEY, made[0], made[0] + made[1], made[2]]))
    return st.one_of(found)


@cache
def failing(kinds: Kinds) -> st.SearchStrategy[Task]:
    """Tasks that fail, for one reason."""
    found: list[st.SearchStrategy[Task]] = [booms]
    if kinds.retries:
        found.append(st.integers(1, 3).map(lambda attempts: ["flaky", KEY, 9, attempts]))
    if kinds.depth > 0:
        beside = st.lists(succeeding(kinds.below(retries=False)), max_size=0 if kinds.inside else 3)
        found.append(st.builds(lambda steps: ["sub", KEY, steps], steps_that(succeed=False, kinds=kinds.child())))
        found.append(st.builds(_all_with, beside, failing(kinds.below()), st.integers(0, 3)))
        found.append(any_of(failing(kinds.below()), NEVER))
        found.append(any_of(failing(kinds.below(retries=False)), NEVER | LATE))
        if kinds.retries:
            steps = steps_that(succeed=True, kinds=kinds.child())
            found.append(st.builds(lambda attempts, made: ["sub_retry", KEY, 9, attempts, made], st.integers(1, 2), steps))
    return st.one_of(found)


NEVER: st.SearchStrategy[Task] = st.just(["never", KEY])
LATE: st.SearchStrategy[Task] = st.just(["long_timer", KEY])


def any_of(winner: st.SearchStrategy[Task], loser: st.SearchStrategy[Task]) -> st.SearchStrategy[Task]:
    """A race that the winner wins."""
    losers = st.lists(loser, max_size=2)
    return st.builds(lambda task, others, place: ["any", KEY, task, others, min(place, len(others))], winner, losers, st.integers(0, 2))


def _all_with(beside: list[Task], failure: Task, place: int) -> Task:
    return ["all", KEY, [*beside[:place], failure, *beside[place:]]]


@cache
def steps_that(*, succeed: bool, kinds: Kinds) -> st.SearchStrategy[list[Step]]:
    """Steps that end well, or with a failure that nothing catches; what stands behind that is never done."""
    return st.deferred(lambda: _steps(succeed=succeed, kinds=kinds))


def _steps(*, succeed: bool, kinds: Kinds) -> st.SearchStrategy[list[Step]]:
    do = st.builds(lambda task: ["do", task], succeeding(kinds))
    one = [do, do, statuses.map(lambda value: ["status", value])]
    if kinds.depth > 0:
        some = st.lists(succeeding(kinds.below(retries=False)) | failing(kinds.below(retries=False)), min_size=1, max_size=4)
        one.append(some.map(lambda tasks: ["as_they_come", tasks]))
        inner = kinds.below(inside=False)
        caught = st.tuples(steps_that(succeed=False, kinds=inner), steps_that(succeed=True, kinds=inner))
        one.append(caught.map(lambda made: ["try", *made]))
    before = st.lists(st.one_of(one), min_size=1 if succeed else 0, max_size=4)
    if succeed:
        return before
    end = st.builds(lambda task: ["do", task], failing(kinds)) | st.just(["raise", KEY])
    return st.builds(lambda first, last, dead: [*first, last, *dead], before, end, st.lists(do, max_size=1))


@st.composite
def programs(draw: st.DrawFn) -> Program:
    """Whole orchestrations."""
    generations = draw(st.sampled_from([0, 0, 0, 0, 1, 2]))
    mode: Mode = draw(st.sampled_from(["plain", "plain", "plain", "suspend", "terminate"])) if generations == 0 else "plain"
    kinds = Kinds(depth=draw(st.integers(1, 3)), events=generations == 0)
    steps = draw(steps_that(succeed=mode == "terminate" or draw(st.integers(0, 3)) > 0, kinds=kinds))
    if generations:
        steps = [["status", draw(statuses)], *steps]  # a generation that sets none keeps the last one's with the extension
    if mode == "suspend":
        steps = [["status", "gate"], ["do", ["event", KEY]], *steps]
    if mode == "terminate":
        steps = [*steps, ["status", "parked"], ["do", ["never", KEY]]]
    keyed = _with_keys(steps, iter(range(1, 100_000)))
    return Program(keyed, generations, mode, draw(st.permutations(sorted(events_of(keyed)))), draw(st.booleans()))


HEADS = {"call", "boom", "flaky", "sub", "sub_retry", "timer", "long_timer", "event", "never", "all", "any", "raise"}


def _with_keys(node: Any, keys: Iterator[int]) -> Any:
    """The same with every place for a key filled. Values are left alone, whatever they look like."""
    match node:
        case ["call", None, value]:
            return ["call", next(keys), value]
        case ["status", _]:
            return node
        case [str(head), None, *rest] if head in HEADS:
            return [head, next(keys), *(_with_keys(each, keys) for each in rest)]
        case list():
            return [_with_keys(each, keys) for each in node]
    return node


def events_of(node: Any) -> Iterator[str]:
    """The names of the events that are waited for and come."""
    match node:
        case ["call" | "status", *_]:
            return
        case ["event", int(key)]:
            yield event_name(key)
        case list():
            for each in node:
                yield from events_of(each)


def event_name(key: int) -> str:
    return f"event{key}"
