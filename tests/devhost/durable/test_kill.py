"""`kill -9` of the whole host, in the middle of everything, and a new one on the same hub."""

from __future__ import annotations

import asyncio
import json
import random
import time
from pathlib import Path
from typing import Any

import pytest

from devhost.storage.account import StorageAccount
from tests.devhost.durable.rig import fresh_hub
from tests.devhost.shell.support import RunningHost, running

pytestmark = pytest.mark.e2e

API = "/runtime/webhooks/durabletask"
APP = '''
import datetime as dt
import os
import time

import azure.durable_functions as df

app = df.DFApp()
LOG = os.environ["MARKS"]


@app.activity_trigger(input_name="x")
def mark(x):
    """Says, as its last deed, that it has run."""
    time.sleep(0.01)
    with open(LOG, "a") as log:
        log.write(f"{time.time()} {x}\\n")
    return x


@app.orchestration_trigger(context_name="context")
def fan(context):
    name = context.instance_id
    found = yield context.task_all([context.call_activity("mark", f"{name}/{i}") for i in range(150)])
    return len(found)


@app.orchestration_trigger(context_name="context")
def steps(context):
    total = 0
    for i in range(25):
        total += len((yield context.call_activity("mark", f"{context.instance_id}/{i}"))) > 0
    return total


@app.orchestration_trigger(context_name="context")
def family(context):
    found = yield context.task_all([context.call_sub_orchestrator("steps", None, f"{context.instance_id}-{i}") for i in range(4)])
    return sum(found)


@app.orchestration_trigger(context_name="context")
def timers(context):
    for _ in range(4):
        yield context.create_timer(context.current_utc_datetime + dt.timedelta(seconds=1.5))
    return "slept"


@app.orchestration_trigger(context_name="context")
def tally(context):
    entity = df.EntityId("counter", context.instance_id)
    for _ in range(20):
        context.signal_entity(entity, "add", 1)
        yield context.call_activity("mark", context.instance_id + "/t")
    return (yield context.call_entity(entity, "get"))


@app.entity_trigger(context_name="context")
def counter(context):
    value = context.get_state(lambda: 0)
    if context.operation_name == "add":
        value += context.get_input()
    context.set_state(value)
    context.set_result(value)
'''
EXPECTED = {"fan": 150, "steps": 25, "family": 100, "timers": "slept", "tally": 20}


async def recorded(storage: str, hub: str) -> set[str]:
    """The results of activities that the history has, of which none may run again."""
    account = StorageAccount.from_connection_string(storage)
    try:
        ends = {}
        async for row in account.tables.query(f"{hub}History", "RowKey eq 'sentinel'"):
            ends[row["PartitionKey"]] = row["CommittedRows"]
        rows = [row async for row in account.tables.query(f"{hub}History", "EventType eq 'TaskCompleted'")]
        counted = [row for row in rows if int(row["RowKey"], 16) < ends[row["PartitionKey"]]]
        return {result for row in counted if "/t" not in (result := json.loads(row["Result"]))}
    finally:
        await account.close()


def status(host: RunningHost, instance: str) -> dict[str, Any]:
    found: dict[str, Any] = host.get(f"{API}/instances/{instance}").json()
    return found


@pytest.mark.slow
def test_everything_ends_as_it_would_have_and_nothing_recorded_runs_again(storage: str, tmp_path: Path) -> None:
    hub, marks, dice = fresh_hub(), tmp_path / "marks", random.Random(7)
    marks.touch()
    (tmp_path / "function_app.py").write_text(APP)
    (tmp_path / "host.json").write_text(json.dumps({"version": "2.0", "extensions": {"durableTask": {"hubName": hub}}}))
    settings = {"AzureWebJobsStorage": storage, "MARKS": str(marks)}
    done_before: list[tuple[float, set[str]]] = []
    for attempt in range(4):
        with running(tmp_path, settings=settings) as host:
            if attempt == 0:
                for name in EXPECTED:
                    assert host.request("POST", f"{API}/orchestrators/{name}/{name}").status == 202
            if attempt < 3:
                time.sleep(dice.uniform(0.2, 1.2))
                host.kill()
                time.sleep(0.2)  # a worker that outlives its host for a moment may still be writing its mark
                done_before.append((time.time(), asyncio.run(recorded(storage, hub))))
                continue
            deadline = time.monotonic() + 40
            for name, output in EXPECTED.items():
                while (found := status(host, name))["runtimeStatus"] in ("Pending", "Running"):
                    assert time.monotonic() < deadline, found
                    time.sleep(0.05)
                assert (name, "Completed", output) == (name, found["runtimeStatus"], found["output"])
    runs = [line.split(" ") for line in marks.read_text().splitlines()]
    for moment, results in done_before:
        assert [what for when, what in runs if float(when) > moment and what in results] == []
    assert any(results for _, results in done_before)
