"""An app with one orchestrator per behaviour of the engine. `build` makes a new one: an app's functions can be listed only once."""

# The functions' parameters belong to the Durable SDK, which ships no types.
# mypy: disable-error-code="no-untyped-def, misc, no-untyped-call"
# ruff: noqa: ANN001, ANN201, ANN202

from __future__ import annotations

import asyncio
import collections
import datetime as dt
import threading
import time
from collections.abc import Awaitable, Callable
from typing import Any

import azure.durable_functions as df

from tests.devhost.durable.rig import Host, running

RUNS: collections.Counter[str] = collections.Counter()
"""How often each activity ran, by name and, where its input says so, key."""
GATES: dict[str, threading.Event] = collections.defaultdict(threading.Event)
"""Activities of `gated` wait for the gate their input names."""


def seconds(context, number):
    return context.current_utc_datetime + dt.timedelta(seconds=number)


def in_host(storage: str, story: Callable[[Host], Awaitable[None]], **settings: Any) -> None:
    """Runs a story against a host of its own."""

    async def run() -> None:
        async with running(build(), storage, **settings) as host:
            await story(host)

    asyncio.run(run())


def build() -> df.DFApp:
    app = df.DFApp()
    add_activities(app)
    add_compositions(app)
    add_endings(app)
    add_events(app)
    add_families(app)
    add_entities(app)
    return app


def add_activities(app: df.DFApp) -> None:
    @app.activity_trigger(input_name="x")
    def echo(x):
        RUNS["echo"] += 1
        return x

    @app.activity_trigger(input_name="x")
    def slow(x):
        time.sleep(x["s"])
        RUNS[f"slow {x['v']}"] += 1
        return x["v"]

    @app.activity_trigger(input_name="x")
    def gated(x):
        RUNS[f"gated {x}"] += 1
        assert GATES[x].wait(20)
        return x

    @app.activity_trigger(input_name="x")
    def boom(x):
        RUNS[f"boom {x}"] += 1
        raise ValueError(f"boom {x}")

    @app.activity_trigger(input_name="x")
    def flaky(x):
        RUNS[f"flaky {x['key']}"] += 1
        if RUNS[f"flaky {x['key']}"] <= x["fails"]:
            raise RuntimeError(f"attempt {RUNS['flaky ' + x['key']]} failed")
        return RUNS[f"flaky {x['key']}"]

    @app.activity_trigger(input_name="x")
    def big(x):
        return "z" * x

    @app.activity_trigger(input_name="x")
    async def gentle(x):
        return [x, "async"]

    @app.activity_trigger(input_name="x")
    def half_character(x):
        raise ValueError("half \ud800 character")

    @app.activity_trigger(input_name="x")
    def bytes_result(x):
        return b"no json"


def add_compositions(app: df.DFApp) -> None:
    @app.orchestration_trigger(context_name="context")
    def chain(context):
        a = yield context.call_activity("echo", 1)
        b = yield context.call_activity("echo", a + 1)
        return [a, b]

    @app.orchestration_trigger(context_name="context")
    def echo_once(context):
        return (yield context.call_activity("echo", context.get_input()))

    @app.orchestration_trigger(context_name="context")
    def fan(context):
        found = yield context.task_all([context.call_activity("echo", i) for i in range(context.get_input()["n"])])
        return sum(found)

    @app.orchestration_trigger(context_name="context")
    def fan_any(context):
        """A task_any loop: the orchestrator is asked after every batch of results."""
        left = [context.call_activity("echo", i) for i in range(context.get_input()["n"])]
        total = 0
        while left:
            done = yield context.task_any(left)
            left.remove(done)
            total += done.result
        return total

    @app.orchestration_trigger(context_name="context")
    def wide(context):
        return (yield context.task_all([context.call_activity("big", context.get_input()["size"]) for _ in range(3)]))

    @app.orchestration_trigger(context_name="context")
    def head_of_line(context):
        """The caught failure yields c, but the host waits for all of the first wave before it starts c."""
        try:
            yield context.task_all(
                [context.call_activity("boom", context.instance_id), context.call_activity("gated", context.instance_id)]
            )
        except Exception:
            return (yield context.call_activity("echo", "c"))

    @app.orchestration_trigger(context_name="context")
    def nested(context):
        first = context.task_any([context.call_activity("echo", "a"), context.call_activity("slow", {"s": 0.3, "v": "b"})])
        both = yield context.task_all([first, context.call_activity("echo", "c")])
        return [both[0].result, both[1]]

    @app.orchestration_trigger(context_name="context")
    def forgotten(context):
        context.call_activity("boom", context.instance_id)
        return (yield context.call_activity("echo", 1))

    @app.orchestration_trigger(context_name="context")
    def numbers(context):
        """Sequence numbers across every kind of task."""
        retry = df.RetryOptions(300, 3)
        yield context.task_all(
            [
                context.call_activity("echo", 0),
                context.call_activity_with_retry("flaky", retry, {"key": context.instance_id, "fails": 1}),
                context.create_timer(context.current_utc_datetime),
                context.call_sub_orchestrator("chain"),
            ]
        )
        entity = df.EntityId("counter", context.instance_id)
        context.signal_entity(entity, "add", 1)
        found = yield context.call_entity(entity, "add", 2)
        last = yield context.call_activity("echo", "last")
        return [found, last]

    @app.orchestration_trigger(context_name="context")
    def retry_never(context):
        yield context.call_activity_with_retry("boom", df.RetryOptions(300, 3), context.instance_id)

    @app.orchestration_trigger(context_name="context")
    def uses_async(context):
        return (yield context.call_activity("gentle", {"a": "hé ☃"}))

    @app.orchestration_trigger(context_name="context")
    def uses_bytes(context):
        yield context.call_activity("bytes_result", 1)

    @app.orchestration_trigger(context_name="context")
    def uses_half(context):
        yield context.call_activity("half_character", 1)

    @app.orchestration_trigger(context_name="context")
    def many_statuses(context):
        for step in context.get_input()["steps"]:
            context.set_custom_status({"step": step})
            yield context.call_activity("gated", f"{context.instance_id} {step}")
        return "done"

    @app.orchestration_trigger(context_name="context")
    def calls_http(context):
        return (yield context.call_http("GET", context.get_input()["uri"]))


def add_endings(app: df.DFApp) -> None:
    @app.orchestration_trigger(context_name="context")
    def race_leave(context):
        timer = context.create_timer(seconds(context, context.get_input()["s"]))
        won = yield context.task_any([context.call_activity("echo", "quick"), timer])
        return won.result

    @app.orchestration_trigger(context_name="context")
    def any_fail(context):
        won = yield context.task_any(
            [context.call_activity("boom", context.instance_id), context.call_activity("gated", context.instance_id)]
        )
        return str(won.result)[:40]

    @app.orchestration_trigger(context_name="context")
    def error_open(context):
        yield context.task_any([context.call_activity("gated", context.instance_id), context.call_activity("echo", 1)])
        raise ValueError("with work open")

    @app.orchestration_trigger(context_name="context")
    def error_empty(context):
        yield context.call_activity("echo", 1)
        raise ValueError

    @app.orchestration_trigger(context_name="context")
    def not_a_generator(context):
        raise KeyError("early")

    @app.orchestration_trigger(context_name="context")
    def unserialisable(context):
        yield context.call_activity("echo", 1)
        return {1, 2}

    @app.orchestration_trigger(context_name="context")
    def unknown_sub(context):
        yield context.call_sub_orchestrator("no_such")

    @app.orchestration_trigger(context_name="context")
    def signal_unknown(context):
        context.signal_entity(df.EntityId("no_such", "k"), "op")
        yield context.call_activity("echo", 1)

    @app.orchestration_trigger(context_name="context")
    def own_id(context):
        yield context.call_sub_orchestrator("chain", None, context.instance_id)

    @app.orchestration_trigger(context_name="context")
    def shifting(context):
        """Not deterministic: the second episode asks for another activity under the same number."""
        RUNS[f"shifting {context.instance_id}"] += 1
        name = "echo" if RUNS[f"shifting {context.instance_id}"] == 1 else "slow"
        yield context.call_activity(name, {"s": 0, "v": context.instance_id})
        return "never"


def add_events(app: df.DFApp) -> None:
    @app.orchestration_trigger(context_name="context")
    def waits(context):
        return (yield context.wait_for_external_event("go"))

    @app.orchestration_trigger(context_name="context")
    def fails_at_length(context):
        yield context.wait_for_external_event("go")
        raise ValueError("x" * context.get_input()["n"])

    @app.orchestration_trigger(context_name="context")
    def unsays(context):
        """Sets a custom status, and takes it back when its activity has ended."""
        context.set_custom_status("busy")
        result = yield context.call_activity("gated", context.instance_id)
        context.set_custom_status(None)
        yield context.wait_for_external_event("go")
        return result

    @app.orchestration_trigger(context_name="context")
    def waits_pair(context):
        return (yield context.task_all([context.wait_for_external_event("go"), context.wait_for_external_event("go")]))

    @app.orchestration_trigger(context_name="context")
    def waits_late(context):
        yield context.call_activity("gated", context.instance_id)
        a = yield context.wait_for_external_event("go")
        b = yield context.wait_for_external_event("go")
        return [a, b]

    @app.orchestration_trigger(context_name="context")
    def not_waited(context):
        return (yield context.call_activity("gated", context.instance_id))

    @app.orchestration_trigger(context_name="context")
    def generations(context):
        """Sums events over generations, one event each, and an activity in between."""
        total = context.get_input() or 0
        number = yield context.wait_for_external_event("n")
        context.set_custom_status(total + number)
        yield context.call_activity("slow", {"s": 0.05, "v": number})
        if number == 0:
            return total
        context.continue_as_new(total + number)

    @app.orchestration_trigger(context_name="context")
    def busy_generations(context):
        """The same, with an activity that takes as long as the test likes."""
        total = context.get_input() or 0
        number = yield context.wait_for_external_event("n")
        yield context.call_activity("gated", context.instance_id)
        if number == 0:
            return total
        context.continue_as_new(total + number)

    @app.orchestration_trigger(context_name="context")
    def counts_down(context):
        left = context.get_input()
        if isinstance(left, dict):
            left = left["left"]
        entity = df.EntityId("counter", context.instance_id)
        context.signal_entity(entity, "add", 1)
        yield context.call_activity("echo", left)
        if left > 0:
            context.continue_as_new(left - 1)
            return None
        return left

    @app.orchestration_trigger(context_name="context")
    def sleeps(context):
        yield context.create_timer(seconds(context, context.get_input()["s"]))
        return "slept"


def add_families(app: df.DFApp) -> None:
    @app.orchestration_trigger(context_name="context")
    def parent(context):
        return (yield context.call_sub_orchestrator("child", context.get_input()))

    @app.orchestration_trigger(context_name="context")
    def child(context):
        given = context.get_input()
        return [context.parent_instance_id is not None, (yield context.call_activity(given["activity"], given["input"]))]

    @app.orchestration_trigger(context_name="context")
    def parents(context):
        ids = [f"{context.instance_id}-{i}" for i in range(context.get_input()["n"])]
        found = yield context.task_all([context.call_sub_orchestrator("child", {"activity": "echo", "input": i}, i) for i in ids])
        return len(found)

    @app.orchestration_trigger(context_name="context")
    def catches(context):
        try:
            yield context.call_sub_orchestrator("waits", None, f"{context.instance_id}-child")
        except Exception as error:
            return str(error)

    @app.orchestration_trigger(context_name="context")
    def grandparent(context):
        return (yield context.call_sub_orchestrator("once_fails", context.instance_id, f"{context.instance_id}-child"))

    @app.orchestration_trigger(context_name="context")
    def once_fails(context):
        first = yield context.call_activity("echo", "first")
        return [first, (yield context.call_activity("flaky", {"key": context.get_input() or context.instance_id, "fails": 1}))]


def add_entities(app: df.DFApp) -> None:
    @app.entity_trigger(context_name="context")
    def counter(context):
        value = context.get_state(lambda: 0)
        operation = context.operation_name
        if operation == "add":
            value += context.get_input()
        elif operation == "put":
            value = context.get_input()
        elif operation == "fail":
            context.set_state(value + 1000)
            raise ValueError("entity failed")
        elif operation == "gone":
            context.destruct_on_exit()
            return
        context.set_state(value)
        context.set_result(value)

    @app.entity_trigger(context_name="context")
    def broken(context):
        RUNS[f"broken {context.entity_key}"] += 1
        context.set_state({1, 2})

    @app.orchestration_trigger(context_name="context")
    def entity_fails(context):
        entity = df.EntityId("counter", context.instance_id)
        try:
            yield context.call_entity(entity, "fail")
        except Exception as error:
            return [str(error), (yield context.call_entity(entity, "get"))]

    @app.orchestration_trigger(context_name="context")
    def entity_many(context):
        entity = df.EntityId("counter", context.instance_id)
        for _ in range(context.get_input()["n"]):
            context.signal_entity(entity, "add", 1)
        return (yield context.call_entity(entity, "get"))
