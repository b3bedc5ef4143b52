"""Everything of a job host that is not HTTP: storage accounts, the durable engine, triggers, storage bindings.

A module of its own because it is loaded only for apps that need it: with the storage client it takes longer to load than all the rest.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from devhost.durable.extension import DurableExtension
from devhost.durable.names import BadHubName
from devhost.durable.ownership import HubInUse
from devhost.durable.settings import BadSetting, DurableSettings
from devhost.errors import EXIT_HUB, EXIT_STORAGE, StartError
from devhost.executor import FunctionExecutor, InputBinding, OutputBinding
from devhost.functions import FunctionMetadata
from devhost.invocation import Datum, Invocation
from devhost.jsonc import SettingsError
from devhost.keys import DURABLE_SYSTEM_KEY, Keys
from devhost.settings import HostSettings
from devhost.storage.account import StorageAccount
from devhost.storage.errors import BadConnectionString, StorageError, StorageUnavailable
from devhost.triggers.base import Trigger
from devhost.triggers.bindings import BlobInput, BlobOutput, QueueOutput
from devhost.triggers.listeners import make_triggers, trigger_problem
from devhost.web import WebReply, WebRequest

_STORAGE_PATIENCE_SECONDS = 4.0


class Background:
    """The storage side of one job host."""

    def __init__(self, settings: HostSettings) -> None:
        self.settings = settings
        self.executor: FunctionExecutor
        self.durable: DurableExtension | None = None
        self._accounts: dict[str, StorageAccount] = {}
        self._triggers: list[Trigger] = []
        self._is_started = False

    @property
    def inputs(self) -> dict[str, InputBinding]:
        """Readers of in-bindings, by binding type."""
        return {"blob": BlobInput(self), "durableClient": self}

    @property
    def outputs(self) -> dict[str, OutputBinding]:
        """Writers of out-bindings, by binding type."""
        return {"blob": BlobOutput(self), "queue": QueueOutput(self)}

    def examine(self, functions: Sequence[FunctionMetadata]) -> tuple[FunctionMetadata, ...]:
        """The functions, those whose listener cannot be made with the reason among their errors."""
        problems = {f.name: problem for f in functions if not f.errors and (problem := trigger_problem(self, f)) is not None}
        return tuple(replace(f, errors=(problems[f.name],)) if f.name in problems else f for f in functions)

    def connect(
        self, functions: Sequence[FunctionMetadata], executor: FunctionExecutor, *, keys: Keys, port: int, is_durable: bool
    ) -> None:
        """Makes engine and triggers for the functions that run, without starting them.

        Raises:
            StartError: a setting of one cannot be used.
        """
        self.executor = executor
        try:
            if is_durable:
                self._make_durable(functions, keys, port)
            self._triggers = make_triggers(self, functions)
            for function in functions:
                for binding in function.bindings:
                    if binding["type"] in {"blob", "queue"}:
                        self.binding_account(binding, function.name)
        except (SettingsError, BadSetting, BadHubName, BadConnectionString) as error:
            raise StartError(str(error)) from None

    def _make_durable(self, functions: Sequence[FunctionMetadata], keys: Keys, port: int) -> None:
        durable = DurableSettings.from_host_json(self.settings.durable_task, self.settings.environment)
        self.durable = DurableExtension(
            settings=durable,
            functions=functions,
            invoker=self.executor,
            storage=self.account(self.settings.connection(durable.connection_setting, "the durable functions of the app")),
            public_base=self.settings.public_base(port),
            system_key=keys.system_key(DURABLE_SYSTEM_KEY),
            log=logging.getLogger("Host.Triggers.DurableTask"),
            account=lambda name: self.account(self.settings.connection(name, "the query of a management request")),
        )

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

    async def read(self, binding: Mapping[str, Any], invocation: Invocation) -> Datum:  # noqa: ARG002 - InputBinding's signature
        """The value of a durable client binding."""
        return self.durable.client_binding(binding) if self.durable is not None else None

    async def start(self, rpc_base: str) -> None:
        """Starts the engine, then the triggers.

        Raises:
            StartError: storage does not answer or refuses.
        """
        await self.check_storage()
        try:
            if self.durable is not None:
                self.durable.rpc_base = rpc_base
                await self.durable.start()
            self._is_started = True
            for trigger in self._triggers:
                await trigger.start()
        except HubInUse as error:
            raise StartError(str(error), EXIT_HUB) from None
        except (StorageUnavailable, StorageError) as error:
            raise StartError(f"Storage could not be set up: {error}", EXIT_STORAGE) from None

    @property
    def problems(self) -> list[str]:
        """What is wrong at the moment, a sentence each."""
        return self.durable.problems if self.durable is not None else []

    async def check_storage(self, connection: str | None = None) -> None:
        """Asks every account, and the one of `connection`, for a sign of life.

        Raises:
            StartError: one gives none.
        """
        try:
            if connection is not None:
                self.account(connection)
            for account in self._accounts.values():
                await asyncio.gather(
                    account.request("blob", "GET", "/", query="comp=list&maxresults=1", patience=_STORAGE_PATIENCE_SECONDS),
                    account.request(
                        "table", "GET", "/Tables", query="%24top=1", patience=_STORAGE_PATIENCE_SECONDS,
                        headers={"Accept": "application/json;odata=nometadata"},
                    ),
                )  # fmt: skip
        except (StorageUnavailable, StorageError, BadConnectionString) as error:
            hint = "Is Azurite running, and is AzureWebJobsStorage (or --storage) right?"
            raise StartError(f"Storage cannot be used: {error}. {hint}", EXIT_STORAGE) from None

    async def handle_rpc(self, request: WebRequest) -> WebReply:
        """Answers a call on the loopback RPC port."""
        return await self.durable.handle(request) if self.durable is not None else WebReply(status=404)

    async def hub_lost(self) -> None:
        """Returns when another host has taken the task hub."""
        if self.durable is None:
            await asyncio.Event().wait()
        else:
            await self.durable.hub_lost.wait()

    async def stop(self) -> None:
        """Stops triggers, then the engine; calls that run go on."""
        await asyncio.gather(*(trigger.stop() for trigger in self._triggers))
        if self.durable is not None and self._is_started:
            await self.durable.stop()
        self._is_started = False

    async def close(self) -> None:
        """Closes the connections to storage."""
        for account in self._accounts.values():
            await account.close()
