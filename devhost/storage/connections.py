"""HTTP/1.1 connections to one service: kept alive, reused, limited in number. One request at a time on each.

Why not a library's: the engine sends several requests for every instance it runs, and a general client (cookies, redirects, proxies, tracing,
streams) takes three to four times as long over each as this one. Whatever goes wrong is an `OSError` (`TimeoutError` is one), and a
connection on which something went wrong is never used again.
"""

from __future__ import annotations

import asyncio
import ssl
from collections import deque
from collections.abc import Iterator, Mapping
from typing import Final
from urllib.parse import urlsplit

from devhost.storage.http import Answer

_MOST: Final = 48
_CONNECT_SECONDS: Final = 5.0
_LONGEST_SECONDS: Final = 60.0
"""For one request and its whole answer, however steadily it trickles in."""
_IDLE_SECONDS: Final = 4.0
"""Azurite drops idle connections after 5 s; one that may be gone is not tried."""
_ONE_WRITE_BYTES: Final = 1 << 16
_NO_BODY: Final = frozenset({204, 304})


class Headers(Mapping[str, str]):
    """The headers of an answer, found without regard to case but listed as they came; of one that comes twice, the last."""

    __slots__ = ("_values",)

    def __init__(self, lines: list[str]) -> None:
        self._values = {name.lower(): (name, value.strip()) for name, _, value in (line.partition(":") for line in lines)}

    def __getitem__(self, name: str) -> str:
        return self._values[name.lower()][1]

    def __iter__(self) -> Iterator[str]:
        return (name for name, _ in self._values.values())

    def __len__(self) -> int:
        return len(self._values)


class Connections:
    """The connections to one service, by its base URL."""

    def __init__(self, base: str) -> None:
        parts = urlsplit(base)
        self._host = parts.hostname or ""
        self._is_tls = parts.scheme == "https"
        self._port = parts.port or (443 if self._is_tls else 80)
        self._prefix = parts.path.rstrip("/")
        self._host_line = f" HTTP/1.1\r\nHost: {parts.netloc.rpartition('@')[2]}\r\n"
        self._context: ssl.SSLContext | None = None
        self._free: list[_Connection] = []
        self._open: set[_Connection] = set()
        self._starting = 0
        self._waiting: deque[asyncio.Future[None]] = deque()

    async def request(self, method: str, target: str, headers: Mapping[str, str], body: bytes | None, *, silence: float) -> Answer:
        """Sends one request and returns its answer, whatever its status.

        `target` is what follows the base URL, percent-encoded; `silence` is for how many seconds the service may say nothing.

        Raises:
            OSError: no answer, or half of one; whether the request took effect is unknown.
            ValueError: a header that would break out of its line.
        """
        head = self._head(method, target, headers, body)
        connection = await self._take()
        try:
            answer = await connection.exchange(head, body, is_head=method == "HEAD", silence=silence)
        except BaseException:
            connection.drop()
            raise
        finally:
            self._wake()
        if connection.is_usable:
            connection.idle_since = asyncio.get_running_loop().time()
            self._free.append(connection)
        return answer

    async def close(self) -> None:
        """Closes every connection; requests under way fail."""
        for connection in list(self._open):
            connection.drop()
        self._free.clear()
        await asyncio.sleep(0)  # lets the transports close their sockets

    def _head(self, method: str, target: str, headers: Mapping[str, str], body: bytes | None) -> bytes:
        lines = "".join([f"{name}: {value}\r\n" for name, value in headers.items()])
        if lines.count("\n") != len(headers) or lines.count("\r") != len(headers):
            raise ValueError("a header for storage has a line break in it")
        if body is not None or method not in ("GET", "HEAD"):
            lines += f"Content-Length: {len(body or b'')}\r\n"
            if body and not any(name.lower() == "content-type" for name in headers):
                lines += "Content-Type: application/octet-stream\r\n"
        return f"{method} {self._prefix}{target}{self._host_line}{lines}\r\n".encode()

    async def _take(self) -> _Connection:
        while True:
            oldest = asyncio.get_running_loop().time() - _IDLE_SECONDS
            while self._free:
                connection = self._free.pop()
                if connection.is_usable and connection.idle_since > oldest:
                    return connection
                connection.drop()
            if len(self._open) + self._starting < _MOST:
                return await self._connect()
            place = asyncio.get_running_loop().create_future()
            self._waiting.append(place)
            try:
                await place
            except asyncio.CancelledError:
                if place.done() and not place.cancelled():
                    self._wake()
                raise

    async def _connect(self) -> _Connection:
        if self._is_tls and self._context is None:
            self._context = ssl.create_default_context()
        self._starting += 1
        try:
            async with asyncio.timeout(_CONNECT_SECONDS):
                _, connection = await asyncio.get_running_loop().create_connection(
                    lambda: _Connection(self._open), self._host, self._port, ssl=self._context
                )
        except BaseException:
            self._wake()
            raise
        finally:
            self._starting -= 1
        return connection

    def _wake(self) -> None:
        while self._waiting:
            place = self._waiting.popleft()
            if not place.done():
                place.set_result(None)
                return


class _Connection(asyncio.Protocol):
    """One connection: `exchange` writes a request and returns when its answer is whole."""

    def __init__(self, open_ones: set[_Connection]) -> None:
        self._open_ones = open_ones
        self._transport: asyncio.Transport | None = None
        self._reply: _Reply | None = None
        self._answer: asyncio.Future[Answer] | None = None
        self._heard = 0.0
        self.idle_since = 0.0

    @property
    def is_usable(self) -> bool:
        return self._transport is not None and not self._transport.is_closing()

    async def exchange(self, head: bytes, body: bytes | None, *, is_head: bool, silence: float) -> Answer:
        loop = asyncio.get_running_loop()
        transport = self._transport
        if transport is None or transport.is_closing():
            raise ConnectionResetError("the service closed the connection")
        self._reply, self._answer = _Reply(is_head=is_head), loop.create_future()
        if body and len(body) > _ONE_WRITE_BYTES:
            transport.write(head)
            transport.write(body)
        else:
            transport.write(head + body if body else head)
        self._heard = loop.time()
        watch = loop.call_later(silence, self._listen, silence, self._heard + _LONGEST_SECONDS)
        try:
            return await self._answer
        finally:
            watch.cancel()
            self._reply = self._answer = None

    def _listen(self, silence: float, deadline: float) -> None:
        """Gives up when nothing has come for long; else looks again later."""
        loop = asyncio.get_running_loop()
        due = min(self._heard + silence, deadline)
        if self._answer is None or self._answer.done():
            return
        if loop.time() >= due:
            self._answer.set_exception(TimeoutError(f"Timeout on reading data from socket: nothing came for {silence:g} s"))
        else:
            loop.call_at(due, self._listen, silence, deadline)

    def drop(self) -> None:
        """Closes it at once."""
        self._open_ones.discard(self)
        if self._transport is not None:
            self._transport.abort()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        self._open_ones.add(self)

    def data_received(self, data: bytes) -> None:
        if self._reply is None or self._answer is None or self._answer.done():
            self.drop()  # an answer nobody asked for: whose is the next one?
            return
        self._heard = asyncio.get_running_loop().time()
        try:
            answer = self._reply.feed(data)
        except ValueError as problem:
            self._answer.set_exception(ConnectionError(f"the service's answer is not HTTP: {problem}"))
            return
        if answer is not None:
            if self._reply.is_last and self._transport is not None:
                self._transport.close()
            self._answer.set_result(answer)

    def eof_received(self) -> None:
        if self._reply is not None and self._answer is not None and not self._answer.done():
            answer = self._reply.end()
            if answer is not None:
                self._answer.set_result(answer)

    def connection_lost(self, exc: Exception | None) -> None:
        self._open_ones.discard(self)
        if self._answer is not None and not self._answer.done():
            self._answer.set_exception(ConnectionResetError(str(exc) if exc else "the service closed the connection"))


class _Reply:
    """Reads one answer from the bytes as they come."""

    def __init__(self, *, is_head: bool) -> None:
        self._is_head = is_head
        self._buffer = bytearray()
        self._status = 0
        self._headers = Headers([])
        self._length: int | None = None
        """Bytes of the body; None until the service hangs up, or when it comes in chunks."""
        self._chunks: list[bytes] | None = None
        self.is_last = False
        """Whether the service closes the connection after it."""

    def feed(self, data: bytes) -> Answer | None:
        """Takes more bytes; returns the answer once it is whole.

        Raises:
            ValueError: this is not HTTP/1.1.
        """
        self._buffer += data
        while not self._status:
            end = self._buffer.find(b"\r\n\r\n")
            if end < 0:
                return None
            self._read_head(bytes(self._buffer[:end]))
            del self._buffer[: end + 4]
        if self._chunks is not None:
            return self._read_chunks()
        if self._length is None or len(self._buffer) < self._length:
            return None
        if len(self._buffer) > self._length:
            raise ValueError("it is longer than it says")
        return Answer(self._status, self._headers, bytes(self._buffer))

    def end(self) -> Answer | None:
        """The answer that ends because the service hung up; None for half of one."""
        whole = self._status and self._length is None and self._chunks is None
        return Answer(self._status, self._headers, bytes(self._buffer)) if whole else None

    def _read_head(self, head: bytes) -> None:
        lines = head.decode("latin-1").split("\r\n")
        version, _, rest = lines[0].partition(" ")
        status = rest[:3]
        if not version.startswith("HTTP/1.") or not status.isdigit():
            raise ValueError(lines[0][:80])
        if status[0] == "1":
            return  # an interim answer; the real one follows
        self._status, self._headers = int(status), Headers(lines[1:])
        connection = self._headers.get("connection", "").lower()
        self.is_last = "close" in connection or (version == "HTTP/1.0" and "keep-alive" not in connection)
        if self._is_head or self._status in _NO_BODY:
            self._length = 0
        elif "chunked" in self._headers.get("transfer-encoding", "").lower():
            self._chunks = []
        elif "content-length" in self._headers:
            self._length = int(self._headers["content-length"])
        else:
            self.is_last = True

    def _read_chunks(self) -> Answer | None:
        assert self._chunks is not None
        buffer, position = self._buffer, 0
        while (line_end := buffer.find(b"\r\n", position)) >= 0:
            size = int(buffer[position:line_end].partition(b";")[0], 16)
            if size == 0:
                end = line_end if buffer[line_end : line_end + 4] == b"\r\n\r\n" else buffer.find(b"\r\n\r\n", line_end)
                if end < 0:
                    break
                return Answer(self._status, self._headers, b"".join(self._chunks))
            start = line_end + 2
            if len(buffer) < start + size + 2:
                break
            self._chunks.append(bytes(buffer[start : start + size]))
            position = start + size + 2
        del buffer[:position]
        return None
