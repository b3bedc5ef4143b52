"""Programs on the SDK and our engine: in this process, on a real Azurite, without worker processes."""

# The functions' parameters belong to the Durable SDK, which ships no types.
# mypy: disable-error-code="no-untyped-def, misc, no-untyped-call"
# ruff: noqa: ANN001, ANN202

from __future__ import annotations

import asyncio
import contextlib
import datetime as dt
import threading
import uuid
from collections.abc import Iterator, Sequence
from typing import Any

import azure.durable_functions as df

from tests.devhost.durable.rig import Host, running
from tests.differential.interpreter import Activities, Outcome, event_value, input_of, mark, orchestrate
from tests.differential.programs import Program


class OnSdk:
    """`Engine` on an orchestration context of the SDK."""

    def __init__(self, context: Any) -> None:
        self._context = context

    def activity(self, name: str, value: Any, attempts: int = 0) -> Any:
        if attempts:
            return self._context.call_activity_with_retry(name, df.RetryOptions(1, attempts), value)
        return self._context.call_activity(name, value)

    def child(self, value: Any, attempts: int = 0) -> Any:
        if attempts:
            return self._context.call_sub_orchestrator_with_retry("program", df.RetryOptions(1, attempts), value)
        return self._context.call_sub_orchestrator("program", value)

    def timer(self, milliseconds: int) -> Any:
        return self._context.create_timer(self._context.current_utc_datetime + dt.timedelta(milliseconds=milliseconds))

    def event(self, name: str) -> Any:
        return self._context.wait_for_external_event(name)

    def all_of(self, tasks: list[Any]) -> Any:
        return self._context.task_all(tasks)

    def any_of(self, tasks: list[Any]) -> Any:
        return self._context.task_any(tasks)

    def result(self, task: Any) -> Any:
        if isinstance(task.result, Exception):
            raise task.result
        return task.result

    def cancel(self, timer: Any) -> None:
        timer.cancel()

    def set_status(self, value: Any) -> None:
        self._context.set_custom_status(value)

    def again(self, value: Any) -> None:
        self._context.continue_as_new(value)


def app_of(activities: Activities) -> df.DFApp:
    app = df.DFApp()

    @app.orchestration_trigger(context_name="context")
    def program(context):
        return (yield from orchestrate(OnSdk(context), context.get_input()))

    def add(name: str) -> None:
        @app.function_name(name)
        @app.activity_trigger(input_name="given")
        def activity(given):
            return getattr(activities, name)(given)

    for each in ("call", "boom", "flaky", "once"):
        add(each)
    return app


class DevhostEngine:
    """A running engine: gives the outcomes of programs, which run side by side."""

    def __init__(self, host: Host, loop: asyncio.AbstractEventLoop, activities: Activities) -> None:
        self._host, self._loop, self._activities = host, loop, activities

    def run(self, programs: Sequence[Program]) -> list[Outcome]:
        async def all_of_them() -> list[Outcome]:
            return await asyncio.gather(*(self._outcome(program) for program in programs))

        return asyncio.run_coroutine_threadsafe(all_of_them(), self._loop).result(timeout=110)

    async def _outcome(self, program: Program) -> Outcome:
        host, instance, suspended = self._host, f"p{uuid.uuid4().hex}", None
        await host.start_new("program", instance, input_of(program, instance))
        if program.mode == "suspend":
            await host.until_custom_status(instance, "gate", seconds=60)
            await self._post(instance, "suspend")
            await host.wait(instance, until=("Suspended",), seconds=60)
        elif not program.early:
            await host.wait(instance, until=("Running", "Completed", "Failed"), seconds=60)
        for name in program.order:
            reply = await host.ask("POST", f"/instances/{instance}/raiseEvent/{name}", event_value(name))
            assert reply.status in (202, 410), reply  # 410: it failed before it came to wait for this one
        if program.mode == "suspend":
            suspended = (await host.status(instance))["runtimeStatus"]
            await self._post(instance, "resume")
        if program.mode == "terminate":
            await host.until_custom_status(instance, "parked", seconds=60)
            await self._post(instance, "terminate?reason=enough")
        found = await host.wait(instance, seconds=60)
        output = mark(found["output"]) if found["runtimeStatus"] == "Failed" else found["output"]
        return Outcome(found["runtimeStatus"], output, found["customStatus"], self._activities.ran(instance), suspended)

    async def _post(self, instance: str, what: str) -> None:
        reply = await self._host.ask("POST", f"/instances/{instance}/{what}")
        assert reply.status == 202, reply


@contextlib.contextmanager
def devhost_engine(storage: str) -> Iterator[DevhostEngine]:
    """A host on a loop of its own, for as many programs as there are."""
    activities, ready, ends = Activities(), threading.Event(), asyncio.Event()
    found: list[tuple[Host, asyncio.AbstractEventLoop]] = []

    async def serve() -> None:
        async with running(app_of(activities), storage) as host:
            found.append((host, asyncio.get_running_loop()))
            ready.set()
            await ends.wait()

    thread = threading.Thread(target=lambda: asyncio.run(serve()))
    thread.start()
    assert ready.wait(60)
    host, loop = found[0]
    try:
        yield DevhostEngine(host, loop, activities)
    finally:
        loop.call_soon_threadsafe(ends.set)
        thread.join(60)
