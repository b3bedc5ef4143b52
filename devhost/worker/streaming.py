"""HTTP streaming in the worker: a web server of the extension's own takes in the requests, and the calls that belong to them come from the host.

The extension (`azurefunctions-extensions-http-fastapi`, or another one made for `azurefunctions-extensions-base`) brings the server, the
types of requests and responses, and the conversion of everything else a function may return. An app has it by importing it, and then for
all its HTTP functions. Nothing of it is imported here before the app does.
"""

from __future__ import annotations

import asyncio
import contextvars
import importlib
import logging
import os
import socket
import sys
import traceback
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from devhost.worker.logs import CallIdentity, current_call
from devhost.worker.places import describe_places

_BASE = "azurefunctions.extensions.base"
_SETTING = "PYTHON_ENABLE_INIT_INDEXING"
_ID_HEADER = "x-ms-invocation-id"
_ADDRESS = "127.0.0.1"
_START_SECONDS = 20.0
_SERVER_LOGGERS = ("uvicorn.error", "uvicorn.access", "uvicorn.asgi")

_log = logging.getLogger("devhost.streaming")
_raised: contextvars.ContextVar[BaseException | None] = contextvars.ContextVar("_raised", default=None)
"""What the call of this task's request has failed with, of which the host has been told."""


@dataclass(frozen=True, slots=True)
class WebTypes:
    """The types that HTTP functions deal in once the app has imported a streaming extension."""

    base: Any
    """The module `azurefunctions.extensions.base`."""

    def takes(self, annotation: Any) -> bool:
        return bool(self.base.RequestTrackerMeta.check_type(annotation))

    def returns(self, annotation: Any) -> bool:
        return bool(self.base.ResponseTrackerMeta.check_type(annotation))

    def set_route_parameters(self, request: Any, values: Mapping[str, str]) -> None:
        """Puts the values of the route's parameters in the place of what the server's own route found."""
        self.base.RequestTrackerMeta.get_synchronizer().sync_route_params(request, values)


def web_types() -> WebTypes | None:
    """What the imported app has brought; None when it has not, or the setting turns streaming off."""
    base = sys.modules.get(_BASE)
    if base is None or is_turned_off() or not base.HttpV2FeatureChecker.http_v2_enabled():
        return None
    return WebTypes(base)


def is_turned_off() -> bool:
    """Whether the app's settings say no: its HTTP functions are then checked, and called, as if there were no extension."""
    return sys.version_info < (3, 13) and _setting() in {"0", "false", "f", "no", "n"}


def is_turned_on() -> bool:
    """Whether the server is started. Up to Python 3.12 the real worker needs to be told; functions are streamed regardless, and wait in vain."""
    return sys.version_info >= (3, 13) or _setting() in {"1", "true", "t", "yes", "y"}


def _setting() -> str:
    return os.environ.get(_SETTING, "").lower().strip()


def _future() -> asyncio.Future[Any]:
    return asyncio.get_running_loop().create_future()


@dataclass(frozen=True, slots=True)
class Meeting:
    """Where a call and its request wait for each other, on the event loop."""

    identity: asyncio.Future[CallIdentity] = field(default_factory=_future)
    request: asyncio.Future[Any] = field(default_factory=_future)
    answer: asyncio.Future[tuple[Any, BaseException | None]] = field(default_factory=_future)
    """What the function returned, or raised."""


class Meetings:
    """All calls and requests that are under way, by invocation id; whichever comes first waits."""

    def __init__(self) -> None:
        self._open: dict[str, Meeting] = {}

    def of(self, invocation_id: str) -> Meeting:
        meeting = self._open.get(invocation_id)
        if meeting is None:
            meeting = self._open[invocation_id] = Meeting()
        return meeting

    async def serve(self, request: Any) -> Any:
        """Answers a request with what the function returns; an exception of the function's is raised here too, for the server to say 500."""
        invocation_id = request.headers.get(_ID_HEADER)
        if invocation_id is None:
            raise ValueError(f"a request without the header {_ID_HEADER} is not the host's")
        meeting = self.of(invocation_id)
        meeting.request.set_result(request)
        try:
            value, error = await meeting.answer
        finally:
            del self._open[invocation_id]
        identity = meeting.identity.result()
        current_call.set(identity)  # what the body's generator logs is the function's
        if error is None and value is None:
            _log.error(
                "The function returned None, which HTTP streaming answers with 500, on the real host too: return a Response, a str or a dict."
            )
            error = ValueError("the function returned None")
        if error is not None:
            _raised.set(error)
            raise error if isinstance(error, Exception) else RuntimeError(repr(error)) from error
        return value


class WebServer:
    """The extension's server while it runs."""

    def __init__(self, port: int, serving: asyncio.Task[Any], log: _ServerLog) -> None:
        self.port = port
        self._serving = serving
        self._log = log

    def close(self) -> None:
        """Ends it; what it says to that is nobody's concern."""
        self._log.is_silent = True
        self._serving.cancel()


async def open_web_server(types: WebTypes, meetings: Meetings, app_dir: Path) -> WebServer:
    """Starts the extension's server and waits until it listens.

    Raises:
        RuntimeError: it does not start.
    """
    log = _ServerLog(app_dir)
    for name in _SERVER_LOGGERS:
        logging.getLogger(name).addFilter(log)
    try:
        extension = importlib.import_module(types.base.ModuleTrackerMeta.get_module())
        app = extension.WebApp()

        async def every_request(request: Any) -> Any:
            return await meetings.serve(request)

        every_request.__annotations__ = {"request": types.base.RequestTrackerMeta.get_request_type()}
        app.route(every_request)
        # Bound and never listened on, so that nobody else is given the port before the server takes it
        with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as reserved:
            reserved.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            reserved.bind((_ADDRESS, 0))
            port = int(reserved.getsockname()[1])
            serving = asyncio.create_task(extension.WebServer(_ADDRESS, port, app).serve())
            async with asyncio.timeout(_START_SECONDS):
                while not await _listens(port):
                    if serving.done():
                        serving.result()
                        raise RuntimeError("its web server has ended")
                    await asyncio.sleep(0.005)
    except Exception as error:
        raise RuntimeError(f"the HTTP streaming extension could not be started: {type(error).__name__}: {error}") from error
    return WebServer(port, serving, log)


async def _listens(port: int) -> bool:
    try:
        _, writer = await asyncio.open_connection(_ADDRESS, port)
    except OSError:
        return False
    writer.close()
    return True


class _ServerLog(logging.Filter):
    """Keeps the server's own lines out of the log, all but its errors, which are said once and with the place in the app."""

    def __init__(self, app_dir: Path) -> None:
        super().__init__()
        self._app_dir = app_dir
        self.is_silent = False

    def filter(self, record: logging.LogRecord) -> bool:
        error = record.exc_info[1] if record.exc_info else None
        if self.is_silent or record.levelno < logging.WARNING or (error is not None and error is _raised.get()):
            return False
        if error is None:
            _log.log(record.levelno, "%s", record.getMessage())
            return False
        places = describe_places(traceback.extract_tb(error.__traceback__), self._app_dir)
        _log.error("The reply breaks off: %s: %s%s", type(error).__name__, error, f" [{places}]" if places else "")
        return False
