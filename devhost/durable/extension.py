"""The Durable extension as the host sees it: start, stop, answer HTTP, fill client bindings."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import Any

from devhost.durable.activities import Activities
from devhost.durable.aside import SetAside
from devhost.durable.asking import Asker
from devhost.durable.client import DurableClient
from devhost.durable.decisions import Known
from devhost.durable.dispatcher import Dispatcher
from devhost.durable.entities import Entities
from devhost.durable.http_api import HttpApi, elsewhere, refuse_connection, refuse_hub
from devhost.durable.listing import Listing
from devhost.durable.names import BadHubName, hub_name
from devhost.durable.ownership import Ownership
from devhost.durable.payloads import Links
from devhost.durable.recovery import Recovery
from devhost.durable.rewind import Rewinder
from devhost.durable.rows import RowWriter
from devhost.durable.runner import Runner
from devhost.durable.settings import DurableSettings
from devhost.durable.store import HubStore
from devhost.functions import FunctionMetadata
from devhost.invocation import Datum, Invoker
from devhost.jsonc import MissingConnection
from devhost.storage.account import StorageAccount
from devhost.storage.errors import BadConnectionString, StorageError, StorageUnavailable
from devhost.web import WebReply, WebRequest

_GRACE_SECONDS = 5.0


class DurableExtension:
    """One task hub, served by this host alone."""

    def __init__(
        self,
        *,
        settings: DurableSettings,
        functions: Sequence[FunctionMetadata],
        invoker: Invoker,
        storage: StorageAccount,
        public_base: str,
        system_key: str,
        log: logging.Logger,
        account: Callable[[str], StorageAccount] | None = None,
        is_own_app: bool = True,
    ) -> None:
        self.settings = settings
        self._log = log
        self._storage = storage
        self._account = account
        """The account behind a connection's name; raises MissingConnection. None where there is but one."""
        self._like_this = partial(
            DurableExtension,
            functions=functions,
            invoker=invoker,
            public_base=public_base,
            system_key=system_key,
            log=log,
            is_own_app=False,
        )
        self._public_base = public_base.rstrip("/")
        self._links = Links(hub=settings.hub, connection=settings.connection_name, system_key=system_key)
        by_kind = {kind: _by_name(functions, kind) for kind in ("orchestrationTrigger", "activityTrigger", "entityTrigger")}
        orchestrators, activities, entities = by_kind.values()
        known = Known(*({name: function.durable_name for name, function in found.items()} for found in by_kind.values()))
        self._store = HubStore(storage, settings.hub)
        self._rows = RowWriter(self._store, log)
        self._ownership = Ownership(storage, settings.hub, log, self._hub_lost)
        self._aside = SetAside(log)
        self._dispatcher = Dispatcher(store=self._store, rows=self._rows, aside=self._aside, log=log)
        self._activities = Activities(
            functions=activities,
            invoker=invoker,
            arguments=self._arguments,
            limit=settings.max_activities,
            done=self._dispatcher.activity_done,
            log=log,
        )
        self._entities = Entities(
            store=self._store,
            rows=self._rows,
            settings=settings,
            functions=entities,
            invoker=invoker,
            arguments=self._arguments,
            reply=self._dispatcher.send,
            aside=self._aside,
            log=log,
        )
        self._dispatcher.activities = self._activities
        self._dispatcher.to_entity = self._entities.deliver
        asker = Asker(settings=settings, functions=orchestrators, known=known, invoker=invoker, arguments=self._arguments, log=log)
        runner = self._dispatcher.runner = Runner(store=self._store, asker=asker, effects=self._dispatcher, log=log)
        self._recovery = Recovery(self._store, self._dispatcher, runner, self._aside)
        self._dispatcher.restore = self._recovery.restore
        self.client = DurableClient(
            store=self._store,
            rows=self._rows,
            dispatcher=self._dispatcher,
            entities=self._entities,
            known=known,
            settings=settings,
            rewinder=Rewinder(self._store, self._dispatcher),
            is_own_app=is_own_app,
        )
        self._api = HttpApi(
            client=self.client,
            listing=Listing(store=self._store, rows=self._rows, client=self.client),
            links=self._links,
            use_forwarded_host=settings.use_forwarded_host,
        )
        self.hub_lost = asyncio.Event()
        """Set when another host has taken the hub; this one has stopped working on it."""

    @property
    def problems(self) -> list[str]:
        """A sentence for each instance that is set aside."""
        return [f"instance '{instance}' is set aside: {reason}" for instance, reason in self._aside.reasons.items()]

    @property
    def rpc_base(self) -> str:
        """The loopback listener's URL with a trailing slash, once the shell has opened it."""
        return self._api.rpc_base

    @rpc_base.setter
    def rpc_base(self, url: str) -> None:
        self._api.rpc_base = url

    async def start(self) -> None:
        """Creates the hub where it is missing, takes it, and brings back everything unfinished.

        Raises:
            HubInUse: another live host runs this hub.
            StorageUnavailable, StorageError: the account cannot be used.
        """
        for warning in self.settings.warnings:
            self._log.warning("%s", warning)
        await self._store.create()
        await self._ownership.take()
        self._dispatcher.start()
        count = await self._recovery.find()
        waiting, unsent = await self._store.with_messages()
        await self._entities.resume(sorted(name for name in waiting.keys() | unsent if name.startswith("@")))
        await self._recovery.sweep({name: rows for name, rows in waiting.items() if not name.startswith("@")})
        self._dispatcher.resume_all()
        if count:
            self._log.info("task hub '%s': %d unfinished instances are going on", self.settings.hub, count)

    async def stop(self) -> None:
        """Lets running episodes and activities end for a few seconds, writes what is left, and lets the hub go."""
        await self._activities.stop(_GRACE_SECONDS)
        await asyncio.gather(self._dispatcher.stop(_GRACE_SECONDS), self._entities.stop(_GRACE_SECONDS), return_exceptions=True)
        if not self.hub_lost.is_set():
            await self._rows.stop()
        await self._ownership.release()

    async def handle(self, request: WebRequest) -> WebReply:
        """Answers a management request; `request.path` begins below the base (`/instances/…`)."""
        hub, connection = elsewhere(request.query)
        hub, connection = hub or self.settings.hub, connection or self.settings.connection_name
        try:
            storage = self._account_of(connection)
            if hub.lower() == self.settings.hub.lower() and storage is self._storage:
                return await self._api.handle(request)
            return await (await self._of_other_hub(hub_name(hub, {}), connection, storage)).handle(request)
        except BadHubName as problem:
            return refuse_hub(str(problem))
        except MissingConnection:
            return refuse_connection(f"Unable to resolve the Azure Storage connection named '{connection}'.")
        except (BadConnectionString, StorageError, StorageUnavailable) as problem:
            return refuse_connection(f"The Azure Storage connection named '{connection}' cannot be used: {problem}")

    def _account_of(self, connection: str) -> StorageAccount:
        is_own = connection.lower() in (self.settings.connection_name.lower(), self.settings.connection_setting.lower())
        return self._storage if is_own or self._account is None else self._account(connection)

    async def _of_other_hub(self, hub: str, connection: str, storage: StorageAccount) -> HttpApi:
        """The client half for another hub: it reads and writes there, and what it starts waits for the host of that hub.

        Made for one request, so that nothing here goes stale beside that host; one like this takes such work up when it starts.
        """
        other = self._like_this(settings=replace(self.settings, hub=hub, connection_name=connection), storage=storage)
        other.rpc_base = self.rpc_base
        other._dispatcher.abandon()  # noqa: SLF001 (one of us)
        await other._entities.stop(0)  # noqa: SLF001 (one of us)
        await other._store.create()  # noqa: SLF001 (one of us)
        return other._api  # noqa: SLF001 (one of us)

    def client_binding(self, binding: Mapping[str, Any]) -> str:
        """The string that a durable client parameter receives."""
        return self._links.client_binding(self._public_base, self.rpc_base, binding)

    def _arguments(self, function: FunctionMetadata, trigger_value: Datum) -> Mapping[str, Datum]:
        arguments: dict[str, Datum] = {str(function.trigger["name"]): trigger_value}
        for binding in function.bindings:
            if binding["type"] == "durableClient":
                arguments[str(binding["name"])] = self.client_binding(binding)
        return arguments

    def _hub_lost(self) -> None:
        self.hub_lost.set()
        self._rows.abandon()
        self._dispatcher.abandon()


def _by_name(functions: Sequence[FunctionMetadata], kind: str) -> dict[str, FunctionMetadata]:
    return {function.durable_name.lower(): function for function in functions if function.kind == kind and not function.errors}
