"""Bodies piece by piece, without a host: what comes over a connection, what is sent over one, and when a side stops."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from devhost.executor import FunctionExecutor
from devhost.functions import FunctionMetadata
from devhost.http.forward import Broken
from devhost.http.head import BadHead
from devhost.http.incoming import Body, Incoming
from devhost.http.message import Reply, ReplyStream, Request
from devhost.http.server import HttpServer
from devhost.http.streaming import HttpExchange, StreamedCalls
from devhost.invocation import Invocation, Succeeded

REQUEST = Request(method="GET", path="/x", raw_path="/x", query="", has_query=False, headers={"host": "h"})
Talk = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


@given(pieces=st.lists(st.binary(min_size=1, max_size=40), max_size=6), cuts=st.lists(st.integers(1, 30), max_size=40))
def test_a_chunked_body_is_the_same_however_it_arrives(pieces: list[bytes], cuts: list[int]) -> None:
    wire = b"".join(b"%x;ext=1\r\n%b\r\n" % (len(piece), piece) for piece in pieces) + b"0\r\nTrailer: t\r\n\r\nNEXT"

    async def run() -> None:
        incoming = Incoming(lambda: None)
        body = Body(incoming, length=None)
        reading = asyncio.ensure_future(body.read())
        rest = wire
        for cut in cuts:
            incoming.feed(rest[:cut])
            rest = rest[cut:]
            await asyncio.sleep(0)
        incoming.feed(rest)
        assert await reading == b"".join(pieces)
        assert await incoming.exactly(4) == b"NEXT"

    asyncio.run(run())


def test_a_read_that_is_cancelled_loses_nothing() -> None:
    async def run() -> bytes:
        incoming = Incoming(lambda: None)
        body = Body(incoming, length=None)
        wire, read = b"3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n", b""
        for byte in wire:
            attempt = asyncio.ensure_future(body.next())
            await asyncio.sleep(0)
            attempt.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                read += await attempt
            incoming.feed(bytes([byte]))
        return read + await body.read()

    assert asyncio.run(run()) == b"abcde"


@pytest.mark.parametrize("wire", [b"zz\r\n", b"-1\r\n", b"3\r\nabcXX", b"B\r\n"])
def test_a_body_that_is_malformed_or_too_long_is_refused(wire: bytes) -> None:
    async def run() -> None:
        incoming = Incoming(lambda: None)
        incoming.feed(wire)
        incoming.end()
        with pytest.raises(BadHead):
            await Body(incoming, length=None, limit=10).read()

    asyncio.run(run())


@contextlib.asynccontextmanager
async def exchanging(
    worker: Talk, *, request: Request = REQUEST, silence: float = 5
) -> AsyncIterator[tuple[HttpExchange, asyncio.Task[str | None]]]:
    """An exchange with a worker that talks so."""
    server = await asyncio.start_server(worker, "127.0.0.1", 0)
    exchange = HttpExchange(request, silence_seconds=silence)
    forwarding = asyncio.ensure_future(exchange.forward(server.sockets[0].getsockname()[1], "id-1"))
    try:
        yield exchange, forwarding
    finally:
        forwarding.cancel()
        server.close()


async def rest_of(stream: ReplyStream | None) -> bytes:
    assert stream is not None
    return b"".join([piece async for piece in stream])


def test_what_came_before_a_reply_breaks_off_is_passed_on() -> None:
    async def worker(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 201 Created\r\nA: 1\r\nA: 2\r\nConnection: close\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n")
        writer.close()

    async def run() -> None:
        async with exchanging(worker) as (exchange, forwarding):
            reply = await exchange.reply()
            assert reply is not None
            assert reply.stream is not None
            assert (reply.status, reply.headers) == (201, [("A", "1"), ("A", "2")])
            assert await anext(aiter(reply.stream)) == b"abc"
            with pytest.raises(Broken, match="breaks off"):
                await anext(aiter(reply.stream))
            assert str(await forwarding).startswith("the reply breaks off")

    asyncio.run(run())


@pytest.mark.parametrize("begins", [b"", b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\n"])
def test_a_worker_that_is_silent_is_given_up(begins: bytes) -> None:
    async def worker(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(begins)
        await reader.read()
        writer.close()

    async def run() -> None:
        async with exchanging(worker, silence=0.05) as (exchange, forwarding):
            assert await exchange.reply() is None
            assert str(await forwarding).startswith("nothing came from the function for 0.05 s")

    asyncio.run(run())


def test_the_worker_gets_the_request_with_the_hosts_headers_and_without_those_of_the_connection() -> None:
    heads: list[bytes] = []

    async def worker(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        heads.append(await reader.readuntil(b"\r\n\r\n"))
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
        writer.close()

    headers = {"host": "public", "connection": "keep-alive", "te": "trailers", "x-forwarded-for": "1.2.3.4", "cookie": "a=b"}
    request = Request(method="PUT", path="/a b%2F/ä", raw_path="", query="q=%20", has_query=True, headers=headers)

    async def run() -> None:
        async with exchanging(worker, request=request) as (exchange, forwarding):
            reply = await exchange.reply()
            assert reply is not None
            assert await rest_of(reply.stream) == b"ok"
            assert await forwarding is None

    asyncio.run(run())
    first, *rest = heads[0].decode().removesuffix("\r\n\r\n").split("\r\n")
    assert first == "PUT /a%20b%252F/%C3%A4?q=%20 HTTP/1.1"
    assert rest[0].startswith("host: 127.0.0.1:")
    assert rest[1:] == [
        "cookie: a=b",
        "x-ms-invocation-id: id-1",
        "x-forwarded-for: 127.0.0.1",
        "x-forwarded-host: public",
        "x-forwarded-proto: http",
    ]


def test_a_server_that_answers_before_the_call_has_met_its_request_is_told_of(caplog: pytest.LogCaptureFixture) -> None:
    async def worker(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 405 Method Not Allowed\r\nContent-Length: 2\r\n\r\nno")
        writer.close()

    async def run() -> None:
        server = await asyncio.start_server(worker, "127.0.0.1", 0)
        port = server.sockets[0].getsockname()[1]
        never = asyncio.Event()

        class Stuck:
            """A worker in which the function waits for its request."""

            async def invoke(self, call: Invocation) -> Succeeded:
                assert call.exchange is not None
                assert await call.exchange.forward(port, call.invocation_id) is None
                await never.wait()
                return Succeeded()

        function = FunctionMetadata(
            name="f", bindings=({"type": "httpTrigger", "name": "req"},), is_async=True, script_file="", entry_point="f"
        )
        calls = StreamedCalls(FunctionExecutor(Stuck(), [function], inputs={}, outputs={}))
        reply = await calls.answer(REQUEST, function, {})
        assert (reply.status, await rest_of(reply.stream)) == (405, b"no")
        while "has answered the request to /x by itself" not in caplog.text:  # noqa: ASYNC110 - a log line sets no event
            await asyncio.sleep(0.05)
        never.set()
        server.close()

    asyncio.run(asyncio.wait_for(run(), 5))


class Ticks:
    """A body without end, and whether it was closed."""

    def __init__(self) -> None:
        self.is_closed = asyncio.Event()
        self.count = 0

    def __aiter__(self) -> AsyncIterator[bytes]:
        return self

    async def __anext__(self) -> bytes:
        self.count += 1
        if self.count > 3:
            await asyncio.Event().wait()
        return b"tick"

    async def aclose(self) -> None:
        self.is_closed.set()


@pytest.mark.parametrize(("version", "framed"), [("1.1", b"4\r\ntick\r\n" * 3), ("1.0", b"tick" * 3)])
def test_a_stream_is_sent_as_it_is_made_and_closed_when_the_client_hangs_up(version: str, framed: bytes) -> None:
    async def run() -> None:
        ticks = Ticks()

        async def handle(_request: Request) -> Reply:
            return Reply(status=200, stream=ticks)

        server = HttpServer(handle, leaves_bodies_unread=True)
        port = await server.listen(0)
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(f"GET / HTTP/{version}\r\nHost: x\r\n\r\n".encode())
        head = await reader.readuntil(b"\r\n\r\n")
        assert (b"Transfer-Encoding: chunked" in head) is (version == "1.1")
        assert await reader.readexactly(len(framed)) == framed
        assert not ticks.is_closed.is_set()
        writer.write_eof()  # its own half is enough: the real host takes that for the client's end too
        await asyncio.wait_for(ticks.is_closed.wait(), 2)
        writer.close()
        await server.stop(0.1)

    asyncio.run(run())
