"""Programs on the in-memory engine of `durabletask`: another SDK and another engine, written by others."""

from __future__ import annotations

import contextlib
import json
import time
import uuid
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from typing import Any

from durabletask.client import OrchestrationState, TaskHubGrpcClient
from durabletask.task import ActivityContext, OrchestrationContext, RetryPolicy, when_all, when_any
from durabletask.testing import create_test_backend
from durabletask.worker import TaskHubGrpcWorker

from tests.differential.interpreter import Activities, Outcome, Walk, event_value, input_of, mark, orchestrate
from tests.differential.programs import Program
from tools.stack.ports import choose


class OnDurableTask:
    """`Engine` on an orchestration context of durabletask."""

    def __init__(self, context: OrchestrationContext) -> None:
        self._context = context

    def activity(self, name: str, value: Any, attempts: int = 0) -> Any:
        return self._context.call_activity(name, input=value, retry_policy=_policy(attempts))

    def child(self, value: Any, attempts: int = 0) -> Any:
        return self._context.call_sub_orchestrator("program", input=value, retry_policy=_policy(attempts))

    def timer(self, milliseconds: int) -> Any:
        return self._context.create_timer(timedelta(milliseconds=milliseconds))

    def event(self, name: str) -> Any:
        return self._context.wait_for_external_event(name)

    def all_of(self, tasks: list[Any]) -> Any:
        return when_all(tasks)

    def any_of(self, tasks: list[Any]) -> Any:
        return when_any(tasks)

    def result(self, task: Any) -> Any:
        return task.get_result()

    def cancel(self, timer: Any) -> None:
        timer.cancel()

    def set_status(self, value: Any) -> None:
        self._context.set_custom_status(value)

    def again(self, value: Any) -> None:
        self._context.continue_as_new(value)


def _policy(attempts: int) -> RetryPolicy | None:
    return RetryPolicy(first_retry_interval=timedelta(milliseconds=1), max_number_of_attempts=attempts) if attempts else None


def program(context: OrchestrationContext, given: dict[str, Any]) -> Walk:
    return (yield from orchestrate(OnDurableTask(context), given))


class DurableTaskEngine:
    """A running engine: gives the outcomes of programs, which run side by side."""

    def __init__(self, client: TaskHubGrpcClient, activities: Activities, pool: ThreadPoolExecutor) -> None:
        self._client, self._activities, self._pool = client, activities, pool

    def run(self, programs: Sequence[Program]) -> list[Outcome]:
        return list(self._pool.map(self._outcome, programs))

    def _outcome(self, given: Program) -> Outcome:
        client, instance, suspended = self._client, f"p{uuid.uuid4().hex}", None
        client.schedule_new_orchestration("program", input=input_of(given, instance), instance_id=instance)
        if given.mode == "suspend":
            self._until(instance, lambda state: state.get_custom_status() == "gate")
            client.suspend_orchestration(instance)
            self._until(instance, lambda state: state.runtime_status.name == "SUSPENDED")
        elif not given.early:
            self._until(instance, lambda state: state.runtime_status.name != "PENDING")
        for name in given.order:
            client.raise_orchestration_event(instance, name, data=event_value(name))
        if given.mode == "suspend":
            suspended = self._until(instance, lambda _: True).runtime_status.name.title()
            client.resume_orchestration(instance)
        if given.mode == "terminate":
            self._until(instance, lambda state: state.get_custom_status() == "parked")
            client.terminate_orchestration(instance, output="enough", recursive=False)
        state = self._until(instance, lambda state: state.runtime_status.name in ("COMPLETED", "FAILED", "TERMINATED"))
        output = mark(state.failure_details.message) if state.failure_details else json.loads(state.serialized_output or "null")
        status = json.loads(state.serialized_custom_status or "null")
        return Outcome(state.runtime_status.name.title(), output, status, self._activities.ran(instance), suspended)

    def _until(self, instance: str, condition: Callable[[OrchestrationState], bool]) -> OrchestrationState:
        deadline = time.monotonic() + 60
        while True:
            state = self._client.get_orchestration_state(instance)
            if state is not None and condition(state):
                return state
            assert time.monotonic() < deadline, f"{instance} is still {state}"
            time.sleep(0.005)


@contextlib.contextmanager
def durabletask_engine() -> Iterator[DurableTaskEngine]:
    """A backend, a worker and a client, for as many programs as there are."""
    port = choose(0)
    backend, activities = create_test_backend(port=port), Activities()
    try:
        with TaskHubGrpcWorker(host_address=f"localhost:{port}") as worker:
            worker.add_orchestrator(program)
            for each in ("call", "boom", "flaky", "once"):
                worker.add_activity(_activity(activities, each))
            worker.start()  # type: ignore[no-untyped-call]
            with TaskHubGrpcClient(host_address=f"localhost:{port}") as client, ThreadPoolExecutor(8) as pool:
                yield DurableTaskEngine(client, activities, pool)
    finally:
        backend.stop()


def _activity(activities: Activities, name: str) -> Callable[[ActivityContext, Any], Any]:
    def activity(_: ActivityContext, given: Any) -> Any:
        return getattr(activities, name)(given)

    activity.__name__ = name
    return activity
