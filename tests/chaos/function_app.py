"""The mixed workload of the kill campaign: one orchestrator for each way of waiting. Every output follows from the input alone.

Each execution of an activity is put on record before anything else, so that the record says what ran, however it ended.
"""

# The functions' parameters belong to the Durable SDK, which ships no types; the worker reads annotations, and refuses what it cannot.
# mypy: disable-error-code="no-untyped-def, misc, no-untyped-call"

import datetime as dt
import json
import os
import time
from pathlib import Path
from typing import Any

import azure.durable_functions as df

app = df.DFApp()
_RECORD = os.open(os.environ["CHAOS_RECORD"], os.O_WRONLY | os.O_APPEND | os.O_CREAT)
_ATTEMPTS = Path(os.environ["CHAOS_RECORD"] + ".attempts")
_ATTEMPTS.mkdir(exist_ok=True)
SHARED = ("north", "south", "west")
BIG = 90_000


def record(key):
    os.write(_RECORD, f"{time.time_ns()} {os.getpid()} {key}\n".encode())


def task(context, step, milliseconds=5):
    return {"key": f"{context.instance_id}/{step}", "ms": milliseconds}


@app.activity_trigger(input_name="x")
def work(x):
    record(x["key"])
    time.sleep(x["ms"] / 1000)
    return x["key"]


@app.activity_trigger(input_name="x")
async def gentle(x):
    record(x["key"])
    return x["key"]


@app.activity_trigger(input_name="x")
def large(x):
    record(x["key"])
    return x["key"] + "z" * BIG


@app.activity_trigger(input_name="x")
def flaky(x):
    """Fails until it has been tried often enough, whoever tried."""
    record(x["key"])
    attempts = _ATTEMPTS / x["key"].replace("/", "_")
    with attempts.open("a") as tried:
        tried.write(".")
    if attempts.stat().st_size <= x["fails"]:
        raise RuntimeError("not yet")
    return x["key"]


@app.activity_trigger(input_name="x")
def doomed(x):
    record(x["key"])
    raise ValueError("never")


@app.orchestration_trigger(context_name="context")
def fan(context):
    """A wave of activities of both kinds; large ones leave blobs."""
    given = context.get_input()
    calls = [context.call_activity("gentle" if i % 3 == 0 else "work", task(context, i, given["ms"])) for i in range(given["n"])]
    calls += [context.call_activity("large", task(context, f"large{i}")) for i in range(given["large"])]
    found = yield context.task_all(calls)
    return [len(found), len(set(found)), sum(len(key) for key in found)]


@app.orchestration_trigger(context_name="context")
def steps(context):
    given = context.get_input()
    found = set()
    for i in range(given["n"]):
        found.add((yield context.call_activity("work", task(context, i, given["ms"]))))
    return len(found)


@app.orchestration_trigger(context_name="context")
def rolling(context):
    """A window of activities, refilled whenever one is done."""
    given = context.get_input()
    left = list(range(given["n"]))
    window: list[Any] = []
    done: list[Any] = []
    while left or window:
        while left and len(window) < 4:
            window.append(context.call_activity("work", task(context, left.pop(0), given["ms"])))
        first = yield context.task_any(window)
        window.remove(first)
        done.append(first.result)
    return [len(done), len(set(done))]


@app.orchestration_trigger(context_name="context")
def tree(context):
    """Children of children; the names of all but the last are given."""
    given = context.get_input()
    if given["depth"] == 0:
        return (yield context.call_activity("work", task(context, "leaf"))) != ""
    below = {**given, "depth": given["depth"] - 1}
    calls = [context.call_sub_orchestrator("tree", below, f"{context.instance_id}-{i}") for i in range(given["wide"])]
    calls.append(context.call_sub_orchestrator("steps", {"n": 2, "ms": 2}))
    return sum((yield context.task_all(calls)))


@app.orchestration_trigger(context_name="context")
def sleeper(context):
    """Timers between activities, and one that is called off."""
    for i in range(context.get_input()["n"]):
        yield context.create_timer(context.current_utc_datetime + dt.timedelta(seconds=1.4))
        yield context.call_activity("work", task(context, i))
    never = context.wait_for_external_event("never")
    late = context.create_timer(context.current_utc_datetime + dt.timedelta(seconds=1.2))
    first = yield context.task_any([never, late])
    return "late" if first == late else "never"


@app.orchestration_trigger(context_name="context")
def listener(context):
    """Events, each under a name of its own, some awaited together and some after work."""
    n = context.get_input()["n"]
    together = yield context.task_all([context.wait_for_external_event(f"go{i}") for i in range(n)])
    yield context.call_activity("work", task(context, "between"))
    last = yield context.wait_for_external_event("last")
    return [sum(together), last]


@app.orchestration_trigger(context_name="context")
def tally(context):
    """Operations on an entity of its own and on one that it shares."""
    given = context.get_input()
    own, shared = df.EntityId("counter", context.instance_id), df.EntityId("counter", given["shared"])
    for i in range(given["n"]):
        context.signal_entity(own, "add", 1)
        context.signal_entity(shared, "add", 1)
        if i % 3 == 0:
            yield context.call_activity("work", task(context, i))
        if i % 4 == 0:
            yield context.call_entity(shared, "add", 10)
    return (yield context.call_entity(own, "get"))


@app.orchestration_trigger(context_name="context")
def generations(context):
    """Continues as new, with work and a signal in each generation."""
    given = context.get_input()
    if isinstance(given, str):
        given = json.loads(given)  # a continued input comes as text
    yield context.call_activity("work", task(context, f"g{given['g']}"))
    context.signal_entity(df.EntityId("counter", context.instance_id), "add", 1)
    if given["g"] + 1 < given["n"]:
        context.continue_as_new({**given, "g": given["g"] + 1})
        return None
    return given["g"]


@app.orchestration_trigger(context_name="context")
def stubborn(context):
    """Retries that succeed in the end, and some that do not."""
    patient, short = df.RetryOptions(1000, 8), df.RetryOptions(500, 2)
    found = yield context.call_activity_with_retry("flaky", patient, {**task(context, "flaky"), "fails": context.get_input()["fails"]})
    try:
        yield context.call_activity_with_retry("doomed", short, task(context, "doomed"))
    except Exception as error:
        return [found.rpartition("/")[2], "never" in str(error)]


@app.entity_trigger(context_name="context")
def counter(context):
    value = context.get_state(lambda: 0)
    if context.operation_name == "add":
        value += context.get_input()
    context.set_state(value)
    context.set_result(value)
