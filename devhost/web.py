"""An HTTP exchange as plain values, so that handlers can be tested without a server and served on several ports."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True, kw_only=True)
class WebRequest:
    """A request whose routing is the handler's own business."""

    method: str
    path: str
    """The raw path below the handler's base, still percent-encoded, with its leading `/`."""
    query: str
    """The raw query string without `?`."""
    headers: Mapping[str, str]
    """Names in lower case."""
    body: bytes
    origin: str
    """Scheme and authority the request came in on, such as `http://localhost:7071`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class WebReply:
    """A whole reply, sent with a Content-Length."""

    status: int
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes = b""
