"""An HTTP request as it was received and a reply as it will be sent."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field, replace
from typing import Protocol


class RequestBody(Protocol):
    """A body that has not been read."""

    async def read(self) -> bytes: ...

    def pieces(self) -> AsyncGenerator[bytes, None]: ...


class ReplyStream(Protocol):
    """A body that is still being made; it raises when it breaks off."""

    def __aiter__(self) -> AsyncIterator[bytes]: ...

    async def aclose(self) -> None:
        """Nobody will read on. May be called at any time, also after the end."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """A request whose head has been checked."""

    method: str
    """As sent; methods are compared without regard to case."""
    path: str
    """Percent-decoded (except `%2F`, which would become a separator), dot segments resolved."""
    raw_path: str
    """As sent."""
    query: str
    """As sent, without `?`."""
    has_query: bool
    """Whether there was a `?`."""
    headers: dict[str, str]
    """Names in lower case; repeated ones joined with `,`."""
    body: bytes = b""
    is_chunked: bool = False
    version: str = "1.1"
    unread: RequestBody | None = None
    """The body, when it has not been read into `body`."""
    hung_up: asyncio.Event | None = None
    """Set when the client has gone away, or sends nothing more; None where nobody would know."""

    @property
    def host(self) -> str:
        return self.headers.get("host", "")

    async def whole(self) -> Request:
        """The request with its body.

        Raises:
            BadHead: the body is too long or malformed.
            ConnectionResetError: the client hung up in the middle of it.
        """
        return self if self.unread is None else replace(self, body=await self.unread.read(), unread=None)


@dataclass(frozen=True, slots=True, kw_only=True)
class Reply:
    """A reply. With `is_streamed` the body is sent chunked, as replies of functions are; otherwise with a Content-Length."""

    status: int
    headers: list[tuple[str, str]] = field(default_factory=list)
    body: bytes = b""
    is_streamed: bool = False
    close: bool = False
    stream: ReplyStream | None = None
    """The body as it is made, in place of `body`; it is closed when the client hangs up, and when it raises the connection is cut."""


Handler = Callable[[Request], Awaitable[Reply]]

# The web server's phrases, which differ in places from Python's; other codes have an empty one.
PHRASES = {
    100: "Continue", 101: "Switching Protocols", 102: "Processing",
    200: "OK", 201: "Created", 202: "Accepted", 203: "Non-Authoritative", 204: "No Content", 205: "Reset Content",
    206: "Partial Content", 207: "Multi-Status", 208: "Already Reported", 226: "IM Used",
    300: "Multiple Choices", 301: "Moved Permanently", 302: "Found", 303: "See Other", 304: "Not Modified", 305: "Use Proxy",
    306: "Switch Proxy", 307: "Temporary Redirect", 308: "Permanent Redirect",
    400: "Bad Request", 401: "Unauthorized", 402: "Payment Required", 403: "Forbidden", 404: "Not Found", 405: "Method Not Allowed",
    406: "Not Acceptable", 407: "Proxy Authentication Required", 408: "Request Timeout", 409: "Conflict", 410: "Gone",
    411: "Length Required", 412: "Precondition Failed", 413: "Payload Too Large", 414: "URI Too Long", 415: "Unsupported Media Type",
    416: "Range Not Satisfiable", 417: "Expectation Failed", 418: "I'm a teapot", 419: "Authentication Timeout",
    421: "Misdirected Request", 422: "Unprocessable Entity", 423: "Locked", 424: "Failed Dependency", 426: "Upgrade Required",
    428: "Precondition Required", 429: "Too Many Requests", 431: "Request Header Fields Too Large",
    451: "Unavailable For Legal Reasons", 499: "Client Closed Request",
    500: "Internal Server Error", 501: "Not Implemented", 502: "Bad Gateway", 503: "Service Unavailable", 504: "Gateway Timeout",
    505: "HTTP Version Not Supported", 506: "Variant Also Negotiates", 507: "Insufficient Storage", 508: "Loop Detected",
    510: "Not Extended", 511: "Network Authentication Required",
}  # fmt: skip
