"""A proxy before the three storage services that throttles, breaks, swallows, cuts and delays as the dice say."""

from __future__ import annotations

import asyncio
import collections
import random
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager

import aiohttp
from aiohttp import web
from yarl import URL

from devhost.storage.account import StorageAccount

FAULTS: Mapping[str, int] = {
    "throttled": 2,  # 429 with Retry-After
    "busy": 3,  # 503
    "broken": 3,  # 500, nothing done
    "done but broken": 3,  # 500, and yet it was done
    "reset": 3,  # nothing done
    "done and reset": 5,
    "cut": 4,  # done, and half of the reply
    "slow": 3,
    "swallowed": 1,  # no answer at all, nothing done
    "done and swallowed": 1,
}
"""What can happen to a request, and how often compared with the others."""
_HOP = frozenset({"content-length", "transfer-encoding", "connection", "keep-alive", "host"})


class Trouble:
    """One proxy on three ports; `share` of the requests meet a fault."""

    def __init__(self, targets: Mapping[str, str], seed: int, patience: float) -> None:
        self._targets = targets
        """Service → origin."""
        self._dice = random.Random(seed)
        self._patience = patience
        self._session: aiohttp.ClientSession | None = None
        self._ports: dict[int, str] = {}
        self.share = 0.0
        self.kinds: Mapping[str, int] = FAULTS
        self.away = False
        """Storage answers nothing at all: every connection is cut."""
        self.met: collections.Counter[tuple[str, str]] = collections.Counter()
        """(service, fault) → how often."""
        self.seen: collections.Counter[str] = collections.Counter()

    def listens(self, port: int, service: str) -> None:
        self._ports[port] = service

    def faults_met(self, service: str) -> set[str]:
        return {fault for name, fault in self.met if name == service}

    async def handle(self, request: web.Request) -> web.StreamResponse:
        body = await request.read()
        assert request.transport is not None
        service = self._ports[request.transport.get_extra_info("sockname")[1]]
        self.seen[service] += 1
        fault = "away" if self.away else ""
        if not fault and self._dice.random() < self.share:
            fault = self._dice.choices(list(self.kinds), list(self.kinds.values()))[0]
        if fault:
            self.met[service, fault] += 1
        match fault:
            case "away" | "reset":
                return hang_up(request)
            case "throttled":
                return web.Response(status=429, text="TooManyRequests", headers={"Retry-After": "1"})
            case "busy":
                return web.Response(status=503, text="ServerBusy")
            case "broken":
                return web.Response(status=500, text="InternalError")
            case "swallowed":
                await asyncio.sleep(self._patience)
                return hang_up(request)
            case "slow":
                await asyncio.sleep(self._dice.uniform(0.1, 0.6))
        status, headers, answer = await self._forward(service, request, body)
        match fault:
            case "done but broken":
                return web.Response(status=500, text="InternalError")
            case "done and swallowed":
                await asyncio.sleep(self._patience)
                return hang_up(request)
            case "done and reset":
                return hang_up(request)
            case "cut":
                return await _cut(request, status, headers, answer)
        return web.Response(status=status, headers=headers, body=answer)

    async def _forward(self, service: str, request: web.Request, body: bytes) -> tuple[int, dict[str, str], bytes]:
        if self._session is None:
            self._session = aiohttp.ClientSession(auto_decompress=False, connector=aiohttp.TCPConnector(limit=0, force_close=True))
        headers = {name: value for name, value in request.headers.items() if name.lower() not in _HOP}
        url = URL(self._targets[service] + request.raw_path, encoded=True)
        async with self._session.request(request.method, url, headers=headers, data=body) as reply:
            kept = {name: value for name, value in reply.headers.items() if name.lower() not in _HOP}
            return reply.status, kept, await reply.read()

    async def close(self) -> None:
        if self._session is not None:
            await self._session.close()


def hang_up(request: web.Request) -> web.StreamResponse:
    if request.transport is not None:
        request.transport.abort()
    return web.Response()


async def _cut(request: web.Request, status: int, headers: Mapping[str, str], answer: bytes) -> web.StreamResponse:
    response = web.StreamResponse(status=status, headers=headers)
    response.content_length = len(answer)
    await response.prepare(request)
    await response.write(answer[: len(answer) // 2])
    return hang_up(request)


@asynccontextmanager
async def troubled(storage: str, seed: int, *, patience: float = 2.0) -> AsyncIterator[tuple[str, Trouble]]:
    """A connection string whose three services are reached through the proxy. `patience`: seconds that a swallowed request stays open."""
    endpoints = StorageAccount.from_connection_string(storage).endpoints
    trouble = Trouble({service: str(URL(endpoint).origin()) for service, endpoint in endpoints.items()}, seed, patience)
    app = web.Application(client_max_size=10**8)
    app.router.add_route("*", "/{rest:.*}", trouble.handle)
    runner = web.AppRunner(app, shutdown_timeout=0.5)
    await runner.setup()
    changed = storage
    for service, endpoint in endpoints.items():
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        port = runner.addresses[-1][1]
        trouble.listens(port, service)
        changed = changed.replace(str(URL(endpoint).origin()), f"http://127.0.0.1:{port}")
    try:
        yield changed, trouble
    finally:
        await runner.cleanup()
        await trouble.close()
