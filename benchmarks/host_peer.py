"""The peer of `host.py`: the same orchestrations on the in-memory engine of the `durabletask` package, engine, worker and client in one process.

    python benchmarks/host_peer.py fan_out|chains COUNT

Prints seconds. A process of its own: gRPC's threads do not survive a fork, and the benchmark starts programs.
"""

from __future__ import annotations

import logging
import socket
import sys
import time
from typing import Any

from durabletask import client, task, worker
from durabletask.testing import create_test_backend

_IN_FLIGHT = 100
_CHAIN = 3


def nothing(_: task.ActivityContext, number: int) -> int:
    return number


def fan(context: task.OrchestrationContext, count: int) -> Any:
    results = yield task.when_all([context.call_activity(nothing, input=number) for number in range(count)])
    return len(results)


def chain(context: task.OrchestrationContext, count: int) -> Any:
    total = 0
    for number in range(count):
        total += yield context.call_activity(nothing, input=number)
    return total


def fan_out(hub: client.TaskHubGrpcClient, count: int) -> None:
    _wait(hub, hub.schedule_new_orchestration(fan, input=count))


def chains(hub: client.TaskHubGrpcClient, count: int) -> None:
    waiting: list[str] = []
    for _ in range(count):
        if len(waiting) == _IN_FLIGHT:
            _wait(hub, waiting.pop(0))
        waiting.append(hub.schedule_new_orchestration(chain, input=_CHAIN))
    for each in waiting:
        _wait(hub, each)


def _wait(hub: client.TaskHubGrpcClient, instance_id: str) -> None:
    state = hub.wait_for_orchestration_completion(instance_id, timeout=120)
    assert state is not None
    assert state.runtime_status is client.OrchestrationStatus.COMPLETED


def main(name: str, count: int) -> None:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    log = logging.getLogger("durabletask.peer")
    log.addHandler(logging.NullHandler())
    log.propagate = False
    backend = create_test_backend(port=port, max_history_size=100_000)
    runner = worker.TaskHubGrpcWorker(host_address=f"localhost:{port}", logger=log)
    runner.add_orchestrator(fan)
    runner.add_orchestrator(chain)
    runner.add_activity(nothing)
    runner.start()  # type: ignore[no-untyped-call]  # durabletask leaves it untyped
    hub = client.TaskHubGrpcClient(host_address=f"localhost:{port}", logger=log)
    began = time.perf_counter()
    {"fan_out": fan_out, "chains": chains}[name](hub, count)
    print(time.perf_counter() - began, flush=True)
    runner.stop()  # type: ignore[no-untyped-call]  # durabletask leaves it untyped
    backend.stop()


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]))
