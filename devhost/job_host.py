"""One loaded app at work: its workers, its routes, and what runs in the background. A reload puts a new one in the place of the old.

`prepare` loads the app and touches nothing outside this machine's memory, so that a broken app leaves a running one alone; `open` starts
acting; `close` stops.
"""

from __future__ import annotations

import asyncio
import logging
import platform
import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING

from devhost.errors import StartError
from devhost.executor import FunctionExecutor
from devhost.functions import FunctionMetadata
from devhost.http.admin import AdminApi
from devhost.http.app import WebApp
from devhost.http.auth import Authorization
from devhost.http.cors import CorsPolicy
from devhost.http.router import Router
from devhost.http.streaming import StreamedCalls
from devhost.http.templates import BadTemplate
from devhost.jsonc import SettingsError
from devhost.keys import DURABLE_SYSTEM_KEY, Keys
from devhost.logs import keep_quiet
from devhost.pool import AppLoadError, WorkerPool
from devhost.rules import UNSERVED, examine
from devhost.settings import HostSettings
from devhost.web import WebReply, WebRequest
from devhost.worker_process import WorkerLaunch

if TYPE_CHECKING:
    from devhost.background import Background

_log = logging.getLogger("Host.Startup")

_DURABLE_KINDS = {"orchestrationTrigger", "activityTrigger", "entityTrigger"}
_DRAIN_SECONDS = 30.0


def is_durable(functions: tuple[FunctionMetadata, ...]) -> bool:
    """Whether an app has anything to do with Durable Functions."""
    return any(f.kind in _DURABLE_KINDS or any(b["type"] == "durableClient" for b in f.bindings) for f in functions)


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkerOptions:
    """What the command line says about workers."""

    count: int = 1
    python: str = sys.executable
    """The interpreter they run in; by default that of the active virtual environment."""
    load_seconds: float = 60.0
    """How long one may take to load the app."""
    memory_mb: int | None = None
    """A worker that occupies more is replaced; None is without limit."""


class JobHost:
    """An app, from its settings to its running listeners."""

    def __init__(self, settings: HostSettings, *, port: int, keys: Keys, enable_auth: bool, workers: WorkerOptions) -> None:
        self.settings = settings
        self._port = port
        self._keys = keys
        self._enable_auth = enable_auth
        self._background: Background | None = None
        launch = WorkerLaunch(settings.app_dir, worker_environment(settings, port), workers.python, workers.load_seconds)
        memory = None if workers.memory_mb is None else workers.memory_mb << 20
        self.pool = WorkerPool(launch, size=workers.count, timeout_seconds=settings.function_timeout, memory_bytes=memory)
        self.functions: tuple[FunctionMetadata, ...] = ()
        """All functions of the app, those in error among them."""
        self.web: WebApp
        self.executor: FunctionExecutor

    @property
    def is_durable(self) -> bool:
        return is_durable(self.functions)

    @property
    def running_functions(self) -> list[FunctionMetadata]:
        return [function for function in self.functions if not function.errors and not function.disabled]

    async def prepare(self) -> None:
        """Starts the workers and checks everything that can be checked without acting.

        Raises:
            StartError: the app does not load or cannot be served; nothing is left running.
        """
        try:
            await self._load()
        except BaseException as error:
            await self.pool.stop(grace_seconds=0)
            if self._background is not None:
                try:
                    if isinstance(error, AppLoadError):  # an app that opens its storage when it is loaded fails for want of it
                        await self._background.check_storage(self.settings.storage_connection)
                finally:
                    await self._background.close()
            if isinstance(error, AppLoadError):
                raise StartError("The app does not load:", details=error.problems) from None
            if isinstance(error, (BadTemplate, SettingsError)):
                raise StartError(str(error)) from None
            raise

    async def _load(self) -> None:
        started = asyncio.ensure_future(self.pool.start())
        try:
            await self._load_beside(started)
        finally:
            started.cancel()

    async def _load_beside(self, started: asyncio.Future[None]) -> None:
        if self.settings.storage_connection:
            await asyncio.sleep(0.01)  # lets the workers be started first: they load the app while this process loads the storage side
            self._background = _new_background(self.settings)
        await started
        self.functions = examine(self.pool.functions, self.settings)
        keep_quiet(function.name for function in self.functions if function.kind in _DURABLE_KINDS)
        if self._background is None and any(b["type"] not in {"httpTrigger", "http"} for f in self.running_functions for b in f.bindings):
            self._background = _new_background(self.settings)
        background = self._background
        if background is not None:
            self.functions = background.examine(self.functions)
        router = Router(self.functions, self.settings.http.route_prefix)
        self.executor = FunctionExecutor(
            self.pool, self.functions, inputs=background.inputs if background else {}, outputs=background.outputs if background else {}
        )
        streams = StreamedCalls(self.executor) if any(function.is_streamed for function in self.functions) else None
        authorization = Authorization(self._keys, enabled=self._enable_auth)
        admin = AdminApi(
            settings=self.settings,
            functions=self.functions,
            executor=self.executor,
            authorization=authorization,
            keys=self._keys,
            problems=lambda: background.problems if background else [],
            streams=streams,
        )
        self.web = WebApp(
            router=router,
            executor=self.executor,
            authorization=authorization,
            admin=admin,
            custom_headers=self.settings.http.custom_headers,
            cors=CorsPolicy(self.settings.local.cors, self.settings.local.cors_credentials),
            streams=streams,
        )
        if background is not None:
            background.connect(self.running_functions, self.executor, keys=self._keys, port=self._port, is_durable=self.is_durable)
            if background.durable is not None:
                self.web.add_web_hook("durabletask", background.durable.handle, system_key=DURABLE_SYSTEM_KEY)

    async def open(self, rpc_base: str) -> None:
        """Starts the engine and the triggers.

        Raises:
            StartError: storage does not answer or refuses; nothing is left running.
        """
        try:
            if self._background is not None:
                await self._background.start(rpc_base)
        except BaseException:
            await self.close(drain_seconds=0)
            raise
        if any(function.is_streamed for function in self.running_functions) and not self.pool.serves_streams:
            _log.error("No HTTP function will answer: %s.", UNSERVED)
        for function in self.functions:
            for error in function.errors:
                _log.error("The '%s' function is in error: %s", function.name, error)
            for warning in function.warnings:
                _log.warning("The '%s' function: %s", function.name, warning)

    async def hub_lost(self) -> None:
        """Returns when another host has taken the app's task hub, which ends this one's usefulness."""
        if self._background is None:
            await asyncio.Event().wait()
        else:
            await self._background.hub_lost()

    async def handle_rpc(self, request: WebRequest) -> WebReply:
        """Answers a call on the loopback RPC port."""
        return await self._background.handle_rpc(request) if self._background is not None else WebReply(status=404)

    async def close(self, *, drain_seconds: float = _DRAIN_SECONDS) -> None:
        """Stops triggers and engine, lets running calls finish, then stops the workers."""
        self.executor.stop_retrying()
        if self._background is not None:
            await self._background.stop()
        if drain_seconds and not await self.pool.drain(drain_seconds):
            _log.warning("%d calls still ran after %.0f s and were cut off.", self.pool.open_calls, drain_seconds)
        await self.pool.stop()
        if self._background is not None:
            await self._background.close()


def _new_background(settings: HostSettings) -> Background:
    from devhost.background import Background  # noqa: PLC0415 - most of the start-up time of an app that needs none of it

    return Background(settings)


def worker_environment(settings: HostSettings, port: int) -> dict[str, str]:
    """The environment user code runs in: the app's settings and what the real host adds."""
    defaults = {
        "AZURE_FUNCTIONS_ENVIRONMENT": "Development",
        "FUNCTIONS_WORKER_RUNTIME": "python",
        "FUNCTIONS_WORKER_RUNTIME_VERSION": ".".join(platform.python_version_tuple()[:2]),
        "FUNCTIONS_EXTENSION_VERSION": "~4",
    }
    fixed = {"WEBSITE_HOSTNAME": settings.host_name(port), "AzureWebJobsScriptRoot": str(settings.app_dir)}
    return defaults | dict(settings.environment) | fixed
