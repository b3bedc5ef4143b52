"""The web server on the wire: framing, limits, connections."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator

import pytest

from devhost.http import server as server_module
from devhost.http.message import Reply, Request
from devhost.http.server import HttpServer


async def echo(request: Request) -> Reply:
    if request.path == "/crash":
        raise RuntimeError("the handler failed")
    if request.path == "/wait":
        await asyncio.sleep(0.3)
    if request.path == "/short":
        return Reply(status=200, headers=[("Content-Length", "9")], body=b"abc", is_streamed=True)
    return Reply(status=200, body=request.method.encode() + b":" + request.body, is_streamed=request.path == "/streamed")


@contextlib.asynccontextmanager
async def serving() -> AsyncIterator[tuple[HttpServer, int]]:
    server = HttpServer(echo)
    port = await server.listen(0)
    try:
        yield server, port
    finally:
        await server.stop(0.1)


async def talk(port: int, *parts: bytes, pause: float = 0.02) -> bytes:
    """Sends the parts one after the other and reads until the server closes."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    for part in parts:
        writer.write(part)
        await asyncio.sleep(pause)
    try:
        return await asyncio.wait_for(reader.read(), 5)
    finally:
        writer.close()


CLOSE = b"Host: x\r\nConnection: close\r\n"


def exchange(*parts: bytes) -> bytes:
    async def run() -> bytes:
        async with serving() as (_, port):
            return await talk(port, *parts)

    return asyncio.run(run())


def test_requests_on_one_connection_are_answered_in_order_also_when_pipelined() -> None:
    answer = exchange(
        b"POST /wait HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\n\r\n1GET / HTTP/1.1\r\nHost: x\r\n\r\nPUT / HTTP/1.1\r\n" + CLOSE + b"\r\n"
    )
    assert answer.count(b"HTTP/1.1 200 OK\r\n") == 3
    assert answer.index(b"POST:1") < answer.index(b"GET:") < answer.index(b"PUT:")
    assert answer.count(b"Connection: close") == 1


def test_a_request_may_arrive_byte_by_byte() -> None:
    request = b"POST / HTTP/1.1\r\n" + CLOSE + b"Content-Length: 3\r\n\r\nabc"

    async def run() -> bytes:
        async with serving() as (_, port):
            return await talk(port, *(request[i : i + 1] for i in range(len(request))), pause=0.001)

    assert asyncio.run(run()).endswith(b"\r\n\r\nPOST:abc")


def test_chunked_bodies_are_read_with_extensions_and_trailers() -> None:
    body = b"3;x=1\r\nabc\r\nA\r\n0123456789\r\n0\r\nTrailer: 1\r\n\r\n"
    answer = exchange(b"POST / HTTP/1.1\r\n" + CLOSE + b"Transfer-Encoding: chunked\r\n\r\n" + body)
    assert answer.endswith(b"POST:abc0123456789")


def test_a_streamed_reply_is_chunked_and_a_plain_one_has_a_length() -> None:
    streamed = exchange(b"GET /streamed HTTP/1.1\r\n" + CLOSE + b"\r\n")
    assert b"Transfer-Encoding: chunked\r\n" in streamed
    assert streamed.endswith(b"\r\n\r\n4\r\nGET:\r\n0\r\n\r\n")
    plain = exchange(b"GET / HTTP/1.1\r\n" + CLOSE + b"\r\n")
    assert b"Content-Length: 4\r\n" in plain
    old = exchange(b"GET /streamed HTTP/1.0\r\n\r\n")
    assert b"Content-Length" not in old
    assert b"chunked" not in old
    assert old.endswith(b"\r\n\r\nGET:")


def test_head_has_no_body() -> None:
    answer = exchange(b"HEAD /streamed HTTP/1.1\r\n" + CLOSE + b"\r\n")
    assert answer.endswith(b"\r\n\r\n")
    assert b"Content-Length" not in answer


def test_a_declared_length_above_the_body_closes_the_connection() -> None:
    answer = exchange(b"GET /short HTTP/1.1\r\nHost: x\r\n\r\n")
    assert b"Content-Length: 9\r\n" in answer
    assert answer.endswith(b"abc")


@pytest.mark.parametrize(
    ("request_bytes", "status"),
    [
        (b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 104857601\r\n\r\n", b"500 Internal Server Error"),
        (b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: -1\r\n\r\n", b"400 Bad Request"),
        (b"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n", b"400 Bad Request"),
        (b"GET / HTTP/1.1\r\n" + b"A: " + b"a" * 40_000, b"431 Request Header Fields Too Large"),
        (b"GET /" + b"a" * 9_000, b"414 URI Too Long"),
        (b"\x16\x03\x01\x02\x00\r\n\r\n", b"400 Bad Request"),
    ],
)
def test_what_is_refused_closes_the_connection(request_bytes: bytes, status: bytes) -> None:
    answer = exchange(request_bytes)
    assert answer.startswith(b"HTTP/1.1 " + status + b"\r\n")
    assert b"Connection: close\r\n" in answer


def test_a_handler_that_fails_is_a_500_and_the_connection_goes_on(caplog: pytest.LogCaptureFixture) -> None:
    answer = exchange(b"GET /crash HTTP/1.1\r\nHost: x\r\n\r\n", b"GET / HTTP/1.1\r\n" + CLOSE + b"\r\n")
    assert answer.startswith(b"HTTP/1.1 500 Internal Server Error\r\nContent-Length: 0\r\n")
    assert answer.endswith(b"GET:")
    assert "GET /crash could not be answered" in caplog.text


def test_continue_is_said_before_the_body_is_read() -> None:
    answer = exchange(b"POST / HTTP/1.1\r\n" + CLOSE + b"Expect: 100-continue\r\nContent-Length: 3\r\n\r\n", b"abc")
    assert answer.startswith(b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\n")
    assert answer.endswith(b"POST:abc")


def test_stopping_finishes_what_runs_and_closes_what_is_idle() -> None:
    async def run() -> tuple[bytes, bytes]:
        async with serving() as (server, port):
            idle_reader, idle_writer = await asyncio.open_connection("127.0.0.1", port)
            busy = asyncio.ensure_future(talk(port, b"GET /wait HTTP/1.1\r\nHost: x\r\n\r\n"))
            await asyncio.sleep(0.1)
            await server.stop(2)
            result = await busy, await idle_reader.read()
            idle_writer.close()
            with pytest.raises(ConnectionRefusedError):
                await asyncio.open_connection("127.0.0.1", port)
            return result

    busy, idle = asyncio.run(run())
    assert busy.startswith(b"HTTP/1.1 200 OK\r\n")
    assert b"Connection: close\r\n" in busy
    assert idle == b""


def test_a_client_that_leaves_in_the_middle_costs_nothing() -> None:
    async def run() -> int:
        async with serving() as (server, port):
            for part in (b"", b"GET / HT", b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 10\r\n\r\nabc"):
                _, writer = await asyncio.open_connection("127.0.0.1", port)
                writer.write(part)
                await asyncio.sleep(0.05)
                writer.close()
            await asyncio.sleep(0.1)
            return len(server.connections)

    assert asyncio.run(run()) == 0


def test_the_date_is_in_http_form() -> None:
    date = server_module.http_date()
    assert date.endswith(" GMT")
    assert len(date) == 29
