"""A lease on a blob that lets one host at a time listen for a function, of all that share the storage account and the host id.

The blob says who holds it, so that a successor on the same machine need not wait for the lease of a host that was killed to run out.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import platform
import uuid

from devhost.storage.account import StorageAccount
from devhost.storage.errors import StorageError, StorageUnavailable

HOSTS_CONTAINER = "azure-webjobs-hosts"
_LEASE_SECONDS = 15
_RENEW_SECONDS = 5.0


class ListenerLock:
    """Holds `locks/<host id>/Host.Functions.<function>.Listener`."""

    def __init__(self, account: StorageAccount, host_id: str, function: str) -> None:
        self._account = account
        self._blob = f"locks/{host_id}/Host.Functions.{function}.Listener"
        self._lease = str(uuid.uuid4())
        self._renewal: asyncio.Task[None] | None = None
        self.is_lost = asyncio.Event()
        """Set when another host has taken it, or storage has been away for longer than a lease lasts."""

    async def acquire(self) -> bool:
        """Takes the lock and keeps it; False when another host holds it."""
        await self._account.blobs.create_container(HOSTS_CONTAINER)
        await self._account.blobs.put(HOSTS_CONTAINER, self._blob, b"", only_if_absent=True)
        if not await self._lease_it() and not (await self._is_abandoned() and await self._lease_it()):
            return False
        holder = {"pid": str(os.getpid()), "machine": platform.node()}
        await self._account.blobs.set_metadata(HOSTS_CONTAINER, self._blob, holder, lease=self._lease)
        self.is_lost.clear()
        self._renewal = asyncio.get_running_loop().create_task(self._renew())
        return True

    async def _lease_it(self) -> bool:
        return await self._account.blobs.lease(
            HOSTS_CONTAINER, self._blob, "acquire", lease=self._lease, seconds=_LEASE_SECONDS, patience=_RENEW_SECONDS
        )

    async def _is_abandoned(self) -> bool:
        """Whether the holder was a process on this machine that is no more; its lease is broken then."""
        properties = await self._account.blobs.properties(HOSTS_CONTAINER, self._blob) or {}
        pid, machine = properties.get("x-ms-meta-pid", ""), properties.get("x-ms-meta-machine")
        if machine != platform.node() or not pid.isdecimal() or _is_running(int(pid)):
            return False
        return await self._account.blobs.lease(HOSTS_CONTAINER, self._blob, "break")

    async def _renew(self) -> None:
        while True:
            await asyncio.sleep(_RENEW_SECONDS)
            try:
                renewed = await self._account.blobs.lease(HOSTS_CONTAINER, self._blob, "renew", lease=self._lease, patience=_RENEW_SECONDS)
            except (StorageError, StorageUnavailable):
                renewed = False
            if not renewed and not await self._acquire_again():
                self.is_lost.set()
                return

    async def _acquire_again(self) -> bool:
        try:
            return await self._lease_it()
        except (StorageError, StorageUnavailable):
            return False

    async def release(self) -> None:
        if self._renewal is not None:
            self._renewal.cancel()
            await asyncio.gather(self._renewal, return_exceptions=True)
            with contextlib.suppress(StorageError, StorageUnavailable):  # the lease runs out by itself
                await self._account.blobs.lease(HOSTS_CONTAINER, self._blob, "release", lease=self._lease, patience=2.0)
            self._renewal = None


def _is_running(pid: int) -> bool:
    """Whether there is such a process, also one of another user."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        pass
    return True
