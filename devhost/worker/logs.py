"""Forwards Python `logging` to the host, each record with the call it came from."""

from __future__ import annotations

import contextvars
import logging
import os
import threading
from dataclasses import dataclass

from devhost.wire import Send, plain_frame


@dataclass(frozen=True, slots=True)
class CallIdentity:
    """Which call a thread or task is working for."""

    function: str
    invocation_id: str
    instance_id: str | None


current_call: contextvars.ContextVar[CallIdentity | None] = contextvars.ContextVar("current_call", default=None)

thread_local_storage = threading.local()
"""What `context.thread_local_storage` gives: user threads set `invocation_id` on it to have their records counted to a call."""

running_calls: dict[str, CallIdentity] = {}
"""The calls being run, by invocation id."""


class HostHandler(logging.Handler):
    """Sends each record as a frame."""

    def __init__(self, send: Send) -> None:
        super().__init__()
        self._send = send

    def emit(self, record: logging.LogRecord) -> None:
        try:
            call = current_call.get() or running_calls.get(getattr(thread_local_storage, "invocation_id", ""))
            header = {"k": "log", "l": record.levelno, "c": record.name, "m": self.format(record)}
            if call is not None:
                header |= {"f": call.function, "i": call.invocation_id, "o": call.instance_id}
            self._send(plain_frame(header))
        except Exception:  # noqa: BLE001 - what logging handlers do
            self.handleError(record)


def forward_logs(send: Send) -> None:
    """Puts the handler on the root logger. Debug records stay here unless `PYTHON_ENABLE_DEBUG_LOGGING` is set, as upstream."""
    root = logging.getLogger()
    root.addHandler(HostHandler(send))
    debug = os.environ.get("PYTHON_ENABLE_DEBUG_LOGGING", "").lower() in {"1", "true", "t", "yes", "y"}
    root.setLevel(logging.DEBUG if debug else logging.INFO)
