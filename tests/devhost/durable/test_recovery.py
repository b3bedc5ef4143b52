"""A host that dies at any moment, and the next one: everything ends as it would have, and nothing recorded is done again."""

from __future__ import annotations

import asyncio
import random

import pytest

from devhost.durable.ownership import HubInUse
from devhost.durable.times import now_text
from devhost.invocation import Invocation, WorkerLost
from tests.devhost.durable.rig import Host, InProcessInvoker, eventually, fresh_hub
from tests.devhost.durable.scenarios import GATES, RUNS, build

pytestmark = pytest.mark.filterwarnings("ignore:Potential duplicate Task completion")


async def started(invoker: InProcessInvoker, storage: str, hub: str) -> Host:
    host = Host(invoker, storage, hub)
    await host.start()
    return host


@pytest.mark.parametrize("seed", range(4))
def test_a_mixed_load_survives_kills_at_random_moments(storage: str, seed: int) -> None:
    async def run() -> None:
        dice = random.Random(seed)
        hub, invoker = fresh_hub(), InProcessInvoker(build())
        host = await started(invoker, storage, hub)
        tag = f"{seed}-{now_text()[-9:-1]}"
        expected = {
            f"fan-{tag}": ("fan", {"n": 120}, 7140),
            f"any-{tag}": ("fan_any", {"n": 25}, 300),
            f"parents-{tag}": ("parents", {"n": 8}, 8),
            f"sleeps-{tag}": ("sleeps", {"s": 2.5}, "slept"),
            f"numbers-{tag}": ("numbers", None, [3, "last"]),
            f"down-{tag}": ("counts_down", {"left": 5}, 0),
            f"many-{tag}": ("entity_many", {"n": 30}, 30),
            f"event-{tag}": ("waits", None, "kept"),
            f"chain-{tag}": ("chain", None, [1, 2]),
        }
        for instance, (name, given, _) in expected.items():
            await host.start_new(name, instance, given)
        reply = await host.ask("POST", f"/instances/event-{tag}/raiseEvent/go", "kept")
        assert reply.status == 202
        for _ in range(4):
            await asyncio.sleep(dice.uniform(0.0, 0.25))
            await host.kill()
            host = await started(invoker, storage, hub)
        try:
            for instance, (_, _, output) in expected.items():
                found = await host.wait(instance, seconds=30)
                assert (instance, "Completed", output) == (instance, found["runtimeStatus"], found["output"])
            reply = await host.ask("GET", f"/entities/counter/down-{tag}")
            assert reply.body == b"6"
            for instance in expected:
                events = await host.extension.client.history(instance)
                answered = [event.task_id for event in events if event.kind.name in ("TaskCompleted", "TaskFailed")]
                assert len(answered) == len(set(answered))
        finally:
            await host.stop()
            invoker.close()

    asyncio.run(run())


def test_recorded_activities_do_not_run_again_and_open_ones_do(storage: str) -> None:
    async def run() -> None:
        hub, invoker = fresh_hub(), InProcessInvoker(build())
        host = await started(invoker, storage, hub)
        instance = await host.start_new("many_statuses", None, {"steps": [1, 2]})
        GATES[f"{instance} 1"].set()
        await host.until_custom_status(instance, {"step": 2})
        await eventually(lambda: RUNS[f"gated {instance} 2"] == 1)
        await host.kill()
        host = await started(invoker, storage, hub)
        assert (await host.status(instance))["customStatus"] == {"step": 2}
        GATES[f"{instance} 2"].set()
        assert (await host.wait(instance))["output"] == "done"
        assert (RUNS[f"gated {instance} 1"], RUNS[f"gated {instance} 2"]) == (1, 2)
        await host.stop()
        invoker.close()

    asyncio.run(run())


def test_what_was_acknowledged_over_http_is_not_lost(storage: str) -> None:
    async def run() -> None:
        hub, invoker = fresh_hub(), InProcessInvoker(build())
        host = await started(invoker, storage, hub)
        waiting = await host.start_new("waits")
        held = await host.start_new("waits")
        doomed = await host.start_new("waits")
        for instance in (waiting, held, doomed):
            await host.wait(instance, until=("Running",))
        host.extension._dispatcher._stopping = True  # nothing is worked on from here: only what is written can survive
        fresh = await host.start_new("chain")
        assert (await host.ask("POST", f"/instances/{waiting}/raiseEvent/go", 7)).status == 202
        assert (await host.ask("POST", f"/instances/{held}/suspend?reason=hold")).status == 202
        assert (await host.ask("POST", f"/instances/{doomed}/terminate?reason=stop")).status == 202
        assert (await host.ask("POST", f"/entities/counter/{hub}?op=add", "3")).status == 202
        await host.kill()
        host = await started(invoker, storage, hub)
        assert (await host.wait(fresh))["output"] == [1, 2]
        assert (await host.wait(waiting))["output"] == 7
        assert (await host.wait(doomed))["output"] == "stop"
        assert (await host.wait(held, until=("Suspended",)))["output"] == "hold"
        await host.until_state(hub, b"3")
        await host.stop()
        invoker.close()

    asyncio.run(run())


def test_a_second_host_on_the_hub_is_refused_in_one_sentence(storage: str) -> None:
    async def run() -> None:
        hub, invoker = fresh_hub(), InProcessInvoker(build())
        host = await started(invoker, storage, hub)
        second = Host(invoker, storage, hub)
        with pytest.raises(HubInUse, match=rf"^Task hub '{hub}' is in use by another host \(process \d+ on .+\)\. Stop that host, or give"):
            await second.start()
        await second.storage.close()
        await host.stop()
        third = await started(invoker, storage, hub)
        await third.stop()
        invoker.close()

    asyncio.run(run())


def test_a_replaced_host_can_write_nothing_more(storage: str) -> None:
    """Both hosts hold the same instance; the one that was replaced cannot commit its result."""

    async def run() -> None:
        hub, invoker = fresh_hub(), InProcessInvoker(build())
        old = await started(invoker, storage, hub)
        instance = await old.start_new("waits_late")
        await eventually(lambda: invoker.calls("gated"))
        ownership = old.extension._ownership
        await ownership._blobs.lease(ownership._container, "devhost-owner", "break")
        new = await started(invoker, storage, hub)
        await eventually(lambda: len(invoker.calls("gated")) == 2)
        GATES[instance].set()
        await asyncio.sleep(0.6)
        rows = [
            row async for row in new.storage.tables.query(f"{hub}History", f"PartitionKey eq '{instance}' and EventType eq 'TaskCompleted'")
        ]
        assert len(rows) == 1
        await new.ask("POST", f"/instances/{instance}/terminate?reason=end")
        await new.wait(instance)
        old.extension._hub_lost()
        await old.stop()
        await new.stop()
        invoker.close()

    asyncio.run(run())


def test_a_lost_worker_means_another_attempt(storage: str) -> None:
    async def run() -> None:
        hub, invoker = fresh_hub(), InProcessInvoker(build())
        lost = {"chain": 1, "echo": 1}

        def lose(invocation: Invocation) -> None:
            if lost.get(invocation.function):
                lost[invocation.function] -= 1
                raise WorkerLost("the worker process ended with exit code 3")

        invoker.before = lose
        host = await started(invoker, storage, hub)
        instance = await host.start_new("chain")
        assert (await host.wait(instance))["output"] == [1, 2]
        assert len(invoker.calls("echo")) == 3
        await host.stop()
        invoker.close()

    asyncio.run(run())
