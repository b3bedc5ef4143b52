"""Requests and replies as values, so that routes are tested without a server and any server can carry them.

`function_app.py` turns an Azure HTTP request into an `ApiRequest` and an `ApiResponse` back into a reply; the CLI does the same without a network.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import quote, urlsplit

import msgspec

JSON = "application/json"

_ORIGIN = re.compile(r"https?://[A-Za-z0-9.\-]+(:[0-9]{1,5})?|https?://\[[0-9A-Fa-f:.]+\](:[0-9]{1,5})?")
_encoder = msgspec.json.Encoder(decimal_format="string", uuid_format="canonical")


@dataclass(frozen=True, slots=True, kw_only=True)
class ApiRequest:
    """One request, below the host's route prefix."""

    method: str
    """Upper case."""
    path: str
    """Below the prefix, starting with `/`, percent-escapes as sent: `/runs/x`."""
    query: Mapping[str, str] = field(default_factory=dict)
    """Decoded; repeated parameters are joined with `,` and empty ones are absent, as the Functions host hands them over."""
    headers: Mapping[str, str] = field(default_factory=dict)
    """Names in lower case."""
    body: bytes = b""
    origin: str = ""
    """`https://host:port` as the caller wrote it; empty if unknown, and then links are relative."""
    prefix: str = "/api"
    """The host's route prefix."""

    @classmethod
    def of(
        cls, method: str, url: str, *, query: Mapping[str, str], headers: Mapping[str, str], body: bytes, prefix: str = "/api"
    ) -> ApiRequest:
        """Takes a request as a server hands it over.

        Args:
            method: in any case.
            url: absolute, escapes as sent; its query is ignored.
            query: decoded parameters.
            headers: names in any case.
            body: as sent.
            prefix: the host's route prefix, `""` for none.
        """
        parts = urlsplit(url)
        origin = f"{parts.scheme}://{parts.netloc}"
        return cls(
            method=method.upper(),
            path=_below(prefix, parts.path),
            query=dict(query),
            headers={name.lower(): value for name, value in headers.items()},
            body=body,
            origin=origin if _ORIGIN.fullmatch(origin) else "",
            prefix=prefix,
        )

    def link(self, *segments: str) -> str:
        """The absolute URL of a path of ours; segments are escaped."""
        return self.origin + self.prefix + "".join(f"/{quote(segment, safe='')}" for segment in segments)


@dataclass(frozen=True, slots=True, kw_only=True)
class ApiResponse:
    """One reply."""

    status: int
    body: bytes = b""
    media_type: str = JSON
    headers: Mapping[str, str] = field(default_factory=dict)
    """Besides Content-Type."""


def _below(prefix: str, path: str) -> str:
    """The path without the prefix, which hosts match whatever its case; the whole path if it does not have it."""
    if path.lower() == prefix.lower() or path.lower().startswith(f"{prefix.lower()}/"):
        path = path[len(prefix) :]
    return path or "/"


def json_response(value: Any, *, status: int = 200, headers: Mapping[str, str] | None = None, media_type: str = JSON) -> ApiResponse:
    """A reply with a struct or JSON value. NaN and infinities become null, since JSON has none; bytes become base64."""
    return ApiResponse(
        status=status, body=_encoder.encode(value), media_type=media_type, headers={"Cache-Control": "no-store", **(headers or {})}
    )
