"""What both kinds of connection here share: bytes come in no faster than they are read, and go out no faster than the other side takes them."""

from __future__ import annotations

import asyncio

from devhost.http.incoming import Incoming


class Flow(asyncio.Protocol):
    """A connection that is read through `_incoming`; whoever writes waits for `_drained`."""

    def __init__(self) -> None:
        self._incoming = Incoming(self._resume)
        self._drained = asyncio.Event()
        self._drained.set()
        self._transport: asyncio.Transport | None = None

    def pause_writing(self) -> None:
        self._drained.clear()

    def resume_writing(self) -> None:
        self._drained.set()

    def _resume(self) -> None:
        if self._transport is not None and not self._transport.is_closing():
            self._transport.resume_reading()
