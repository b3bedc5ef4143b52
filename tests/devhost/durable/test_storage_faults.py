"""Storage that throttles, drops replies after doing what was asked, resets connections, or goes away for a while."""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import aiohttp
import pytest
from aiohttp import web
from yarl import URL

from devhost.storage.account import StorageAccount
from tests.devhost.durable.rig import Host, InProcessInvoker, fresh_hub
from tests.devhost.durable.scenarios import build

pytestmark = pytest.mark.filterwarnings("ignore:Potential duplicate Task completion")


class Trouble:
    """A proxy before the table service; `share` of the requests meet a fault."""

    def __init__(self, target: str, seed: int) -> None:
        self.target = target
        self.dice = random.Random(seed)
        self.share = 0.0
        self.away = False
        self.met = 0

    async def handle(self, request: web.Request) -> web.StreamResponse:
        body = await request.read()
        fault = self.dice.random() if self.dice.random() < self.share else 1.0
        if self.away or fault < 0.25:
            self.met += 1
            return web.Response(status=503, text="ServerBusy")
        if fault < 0.4:
            self.met += 1
            return self.hang_up(request)
        headers = {name: value for name, value in request.headers.items() if name.lower() not in ("host", "content-length")}
        async with (
            aiohttp.ClientSession() as session,
            session.request(request.method, URL(self.target + request.raw_path, encoded=True), headers=headers, data=body) as reply,
        ):
            answer = await reply.read()
            if fault < 0.9:
                self.met += 1
                if fault < 0.75:
                    return self.hang_up(request)  # done, but nobody will know
                await asyncio.sleep(0.3)
            kept = {
                name: value
                for name, value in reply.headers.items()
                if name.lower() not in ("content-length", "transfer-encoding", "connection")
            }
            return web.Response(status=reply.status, headers=kept, body=answer)

    def hang_up(self, request: web.Request) -> web.StreamResponse:
        assert request.transport is not None
        request.transport.abort()
        return web.Response()


@asynccontextmanager
async def troubled(storage: str, seed: int) -> AsyncIterator[tuple[str, Trouble]]:
    """A connection string whose tables are reached through the proxy."""
    table = StorageAccount.from_connection_string(storage).endpoints["table"]
    trouble = Trouble(str(URL(table).origin()), seed)
    app = web.Application(client_max_size=10**8)
    app.router.add_route("*", "/{rest:.*}", trouble.handle)
    runner = web.AppRunner(app)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    port = runner.addresses[0][1]
    changed = ";".join(
        f"TableEndpoint=http://127.0.0.1:{port}/devstoreaccount1" if part.startswith("TableEndpoint") else part
        for part in storage.split(";")
    )
    try:
        yield changed, trouble
    finally:
        await runner.cleanup()


@pytest.mark.parametrize("seed", range(3))
def test_faults_are_repeated_and_nothing_is_lost_or_doubled(storage: str, seed: int) -> None:
    async def run() -> None:
        async with troubled(storage, seed) as (connection, trouble):
            invoker = InProcessInvoker(build())
            host = Host(invoker, connection, fresh_hub())
            await host.start()
            trouble.share = 0.15
            expected = {
                "fan": ("fan", {"n": 130}, 8385),
                "any": ("fan_any", {"n": 15}, 105),
                "parents": ("parents", {"n": 5}, 5),
                "numbers": ("numbers", None, [3, "last"]),
                "down": ("counts_down", {"left": 3}, 0),
                "many": ("entity_many", {"n": 20}, 20),
                "chain": ("chain", None, [1, 2]),
            }
            for instance, (name, given, _) in expected.items():
                await host.start_new(name, instance, given)
            for instance, (_, _, output) in expected.items():
                found = await host.wait(instance, seconds=40)
                assert (instance, "Completed", output) == (instance, found["runtimeStatus"], found["output"])
                events = await host.extension.client.history(instance)
                answered = [event.task_id for event in events if event.kind.name == "TaskCompleted"]
                assert len(answered) == len(set(answered))
            assert trouble.met > 5
            trouble.share = 0.0
            # The last signal was sent when its orchestration ended; under faults it may still be on its way.
            deadline = time.monotonic() + 20
            while (counted := (await host.ask("GET", "/entities/counter/down")).body) != b"4" and time.monotonic() < deadline:  # noqa: ASYNC110 - a stranger over HTTP can only ask again
                await asyncio.sleep(0.1)
            assert counted == b"4"
            await host.stop()
            invoker.close()

    asyncio.run(run())


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
