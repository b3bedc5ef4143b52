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
from dataclasses import replace
from email.utils import formatdate
from functools import lru_cache

from devhost.http.flow import Flow
from devhost.http.head import BadHead, read_head
from devhost.http.incoming import Body
from devhost.http.message import PHRASES, Handler, Reply, Request

_log = logging.getLogger("Host.Http")
_READ_AHEAD = 1 << 20
_CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"


class HttpServer:
    """Listens on one loopback port and hands each request to `handler`."""

    def __init__(self, handler: Handler, *, leaves_bodies_unread: bool = False) -> None:
        """`leaves_bodies_unread`: the handler reads them itself, by `Request.whole` or piece by piece."""
        self.handler = handler
        self.leaves_bodies_unread = leaves_bodies_unread
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


class _Connection(Flow):
    """One connection: requests one after the other."""

    def __init__(self, server: HttpServer) -> None:
        super().__init__()
        self._server = server
        self._is_busy = False
        self._is_sending = False
        """Whether a reply is being sent as it is made, which is to end with the client's interest in it."""
        self._task: asyncio.Task[None] | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        self._server.opened(self)
        self._task = asyncio.get_running_loop().create_task(self._serve(transport))

    def data_received(self, data: bytes) -> None:
        self._incoming.feed(data)
        if self._is_busy and len(self._incoming) > _READ_AHEAD and self._transport is not None:
            self._transport.pause_reading()

    def eof_received(self) -> bool:
        self._end()
        return True  # a client may close its half and still want the answer

    def connection_lost(self, _exc: Exception | None) -> None:
        self._drained.set()
        self._server.closed(self)
        self._end()
        if self._task is not None and not self._is_busy:
            self._task.cancel()

    def _end(self) -> None:
        self._incoming.end()
        if self._is_sending and self._task is not None:
            self._task.cancel()

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
        body: Body | None = None
        try:
            head = await self._incoming.head()
            if head is None:
                return False
            self._is_busy = True
            request = read_head(head)
            body = Body.of(request, self._incoming, lambda: transport.write(_CONTINUE))
            request = replace(request, unread=None if body.is_finished else body, hung_up=self._incoming.ended)
            if not self._server.leaves_bodies_unread:
                request = await request.whole()
            reply = await self._handle(request)
            keep = _keeps_alive(request) and not reply.close and not self._server.is_stopping
        except BadHead as bad:
            reply, keep, body = Reply(status=bad.status, close=True), False, None
        keep = await self._send(transport, request, reply, keep=keep)
        if body is not None:
            keep = await body.drain() and keep
        self._is_busy = False
        await self._drained.wait()
        if keep:
            self._resume()
        return keep

    async def _handle(self, request: Request) -> Reply:
        try:
            return await self._server.handler(request)
        except (BadHead, ConnectionError):
            raise
        except Exception:  # noqa: BLE001 - whatever a handler raises, the client gets an answer
            _log.exception("%s %s could not be answered", request.method, request.raw_path)
            return Reply(status=500)

    async def _send(self, transport: asyncio.Transport, request: Request | None, reply: Reply, *, keep: bool) -> bool:
        if reply.stream is None:
            return write_reply(transport, request, reply, keep=keep)
        self._is_sending = True
        try:
            if self._incoming.ended.is_set():
                raise ConnectionResetError("the client hung up before the reply began")
            self._resume()  # or it would not be heard that the client hangs up
            return await write_stream(transport, request, reply, self._drained, keep=keep)
        except Exception as error:  # noqa: BLE001 - whatever breaks a reply off, its client must not take it for whole
            _log.info("The reply to %s breaks off: %s", request.raw_path if request else "", error)
            transport.abort()
            return False
        finally:
            self._is_sending = False
            await reply.stream.aclose()


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
    is_head = request is not None and request.method.upper() == "HEAD"
    has_no_body = is_head or reply.status in (204, 205, 304) or reply.status < 200
    body = b"" if has_no_body else reply.body
    own_length = next((int(value) for name, value in reply.headers if name.lower() == "content-length"), None)
    framing: tuple[str, ...] = ()
    chunked = False
    if own_length is not None:
        keep = keep and (own_length == len(body) or is_head)
    elif is_head or reply.status in (204, 304) or reply.status < 200:
        pass
    elif body and reply.is_streamed:
        chunked = request is not None and request.version == "1.1"
        framing = (_CHUNKED,) if chunked else ()
    else:
        framing = (f"Content-Length: {len(body)}",)
    keep = keep and not reply.close
    head = _head(reply, framing, keep=keep)
    transport.write(b"".join((head, _chunk(body), _LAST_CHUNK) if chunked else (head, body)))
    return keep


async def write_stream(
    transport: asyncio.Transport, request: Request | None, reply: Reply, drained: asyncio.Event, *, keep: bool
) -> bool:  # fmt: skip
    """Sends a reply whose body is still being made, each piece at once and no faster than the client takes them.

    Raises:
        ConnectionResetError: the client is gone.
        Exception: what the stream raises.
    """
    assert reply.stream is not None
    has_length = any(name.lower() == "content-length" for name, _ in reply.headers)
    chunked = not has_length and request is not None and request.version == "1.1"
    keep = keep and not reply.close and (has_length or chunked)
    transport.write(_head(reply, (_CHUNKED,) if chunked else (), keep=keep))
    async for piece in reply.stream:
        if transport.is_closing():
            raise ConnectionResetError("the client hung up")
        transport.write(_chunk(piece) if chunked else piece)
        await drained.wait()
    if chunked:
        transport.write(_LAST_CHUNK)
    return keep


_CHUNKED = "Transfer-Encoding: chunked"
_LAST_CHUNK = b"0\r\n\r\n"


def _chunk(content: bytes) -> bytes:
    return b"%x\r\n%b\r\n" % (len(content), content)


def _head(reply: Reply, framing: tuple[str, ...], *, keep: bool) -> bytes:
    names = {name.lower() for name, _ in reply.headers}
    lines = [f"HTTP/1.1 {reply.status} {PHRASES.get(reply.status, '')}", *(f"{name}: {value}" for name, value in reply.headers), *framing]
    if not keep and "connection" not in names:
        lines.append("Connection: close")
    if "date" not in names:
        lines.append(f"Date: {http_date()}")
    if "server" not in names:
        lines.append("Server: Kestrel")
    return ("\r\n".join(lines) + "\r\n\r\n").encode("latin-1")
