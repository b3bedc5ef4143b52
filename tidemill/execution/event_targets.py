"""Where OpenLineage events go: a lineage backend, or a file that grows. One attempt each; whoever sends decides whether to try again.

Sending an event twice is harmless: its run and time are the same, and backends keep one.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any, Protocol

import msgspec

Event = dict[str, Any]

_CONNECT_SECONDS = 5.0
_PASSING = frozenset({408, 425, 429, 500, 502, 503, 504})


class NotTaken(Exception):
    """An event was not taken."""

    def __init__(self, why: str, *, passing: bool = False, status: int = 0, wait: float = 0.0) -> None:
        super().__init__(why)
        self.passing = passing
        """It may be taken if it is sent again."""
        self.status = status
        """The HTTP status; 0 without an answer."""
        self.wait = wait
        """Seconds that the backend asks to wait."""


class EventTarget(Protocol):
    """Takes events."""

    name: str
    """As a person calls it."""

    def send(self, event: Event) -> None:
        """Hands one event over.

        Raises:
            NotTaken: it did not take place, or nobody knows.
        """

    def close(self) -> None:
        """Lets go of connections and files."""


class HttpTarget:
    """A lineage backend: every event is posted to one address.

    Args:
        address: the whole address, such as `http://localhost:5000/api/v1/lineage`.
        key: sent as `Authorization: Bearer …`; empty: none.
        seconds: how long an answer may take.
    """

    def __init__(self, address: str, key: str = "", *, seconds: float = 30.0) -> None:
        # A connector that most apps never use: importing it here keeps their start short.
        import httpx  # noqa: PLC0415

        self.name = address
        headers = {"Content-Type": "application/json"} | ({"Authorization": f"Bearer {key}"} if key else {})
        self._no_address = (httpx.InvalidURL, httpx.UnsupportedProtocol)
        self._failed = httpx.HTTPError
        self._http = httpx.Client(headers=headers, timeout=httpx.Timeout(seconds, connect=min(seconds, _CONNECT_SECONDS)))

    def send(self, event: Event) -> None:
        """See `EventTarget.send`."""
        try:
            reply = self._http.post(self.name, content=msgspec.json.encode(event))
        except self._no_address as error:
            raise NotTaken(f"that is no address: {error}") from None
        except self._failed as error:
            raise NotTaken(str(error) or type(error).__name__, passing=True) from None
        if not reply.is_success:
            text = reply.headers.get("retry-after", "")
            wait = float(text) if text.isdecimal() else 0.0
            why = f"it answers HTTP {reply.status_code}"
            raise NotTaken(why, passing=reply.status_code in _PASSING, status=reply.status_code, wait=wait)

    def close(self) -> None:
        """See `EventTarget.close`."""
        self._http.close()


class FileTarget:
    """A file to which events are added, one JSON document a line, each in one write, so that several processes may share it."""

    def __init__(self, path: Path) -> None:
        self.name = str(path)
        self._path = path

    def send(self, event: Event) -> None:
        """See `EventTarget.send`."""
        try:
            opened = os.open(self._path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)
            try:
                os.write(opened, msgspec.json.encode(event) + b"\n")
            finally:
                os.close(opened)
        except OSError as error:
            raise NotTaken(error.strerror or str(error)) from None

    def close(self) -> None:
        """See `EventTarget.close`."""
