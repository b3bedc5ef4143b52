"""What `benchmarks/host.py` measures with: an Azurite and a host of its own, their CPU seconds, a lean HTTP client, a counter of storage calls."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import re
import tempfile
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self
from urllib.parse import quote, urlsplit

from tools.stack import Azurite, Host

APP = Path(__file__).resolve().parent / "host_app"
API = "/runtime/webhooks/durabletask"
_TICK = os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True)
class Cpu:
    """CPU seconds of the processes at work, the driver's (this process) among them."""

    host: float
    worker: float
    azurite: float
    driver: float

    def since(self, before: Cpu) -> Cpu:
        return Cpu(self.host - before.host, self.worker - before.worker, self.azurite - before.azurite, self.driver - before.driver)

    def each(self, count: int) -> dict[str, float]:
        """Milliseconds for one of `count` things; `all` leaves the driver out."""
        parts = {"host": self.host, "worker": self.worker, "azurite": self.azurite}
        spent = {name: round(seconds * 1000 / count, 2) for name, seconds in parts.items()}
        return spent | {"all": round(sum(parts.values()) * 1000 / count, 2), "driver": round(self.driver * 1000 / count, 2)}


def cpu_seconds(pid: int) -> float:
    """User and system seconds of a living process."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / _TICK


def resident_mb(pid: int) -> float:
    """Resident memory."""
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 1e6


class Stack:
    """A host with `host_app` on an Azurite in memory. Every scenario has a new one: old rows make Azurite slower."""

    def __init__(self, azurite: Azurite, folder: Path) -> None:
        self.azurite = azurite
        self.folder = folder
        self.notes = folder / "notes"
        self.connection_string = azurite.connection_string
        self.host: Host
        self.workers: list[int] = []

    @classmethod
    @contextlib.contextmanager
    def running(cls) -> Iterator[Self]:
        """Storage alone; `start_host` brings the host."""
        with tempfile.TemporaryDirectory(prefix="devhost-bench-") as folder, Azurite.start(log=Path(folder) / "azurite.log") as azurite:
            stack = cls(azurite, Path(folder))
            try:
                yield stack
            finally:
                if hasattr(stack, "host"):
                    stack.host.stop()

    def start_host(self, *, plain_sdk: bool = False) -> Self:
        log = self.folder / "host.log"
        settings = {
            "BENCH_NOTES": str(self.notes),
            "DEVHOST_PLAIN_SDK": "1" if plain_sdk else "",
            "PYTHONDONTWRITEBYTECODE": "",  # a second start finds compiled modules, as on any machine that has run the host before
            "PYTHONPYCACHEPREFIX": str(self.folder / "bytecode"),
        }
        self.host = Host.start(connection_string=self.connection_string, log=log, app=APP, settings=settings, health=None)
        self.workers = json.loads(log.with_suffix(".ready.json").read_text())["worker_pids"]
        return self

    def cpu(self) -> Cpu:
        workers = sum(map(cpu_seconds, self.workers))
        return Cpu(cpu_seconds(self.host.child.pid), workers, cpu_seconds(self.azurite.child.pid), cpu_seconds(os.getpid()))


class Client:
    """Keep-alive connections to one host; each request takes a free one. Costs a third of a general client's time, and shares the cores."""

    def __init__(self, port: int) -> None:
        self._port = port
        self._free: list[tuple[asyncio.StreamReader, asyncio.StreamWriter]] = []

    async def request(self, method: str, path: str, body: object = None) -> tuple[int, Any]:
        """Status and parsed JSON body (None when empty)."""
        reader, writer = self._free.pop() if self._free else await asyncio.open_connection("127.0.0.1", self._port)
        data = b"" if body is None else json.dumps(body).encode()
        head = f"{method} {path} HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: {len(data)}\r\n\r\n"
        writer.write(head.encode() + data)
        found = await reader.readuntil(b"\r\n\r\n")
        length = re.search(rb"content-length: *(\d+)", found, re.IGNORECASE)
        content = await reader.readexactly(int(length.group(1)) if length else 0)
        self._free.append((reader, writer))
        return int(found[9:12]), json.loads(content) if content else None

    async def start(self, name: str, given: object) -> str:
        status, reply = await self.request("POST", f"{API}/orchestrators/{name}", given)
        if status != 202:
            raise SystemExit(f"{name} could not be started: {status} {reply}")
        return str(reply["id"])

    async def run(self, name: str, given: object, *, output: object) -> None:
        """Starts an orchestration and returns at its end, for which the host itself waits."""
        status, reply = await self.request("POST", f"{API}/orchestrators/{name}?timeout=300&pollingInterval=0.1", given)
        if status != 200 or reply != output:
            raise SystemExit(f"{name} of {given} did not end with {output}: {status} {reply}")

    async def status(self, instance_id: str) -> dict[str, Any]:
        _, reply = await self.request("GET", f"{API}/instances/{quote(instance_id, safe='')}")
        return dict(reply)

    async def close(self) -> None:
        for _, writer in self._free:
            writer.close()
        self._free.clear()


@contextlib.asynccontextmanager
async def counted(connection_string: str) -> AsyncIterator[tuple[str, Counter[str]]]:
    """A relay in front of every storage service that counts requests by service and method, and the connection string that leads through it."""
    calls: Counter[str] = Counter()
    servers: list[asyncio.Server] = []
    through = connection_string
    for service in ("Blob", "Queue", "Table"):
        found = re.search(rf"{service}Endpoint=([^;]+)", connection_string)
        assert found is not None
        port = urlsplit(found.group(1)).port
        assert port is not None
        relay = _Relay(port, service.lower(), calls)
        server = await asyncio.start_server(relay.serve, "127.0.0.1", 0, limit=1 << 24)
        servers.append(server)
        through = through.replace(f"127.0.0.1:{port}", f"127.0.0.1:{server.sockets[0].getsockname()[1]}")
    try:
        yield through, calls
    finally:
        for server in servers:
            server.close()


class _Relay:
    """Passes bytes on in both directions and reads just enough of the requests to know where each begins."""

    def __init__(self, port: int, service: str, calls: Counter[str]) -> None:
        self._port, self._service, self._calls = port, service, calls

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        there, back = await asyncio.open_connection("127.0.0.1", self._port)
        replies = asyncio.create_task(self._copy(there, writer))
        with contextlib.suppress(asyncio.IncompleteReadError, ConnectionError):
            while True:
                head = await reader.readuntil(b"\r\n\r\n")
                method = head.split(b" ", 1)[0].decode()
                self._calls[f"{self._service} {'BATCH' if b'/$batch' in head.split(bytes([13]), 1)[0] else method}"] += 1
                length = re.search(rb"content-length: *(\d+)", head, re.IGNORECASE)
                back.write(head + await reader.readexactly(int(length.group(1)) if length else 0))
        replies.cancel()
        back.close()
        writer.close()

    async def _copy(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(ConnectionError):
            while data := await reader.read(1 << 16):
                writer.write(data)
            writer.close()
