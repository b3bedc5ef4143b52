"""Calls of HTTP functions that are streamed: the request goes to the web server in the worker, and its reply to the client, as they come.

The call itself goes the usual way, with nothing but the route's parameters in it; worker and host know by the invocation's id what belongs
together. A reply begins for the client with the first byte of its body: until then, whatever goes wrong is a 500. The invocation lasts until
the reply is through, `functionTimeout` covers all of it, and a client that hangs up makes it a failed one: all as on the real host.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import uuid
from collections.abc import AsyncGenerator, AsyncIterator, Coroutine, Mapping
from typing import Any, Final
from urllib.parse import quote

from devhost.executor import PROGRAMMATIC, FunctionExecutor
from devhost.functions import FunctionMetadata
from devhost.http.forward import Broken, ReplyHead, WorkerConnection
from devhost.http.head import PATH_SAFE, BadHead
from devhost.http.message import Reply, Request, RequestBody
from devhost.http.replies import sendable
from devhost.invocation import HttpRequestData, Invocation, WorkerLost
from devhost.rules import UNSERVED

_log = logging.getLogger("Host.Streaming")

SILENCE_SECONDS: Final = 240.0
"""A reply that neither begins nor goes on for so long is given up."""
_MEETING_SECONDS: Final = 0.5
"""How long after its reply a call may take to end, before somebody is told that the two have nothing to do with each other."""
_ID_HEADER = "x-ms-invocation-id"
_HOP_BY_HOP = frozenset(
    {"connection", "transfer-encoding", "keep-alive", "upgrade", "proxy-connection", "proxy-authenticate", "proxy-authentication-info",
     "proxy-authorization", "proxy-features", "proxy-instruction", "security-scheme", "alpn", "close", "http2-settings",
     "upgrade-insecure-requests", "te", "alt-svc"}
)  # fmt: skip
_SET_BY_HOST = frozenset({"host", "forwarded", "x-forwarded-for", "x-forwarded-host", "x-forwarded-proto", "x-forwarded-prefix"})
_HUNG_UP = "the client hung up before it had the whole reply"


class StreamedCalls:
    """Makes the calls of one app's streamed functions."""

    def __init__(self, executor: FunctionExecutor) -> None:
        self._executor = executor
        self._tasks: set[asyncio.Task[None]] = set()

    async def answer(self, request: Request, function: FunctionMetadata, route_values: Mapping[str, str]) -> Reply:
        """Calls the function and returns its reply as soon as that has begun; the call goes on after that.

        Raises:
            ConnectionResetError: the client has hung up before; the function runs on.
        """
        exchange = HttpExchange(request)
        call = self._spawn(self._call(function, route_values, exchange))
        begun = asyncio.ensure_future(exchange.reply())
        hung_up = asyncio.ensure_future((request.hung_up or asyncio.Event()).wait())
        try:
            await asyncio.wait({begun, hung_up}, return_when=asyncio.FIRST_COMPLETED)
            if begun.done():
                if (reply := begun.result()) is not None:
                    return reply
                # What went wrong is known, but the real host answers only when the function has ended
                await asyncio.wait({call, hung_up}, return_when=asyncio.FIRST_COMPLETED)
            if call.done():
                return Reply(status=500)
            exchange.end(_HUNG_UP)
            raise ConnectionResetError(_HUNG_UP)
        finally:
            begun.cancel()
            hung_up.cancel()

    def start(self, request: Request, function: FunctionMetadata) -> None:
        """Calls the function with a request whose reply nobody waits for."""
        exchange = HttpExchange(request)
        self._spawn(self._call(function, {}, exchange))
        self._spawn(exchange.discard())

    def _spawn(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    async def _call(self, function: FunctionMetadata, route_values: Mapping[str, str], exchange: HttpExchange) -> None:
        routed = HttpRequestData(method="", url="", headers={}, params={}, route_params=route_values, body=b"")
        call = Invocation(
            function=function.name, arguments={str(function.trigger["name"]): routed}, invocation_id=str(uuid.uuid4()), exchange=exchange
        )
        running = asyncio.ensure_future(self._executor.invoke(call, PROGRAMMATIC))
        running.add_done_callback(lambda _: exchange.end("the call has ended"))
        try:
            if await exchange.is_through() and not (await asyncio.wait({running}, timeout=_MEETING_SECONDS))[0]:
                _log.error(
                    "The worker's web server has answered the request to %s by itself, as it does for methods that it does not know, so that the "
                    "call with id %s never gets it and runs until functionTimeout: on the real host too.",
                    exchange.path, call.invocation_id,
                )  # fmt: skip
            await running
        except WorkerLost:
            pass  # the executor has said so


class HttpExchange:
    """One request on its way to a worker and the reply on its way back; a `devhost.invocation.Exchange`."""

    def __init__(self, request: Request, *, silence_seconds: float = SILENCE_SECONDS) -> None:
        loop = asyncio.get_running_loop()
        self._request = request
        self._connection = WorkerConnection(silence_seconds)
        self._head: asyncio.Future[ReplyHead | None] = loop.create_future()
        """None when there will be none."""
        self._ended: asyncio.Future[str | None] = loop.create_future()
        """None when the reply is through, else why it is not."""

    @property
    def path(self) -> str:
        return self._request.path

    async def is_through(self) -> bool:
        """Waits for the end; whether the client has got the whole reply."""
        return await asyncio.shield(self._ended) is None

    def end(self, reason: str | None) -> None:
        """Ends the exchange, if it has not ended, and with it the connection to the worker, which so learns of it."""
        if not self._head.done():
            self._head.set_result(None)
        if not self._ended.done():
            self._ended.set_result(reason)

    async def forward(self, port: int | None, invocation_id: str) -> str | None:
        """See `devhost.invocation.Exchange`; `port` is that of the web server in the worker."""
        transfer = asyncio.ensure_future(self._transfer(port, invocation_id))
        try:
            await asyncio.wait({transfer, self._ended}, return_when=asyncio.FIRST_COMPLETED)
            if transfer.done() and (problem := transfer.result()) is not None:
                self.end(problem)
            return await asyncio.shield(self._ended)
        finally:
            self.end("the call was cut off")
            transfer.cancel()
            self._connection.close()
            await asyncio.gather(transfer, return_exceptions=True)

    async def _transfer(self, port: int | None, invocation_id: str) -> str | None:
        """Sends the request while the head of the reply is waited for; gives the reason when one of them fails."""
        if port is None:
            _log.error("A call with id %s waits for its request, in vain: %s", invocation_id, UNSERVED)
            return None
        request = self._request
        if own_id := request.headers.get(_ID_HEADER):
            _log.error(
                "The request to %s has a header %s: %s. The host's own id for the call is %s, so that request and call never meet and the "
                "client waits until functionTimeout: on the real host too.",
                request.path, _ID_HEADER, own_id, invocation_id,
            )  # fmt: skip
        try:
            await self._connection.open(port)
        except Broken as problem:
            return str(problem)
        heading = asyncio.ensure_future(self._take_head(request.method.upper()))
        target = f"{quote(request.path, safe=PATH_SAFE)}{'?' if request.has_query else ''}{request.query}"
        try:
            await self._connection.send(request.method, target, _forwarded_headers(request, port, invocation_id), _body(request))
            return await heading
        except (BadHead, ConnectionError):
            return "the client did not send the whole of its request, or more than the host takes"
        finally:
            heading.cancel()

    async def _take_head(self, method: str) -> str | None:
        try:
            head = await self._connection.head(method)
        except Broken as problem:
            self.end(str(problem))  # the body need not be sent on
            return str(problem)
        if not self._head.done():
            self._head.set_result(head)
        return None

    async def reply(self) -> Reply | None:
        """The reply, once the first byte of its body is there; None if it never comes to that."""
        head = await asyncio.shield(self._head)
        if head is None:
            return None
        body = _ReplyBody(self)
        try:
            body.held = await anext(body, b"")
        except Broken:
            return None
        kept = [(name, value) for name, value in head.headers if name.lower() not in _HOP_BY_HOP]
        reply = sendable(Reply(status=head.status, headers=kept, stream=body if body.held else None))
        if reply.stream is None:
            await body.aclose()
        return reply

    async def next_piece(self) -> bytes:
        """The next piece of the reply's body.

        Raises:
            StopAsyncIteration: it was the last.
            Broken: the reply ends before its end.
        """
        try:
            return await anext(self._connection)
        except StopAsyncIteration:
            self.end(None)
            raise
        except Broken as problem:
            self.end(str(problem))
            raise

    async def discard(self) -> None:
        """Takes the reply and forgets it."""
        reply = await self.reply()
        if reply is not None and reply.stream is not None:
            with contextlib.suppress(Broken):
                async for _ in reply.stream:
                    pass


class _ReplyBody:
    """What the worker sends of a reply, piece by piece; it is read no faster than the client takes it."""

    def __init__(self, exchange: HttpExchange) -> None:
        self._exchange = exchange
        self.held = b""
        """A piece that has been looked at, and comes next."""

    def __aiter__(self) -> AsyncIterator[bytes]:
        return self

    async def __anext__(self) -> bytes:
        if self.held:
            held, self.held = self.held, b""
            return held
        return await self._exchange.next_piece()

    async def aclose(self) -> None:
        self._exchange.end(_HUNG_UP)


class _Whole:
    """A request's body that has been read."""

    def __init__(self, content: bytes) -> None:
        self._content = content

    async def read(self) -> bytes:
        return self._content

    async def pieces(self) -> AsyncGenerator[bytes, None]:
        yield self._content


def _body(request: Request) -> RequestBody | None:
    return request.unread or (_Whole(request.body) if request.body else None)


def _forwarded_headers(request: Request, port: int, invocation_id: str) -> dict[str, str]:
    dropped = _HOP_BY_HOP | _SET_BY_HOST | ({"content-length"} if request.is_chunked else set())
    headers = {"host": f"127.0.0.1:{port}"} | {name: value for name, value in request.headers.items() if name not in dropped}
    headers.setdefault(_ID_HEADER, invocation_id)
    return headers | {"x-forwarded-for": "127.0.0.1", "x-forwarded-host": request.host, "x-forwarded-proto": "http"}
