"""A small HTTP/1.1 server on asyncio.

Why not a library's: the contract includes what the real web server does with odd requests (raw paths, unknown methods, limits) and how it
frames replies (chunked when a function has a body, a length when not), and a parser that repairs or refuses those cannot show it.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import socket
import time
from email.utils import formatdate
from functools import lru_cache

from devhost.http.head import MAX_HEADERS_SIZE, MAX_REQUEST_LINE, BadHead, read_head
from devhost.http.message import PHRASES, Handler, Reply, Request

MAX_BODY = 104_857_600

_log = logging.getLogger("Host.Http")
_READ_AHEAD = 1 << 20
_MAX_CHUNK_LINE = 1024


class HttpServer:
    """Listens on one loopback port and hands each request to `handler`."""

    def __init__(self, handler: Handler) -> None:
        self.handler = handler
        self.connections: set[_Connection] = set()
        self.is_stopping = False
        self._all_closed = asyncio.Event()
        self._server: asyncio.Server | None = None

    async def listen(self, port: int, host: str = "127.0.0.1") -> int:
        """Opens the port (0 picks a free one) and returns it.

        Raises:
            OSError: it is taken.
        """
        self._server = await asyncio.get_running_loop().create_server(lambda: _Connection(self), host, port, backlog=1024)
        port_in_use: int = self._server.sockets[0].getsockname()[1]
        return port_in_use

    async def listen_on(self, bound: socket.socket) -> None:
        """Opens a port that has been bound before.

        Raises:
            OSError: somebody else listens on it.
        """
        self._server = await asyncio.get_running_loop().create_server(lambda: _Connection(self), sock=bound, backlog=1024)

    def opened(self, connection: _Connection) -> None:
        """A connection has been made."""
        self.connections.add(connection)
        self._all_closed.clear()

    def closed(self, connection: _Connection) -> None:
        """A connection has ended."""
        self.connections.discard(connection)
        if not self.connections:
            self._all_closed.set()

    async def stop_listening(self) -> None:
        """Takes no new connections, closes the idle ones; replies that are still under way say `Connection: close`."""
        self.is_stopping = True
        if self._server is not None:
            self._server.close()
        for connection in list(self.connections):
            connection.close_when_idle()

    async def stop(self, grace_seconds: float = 1.0) -> None:
        """Closes everything, after what is under way or `grace_seconds`."""
        await self.stop_listening()
        if self.connections:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(grace_seconds):
                    await self._all_closed.wait()
        for connection in list(self.connections):
            connection.abort()


class _Connection(asyncio.Protocol):
    """One connection: requests one after the other, each read whole before it is handled."""

    def __init__(self, server: HttpServer) -> None:
        self._server = server
        self._buffer = bytearray()
        self._arrived = asyncio.Event()
        self._drained = asyncio.Event()
        self._drained.set()
        self._is_eof = False
        self._is_busy = False
        self._transport: asyncio.Transport | None = None
        self._task: asyncio.Task[None] | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        self._server.opened(self)
        self._task = asyncio.get_running_loop().create_task(self._serve(transport))

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        self._arrived.set()
        if self._is_busy and len(self._buffer) > _READ_AHEAD and self._transport is not None:
            self._transport.pause_reading()

    def eof_received(self) -> bool:
        self._is_eof = True
        self._arrived.set()
        return True  # a client may close its half and still want the answer

    def connection_lost(self, _exc: Exception | None) -> None:
        self._is_eof = True
        self._arrived.set()
        self._drained.set()
        self._server.closed(self)
        if self._task is not None and not self._is_busy:
            self._task.cancel()

    def pause_writing(self) -> None:
        self._drained.clear()

    def resume_writing(self) -> None:
        self._drained.set()

    def close_when_idle(self) -> None:
        if not self._is_busy and self._transport is not None:
            self._transport.close()

    def abort(self) -> None:
        if self._task is not None:
            self._task.cancel()
        if self._transport is not None:
            self._transport.abort()

    async def _serve(self, transport: asyncio.Transport) -> None:
        try:
            while await self._serve_one(transport):
                pass
        except (ConnectionError, asyncio.CancelledError):
            pass
        finally:
            transport.close()

    async def _serve_one(self, transport: asyncio.Transport) -> bool:
        """Reads and answers one request; False when the connection is to be closed."""
        request: Request | None = None
        try:
            head = await self._read_head()
            if head is None:
                return False
            self._is_busy = True
            request = read_head(head)
            request = await self._with_body(transport, request)
        except BadHead as bad:
            reply = Reply(status=bad.status, close=True)
            keep = False
        else:
            if request is None:
                return False
            reply = await self._handle(request)
            keep = _keeps_alive(request) and not reply.close and not self._server.is_stopping
        keep = write_reply(transport, request, reply, keep=keep)
        self._is_busy = False
        await self._drained.wait()
        if not transport.is_closing():
            transport.resume_reading()
        return keep

    async def _handle(self, request: Request) -> Reply:
        try:
            return await self._server.handler(request)
        except Exception:  # noqa: BLE001 - whatever a handler raises, the client gets an answer
            _log.exception("%s %s could not be answered", request.method, request.raw_path)
            return Reply(status=500)

    async def _more(self) -> bool:
        """Waits for further bytes; False when there will be none."""
        if self._is_eof:
            return False
        self._arrived.clear()
        if self._transport is not None and not self._transport.is_closing():
            self._transport.resume_reading()
        await self._arrived.wait()
        return True

    async def _read_head(self) -> bytes | None:
        start = 0
        while True:
            while self._buffer.startswith(b"\r\n"):
                del self._buffer[:2]
            end = self._buffer.find(b"\r\n\r\n", max(0, start - 3))
            if end >= 0:
                head = bytes(self._buffer[:end])
                del self._buffer[: end + 4]
                return head
            start = len(self._buffer)
            line_end = self._buffer.find(b"\r\n", 0, MAX_REQUEST_LINE + 2)
            if line_end < 0 and start > MAX_REQUEST_LINE:
                raise BadHead(414)
            if line_end >= 0 and start - line_end - 2 > MAX_HEADERS_SIZE:
                raise BadHead(431)
            if not await self._more():
                if self._buffer:
                    raise BadHead(400)
                return None

    async def _with_body(self, transport: asyncio.Transport, request: Request) -> Request | None:
        length_text = request.headers.get("content-length")
        if length_text is not None and not (length_text.isascii() and length_text.isdigit()):
            raise BadHead(400)
        length = int(length_text or 0)
        if not request.is_chunked and not length:
            return request
        if not request.is_chunked and length > MAX_BODY:
            raise BadHead(500)
        if request.headers.get("expect", "").lower() == "100-continue":
            transport.write(b"HTTP/1.1 100 Continue\r\n\r\n")
        body = await self._read_chunks() if request.is_chunked else await self._read_bytes(length)
        if body is None:
            return None
        return Request(
            method=request.method, path=request.path, raw_path=request.raw_path, query=request.query, has_query=request.has_query,
            headers=request.headers, body=body, is_chunked=request.is_chunked, version=request.version,
        )  # fmt: skip

    async def _read_bytes(self, length: int) -> bytes | None:
        while len(self._buffer) < length:
            if not await self._more():
                return None
        body = bytes(self._buffer[:length])
        del self._buffer[:length]
        return body

    async def _read_chunks(self) -> bytes | None:
        body = bytearray()
        while True:
            line = await self._read_line()
            if line is None:
                return None
            size_text = line.partition(b";")[0].strip()
            try:
                size = int(size_text, 16)
            except ValueError:
                raise BadHead(400) from None
            if size < 0 or len(body) + size > MAX_BODY:
                raise BadHead(500)
            if not size:
                while line := await self._read_line():  # trailers
                    pass
                return bytes(body)
            chunk = await self._read_bytes(size + 2)
            if chunk is None:
                return None
            if not chunk.endswith(b"\r\n"):
                raise BadHead(400)
            body += chunk[:-2]

    async def _read_line(self) -> bytes | None:
        while (end := self._buffer.find(b"\r\n")) < 0:
            if len(self._buffer) > _MAX_CHUNK_LINE:
                raise BadHead(400)
            if not await self._more():
                return None
        line = bytes(self._buffer[:end])
        del self._buffer[: end + 2]
        return line


def _keeps_alive(request: Request) -> bool:
    return request.version == "1.1" and "close" not in request.headers.get("connection", "").lower()


def http_date() -> str:
    """The `Date` header, made once a second."""
    return _date_of(int(time.time()))


@lru_cache(maxsize=1)
def _date_of(second: int) -> str:
    return formatdate(second, usegmt=True)


def write_reply(transport: asyncio.Transport, request: Request | None, reply: Reply, *, keep: bool) -> bool:
    """Sends a reply in the real server's framing and returns whether the connection can be used again."""
    keep = keep and not reply.close
    names = {name.lower() for name, _ in reply.headers}
    lines = [f"HTTP/1.1 {reply.status} {PHRASES.get(reply.status, '')}"]
    lines += [f"{name}: {value}" for name, value in reply.headers]
    is_head = request is not None and request.method.upper() == "HEAD"
    body = b"" if is_head or reply.status in (204, 205, 304) or reply.status < 200 else reply.body
    own_length = next((int(value) for name, value in reply.headers if name.lower() == "content-length"), None)
    chunked = False
    if own_length is not None:
        keep = keep and (own_length == len(body) or is_head)
    elif is_head or reply.status in (204, 304) or reply.status < 200:
        pass
    elif body and reply.is_streamed:
        if request is not None and request.version == "1.1":
            lines.append("Transfer-Encoding: chunked")
            chunked = True
    else:
        lines.append(f"Content-Length: {len(body)}")
    if not keep and "connection" not in names:
        lines.append("Connection: close")
    if "date" not in names:
        lines.append(f"Date: {http_date()}")
    if "server" not in names:
        lines.append("Server: Kestrel")
    head = ("\r\n".join(lines) + "\r\n\r\n").encode("latin-1")
    parts = (head, b"%x\r\n" % len(body), body, b"\r\n0\r\n\r\n") if chunked else (head, body)
    transport.write(b"".join(parts))
    return keep
