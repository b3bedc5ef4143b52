"""One loaded app at work: its workers, routes, triggers and durable engine. A reload puts a new one in the place of the old.

`prepare` loads the app and touches nothing outside this machine's memory, so that a broken app leaves a running one alone; `open` starts
acting; `close` stops.
"""

from __future__ import annotations

import asyncio
import logging
import platform
import sys
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from devhost.durable.names import BadHubName
from devhost.durable.settings import BadSetting, DurableSettings
from devhost.errors import EXIT_STORAGE, StartError
from devhost.executor import FunctionExecutor, InputBinding, OutputBinding
from devhost.functions import FunctionMetadata
from devhost.http.admin import AdminApi
from devhost.http.app import WebApp
from devhost.http.auth import Authorization
from devhost.http.router import Router
from devhost.http.templates import BadTemplate
from devhost.invocation import Datum, Invocation
from devhost.jsonc import SettingsError
from devhost.keys import DURABLE_SYSTEM_KEY, Keys
from devhost.pool import AppLoadError, WorkerPool
from devhost.rules import examine
from devhost.settings import HostSettings
from devhost.storage.account import StorageAccount
from devhost.storage.errors import BadConnectionString, StorageError, StorageUnavailable
from devhost.triggers.base import Trigger
from devhost.triggers.bindings import BlobInput, BlobOutput, QueueOutput
from devhost.triggers.listeners import make_triggers
from devhost.web import WebReply, WebRequest
from devhost.worker_process import WorkerLaunch

if TYPE_CHECKING:
    from devhost.durable.extension import DurableExtension

_log = logging.getLogger("Host.Startup")

_DURABLE_KINDS = {"orchestrationTrigger", "activityTrigger", "entityTrigger"}
_STORAGE_PATIENCE_SECONDS = 4.0
_DRAIN_SECONDS = 30.0


class JobHost:
    """An app, from its settings to its running listeners."""

    def __init__(self, settings: HostSettings, *, port: int, keys: Keys, enable_auth: bool, workers: int, python: str) -> None:
        self.settings = settings
        self._port = port
        self._keys = keys
        self._enable_auth = enable_auth
        self._accounts: dict[str, StorageAccount] = {}
        self._triggers: list[Trigger] = []
        self._durable: DurableExtension | None = None
        self._is_open = False
        launch = WorkerLaunch(settings.app_dir, worker_environment(settings, port), python)
        self.pool = WorkerPool(launch, size=workers, timeout_seconds=settings.function_timeout)
        self.functions: tuple[FunctionMetadata, ...] = ()
        """All functions of the app, those in error among them."""
        self.web: WebApp
        self.executor: FunctionExecutor

    @property
    def is_durable(self) -> bool:
        """Whether the app has anything to do with Durable Functions."""
        return any(f.kind in _DURABLE_KINDS or any(b["type"] == "durableClient" for b in f.bindings) for f in self.functions)

    @property
    def running_functions(self) -> list[FunctionMetadata]:
        return [function for function in self.functions if not function.errors and not function.disabled]

    async def prepare(self) -> None:
        """Starts the workers and checks everything that can be checked without acting.

        Raises:
            StartError: the app does not load or cannot be served; nothing is left running.
        """
        try:
            await self.pool.start()
        except AppLoadError as error:
            raise StartError("The app does not load:", details=error.problems) from None
        try:
            self.functions = examine(self.pool.functions, self.settings)
            router = Router(self.functions, self.settings.http.route_prefix)
            inputs: dict[str, InputBinding] = {"blob": BlobInput(self)}
            outputs: dict[str, OutputBinding] = {"blob": BlobOutput(self), "queue": QueueOutput(self)}
            if self.is_durable:
                inputs["durableClient"] = self
            self.executor = FunctionExecutor(self.pool, self.functions, inputs=inputs, outputs=outputs)
            authorization = Authorization(self._keys, enabled=self._enable_auth)
            admin = AdminApi(
                settings=self.settings, functions=self.functions, executor=self.executor, authorization=authorization, keys=self._keys
            )
            self.web = WebApp(
                router=router, executor=self.executor, authorization=authorization, admin=admin,
                custom_headers=self.settings.http.custom_headers,
            )  # fmt: skip
            self._make_durable()
            self._triggers = make_triggers(self, self.running_functions)
        except BaseException as error:
            await self.pool.stop(grace_seconds=0)
            await self._close_accounts()
            if isinstance(error, (BadTemplate, SettingsError, BadSetting, BadHubName, BadConnectionString)):
                raise StartError(str(error)) from None
            raise

    def _make_durable(self) -> None:
        if not self.is_durable:
            return
        # Loaded only for apps that need it: half of the time an HTTP-only app would take to start
        from devhost.durable.extension import DurableExtension

        settings = DurableSettings.from_host_json(self.settings.durable_task, self.settings.environment)
        place = "the app has durable functions and" if settings.connection_name == "Storage" else "host.json: extensions.durableTask.storageProvider"
        storage = self.account(self.settings.connection(settings.connection_setting.removeprefix("AzureWebJobs"), place))
        system_key = self._keys.system_key(DURABLE_SYSTEM_KEY)
        self._durable = DurableExtension(
            settings=settings,
            functions=self.running_functions,
            invoker=self.executor,
            storage=storage,
            public_base=f"http://localhost:{self._port}/runtime/webhooks/durabletask",
            system_key=system_key,
            log=logging.getLogger("Host.Triggers.DurableTask"),
        )
        self.web.add_web_hook("durabletask", self._durable.handle, system_key=DURABLE_SYSTEM_KEY)

    def account(self, connection: str) -> StorageAccount:
        """The storage account of a connection string, one client for each.

        Raises:
            BadConnectionString: it cannot be read.
        """
        if connection not in self._accounts:
            self._accounts[connection] = StorageAccount.from_connection_string(connection)
        return self._accounts[connection]

    def binding_account(self, binding: Mapping[str, Any], function: str) -> StorageAccount:
        """The account a storage binding names in its `connection`."""
        place = f"function {function}: the {binding['type']} binding {binding['name']!r}"
        return self.account(self.settings.connection(binding.get("connection"), place))

    async def read(self, binding: Mapping[str, Any], invocation: Invocation) -> Datum:
        """The value of a durable client binding."""
        assert self._durable is not None
        return self._durable.client_binding(binding)

    async def open(self, rpc_base: str) -> None:
        """Starts the engine and the triggers.

        Raises:
            StartError: storage does not answer or refuses.
        """
        await self._check_storage()
        self._is_open = True
        try:
            if self._durable is not None:
                self._durable.rpc_base = rpc_base
                await self._durable.start()
            for trigger in self._triggers:
                await trigger.start()
        except (StorageUnavailable, StorageError) as error:
            await self.close(drain_seconds=0)
            raise StartError(f"Storage could not be set up: {error}", EXIT_STORAGE) from None
        except BaseException:
            await self.close(drain_seconds=0)
            raise
        for function in self.functions:
            for error_text in function.errors:
                _log.error("The '%s' function is in error: %s", function.name, error_text)
            for warning in function.warnings:
                _log.warning("The '%s' function: %s", function.name, warning)

    async def _check_storage(self) -> None:
        try:
            for account in self._accounts.values():
                await asyncio.gather(*(
                    account.request(service, "GET", "/" if service != "table" else "/Tables", query=query, patience=_STORAGE_PATIENCE_SECONDS,
                                    headers={"Accept": "application/json;odata=nometadata"} if service == "table" else None)
                    for service, query in (("blob", "comp=list&maxresults=1"), ("table", "%24top=1"))
                ))  # fmt: skip
        except (StorageUnavailable, StorageError) as error:
            await self.pool.stop(grace_seconds=0)
            await self._close_accounts()
            hint = "Is Azurite running, and is AzureWebJobsStorage (or --storage) right?"
            raise StartError(f"Storage cannot be used: {error}. {hint}", EXIT_STORAGE) from None

    async def handle_rpc(self, request: WebRequest) -> WebReply:
        """Answers a call on the loopback RPC port."""
        return await self._durable.handle(request) if self._durable is not None else WebReply(status=404)

    async def close(self, *, drain_seconds: float = _DRAIN_SECONDS) -> None:
        """Stops triggers, lets running calls finish, then stops engine and workers."""
        self.executor.stop_retrying()
        await asyncio.gather(*(trigger.stop() for trigger in self._triggers))
        if self._durable is not None and self._is_open:
            await self._durable.stop()
        if drain_seconds and not await self.pool.drain(drain_seconds):
            _log.warning("%d calls still ran after %.0f s and were cut off.", self.pool.open_calls, drain_seconds)
        await self.pool.stop()
        await self._close_accounts()
        self._is_open = False

    async def _close_accounts(self) -> None:
        for account in self._accounts.values():
            await account.close()


def worker_environment(settings: HostSettings, port: int) -> dict[str, str]:
    """The environment user code runs in: the app's settings and what the real host adds."""
    defaults = {
        "AZURE_FUNCTIONS_ENVIRONMENT": "Development",
        "FUNCTIONS_WORKER_RUNTIME": "python",
        "FUNCTIONS_WORKER_RUNTIME_VERSION": ".".join(platform.python_version_tuple()[:2]),
        "FUNCTIONS_EXTENSION_VERSION": "~4",
    }
    fixed = {"WEBSITE_HOSTNAME": f"localhost:{port}", "AzureWebJobsScriptRoot": str(settings.app_dir)}
    return defaults | dict(settings.environment) | fixed


def default_python() -> str:
    """The interpreter workers run in: that of the active virtual environment."""
    return sys.executable
