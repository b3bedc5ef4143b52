"""What `benchmarks/host.py` runs: orchestrators of activities that do nothing, so that every microsecond is the host's."""

import os
import time
from pathlib import Path

import azure.durable_functions as df

app = df.DFApp()


@app.activity_trigger(input_name="number")
def nothing(number: int) -> int:
    return number


@app.activity_trigger(input_name="seconds")
def nap(seconds: float) -> float:
    """Sleeps, and notes when it had done so."""
    time.sleep(seconds)
    if path := os.environ.get("BENCH_NOTES"):
        with Path(path).open("a") as notes:
            notes.write(f"{time.time()}\n")
    return seconds


@app.orchestration_trigger(context_name="context")
def fan_out(context: df.DurableOrchestrationContext):
    results = yield context.task_all([context.call_activity("nothing", number) for number in range(context.get_input()["count"])])
    return len(results)


@app.orchestration_trigger(context_name="context")
def families(context: df.DurableOrchestrationContext):
    """`count` sub-orchestrations that fan out over `each` activities."""
    asked = context.get_input()
    children = [context.call_sub_orchestrator("fan_out", {"count": asked["each"]}) for _ in range(asked["count"])]
    results = yield context.task_all(children)
    return sum(results)


@app.orchestration_trigger(context_name="context")
def chain(context: df.DurableOrchestrationContext):
    total = 0
    for number in range(context.get_input()["count"]):
        total += yield context.call_activity("nothing", number)
    return total


@app.orchestration_trigger(context_name="context")
def naps(context: df.DurableOrchestrationContext):
    asked = context.get_input()
    for _ in range(asked["count"]):
        yield context.call_activity("nap", asked["seconds"])
    return asked["count"]


@app.orchestration_trigger(context_name="context")
def clocked(context: df.DurableOrchestrationContext):
    """Shows in its status when its code first ran. Reading a clock is wrong in an orchestrator, and here the point."""
    if not context.is_replaying:
        context.set_custom_status(time.time())
    yield context.wait_for_external_event("end")
