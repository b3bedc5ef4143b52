"""What a client sends on one connection, as it comes: heads of requests, and bodies that are read whole or piece by piece."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable

from devhost.http.head import MAX_HEADERS_SIZE, MAX_REQUEST_LINE, BadHead
from devhost.http.message import Request

MAX_BODY = 104_857_600

_MAX_CHUNK_LINE = 1024
_DRAIN_SECONDS = 5.0
"""How long the rest of a body that nobody wants is waited for, so that the connection can be used again."""


class Incoming:
    """Bytes that have come and have not been read. `resume` is called when more are wanted."""

    def __init__(self, resume: Callable[[], None]) -> None:
        self._resume = resume
        self._buffer = bytearray()
        self._arrived = asyncio.Event()
        self.ended = asyncio.Event()
        """Set when the client will send nothing more."""

    def __len__(self) -> int:
        return len(self._buffer)

    def feed(self, data: bytes) -> None:
        self._buffer += data
        self._arrived.set()

    def end(self) -> None:
        self.ended.set()
        self._arrived.set()

    async def _more(self) -> bool:
        """Waits for further bytes; False when there will be none."""
        if self.ended.is_set():
            return False
        self._arrived.clear()
        self._resume()
        await self._arrived.wait()
        return True

    async def _needed(self) -> None:
        """Raises:
        ConnectionResetError: the client is gone, in the middle of a request.
        """
        if not await self._more():
            raise ConnectionResetError("the client hung up in the middle of a request")

    async def head(self) -> bytes | None:
        """The next head, without the empty line that ends it; None when there is none.

        Raises:
            BadHead: it is too long, or breaks off.
        """
        start = 0
        while True:
            while self._buffer.startswith(b"\r\n"):
                del self._buffer[:2]
            end = self._buffer.find(b"\r\n\r\n", max(0, start - 3))
            if end >= 0:
                return self._take(end, skip=4)
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

    async def some(self, length: int) -> bytes:
        """At least one byte and at most `length`."""
        while not self._buffer:
            await self._needed()
        return self._take(min(length, len(self._buffer)))

    async def exactly(self, length: int) -> bytes:
        while len(self._buffer) < length:
            await self._needed()
        return self._take(length)

    async def line(self) -> bytes:
        """The next line of a chunked body's framing, without its end."""
        while (end := self._buffer.find(b"\r\n")) < 0:
            if len(self._buffer) > _MAX_CHUNK_LINE:
                raise BadHead(400)
            await self._needed()
        return self._take(end, skip=2)

    def _take(self, length: int, skip: int = 0) -> bytes:
        taken = bytes(memoryview(self._buffer)[:length])
        del self._buffer[: length + skip]
        return taken


class Body:
    """The body of one message. Whoever stops reading it in the middle may go on later: nothing is lost by a cancelled read."""

    def __init__(
        self, incoming: Incoming, *, length: int | None, limit: int | None = None, before: Callable[[], None] | None = None
    ) -> None:  # fmt: skip
        """Args:
        incoming: where its first byte is the next one.
        length: in bytes; None when it comes in chunks.
        limit: how long it may be.
        before: called before the first read.
        """
        self._incoming = incoming
        self._is_chunked = length is None
        self._left = length or 0
        """Bytes still to come: of the body, or of the chunk."""
        self._in_chunk = False
        self._in_trailers = False
        self._count = 0
        self._limit = limit
        self._before = before
        self.is_finished = length == 0

    @classmethod
    def of(cls, request: Request, incoming: Incoming, send_continue: Callable[[], None]) -> Body:
        """The body that follows the head of a request; `send_continue` tells the client to send it.

        Raises:
            BadHead: the length cannot be read.
        """
        length = request.headers.get("content-length", "0")
        if not (length.isascii() and length.isdigit()):
            raise BadHead(400)
        waits = request.headers.get("expect", "").lower() == "100-continue"
        return cls(incoming, length=None if request.is_chunked else int(length), limit=MAX_BODY, before=send_continue if waits else None)

    async def read(self) -> bytes:
        """The whole of it.

        Raises:
            BadHead: with the status to answer.
            ConnectionResetError: it breaks off.
        """
        return b"".join([piece async for piece in self.pieces()])

    async def pieces(self) -> AsyncGenerator[bytes, None]:
        """The rest of it, as it comes; raises what `read` raises."""
        while piece := await self.next():
            yield piece

    async def drain(self) -> bool:
        """Reads and forgets the rest; False when that would take too long."""
        if self.is_finished:
            return True
        if self._before is not None:
            return False  # it waits to be asked for the body, and need not be
        try:
            async with asyncio.timeout(_DRAIN_SECONDS):
                while await self.next():
                    pass
        except (TimeoutError, ConnectionError, BadHead):
            return False
        return True

    async def next(self) -> bytes:
        """The next piece; empty at the end."""
        if self.is_finished:
            return b""
        if not self._is_chunked:
            self._check_size(self._left)
        if self._before is not None:
            before, self._before = self._before, None
            before()
        if self._is_chunked and not self._left and not await self._begin_chunk():
            return b""
        piece = await self._incoming.some(self._left)
        self._left -= len(piece)
        self._count += len(piece)
        self.is_finished = not self._is_chunked and not self._left
        return piece

    def _check_size(self, coming: int) -> None:
        if coming < 0 or (self._limit is not None and self._count + coming > self._limit):
            raise BadHead(500)

    async def _begin_chunk(self) -> bool:
        """Reads up to the content of the next chunk; False when there is none."""
        if self._in_chunk:
            if await self._incoming.exactly(2) != b"\r\n":
                raise BadHead(400)
            self._in_chunk = False
        if not self._in_trailers:
            size = _chunk_size(await self._incoming.line())
            self._check_size(size)
            if size:
                self._left, self._in_chunk = size, True
                return True
            self._in_trailers = True
        while await self._incoming.line():
            pass
        self.is_finished = True
        return False


def _chunk_size(line: bytes) -> int:
    try:
        return int(line.partition(b";")[0].strip(), 16)
    except ValueError:
        raise BadHead(400) from None
