"""Notices that the app does not finish loading, and tells the host where it is.

A thread of its own, because the main one is what hangs: in a `while True` or a `sleep` at module level, waiting for a network or a lock.
The host ends the worker then. When not even this thread gets to run, a library holds the interpreter, and the host finds out by itself.
"""

from __future__ import annotations

import sys
import threading
import traceback
from pathlib import Path

from devhost.wire import Send, plain_frame
from devhost.worker.places import describe_places


class LoadWatch:
    """Watches the thread that makes it until `finished`."""

    def __init__(self, send: Send, app_dir: Path, seconds: float) -> None:
        self._send = send
        self._app_dir = app_dir
        self._seconds = seconds
        self._watched = threading.get_ident()
        self._timer = threading.Timer(seconds, self._tell)
        self._timer.daemon = True
        self._timer.start()

    def finished(self) -> None:
        self._timer.cancel()

    def _tell(self) -> None:
        frame = sys._current_frames().get(self._watched)  # noqa: SLF001 - public in all but name; the standard library has no other way
        if frame is not None:
            self._send(plain_frame({"k": "stuck", "where": where(traceback.extract_stack(frame), self._app_dir)}))


def where(stack: traceback.StackSummary, app_dir: Path) -> str:
    """What a thread is doing, in the app's own files and beyond them."""
    places = describe_places(stack, app_dir)
    last = stack[-1]
    doing = f" ({last.line})" if last.line else ""
    if places.endswith(f"{Path(last.filename).name} line {last.lineno}"):
        return f"{places}{doing}"
    return f"{places or 'no file of the app'} -> {last.name} in {last.filename} line {last.lineno}{doing}"
