"""Storage that throttles, breaks, drops replies after doing what was asked, is silent, or goes away for a while."""

from __future__ import annotations

import asyncio
import collections
import os
import time
from typing import Any

import pytest

from devhost.durable.validity import history_problems, status_problems
from devhost.storage.account import StorageAccount
from devhost.storage.errors import StorageUnavailable
from tests.devhost.durable.faults import FAULTS, Trouble, troubled
from tests.devhost.durable.rig import Host, InProcessInvoker, eventually, fresh_hub
from tests.devhost.durable.scenarios import build

pytestmark = pytest.mark.filterwarnings("ignore:Potential duplicate Task completion")

EXPECTED: dict[str, tuple[str, Any, Any]] = {
    "fan": ("fan", {"n": 130}, 8385),
    "any": ("fan_any", {"n": 15}, 105),
    "parents": ("parents", {"n": 5}, 5),
    "numbers": ("numbers", None, [3, "last"]),
    "sleeps": ("sleeps", {"s": 1.5}, "slept"),
    "down": ("counts_down", {"left": 3}, 0),
    "many": ("entity_many", {"n": 20}, 20),
    "chain": ("chain", None, [1, 2]),
    "waits": ("waits", None, "kept"),
    "large": ("wide", {"size": 100_000}, ["z" * 100_000] * 3),
}
PATIENT = 20
"""How often a client asks again when it gets no usable answer."""


async def insist(host: Host, method: str, path: str, body: Any = None) -> int:
    """Asks until there is an answer that storage has no part in."""
    for _ in range(PATIENT):
        reply = await host.ask(method, path, body)
        if reply.status not in (500, 503):
            return reply.status
        await asyncio.sleep(0.2)
    return reply.status


async def live_through(storage: str, seed: int, share: float) -> Trouble:
    async with troubled(storage, seed) as (connection, trouble):
        invoker = InProcessInvoker(build())
        host = Host(invoker, connection, fresh_hub())
        host.storage.answer_seconds = 0.7
        trouble.share = share / 2
        await host.start()
        trouble.share = share
        for instance, (name, given, _) in EXPECTED.items():
            # A start whose answer was lost may have taken place: the second one is refused, and that is as good.
            assert await insist(host, "POST", f"/orchestrators/{name}/{instance}", given) in (202, 500)
        assert await insist(host, "POST", "/instances/waits/raiseEvent/go", "kept") in (202, 410)
        for instance, (_, _, output) in EXPECTED.items():
            found = await ended(host, instance)
            assert (instance, "Completed", output) == (instance, found["runtimeStatus"], found["output"])
        trouble.share = 0.0
        await counted(host, "down", b"4")
        await counted(host, "many", b"20")
        await host.stop()
        host = Host(invoker, connection, host.extension.settings.hub)
        for instance in EXPECTED:
            partition = await host.extension._store.load(instance)
            state = await host.extension._store.get_instance(instance)
            assert state is not None
            assert [*history_problems(partition.events), *status_problems(state, partition, settled=True)] == []
        await host.storage.close()
        invoker.close()
        return trouble


async def ended(host: Host, instance: str) -> dict[str, Any]:
    deadline = time.monotonic() + 60
    while True:
        reply = await host.ask("GET", f"/instances/{instance}")
        if reply.status == 200:
            return await host.status(instance)
        assert time.monotonic() < deadline, f"{instance} has not ended: {reply.status} {reply.body!r}"
        await asyncio.sleep(0.05)


async def counted(host: Host, key: str, wanted: bytes) -> None:
    """The last signal was sent when its orchestration ended; under faults it may still be on its way."""
    deadline = time.monotonic() + 20
    while (found := (await host.ask("GET", f"/entities/counter/{key}")).body) != wanted and time.monotonic() < deadline:  # noqa: ASYNC110 - a stranger over HTTP can only ask again
        await asyncio.sleep(0.05)
    assert found == wanted


def test_faults_are_repeated_and_nothing_is_lost_or_doubled(storage: str) -> None:
    trouble = asyncio.run(live_through(storage, 2, 0.15))
    assert len(trouble.faults_met("table")) >= 8


@pytest.mark.proof
@pytest.mark.timeout(900)
def test_every_fault_on_every_kind_of_request(storage: str) -> None:
    """`CHAOS_SEED` chooses the first of the seeds."""
    first, met = int(os.environ.get("CHAOS_SEED", "100")), collections.Counter[tuple[str, str]]()
    for seed in range(first, first + 8):
        met += asyncio.run(live_through(storage, seed, 0.3)).met
    assert {fault for service, fault in met if service == "table"} == set(FAULTS)
    assert len({fault for service, fault in met if service == "blob"}) >= len(FAULTS) - 2


def test_work_goes_on_when_storage_comes_back(storage: str) -> None:
    async def run() -> None:
        async with troubled(storage, 1) as (connection, trouble):
            invoker = InProcessInvoker(build())
            host = Host(invoker, connection, fresh_hub())
            await host.start()
            instance = await host.start_new("fan_any", None, {"n": 20})
            trouble.away = True
            await asyncio.sleep(2.0)
            trouble.away = False
            assert (await host.wait(instance, seconds=20))["output"] == 190
            await host.stop()
            invoker.close()

    asyncio.run(run())


def test_a_service_that_says_when_to_come_again_is_obeyed(storage: str) -> None:
    async def run() -> None:
        async with troubled(storage, 1) as (connection, trouble):
            account = StorageAccount.from_connection_string(connection)
            await account.queues.create("obeyed")
            trouble.share, began = 1.0, time.monotonic()
            trouble.kinds = {"throttled": 1}

            async def calm() -> None:
                await eventually(lambda: trouble.met)
                trouble.share = 0.0

            calmed, _ = await asyncio.gather(account.queues.put("obeyed", "text"), calm())
            assert calmed
            assert time.monotonic() - began >= 1.0
            assert trouble.seen["queue"] == 3  # the queue, the attempt that was throttled, and the one a second later
            await account.close()

    asyncio.run(run())


def test_silence_ends_in_an_error_that_says_so(storage: str) -> None:
    async def run() -> None:
        async with troubled(storage, 1, patience=5.0) as (connection, trouble):
            account = StorageAccount.from_connection_string(connection)
            account.answer_seconds = 0.2
            trouble.share = 1.0
            trouble.kinds = {"swallowed": 1}
            with pytest.raises(StorageUnavailable, match="does not answer GET /quiet: Timeout on reading data from socket"):
                await account.request("queue", "GET", "/quiet", query="comp=metadata", patience=1.0)
            await account.close()

    asyncio.run(run())
