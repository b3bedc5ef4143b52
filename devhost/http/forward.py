"""One request to the web server in a worker, and what comes back: HTTP/1.1 over a connection of its own, each way as it comes.

Why not an HTTP client's: what has come of a reply that then breaks off has to reach the client (aiohttp's reader drops it), and the bytes of a
body are cut out of their framing here already, for requests.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass

from devhost.http.flow import Flow
from devhost.http.head import BadHead
from devhost.http.incoming import Body
from devhost.http.message import RequestBody

_READ_AHEAD = 1 << 16


class Broken(Exception):
    """The worker does not answer, or not to the end."""


@dataclass(frozen=True, slots=True)
class ReplyHead:
    """Status and headers, as the worker sent them."""

    status: int
    headers: list[tuple[str, str]]


class WorkerConnection(Flow):
    """A connection to a worker, for one request: `send`, `head`, then the pieces of the body, and `close` at any time."""

    def __init__(self, silence_seconds: float) -> None:
        """`silence_seconds`: after so long without a byte either way, the worker is given up."""
        super().__init__()
        self._silence = silence_seconds
        self._wanted = asyncio.Event()
        """Set when the body may be sent: at once, or when a worker that was asked first has said so."""
        self._body: Body | None = None
        self._patience: asyncio.Timeout | None = None

    # What the event loop calls

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        self._incoming.feed(data)
        if len(self._incoming) > _READ_AHEAD and self._transport is not None:
            self._transport.pause_reading()

    def eof_received(self) -> bool:
        self._incoming.end()
        return False

    def connection_lost(self, _exc: Exception | None) -> None:
        self._incoming.end()
        self._drained.set()

    # What the exchange calls

    async def open(self, port: int) -> None:
        """Raises:
        Broken: nothing listens there.
        """
        try:
            await asyncio.get_running_loop().create_connection(lambda: self, "127.0.0.1", port)
        except OSError as error:
            raise Broken(f"the worker's web server does not answer: {error}") from None

    def close(self) -> None:
        """Ends the connection, by which the worker learns that nobody waits any more."""
        if self._transport is not None:
            self._transport.abort()

    async def send(self, method: str, target: str, headers: Mapping[str, str], body: RequestBody | None) -> None:
        """Sends a request; without a length among its headers, a body is sent in chunks.

        Raises:
            BadHead, ConnectionResetError: what reading the body raises.
        """
        assert self._transport is not None
        is_chunked = body is not None and "content-length" not in headers
        framing = ["transfer-encoding: chunked"] if is_chunked else []
        lines = [f"{method} {target} HTTP/1.1", *(f"{name}: {value}" for name, value in headers.items()), *framing]
        self._transport.write(("\r\n".join(lines) + "\r\n\r\n").encode("utf-8", "surrogateescape"))
        if body is None:
            return
        if headers.get("expect", "").lower() == "100-continue":
            await self._wanted.wait()
        async for piece in body.pieces():
            if self._transport.is_closing():
                return
            self._transport.write(b"%x\r\n%b\r\n" % (len(piece), piece) if is_chunked else piece)
            await self._drained.wait()
            if self._patience is not None:
                self._patience.reschedule(asyncio.get_running_loop().time() + self._silence)
        if is_chunked:
            self._transport.write(b"0\r\n\r\n")

    async def head(self, method: str) -> ReplyHead:
        """The head of the reply to a request with that method.

        Raises:
            Broken: there will be none.
        """
        async with self._reading() as self._patience:
            while True:
                block = await self._incoming.head()
                if block is None:
                    raise ConnectionResetError
                found = _read_reply_head(block)
                if found.status >= 200:
                    break
                self._wanted.set()
        self._patience = None
        self._body = Body(self._incoming, length=_body_length(method, found))
        return found

    def __aiter__(self) -> AsyncIterator[bytes]:
        return self

    async def __anext__(self) -> bytes:
        """The next piece of the body.

        Raises:
            Broken: it ends before its end.
        """
        assert self._body is not None
        async with self._reading():
            if piece := await self._body.next():
                return piece
        raise StopAsyncIteration

    @contextlib.asynccontextmanager
    async def _reading(self) -> AsyncIterator[asyncio.Timeout]:
        try:
            async with asyncio.timeout(self._silence) as patience:
                yield patience
        except TimeoutError:
            raise Broken(f"nothing came from the function for {self._silence:g} s, after which the real host gives up as well") from None
        except ConnectionError:
            raise Broken("the reply breaks off: what makes its body has failed, or its worker has ended") from None
        except (BadHead, ValueError):
            raise Broken("the worker's web server does not speak HTTP/1.1") from None


def _read_reply_head(block: bytes) -> ReplyHead:
    """Raises:
    ValueError: it is none.
    """
    first, *lines = block.decode("latin-1").split("\r\n")
    protocol, status, *_ = first.split(" ")
    if not protocol.startswith("HTTP/1."):
        raise ValueError(first)
    fields = (line.partition(":") for line in lines)
    return ReplyHead(int(status), [(name, value.strip(" \t")) for name, _, value in fields])


def _body_length(method: str, head: ReplyHead) -> int | None:
    """How many bytes follow; None when they come in chunks.

    Raises:
        ValueError: it does not say.
    """
    if method == "HEAD" or head.status in (204, 304):
        return 0
    names = {name.lower(): value for name, value in head.headers}
    return None if "transfer-encoding" in names else int(names["content-length"])
