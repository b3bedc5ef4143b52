"""What a trigger is, and what it needs of the host."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol

from devhost.executor import FunctionExecutor
from devhost.settings import HostSettings
from devhost.storage.account import StorageAccount


class Trigger(Protocol):
    """Something that invokes one function until it is stopped."""

    async def start(self) -> None:
        """Begins to listen; returns soon."""

    async def stop(self) -> None:
        """Listens no more; calls that run go on."""


class TriggerHost(Protocol):
    """The host, as triggers and bindings see it."""

    settings: HostSettings
    executor: FunctionExecutor

    def account(self, connection: str) -> StorageAccount:
        """The client of a storage account."""
        ...

    def binding_account(self, binding: Mapping[str, Any], function: str) -> StorageAccount:
        """The account a binding's `connection` names."""
        ...
